package tokenizer_test

import (
	"fmt"

	"gobayes/bayesrm/tokenizer"
)

func ExampleWords() {
	t := tokenizer.NewWords([]string{"the", "cat", "is", "small"})
	ids, err := t.Encode("the cat is small")
	fmt.Println(ids, t.Decode(ids), err)
	// Output: [0 1 2 3] the cat is small <nil>
}

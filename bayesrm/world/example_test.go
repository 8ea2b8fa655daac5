package world_test

import (
	"fmt"

	"gobayes/bayesrm/world"
)

func ExampleGold() {
	g, parts, err := world.Gold("sort three one two .", "sure , one two three . hope this helps . <eos>")
	fmt.Printf("%.2f, of which task %.1f, error %v\n", g, parts.Task, err)
	// Output: 3.98, of which task 3.7, error <nil>
}

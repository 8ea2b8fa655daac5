package penalty_test

import (
	"fmt"

	"gobayes/bayesrm"
	"gobayes/bayesrm/penalty"
)

// A bold answer and a safe one: the penalty decides which looks better.
func ExampleApply() {
	beliefs := []bayesrm.Belief{{ID: "bold", Mean: 2, Var: 4}, {ID: "safe", Mean: 1, Var: 0.25}}
	for _, k := range []float64{0, 1} {
		s := penalty.Apply(penalty.StdOf(k), beliefs)
		fmt.Printf("k = %g: %s %.1f, %s %.1f\n", k, s[0].ID, s[0].Value, s[1].ID, s[1].Value)
	}
	// Output:
	// k = 0: bold 2.0, safe 1.0
	// k = 1: bold 0.0, safe 0.5
}

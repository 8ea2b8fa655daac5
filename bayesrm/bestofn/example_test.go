package bestofn_test

import (
	"fmt"

	"gobayes/bayesrm/bestofn"
)

// Over-optimisation in miniature: the score's favourite is worth nothing.
func ExampleEstimate() {
	score := []float64{0.1, 0.4, 0.5, 0.9, 1.3, 2.0}
	gold := []float64{1, 3, 2, 5, 4, 0}
	for i, v := range bestofn.Estimate(score, gold, []int{1, 2, 4, 6}) {
		fmt.Printf("n = %d: %.3f\n", []int{1, 2, 4, 6}[i], v)
	}
	// Output:
	// n = 1: 2.500
	// n = 2: 2.533
	// n = 4: 1.400
	// n = 6: 0.000
}

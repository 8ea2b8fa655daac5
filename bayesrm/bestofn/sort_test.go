package bestofn

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAscending: the order of a comparison sort, for scores that are equal in their first half, all equal, ±0 or infinite.
func TestAscending(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var e Estimator
	for _, draw := range []func() float64{rng.NormFloat64, func() float64 { return 1 + 1e-12*rng.Float64() }, func() float64 { return 7 },
		func() float64 { return float64(rng.IntN(3)-1) * 0 }, func() float64 { return math.Inf(rng.IntN(2)*2 - 1) }, func() float64 { return math.Round(3 * rng.NormFloat64()) }} {
		for _, N := range []int{1, 2, 100, 3000} {
			s := make([]float64, N)
			for i := range s {
				s[i] = draw()
			}
			seen := make([]bool, N)
			order := e.ascending(s)
			for i, k := range order {
				if seen[uint32(k)] || i > 0 && s[uint32(order[i-1])] > s[uint32(k)] {
					t.Fatalf("N = %d: entry %d is answer %d", N, i, uint32(k))
				}
				seen[uint32(k)] = true
			}
		}
	}
}

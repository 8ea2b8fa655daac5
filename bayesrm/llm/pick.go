package llm

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"gobayes/bayesrm/tensor"
)

// pick chooses a token from logits, which it overwrites: repetition penalty, temperature, top-k, top-p, min-p, in this order,
// as in transformers.
func (o *GenerateOptions) pick(l []float32, rng *rand.Rand, prompt, answer []int) int {
	if o.RepetitionPenalty != 1 {
		penalise(l, float32(o.RepetitionPenalty), prompt, answer)
	}
	if o.Greedy {
		return argmax(l)
	}
	if o.Temperature != 1 {
		tensor.Scale(l, float32(1/o.Temperature))
	}
	tensor.Softmax(l)
	if o.TopK == 0 && o.TopP == 0 && o.MinP == 0 {
		return draw(l, rng, func(i int) int { return i }, len(l), 1)
	}
	kept, mass := o.keep(l)
	return draw(l, rng, func(i int) int { return kept[i] }, len(kept), mass)
}

// keep lists the tokens that top-k, top-p and min-p leave, likeliest first, and their total probability.
func (o *GenerateOptions) keep(p []float32) (kept []int, mass float64) {
	floor := float32(0)
	if o.TopP > 0 && o.TopK == 0 { // all tokens below this together are less than 1 − TopP
		floor = float32((1 - o.TopP) / float64(len(p)))
	}
	if o.MinP > 0 && o.TopP == 0 && o.TopK == 0 {
		floor = float32(o.MinP) * slices.Max(p)
	}
	for i, v := range p {
		if v >= floor {
			kept = append(kept, i)
		}
	}
	slices.SortFunc(kept, func(a, b int) int { return cmp.Or(cmp.Compare(p[b], p[a]), cmp.Compare(a, b)) })
	if o.TopK > 0 {
		kept = kept[:min(o.TopK, len(kept))]
	}
	for _, i := range kept {
		mass += float64(p[i])
	}
	if o.TopP > 0 {
		total := mass
		if o.TopK == 0 {
			total = 1
		}
		mass = 0
		for n, i := range kept {
			if mass += float64(p[i]); mass >= o.TopP*total {
				kept = kept[:n+1]
				break
			}
		}
	}
	if o.MinP > 0 {
		n := len(kept)
		for n > 1 && p[kept[n-1]] < float32(o.MinP)*p[kept[0]] {
			n--
			mass -= float64(p[kept[n]])
		}
		kept = kept[:n]
	}
	return kept, mass
}

// draw returns the first of n tokens whose cumulative probability exceeds a uniform number times mass.
func draw(p []float32, rng *rand.Rand, token func(i int) int, n int, mass float64) int {
	u := rng.Float64() * mass
	var c float64
	last := token(0)
	for i := range n {
		id := token(i)
		if p[id] > 0 {
			last = id
		}
		if c += float64(p[id]); c > u {
			return id
		}
	}
	return last
}

func penalise(l []float32, penalty float32, texts ...[]int) {
	seen := map[int]bool{}
	for _, t := range texts {
		for _, id := range t {
			if seen[id] {
				continue
			}
			seen[id] = true
			if l[id] > 0 {
				l[id] /= penalty
			} else {
				l[id] *= penalty
			}
		}
	}
}

func argmax(l []float32) int {
	best := 0
	for i, v := range l {
		if v > l[best] {
			best = i
		}
	}
	return best
}

package bestofn

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// KL is the usual distance between best-of-n and the policy, log n − (n−1)/n in nats (paper eq. 4). It is an upper bound.
func KL(n int) float64 { return math.Log(float64(n)) - float64(n-1)/float64(n) }

// ExactKL is the distance between best-of-n and a policy that chooses among finitely many answers with probabilities p, in
// the order of ascending reward: Σ π_n log(π_n/p) with π_n = F(y)ⁿ − F(y⁻)ⁿ, in nats (Beirami et al., arXiv 2401.01879).
func ExactKL(p []float64, n int) float64 {
	var kl, below float64
	for _, v := range p {
		if v <= 0 {
			continue
		}
		here := math.Pow(below+v, float64(n)) - math.Pow(below, float64(n))
		below += v
		if here > 0 {
			kl += here * math.Log(here/v)
		}
	}
	return kl
}

// BeiramiKL estimates the distance from the policy's probability ε of the answer that was selected (Beirami et al.,
// arXiv 2401.01879). It lies between 0 and KL(n), which it is for ε → 0.
func BeiramiKL(n int, epsilon float64) float64 {
	N := float64(n)
	if epsilon <= 0 {
		return KL(n)
	}
	log := N * math.Log1p(-epsilon) // of (1−ε)ⁿ
	miss, hit := math.Exp(log), -math.Expm1(log)
	kl := hit * math.Log(hit/epsilon)
	if miss > 0 {
		kl += miss * (math.Log(N) + (N-1)*math.Log1p(-epsilon) - (N-1)/N)
	}
	return kl
}

// Fit are the parameters of Gao et al.'s law of over-optimisation (arXiv 2210.10760) in d = √KL.
type Fit struct {
	Alpha, Beta float64
	// PeakD and PeakReward are where the fitted reward is largest, NaN where it has no peak.
	PeakD, PeakReward float64
}

// FitBoN fits R(d) = d(α − βd) to gold rewards of best-of-n at d = √KL, by least squares.
func FitBoN(d, reward []float64) (Fit, error) {
	f, err := fitLaw(d, reward, func(d float64) float64 { return -d * d })
	if err != nil {
		return f, fmt.Errorf("bestofn: fit of best-of-n: %w", err)
	}
	if f.Beta > 0 {
		f.PeakD, f.PeakReward = f.Alpha/(2*f.Beta), f.Alpha*f.Alpha/(4*f.Beta)
	}
	return f, nil
}

// FitRL fits R(d) = d(α − β·log d) to gold rewards of RL at d = √KL > 0, by least squares.
func FitRL(d, reward []float64) (Fit, error) {
	f, err := fitLaw(d, reward, func(d float64) float64 { return -d * math.Log(d) })
	if err != nil {
		return f, fmt.Errorf("bestofn: fit of RL: %w", err)
	}
	if f.Beta > 0 {
		f.PeakD = math.Exp(f.Alpha/f.Beta - 1)
		f.PeakReward = f.Beta * f.PeakD
	}
	return f, nil
}

// fitLaw solves reward = α·d + β·second(d). The peak is left open.
func fitLaw(d, reward []float64, second func(float64) float64) (Fit, error) {
	if len(d) != len(reward) || len(d) < 2 {
		return Fit{}, fmt.Errorf("%d distances and %d rewards: at least two of each are needed", len(d), len(reward))
	}
	X := mat.NewDense(len(d), 2, nil)
	for i, v := range d {
		if !(v > 0) || math.IsNaN(reward[i]) {
			return Fit{}, fmt.Errorf("point %d is (%v, %v): d must be positive and the reward a number", i, v, reward[i])
		}
		X.SetRow(i, []float64{v, second(v)})
	}
	var ab mat.VecDense
	if err := ab.SolveVec(X, mat.NewVecDense(len(reward), reward)); err != nil {
		return Fit{}, fmt.Errorf("%d points do not determine two parameters: %w", len(d), err)
	}
	return Fit{Alpha: ab.AtVec(0), Beta: ab.AtVec(1), PeakD: math.NaN(), PeakReward: math.NaN()}, nil
}

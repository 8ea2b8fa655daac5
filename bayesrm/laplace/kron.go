package laplace

import (
	"context"
	"fmt"
	"math"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/tensor"

	"gonum.org/v1/gonum/mat"
)

// factors are the two sides of the Kronecker-factored curvature of one weight matrix [m, k], row-major: H ≈ out ⊗ in, with
// in = Σ aaᵀ of its inputs and out = Σ ĝĝᵀ of its output gradients (METHODS §4.4).
type factors struct{ out, in *mat.SymDense }

// block is the eigenbasis of one weight matrix [m, k]: G becomes rowsᵀ·G·cols.
type block struct {
	m, k       int
	rows, cols []float32
}

// blocks is the basis of weight vectors that are these matrices one after the other.
type blocks []block

// rotate projects the wide and the narrow side once for all rows of J [n, P].
func (bs blocks) rotate(J []float32, n int) []float32 {
	P := len(J) / n
	T := make([]float32, len(J))
	o := 0
	for _, b := range bs {
		size := b.m * b.k
		g, y := make([]float32, n*size), make([]float32, n*size)
		for i := range n {
			copy(g[i*size:], J[i*P+o:i*P+o+size])
		}
		tensor.MatMulNN(y, g, b.cols, n*b.m, b.k, b.k, false)
		for i := range n { // side by side: [m, n·k]
			for r := range b.m {
				copy(g[(r*n+i)*b.k:(r*n+i+1)*b.k], y[i*size+r*b.k:])
			}
		}
		clear(y)
		tensor.MatMulTN(y, b.rows, g, b.m, b.m, n*b.k)
		for i := range n {
			for r := range b.m {
				copy(T[i*P+o+r*b.k:], y[(r*n+i)*b.k:(r*n+i+1)*b.k])
			}
		}
		o += size
	}
	return T
}

func (bs blocks) back(x []float32) []float32 {
	out := make([]float32, len(x))
	o := 0
	for _, b := range bs {
		y := make([]float32, b.m*b.k)
		tensor.MatMulNT(y, x[o:o+len(y)], b.cols, b.m, b.k, b.k, false)
		tensor.MatMulNN(out[o:o+len(y)], b.rows, y, b.m, b.k, b.m, false)
		o += len(y)
	}
	return out
}

// kronecker diagonalises the factors: the eigenvalues of a block are the products of those of its sides.
func kronecker(fs []factors) (*spectral, error) {
	h := &spectral{}
	var bs blocks
	for i, f := range fs {
		rv, r, err := eigen(f.out)
		if err != nil {
			return nil, fmt.Errorf("output factor of weight matrix %d: %w", i, err)
		}
		cv, c, err := eigen(f.in)
		if err != nil {
			return nil, fmt.Errorf("input factor of weight matrix %d: %w", i, err)
		}
		bs = append(bs, block{len(rv), len(cv), r, c})
		for _, x := range rv {
			for _, y := range cv {
				h.values = append(h.values, x*y)
			}
		}
	}
	h.basis = bs
	return h, nil
}

// kronFactors makes one pass over the pairs, chosen and rejected in turn, with the gradient of √(p(1−p))·(r_w − r_l), which
// is what the exact Fisher of the two-way choice comes to.
func kronFactors(ctx context.Context, m *reward.Model, seqs [][]int, c Curvature) ([]factors, error) {
	at := map[*llm.LoRA]int{}
	var fs []factors
	for _, a := range m.Base.LoRAs() { // A [R, In], then B [Out, R]
		at[a] = len(fs)
		in, out := len(a.A.Data)/a.R, len(a.B.Data)/a.R
		fs = append(fs, factors{mat.NewSymDense(a.R, nil), mat.NewSymDense(in, nil)}, factors{mat.NewSymDense(out, nil), mat.NewSymDense(a.R, nil)})
	}
	tokens := 0
	for _, s := range seqs {
		tokens += len(s)
	}
	var acts llm.Acts
	sink := func(l *llm.Linear, off []int, x, u, g, gB []float32) {
		a := l.LoRA
		f := fs[at[a]:]
		s := float64(a.Scale) * float64(a.Scale)
		if c == KronReduce {
			x, u = perSequence(x, off, l.In, true), perSequence(u, off, a.R, true)
			g, gB = perSequence(g, off, l.Out, false), perSequence(gB, off, a.R, false)
		}
		addOuter(f[0].in, x, 1)
		addOuter(f[0].out, gB, s)
		addOuter(f[1].in, u, 1)
		addOuter(f[1].out, g, s)
	}
	err := llm.Batches(ctx, "fit Kronecker factors", pairwise(seqs), false, func(from, to int) error {
		_, err := m.Backprop(ctx, &acts, seqs[2*from:2*to], c != KronReduce, func(r []float64) []float64 {
			seed := make([]float64, len(r))
			for i := 0; i < len(r); i += 2 {
				d := r[i] - r[i+1]
				w := math.Sqrt(nn.Information(d, m.Options.LabelNoise))
				seed[i], seed[i+1] = w, -w
			}
			return seed
		}, sink)
		return err
	})
	if err != nil {
		return nil, err
	}
	count := float64(tokens)
	switch c {
	case KronReduce:
		count = float64(len(seqs))
	case KronLaplaceLoRA:
		count = float64(len(seqs) / 2)
	}
	for _, f := range fs {
		f.in.ScaleSym(1/count, f.in)
	}
	return fs, nil
}

// pairwise joins the two sequences of each pair, so that Batches keeps them together.
func pairwise(seqs [][]int) [][]int {
	out := make([][]int, len(seqs)/2)
	for i := range out {
		out[i] = append(append([]int{}, seqs[2*i]...), seqs[2*i+1]...)
	}
	return out
}

// perSequence sums the rows of x [n, w] over each sequence, or averages them.
func perSequence(x []float32, off []int, w int, mean bool) []float32 {
	out := make([]float32, (len(off)-1)*w)
	for b := range len(off) - 1 {
		row := out[b*w : (b+1)*w]
		for t := off[b]; t < off[b+1]; t++ {
			tensor.Axpy(row, 1, x[t*w:(t+1)*w])
		}
		if mean {
			tensor.Scale(row, 1/float32(off[b+1]-off[b]))
		}
	}
	return out
}

// addOuter adds scale·xᵀx to s, for x [n, w] with w the side of s.
func addOuter(s *mat.SymDense, x []float32, scale float64) {
	w := s.SymmetricDim()
	p := make([]float32, w*w)
	tensor.MatMulTN(p, x, x, len(x)/w, w, w)
	raw := s.RawSymmetric()
	for i := range w {
		for j := i; j < w; j++ {
			raw.Data[i*raw.Stride+j] += scale * float64(p[i*w+j])
		}
	}
}

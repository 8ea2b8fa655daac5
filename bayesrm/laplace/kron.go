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
type factors struct{ out, in side }

// block is the known eigenvectors of the sides of one weight matrix [m, k]: G becomes rowsᵀ·G·cols [mk, kk].
type block struct {
	m, k       int
	rows, cols []float32 // [m, mk], [k, kk]
}

// kept is how many eigenvectors of each side are known.
func (b block) kept() (mk, kk int) { return len(b.rows) / b.m, len(b.cols) / b.k }

// blocks is the basis of weight vectors that are these matrices one after the other.
type blocks []block

// known is the number of basis vectors, K.
func (bs blocks) known() (K int) {
	for _, b := range bs {
		mk, kk := b.kept()
		K += mk * kk
	}
	return K
}

// rotate projects the wide and the narrow side once for all rows of J [n, P].
func (bs blocks) rotate(J []float32, n int) []float32 {
	P, K := len(J)/n, bs.known()
	T := make([]float32, n*K)
	from, to := 0, 0
	for _, b := range bs {
		size := b.m * b.k
		mk, kk := b.kept()
		g, y := make([]float32, n*size), make([]float32, n*b.m*kk)
		for i := range n {
			copy(g[i*size:], J[i*P+from:i*P+from+size])
		}
		tensor.MatMulNN(y, g, b.cols, n*b.m, kk, b.k, false)
		side := make([]float32, n*b.m*kk) // side by side: [m, n·kk]
		for i := range n {
			for r := range b.m {
				copy(side[(r*n+i)*kk:(r*n+i+1)*kk], y[(i*b.m+r)*kk:])
			}
		}
		turned := make([]float32, mk*n*kk)
		tensor.MatMulTN(turned, b.rows, side, b.m, mk, n*kk)
		for i := range n {
			for r := range mk {
				copy(T[i*K+to+r*kk:], turned[(r*n+i)*kk:(r*n+i+1)*kk])
			}
		}
		from += size
		to += mk * kk
	}
	return T
}

func (bs blocks) back(x []float32) []float32 {
	var out []float32
	o := 0
	for _, b := range bs {
		mk, kk := b.kept()
		y, g := make([]float32, mk*b.k), make([]float32, b.m*b.k)
		tensor.MatMulNT(y, x[o:o+mk*kk], b.cols, mk, b.k, kk, false)
		tensor.MatMulNN(g, b.rows, y, b.m, b.k, mk, false)
		out = append(out, g...)
		o += mk * kk
	}
	return out
}

// kronecker diagonalises the factors: the eigenvalues of a block are the products of those of its sides.
func kronecker(fs []factors) (*spectral, error) {
	h := &spectral{}
	var bs blocks
	for i, f := range fs {
		rv, r, err := f.out.eigen()
		if err != nil {
			return nil, fmt.Errorf("output factor of weight matrix %d: %w", i, err)
		}
		cv, c, err := f.in.eigen()
		if err != nil {
			return nil, fmt.Errorf("input factor of weight matrix %d: %w", i, err)
		}
		m, k := len(r)/len(rv), len(c)/len(cv)
		bs = append(bs, block{m, k, r, c})
		h.partial = h.partial || len(rv) < m || len(cv) < k
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
// is what the exact Fisher of the two-way choice comes to, divided by the temperature. Sides longer than rank are kept to it; 0 keeps all.
func kronFactors(ctx context.Context, m *reward.Model, seqs [][]int, c Curvature, rank int, temperature float64) ([]factors, error) {
	at := map[*llm.LoRA]int{}
	var fs []factors
	for _, a := range m.Base.LoRAs() { // A [R, In], then B [Out, R]
		at[a] = len(fs)
		in, out := len(a.A.Data)/a.R, len(a.B.Data)/a.R
		fs = append(fs, factors{newSide(a.R, rank), newSide(in, rank)}, factors{newSide(out, rank), newSide(a.R, rank)})
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
		f[0].in.add(x, 1)
		f[0].out.add(gB, s)
		f[1].in.add(u, 1)
		f[1].out.add(g, s)
	}
	err := llm.Batches(ctx, "fit Kronecker factors", pairwise(seqs), gradientTokens, false, func(from, to int) error {
		_, err := m.Backprop(ctx, &acts, seqs[2*from:2*to], c != KronReduce, func(r []float64) []float64 {
			seed := make([]float64, len(r))
			for i := 0; i < len(r); i += 2 {
				d := r[i] - r[i+1]
				w := math.Sqrt(nn.Information(d, m.Options.LabelNoise) / temperature)
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
		f.in.divide(count)
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

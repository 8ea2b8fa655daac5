package nn

import (
	"math"

	"gobayes/bayesrm/tensor"
)

// Heads describes the layout of queries, keys and values in their rows: head h of q starts at column Q(h) of a row of
// width QRow, and so on. Several query heads may share a key head.
type Heads struct {
	H, KV, D         int // query heads, key/value heads, width of a head
	QRow, KRow, VRow int // columns of a row of q, k and v
	Q, K, V          func(h int) int
}

// Attention computes causal attention over packed sequences: out = softmax(q·kᵀ/√D)·v per head. off [B+1] are the
// sequences' offsets. out is [N, H·D]. probs keeps the weights for the backward: for each sequence and head a T×T block, in
// the order of ProbsLen.
//
// Keys and values of a head are transposed first, so that the inner loops run along the sequence: heads are narrow.
func Attention(out, probs, q, k, v []float32, off []int, hs Heads) {
	scale := float32(1 / math.Sqrt(float64(hs.D)))
	at := probsOffsets(off, hs.H)
	group := hs.H / hs.KV
	tensor.Parallel((len(off)-1)*hs.KV, func(job int) {
		b, kv := job/hs.KV, job%hs.KV
		T := off[b+1] - off[b]
		kt, vt := transposed(k, off[b], T, hs.KRow, hs.K(kv), hs.D), transposed(v, off[b], T, hs.VRow, hs.V(kv), hs.D)
		for h := kv * group; h < (kv+1)*group; h++ {
			p := probs[at[b]+h*T*T : at[b]+(h+1)*T*T]
			for i := range T {
				pi := p[i*T : i*T+i+1]
				clear(pi)
				for d, x := range row(q, off[b]+i, hs.QRow, hs.Q(h), hs.D) {
					tensor.Axpy(pi, scale*x, kt[d*T:d*T+i+1])
				}
				tensor.Softmax(pi)
				o := row(out, off[b]+i, hs.H*hs.D, h*hs.D, hs.D)
				for d := range o {
					o[d] = tensor.Dot(pi, vt[d*T:d*T+i+1])
				}
			}
		}
	})
}

// AttentionGrad is the backward of Attention; it adds to dq, dk and dv, which have the layouts of q, k and v.
func AttentionGrad(dq, dk, dv, dout, probs, q, k, v []float32, off []int, hs Heads) {
	scale := float32(1 / math.Sqrt(float64(hs.D)))
	at := probsOffsets(off, hs.H)
	group := hs.H / hs.KV
	tensor.Parallel((len(off)-1)*hs.KV, func(job int) { // query heads that share a key head add to the same dk
		b, kv := job/hs.KV, job%hs.KV
		T := off[b+1] - off[b]
		kt, vt := transposed(k, off[b], T, hs.KRow, hs.K(kv), hs.D), transposed(v, off[b], T, hs.VRow, hs.V(kv), hs.D)
		dkt, dvt, ds := make([]float32, hs.D*T), make([]float32, hs.D*T), make([]float32, T)
		for h := kv * group; h < (kv+1)*group; h++ {
			p := probs[at[b]+h*T*T : at[b]+(h+1)*T*T]
			for i := range T {
				pi, dsi := p[i*T:i*T+i+1], ds[:i+1]
				clear(dsi)
				for d, g := range row(dout, off[b]+i, hs.H*hs.D, h*hs.D, hs.D) {
					tensor.Axpy(dsi, g, vt[d*T:d*T+i+1])
					tensor.Axpy(dvt[d*T:d*T+i+1], g, pi)
				}
				sum := tensor.Dot(dsi, pi)
				for j, w := range pi { // through the softmax
					dsi[j] = scale * w * (dsi[j] - sum)
				}
				qi, dqi := row(q, off[b]+i, hs.QRow, hs.Q(h), hs.D), row(dq, off[b]+i, hs.QRow, hs.Q(h), hs.D)
				for d := range dqi {
					dqi[d] += tensor.Dot(dsi, kt[d*T:d*T+i+1])
					tensor.Axpy(dkt[d*T:d*T+i+1], qi[d], dsi)
				}
			}
		}
		for i := range T {
			dki, dvi := row(dk, off[b]+i, hs.KRow, hs.K(kv), hs.D), row(dv, off[b]+i, hs.VRow, hs.V(kv), hs.D)
			for d := range hs.D {
				dki[d] += dkt[d*T+i]
				dvi[d] += dvt[d*T+i]
			}
		}
	})
}

// transposed copies D columns of T rows, from column col of rows of the given width, to [D, T].
func transposed(x []float32, first, T, width, col, D int) []float32 {
	t := make([]float32, D*T)
	for i := range T {
		for d, v := range row(x, first+i, width, col, D) {
			t[d*T+i] = v
		}
	}
	return t
}

// ProbsLen is the number of weights that Attention keeps: Σ H·T².
func ProbsLen(off []int, H int) int {
	at := probsOffsets(off, H)
	return at[len(at)-1]
}

func probsOffsets(off []int, H int) []int {
	at := make([]int, len(off))
	for b := range len(off) - 1 {
		T := off[b+1] - off[b]
		at[b+1] = at[b] + H*T*T
	}
	return at
}

func row(x []float32, n, width, col, D int) []float32 {
	return x[n*width+col : n*width+col+D : n*width+col+D]
}

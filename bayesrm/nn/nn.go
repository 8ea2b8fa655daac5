// Package nn holds the layers of a transformer, each a forward and a backward function on packed rows.
//
// Backward functions accumulate into gradients (dx, dw); the caller zeroes. Shapes: N rows, C width, H heads, D = C/H.
package nn

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"gobayes/bayesrm/tensor"
)

func mustLen(what string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("%s has %d elements, want %d", what, got, want))
	}
}

// LayerNorm writes y[i] = (x[i] − mean) / std · w[i] + b[i] for each row of x and keeps mean and 1/std.
//
// x and y are [N, C], w and b [C], mean and rstd [N].
func LayerNorm(y, mean, rstd, x, w, b []float32, eps float32) {
	C := len(w)
	N := len(x) / C
	mustLen("nn: LayerNorm: y", len(y), N*C)
	mustLen("nn: LayerNorm: rstd", len(rstd), N)
	rows(N, func(n int) {
		mean[n], rstd[n] = tensor.LayerNorm(y[n*C:(n+1)*C], x[n*C:(n+1)*C], w, b, eps)
	})
}

// LayerNormGrad is the backward of LayerNorm; it adds to dx, and to dw and db unless they are nil.
func LayerNormGrad(dx, dw, db, dy, x, w, mean, rstd []float32) {
	C := len(w)
	grad := func(n int) {
		tensor.LayerNormGrad(dx[n*C:(n+1)*C], dw, db, dy[n*C:(n+1)*C], x[n*C:(n+1)*C], w, mean[n], rstd[n])
	}
	rowsOf(len(x)/C, dw == nil, grad)
}

// RMSNorm writes y[i] = x[i] / rms(x) · w[i] for each row of x and keeps 1/rms. eps is added to the mean square.
//
// x and y are [N, C], w is [C], rstd is [N].
func RMSNorm(y, rstd, x, w []float32, eps float32) {
	C := len(w)
	N := len(x) / C
	mustLen("nn: RMSNorm: y", len(y), N*C)
	mustLen("nn: RMSNorm: rstd", len(rstd), N)
	rows(N, func(n int) { rstd[n] = tensor.RMSNorm(y[n*C:(n+1)*C], x[n*C:(n+1)*C], w, eps) })
}

// RMSNormGrad is the backward of RMSNorm; it adds to dx, and to dw unless it is nil.
func RMSNormGrad(dx, dw, dy, x, w, rstd []float32) {
	C := len(w)
	rowsOf(len(x)/C, dw == nil, func(n int) {
		tensor.RMSNormGrad(dx[n*C:(n+1)*C], dw, dy[n*C:(n+1)*C], x[n*C:(n+1)*C], w, rstd[n])
	})
}

// rowBlock is how many rows one goroutine takes at a time.
const rowBlock = 32

// rows calls f for each row, in parallel.
func rows(N int, f func(n int)) { rowsOf(N, true, f) }

// rowsOf calls f for each row, in parallel if the rows are independent.
func rowsOf(N int, independent bool, f func(n int)) {
	if !independent {
		for n := range N {
			f(n)
		}
		return
	}
	tensor.Parallel((N+rowBlock-1)/rowBlock, func(k int) {
		for n := k * rowBlock; n < min(N, (k+1)*rowBlock); n++ {
			f(n)
		}
	})
}

// Rotary is the rotary position embedding. Its tables grow with the positions that are asked for.
type Rotary struct {
	Dim    int // rotated part of a head; the rest passes through
	freq   []float32
	grow   sync.Mutex
	tables atomic.Pointer[rotaryTables]
}

// rotaryTables hold cos and sin, Dim/2 of each per position, and −sin, for the backward turns the other way.
type rotaryTables struct{ cos, sin, negSin []float32 }

// NewRotary takes the dimensions to rotate and the base: angle = position · frequency, where frequency i is base^(−2i/dim),
// scaled if scale is not nil.
func NewRotary(dim int, base float64, scale func(f float64) float64) *Rotary {
	r := &Rotary{Dim: dim, freq: make([]float32, dim/2)} // in float32 as the reference does: frequency, then angle
	for i := range r.freq {
		f := 1 / math.Pow(base, float64(2*i)/float64(dim))
		if scale != nil {
			f = scale(f)
		}
		r.freq[i] = float32(f)
	}
	r.tables.Store(&rotaryTables{})
	return r
}

// at returns the tables with at least position t in them.
func (r *Rotary) at(t int) *rotaryTables {
	h := len(r.freq)
	if tab := r.tables.Load(); len(tab.cos) >= (t+1)*h {
		return tab
	}
	r.grow.Lock()
	defer r.grow.Unlock()
	old := r.tables.Load()
	if len(old.cos) >= (t+1)*h {
		return old
	}
	tab := &rotaryTables{slices.Clone(old.cos), slices.Clone(old.sin), slices.Clone(old.negSin)}
	for p := len(tab.cos) / max(1, h); p < max(64, 2*(t+1)) && h > 0; p++ {
		for _, f := range r.freq {
			sin, cos := math.Sincos(float64(float32(p) * f))
			tab.cos, tab.sin, tab.negSin = append(tab.cos, float32(cos)), append(tab.sin, float32(sin)), append(tab.negSin, -float32(sin))
		}
	}
	r.tables.Store(tab)
	return tab
}

// Apply rotates one head x [D] for position t in place: pairs are (i, i + Dim/2), the half-split form. With inverse it
// rotates back, which is the backward.
func (r *Rotary) Apply(x []float32, t int, inverse bool) {
	h, tab := len(r.freq), r.at(t)
	sin := tab.sin
	if inverse {
		sin = tab.negSin
	}
	tensor.Rotate(x[:h], x[h:2*h], tab.cos[t*h:(t+1)*h], sin[t*h:(t+1)*h])
}

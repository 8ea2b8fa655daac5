// Package tensor holds the float32 kernels under every layer: matrix products, exp, softmax.
//
// Each result is the same bits for any GOMAXPROCS and for any number of rows beside it: products are cut into tiles of a
// fixed size, a tile is summed in one order, and the inner dimension is never split.
package tensor

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Tiles small enough for the library's serial path, so that the order of its sums never depends on the shape.
const (
	tileRows = 64
	tileCols = 192
)

var lib gonum.Implementation

// MatMulNT computes y = x·wᵀ, or y += x·wᵀ with add: the forward product of a linear layer. y is [N, out], x is [N, in],
// w is [out, in].
func MatMulNT(y, x, w []float32, N, out, in int, add bool) {
	check("MatMulNT", len(y), N*out, len(x), N*in, len(w), out*in)
	tiles(N, out, func(i, rows, j, cols int) {
		lib.Sgemm(blas.NoTrans, blas.Trans, rows, cols, in, 1, x[i*in:], in, w[j*in:], in, beta(add), y[i*out+j:], out)
	})
}

// MatMulNN computes y = x·w, or y += x·w with add: the gradient of a linear layer's input. y is [N, out], x is [N, in],
// w is [in, out].
func MatMulNN(y, x, w []float32, N, out, in int, add bool) {
	check("MatMulNN", len(y), N*out, len(x), N*in, len(w), in*out)
	tiles(N, out, func(i, rows, j, cols int) {
		lib.Sgemm(blas.NoTrans, blas.NoTrans, rows, cols, in, 1, x[i*in:], in, w[j:], out, beta(add), y[i*out+j:], out)
	})
}

// MatMulTN computes y += aᵀ·b: the gradient of a weight. y is [out, in], a is [N, out], b is [N, in].
func MatMulTN(y, a, b []float32, N, out, in int) {
	check("MatMulTN", len(y), out*in, len(a), N*out, len(b), N*in)
	if N == 0 {
		return
	}
	tiles(out, in, func(i, rows, j, cols int) {
		lib.Sgemm(blas.Trans, blas.NoTrans, rows, cols, N, 1, a[i:], out, b[j:], in, 1, y[i*in+j:], in)
	})
}

func beta(add bool) float32 {
	if add {
		return 1
	}
	return 0
}

func check(verb string, pairs ...int) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			panic(fmt.Sprintf("tensor: %s: operand %d has %d elements, want %d", verb, i/2, pairs[i], pairs[i+1]))
		}
	}
}

// parallelAbove is the number of elements of a result below which one goroutine is faster than several.
const parallelAbove = 1 << 13

// tiles calls f for each tile of an n × m result.
func tiles(n, m int, f func(i, rows, j, cols int)) {
	nr, nc := (n+tileRows-1)/tileRows, (m+tileCols-1)/tileCols
	tile := func(t int) {
		i, j := t/nc*tileRows, t%nc*tileCols
		f(i, min(tileRows, n-i), j, min(tileCols, m-j))
	}
	if n*m < parallelAbove {
		for t := range nr * nc {
			tile(t)
		}
		return
	}
	Parallel(nr*nc, tile)
}

// Parallel calls f(0) … f(n-1), on as many goroutines as there are processors.
func Parallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i)
		}
	}
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// Dot returns Σ x[i]·y[i]. The lengths must be equal.
func Dot(x, y []float32) float32 { return lib.Sdot(len(x), x, 1, y, 1) }

// Axpy computes y += a·x.
func Axpy(y []float32, a float32, x []float32) { lib.Saxpy(len(x), a, x, 1, y, 1) }

package tensor

import (
	"runtime"
	"sync"
	"sync/atomic"
)

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

// chunk is how many elements of a long vector one call of a kernel takes: assembly cannot be preempted, and the garbage
// collector waits for it.
const chunk = 1 << 13

// chunks calls f for the pieces of a vector of n elements, in parallel.
func chunks(n int, f func(from, to int)) {
	Parallel((n+chunk-1)/chunk, func(k int) { f(k*chunk, min(n, (k+1)*chunk)) })
}

// pool hands out buffers that are used again.
type pool[T float] struct{ p sync.Pool }

func (p *pool[T]) get(n int) []T {
	if b, ok := p.p.Get().(*[]T); ok && cap(*b) >= n {
		return (*b)[:n]
	}
	return make([]T, n)
}

func (p *pool[T]) put(b []T) { p.p.Put(&b) }

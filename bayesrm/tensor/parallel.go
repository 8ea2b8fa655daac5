package tensor

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Parallel calls f(0) … f(n-1), on as many goroutines as there are processors. A panic in f comes out of Parallel.
//
// Helpers wait for the next call by looking for it for a while before they sleep: to wake a sleeping thread takes
// as long as a product with one row. While they are busy, or inside f, a call runs on goroutines of its own.
func Parallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	j := &job{f: f, n: int64(n), number: jobs.Add(1)}
	j.places.Store(int64(workers - 1))
	if helpers.current.CompareAndSwap(nil, j) {
		helpers.call(workers - 1)
		j.work()
		helpers.current.Store(nil)
	} else {
		for range workers - 1 {
			go j.help()
		}
		j.work()
	}
	for spin := 0; j.finished.Load() < j.n; spin++ { // what a helper still has in hand
		if spin > 1000 {
			runtime.Gosched()
		}
	}
	if p := j.panicked.Load(); p != nil {
		panic(*p)
	}
}

var jobs atomic.Int64

// job is one call of Parallel.
type job struct {
	number                 int64
	f                      func(i int)
	n                      int64
	next, finished, places atomic.Int64
	panicked               atomic.Pointer[any]
}

// work takes numbers until there are none.
func (j *job) work() {
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.one(int(i))
	}
}

func (j *job) one(i int) {
	defer j.finished.Add(1)
	defer func() {
		if p := recover(); p != nil {
			kept := p // p itself would lie on the heap whether or not there is a panic
			j.panicked.Store(&kept)
		}
	}()
	j.f(i)
}

// help works too, if the job wants another, and says whether it did.
func (j *job) help() bool {
	wanted := j.places.Add(-1) >= 0
	if wanted {
		j.work()
	}
	return wanted
}

// team is the goroutines that wait for jobs.
type team struct {
	current atomic.Pointer[job]
	size    atomic.Int64
	asleep  atomic.Int64
	wake    chan struct{}
}

var helpers = team{wake: make(chan struct{}, 1024)}

// call makes sure that there are n helpers awake.
func (t *team) call(n int) {
	for t.size.Load() < int64(n) {
		if k := t.size.Load(); t.size.CompareAndSwap(k, k+1) {
			go t.help()
		}
	}
	for range int64(n) - (t.size.Load() - t.asleep.Load()) {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// patience is how long a helper looks for work before it sleeps.
const patience = 200 * time.Microsecond

func (t *team) help() {
	var last int64
	for {
		for start := time.Now(); time.Since(start) < patience; {
			for range 200 {
				if j := t.current.Load(); j != nil && j.number != last {
					last = j.number
					if j.help() {
						start = time.Now()
					}
				}
			}
		}
		t.asleep.Add(1)
		if j := t.current.Load(); j == nil || j.number == last { // a call after this line sees that we sleep
			<-t.wake
		}
		t.asleep.Add(-1)
	}
}

// chunk is how many elements of a long vector one call of a kernel takes: assembly cannot be preempted, and the garbage
// collector waits for it.
const chunk = 1 << 13

// chunks calls f for the pieces of a vector of n elements, in parallel.
func chunks(n int, f func(from, to int)) {
	Parallel((n+chunk-1)/chunk, func(k int) { f(k*chunk, min(n, (k+1)*chunk)) })
}

// pool hands out what is used again: buffers by size class, and products.
type pool[T float] struct {
	classes  [64]sync.Pool
	products sync.Pool
}

func (p *pool[T]) get(n int) []T {
	class := bits.Len(uint(max(n, 1) - 1))
	if b, ok := p.classes[class].Get().(*[]T); ok {
		return (*b)[:n]
	}
	return make([]T, n, 1<<class)
}

func (p *pool[T]) put(b []T) { p.classes[bits.Len(uint(cap(b)-1))].Put(&b) }

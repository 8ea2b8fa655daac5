package laplace

import (
	"runtime/debug"
	"sync"
)

// tightPercent is how much garbage a fit lets lie, in percent of what is in use: the gradients of thousands of pairs are gigabytes that stay, and
// Go's usual 100 would double them.
const tightPercent = 25

var tight struct {
	mu    sync.Mutex
	fits  int
	usual int
}

// tighten keeps garbage small until the function that it returns is called. Fits may run side by side.
func tighten() (loosen func()) {
	tight.mu.Lock()
	defer tight.mu.Unlock()
	if tight.fits++; tight.fits == 1 {
		tight.usual = debug.SetGCPercent(tightPercent)
	}
	return func() {
		tight.mu.Lock()
		defer tight.mu.Unlock()
		if tight.fits--; tight.fits == 0 {
			debug.SetGCPercent(tight.usual)
		}
	}
}

package rt

import "runtime"

// goid is the number of the calling goroutine, read from the first line of its stack trace. Go offers no other way to
// tell goroutines apart, and a print must find the cell that started its goroutine.
func goid() uint64 {
	var buf [32]byte
	n := runtime.Stack(buf[:], false)
	var id uint64
	for _, c := range buf[len("goroutine "):n] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}

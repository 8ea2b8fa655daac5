package session

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestMemory: what a cell leaves behind is what it declares, not the syntax of what it ran.
func TestMemory(t *testing.T) {
	for _, tt := range []struct {
		code string
		most int64 // bytes a cell
	}{
		{"x%d := %d\nx%d + 1", 12 << 10},
		{"for i := range 3 { if i > %d { fmt.Println(i, %d, %d) } }", 8 << 10},
		{"func f%d(n int) int { return n + %d }\nf%d(2)", 24 << 10},
	} {
		s, n := New(), 0
		run := func(cells int) {
			for range cells {
				n++
				r, err := s.Prepare(n, fmt.Sprintf(tt.code, n, n, n))
				if err == nil {
					err = s.Run(context.Background(), r)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		heap := func() int64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		run(100)
		before := heap()
		for range 100 { // what other tests have interrupted may still be on its way out
			time.Sleep(50 * time.Millisecond)
			last := before
			if before = heap(); max(before-last, last-before) < 1<<10 {
				break
			}
		}
		run(300)
		if each := (heap() - before) / 300; each > tt.most {
			t.Errorf("%q: %d bytes a cell, want at most %d", tt.code, each, tt.most)
		}
		runtime.KeepAlive(s)
	}
}

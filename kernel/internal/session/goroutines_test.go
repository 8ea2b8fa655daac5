package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestGoroutines: cells that leave goroutines behind, are interrupted and declare things meanwhile. It is meant for -race; what the goroutines
// counted is right at the end.
func TestGoroutines(t *testing.T) {
	nb := newNotebook()
	must := func(code string) string {
		t.Helper()
		got, err := nb.run(code, 20*time.Second)
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, code)
		}
		return got
	}
	must("var mu sync.Mutex\nvar wg sync.WaitGroup\ncount := map[string]int{}\nvar sum atomic.Int64\nc := make(chan int, 4)\ntype job struct{ n int }\nfunc (j job) do() { mu.Lock(); count[\"job\"] += j.n; mu.Unlock(); sum.Add(int64(j.n)) }")
	rng := rand.New(rand.NewPCG(1, 2))
	total := 0
	for i := range 150 {
		n := 1 + rng.IntN(5)
		switch rng.IntN(6) {
		case 0:
			must(fmt.Sprintf("for i := range %d { wg.Add(1); go func() { defer wg.Done(); job{1}.do(); _ = fmt.Sprint(i) }() }", n))
			total += n
		case 1:
			must(fmt.Sprintf("wg.Add(2)\ngo func() { defer wg.Done(); for i := range %d { c <- i } }()\ngo func() { defer wg.Done(); for range %[1]d { <-c; job{1}.do() } }()", n))
			total += n
		case 2:
			must(fmt.Sprintf("wg.Add(1)\ngo func() { defer wg.Done(); defer func() { recover(); job{%d}.do() }(); panic(\"x\") }()", n))
			total += n
		case 3:
			must(fmt.Sprintf("x%d := %d\nfunc f%[1]d() int { mu.Lock(); defer mu.Unlock(); return count[\"job\"] + x%[1]d }\nf%[1]d() >= 0", i, n))
		case 4:
			must(fmt.Sprintf("wg.Add(1)\ngo func() { defer wg.Done(); time.Sleep(%d * time.Millisecond); job{1}.do(); fmt.Println(\"late\") }()", n))
			total++
		default:
			must("wg.Wait()") // an interrupt ends all goroutines
			if _, err := nb.run("go func() { for { _ = len(c) } }()\nfor {}", 5*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
	}
	if got, want := must("wg.Wait()\nmu.Lock()\nfmt.Sprint(count[\"job\"], sum.Load())"), fmt.Sprint(total, " ", total); got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
	// each goroutine of a loop runs its own function literal, also when the one before ends at that moment
	must("const n = 100000\nseen := make([]atomic.Int32, n)\nfor i := range n { wg.Go(func() { seen[i].Add(1) }); wg.Add(1); go func() { defer wg.Done(); seen[i].Add(1) }() }\nwg.Wait()")
	if got := must("wrong := 0\nfor i := range seen { if seen[i].Load() != 2 { wrong++ } }\nwrong"); got != "0" {
		t.Errorf("%s of 100,000 function literals did not run once each way", got)
	}
}

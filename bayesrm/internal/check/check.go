// Package check holds what the engine's tests share: tolerances, gradient checks and the folder of real inputs.
package check

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Float is a type of number that tests compare.
type Float interface{ ~float32 | ~float64 }

// Close fails the test if some got[i] differs from want[i] by more than abs + rel·|want[i]|.
func Close[F Float](t testing.TB, what string, got, want []F, abs, rel float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	worst, at := 0.0, -1
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if limit := abs + rel*math.Abs(float64(want[i])); !(d <= limit) && (at < 0 || d-limit > worst) {
			worst, at = d-limit, i
		}
	}
	if at >= 0 {
		t.Errorf("%s[%d] = %v, want %v (tolerance %g + %g·|want|)", what, at, got[at], want[at], abs, rel)
	}
}

// Norm fails the test if ‖got − want‖ exceeds rel·‖want‖.
func Norm(t testing.TB, what string, got, want []float32, rel float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	var d, n float64
	for i := range got {
		e := float64(got[i]) - float64(want[i])
		d += e * e
		n += float64(want[i]) * float64(want[i])
	}
	if !(math.Sqrt(d) <= rel*math.Sqrt(n)) {
		t.Errorf("%s: differs by %.3g of its norm, want at most %g", what, math.Sqrt(d/n), rel)
	}
}

// Grad returns the gradient of f at x by central differences of step h.
func Grad(f func() float64, x []float32, h float32) []float32 {
	g := make([]float32, len(x))
	for i, v := range x {
		x[i] = v + h
		up := f()
		x[i] = v - h
		down := f()
		x[i] = v
		g[i] = float32((up - down) / float64(2*h))
	}
	return g
}

// Data returns the path of a real input below the folder named by BAYESRM_DATA (default: shared, beside the repository),
// and skips the test where it is absent.
func Data(t testing.TB, path ...string) string {
	t.Helper()
	root := os.Getenv("BAYESRM_DATA")
	if root == "" {
		_, file, _, _ := runtime.Caller(0)
		root = filepath.Join(filepath.Dir(file), "..", "..", "..", "..", "shared")
	}
	p := filepath.Join(append([]string{root}, path...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no %s: set BAYESRM_DATA to the folder with golden/, data/ and models/", p)
	}
	return p
}

// Files are the names and contents of the files of a folder.
func Files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

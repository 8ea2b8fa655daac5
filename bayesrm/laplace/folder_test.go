package laplace

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/internal/sealed"

	"gonum.org/v1/gonum/mat"
)

// TestFolder: each kind of posterior is the same when it is loaded, and a changed file is refused.
func TestFolder(t *testing.T) {
	m := goldenModel(t, check.Data(t, "golden", "laplace_tiny"))
	seqs := [][]int{{5, 6, 7}, {5, 6, 8, 9}, {10, 11}, {12, 13, 14}}
	for _, o := range []Options{{Curvature: Exact}, {Curvature: Full}, {Curvature: EKFAC}, {Curvature: KronReduce}, {Curvature: Diag},
		{Weights: LastLayer()}, {Weights: Subnetwork([]int{7, 3, 100})}} {
		o.PriorPrecision = 0.3
		l, err := fit(t.Context(), m, seqs, &o)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := l.Save(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		got, err := Load(t.Context(), dir, m.Base)
		if err != nil {
			t.Fatal(err)
		}
		a, err := l.Covariance(t.Context(), seqs)
		if err != nil {
			t.Fatal(err)
		}
		b, err := got.Covariance(t.Context(), seqs)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != l.String() || !mat.Equal(a, b) {
			t.Errorf("loaded %v, saved %v", got, l)
		}
		name := filepath.Join(dir, folderName)
		saved, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, bytes.Replace(saved, []byte(`"pairs": `), []byte(`"pairs": 1`), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(t.Context(), dir, m.Base); !errors.Is(err, sealed.ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("a changed file: %v", err)
		}
		if err := sealed.WriteJSON(name, folderVersion, folder{Curvature: "diag", Weights: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(t.Context(), dir, m.Base); err == nil || !strings.Contains(err.Error(), "weights") {
			t.Errorf("a file of other weights: %v", err)
		}
		os.Remove(filepath.Join(dir, folderName))
		if _, err := Load(t.Context(), dir, m.Base); err == nil || !strings.Contains(err.Error(), "without a posterior") {
			t.Errorf("no posterior: %v", err)
		}
	}
}

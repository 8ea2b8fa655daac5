package sealed

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type record struct {
	Name   string
	Values []float64
}

var forms = []struct {
	name        string
	write, read func(path string, version int, v any) error
}{{"json", WriteJSON, ReadJSON}, {"gob", WriteGob, ReadGob}}

// TestDamage: what was written comes back; with any bit flipped or any end cut off it is an error that names the file, or the same record.
func TestDamage(t *testing.T) {
	in := record{"a", []float64{1, -2.5, 3e300}}
	for _, form := range forms {
		path := filepath.Join(t.TempDir(), "record."+form.name)
		var out record
		if err := form.read(path, 3, &out); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: no file: %v", form.name, err)
		}
		if err := form.write(path, 3, in); err != nil {
			t.Fatal(err)
		}
		if err := form.read(path, 3, &out); err != nil || !reflect.DeepEqual(in, out) {
			t.Fatalf("%s: read %v, error %v", form.name, out, err)
		}
		if err := form.read(path, 4, &out); err == nil || !strings.Contains(err.Error(), path+": version 3, want 4") {
			t.Errorf("%s: another version: %v", form.name, err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		try := func(b []byte, what string) {
			t.Helper()
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			var out record
			switch err := form.read(path, 3, &out); {
			case err == nil && !reflect.DeepEqual(in, out):
				t.Errorf("%s: %s: read as %v", form.name, what, out)
			case err != nil && !strings.Contains(err.Error(), path):
				t.Errorf("%s: %s: error %v does not name the file", form.name, what, err)
			case err == nil && form.name == "gob":
				t.Errorf("%s: %s was not noticed", form.name, what)
			}
		}
		for i := range whole {
			for bit := range 8 {
				b := append([]byte{}, whole...)
				b[i] ^= 1 << bit
				try(b, "a flipped bit")
			}
			try(whole[:i], "a short file")
		}
	}
}

// TestSweep: what killed writes leave goes, everything else stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"part-0.parquet", ".part-0.parquet-123", "manifest.json", ".manifest.json-4", ".other.json-5", ".manifest.json-x"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if want := []string{".manifest.json-x", ".other.json-5", "manifest.json", "part-0.parquet"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("left %q, want %q (%v)", names, want, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, form := range forms {
		path := filepath.Join(f.TempDir(), "record")
		if err := form.write(path, 1, record{"a", []float64{1}}); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, form := range forms {
			var out record
			if err := form.read(path, 1, &out); err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%s: error %v does not name the file", form.name, err)
			}
		}
	})
}

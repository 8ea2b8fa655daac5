package safetensors

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	in := map[string]Tensor{"w": {Shape: []int{2, 3}, Data: []float32{1, -2, 3.5, 0, float32(math.Inf(1)), 1e-40}}, "b": {Shape: []int{1}, Data: []float32{7}}}
	if err := Write(path, in, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	out, err := Read(path)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("read %v, error %v", out, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files in the folder, error %v", len(entries), err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(b[:len(b)-1]); !errors.Is(err, ErrFormat) {
		t.Errorf("a truncated file gives %v", err)
	}
}

// TestDamage: with any bit flipped a file that Write wrote gives an error, or the same tensors and metadata: where the name of the
// checksums is hit the file is as one of another program.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	in := map[string]Tensor{"w": {Shape: []int{2, 3}, Data: []float32{1, -2, 3.5, 0, 5, 1e-40}}, "b": {Shape: []int{1}, Data: []float32{7}}}
	metadata := map[string]string{"format": "pt", "step": "12"}
	if err := Write(path, in, metadata); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noticed := 0
	for i := range whole {
		for bit := range 8 {
			b := append([]byte{}, whole...)
			b[i] ^= 1 << bit
			f, err := newFile(bytes.NewReader(b), int64(len(b)))
			var out map[string]Tensor
			if err == nil {
				out, err = f.all()
			}
			switch {
			case err != nil:
				noticed++
				if !errors.Is(err, ErrFormat) {
					t.Errorf("byte %d, bit %d: %v", i, bit, err)
				}
			case !reflect.DeepEqual(in, out) || f.metadata["format"] != "pt" || f.metadata["step"] != "12":
				t.Errorf("byte %d, bit %d is not noticed: %v %v", i, bit, out, f.Metadata())
			}
		}
	}
	if data := 8 * 4 * 7; noticed < data {
		t.Errorf("%d damages noticed, those of the data alone are %d", noticed, data)
	}
}

func TestHalf(t *testing.T) {
	for h, want := range map[uint16]float32{0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 5.9604645e-8, 0x8000: float32(math.Copysign(0, -1)), 0x3555: 0.33325195} {
		if got := fromHalf(h); got != want {
			t.Errorf("%#04x = %v, want %v", h, got, want)
		}
	}
	if v := fromHalf(0x7e00); v == v {
		t.Error("NaN is a number")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\x40\x00\x00\x00\x00\x00\x00\x00{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}         \x00\x00\x80\x3f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Decode(b); err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("error does not wrap ErrFormat: %v", err)
		}
	})
}

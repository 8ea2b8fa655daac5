// Package safetensors reads and writes .safetensors files: named tensors, float32 in memory.
package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	st "github.com/nlpodyssey/safetensors"
)

// ErrFormat is the error of a file that is no safetensors file or holds what cannot be read.
var ErrFormat = errors.New("not a safetensors file that can be read")

// Tensor is a tensor in row-major order.
type Tensor struct {
	Shape []int
	Data  []float32
}

// Read returns the tensors of a file by name, converted to float32 from F32, F16, BF16 or F64.
func Read(path string) (map[string]Tensor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	ts, err := Decode(b)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	return ts, nil
}

// Decode reads the content of a file. Its errors wrap ErrFormat.
func Decode(b []byte) (map[string]Tensor, error) {
	ts, _, err := DecodeAll(b)
	return ts, err
}

// DecodeAll reads the content of a file and its metadata. Its errors wrap ErrFormat.
func DecodeAll(b []byte) (tensors map[string]Tensor, metadata map[string]string, err error) {
	f, err := st.Deserialize(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	out := map[string]Tensor{}
	for _, nt := range f.Tensors() {
		t, err := convert(nt.TensorView)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", nt.Name, err)
		}
		out[nt.Name] = t
	}
	_, header, err := st.ReadMetadata(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return out, header.Metadata(), nil
}

func convert(v st.TensorView) (Tensor, error) {
	t := Tensor{}
	n := 1
	for _, d := range v.Shape() {
		t.Shape = append(t.Shape, int(d))
		n *= int(d)
	}
	raw := v.Data()
	size := int(v.DType().Size())
	if len(raw) != n*size {
		return t, fmt.Errorf("%w: %d bytes for %d elements of %s", ErrFormat, len(raw), n, v.DType())
	}
	t.Data = make([]float32, n)
	le := binary.LittleEndian
	for i := range t.Data {
		e := raw[i*size : (i+1)*size]
		switch v.DType() {
		case st.F32:
			t.Data[i] = math.Float32frombits(le.Uint32(e))
		case st.F64:
			t.Data[i] = float32(math.Float64frombits(le.Uint64(e)))
		case st.BF16:
			t.Data[i] = math.Float32frombits(uint32(le.Uint16(e)) << 16)
		case st.F16:
			t.Data[i] = fromHalf(le.Uint16(e))
		case st.I64:
			t.Data[i] = float32(int64(le.Uint64(e)))
		default:
			return t, fmt.Errorf("%w: data type %s; F32, F16, BF16 and F64 are read", ErrFormat, v.DType())
		}
	}
	return t, nil
}

func fromHalf(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp, frac := uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0:
		f := float32(frac) / (1 << 24)
		if sign != 0 {
			f = -f
		}
		return f
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// Write writes float32 tensors to a file, by way of a temporary file beside it.
func Write(path string, tensors map[string]Tensor, metadata map[string]string) error {
	views := map[string]st.TensorView{}
	for name, t := range tensors {
		shape := make([]uint64, len(t.Shape))
		for i, d := range t.Shape {
			shape[i] = uint64(d)
		}
		raw := make([]byte, 4*len(t.Data))
		for i, f := range t.Data {
			binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(f))
		}
		v, err := st.NewTensorView(st.F32, shape, raw)
		if err != nil {
			return fmt.Errorf("safetensors: write %s: tensor %s: %w", path, name, err)
		}
		views[name] = v
	}
	b, err := st.Serialize(views, metadata)
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	return WriteFile(path, b)
}

// WriteFile writes a file by way of a temporary file beside it, synced and renamed: a reader sees the old content or the
// new, never a part.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	return nil
}

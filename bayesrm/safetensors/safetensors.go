// Package safetensors reads and writes .safetensors files: named tensors, float32 in memory.
package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	st "github.com/nlpodyssey/safetensors"
)

// ErrFormat is the error of a file that is no safetensors file or holds what cannot be read.
var ErrFormat = errors.New("not a safetensors file that can be read")

// Tensor is a tensor in row-major order.
type Tensor struct {
	Shape []int
	Data  []float32
}

// File is an open file, whose tensors are read one at a time.
type File struct {
	r        io.ReaderAt
	close    io.Closer
	data     int64 // where the tensors' bytes begin
	infos    map[string]*st.TensorInfo
	metadata map[string]string
	sums     map[string]string // nil in a file of another program
}

// sumsKey is the metadata in which Write leaves checksums: JSON, by name of the tensor, "" for the other metadata.
const sumsKey = "crc32c"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// tensorSum is the checksum of a tensor's type, shape and bytes.
func tensorSum(dtype st.DType, shape []uint64, raw []byte) string {
	head := fmt.Appendf(nil, "%s %v ", dtype, shape)
	return fmt.Sprintf("%08x", crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, raw))
}

// metadataSum is the checksum of the metadata without the checksums.
func metadataSum(metadata map[string]string) string {
	h := crc32.New(castagnoli)
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		if k != sumsKey {
			fmt.Fprintf(h, "%q %q ", k, metadata[k])
		}
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

// checkMetadata reads the checksums of a file that has them.
func (f *File) checkMetadata() error {
	said, ok := f.metadata[sumsKey]
	if !ok {
		return nil
	}
	if err := json.Unmarshal([]byte(said), &f.sums); err != nil {
		return fmt.Errorf("%w: checksums: %w", ErrFormat, err)
	}
	if sum := metadataSum(f.metadata); sum != f.sums[""] {
		return fmt.Errorf("%w: the metadata have the checksum %s, the file says %q: it is damaged", ErrFormat, sum, f.sums[""])
	}
	delete(f.metadata, sumsKey)
	return nil
}

// maxHeader bounds the header of a file.
const maxHeader = 100 << 20

// Open reads the header of a file. Errors about its content wrap ErrFormat.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	var file *File
	if err == nil {
		file, err = newFile(f, size)
	}
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, errors.Join(err, f.Close()))
	}
	file.close = f
	return file, nil
}

func newFile(r io.ReaderAt, size int64) (*File, error) {
	var b [8]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("%w: the header's length is missing: %w", ErrFormat, err)
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("%w: a header of %d bytes in a file of %d", ErrFormat, n, size)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	var m st.Metadata
	if err := json.Unmarshal(header, &m); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	f := &File{r: r, data: 8 + int64(n), infos: m.Tensors(), metadata: m.Metadata()}
	if err := f.checkMetadata(); err != nil {
		return nil, err
	}
	infos := slices.Collect(maps.Values(f.infos))
	slices.SortFunc(infos, func(a, b *st.TensorInfo) int { return cmp.Compare(a.DataOffsets[0], b.DataOffsets[0]) })
	at := uint64(0)
	for _, t := range infos { // one after the other, without holes
		if t.DataOffsets[0] != at || t.DataOffsets[1] < at {
			return nil, fmt.Errorf("%w: a tensor lies at bytes %v, want it to begin at %d", ErrFormat, t.DataOffsets, at)
		}
		at = t.DataOffsets[1]
	}
	if at != uint64(size-f.data) {
		return nil, fmt.Errorf("%w: the tensors end at byte %d, the file has %d", ErrFormat, at, size-f.data)
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.close.Close() }

// Names lists the tensors.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.infos)) }

// Metadata is the text that the file carries.
func (f *File) Metadata() map[string]string { return f.metadata }

// Tensor reads one tensor, converted to float32 from F32, F16, BF16, F64 or I64; ok is false if there is none of that name.
func (f *File) Tensor(name string) (t Tensor, ok bool, err error) {
	info := f.infos[name]
	if info == nil {
		return Tensor{}, false, nil
	}
	raw := make([]byte, info.DataOffsets[1]-info.DataOffsets[0])
	if _, err := io.ReadFull(io.NewSectionReader(f.r, f.data+int64(info.DataOffsets[0]), int64(len(raw))), raw); err != nil {
		return Tensor{}, true, fmt.Errorf("tensor %s: %w", name, err)
	}
	if sum := tensorSum(info.DType, info.Shape, raw); f.sums != nil && sum != f.sums[name] {
		return Tensor{}, true, fmt.Errorf("tensor %s: %w: it has the checksum %s, the file says %q: it is damaged", name, ErrFormat, sum, f.sums[name])
	}
	if t, err = convert(info, raw); err != nil {
		return Tensor{}, true, fmt.Errorf("tensor %s: %w", name, err)
	}
	return t, true, nil
}

func (f *File) all() (map[string]Tensor, error) {
	out := map[string]Tensor{}
	for name := range f.infos {
		t, _, err := f.Tensor(name)
		if err != nil {
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}

// Read returns the tensors of a file by name, converted to float32.
func Read(path string) (map[string]Tensor, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	ts, err := f.all()
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	return ts, nil
}

// Decode reads the content of a file. Its errors wrap ErrFormat.
func Decode(b []byte) (map[string]Tensor, error) {
	f, err := newFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	return f.all()
}

func convert(v *st.TensorInfo, raw []byte) (Tensor, error) {
	t := Tensor{}
	n, size := uint64(1), uint64(v.DType.Size())
	for _, d := range v.Shape {
		if d != 0 && n > uint64(len(raw))/d {
			n = math.MaxUint64 / 16
			break
		}
		t.Shape = append(t.Shape, int(d))
		n *= d
	}
	if uint64(len(raw)) != n*size {
		return t, fmt.Errorf("%w: %d bytes for the shape %v of %s", ErrFormat, len(raw), v.Shape, v.DType)
	}
	t.Data = make([]float32, n)
	le := binary.LittleEndian
	for i := range t.Data {
		e := raw[i*int(size) : (i+1)*int(size)]
		switch v.DType {
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
			return t, fmt.Errorf("%w: data type %s; F32, F16, BF16, F64 and I64 are read", ErrFormat, v.DType)
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

// Write writes float32 tensors to a file, by way of a temporary file beside it, with checksums among the metadata: a damaged file is an
// error when it is read.
func Write(path string, tensors map[string]Tensor, metadata map[string]string) error {
	views := map[string]st.TensorView{}
	sums := map[string]string{"": metadataSum(metadata)}
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
		views[name], sums[name] = v, tensorSum(st.F32, shape, raw)
	}
	b, err := json.Marshal(sums)
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[sumsKey] = string(b)
	b, err = st.Serialize(views, metadata)
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	return WriteFile(path, b)
}

// WriteFile writes a file by way of a temporary file beside it, synced and renamed: a reader sees the old content or the
// new, never a part.
func WriteFile(path string, data []byte) error {
	return WriteWith(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteWith is WriteFile for what write spells.
func WriteWith(path string, write func(w io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	w := bufio.NewWriter(f)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
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

package llm

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/nlpodyssey/gopickle/pytorch"
	"github.com/nlpodyssey/gopickle/types"

	"gobayes/bayesrm/safetensors"
)

// shard is a file of weights.
type shard interface {
	Tensor(name string) (t safetensors.Tensor, ok bool, err error)
	Names() []string
	Close() error
}

// weights are all shards of a folder.
type weights []shard

// Names of the files of weights: safetensors, and PyTorch's own, which are used where there are no others.
const (
	safeFiles  = "model*.safetensors"
	torchFiles = "pytorch_model*.bin"
)

// weightFiles lists the files of weights in a folder.
func weightFiles(dir string) (files []string, torch bool) {
	files, _ = filepath.Glob(filepath.Join(dir, safeFiles)) // a wrong pattern is the only error
	if len(files) > 0 {
		return files, false
	}
	files, _ = filepath.Glob(filepath.Join(dir, torchFiles))
	return files, true
}

// openWeights opens the weights of a folder; PyTorch's own files are read whole.
func openWeights(dir string) (w weights, err error) {
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	files, torch := weightFiles(dir)
	open := func(path string) (shard, error) { return safetensors.Open(path) }
	if torch {
		open = func(path string) (shard, error) { return readPickle(path) }
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no model.safetensors and no pytorch_model.bin in the folder", dir)
	}
	for _, f := range files {
		s, err := open(f)
		if err != nil {
			return w, err
		}
		w = append(w, s)
	}
	return w, nil
}

func (w weights) close() {
	for _, s := range w {
		_ = s.Close() // only read
	}
}

// Tensor returns the tensor of that name from the shard that has it.
func (w weights) Tensor(name string) (t safetensors.Tensor, ok bool, err error) {
	for _, s := range w {
		if t, ok, err = s.Tensor(name); ok || err != nil {
			break
		}
	}
	return t, ok, err
}

// Names lists the tensors of all shards.
func (w weights) Names() (names []string) {
	for _, s := range w {
		names = append(names, s.Names()...)
	}
	slices.Sort(names)
	return names
}

// pickled is a file that torch.save wrote: tensors by name. No code of the file is run.
type pickled map[string]*pytorch.Tensor

func readPickle(path string) (p pickled, err error) {
	defer func() {
		if r := recover(); r != nil { // the library's way with what it does not expect
			err = fmt.Errorf("%s: not a PyTorch file that can be read: %v", path, r)
		}
	}()
	v, err := pytorch.Load(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p = pickled{}
	add := func(k, v any) {
		name, named := k.(string)
		if t, ok := v.(*pytorch.Tensor); ok && named {
			p[name] = t
		}
	}
	switch d := v.(type) {
	case *types.OrderedDict:
		for e := d.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			add(entry.Key, entry.Value)
		}
	case *types.Dict:
		for _, e := range *d {
			add(e.Key, e.Value)
		}
	default:
		return nil, fmt.Errorf("%s: it holds a %T, want tensors by name", path, v)
	}
	return p, nil
}

// Names lists the tensors.
func (p pickled) Names() (names []string) {
	for n := range p {
		names = append(names, n)
	}
	return names
}

// Close does nothing: all is in memory.
func (p pickled) Close() error { return nil }

// Tensor converts one tensor to float32.
func (p pickled) Tensor(name string) (t safetensors.Tensor, ok bool, err error) {
	v, ok := p[name]
	if !ok {
		return t, false, nil
	}
	var data []float32
	switch s := v.Source.(type) {
	case *pytorch.FloatStorage:
		data = s.Data
	case *pytorch.HalfStorage:
		data = s.Data
	case *pytorch.BFloat16Storage:
		data = s.Data
	case *pytorch.DoubleStorage:
		for _, x := range s.Data {
			data = append(data, float32(x))
		}
	default:
		return t, true, fmt.Errorf("tensor %s: %T: float32, float16, bfloat16 and float64 are read", name, v.Source)
	}
	n := 1
	for i, d := range slices.Backward(v.Size) {
		if d < 0 || d > 1 && v.Stride[i] != n {
			return t, true, fmt.Errorf("tensor %s of shape %v has strides %v: only row-major tensors are read", name, v.Size, v.Stride)
		}
		n *= d
	}
	if from := v.StorageOffset; from < 0 || n < 0 || from > len(data)-n {
		return t, true, errors.New("tensor " + name + ": its storage is shorter than its shape")
	}
	return safetensors.Tensor{Shape: v.Size, Data: slices.Clone(data[v.StorageOffset : v.StorageOffset+n])}, true, nil
}

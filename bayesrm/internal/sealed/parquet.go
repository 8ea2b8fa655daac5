package sealed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gobayes/bayesrm/safetensors"

	"github.com/parquet-go/parquet-go"
)

// nameKey is the metadata that says what a Parquet file of ours is.
const nameKey = "bayesrm"

// WriteParquet writes rows to a file whose metadata name it. Parquet has checksums of its own.
func WriteParquet[T any](path, name string, rows []T) error {
	var b bytes.Buffer
	if err := parquet.Write(&b, rows, parquet.KeyValueMetadata(nameKey, name)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return safetensors.WriteFile(path, b.Bytes())
}

// Sweep removes what killed writes have left in a folder, once all files are there: a write that still goes on, of one that is there
// already, fails.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		temporary, hidden := strings.CutPrefix(entry.Name(), ".") // safetensors.WriteWith's names: .NAME-DIGITS
		at := strings.LastIndexByte(temporary, '-')
		if !hidden || at < 0 || strings.Trim(temporary[at+1:], "0123456789") != "" {
			continue
		}
		if _, e := os.Stat(filepath.Join(dir, temporary[:at])); e != nil {
			continue
		}
		if e := os.Remove(filepath.Join(dir, entry.Name())); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// HasParquet says whether a file is there. It is an error if it is broken, or if it is named otherwise: it is then of other work.
func HasParquet(path, name string) (bool, error) {
	f, err := openParquet(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.close()
	if found, _ := f.Lookup(nameKey); found != name {
		return false, fmt.Errorf("%s is %q, want %q; remove it to make it again", path, found, name)
	}
	return true, nil
}

// Rows calls f with each row of a Parquet file, from 1. Errors name the file and the row.
func Rows[T any](path string, f func(n int, r T) error) error {
	file, err := openParquet(path)
	if err != nil {
		return err
	}
	defer file.close()
	var r *parquet.GenericReader[T]
	if err := guard(path, func() error {
		if err := fits[T](file.Schema()); err != nil {
			return err
		}
		r = parquet.NewGenericReader[T](file)
		return nil
	}); err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	buf := make([]T, 256)
	for n := 0; ; {
		k := 0
		err := guard(path, func() (err error) {
			k, err = r.Read(buf)
			return err
		})
		for _, row := range buf[:k] {
			n++
			if e := f(n, row); e != nil {
				return fmt.Errorf("%s: row %d: %w", path, n, e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", n+1, err)
		}
		clear(buf)
	}
}

// fits says which column of T a file lacks or has with another type.
func fits[T any](found *parquet.Schema) error {
	want := parquet.SchemaOf(new(T))
	for _, c := range want.Columns() {
		leaf, ok := found.Lookup(c...)
		if wanted, _ := want.Lookup(c...); !ok && !wanted.Node.Optional() {
			return fmt.Errorf("columns found: %v; %s is missing", found.Columns(), strings.Join(c, "."))
		} else if ok && leaf.Node.Type().Kind() != wanted.Node.Type().Kind() {
			return fmt.Errorf("column %s is %v, want %v", strings.Join(c, "."), leaf.Node.Type(), wanted.Node.Type())
		}
	}
	return nil
}

type parquetFile struct {
	*parquet.File
	file *os.File
}

func (f *parquetFile) close() { _ = f.file.Close() } // only read

func openParquet(path string) (*parquetFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil {
		p := &parquetFile{file: f}
		if err = guard(path, func() (err error) {
			if err := footer(f, st.Size()); err != nil {
				return err
			}
			p.File, err = parquet.OpenFile(f, st.Size())
			return err
		}); err == nil {
			return p, nil
		}
	}
	return nil, errors.Join(err, f.Close())
}

// footer checks the length of the metadata at the end of a file: the library takes as much memory as it says.
func footer(f io.ReaderAt, size int64) error {
	const magic = "PAR1"
	var b [8]byte
	if size < int64(len(magic)+len(b)) {
		return fmt.Errorf("%d bytes: %w", size, ErrDamaged)
	}
	if _, err := f.ReadAt(b[:], size-int64(len(b))); err != nil {
		return err
	}
	if n := binary.LittleEndian.Uint32(b[:4]); string(b[4:]) != magic || int64(n) > size-int64(len(magic)+len(b)) {
		return fmt.Errorf("no Parquet file: it ends with %q and metadata of %d bytes of %d: %w", b[4:], n, size, ErrDamaged)
	}
	return nil
}

// guard names the file in what f returns, and makes an error of a panic: the library's decoders index as a broken file says.
func guard(path string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v: %w", path, p, ErrDamaged)
		}
	}()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

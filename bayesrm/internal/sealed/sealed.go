// Package sealed keeps records in files that know when they are damaged or of another version: JSON for people, gob for
// programs. They are written as safetensors.WriteFile writes.
package sealed

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"

	"gobayes/bayesrm/safetensors"
)

// ErrDamaged is the error of a file whose content is not what was written.
var ErrDamaged = errors.New("the file is damaged: restore it, or remove it and make it again")

// ErrVersion is the error of a file of another version.
var ErrVersion = errors.New("it is of another bayesrm; make it again")

func newSum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// document is a JSON file.
type document struct {
	Version int             `json:"version"`
	Sum     string          `json:"crc32c"` // of the content without white space
	Content json.RawMessage `json:"content"`
}

func sumJSON(content []byte) (string, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, content); err != nil {
		return "", err
	}
	h := newSum()
	h.Write(b.Bytes())
	return fmt.Sprintf("%08x", h.Sum32()), nil
}

// WriteJSON writes v.
func WriteJSON(path string, version int, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sum, err := sumJSON(content)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	b, err := json.MarshalIndent(document{version, sum, content}, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return safetensors.WriteFile(path, append(b, '\n'))
}

// ReadJSON reads what WriteJSON wrote with the same version into v, a pointer. Errors name the file; that of one that does not exist wraps
// os.ErrNotExist.
func ReadJSON(path string, version int, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("%s: %w: %w", path, err, ErrDamaged)
	}
	if err := sameVersion(path, d.Version, version); err != nil {
		return err
	}
	sum, err := sumJSON(d.Content)
	if err != nil {
		return fmt.Errorf("%s: its content: %w: %w", path, err, ErrDamaged)
	}
	if sum != d.Sum {
		return fmt.Errorf("%s: its content has the checksum %s, it says %q: %w", path, sum, d.Sum, ErrDamaged)
	}
	if err := json.Unmarshal(d.Content, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func sameVersion(path string, found, want int) error {
	if found != want {
		return fmt.Errorf("%s: version %d, want %d: %w", path, found, want, ErrVersion)
	}
	return nil
}

// magic begins a gob file; the version and the gob follow, and the checksum of all before it.
const magic = "bayesrm\n"

// WriteGob writes v.
func WriteGob(path string, version int, v any) error {
	return safetensors.WriteWith(path, func(w io.Writer) error {
		sum := newSum()
		to := io.MultiWriter(w, sum)
		if _, err := to.Write(binary.LittleEndian.AppendUint32([]byte(magic), uint32(version))); err != nil {
			return err
		}
		if err := gob.NewEncoder(to).Encode(v); err != nil {
			return err
		}
		_, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
		return err
	})
}

// ReadGob reads what WriteGob wrote with the same version into v, a pointer, as ReadJSON does.
func ReadGob(path string, version int, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	st, err := f.Stat()
	if err != nil {
		return err
	}
	const head, tail = int64(len(magic)) + 4, 4
	if st.Size() < head+tail {
		return fmt.Errorf("%s: %d bytes: %w", path, st.Size(), ErrDamaged)
	}
	sum := newSum()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, st.Size()-tail)); err != nil { // first: nothing broken is decoded
		return fmt.Errorf("%s: %w", path, err)
	}
	var first [head]byte
	var last [tail]byte
	if _, err := f.ReadAt(first[:], 0); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := f.ReadAt(last[:], st.Size()-tail); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if said := binary.LittleEndian.Uint32(last[:]); string(first[:len(magic)]) != magic || said != sum.Sum32() {
		return fmt.Errorf("%s: its content has the checksum %08x, it says %08x: %w", path, sum.Sum32(), said, ErrDamaged)
	}
	if err := sameVersion(path, int(binary.LittleEndian.Uint32(first[len(magic):])), version); err != nil {
		return err
	}
	if err := gob.NewDecoder(bufio.NewReader(io.NewSectionReader(f, head, st.Size()-head-tail))).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

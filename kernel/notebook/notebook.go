// Package notebook reads, writes and checks notebooks in Jupyter's format 4.5, and renders them as one HTML page.
package notebook

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Notebook is a notebook.
type Notebook struct {
	Cells         []Cell         `json:"cells"`
	Metadata      map[string]any `json:"metadata"`
	NBFormat      int            `json:"nbformat"`
	NBFormatMinor int            `json:"nbformat_minor"`
}

// Cell is a cell. Outputs and ExecutionCount are of code cells only.
type Cell struct {
	ID             string
	Type           string // code, markdown or raw
	Source         string
	Metadata       map[string]any
	Outputs        []Output
	ExecutionCount int // 0: not executed
}

// Output is an output of a code cell.
type Output struct {
	Type           string         // stream, display_data, execute_result or error
	Name           string         // of a stream: stdout or stderr
	Text           string         // of a stream
	Data           map[string]any // by MIME type: strings, or JSON values for JSON types
	Metadata       map[string]any
	ExecutionCount int
	EName, EValue  string
	Traceback      []string
	DisplayID      string // not stored
}

// multiline is a text that may be stored as a list of lines.
type multiline string

func (m *multiline) UnmarshalJSON(b []byte) error {
	var lines []string
	if json.Unmarshal(b, &lines) == nil {
		*m = multiline(strings.Join(lines, ""))
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*m = multiline(s)
	return nil
}

func (m multiline) MarshalJSON() ([]byte, error) {
	lines := []string{}
	for s := string(m); s != ""; {
		i := strings.IndexByte(s, '\n') + 1
		if i == 0 {
			i = len(s)
		}
		lines = append(lines, s[:i])
		s = s[i:]
	}
	return json.Marshal(lines)
}

type storedCell struct {
	ID             string           `json:"id,omitempty"`
	Type           string           `json:"cell_type"`
	Source         multiline        `json:"source"`
	Metadata       map[string]any   `json:"metadata"`
	Outputs        *[]Output        `json:"outputs,omitempty"`
	ExecutionCount *json.RawMessage `json:"execution_count,omitempty"`
	Attachments    json.RawMessage  `json:"attachments,omitempty"`
}

// UnmarshalJSON reads a cell of the format.
func (c *Cell) UnmarshalJSON(b []byte) error {
	var s storedCell
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*c = Cell{ID: s.ID, Type: s.Type, Source: string(s.Source), Metadata: s.Metadata}
	if s.Outputs != nil {
		c.Outputs = *s.Outputs
	}
	if s.ExecutionCount != nil {
		_ = json.Unmarshal(*s.ExecutionCount, &c.ExecutionCount) // null stays 0
	}
	return nil
}

// MarshalJSON writes a cell in the format.
func (c Cell) MarshalJSON() ([]byte, error) {
	s := storedCell{ID: c.ID, Type: c.Type, Source: multiline(c.Source), Metadata: c.Metadata}
	if s.Metadata == nil {
		s.Metadata = map[string]any{}
	}
	if c.Type == "code" {
		outs := append([]Output{}, c.Outputs...)
		s.Outputs = &outs
		n := json.RawMessage("null")
		if c.ExecutionCount > 0 {
			n = json.RawMessage(fmt.Sprint(c.ExecutionCount))
		}
		s.ExecutionCount = &n
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads an output of the format.
func (o *Output) UnmarshalJSON(b []byte) error {
	var s struct {
		Type           string                     `json:"output_type"`
		Name           string                     `json:"name"`
		Text           multiline                  `json:"text"`
		Data           map[string]json.RawMessage `json:"data"`
		Metadata       map[string]any             `json:"metadata"`
		ExecutionCount int                        `json:"execution_count"`
		EName          string                     `json:"ename"`
		EValue         string                     `json:"evalue"`
		Traceback      []string                   `json:"traceback"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*o = Output{Type: s.Type, Name: s.Name, Text: string(s.Text), Metadata: s.Metadata, ExecutionCount: s.ExecutionCount, EName: s.EName, EValue: s.EValue, Traceback: s.Traceback}
	if s.Data != nil {
		o.Data = map[string]any{}
	}
	for typ, raw := range s.Data {
		if isJSON(typ) {
			o.Data[typ] = raw
			continue
		}
		var m multiline
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("%s: %w", typ, err)
		}
		o.Data[typ] = string(m)
	}
	return nil
}

func isJSON(mime string) bool {
	return mime == "application/json" || strings.HasSuffix(mime, "+json")
}

// MarshalJSON writes an output in the format.
func (o Output) MarshalJSON() ([]byte, error) {
	m := map[string]any{"output_type": o.Type}
	switch o.Type {
	case "stream":
		m["name"], m["text"] = o.Name, multiline(o.Text)
	case "error":
		tb := o.Traceback
		if tb == nil {
			tb = []string{}
		}
		m["ename"], m["evalue"], m["traceback"] = o.EName, o.EValue, tb
	default:
		data := map[string]any{}
		for typ, v := range o.Data {
			if s, ok := v.(string); ok && !isJSON(typ) && !strings.HasPrefix(typ, "image/png") {
				v = multiline(s)
			}
			data[typ] = v
		}
		meta := o.Metadata
		if meta == nil {
			meta = map[string]any{}
		}
		m["data"], m["metadata"] = data, meta
		if o.Type == "execute_result" {
			m["execution_count"] = o.ExecutionCount
		}
	}
	return json.Marshal(m)
}

// HasTag reports whether a cell carries a tag.
func (c *Cell) HasTag(tag string) bool {
	tags, _ := c.Metadata["tags"].([]any)
	return slices.Contains(tags, any(tag))
}

// ErrFormat is the error of a file that is no notebook of format 4.
var ErrFormat = errors.New("not a notebook of format 4")

// Read reads a notebook. Cells of older minor versions get ids.
func Read(path string) (*Notebook, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("notebook: %w", err)
	}
	var n Notebook
	if err := json.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("notebook: %s: %w: %w", path, ErrFormat, err)
	}
	if n.NBFormat != 4 {
		return nil, fmt.Errorf("notebook: %s: %w: nbformat is %d", path, ErrFormat, n.NBFormat)
	}
	n.NBFormatMinor = 5
	for i := range n.Cells {
		if n.Cells[i].ID == "" {
			n.Cells[i].ID = NewID()
		}
	}
	if err := n.Validate(); err != nil {
		return nil, fmt.Errorf("notebook: %s: %w", path, err)
	}
	return &n, nil
}

// NewID returns a random cell id.
func NewID() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Write writes a notebook by way of a temporary file.
func (n *Notebook) Write(path string) error {
	if err := n.Validate(); err != nil {
		return fmt.Errorf("notebook: write %s: %w", path, err)
	}
	b, err := json.MarshalIndent(n, "", " ")
	if err != nil {
		return fmt.Errorf("notebook: write %s: %w", path, err)
	}
	return WriteFile(path, append(b, '\n'))
}

// WriteFile writes a file under a temporary name, syncs it and renames it.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("notebook: write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = errors.Join(os.Chmod(f.Name(), 0o644), os.Rename(f.Name(), path))
	}
	if err != nil {
		return fmt.Errorf("notebook: write %s: %w", path, err)
	}
	return nil
}

var validID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// Validate checks what the schema of format 4.5 asks of cells and outputs.
func (n *Notebook) Validate() error {
	if n.NBFormat != 4 {
		return fmt.Errorf("%w: nbformat is %d", ErrFormat, n.NBFormat)
	}
	seen := map[string]bool{}
	for i, c := range n.Cells {
		switch {
		case c.Type != "code" && c.Type != "markdown" && c.Type != "raw":
			return fmt.Errorf("%w: cell %d has type %q", ErrFormat, i, c.Type)
		case !validID.MatchString(c.ID):
			return fmt.Errorf("%w: cell %d has id %q", ErrFormat, i, c.ID)
		case seen[c.ID]:
			return fmt.Errorf("%w: two cells have id %q", ErrFormat, c.ID)
		}
		seen[c.ID] = true
		for _, o := range c.Outputs {
			switch o.Type {
			case "stream":
				if o.Name != "stdout" && o.Name != "stderr" {
					return fmt.Errorf("%w: cell %d has a stream %q", ErrFormat, i, o.Name)
				}
			case "display_data", "execute_result", "error":
			default:
				return fmt.Errorf("%w: cell %d has an output of type %q", ErrFormat, i, o.Type)
			}
		}
	}
	return nil
}

// Parametrise puts a cell with the assignments after the cell tagged "parameters", in place of one that is there already.
// params are "name=value"; a value that is no Go literal is taken as text.
func (n *Notebook) Parametrise(params []string) error {
	if len(params) == 0 {
		return nil
	}
	var src []string
	for _, p := range params {
		name, value, ok := strings.Cut(p, "=")
		if !ok || !validName.MatchString(name) {
			return fmt.Errorf("notebook: parameter %q: want name=value", p)
		}
		if !literal.MatchString(value) {
			b, err := json.Marshal(value)
			if err != nil {
				return fmt.Errorf("notebook: parameter %q: %w", p, err)
			}
			value = string(b)
		}
		src = append(src, name+" = "+value)
	}
	cell := Cell{ID: NewID(), Type: "code", Source: strings.Join(src, "\n"), Metadata: map[string]any{"tags": []any{"injected-parameters"}}}
	for i := range n.Cells {
		if n.Cells[i].HasTag("injected-parameters") {
			n.Cells[i].Source = cell.Source
			return nil
		}
	}
	for i := range n.Cells {
		if n.Cells[i].HasTag("parameters") {
			n.Cells = slices.Insert(n.Cells, i+1, cell)
			return nil
		}
	}
	return fmt.Errorf("notebook: no cell is tagged \"parameters\": %d parameters have no place", len(params))
}

var (
	validName = regexp.MustCompile(`^[\pL_][\pL\pN_]*$`)
	literal   = regexp.MustCompile("^(-?[0-9][0-9a-zA-Z_.+-]*|true|false|\".*\"|`.*`)$")
)

package notebook

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const old = `{"nbformat":4,"nbformat_minor":2,"metadata":{},"cells":[
{"cell_type":"markdown","metadata":{},"source":["# T\n","text"]},
{"cell_type":"code","metadata":{"tags":["parameters"]},"source":"n := 1","execution_count":3,"outputs":[
 {"output_type":"stream","name":"stdout","text":["a\n","b\n"]},
 {"output_type":"execute_result","execution_count":3,"metadata":{},"data":{"text/plain":["x"],"application/json":{"k":[1]},"text/html":"<b>x</b>"}},
 {"output_type":"error","ename":"E","evalue":"v","traceback":["\u001b[31mE\u001b[0m"]}]}]}`

func read(t *testing.T, text string) (*Notebook, error) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "n.ipynb")
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Read(p)
}

func TestReadWrite(t *testing.T) {
	n, err := read(t, old)
	if err != nil {
		t.Fatal(err)
	}
	c := n.Cells[1]
	if n.NBFormatMinor != 5 || c.ID == "" || c.ExecutionCount != 3 || c.Outputs[0].Text != "a\nb\n" || c.Outputs[1].Data["text/plain"] != "x" {
		t.Errorf("%+v", n)
	}
	p := filepath.Join(t.TempDir(), "o.ipynb")
	if err := n.Write(p); err != nil {
		t.Fatal(err)
	}
	m, err := Read(p)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "p.ipynb")
	if err := m.Write(again); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(p)
	b, _ := os.ReadFile(again)
	if string(a) != string(b) || !strings.Contains(string(a), "\"k\": [") {
		t.Error("writing what was read gives other bytes")
	}
	page, err := n.HTML("T <1>")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<title>T &lt;1&gt;</title>", "<h1>T</h1>", "n := 1", "a\nb", "<b>x</b>", "<pre>E</pre>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestBadNotebooks(t *testing.T) {
	for _, text := range []string{"", "{}", `{"nbformat":3}`, `{"nbformat":4,"cells":[{"cell_type":"poem","source":""}]}`, `{"nbformat":4,"cells":[{"id":"a","cell_type":"raw","source":""},{"id":"a","cell_type":"raw","source":""}]}`} {
		if _, err := read(t, text); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestParametrise(t *testing.T) {
	n, err := read(t, old)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time replaces the first
		if err := n.Parametrise([]string{"n=-2.5e3", "s=two words", "b=true", "e="}); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.Cells) != 3 || n.Cells[2].Source != "n = -2.5e3\ns = \"two words\"\nb = true\ne = \"\"" {
		t.Errorf("%+v", n.Cells)
	}
	for _, p := range []string{"n", "1=2", "a b=1"} {
		if err := n.Parametrise([]string{p}); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
	if err := (&Notebook{}).Parametrise([]string{"n=1"}); err == nil {
		t.Error("parameters without a place were taken")
	}
}

// FuzzRead: any bytes are a notebook that can be written and read again, or an error that wraps ErrFormat.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[{"cell_type":"code","id":"a","metadata":{"tags":["parameters"]},"source":["x := 1\n"],"outputs":[{"output_type":"stream","name":"stdout","text":"a"}],"execution_count":null}]}`))
	f.Add([]byte(`{"cells":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "n.ipynb")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		nb, err := Read(name)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error does not wrap ErrFormat: %v", err)
			}
			return
		}
		_ = nb.Parametrise([]string{"x=2"}) // or an error
		if _, err := nb.HTML("title"); err != nil {
			t.Fatalf("HTML: %v", err)
		}
		if err := nb.Write(name); err != nil {
			t.Fatalf("write: %v", err)
		}
		if _, err := Read(name); err != nil {
			t.Fatalf("read again: %v", err)
		}
	})
}

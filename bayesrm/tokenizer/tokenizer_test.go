package tokenizer

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"testing"

	"gobayes/bayesrm/internal/check"
)

func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNeoXVectors compares ids and decoded text with Hugging Face's Rust library on 1,574 strings.
func TestNeoXVectors(t *testing.T) {
	tok, err := Parse(gunzip(t, check.Data(t, "tokenizers", "gpt-neox-20b.tokenizer.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(check.Data(t, "tokenizers", "gpt-neox-vectors.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	n, bad := 0, 0
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		var v struct {
			Text string
			IDs  struct {
				IDs []int
				Dec string
			}
		}
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		n++
		got, err := tok.Encode(v.Text)
		if err != nil || len(got)+len(v.IDs.IDs) > 0 && !reflect.DeepEqual(got, v.IDs.IDs) {
			if bad++; bad < 5 {
				t.Errorf("Encode(%q) = %v, %v; want %v", v.Text, got, err, v.IDs.IDs)
			}
			continue
		}
		if d := tok.Decode(got); d != v.IDs.Dec {
			if bad++; bad < 5 {
				t.Errorf("Decode of %q = %q, want %q", v.Text, d, v.IDs.Dec)
			}
		}
	}
	if n != 1574 || bad > 0 {
		t.Errorf("%d of %d vectors match, want 1574 of 1574", n-bad, n)
	}
}

func TestWords(t *testing.T) {
	w := NewWords([]string{"<eos>", "a", "cat"})
	ids, err := w.Encode(" a  cat a ")
	if err != nil || !reflect.DeepEqual(ids, []int{1, 2, 1}) {
		t.Errorf("ids %v, error %v", ids, err)
	}
	if s := w.Decode(ids); s != "a cat a" {
		t.Errorf("decoded %q", s)
	}
	if _, err := w.Encode("a dog"); err == nil {
		t.Error("an unknown word was encoded")
	}
	path := t.TempDir() + "/tokenizer.json"
	if err := w.Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path)
	if err != nil || back.Size() != 3 || back.ID("cat") != 2 {
		t.Errorf("loaded %v, error %v", back, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"model":{"type":"WordLevel","vocab":{"a":0}},"pre_tokenizer":{"type":"WhitespaceSplit"}}`))
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"pre_tokenizer":{"type":"ByteLevel"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := Parse(b)
		if err != nil {
			return
		}
		ids, err := tok.Encode("a b ab\n")
		if err == nil {
			tok.Decode(ids)
		}
	})
}

func FuzzLlama2C(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00a"), "a b")
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		tok, err := parseLlama2C(b, 3)
		if err != nil {
			return
		}
		if ids, err := tok.Encode(text); err == nil {
			tok.Decode(ids)
		}
	})
}

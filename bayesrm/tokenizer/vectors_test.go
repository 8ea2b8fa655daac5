package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/gomlx/go-huggingface/models/gguf"

	"gobayes/bayesrm/internal/check"
)

// TestGPT2Vectors compares with llama.cpp's vectors for GPT-2.
func TestGPT2Vectors(t *testing.T) {
	tok, err := Parse(gunzip(t, check.Data(t, "tokenizers", "gpt2.tokenizer.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.ReadFile(check.Data(t, "tokenizers", "gpt2-vectors.inp"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(check.Data(t, "tokenizers", "gpt2-vectors.out"))
	if err != nil {
		t.Fatal(err)
	}
	texts, lines := strings.Split(string(in), "\n__ggml_vocab_test__\n"), strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	n := 0
	for i, line := range lines {
		var want []int
		for _, f := range strings.Fields(line) {
			id, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, id)
		}
		got, err := tok.Encode(texts[i])
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, %v; want %v", texts[i], got, err, want)
			continue
		}
		if d := tok.Decode(got); d != texts[i] {
			t.Errorf("%q decodes to %q", texts[i], d)
		}
		n++
	}
	if n != 46 {
		t.Errorf("%d of 46 vectors match", n)
	}
}

// smolLM2 is the vocabulary inside SmolLM2's GGUF.
func smolLM2(t *testing.T) Tokenizer {
	t.Helper()
	f, err := gguf.Open(check.Data(t, "models", "smollm2-135m-instruct") + "/SmolLM2-135M-Instruct.Q4_1.gguf")
	if err != nil {
		t.Fatal(err)
	}
	get := func(key string) gguf.Value { kv, _ := f.GetKeyValue("tokenizer.ggml." + key); return kv.Value }
	v := GGUF{Model: get("model").String(), Pre: get("pre").String(), Tokens: get("tokens").Strings(), Merges: get("merges").Strings()}
	for _, k := range get("token_type").Int64s() {
		v.Types = append(v.Types, int(k))
	}
	tok, err := FromGGUF(v)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestSmolLM2Vectors compares with llama.cpp on the vocabulary inside the GGUF.
func TestSmolLM2Vectors(t *testing.T) {
	tok := smolLM2(t)
	sc := bufio.NewScanner(bytes.NewReader(gunzip(t, check.Data(t, "models", "smollm2-135m-instruct")+"/tokenizer-vectors.jsonl.gz")))
	sc.Buffer(nil, 1<<24)
	n, bad := 0, 0
	for sc.Scan() {
		var v struct {
			Text      string
			IDs       []int
			Roundtrip bool
		}
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		n++
		got, err := tok.Encode(v.Text)
		if err != nil || len(got)+len(v.IDs) > 0 && !reflect.DeepEqual(got, v.IDs) {
			if bad++; bad < 5 {
				t.Errorf("Encode(%q) = %v, %v; want %v", v.Text, got, err, v.IDs)
			}
		} else if v.Roundtrip && tok.Decode(got) != v.Text {
			t.Errorf("Decode of %q = %q", v.Text, tok.Decode(got))
		}
	}
	if n != 1258 || bad > 0 {
		t.Errorf("%d of %d vectors match, want 1258 of 1258", n-bad, n)
	}
}

// TestGPT2Split compares the cutter with the regular expression that it stands for, on random text.
func TestGPT2Split(t *testing.T) {
	re := regexp2.MustCompile(`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, regexp2.None)
	alphabet := []rune("  \n\t\u00a0\u0085\u2028ab'sdrtvelm1Ⅷ2.!?é日本語👍‍\u0301ー")
	rng := rand.New(rand.NewPCG(1, 0))
	for range 20000 {
		rs := make([]rune, rng.IntN(14))
		for i := range rs {
			rs[i] = alphabet[rng.IntN(len(alphabet))]
		}
		s := string(rs)
		var got, want []string
		_ = gpt2Split(s, func(p string) { got = append(got, p) })
		m, err := re.FindStringMatch(s)
		for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
			want = append(want, m.String())
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %q, want %q (%v)", s, got, want, err)
		}
	}
}

// llamaLike is a Llama-2 style file: no pre-tokenizer, ▁ for spaces, bytes to fall back on.
func llamaLike() []byte {
	vocab := map[string]int{"<unk>": 0, "<s>": 1, "</s>": 2}
	for b := range 256 {
		vocab[fmt.Sprintf("<0x%02X>", b)] = 3 + b
	}
	for _, s := range []string{"▁", "a", "b", "ab", "▁a", "▁ab", "é"} {
		vocab[s] = len(vocab)
	}
	type m = map[string]any
	b, _ := json.Marshal(m{
		"added_tokens": []m{{"id": 1, "content": "<s>"}, {"id": 2, "content": "</s>"}},
		"normalizer":   m{"type": "Sequence", "normalizers": []m{{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": m{"String": " "}, "content": "▁"}}},
		"decoder": m{"type": "Sequence", "decoders": []m{{"type": "Replace", "pattern": m{"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
			{"type": "Strip", "content": " ", "start": 1, "stop": 0}}},
		"model": m{"type": "BPE", "vocab": vocab, "merges": []string{"a b", "▁ a", "▁ ab"}, "byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>"},
	})
	return b
}

func TestLlama2Style(t *testing.T) {
	tok, err := Parse(llamaLike())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode("ab a日<s>é")
	if err != nil {
		t.Fatal(err)
	}
	want := []int{tok.ID("▁ab"), tok.ID("▁a"), 3 + 0xE6, 3 + 0x97, 3 + 0xA5, 1, tok.ID("▁"), tok.ID("é")}
	if !reflect.DeepEqual(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
	if s := tok.Decode(ids[:5]); s != "ab a日" {
		t.Errorf("decoded %q", s)
	}
}

// TestLlama3Style: a Split pattern, and words that are tokens without being merged.
func TestLlama3Style(t *testing.T) {
	v := GGUF{Model: "gpt2", Pre: "llama-bpe", Types: []int{}}
	for b := range 256 {
		v.Tokens = append(v.Tokens, string(byteRunes[b]))
	}
	v.Tokens = append(v.Tokens, "Ġhello", "123", "<|eot_id|>")
	for i := range v.Tokens {
		v.Types = append(v.Types, 1)
		if i == 258 {
			v.Types[i] = 3
		}
	}
	tok, err := FromGGUF(v)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode(" hello1234<|eot_id|>")
	if want := []int{256, 257, '4', 258}; err != nil || !reflect.DeepEqual(ids, want) {
		t.Errorf("ids %v, %v; want %v", ids, err, want)
	}
	v.Pre = "qwen2"
	if _, err := FromGGUF(v); err == nil || !strings.Contains(err.Error(), `"qwen2"`) {
		t.Errorf("an unknown way of cutting: %v", err)
	}
}

// TestScored: pieces by score, from a GGUF of the "llama" kind.
func TestScored(t *testing.T) {
	v := GGUF{Model: "llama", BOS: 1, AddSpacePrefix: true}
	add := func(s string, score float64, kind int) {
		v.Tokens, v.Scores, v.Types = append(v.Tokens, s), append(v.Scores, score), append(v.Types, kind)
	}
	add("<unk>", 0, 2)
	add("<s>", 0, 3)
	add("</s>", 0, 3)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), 0, 6)
	}
	for i, s := range []string{"▁a", "ab", "bc", "▁", "a", "b", "c"} {
		add(s, -float64(i), 1)
	}
	tok, err := FromGGUF(v)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode("abc</s>é")
	want := []int{259, 261, 2, 3 + 0xC3, 3 + 0xA9} // "▁a" scores above "ab"
	if err != nil || !reflect.DeepEqual(ids, want) {
		t.Errorf("ids %v, %v; want %v", ids, err, want)
	}
	if s := tok.Decode(ids); s != "abcé" {
		t.Errorf("decoded %q", s)
	}
}

// TestStream: what comes out piece by piece is the text of the whole, and never a broken character before its end.
func TestStream(t *testing.T) {
	tok, err := Parse(gunzip(t, check.Data(t, "tokenizers", "gpt2.tokenizer.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("naïve 日本語 👍🏽 text, ", 20)
	ids, err := tok.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	s := NewStream(tok)
	for _, id := range ids {
		p := s.Next(id)
		if strings.ContainsRune(p, utf8.RuneError) {
			t.Fatalf("a broken character: %q", p)
		}
		b.WriteString(p)
	}
	b.WriteString(s.Flush())
	if b.String() != text {
		t.Errorf("streamed %q", b.String())
	}
}

func TestUnknownComponents(t *testing.T) {
	for _, tt := range []struct{ json, want string }{
		{`{"model":{"type":"Unigram"}}`, "Unigram"},
		{`{"model":{"type":"BPE","vocab":{},"merges":[]},"normalizer":{"type":"BertNormalizer"}}`, "BertNormalizer"},
		{`{"model":{"type":"BPE","vocab":{},"merges":[]},"pre_tokenizer":{"type":"Metaspace"}}`, "Metaspace"},
		{`{"model":{"type":"BPE","vocab":{},"merges":[]},"decoder":{"type":"WordPiece"}}`, "WordPiece"},
		{`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}`, "merge 0"},
		{`{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"added_tokens":[{"id":1,"content":"x","lstrip":true}]}`, "lstrip"},
	} {
		if _, err := Parse([]byte(tt.json)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want it to name %s", tt.json, err, tt.want)
		}
	}
}

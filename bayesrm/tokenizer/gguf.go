package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// GGUF is the vocabulary inside a GGUF file, by the names of its fields.
type GGUF struct {
	Model          string // tokenizer.ggml.model: "gpt2" (byte-level BPE) or "llama" (scored pieces)
	Pre            string // tokenizer.ggml.pre: how text is cut, for "gpt2"
	Tokens         []string
	Types          []int // 1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte
	Scores         []float64
	Merges         []string
	BOS            int
	AddSpacePrefix bool
}

// llama3Pattern is how Llama 3 cuts text.
const llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// FromGGUF returns the tokenizer of a vocabulary. An unknown model or way of cutting is an error.
func FromGGUF(v GGUF) (Tokenizer, error) {
	if len(v.Tokens) == 0 || len(v.Types) != 0 && len(v.Types) != len(v.Tokens) {
		return nil, fmt.Errorf("tokenizer: GGUF: %d tokens with %d types", len(v.Tokens), len(v.Types))
	}
	kind := func(i int) int {
		if len(v.Types) == 0 {
			return 1
		}
		return v.Types[i]
	}
	switch v.Model {
	case "llama":
		return scored(v, kind)
	case "gpt2":
	default:
		return nil, fmt.Errorf("tokenizer: GGUF: model %q: gpt2 and llama are known", v.Model)
	}
	type m = map[string]any
	byteLevel := m{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	pre := byteLevel
	var normal any
	switch v.Pre {
	case "", "default", "gpt-2":
	case "gpt-neox":
		normal = m{"type": "NFC"}
	case "smollm":
		pre = m{"type": "Sequence", "pretokenizers": []m{{"type": "Digits", "individual_digits": true}, byteLevel}}
	case "llama-bpe", "llama3":
		byteLevel["use_regex"] = false
		pre = m{"type": "Sequence", "pretokenizers": []m{{"type": "Split", "pattern": m{"Regex": llama3Pattern}, "behavior": "Isolated", "invert": false}, byteLevel}}
	default:
		return nil, fmt.Errorf("tokenizer: GGUF: pre-tokenizer %q: gpt-2, gpt-neox, smollm and llama-bpe are known", v.Pre)
	}
	vocab := make(map[string]int, len(v.Tokens))
	added := []m{}
	for i, s := range v.Tokens {
		switch kind(i) {
		case 3, 4:
			added = append(added, m{"id": i, "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": kind(i) == 3})
		}
		if _, dup := vocab[s]; !dup {
			vocab[s] = i
		}
	}
	source, err := json.Marshal(m{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": normal, "pre_tokenizer": pre, "post_processor": nil,
		"decoder": m{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model":   m{"type": "BPE", "vocab": vocab, "merges": v.Merges, "dropout": nil, "unk_token": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": v.Pre == "llama-bpe" || v.Pre == "llama3"},
	})
	if err != nil {
		return nil, fmt.Errorf("tokenizer: GGUF: %w", err)
	}
	t, err := Parse(source)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: GGUF: %w", err)
	}
	return t, nil
}

func scored(v GGUF, kind func(i int) int) (Tokenizer, error) {
	if len(v.Scores) != len(v.Tokens) {
		return nil, fmt.Errorf("tokenizer: GGUF: %d scores for %d tokens", len(v.Scores), len(v.Tokens))
	}
	pieces, scores, control := make([]string, len(v.Tokens)), make([]float32, len(v.Tokens)), make([]bool, len(v.Tokens))
	var special []addedToken
	for i, p := range v.Tokens {
		pieces[i], scores[i] = strings.ReplaceAll(p, "▁", " "), float32(v.Scores[i])
		control[i] = kind(i) == 2 || kind(i) == 3
		if kind(i) == 3 || kind(i) == 4 {
			special = append(special, addedToken{ID: i, Content: p})
		}
	}
	t := newSPM(pieces, scores, control, v.BOS, v.AddSpacePrefix)
	t.raw = newMatcher(special)
	return t, nil
}

// Package tokenizer turns text into token ids and back: the byte-pair encodings of GPT-2, GPT-NeoX, Llama 2 and 3 and SmolLM2
// and word-level vocabularies from tokenizer.json, the vocabularies inside GGUF files, and llama2.c's tok.bin. A component
// that is not known is refused, never guessed.
package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
)

// Tokenizer is a vocabulary with its rules.
type Tokenizer interface {
	// Encode returns the ids of a text. No token is added at either end.
	Encode(text string) ([]int, error)
	// Decode returns the text of ids.
	Decode(ids []int) string
	// Size is the number of tokens.
	Size() int
	// ID returns the id of a token by its spelling, or -1.
	ID(token string) int
}

// file is the part of a tokenizer.json that is used.
type file struct {
	Model struct {
		Type                    string          `json:"type"`
		Vocab                   map[string]int  `json:"vocab"`
		Merges                  json.RawMessage `json:"merges"`
		UnkToken                *string         `json:"unk_token"`
		FuseUnk                 bool            `json:"fuse_unk"`
		ByteFallback            bool            `json:"byte_fallback"`
		IgnoreMerges            bool            `json:"ignore_merges"`
		ContinuingSubwordPrefix *string         `json:"continuing_subword_prefix"`
		EndOfWordSuffix         *string         `json:"end_of_word_suffix"`
		Dropout                 *float64        `json:"dropout"`
	} `json:"model"`
	AddedTokens  []addedToken `json:"added_tokens"`
	Normalizer   *component   `json:"normalizer"`
	PreTokenizer *component   `json:"pre_tokenizer"`
	Decoder      *component   `json:"decoder"`
}

type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
}

// Load reads a tokenizer.json.
func Load(path string) (Tokenizer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

// Parse reads the content of a tokenizer.json.
func Parse(b []byte) (Tokenizer, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	switch f.Model.Type {
	case "WordLevel":
		return newWords(f)
	case "BPE":
		return newBPE(f, b)
	}
	return nil, fmt.Errorf("model type %q: BPE and WordLevel are known", f.Model.Type)
}

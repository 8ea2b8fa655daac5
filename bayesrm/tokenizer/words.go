package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"

	"gobayes/bayesrm/safetensors"
)

// Words is a word-level vocabulary: text is cut at white space.
type Words struct {
	ids   map[string]int
	words []string
}

// NewWords returns a vocabulary in which words[i] has id i.
func NewWords(words []string) *Words {
	t := &Words{ids: map[string]int{}, words: words}
	for i, w := range words {
		t.ids[w] = i
	}
	return t
}

func newWords(f file) (*Words, error) {
	if f.Normalizer != nil || f.PreTokenizer == nil || f.PreTokenizer.Type != "WhitespaceSplit" {
		return nil, fmt.Errorf("word-level model: want no normalizer and the pre-tokenizer WhitespaceSplit")
	}
	words := make([]string, len(f.Model.Vocab))
	for w, i := range f.Model.Vocab {
		if i < 0 || i >= len(words) || words[i] != "" {
			return nil, fmt.Errorf("word-level model: id %d of %q: ids must be 0 … %d, each once", i, w, len(words)-1)
		}
		words[i] = w
	}
	return NewWords(words), nil
}

// Encode returns the ids of the words; a word that is not in the vocabulary is an error.
func (t *Words) Encode(text string) ([]int, error) {
	var ids []int
	for _, w := range strings.Fields(text) {
		i, ok := t.ids[w]
		if !ok {
			return nil, fmt.Errorf("tokenizer: the word %q is not among the %d of the vocabulary", w, len(t.words))
		}
		ids = append(ids, i)
	}
	return ids, nil
}

// Decode joins the words with single spaces.
func (t *Words) Decode(ids []int) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(' ')
		}
		if id >= 0 && id < len(t.words) {
			b.WriteString(t.words[id])
		}
	}
	return b.String()
}

// Size is the number of words.
func (t *Words) Size() int { return len(t.words) }

// ID returns the id of a word, or -1.
func (t *Words) ID(word string) int {
	if i, ok := t.ids[word]; ok {
		return i
	}
	return -1
}

// Save writes a tokenizer.json.
func (t *Words) Save(path string) error {
	b, err := json.MarshalIndent(map[string]any{
		"version": "1.0", "added_tokens": []any{}, "pre_tokenizer": map[string]any{"type": "WhitespaceSplit"},
		"model": map[string]any{"type": "WordLevel", "vocab": t.ids, "unk_token": "<unk>"},
	}, "", " ")
	if err != nil {
		return fmt.Errorf("tokenizer: save %s: %w", path, err)
	}
	return safetensors.WriteFile(path, append(b, '\n'))
}

package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"gobayes/bayesrm/safetensors"
)

// BPE is a byte-pair encoding with the pipeline of its tokenizer.json: the byte-level ones of GPT-2, GPT-NeoX, Llama 3 and
// SmolLM2, and Llama 2's with bytes to fall back on.
type BPE struct {
	source []byte // the tokenizer.json
	ids    map[string]int
	tokens []string // spellings by id
	added  map[int]bool
	ranks  map[[2]int]merge
	raw    *matcher // added tokens that are cut out before normalisation
	norm   *matcher // and after it
	clean  func(string) string
	split  splitter
	dec    decoder

	byteLevel bool
	byteIDs   [256]int // of the byte alphabet, or of <0xNN>; −1 where there is none
	fallback  bool
	whole     map[string]int // ignore_merges: words that are tokens as they are
	unk       int            // −1: a character without a token is dropped
	fuseUnk   bool

	cache wordCache
}

type merge struct{ rank, to int }

// wordCache remembers how words were cut.
type wordCache struct {
	sync.RWMutex
	ids map[string][]int
}

// maxCached bounds the words that are remembered, maxWord their length.
const (
	maxCached = 1 << 17
	maxWord   = 64
)

func newBPE(f file, source []byte) (*BPE, error) {
	m := f.Model
	switch {
	case m.Dropout != nil && *m.Dropout > 0:
		return nil, fmt.Errorf("BPE model: dropout %v is not supported", *m.Dropout)
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "", m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return nil, fmt.Errorf("BPE model: subword prefixes and word suffixes are not supported")
	}
	t := &BPE{source: source, ids: m.Vocab, ranks: map[[2]int]merge{}, added: map[int]bool{}, unk: -1, fallback: m.ByteFallback, fuseUnk: m.FuseUnk}
	t.cache.ids = map[string][]int{}
	var err error
	if t.clean, err = normalizer(f.Normalizer); err != nil {
		return nil, err
	}
	if t.split, t.byteLevel, err = preTokenizer(f.PreTokenizer); err != nil {
		return nil, err
	}
	if err := t.dec.add(f.Decoder); err != nil {
		return nil, err
	}
	if f.Decoder == nil && t.byteLevel {
		t.dec.bytes = true
	}
	if err := t.vocabulary(f); err != nil {
		return nil, err
	}
	pairs, err := mergePairs(m.Merges)
	if err != nil {
		return nil, err
	}
	for r, p := range pairs {
		a, okA := m.Vocab[p[0]]
		b, okB := m.Vocab[p[1]]
		to, ok := m.Vocab[p[0]+p[1]]
		if !okA || !okB || !ok {
			return nil, fmt.Errorf("BPE model: merge %d %q is not in the vocabulary", r, p)
		}
		if _, dup := t.ranks[[2]int{a, b}]; !dup {
			t.ranks[[2]int{a, b}] = merge{r, to}
		}
	}
	return t, nil
}

// maxTokens bounds the ids of a vocabulary: a wrong file must not allocate without end.
const maxTokens = 1 << 22

// vocabulary fills the tables that do not depend on merges.
func (t *BPE) vocabulary(f file) error {
	m := f.Model
	n := 0
	for s, id := range m.Vocab {
		if id < 0 || id >= maxTokens {
			return fmt.Errorf("BPE model: token %q has id %d", s, id)
		}
		n = max(n, id+1)
	}
	for _, a := range f.AddedTokens {
		if a.SingleWord || a.LStrip || a.RStrip || a.ID < 0 || a.ID >= maxTokens || a.Content == "" {
			return fmt.Errorf("added token %d %q: single_word, lstrip, rstrip and empty tokens are not supported", a.ID, a.Content)
		}
		n = max(n, a.ID+1)
	}
	t.tokens = make([]string, n)
	for s, id := range m.Vocab {
		t.tokens[id] = s
	}
	var raw, norm []addedToken
	for _, a := range f.AddedTokens {
		t.tokens[a.ID], t.added[a.ID] = a.Content, true
		if a.Normalized {
			if t.clean != nil {
				a.Content = t.clean(a.Content)
			}
			norm = append(norm, a)
		} else {
			raw = append(raw, a)
		}
	}
	t.raw, t.norm = newMatcher(raw), newMatcher(norm)
	if m.UnkToken != nil && *m.UnkToken != "" {
		id, ok := m.Vocab[*m.UnkToken]
		if !ok {
			return fmt.Errorf("BPE model: unk_token %q is not in the vocabulary", *m.UnkToken)
		}
		t.unk = id
	}
	for b := range t.byteIDs {
		spelling := fmt.Sprintf("<0x%02X>", b)
		if t.byteLevel {
			spelling = string(byteRunes[b])
		}
		t.byteIDs[b] = -1
		if id, ok := m.Vocab[spelling]; ok {
			t.byteIDs[b] = id
		}
	}
	if m.IgnoreMerges {
		t.whole = map[string]int{}
		for s, id := range m.Vocab {
			if t.byteLevel {
				s = string(unspell(nil, s))
			}
			t.whole[s] = id
		}
	}
	return nil
}

// mergePairs reads merges written as "a b" or as ["a", "b"].
func mergePairs(raw json.RawMessage) ([][2]string, error) {
	var pairs [][2]string
	if json.Unmarshal(raw, &pairs) == nil {
		return pairs, nil
	}
	var lines []string
	if err := json.Unmarshal(raw, &lines); err != nil {
		return nil, fmt.Errorf("BPE model: merges: %w", err)
	}
	pairs = nil
	for i, l := range lines {
		a, b, ok := strings.Cut(l, " ")
		if !ok {
			return nil, fmt.Errorf("BPE model: merge %d %q has no space", i, l)
		}
		pairs = append(pairs, [2]string{a, b})
	}
	return pairs, nil
}

// byteRunes is GPT-2's alphabet: a printable rune for each byte.
var byteRunes, runeBytes = func() ([256]rune, map[rune]byte) {
	var to [256]rune
	back := map[rune]byte{}
	n := rune(256)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae && b <= 0xff) {
			r = n
			n++
		}
		to[b] = r
		back[r] = byte(b)
	}
	return to, back
}()

// unspell appends the bytes that a spelling in the byte alphabet stands for.
func unspell(b []byte, s string) []byte {
	for _, r := range s {
		if c, ok := runeBytes[r]; ok {
			b = append(b, c)
		}
	}
	return b
}

// Encode returns the ids of a text.
func (t *BPE) Encode(text string) ([]int, error) {
	ids := make([]int, 0, len(text)/3+4)
	var err error
	t.raw.cut(text, func(s string, id int) {
		if id >= 0 {
			ids = append(ids, id)
			return
		}
		if t.clean != nil {
			s = t.clean(s)
		}
		t.norm.cut(s, func(s string, id int) {
			if id >= 0 {
				ids = append(ids, id)
				return
			}
			if e := t.split(s, func(w string) { ids = t.word(w, ids) }); e != nil {
				err = e
			}
		})
	})
	return ids, err
}

// word appends the ids of one piece of text.
func (t *BPE) word(w string, ids []int) []int {
	if id, ok := t.whole[w]; ok {
		return append(ids, id)
	}
	if len(w) > maxWord {
		return t.merge(w, ids)
	}
	t.cache.RLock()
	known, ok := t.cache.ids[w]
	t.cache.RUnlock()
	if ok {
		return append(ids, known...)
	}
	from := len(ids)
	ids = t.merge(w, ids)
	t.cache.Lock()
	if len(t.cache.ids) < maxCached {
		t.cache.ids[strings.Clone(w)] = append([]int{}, ids[from:]...)
	}
	t.cache.Unlock()
	return ids
}

// merge starts from bytes or characters and merges, always the pair of lowest rank, leftmost first.
func (t *BPE) merge(w string, ids []int) []int {
	nodes := make([]node, 0, len(w))
	add := func(id int) { nodes = append(nodes, node{id, len(nodes) - 1, len(nodes) + 1}) }
	if t.byteLevel {
		for i := range len(w) {
			if id := t.byteIDs[w[i]]; id >= 0 { // Hugging Face, too, drops a byte that the vocabulary lacks
				add(id)
			}
		}
	} else {
		t.characters(w, add, func() bool { n := len(nodes); return n > 0 && nodes[n-1].id == t.unk })
	}
	return mergeNodes(nodes, ids, func(a, b int) (merge, bool) { m, ok := t.ranks[[2]int{a, b}]; return m, ok })
}

// characters finds the tokens of single characters; what has none becomes bytes, or the unknown token.
func (t *BPE) characters(w string, add func(id int), afterUnk func() bool) {
	for _, r := range w {
		s := string(r)
		if id, ok := t.ids[s]; ok {
			add(id)
			continue
		}
		all := t.fallback
		for i := range len(s) {
			all = all && t.byteIDs[s[i]] >= 0
		}
		switch {
		case all:
			for i := range len(s) {
				add(t.byteIDs[s[i]])
			}
		case t.unk >= 0 && (!t.fuseUnk || !afterUnk()):
			add(t.unk)
		}
	}
}

// Decode returns the text of ids; bytes that are no UTF-8 become U+FFFD.
func (t *BPE) Decode(ids []int) string {
	var b []byte
	for _, id := range ids {
		if id < 0 || id >= len(t.tokens) {
			continue
		}
		s := t.tokens[id]
		switch {
		case t.added[id]:
			b = append(b, s...)
		case t.dec.bytes:
			b = unspell(b, s)
		default:
			if c, ok := byteToken(s); ok && t.dec.fallback {
				b = append(b, c)
				continue
			}
			for _, r := range t.dec.replace {
				s = strings.ReplaceAll(s, r[0], r[1])
			}
			b = append(b, s...)
		}
	}
	return strings.ToValidUTF8(strings.TrimPrefix(string(b), t.dec.strip), "\uFFFD")
}

// byteToken reads <0xNN>.
func byteToken(s string) (byte, bool) {
	if len(s) != 6 || !strings.HasPrefix(s, "<0x") || s[5] != '>' {
		return 0, false
	}
	c, err := strconv.ParseUint(s[3:5], 16, 8)
	return byte(c), err == nil
}

// Size is the number of tokens.
func (t *BPE) Size() int { return len(t.tokens) }

// ID returns the id of a token by its spelling, or -1.
func (t *BPE) ID(token string) int {
	for id := range t.added {
		if t.tokens[id] == token {
			return id
		}
	}
	if id, ok := t.ids[token]; ok {
		return id
	}
	return -1
}

// Save writes the tokenizer.json.
func (t *BPE) Save(path string) error { return safetensors.WriteFile(path, t.source) }

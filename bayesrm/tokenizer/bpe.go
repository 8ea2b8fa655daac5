package tokenizer

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dlclark/regexp2"
	"golang.org/x/text/unicode/norm"
)

// BPE is the byte-level byte-pair encoding of GPT-2 and GPT-NeoX.
type BPE struct {
	ids    map[string]int
	tokens []string // by id, in the byte alphabet; added tokens as they are
	added  map[int]bool
	ranks  map[[2]int]merge
	nfc    bool
	raw    []addedToken // cut out before normalisation
	norm   []addedToken // and after it
	split  *regexp2.Regexp
	prefix bool
}

type merge struct{ rank, to int }

// gpt2Pattern is how GPT-2's byte-level pre-tokenizer cuts text.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

func newBPE(f file) (*BPE, error) {
	m := f.Model
	switch {
	case m.ByteFallback, m.IgnoreMerges, m.UnkToken != nil && *m.UnkToken != "" && f.PreTokenizer == nil, m.Dropout != nil && *m.Dropout > 0:
		return nil, fmt.Errorf("BPE model: byte_fallback, ignore_merges, dropout and unk_token without byte-level cutting are not supported")
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "", m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return nil, fmt.Errorf("BPE model: subword prefixes and word suffixes are not supported")
	case f.PreTokenizer == nil || f.PreTokenizer.Type != "ByteLevel" || f.PreTokenizer.UseRegex != nil && !*f.PreTokenizer.UseRegex:
		return nil, fmt.Errorf("BPE model: only the pre-tokenizer ByteLevel is supported")
	case f.Normalizer != nil && f.Normalizer.Type != "NFC":
		return nil, fmt.Errorf("BPE model: normalizer %q: only NFC is supported", f.Normalizer.Type)
	}
	t := &BPE{ids: m.Vocab, ranks: map[[2]int]merge{}, added: map[int]bool{}, nfc: f.Normalizer != nil, prefix: f.PreTokenizer.AddPrefixSpace}
	n := 0
	for _, id := range m.Vocab {
		n = max(n, id+1)
	}
	for _, a := range f.AddedTokens {
		n = max(n, a.ID+1)
	}
	t.tokens = make([]string, n)
	for s, id := range m.Vocab {
		if id < 0 {
			return nil, fmt.Errorf("BPE model: token %q has id %d", s, id)
		}
		t.tokens[id] = s
	}
	for _, a := range f.AddedTokens {
		if a.SingleWord || a.LStrip || a.RStrip || a.ID < 0 {
			return nil, fmt.Errorf("added token %q: single_word, lstrip and rstrip are not supported", a.Content)
		}
		t.tokens[a.ID], t.added[a.ID] = a.Content, true
		if a.Normalized {
			t.norm = append(t.norm, a)
		} else {
			t.raw = append(t.raw, a)
		}
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
	t.split = regexp2.MustCompile(gpt2Pattern, regexp2.None)
	return t, nil
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

// Encode returns the ids of a text.
func (t *BPE) Encode(text string) ([]int, error) {
	var ids []int
	var err error
	cut(text, t.raw, func(s string, id int) {
		if id >= 0 {
			ids = append(ids, id)
			return
		}
		if t.nfc {
			s = norm.NFC.String(s)
		}
		cut(s, t.norm, func(s string, id int) {
			if id >= 0 {
				ids = append(ids, id)
				return
			}
			if t.prefix && s != "" && s[0] != ' ' {
				s = " " + s
			}
			if e := t.pieces(s, &ids); e != nil {
				err = e
			}
		})
	})
	return ids, err
}

// cut calls f with the stretches of s between added tokens (id −1) and with the tokens, leftmost then longest.
func cut(s string, tokens []addedToken, f func(s string, id int)) {
	for s != "" {
		at, id, n := len(s), -1, 0
		for _, a := range tokens {
			if i := strings.Index(s[:min(len(s), at+len(a.Content))], a.Content); i >= 0 && a.Content != "" && (i < at || i == at && len(a.Content) > n) {
				at, id, n = i, a.ID, len(a.Content)
			}
		}
		if at > 0 {
			f(s[:at], -1)
		}
		if id < 0 {
			return
		}
		f(s[at:at+n], id)
		s = s[at+n:]
	}
}

func (t *BPE) pieces(s string, ids *[]int) error {
	m, err := t.split.FindStringMatch(s)
	for ; m != nil && err == nil; m, err = t.split.FindNextMatch(m) {
		t.word(m.String(), ids)
	}
	if err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	return nil
}

// word merges the bytes of one piece, always the pair of lowest rank, leftmost first.
func (t *BPE) word(w string, ids *[]int) {
	type node struct{ id, prev, next int }
	nodes := make([]node, 0, len(w))
	for i := range len(w) {
		id, ok := t.ids[string(byteRunes[w[i]])]
		if !ok {
			continue // a byte that the vocabulary lacks cannot be encoded; Hugging Face drops it too
		}
		nodes = append(nodes, node{id, len(nodes) - 1, len(nodes) + 1})
	}
	var q pairQueue
	push := func(i int) {
		if i < 0 || nodes[i].next >= len(nodes) {
			return
		}
		j := nodes[i].next
		if m, ok := t.ranks[[2]int{nodes[i].id, nodes[j].id}]; ok {
			heap.Push(&q, candidate{m.rank, i, nodes[i].id, nodes[j].id, m.to})
		}
	}
	for i := range nodes {
		push(i)
	}
	for q.Len() > 0 {
		c := heap.Pop(&q).(candidate)
		n := &nodes[c.at]
		if n.id != c.left || n.next >= len(nodes) || nodes[n.next].id != c.right {
			continue // merged away meanwhile
		}
		dead := n.next
		n.id, n.next = c.to, nodes[dead].next
		nodes[dead].id = -1
		if n.next < len(nodes) {
			nodes[n.next].prev = c.at
		}
		push(n.prev)
		push(c.at)
	}
	for i := 0; i < len(nodes); i = nodes[i].next {
		*ids = append(*ids, nodes[i].id)
	}
}

// candidate is a pair that could be merged.
type candidate struct{ rank, at, left, right, to int }

type pairQueue []candidate

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	if q[i].rank != q[j].rank {
		return q[i].rank < q[j].rank
	}
	return q[i].at < q[j].at
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(candidate)) }
func (q *pairQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// Decode returns the text of ids; bytes that are no UTF-8 become U+FFFD.
func (t *BPE) Decode(ids []int) string {
	var b []byte
	for _, id := range ids {
		switch {
		case id < 0 || id >= len(t.tokens):
		case t.added[id]:
			b = append(b, t.tokens[id]...)
		default:
			for _, r := range t.tokens[id] {
				if c, ok := runeBytes[r]; ok {
					b = append(b, c)
				}
			}
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
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

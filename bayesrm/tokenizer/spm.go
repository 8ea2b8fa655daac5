package tokenizer

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// SPM is a vocabulary of scored pieces, as SentencePiece makes for Llama 2 and llama2.c stores in a tok.bin: the pair whose
// union scores highest is merged first; what has no piece falls back to bytes <0xNN>.
type SPM struct {
	pieces  []string // a space is a space
	control []bool   // not text
	ids     map[string]int
	rank    []int // by falling score; pieces of equal score share one
	bytes   [256]int
	raw     *matcher
	prefix  bool // a space goes before the text
	bos     int
}

// LoadLlama2C reads a tok.bin with the given number of tokens. Token 1 starts a text, token 2 ends it.
func LoadLlama2C(path string, size int) (*SPM, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := parseLlama2C(b, size)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

func parseLlama2C(b []byte, size int) (*SPM, error) {
	var pieces []string
	var scores []float32
	at := 4 // the longest piece's length comes first
	for i := range size {
		if at+8 > len(b) {
			return nil, fmt.Errorf("the file ends in token %d of %d", i, size)
		}
		score := math.Float32frombits(binary.LittleEndian.Uint32(b[at:]))
		n := int(int32(binary.LittleEndian.Uint32(b[at+4:])))
		at += 8
		if n < 0 || n > len(b)-at {
			return nil, fmt.Errorf("token %d of %d has length %d", i, size, n)
		}
		pieces, scores = append(pieces, string(b[at:at+n])), append(scores, score)
		at += n
	}
	control := make([]bool, size)
	for i := range min(3, size) {
		control[i] = true
	}
	return newSPM(pieces, scores, control, 1, true), nil
}

func newSPM(pieces []string, scores []float32, control []bool, bos int, prefix bool) *SPM {
	t := &SPM{pieces: pieces, control: control, ids: map[string]int{}, rank: make([]int, len(pieces)), bos: bos, prefix: prefix, raw: newMatcher(nil)}
	order := make([]int, len(pieces))
	for b := range t.bytes {
		t.bytes[b] = -1
	}
	for i, p := range pieces {
		order[i] = i
		if c, ok := byteToken(p); ok {
			t.bytes[c] = i
		}
		if _, ok := t.ids[p]; !ok && !control[i] {
			t.ids[p] = i
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	for k, i := range order {
		t.rank[i] = k
		if k > 0 && scores[order[k-1]] == scores[i] {
			t.rank[i] = t.rank[order[k-1]]
		}
	}
	return t
}

// Encode returns the ids of a text.
func (t *SPM) Encode(text string) (ids []int, err error) {
	first := t.prefix
	t.raw.cut(text, func(s string, id int) {
		if id >= 0 {
			ids = append(ids, id)
			return
		}
		if first {
			s = " " + s
		}
		first = false
		var nodes []node
		add := func(id int) { nodes = append(nodes, node{id, len(nodes) - 1, len(nodes) + 1}) }
		for _, r := range s {
			c := string(r)
			if id, ok := t.ids[c]; ok {
				add(id)
				continue
			}
			for i := range len(c) {
				if id := t.bytes[c[i]]; id >= 0 {
					add(id)
				} else {
					err = fmt.Errorf("tokenizer: the vocabulary has no piece for the byte 0x%02X", c[i])
				}
			}
		}
		ids = mergeNodes(nodes, ids, func(a, b int) (merge, bool) {
			id, ok := t.ids[t.pieces[a]+t.pieces[b]]
			if !ok {
				return merge{}, false
			}
			return merge{t.rank[id], id}, true
		})
	})
	return ids, err
}

// Decode returns the text of ids. The space that Encode puts in front is dropped.
func (t *SPM) Decode(ids []int) string {
	var b strings.Builder
	prev := t.bos
	for _, id := range ids {
		if id < 0 || id >= len(t.pieces) || t.control[id] {
			prev = id
			continue
		}
		p := t.pieces[id]
		if prev == t.bos && t.prefix {
			p = strings.TrimPrefix(p, " ")
		}
		prev = id
		if c, ok := byteToken(p); ok {
			b.WriteByte(c)
			continue
		}
		b.WriteString(p)
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// Size is the number of tokens.
func (t *SPM) Size() int { return len(t.pieces) }

// ID returns the id of a piece, or -1.
func (t *SPM) ID(piece string) int {
	if i, ok := t.ids[piece]; ok {
		return i
	}
	return slices.Index(t.pieces, piece)
}

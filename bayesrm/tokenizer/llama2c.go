package tokenizer

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// Llama2C is the vocabulary of a llama2.c tok.bin: pieces are merged by score, bytes that have no piece fall back to
// <0xNN>. Token 1 starts a text, token 2 ends it.
type Llama2C struct {
	pieces []string
	scores []float32
	ids    map[string]int
}

// LoadLlama2C reads a tok.bin with the given number of tokens.
func LoadLlama2C(path string, size int) (*Llama2C, error) {
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

func parseLlama2C(b []byte, size int) (*Llama2C, error) {
	t := &Llama2C{ids: map[string]int{}}
	at := 4 // the longest piece's length comes first
	for i := range size {
		if at+8 > len(b) {
			return nil, fmt.Errorf("the file ends in token %d of %d", i, size)
		}
		score := math.Float32frombits(binary.LittleEndian.Uint32(b[at:]))
		n := int(int32(binary.LittleEndian.Uint32(b[at+4:])))
		at += 8
		if n < 0 || at+n > len(b) {
			return nil, fmt.Errorf("token %d of %d has length %d", i, size, n)
		}
		p := string(b[at : at+n])
		at += n
		t.pieces, t.scores = append(t.pieces, p), append(t.scores, score)
		if _, ok := t.ids[p]; !ok {
			t.ids[p] = i
		}
	}
	return t, nil
}

// Encode returns the ids of a text, with the space that llama2.c puts in front.
func (t *Llama2C) Encode(text string) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	var ids []int
	for _, r := range " " + text {
		s := string(r)
		if id, ok := t.ids[s]; ok {
			ids = append(ids, id)
			continue
		}
		for _, c := range []byte(s) {
			ids = append(ids, int(c)+3) // bytes are tokens 3 … 258
		}
	}
	for {
		best, at, to := float32(math.Inf(-1)), -1, 0
		for i := range len(ids) - 1 {
			if id, ok := t.ids[t.pieces[ids[i]]+t.pieces[ids[i+1]]]; ok && t.scores[id] > best {
				best, at, to = t.scores[id], i, id
			}
		}
		if at < 0 {
			return ids, nil
		}
		ids[at] = to
		ids = append(ids[:at+1], ids[at+2:]...)
	}
}

// Decode returns the text of ids. The space after the start token is dropped.
func (t *Llama2C) Decode(ids []int) string {
	var b strings.Builder
	prev := 1
	for _, id := range ids {
		if id <= 2 || id >= len(t.pieces) {
			prev = id
			continue
		}
		p := t.pieces[id]
		if prev == 1 {
			p = strings.TrimPrefix(p, " ")
		}
		prev = id
		if len(p) == 6 && strings.HasPrefix(p, "<0x") && p[5] == '>' {
			if c, err := strconv.ParseUint(p[3:5], 16, 8); err == nil {
				b.WriteByte(byte(c))
				continue
			}
		}
		b.WriteString(p)
	}
	return b.String()
}

// Size is the number of tokens.
func (t *Llama2C) Size() int { return len(t.pieces) }

// ID returns the id of a piece, or -1.
func (t *Llama2C) ID(piece string) int {
	if i, ok := t.ids[piece]; ok {
		return i
	}
	return -1
}

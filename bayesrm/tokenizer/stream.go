package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Stream decodes ids one by one as they are generated: text comes out as soon as its characters are whole.
type Stream struct {
	t     Tokenizer
	ids   []int
	shown string
}

// NewStream starts a stream.
func NewStream(t Tokenizer) *Stream { return &Stream{t: t} }

// Next takes one id and returns the text that is now certain, which may be empty.
func (s *Stream) Next(id int) string {
	s.ids = append(s.ids, id)
	text := s.t.Decode(s.ids)
	if strings.HasSuffix(text, string(utf8.RuneError)) || !strings.HasPrefix(text, s.shown) {
		return "" // a character is not whole yet
	}
	out := text[len(s.shown):]
	s.shown = text
	const window = 64 // keep the decoding of long texts from growing
	if len(s.ids) > window {
		s.ids = s.ids[window/2:]
		s.shown = s.t.Decode(s.ids)
	}
	return out
}

// Flush returns what is left, a broken character included.
func (s *Stream) Flush() string {
	text := s.t.Decode(s.ids)
	out := strings.TrimPrefix(text, s.shown)
	s.shown = text
	return out
}

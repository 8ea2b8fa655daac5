package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"golang.org/x/text/unicode/norm"
)

// component is a normalizer, pre-tokenizer or decoder of a tokenizer.json.
type component struct {
	Type             string          `json:"type"`
	AddPrefixSpace   bool            `json:"add_prefix_space"`
	UseRegex         *bool           `json:"use_regex"`
	TrimOffsets      *bool           `json:"trim_offsets"`
	IndividualDigits bool            `json:"individual_digits"`
	Prepend          string          `json:"prepend"`
	Pattern          pattern         `json:"pattern"`
	Behavior         string          `json:"behavior"`
	Invert           bool            `json:"invert"`
	Content          json.RawMessage `json:"content"`
	Start            int             `json:"start"`
	Stop             int             `json:"stop"`
	Normalizers      []component     `json:"normalizers"`
	PreTokenizers    []component     `json:"pretokenizers"`
	Decoders         []component     `json:"decoders"`
}

type pattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// content is a text field that other components use for other types.
func (c component) content() (string, error) {
	var s string
	if err := json.Unmarshal(c.Content, &s); err != nil {
		return "", fmt.Errorf("%s: content: %w", c.Type, err)
	}
	return s, nil
}

// normalizer returns the function that a normalizer is, nil for none.
func normalizer(c *component) (func(string) string, error) {
	if c == nil {
		return nil, nil
	}
	switch c.Type {
	case "NFC":
		return norm.NFC.String, nil
	case "NFD":
		return norm.NFD.String, nil
	case "NFKC":
		return norm.NFKC.String, nil
	case "NFKD":
		return norm.NFKD.String, nil
	case "Prepend":
		return func(s string) string {
			if s == "" {
				return s
			}
			return c.Prepend + s
		}, nil
	case "Replace":
		to, err := c.content()
		if err != nil || c.Pattern.String == nil {
			return nil, fmt.Errorf("normalizer Replace: only a String pattern is supported: %w", err)
		}
		return func(s string) string { return strings.ReplaceAll(s, *c.Pattern.String, to) }, nil
	case "Sequence":
		var fs []func(string) string
		for i := range c.Normalizers {
			f, err := normalizer(&c.Normalizers[i])
			if err != nil {
				return nil, err
			}
			fs = append(fs, f)
		}
		return func(s string) string {
			for _, f := range fs {
				s = f(s)
			}
			return s
		}, nil
	}
	return nil, fmt.Errorf("normalizer %q: NFC, NFD, NFKC, NFKD, Prepend, Replace and Sequence are known", c.Type)
}

// splitter cuts a text into pieces.
type splitter func(s string, piece func(string)) error

// preTokenizer returns how text is cut before merging, and whether the pieces are spelled in the byte alphabet.
func preTokenizer(c *component) (split splitter, bytes bool, err error) {
	if c == nil {
		return func(s string, piece func(string)) error { piece(s); return nil }, false, nil
	}
	switch c.Type {
	case "ByteLevel":
		cut := splitter(func(s string, piece func(string)) error { piece(s); return nil })
		if c.UseRegex == nil || *c.UseRegex {
			cut = gpt2Split
		}
		if c.AddPrefixSpace {
			inner := cut
			cut = func(s string, piece func(string)) error {
				if s != "" && s[0] != ' ' {
					s = " " + s
				}
				return inner(s, piece)
			}
		}
		return cut, true, nil
	case "Digits":
		if !c.IndividualDigits {
			return nil, false, fmt.Errorf("pre-tokenizer Digits: only individual digits are supported")
		}
		return digits, false, nil
	case "Split":
		return splitPattern(c)
	case "Sequence":
		var parts []splitter
		for i := range c.PreTokenizers {
			if bytes {
				return nil, false, fmt.Errorf("pre-tokenizer Sequence: ByteLevel must come last")
			}
			f, b, err := preTokenizer(&c.PreTokenizers[i])
			if err != nil {
				return nil, false, err
			}
			parts, bytes = append(parts, f), b
		}
		return chain(parts), bytes, nil
	}
	return nil, false, fmt.Errorf("pre-tokenizer %q: ByteLevel, Digits, Split and Sequence are known", c.Type)
}

func chain(parts []splitter) splitter {
	if len(parts) == 1 {
		return parts[0]
	}
	return func(s string, piece func(string)) error {
		if len(parts) == 0 {
			piece(s)
			return nil
		}
		var inner error
		err := parts[0](s, func(p string) {
			if e := chain(parts[1:])(p, piece); e != nil {
				inner = e
			}
		})
		if err != nil {
			return err
		}
		return inner
	}
}

// digits cuts every numeric character off.
func digits(s string, piece func(string)) error {
	from := 0
	for i, r := range s {
		if !unicode.IsNumber(r) {
			continue
		}
		if i > from {
			piece(s[from:i])
		}
		from = i + utf8.RuneLen(r)
		piece(s[i:from])
	}
	if from < len(s) {
		piece(s[from:])
	}
	return nil
}

func splitPattern(c *component) (splitter, bool, error) {
	if c.Behavior != "Isolated" && c.Behavior != "Removed" || c.Invert && c.Behavior != "Removed" {
		return nil, false, fmt.Errorf("pre-tokenizer Split: behavior %q, invert %t: Isolated and (inverted) Removed are known", c.Behavior, c.Invert)
	}
	expr := ""
	switch {
	case c.Pattern.Regex != nil:
		expr = *c.Pattern.Regex
	case c.Pattern.String != nil:
		expr = regexp2.Escape(*c.Pattern.String)
	default:
		return nil, false, fmt.Errorf("pre-tokenizer Split: no pattern")
	}
	re, err := regexp2.Compile(expr, regexp2.None)
	if err != nil {
		return nil, false, fmt.Errorf("pre-tokenizer Split: %w", err)
	}
	between, matches := true, c.Behavior == "Isolated" || c.Invert
	if c.Invert {
		between = false
	}
	return func(s string, piece func(string)) error {
		rs := []rune(s)
		from := 0
		m, err := re.FindRunesMatch(rs)
		for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
			if m.Length == 0 {
				continue
			}
			if between && m.Index > from {
				piece(string(rs[from:m.Index]))
			}
			if matches {
				piece(string(rs[m.Index : m.Index+m.Length]))
			}
			from = m.Index + m.Length
		}
		if err != nil {
			return fmt.Errorf("tokenizer: %w", err)
		}
		if between && from < len(rs) {
			piece(string(rs[from:]))
		}
		return nil
	}, false, nil
}

// kind of a character for GPT-2's pattern.
type kind byte

const (
	letter kind = iota
	number
	space
	other
)

var asciiKinds = func() (k [utf8.RuneSelf]kind) {
	for r := range rune(utf8.RuneSelf) {
		k[r] = kindOf(r)
	}
	return k
}()

func kindOf(r rune) kind {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// kindAt returns the kind and length of the character at i.
func kindAt(s string, i int) (kind, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return asciiKinds[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return kindOf(r), n
}

// gpt2Split cuts as GPT-2's pattern does:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func gpt2Split(s string, piece func(string)) error {
	for i := 0; i < len(s); {
		j := gpt2End(s, i)
		piece(s[i:j])
		i = j
	}
	return nil
}

// gpt2End is where the piece that starts at i ends.
func gpt2End(s string, i int) int {
	if s[i] == '\'' {
		for _, c := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
			if strings.HasPrefix(s[i+1:], c) {
				return i + 1 + len(c)
			}
		}
	}
	start := i
	if s[i] == ' ' && i+1 < len(s) {
		start = i + 1
	}
	k, n := kindAt(s, start)
	if k != space {
		j := start + n
		for j < len(s) {
			next, n := kindAt(s, j)
			if next != k {
				break
			}
			j += n
		}
		return j
	}
	j, last := i, 0 // a run of white space
	for j < len(s) {
		k, n := kindAt(s, j)
		if k != space {
			break
		}
		last = n
		j += n
	}
	if j < len(s) && j-last > i { // its last character belongs to what follows
		return j - last
	}
	return j
}

// decoder says how the spellings of tokens become text.
type decoder struct {
	bytes    bool // spelled in the byte alphabet
	fallback bool // <0xNN> is a byte
	replace  [][2]string
	strip    string // taken off the start of the text once
}

func (d *decoder) add(c *component) error {
	if c == nil {
		return nil
	}
	switch c.Type {
	case "ByteLevel":
		d.bytes = true
	case "ByteFallback":
		d.fallback = true
	case "Fuse":
	case "Replace":
		to, err := c.content()
		if err != nil || c.Pattern.String == nil {
			return fmt.Errorf("decoder Replace: only a String pattern is supported: %w", err)
		}
		d.replace = append(d.replace, [2]string{*c.Pattern.String, to})
	case "Strip":
		what, err := c.content()
		if err != nil || c.Start != 1 || c.Stop != 0 {
			return fmt.Errorf("decoder Strip: only one character at the start is supported: %w", err)
		}
		d.strip = what
	case "Sequence":
		for i := range c.Decoders {
			if err := d.add(&c.Decoders[i]); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("decoder %q: ByteLevel, ByteFallback, Fuse, Replace, Strip and Sequence are known", c.Type)
	}
	return nil
}

package mime

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCut: a long text keeps its ends, whole characters of them; a short one is left as it is.
func TestCut(t *testing.T) {
	for _, s := range []string{strings.Repeat("ä", maxText), "xx" + strings.Repeat("世", maxText), strings.Repeat("\x80", maxText+1)} {
		got := Cut(s)
		head, rest, _ := strings.Cut(got, "\n… ")
		_, tail, ok := strings.Cut(rest, " …\n")
		if !ok || !strings.HasPrefix(s, head) || !strings.HasSuffix(s, tail) || len(got) > maxText+40 || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%.3q × many is cut to %d bytes: %.20q …", s, len(got), got)
		}
	}
	if s := strings.Repeat("x", maxText); Cut(s) != s {
		t.Error("a text of the greatest length is cut")
	}
}

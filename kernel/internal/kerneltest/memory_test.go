package kerneltest

import (
	"regexp"
	"strings"
	"testing"
)

var outOfMemory = regexp.MustCompile(`out of memory: the kernel holds \d\.\d of 0\.7 GiB`)

// TestMemoryLimit: cells that take all the memory there is are stopped with a message, in a loop of Go and in a goroutine; variables survive, and
// the kernel goes on.
func TestMemoryLimit(t *testing.T) {
	k := Start(t, "BAYESRM_MEMORY=700 MiB")
	if _, _, err := Run(t, k, "kept := 42\nvar all [][]byte\ngrow := func() { for { all = append(all, bytes.Repeat([]byte{1}, 1<<20)) } }"); err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"grow()", "all = nil\ngo grow()\nselect {}"} {
		_, _, err := Run(t, k, code)
		if err == nil || !outOfMemory.MatchString(err.Error()) || !strings.Contains(err.Error(), "BAYESRM_MEMORY") {
			t.Errorf("%s: error %v", code, err)
		}
	}
	if _, shown, err := Run(t, k, "all = nil\nkept"); shown != "42" || err != nil {
		t.Errorf("afterwards: %q, error %v", shown, err)
	}
	if _, _, err := Run(t, k, "garbage := 0\nfor range 3000 { garbage += len(bytes.Repeat([]byte{1}, 1<<20)) }"); err != nil {
		t.Errorf("3 GB of garbage, 1 MB at a time: %v", err)
	}
}

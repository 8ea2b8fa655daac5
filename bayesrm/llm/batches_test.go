package llm

import (
	"slices"
	"testing"
)

// TestBatches: the ranges follow one another to the end, and a prompt that is shared counts once a range.
func TestBatches(t *testing.T) {
	var seqs [][]int
	for i := range 60 {
		s := make([]int, 264) // 200 tokens of a prompt, 64 of an answer
		for k := 200; k < 264; k++ {
			s[k] = i + 1
		}
		seqs = append(seqs, s)
	}
	for shared, want := range map[bool][]int{true: {60}, false: {15, 30, 45, 60}} {
		var ends []int
		at := 0
		err := Batches(t.Context(), "test", seqs, MaxTokens, shared, func(from, to int) error {
			if from != at {
				t.Errorf("shared %t: a range starts at %d, want %d", shared, from, at)
			}
			at = to
			ends = append(ends, to)
			return nil
		})
		if err != nil || !slices.Equal(ends, want) {
			t.Errorf("shared %t: ranges end at %v (%v), want %v", shared, ends, err, want)
		}
	}
}

package llm

import (
	"context"
	"fmt"
	"slices"

	"gobayes/bayesrm/nn"
	"gobayes/bayesrm/progress"
)

// Batch is a packed batch: the tokens of all sequences end to end.
type Batch struct {
	IDs []int
	nn.Layout
}

// Pack makes a batch.
func Pack(seqs [][]int) Batch {
	b := Batch{}
	b.Off = []int{0}
	for _, s := range seqs {
		b.add(s)
	}
	return b
}

func (b *Batch) add(ids []int) {
	b.IDs = append(b.IDs, ids...)
	b.Off = append(b.Off, len(b.IDs))
}

// minShared is the shortest prefix worth sharing, in tokens.
const minShared = 8

// PackShared makes a batch in which neighbouring sequences that start alike share that start: its rows are computed once.
// last [len(seqs)] is the row of each sequence's last token. There is no backward through such a batch.
func PackShared(seqs [][]int) (b Batch, last []int) {
	b.Off = []int{0}
	for i := 0; i < len(seqs); {
		j, shared := i+1, len(seqs[i])-1
		for ; j < len(seqs); j++ {
			n := CommonPrefix(seqs[i][:shared], seqs[j])
			if n == len(seqs[j]) { // each keeps a token of its own
				n--
			}
			if n < minShared || 2*n < shared && j > i+1 {
				break
			}
			shared = n
		}
		prefix := -1
		if j > i+1 {
			prefix = b.Len()
			b.add(seqs[i][:shared])
			b.Prefix = append(b.Prefix, -1)
		} else {
			shared = 0
		}
		for ; i < j; i++ {
			b.add(seqs[i][shared:])
			b.Prefix = append(b.Prefix, prefix)
			last = append(last, len(b.IDs)-1)
		}
	}
	return b, last
}

// CommonPrefix is the number of tokens that a and b share at their start.
func CommonPrefix(a, b []int) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// MaxTokens is how many tokens are packed into one batch where nothing asks for another number.
const MaxTokens = 4096

// Batches cuts token sequences into ranges of at most about the given number of tokens, and calls f with each. With shared, what a sequence
// has in common with the one before it does not count, as in PackShared. It polls ctx between ranges and reports progress
// under the given task; done counts sequences.
func Batches(ctx context.Context, task string, seqs [][]int, tokens int, shared bool, f func(from, to int) error) error {
	for i := 0; i < len(seqs); {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: stopped after %d of %d texts: %w", task, i, len(seqs), err)
		}
		j, n := i+1, len(seqs[i])
		for ; j < len(seqs); j++ {
			more := len(seqs[j])
			if shared {
				more -= CommonPrefix(seqs[j-1], seqs[j])
			}
			if n += more; n > tokens {
				break
			}
		}
		if err := f(i, j); err != nil {
			return err
		}
		i = j
		progress.Report(ctx, progress.Event{Task: task, Done: i, Total: len(seqs)})
	}
	return nil
}

// check says which sequence of a batch the model cannot take.
func (m *Model) check(b Batch) error {
	for i := range b.Len() {
		_, P := b.Before(i)
		T := b.Off[i+1] - b.Off[i]
		if T == 0 {
			return fmt.Errorf("llm: sequence %d of %d is empty", i, b.Len())
		}
		if P+T > m.Config.Context {
			return fmt.Errorf("llm: sequence %d of %d has %d tokens; the model's context is %d", i, b.Len(), P+T, m.Config.Context)
		}
		for _, id := range b.IDs[b.Off[i]:b.Off[i+1]] {
			if id < 0 || id >= m.Config.Vocab {
				return fmt.Errorf("llm: sequence %d of %d holds token %d; the vocabulary has %d", i, b.Len(), id, m.Config.Vocab)
			}
		}
	}
	return nil
}

// Lasts is the row of each sequence's last token.
func (b Batch) Lasts() []int {
	last := make([]int, b.Len())
	for i := range last {
		last[i] = b.Off[i+1] - 1
	}
	return last
}

// offsetsOf says where the rows of each sequence lie in a list of rows, which ascend.
func (b Batch) offsetsOf(rows []int) []int {
	if rows == nil {
		return b.Off
	}
	off := make([]int, len(b.Off))
	for i, n := range b.Off {
		off[i], _ = slices.BinarySearch(rows, n)
	}
	return off
}

// repeat is the batch k times over: each copy's sequences see their own rows only.
func (b Batch) repeat(k int) Batch {
	out := Batch{IDs: repeat(b.IDs, 0, k)}
	out.Off = repeat(b.Off[1:], len(b.IDs), k)
	out.Off = append([]int{0}, out.Off...)
	for i := range k {
		for _, p := range b.Prefix {
			if p >= 0 {
				p += i * b.Len()
			}
			out.Prefix = append(out.Prefix, p)
		}
	}
	return out
}

// repeat is xs k times over, each time shifted by step; nil stays nil.
func repeat(xs []int, step, k int) (out []int) {
	for i := range k {
		for _, x := range xs {
			out = append(out, x+i*step)
		}
	}
	return out
}

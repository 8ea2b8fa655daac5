package laplace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/train"
)

// checkpoint is where a fit can go on.
type checkpoint struct {
	path  string // "" keeps nothing
	every int
	done  int // pairs
	saved int // done when it was written
	key   string
}

// fitVersion is raised when the meaning of savedFit changes.
const fitVersion = 1

// savedFit is the file of a checkpoint.
type savedFit struct {
	Key                        string
	Done                       int
	Informative, LogLikelihood float64
	Rows                       []float32
	Sums                       []float64
}

// resume reads the checkpoint of a fit, if there is one, into l and acc.
func (l *Posterior) resume(seqs [][]int, o *Options, acc accumulator) (*checkpoint, error) {
	c := &checkpoint{path: o.Checkpoint, every: o.Every}
	if c.path == "" {
		return c, nil
	}
	if c.every <= 0 {
		c.every = 500
	}
	var err error
	indices := []int(nil)
	if l.subset != nil {
		indices = append([]int{}, l.subset.indices...)
	}
	if c.key, err = train.Key(l.Model.Base.Fingerprint(), l.Model.Theta(), l.Model.Head, l.Model.Options, l.Curvature, l.Temperature, o.Rank, o.Inducing, indices, seqs); err != nil {
		return nil, err
	}
	var s savedFit
	err = sealed.ReadGob(c.path, fitVersion, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	rows, sums := acc.state()
	_, growing := acc.(*gradients)
	if s.Key != c.key || !growing && len(s.Sums) != len(*sums) || growing && len(s.Rows) != s.Done*l.Weights {
		return nil, fmt.Errorf("checkpoint %s belongs to another fit; remove it to start anew", c.path)
	}
	if growing {
		*rows, *sums = s.Rows, s.Sums
	} else {
		copy(*sums, s.Sums)
	}
	l.Informative, l.LogLikelihood = s.Informative, s.LogLikelihood
	c.done, c.saved = s.Done, s.Done
	return c, nil
}

// passed counts n pairs and writes the checkpoint when it is time.
func (c *checkpoint) passed(l *Posterior, acc accumulator, n int) error {
	c.done += n
	if c.path == "" || c.done-c.saved < c.every {
		return nil
	}
	c.saved = c.done
	rows, sums := acc.state()
	s := savedFit{c.key, c.done, l.Informative, l.LogLikelihood, *rows, *sums}
	if err := sealed.WriteGob(c.path, fitVersion, s); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

func (c *checkpoint) remove() error {
	if c.path == "" {
		return nil
	}
	if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// kept is the file of ScoreOptions.Checkpoint: a line with the key of the run, then one for each prompt.
type kept struct {
	*os.File
	by map[int][]bayesrm.Belief
}

type keptLine struct {
	Key      string `json:"key,omitempty"`
	Question int    `json:"question"`
	Beliefs  []byte `json:"beliefs,omitempty"` // five little-endian float64 an answer
	Sum      uint32 `json:"crc32c,omitempty"`  // of the number and the beliefs
}

func (v keptLine) sum() uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(bytes.Clone(v.Beliefs), uint64(v.Question)), crc32.MakeTable(crc32.Castagnoli))
}

// openKept reads what is kept; from a line on that is damaged, or was cut off when the run was killed, all goes.
func (l *Posterior) openKept(path string, pool *bayesrm.Pool, single bool) (*kept, error) {
	var texts [][]string
	for _, q := range pool.Questions {
		row := []string{q.ID, q.Prompt}
		for _, a := range q.Answers {
			row = append(row, a.ID, a.Text)
		}
		texts = append(texts, row)
	}
	key, err := train.Key(l.Model.Base.Fingerprint(), l.Model.Theta(), l.Model.Head, l.Model.Options, l.Model.Normalizer, l.Curvature, l.Temperature, l.Groups, l.PriorPrecision, l.LogEvidence, texts, single)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // results that others may read
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	k := &kept{f, map[int][]bayesrm.Belief{}}
	var good int64
	r := bufio.NewReader(f)
	for first := true; ; first = false {
		line, err := r.ReadBytes('\n')
		var v keptLine
		if err != nil || json.Unmarshal(line, &v) != nil {
			break
		}
		if first && v.Key != key {
			f.Close()
			return nil, fmt.Errorf("checkpoint %s belongs to another run; remove it to start anew", path)
		}
		if !first {
			if v.Sum != v.sum() || v.Question < 0 || v.Question >= len(pool.Questions) || len(v.Beliefs) != 40*len(pool.Questions[v.Question].Answers) {
				break
			}
			k.by[v.Question] = decodeBeliefs(v.Beliefs, pool.Questions[v.Question])
		}
		good += int64(len(line))
	}
	err = f.Truncate(good)
	if err == nil {
		_, err = f.Seek(good, 0)
	}
	if err == nil && good == 0 {
		err = k.write(keptLine{Key: key})
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return k, nil
}

func (k *kept) beliefs(question int) ([]bayesrm.Belief, bool) {
	if k == nil {
		return nil, false
	}
	bs, ok := k.by[question]
	return bs, ok
}

func (k *kept) add(question int, bs []bayesrm.Belief) error {
	if k == nil {
		return nil
	}
	var b bytes.Buffer
	for _, x := range bs {
		for _, v := range []float64{x.Mean, x.Var, x.RelVar, x.PriorVar, x.PriorRelVar} {
			b.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		}
	}
	v := keptLine{Question: question, Beliefs: b.Bytes()}
	v.Sum = v.sum()
	return k.write(v)
}

func (k *kept) write(v keptLine) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = k.Write(append(b, '\n'))
	}
	return err
}

func decodeBeliefs(b []byte, q bayesrm.Question) (bs []bayesrm.Belief) {
	at := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])) }
	for i, a := range q.Answers {
		bs = append(bs, bayesrm.Belief{ID: a.ID, Mean: at(5 * i), Var: at(5*i + 1), RelVar: at(5*i + 2), PriorVar: at(5*i + 3), PriorRelVar: at(5*i + 4)})
	}
	return bs
}

package llm

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/tensor"
)

// GenerateOptions configure Generate. A nil *GenerateOptions, and every zero field, mean the default.
type GenerateOptions struct {
	// Samples is the number of answers to each prompt. Default 1.
	Samples int
	// MaxTokens is the most tokens of an answer. Default: what the context leaves.
	MaxTokens int
	// Temperature divides the logits. Default 1. Greedy decoding has a field of its own.
	Temperature float64
	// Greedy takes the likeliest token each time; the other fields that shape the distribution do not matter then.
	Greedy bool
	// TopK keeps the k likeliest tokens; 0 keeps all.
	TopK int
	// TopP keeps the fewest of the likeliest tokens whose probabilities reach p, after TopK; 0 keeps all.
	TopP float64
	// MinP keeps the tokens at least this times as likely as the likeliest; 0 keeps all.
	MinP float64
	// RepetitionPenalty divides the positive and multiplies the negative logits of tokens that have occurred (Keskar et al.,
	// 2019). Default 1.
	RepetitionPenalty float64
	// Stop ends an answer whose text contains one of these; it needs a tokenizer.
	Stop []string
	// LogProbs records the log-probability of each token under the model's own distribution: no temperature, nothing cut.
	LogProbs bool
	// Seed starts one stream of random numbers per answer, from the prompt and the answer's number: an answer does not
	// depend on what is drawn beside it.
	Seed uint64
	// Seeds, one a prompt, replace Seed: the stream then depends on this number and the answer's, not on the prompt.
	Seeds []uint64
	// First is the number of the first answer, for drawing the answers of one seed in several calls.
	First int
}

// Completion is one generated answer.
type Completion struct {
	Text     string    // set by Complete
	IDs      []int     // the end token is among them, if it came
	LogProbs []float64 // of each token, if asked for
	Reason   string    // why it ends: "end" token, "stop" text or "length"
}

// Text is the text of a generated answer, without the end token.
func (m *Model) Text(c Completion) string {
	ids := c.IDs
	if c.Reason == "end" {
		ids = ids[:len(ids)-1]
	}
	return m.Tokenizer.Decode(ids)
}

// Complete is Generate of texts: prompts in the model's template, answers with their text.
func (m *Model) Complete(ctx context.Context, prompts []string, opts *GenerateOptions) ([][]Completion, error) {
	ids := make([][]int, len(prompts))
	for i, p := range prompts {
		var err error
		if ids[i], err = m.EncodePrompt(p); err != nil {
			return nil, fmt.Errorf("llm: complete: prompt %d (%.40q): %w", i, p, err)
		}
	}
	out, err := m.Generate(ctx, ids, opts)
	if err != nil {
		return nil, err
	}
	for _, cs := range out {
		for k := range cs {
			cs[k].Text = m.Text(cs[k])
		}
	}
	return out, nil
}

// Generate continues each prompt; a prompt is read once for all its answers. out[p][i] is answer i to prompt p.
func (m *Model) Generate(ctx context.Context, prompts [][]int, opts *GenerateOptions) (out [][]Completion, err error) {
	o, err := m.generateOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("llm: generate: %w", err)
	}
	if err := m.check(Pack(prompts)); err != nil {
		return nil, fmt.Errorf("llm: generate: prompts: %w", err)
	}
	if o.Seeds != nil && len(o.Seeds) != len(prompts) {
		return nil, fmt.Errorf("llm: generate: %d seeds for %d prompts", len(o.Seeds), len(prompts))
	}
	out = make([][]Completion, len(prompts))
	for p, ids := range prompts {
		if len(ids) >= m.Config.Context {
			return nil, fmt.Errorf("llm: generate: prompt %d has %d tokens and the context is %d", p, len(ids), m.Config.Context)
		}
		out[p] = make([]Completion, o.Samples)
	}
	d := &decoder{m: m, o: o, prompts: prompts, out: out, acts: Acts{Inference: true}}
	d.slots = d.rowsInMemory()
	total := len(prompts) * o.Samples
	for d.finished < total {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("llm: generate: stopped after %d of %d answers: %w", d.finished, total, err)
		}
		before := d.finished
		if len(d.active) < d.slots && d.next < total {
			if err := d.admit(ctx); err != nil {
				return nil, err
			}
		} else {
			d.step()
		}
		if d.finished > before && total > 1 {
			progress.Report(ctx, progress.Event{Task: "generate", Done: d.finished, Total: total})
		}
	}
	return out, nil
}

func (m *Model) generateOptions(opts *GenerateOptions) (GenerateOptions, error) {
	o := GenerateOptions{}
	if opts != nil {
		o = *opts
	}
	switch {
	case o.Temperature < 0 || o.TopK < 0 || o.TopP < 0 || o.TopP > 1 || o.MinP < 0 || o.MinP > 1 || o.RepetitionPenalty < 0:
		return o, fmt.Errorf("options %+v: temperature, top-k and the repetition penalty must not be negative, top-p and min-p lie between 0 and 1", o)
	case m.unembed == nil:
		return o, fmt.Errorf("the model has no output projection")
	case len(o.Stop) > 0 && m.Tokenizer == nil:
		return o, fmt.Errorf("stop texts %q: the model has no tokenizer", o.Stop)
	}
	if o.Samples <= 0 {
		o.Samples = 1
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	if o.RepetitionPenalty == 0 {
		o.RepetitionPenalty = 1
	}
	if o.MaxTokens <= 0 {
		o.MaxTokens = m.Config.Context
	}
	return o, nil
}

// decoder generates the answers of one call, several at a time: as one ends, the next takes its place.
type decoder struct {
	m        *Model
	o        GenerateOptions
	prompts  [][]int
	out      [][]Completion
	slots    int // answers in memory at once
	next     int // number of the next answer to start: prompt·Samples + sample
	finished int
	active   []*answer // those of one prompt lie together
	read     map[int]*prefix
	acts     Acts
	la       layerActs
	h        []float32
	logits   []float32
}

// prefix is a prompt that has been read.
type prefix struct {
	kv     []tensor.KV // [layers, KV heads]
	logits []float32   // of the token after the prompt [V]
	left   int         // answers still to be finished
	seeds  [2]uint64   // of the first answer's random numbers; the second number goes up by one an answer
}

// answer is one that is being generated.
type answer struct {
	prompt, sample int
	ids            []int
	logProbs       []float64
	rng            *rand.Rand
	kv             []tensor.KV // [layers, KV heads], own rows
}

// rowsInMemory bounds the keys and values of the answers under way to about half a gigabyte.
func (d *decoder) rowsInMemory() int {
	c := d.m.Config
	each := 8 * c.Layers * d.m.heads.KV * d.m.heads.D * (min(d.o.MaxTokens, c.Context) + 48)
	return max(16, min(256, (512<<20)/each))
}

// admit reads as many prompts as there are free places for and starts their answers.
func (d *decoder) admit(ctx context.Context) error {
	m, S := d.m, d.o.Samples
	var fresh []int
	end := min(len(d.prompts)*S, d.next+d.slots-len(d.active))
	tokens := 0
	for n := d.next; n < end; n = (n/S + 1) * S {
		p := n / S
		if d.read[p] != nil {
			continue
		}
		if tokens += len(d.prompts[p]); tokens > 4096 && len(fresh) > 0 {
			end = n
			break
		}
		fresh = append(fresh, p)
	}
	if len(fresh) > 0 {
		if err := d.readPrompts(ctx, fresh); err != nil {
			return err
		}
	}
	var started []*answer
	for ; d.next < end; d.next++ {
		a := &answer{prompt: d.next / S, sample: d.next % S, kv: d.cache(&answerCaches)}
		seeds := d.read[a.prompt].seeds
		a.rng = rand.New(rand.NewPCG(seeds[0], seeds[1]+uint64(a.sample)))
		for i := range a.kv {
			a.kv[i].Reset(m.heads.D, min(64, d.o.MaxTokens))
		}
		started = append(started, a)
	}
	d.active = append(d.active, d.choose(started, func(i int) []float32 { return slices.Clone(d.read[started[i].prompt].logits) })...)
	return nil
}

// Keys and values [layers, KV heads] of prompts and answers that are over, to be used again: those of many answers take more memory
// than the weights. They are kept apart, or short answers would hold what long prompts took.
var promptCaches, answerCaches sync.Pool

// cache returns memory for keys and values, used before if there is any.
func (d *decoder) cache(from *sync.Pool) []tensor.KV {
	n := len(d.m.blocks) * d.m.heads.KV
	if kv, ok := from.Get().(*[]tensor.KV); ok && len(*kv) == n {
		return *kv
	}
	return make([]tensor.KV, n)
}

// release gives back what cache returned, alone: a pointer into the prompt or answer would hold its logits, too.
func release(to *sync.Pool, kv []tensor.KV) { to.Put(&kv) }

// seeds start the random numbers of the first answer to a prompt.
func (o *GenerateOptions) seeds(p int, prompt []int) [2]uint64 {
	if o.Seeds != nil {
		return [2]uint64{o.Seeds[p], uint64(o.First)}
	}
	h := fnv.New64a()
	for _, id := range prompt {
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(id)))
	}
	return [2]uint64{o.Seed, h.Sum64() + uint64(o.First)}
}

// readPrompts computes keys and values of the given prompts, and the logits after them.
func (d *decoder) readPrompts(ctx context.Context, fresh []int) error {
	m, hs := d.m, d.m.heads
	if d.read == nil {
		d.read = map[int]*prefix{}
	}
	var seqs [][]int
	for _, p := range fresh {
		seqs = append(seqs, d.prompts[p])
		d.read[p] = &prefix{kv: d.cache(&promptCaches), left: d.o.Samples, seeds: d.o.seeds(p, d.prompts[p])}
	}
	b := Pack(seqs)
	d.acts.keep = func(l int, k, v []float32) {
		tensor.Parallel(len(fresh)*hs.KV, func(job int) {
			i, g := job/hs.KV, job%hs.KV
			kv := &d.read[fresh[i]].kv[l*hs.KV+g]
			T := b.Off[i+1] - b.Off[i]
			kv.Reset(hs.D, T)
			kv.Append(k[b.Off[i]*hs.KRow+hs.K(g):], hs.KRow, v[b.Off[i]*hs.VRow+hs.V(g):], hs.VRow, T)
		})
	}
	if err := m.Forward(ctx, &d.acts, b, b.Lasts()); err != nil {
		return err
	}
	logits, V := m.Logits(d.acts.Hidden), m.Config.Vocab
	for i, p := range fresh {
		d.read[p].logits = logits[i*V : (i+1)*V]
	}
	return nil
}

// choose draws the next token of each answer from its logits, which it overwrites, and returns those that go on.
func (d *decoder) choose(as []*answer, logits func(i int) []float32) (on []*answer) {
	done := make([]bool, len(as))
	tensor.Parallel(len(as), func(i int) {
		a, l := as[i], logits(i)
		lse := float64(0)
		var raw []float32
		if d.o.LogProbs {
			raw = append(raw, l...)
			lse = float64(tensor.Softmax(append([]float32{}, l...)))
		}
		id := d.o.pick(l, a.rng, d.prompts[a.prompt], a.ids)
		a.ids = append(a.ids, id)
		if d.o.LogProbs {
			a.logProbs = append(a.logProbs, float64(raw[id])-lse)
		}
		reason := d.ends(a)
		if done[i] = reason != ""; done[i] {
			d.out[a.prompt][a.sample] = Completion{IDs: a.ids, LogProbs: a.logProbs, Reason: reason}
		}
	})
	for i, a := range as {
		if !done[i] {
			on = append(on, a)
			continue
		}
		d.finished++
		release(&answerCaches, a.kv)
		if p := d.read[a.prompt]; p.left > 1 {
			p.left--
		} else {
			delete(d.read, a.prompt)
			release(&promptCaches, p.kv)
		}
	}
	return on
}

// ends says why an answer is over, "" if it is not.
func (d *decoder) ends(a *answer) string {
	m := d.m
	switch {
	case a.ids[len(a.ids)-1] == m.Config.EOS:
		return "end"
	case len(d.o.Stop) > 0:
		longest := 0
		for _, s := range d.o.Stop {
			longest = max(longest, len(s))
		}
		// a token is at least a byte, but for the end of a character: 4 more
		text := m.Tokenizer.Decode(a.ids[max(0, len(a.ids)-longest-4):])
		for _, s := range d.o.Stop {
			if strings.Contains(text, s) {
				return "stop"
			}
		}
	}
	if len(a.ids) >= min(d.o.MaxTokens, m.Config.Context-len(d.prompts[a.prompt])) {
		return "length"
	}
	return ""
}

// queries are scratch space for attention.
var queries = sync.Pool{New: func() any { return new(tensor.Queries) }}

// step reads the last token of each active answer and draws the next.
func (d *decoder) step() {
	m, n := d.m, len(d.active)
	C, hs, la := m.Config.Width, m.heads, &d.la
	x := size(d.acts.x[0], n*C)
	d.acts.x[0] = x
	ids := make([]int, n)
	for i, a := range d.active {
		ids[i] = a.ids[len(a.ids)-1]
	}
	m.embed.rows(x, ids)
	// the answers of one prompt attend to it together, as many as make a block of queries
	group := hs.H / hs.KV
	var runs [][2]int
	for i := 0; i < n; {
		j := i + 1
		for j < n && (j-i+1)*group <= tensor.QueryBlock && d.active[j].prompt == d.active[i].prompt {
			j++
		}
		runs = append(runs, [2]int{i, j})
		i = j
	}
	la.mean1, la.rs1, la.n1 = size(la.mean1, n), size(la.rs1, n), size(la.n1, n*C)
	for l, blk := range m.blocks {
		blk.norm1.apply(la.n1, la.mean1, la.rs1, x)
		m.project(&d.acts, blk, la, n)
		la.att = size(la.att, n*C)
		tensor.Parallel(n, func(i int) {
			a := d.active[i]
			m.rotateRow(la.q[i*hs.QRow:(i+1)*hs.QRow], la.k[i*hs.KRow:(i+1)*hs.KRow], len(d.prompts[a.prompt])+len(a.ids)-1, false)
		})
		tensor.Parallel(len(runs)*hs.KV, func(job int) {
			run, g := runs[job/hs.KV], job%hs.KV
			q := queries.Get().(*tensor.Queries)
			defer queries.Put(q)
			for i := run[0]; i < run[1]; i++ {
				d.active[i].kv[l*hs.KV+g].Append(la.k[i*hs.KRow+hs.K(g):], hs.KRow, la.v[i*hs.VRow+hs.V(g):], hs.VRow, 1)
			}
			row := func(i int) int { return run[0] + i/group }
			head := func(i int) int { return g*group + i%group }
			q.Load((run[1]-run[0])*group, hs.D, func(i int) []float32 { return la.q[row(i)*hs.QRow+hs.Q(head(i)):] }, func(int) int { return 0 })
			q.AttendStep(&d.read[d.active[run[0]].prompt].kv[l*hs.KV+g],
				func(i int) *tensor.KV { return &d.active[row(i)].kv[l*hs.KV+g] },
				func(i int) []float32 { return la.att[row(i)*C+head(i)*hs.D:] })
		})
		m.rest(&d.acts, blk, la, x)
	}
	d.h = size(d.h, n*C)
	m.final.apply(d.h, la.mean1, la.rs1, x)
	V := m.Config.Vocab
	d.logits = size(d.logits, n*V)
	m.unembed.multiply(d.logits, d.h, n, false)
	d.active = d.choose(d.active, func(i int) []float32 { return d.logits[i*V : (i+1)*V] })
}

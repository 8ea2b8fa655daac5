package sample

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/progress"
)

// Row is a line of a shard: an answer to a prompt. Equal answers to a prompt stand once.
type Row struct {
	Prompt int32   `parquet:"prompt"` // number of the prompt
	First  int32   `parquet:"first"`  // number of the first answer that is this one
	Count  int32   `parquet:"count"`  // how many are
	Text   string  `parquet:"text,zstd"`
	Gold   float64 `parquet:"gold"` // NaN where none was given
}

// ShardOptions configure Draw. A nil *ShardOptions, and every zero field, mean the default.
type ShardOptions struct {
	Options
	// Prompts in a shard: what is in memory at once, and what a run that was killed has to do again. Default 8.
	Prompts int
	// Gold scores the answers. Default nil: none.
	Gold bayesrm.Scorer
	// GoldName tells golds apart: a folder that was begun with another is refused.
	GoldName string
}

// Shards are answers to prompts in Parquet files of a folder, a few prompts a file. Any reader of Parquet opens them.
type Shards struct {
	Dir string
	manifest
}

// manifest is manifest.json.
type manifest struct {
	Key      string // of everything that the answers depend on
	Prompts  []string
	PerShard int
	Answers  int // to each prompt
}

const shardsVersion = 1

const manifestName = "manifest.json"

// Len is the number of shards.
func (s *Shards) Len() int { return (len(s.Prompts) + s.PerShard - 1) / s.PerShard }

// String is the number of prompts, answers and shards.
func (s *Shards) String() string {
	return fmt.Sprintf("%d prompts × %d answers in %d shards", len(s.Prompts), s.Answers, s.Len())
}

func (s *Shards) path(i int) string {
	return filepath.Join(s.Dir, fmt.Sprintf("part-%05d.parquet", i))
}

func (s *Shards) name(i int) string { return fmt.Sprintf("%s, shard %d", s.Key, i) }

// Draw draws answers to prompts into the shards of a folder. Each is written under another name, synced and renamed: a run that
// was stopped or killed goes on with the shards that are missing, and ends with the same bytes. When ctx ends the error wraps
// ctx's.
func Draw(ctx context.Context, policy Policy, prompts []string, dir string, opts *ShardOptions) (*Shards, error) {
	s, err := Begin(policy, prompts, dir, opts)
	if err != nil {
		return nil, err
	}
	for i := range s.Len() {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("sample: draw: stopped after %d of %d shards: %w", i, s.Len(), err)
		}
		if err := s.Make(ctx, policy, i, opts); err != nil {
			return nil, err
		}
		progress.Report(ctx, progress.Event{Task: "draw shards", Done: i + 1, Total: s.Len()})
	}
	if err := sealed.Sweep(dir); err != nil {
		return nil, fmt.Errorf("sample: draw: %w", err)
	}
	return s, nil
}

// Begin prepares the folder of Draw and draws nothing: Make draws one shard, on this machine or another. It is an error if the folder
// was begun with another policy, other prompts or other options.
func Begin(policy Policy, prompts []string, dir string, opts *ShardOptions) (*Shards, error) {
	o := opts.resolve()
	if len(prompts) == 0 {
		return nil, errors.New("sample: draw: no prompts")
	}
	key := fmt.Sprintf("policy %s, gold %q, %+v", policy.Fingerprint(), o.GoldName, o.Options)
	s := &Shards{dir, manifest{key, prompts, o.Prompts, o.Answers}}
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("sample: draw: %w", err)
	}
	return s, nil
}

// Make draws one shard unless it is there, with what Begin was given.
func (s *Shards) Make(ctx context.Context, policy Policy, i int, opts *ShardOptions) error {
	done, err := s.Has(i)
	if err == nil && !done {
		err = s.draw(ctx, policy, i, opts.resolve())
	}
	if err != nil {
		return fmt.Errorf("sample: draw: shard %d of %d: %w", i, s.Len(), err)
	}
	return nil
}

func (opts *ShardOptions) resolve() ShardOptions {
	o := ShardOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Prompts <= 0 {
		o.Prompts = 8
	}
	if o.Answers <= 0 {
		o.Answers = 16
	}
	return o
}

// begin writes the manifest, or finds that it is there.
func (s *Shards) begin() error {
	old, err := Open(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(s.Dir, 0o755); err != nil {
			return err
		}
		return sealed.WriteJSON(filepath.Join(s.Dir, manifestName), shardsVersion, s.manifest)
	}
	if err != nil {
		return err
	}
	a, _ := json.Marshal(old.manifest) // plain fields
	b, _ := json.Marshal(s.manifest)
	if !bytes.Equal(a, b) {
		return fmt.Errorf("%s holds other answers (%s; now %s); take another folder or remove it", s.Dir, old.Key, s.Key)
	}
	return nil
}

// Has says whether a shard is there. One of another run is an error.
func (s *Shards) Has(i int) (bool, error) { return sealed.HasParquet(s.path(i), s.name(i)) }

// draw makes one shard.
func (s *Shards) draw(ctx context.Context, policy Policy, i int, o ShardOptions) error {
	from := i * s.PerShard
	silent := progress.Silent(ctx)
	pool, err := Pool(silent, policy, s.Prompts[from:min(len(s.Prompts), from+s.PerShard)], &o.Options)
	if err != nil {
		return err
	}
	if o.Gold != nil {
		if err := Label(silent, pool, o.Gold); err != nil {
			return err
		}
	}
	var rows []Row
	for q, question := range pool.Questions {
		base := len(rows)
		_, row := question.Distinct()
		for k, a := range question.Answers {
			if r := base + row[k]; r < len(rows) {
				rows[r].Count++
				continue
			}
			rows = append(rows, Row{Prompt: int32(from + q), First: int32(k), Count: 1, Text: a.Text, Gold: a.Gold})
		}
	}
	return sealed.WriteParquet(s.path(i), s.name(i), rows)
}

// Open finds the shards of a folder.
func Open(dir string) (*Shards, error) {
	path := filepath.Join(dir, manifestName)
	s := &Shards{Dir: dir}
	if err := sealed.ReadJSON(path, shardsVersion, &s.manifest); err != nil {
		return nil, fmt.Errorf("sample: open shards: %w", err)
	}
	if s.PerShard <= 0 || s.Answers <= 0 {
		return nil, fmt.Errorf("sample: open shards: %s: %d prompts a shard, %d answers; want positive numbers", path, s.PerShard, s.Answers)
	}
	return s, nil
}

// Pool reads one shard as a pool, every answer as often as it came. Ids are numbers of prompt and answer, as in Pool; equal
// answers stand together.
func (s *Shards) Pool(i int) (*bayesrm.Pool, error) {
	if i < 0 || i >= s.Len() {
		return nil, fmt.Errorf("sample: shard %d: there are %d", i, s.Len())
	}
	if ok, err := s.Has(i); err != nil || !ok {
		return nil, fmt.Errorf("sample: shard %d: it is not there (%v); Draw makes it", i, err)
	}
	pool := &bayesrm.Pool{}
	if err := sealed.Rows(s.path(i), func(_ int, r Row) error {
		n := len(pool.Questions)
		id := fmt.Sprint(r.Prompt)
		if r.Prompt < 0 || int(r.Prompt) >= len(s.Prompts) || r.Count < 1 || int(r.Count) > s.Answers {
			return fmt.Errorf("prompt %d of %d, %d times of %d", r.Prompt, len(s.Prompts), r.Count, s.Answers)
		}
		if n == 0 || pool.Questions[n-1].ID != id {
			pool.Questions = append(pool.Questions, bayesrm.Question{ID: id, Prompt: s.Prompts[r.Prompt]})
			n++
		}
		q := &pool.Questions[n-1]
		for range r.Count {
			q.Answers = append(q.Answers, bayesrm.Answer{ID: fmt.Sprintf("%d/%d", r.Prompt, len(q.Answers)), Text: r.Text, Gold: r.Gold})
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("sample: shard %d: %w", i, err)
	}
	return pool, nil
}

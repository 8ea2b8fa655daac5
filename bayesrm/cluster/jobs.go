package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/sample"
	"gobayes/bayesrm/world"
)

// kinds are the jobs that a worker does, by name. Each finds out first whether its result is there.
var kinds = map[string]func(ctx context.Context, t *tools, spec json.RawMessage) error{
	"draw":     drawJob,
	"score":    scoreJob,
	"train":    trainJob,
	"notebook": notebookJob,
}

// tools are what a worker keeps from job to job of a run.
type tools struct {
	shards  *sample.Shards // that are drawn, once the policy is known to be theirs
	models  map[string]*llm.Model
	scorers map[string]bayesrm.Scorer
}

// model loads a model, or finds it loaded.
func (t *tools) model(ctx context.Context, path string) (*llm.Model, error) {
	if m := t.models[path]; m != nil {
		return m, nil
	}
	m, err := llm.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	if t.models == nil {
		t.models = map[string]*llm.Model{}
	}
	t.models[path] = m
	return m, nil
}

// policy is the model of a folder, or a server.
func (t *tools) policy(ctx context.Context, path string, server *sample.Server) (sample.Policy, error) {
	if (path == "") == (server == nil) {
		return nil, errors.New("the policy: give its folder or a server, and not both")
	}
	if server != nil {
		return server, nil
	}
	return t.model(ctx, path)
}

// World names the gold of the controlled world where a folder of a scorer is asked for.
const World = "world"

// scorer loads what scores: the controlled world's gold, or the folder of a posterior or a reward model.
func (t *tools) scorer(ctx context.Context, name string) (bayesrm.Scorer, error) {
	if s := t.scorers[name]; s != nil {
		return s, nil
	}
	s, err := loadScorer(ctx, name)
	if err != nil {
		return nil, err
	}
	if t.scorers == nil {
		t.scorers = map[string]bayesrm.Scorer{}
	}
	t.scorers[name] = s
	return s, nil
}

func loadScorer(ctx context.Context, name string) (bayesrm.Scorer, error) {
	if name == World {
		return world.Scorer{}, nil
	}
	if _, err := os.Stat(filepath.Join(name, "posterior.json")); err == nil {
		return laplace.Load(ctx, name, nil)
	}
	return reward.Load(ctx, name, nil)
}

func hash(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:32] }

// absolute makes paths whole: workers have other working folders. World stays.
func absolute(paths ...*string) error {
	for _, p := range paths {
		if *p == "" || *p == World {
			continue
		}
		var err error
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	return nil
}

// DrawOptions configure Draw. A nil *DrawOptions, and every zero field, mean the default.
type DrawOptions struct {
	sample.Options
	// Prompts in a shard, which is a job. Default 8.
	Prompts int
	// Server is a policy elsewhere, in place of a folder.
	Server *sample.Server
	// Gold scores the answers: World, or the folder of a posterior or a reward model. Default: none.
	Gold string
}

type drawSpec struct {
	Policy, Dir string
	Shard       int
	Options     DrawOptions
}

func (o DrawOptions) shards(gold bayesrm.Scorer) *sample.ShardOptions {
	return &sample.ShardOptions{Options: o.Options, Prompts: o.Prompts, Gold: gold, GoldName: o.Gold}
}

// Draw is sample.Draw by all workers: answers of the policy in a folder, or with "" of opts.Server, to prompts, in Parquet shards of the
// folder dir. The bytes are the same, whoever draws.
func (c *Cluster) Draw(ctx context.Context, policy string, prompts []string, dir string, opts *DrawOptions) (*sample.Shards, error) {
	o := DrawOptions{}
	if opts != nil {
		o = *opts
	}
	if err := absolute(&policy, &dir, &o.Gold); err != nil {
		return nil, fmt.Errorf("cluster: draw: %w", err)
	}
	m, err := new(tools).policy(ctx, policy, o.Server)
	if err != nil {
		return nil, fmt.Errorf("cluster: draw: %w", err)
	}
	s, err := sample.Begin(m, prompts, dir, o.shards(nil))
	if err != nil {
		return nil, fmt.Errorf("cluster: draw: %w", err)
	}
	err = c.q.run(ctx, work{task: "draw shards", kind: "draw", key: dir + "\n" + s.Key, total: s.Len(), done: s.Has,
		spec: func(i int) any { return drawSpec{policy, dir, i, o} }})
	if err == nil {
		err = sealed.Sweep(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: draw: %w", err)
	}
	return s, nil
}

func drawJob(ctx context.Context, t *tools, spec json.RawMessage) error {
	var s drawSpec
	if err := json.Unmarshal(spec, &s); err != nil {
		return err
	}
	m, err := t.policy(ctx, s.Policy, s.Options.Server)
	if err != nil {
		return err
	}
	var gold bayesrm.Scorer
	if s.Options.Gold != "" {
		if gold, err = t.scorer(ctx, s.Options.Gold); err != nil {
			return err
		}
	}
	if t.shards == nil { // reads all weights of the policy: once a run
		shards, err := sample.Open(s.Dir)
		if err != nil {
			return fmt.Errorf("%w; does this machine see the same folders?", err)
		}
		if t.shards, err = sample.Begin(m, shards.Prompts, s.Dir, s.Options.shards(gold)); err != nil { // the same policy here?
			return err
		}
	}
	return t.shards.Make(ctx, m, s.Shard, s.Options.shards(gold))
}

// Train is ensemble.Train by all workers: members on preference pairs of a file, in the folders member-0, member-1, … of dir. With
// posterior options each member gets its posterior, fitted on the same pairs. Options.Bases is not for it.
func (c *Cluster) Train(ctx context.Context, base, pairs, dir string, opts *ensemble.Options, posterior *laplace.Options) ([]string, error) {
	o := ensemble.Options{}
	if opts != nil {
		o = *opts
	}
	if len(o.Bases) > 0 {
		return nil, errors.New("cluster: train: Bases are models in memory; train the members of each base by a call of its own")
	}
	if posterior != nil && posterior.Weights != nil {
		return nil, errors.New("cluster: train: a posterior over some of the weights does not travel; leave out Weights and fit it here")
	}
	if o.Members <= 0 {
		o.Members = 5
	}
	if err := absolute(&base, &pairs, &dir); err != nil {
		return nil, fmt.Errorf("cluster: train: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cluster: train: %w", err)
	}
	specs := make([]trainSpec, o.Members)
	var folders []string
	for i := range specs {
		specs[i] = trainSpec{Base: base, Pairs: pairs, Dir: filepath.Join(dir, fmt.Sprintf("member-%d", i)), Reward: *o.Reward.Member(i), Bagging: o.Bagging, Posterior: posterior}
		folders = append(folders, specs[i].Dir)
	}
	err := c.q.run(ctx, work{task: "train members", kind: "train", key: specs[0].key() + dir, total: o.Members,
		spec: func(i int) any { return specs[i] }, done: func(i int) (bool, error) { return specs[i].done() }})
	if err != nil {
		return nil, fmt.Errorf("cluster: train: %w", err)
	}
	return folders, nil
}

type trainSpec struct {
	Base, Pairs, Dir string
	Reward           reward.Options
	Bagging          bool
	Posterior        *laplace.Options
}

// jobName is the file of a member's folder that says what it was made of.
const jobName = "job.json"

func (s trainSpec) key() string {
	b, _ := json.Marshal(s) // plain fields
	return string(b)
}

// done says whether the member is there. One of another job is an error.
func (s trainSpec) done() (bool, error) {
	b, err := os.ReadFile(filepath.Join(s.Dir, jobName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil && string(b) != s.key() {
		err = fmt.Errorf("%s holds a member of other pairs or options; take another folder or remove it", s.Dir)
	}
	return err == nil, err
}

func trainJob(ctx context.Context, t *tools, spec json.RawMessage) error {
	var s trainSpec
	if err := json.Unmarshal(spec, &s); err != nil {
		return err
	}
	if ok, err := s.done(); ok || err != nil {
		return err
	}
	base, err := t.model(ctx, s.Base)
	if err != nil {
		return err
	}
	pairs, err := prefs.Load(s.Pairs)
	if err != nil {
		return fmt.Errorf("%w; does this machine see the same folders?", err)
	}
	r := s.Reward
	ms, err := ensemble.Train(ctx, base, pairs, &ensemble.Options{Members: 1, Reward: &r, Bagging: s.Bagging})
	if err != nil {
		return err
	}
	if err := ms[0].Standardise(ctx, pairs); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(s.Dir), "."+filepath.Base(s.Dir)+"-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // renamed, or of no use
	if s.Posterior != nil {
		l, err := laplace.Fit(ctx, ms[0], pairs, s.Posterior)
		if err == nil {
			err = l.Save(ctx, tmp)
		}
		if err != nil {
			return err
		}
	} else if err := ms[0].Save(ctx, tmp); err != nil {
		return err
	}
	if err := safetensors.WriteFile(filepath.Join(tmp, jobName), []byte(s.key())); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.Dir); err != nil {
		if ok, _ := s.done(); ok { // another worker was faster
			return nil
		}
		return err
	}
	return nil
}

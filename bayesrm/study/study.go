// Package study repeats the paper's experiment over seeds: reward models with posteriors, ways to choose by them, and their
// differences, paired over prompts and seeds.
package study

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"

	"gobayes/bayesrm"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/world"
)

// Data is what one trial needs. No prompt of the pools is in the pairs, and Dev and Test share none.
type Data struct {
	Base      *llm.Model
	Pairs     *prefs.Pairs  // to train on
	HeldOut   *prefs.Pairs  // by which rewards are standardised and δ is chosen
	Dev, Test *bayesrm.Pool // k is chosen on one, and judged on the other
}

// WorldOptions configure World. A nil *WorldOptions, and every zero field, mean the default.
type WorldOptions struct {
	// Dir keeps the pairs, the pool and the models of each seed; what is there is used again. Default: bayesrm-study in the
	// folder for temporary files.
	Dir string
	// Policy and Backbone are folders of models. By default they are trained for each seed, which takes a minute.
	Policy, Backbone string
	// Make says what is sampled; its defaults are world's, and Seed and Policy are set here.
	Make world.MakeOptions
	// Dev is how many of the pool's prompts k is chosen on. Default a third.
	Dev int
	// Seed of the models, prompts, answers and labels.
	Seed uint64
}

func (o *WorldOptions) dir() string {
	if o.Dir == "" {
		return filepath.Join(os.TempDir(), "bayesrm-study")
	}
	return o.Dir
}

// World makes the data of one trial in the controlled world.
func World(ctx context.Context, opts *WorldOptions) (*Data, error) {
	o := WorldOptions{}
	if opts != nil {
		o = *opts
	}
	o.Dir = o.dir()
	if o.Policy == "" || o.Backbone == "" {
		dir := filepath.Join(o.Dir, fmt.Sprintf("models-%d", o.Seed))
		if _, err := os.Stat(filepath.Join(dir, "policy", "model.safetensors")); err != nil {
			if err := world.TrainModels(ctx, dir, o.Seed); err != nil {
				return nil, fmt.Errorf("study: %w", err)
			}
		}
		if o.Policy == "" {
			o.Policy = filepath.Join(dir, "policy")
		}
		if o.Backbone == "" {
			o.Backbone = filepath.Join(dir, "backbone")
		}
	}
	o.Make.Policy, o.Make.Seed = o.Policy, o.Seed
	name := fmt.Sprintf("data-%d-%s", o.Seed, hash(fmt.Sprintf("%+v", o.Make)))
	made, err := world.Make(ctx, filepath.Join(o.Dir, name), &o.Make)
	if err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	d := &Data{}
	if d.Base, err = llm.Load(ctx, o.Backbone); err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	pool, err := prefs.LoadPool(made.PoolFile)
	if err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	pairs, err := prefs.Load(made.PairsFile)
	if err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	if o.Dev <= 0 {
		o.Dev = len(pool.Questions) / 3
	}
	d.Dev, d.Test = pool.Cut(o.Dev)
	d.Pairs, d.HeldOut = pairs.Without(pool).Split(0.8, o.Seed)
	return d, nil
}

// Options configure Fit. A nil *Options, and every zero field, mean the default.
type Options struct {
	// Members of the ensemble. Default 3.
	Members int
	// Reward is how each member is trained; its Seed is that of the first, the next have the next seeds. Default: rate 3e-3, 5
	// epochs, batch 16, which suits the controlled world.
	Reward *reward.Options
	// Laplace is how posteriors are fitted.
	Laplace *laplace.Options
	// ByEvidence chooses δ by the evidence, as the paper does, instead of by the held-out pairs.
	ByEvidence bool
	// Keep is a folder in which the trial is kept, posteriors and beliefs; one that is there, of the same data and options, is
	// read instead of made again, and one that was stopped or killed under way goes on. With other pools only these are scored
	// again. Default: none; Trials has one for each seed,
	// beside its data.
	Keep string
}

func (o *Options) resolve() Options {
	r := Options{}
	if o != nil {
		r = *o
	}
	if r.Members <= 0 {
		r.Members = 3
	}
	if r.Reward == nil {
		r.Reward = &reward.Options{LearningRate: 3e-3, Epochs: 5, Batch: 16}
	}
	return r
}

// Trial is one run of the experiment: an ensemble with a posterior for each member, and its beliefs about the answers of both
// pools. Members of a belief are those of the ensemble.
type Trial struct {
	*Data
	Models                   []*reward.Model
	Posteriors               []*laplace.Posterior
	Ensemble                 *ensemble.Ensemble
	DevBeliefs, TestBeliefs  []bayesrm.Belief
	MAPPairs, PosteriorPairs [][]float64 // probability of each held-out pair's label, by member: at the trained weights, and averaged
}

// Fit trains the members on the data's pairs, fits and tunes their posteriors, and scores both pools.
func Fit(ctx context.Context, d *Data, opts *Options) (*Trial, error) {
	t, err := fit(ctx, &workshop{d: d, o: opts.resolve()})
	if err != nil {
		return nil, fmt.Errorf("study: %w", err)
	}
	return t, nil
}

func fit(ctx context.Context, w *workshop) (*Trial, error) {
	dir := w.o.Keep
	if dir == "" {
		return w.trial(ctx)
	}
	free, err := reserve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer free()
	key := w.d.key(w.o)
	w.dir = filepath.Join(dir, "work-"+hash(key))
	k, err := recall(dir, key)
	if err != nil {
		return nil, fmt.Errorf("the trial kept in %s: %w; remove the folder to make it again", dir, err)
	}
	if k != nil {
		w.dir, w.kept = dir, *k
	}
	w.kept.Key = key
	t, err := w.trial(ctx)
	if err != nil || !w.made {
		return t, err
	}
	if err := w.keep(); err != nil {
		return nil, fmt.Errorf("keep the trial: %w", err)
	}
	return t, nil
}

// settings are the options in words.
func (o *Options) settings() string {
	l := laplace.Options{}
	if o.Laplace != nil {
		l = *o.Laplace
	}
	weights := "all"
	if l.Weights != nil {
		weights, l.Weights = fmt.Sprintf("%+v", *l.Weights), nil
	}
	r := *o.Reward
	r.HeldOut = nil // watched only
	return fmt.Sprintf("members %d, by evidence %v, reward %+v, laplace %+v of %s", o.Members, o.ByEvidence, r, l, weights)
}

func hash(s string) string {
	h := fnv.New32a()
	h.Write([]byte(s))
	return fmt.Sprintf("%08x", h.Sum32())
}

// Trials runs trials in the controlled world with the seeds from the first on; both options' seeds are set.
func Trials(ctx context.Context, first uint64, n int, w *WorldOptions, opts *Options) ([]*Trial, error) {
	var out []*Trial
	for i := range n {
		wo, o := WorldOptions{}, opts.resolve()
		if w != nil {
			wo = *w
		}
		wo.Seed = first + uint64(i)
		ro := *o.Reward
		ro.Seed = 100 * wo.Seed
		o.Reward = &ro
		if o.Keep == "" {
			o.Keep = filepath.Join(wo.dir(), fmt.Sprintf("trial-%d-%s", wo.Seed, hash(fmt.Sprintf("%s, %+v", o.settings(), wo.Make))))
		}
		d, err := World(ctx, &wo)
		if err != nil {
			return out, err
		}
		t, err := Fit(ctx, d, &o)
		if err != nil {
			return out, err
		}
		out = append(out, t)
	}
	return out, nil
}

// String says what was trained and fitted.
func (t *Trial) String() string {
	return fmt.Sprintf("%d reward models on %v; %v; test %v", len(t.Models), t.Pairs, t.Posteriors[0], t.Test)
}

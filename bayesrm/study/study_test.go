package study

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"gobayes/bayesrm"
	"gobayes/bayesrm/internal/sealed"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/sample"
	"gobayes/bayesrm/world"
)

const models = "../../notebooks/data/world/"

func small(t *testing.T, dir string, opts *Options) []*Trial {
	t.Helper()
	ts, err := Trials(t.Context(), 1, 2, &WorldOptions{Dir: dir, Policy: models + "policy", Backbone: models + "backbone",
		Make: world.MakeOptions{Pairs: 80, Prompts: 9, Answers: 32}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// TestTrials: trials are kept and read again; the curves are those of their beliefs, and differences are paired.
func TestTrials(t *testing.T) {
	if testing.Short() {
		t.Skip("trains several models")
	}
	dir := t.TempDir()
	o := &Options{Members: 2, Reward: &reward.Options{Rank: 2, LearningRate: 3e-3, Epochs: 1, Batch: 16}}
	ts := small(t, dir, o)
	for i, tr := range ts {
		if len(tr.Models) != 2 || len(tr.Dev.Questions) != 3 || len(tr.Test.Questions) != 6 || len(tr.TestBeliefs) != 6*32 || len(tr.TestBeliefs[0].Members) != 2 || len(tr.MAPPairs[1]) != tr.HeldOut.Len() {
			t.Errorf("trial %d: %v", i, tr)
		}
	}
	if ts[0].Test.Questions[0].Prompt == ts[1].Test.Questions[0].Prompt && reflect.DeepEqual(ts[0].Models[0].Head, ts[1].Models[0].Head) {
		t.Error("the trials are the same")
	}
	kept, err := filepath.Glob(filepath.Join(dir, "trial-*", "beliefs.gob"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	before, err := os.Stat(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	again := small(t, dir, o)
	after, err := os.Stat(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	if !after.ModTime().Equal(before.ModTime()) || !sameBeliefs(ts, again) {
		t.Error("a trial that was kept was made again, or is another")
	}
	if other := small(t, dir, &Options{Members: 2, ByEvidence: true, Reward: o.Reward}); other[0].Posteriors[0].PriorPrecision == ts[0].Posteriors[0].PriorPrecision {
		t.Error("a trial with other options was read from the folder")
	}
	c, err := Compare(ts, []int{1, 8, 32}, append(Joint(), Controls()...)...)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Lines) != 7 || len(c.K["LA"]) != 2 || c.K["MAP"] != nil {
		t.Errorf("%d lines, k %v", len(c.Lines), c.K)
	}
	oracle, err := c.Line("oracle")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Lines {
		if l.Curve.Gold[2].Mean > oracle.Gold[2].Mean+1e-12 || len(l.Curve.Groups) != 2 {
			t.Errorf("%s gains %v, the oracle %v", l.Label, l.Curve.Gold[2], oracle.Gold[2])
		}
	}
	d, err := c.Contrasts("LA-Ens", "MAP", 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	la, _ := c.Line("LA-Ens")
	m, _ := c.Line("MAP")
	if len(d) != 2 || d[1].N != 32 || math.Abs(d[1].Effect.Mean-la.Gold[2].Mean+m.Gold[2].Mean) > 1e-12 {
		t.Errorf("contrasts %v", d)
	}
	f, err := c.Fall("MAP")
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Summary(); math.Abs(f.Effect.Mean+s.Gap) > 1e-12 {
		t.Errorf("fall %v, gap %v", f, s.Gap)
	}
	if _, err := c.Contrasts("LA", "none"); err == nil {
		t.Error("a selector that is not there")
	}
	one, err := Compare(ts[:1], []int{32}, Selector{"k = 2", penalty.StdOf, []float64{2}})
	if err != nil || one.K["k = 2"][0] != 2 {
		t.Errorf("%v, %v", one, err)
	}
}

// TestStoppedTrial: a trial that is stopped again and again ends as one that nobody disturbed, and does not begin anew.
func TestStoppedTrial(t *testing.T) {
	if testing.Short() {
		t.Skip("trains several models")
	}
	d, err := World(t.Context(), &WorldOptions{Seed: 1, Dir: t.TempDir(), Policy: models + "policy", Backbone: models + "backbone", Make: world.MakeOptions{Pairs: 80, Prompts: 9, Answers: 32}})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Members: 2, Reward: &reward.Options{Rank: 2, LearningRate: 3e-3, Epochs: 30, Batch: 16}}
	want, err := Fit(t.Context(), d, &o)
	if err != nil {
		t.Fatal(err)
	}
	o.Keep = t.TempDir()
	stops, trained := 0, 0
	var got *Trial
	for got == nil {
		ctx, cancel := context.WithCancel(t.Context())
		left := 30 + 5*stops
		ctx = progress.WithReporter(ctx, func(e progress.Event) {
			if e.Task == "train reward model" {
				trained++
			}
			if left--; left == 0 {
				cancel()
			}
		})
		got, err = Fit(ctx, d, &o)
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if stops++; stops > 100 {
			t.Fatal("it never ends")
		}
	}
	if !sameBeliefs([]*Trial{want}, []*Trial{got}) || !reflect.DeepEqual(want.PosteriorPairs, got.PosteriorPairs) {
		t.Error("a trial that was stopped is another")
	}
	steps := 2 * len(want.Models[0].Log.Loss)
	if stops < 3 || trained != steps {
		t.Errorf("%d stops; %d steps of training, want %d", stops-1, trained, steps)
	}
	if left, err := filepath.Glob(filepath.Join(o.Keep, "*")); err != nil || len(left) != 4 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	// Other answers are scored by the members that are there.
	prompts := 0
	ctx := progress.WithReporter(t.Context(), func(e progress.Event) {
		switch e.Task {
		case "score pool":
			prompts++
		case "train reward model", "tune prior precision":
			t.Fatalf("%q again", e.Task)
		}
	})
	fewer := *d
	fewer.Test = &bayesrm.Pool{Questions: d.Test.Questions[:2]}
	other, err := Fit(ctx, &fewer, &o)
	if err != nil {
		t.Fatal(err)
	}
	if n := fewer.Test.Len(); len(other.TestBeliefs) != n || other.TestBeliefs[n-1].RelVar != want.TestBeliefs[n-1].RelVar || !reflect.DeepEqual(other.MAPPairs, want.MAPPairs) {
		t.Error("a smaller pool has other beliefs")
	}
	if err := sealed.WriteGob(filepath.Join(o.Keep, beliefsName), keptVersion-1, kept{}); err != nil {
		t.Fatal(err)
	}
	if k, err := recall(o.Keep, d.key(o)); k != nil || err != nil {
		t.Errorf("what another version kept: %v, %v", k, err)
	}
	if prompts != 2*2 {
		t.Errorf("%d prompts were scored, want those of the smaller pool by two members", prompts)
	}
}

func sameBeliefs(a, b []*Trial) bool {
	for i := range a {
		for k, x := range a[i].TestBeliefs {
			y := b[i].TestBeliefs[k]
			if x.ID != y.ID || x.Mean != y.Mean || x.RelVar != y.RelVar || x.Members[1].Var != y.Members[1].Var {
				return false
			}
		}
		if a[i].Posteriors[1].PriorPrecision != b[i].Posteriors[1].PriorPrecision {
			return false
		}
	}
	return true
}

// TestStops: a study that is interrupted says so, soon, and goes on with what it has kept.
func TestStops(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var at time.Time
	_, err := Trials(progress.WithReporter(ctx, func(e progress.Event) {
		if e.Task == "train reward model" && at.IsZero() {
			at = time.Now()
			cancel()
		}
	}), 1, 2, &WorldOptions{Dir: dir, Policy: models + "policy", Backbone: models + "backbone", Make: world.MakeOptions{Pairs: 80, Prompts: 9, Answers: 32}}, nil)
	if !errors.Is(err, context.Canceled) || time.Since(at) > time.Second {
		t.Errorf("%v after the end, %v", time.Since(at), err)
	}
	small(t, dir, &Options{Members: 1})
}

// TestStream: in parts, and stopped in between, the curves are those of Compare on the same answers.
func TestStream(t *testing.T) {
	if testing.Short() {
		t.Skip("trains several models")
	}
	tr := small(t, t.TempDir(), &Options{Members: 2, Reward: &reward.Options{Rank: 2, LearningRate: 3e-3, Epochs: 1, Batch: 16}})[0]
	policy, err := llm.Load(t.Context(), models+"policy")
	if err != nil {
		t.Fatal(err)
	}
	var prompts []string
	for _, q := range tr.Test.Questions[:5] {
		prompts = append(prompts, q.Prompt)
	}
	selectors := append(JointRelative(), Controls()...)
	ns := []int{1, 4, 16, 32}
	o := sample.Options{Answers: 32, MaxTokens: 48, Seed: 9}
	dir := filepath.Join(t.TempDir(), "parts")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Stream(progress.WithReporter(ctx, func(e progress.Event) {
		if e.Task == "best of n, in parts" {
			cancel()
		}
	}), tr, policy, world.Scorer{}, prompts, ns, &StreamOptions{Options: o, Prompts: 2, Dir: dir}, selectors...); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	got, err := Stream(t.Context(), tr, policy, world.Scorer{}, prompts, ns, &StreamOptions{Options: o, Prompts: 2, Dir: dir}, selectors...)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := sample.Pool(t.Context(), policy, prompts, &o)
	if err != nil {
		t.Fatal(err)
	}
	if err := sample.Label(t.Context(), pool, world.Scorer{}); err != nil {
		t.Fatal(err)
	}
	whole := *tr
	whole.Data = &Data{Dev: tr.Dev, Test: pool}
	if whole.TestBeliefs, err = tr.Ensemble.ScorePool(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	want, err := Compare([]*Trial{&whole}, ns, selectors...)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range got.Lines {
		for k := range ns {
			if a, b := l.Curve.Gold[k].Mean, want.Lines[i].Curve.Gold[k].Mean; math.Abs(a-b) > 1e-9 {
				t.Errorf("%s, n = %d: %v in parts, %v at once", l.Label, ns[k], a, b)
			}
		}
	}
	if _, err := Stream(t.Context(), tr, policy, world.Scorer{}, prompts, []int{1, 2}, &StreamOptions{Options: o, Prompts: 2, Dir: dir}, selectors...); err == nil {
		t.Error("parts of other n were taken")
	}
}

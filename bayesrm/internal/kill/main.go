// Command kill ends long work by SIGKILL at random moments, starts it again until it is done, and compares the result with that of a run that
// nothing disturbed, byte for byte: training (sft, reward, ppo), the posterior's fit and scores, and the sampling of answers.
//
//	go run ./bayesrm/internal/kill -trials 200
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gobayes/bayesrm"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/ppo"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/sample"
	"gobayes/bayesrm/sft"
	"gobayes/bayesrm/world"
)

func main() {
	log.SetFlags(0)
	trials := flag.Int("trials", 200, "how many runs are disturbed")
	seed := flag.Uint64("seed", 1, "of the moments of the kills")
	models := flag.String("models", "notebooks/data/world", "folder of the two small models")
	work := flag.String("work", "", "do this work in the folder that follows, as a run that may be killed")
	flag.Parse()
	if *work != "" {
		w := task{models: *models, dir: flag.Arg(0)}
		if err := w.do(*work); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := disturb(*trials, *seed, *models); err != nil {
		log.Fatal("kill: ", err)
	}
}

// disturb runs the trials, each kind of work in turn.
func disturb(trials int, seed uint64, models string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "bayesrm-kill-")
	if err != nil {
		return err
	}
	start := func(name, dir string) *exec.Cmd {
		c := exec.Command(self, "-models", models, "-work", name, dir)
		c.Stderr = os.Stderr
		return c
	}
	names := []string{"sft", "reward", "ppo", "fit", "score", "draw"}
	want := map[string][]byte{}
	took := map[string]time.Duration{}
	for _, n := range names {
		dir := filepath.Join(root, n)
		began := time.Now()
		if err := start(n, dir).Run(); err != nil {
			return fmt.Errorf("%s, undisturbed: %w", n, err)
		}
		took[n] = time.Since(began)
		if want[n], err = os.ReadFile(filepath.Join(dir, resultName)); err != nil {
			return err
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	kills, failed := map[string]int{}, 0
	for i := range trials {
		n := names[i%len(names)]
		dir := filepath.Join(root, fmt.Sprint("trial", i))
		for done := false; !done; {
			c := start(n, dir)
			if err := c.Start(); err != nil {
				return err
			}
			ended := make(chan error, 1)
			go func() { ended <- c.Wait() }()
			wait := time.Duration(rng.Float64() * 1.2 * float64(took[n]))
			select {
			case err := <-ended:
				if err != nil {
					return fmt.Errorf("%s, after %d kills: %w", n, kills[n], err)
				}
				done = true
			case <-time.After(wait):
				if err := c.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					return err
				}
				if err := <-ended; err == nil {
					done = true
				} else {
					kills[n]++
				}
			}
		}
		got, err := os.ReadFile(filepath.Join(dir, resultName))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want[n]) {
			failed++
			fmt.Printf("trial %d, %s: other bytes than undisturbed; see %s\n", i, n, dir)
			continue
		}
		left, err := leftOver(dir)
		if err != nil {
			return err
		}
		if len(left) > 0 && failed == 0 {
			fmt.Printf("trial %d, %s: left behind: %v\n", i, n, left)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	total := 0
	for _, n := range names {
		fmt.Printf("%-7s %d kills, %.1f s undisturbed\n", n, kills[n], took[n].Seconds())
		total += kills[n]
	}
	fmt.Printf("%d runs were killed %d times: %d ended with other bytes\n", trials, total, failed)
	if failed > 0 {
		return errors.New("a killed run ended differently")
	}
	return os.RemoveAll(root)
}

// leftOver lists checkpoints that a finished run should have removed.
func leftOver(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "checkpoint") && d.Name() != "checkpoint.scores" {
			names = append(names, path)
		}
		return err
	})
	return names, err
}

const resultName = "result"

// task is work in a folder.
type task struct{ models, dir string }

func (t *task) path(name string) string { return filepath.Join(t.dir, name) }

// do works and writes the result.
func (t *task) do(name string) error {
	ctx := context.Background()
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return err
	}
	work := map[string]func(context.Context) (any, error){"sft": t.sft, "reward": t.reward, "ppo": t.ppo, "fit": t.fit, "score": t.score, "draw": t.draw}[name]
	if work == nil {
		return fmt.Errorf("no work is called %s", name)
	}
	v, err := work(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return safetensors.WriteFile(t.path(resultName), fmt.Appendf(nil, "%v\n", v)) // numbers in full; gob's bytes depend on what was encoded before
}

func (t *task) policy(ctx context.Context) (*llm.Model, error) {
	return llm.Load(ctx, filepath.Join(t.models, "policy"))
}

// pairs are labelled by gold alone.
func pairs(n int) *prefs.Pairs {
	rng := rand.New(rand.NewPCG(1, 7))
	out := &prefs.Pairs{}
	for out.Len() < n {
		p := world.NewPrompt(rng)
		a, b := strings.TrimSuffix(world.Demonstration(rng, p), " <eos>"), strings.TrimSuffix(world.Demonstration(rng, p), " <eos>")
		if a != b {
			out.Rows = append(out.Rows, prefs.Pair{Prompt: p.Text, Chosen: a, Rejected: b})
		}
	}
	return out
}

func prompts(n int) (out []string) {
	rng := rand.New(rand.NewPCG(2, 7))
	for range n {
		out = append(out, world.NewPrompt(rng).Text)
	}
	return out
}

func (t *task) sft(ctx context.Context) (any, error) {
	m, err := t.policy(ctx)
	if err != nil {
		return nil, err
	}
	r, err := sft.Train(ctx, m, world.Demonstrations(2000, 3), &sft.Options{Epochs: 1, LearningRate: 1e-3, Checkpoint: t.path("checkpoint")})
	if err != nil {
		return nil, err
	}
	return []string{r.Model.Fingerprint(), fmt.Sprint(r.Log.Loss)}, nil
}

func (t *task) rewardModel(ctx context.Context, epochs int) (*reward.Model, *prefs.Pairs, error) {
	base, err := llm.Load(ctx, filepath.Join(t.models, "backbone"))
	if err != nil {
		return nil, nil, err
	}
	ps := pairs(400)
	m, err := reward.Train(ctx, base, ps, &reward.Options{LearningRate: 3e-3, Epochs: epochs, Dropout: 0.1, Checkpoint: t.path("checkpoint"), Every: 10})
	return m, ps, err
}

func (t *task) reward(ctx context.Context) (any, error) {
	m, _, err := t.rewardModel(ctx, 6)
	if err != nil {
		return nil, err
	}
	return [][]float64{m.Theta(), m.Log.Loss}, nil
}

func (t *task) posterior(ctx context.Context) (*laplace.Posterior, error) {
	m, ps, err := t.rewardModel(ctx, 1)
	if err != nil {
		return nil, err
	}
	for range 3 {
		ps.Rows = append(ps.Rows, ps.Rows...)
	}
	return laplace.Fit(ctx, m, ps, &laplace.Options{Curvature: laplace.EKFAC, Checkpoint: t.path("checkpoint.fit"), Every: 100})
}

func (t *task) fit(ctx context.Context) (any, error) {
	l, err := t.posterior(ctx)
	if err != nil {
		return nil, err
	}
	values, err := l.Spectrum()
	return append(values, l.LogEvidence, l.Gamma), err
}

func (t *task) score(ctx context.Context) (any, error) {
	l, err := t.posterior(ctx)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(4, 7))
	pool := &bayesrm.Pool{}
	for i := range 120 {
		p := world.NewPrompt(rng)
		q := bayesrm.Question{ID: fmt.Sprint(i), Prompt: p.Text}
		for k := range 16 {
			q.Answers = append(q.Answers, bayesrm.Answer{ID: fmt.Sprint(i, "-", k), Text: strings.TrimSuffix(world.Demonstration(rng, p), " <eos>")})
		}
		pool.Questions = append(pool.Questions, q)
	}
	return l.ScorePool(ctx, pool, &laplace.ScoreOptions{Checkpoint: t.path("checkpoint.scores")})
}

func (t *task) ppo(ctx context.Context) (any, error) {
	m, err := t.policy(ctx)
	if err != nil {
		return nil, err
	}
	r, err := ppo.Train(ctx, m, prompts(64), world.Scorer{}, &ppo.Options{Iterations: 20, Batch: 32, MaxTokens: 32, Checkpoint: t.path("checkpoint"), Every: 2})
	if err != nil {
		return nil, err
	}
	return []string{r.Policy.Fingerprint(), fmt.Sprint(r.Stats)}, nil
}

// draw hashes all files of the shards' folder in the order of their names.
func (t *task) draw(ctx context.Context) (any, error) {
	m, err := t.policy(ctx)
	if err != nil {
		return nil, err
	}
	dir := t.path("shards")
	if _, err := sample.Draw(ctx, m, prompts(40), dir, &sample.ShardOptions{Options: sample.Options{Answers: 64, MaxTokens: 48, Seed: 5}, Prompts: 2}); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	h := sha256.New()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(h, filepath.Base(f), len(b))
		h.Write(b)
	}
	return h.Sum(nil), nil
}

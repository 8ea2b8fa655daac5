package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gobayes/bayesrm/bestofn"
	"gobayes/bayesrm/ensemble"
	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/laplace"
	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/penalty"
	"gobayes/bayesrm/prefs"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/reward"
	"gobayes/bayesrm/sample"
	"gobayes/bayesrm/world"
)

const (
	policy   = "../../notebooks/data/world/policy"
	backbone = "../../notebooks/data/world/backbone"
)

var prompts = []string{"sort three one two .", "name two animals .", "tell me about the cat .", "name three foods .", "how do i make tea ?", "name two foods ."}

// TestMain is also the program of workers and servers that are killed.
func TestMain(m *testing.M) {
	switch os.Getenv("CLUSTER_TEST") {
	case "worker":
		if path := os.Getenv("CLUSTER_PROGRAM"); path != "" {
			program = func() (string, error) { return path, nil }
		}
		if err := Work(context.Background(), os.Getenv("CLUSTER_URL"), nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "server":
		if _, err := Open(context.Background(), &Options{Listen: os.Getenv("CLUSTER_LISTEN"), Dir: os.Getenv("CLUSTER_DIR"), Workers: -1, Silence: 2 * time.Second}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {}
	default:
		os.Exit(m.Run())
	}
}

// start runs this program as a worker or a server.
func start(t *testing.T, what string, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), append(env, "CLUSTER_TEST="+what, "GOMAXPROCS=1")...)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

func open(t *testing.T, o *Options) *Cluster {
	t.Helper()
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

var drawing = &DrawOptions{Options: sample.Options{Answers: 40, MaxTokens: 48, Seed: 2}, Prompts: 1, Gold: World}

// undisturbed are the files of the same draw in one process without a queue.
func undisturbed(t *testing.T, o *DrawOptions) map[string]string {
	t.Helper()
	m, err := llm.Load(t.Context(), policy)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := sample.Draw(t.Context(), m, prompts, dir, o.shards(world.Scorer{})); err != nil {
		t.Fatal(err)
	}
	return check.Files(t, dir)
}

func same(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if got := check.Files(t, dir); !maps.Equal(got, want) {
		t.Errorf("%s holds %d files that differ from the %d of an undisturbed run", dir, len(got), len(want))
	}
}

// TestExperiment: shards, members and scores of the queue are those of the plain functions, and so is the curve.
func TestExperiment(t *testing.T) {
	ctx := t.Context()
	c := open(t, &Options{Workers: 2})
	dir := t.TempDir()
	shards, err := c.Draw(ctx, policy, prompts, filepath.Join(dir, "pool"), drawing)
	if err != nil {
		t.Fatal(err)
	}
	same(t, shards.Dir, undisturbed(t, drawing))

	if _, err := world.Make(ctx, filepath.Join(dir, "made"), &world.MakeOptions{Policy: policy, Pairs: 40, Prompts: 2, Answers: 4, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	pairs := filepath.Join(dir, "made", "pairs.jsonl")
	rows, err := prefs.Load(pairs)
	if err != nil {
		t.Fatal(err)
	}
	o := &ensemble.Options{Members: 2, Bagging: true, Reward: &reward.Options{Rank: 4, LearningRate: 1e-3, Seed: 5}}
	folders, err := c.Train(ctx, backbone, pairs, filepath.Join(dir, "members"), o, &laplace.Options{PriorPrecision: 2})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := ensemble.Train(ctx, mustLoad(t, backbone), rows, o)
	if err != nil {
		t.Fatal(err)
	}
	var posteriors []*laplace.Posterior
	for i, f := range folders {
		l, err := laplace.Load(ctx, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(l.Model.Theta(), plain[i].Theta()) || l.PriorPrecision != 2 {
			t.Errorf("member %d has other weights than without a queue", i)
		}
		posteriors = append(posteriors, l)
	}

	scores, err := c.Score(ctx, shards, folders, filepath.Join(dir, "scores"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := ensemble.FromPosteriors(posteriors)
	if err != nil {
		t.Fatal(err)
	}
	ns := []int{1, 4, 40}
	for name, f := range map[string]penalty.Func{"LA-Ens": penalty.Relative(penalty.VarOf(1)), "WCO": penalty.WCO()} {
		got, err := bestofn.CurveOf(scores.Penalised(f), ns)
		if err != nil {
			t.Fatal(err)
		}
		var curves []*bestofn.Result
		for i := range shards.Len() {
			pool, err := shards.Pool(i)
			if err != nil {
				t.Fatal(err)
			}
			beliefs, err := e.ScorePool(ctx, pool)
			if err != nil {
				t.Fatal(err)
			}
			r, err := bestofn.Curve(pool, penalty.Apply(f, beliefs), ns)
			if err != nil {
				t.Fatal(err)
			}
			curves = append(curves, r)
		}
		want, err := bestofn.Concat(curves...)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.PromptGold, want.PromptGold) || !reflect.DeepEqual(got.Gold, want.Gold) {
			t.Errorf("%s: gold %v, want %v", name, got.Gold, want.Gold)
		}
	}

	// What is there is not done again, and other work does not go on top of it.
	if _, err := c.Draw(ctx, policy, prompts[:2], shards.Dir, drawing); err == nil {
		t.Error("other prompts were drawn into the same folder")
	}
	if _, err := c.Score(ctx, shards, folders[:1], scores.Dir); err == nil || !strings.Contains(err.Error(), "other answers or models") {
		t.Errorf("another model scored into the same folder: %v", err)
	}
	o.Reward.Rank = 2
	if _, err := c.Train(ctx, backbone, pairs, filepath.Join(dir, "members"), o, nil); err == nil || !strings.Contains(err.Error(), "other pairs or options") {
		t.Errorf("another member trained into the same folder: %v", err)
	}
}

func mustLoad(t *testing.T, dir string) *llm.Model {
	t.Helper()
	m, err := llm.Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestKilledWorkers: workers die by SIGKILL in the middle of their jobs; others take over, and every shard is there once.
func TestKilledWorkers(t *testing.T) {
	o := *drawing
	o.Answers = 400
	want := undisturbed(t, &o)
	c := open(t, &Options{Listen: "127.0.0.1:0", Workers: -1, Silence: 500 * time.Millisecond, Attempts: 50})
	url := "CLUSTER_URL=" + c.URL()
	stop := make(chan struct{})
	killed := make(chan int)
	go func() {
		n := 0
		for {
			w := exec.Command(os.Args[0])
			w.Env = append(os.Environ(), url, "CLUSTER_TEST=worker", "GOMAXPROCS=1")
			if err := w.Start(); err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				_ = w.Process.Kill()
				_ = w.Wait()
				killed <- n
				return
			case <-time.After(time.Duration(300+n*130%400) * time.Millisecond):
				_ = w.Process.Kill()
				_ = w.Wait()
				n++
			}
		}
	}()
	time.Sleep(2 * time.Second) // some die before there are jobs
	start(t, "worker", url)     // one lives
	dir := t.TempDir()
	_, err := c.Draw(t.Context(), policy, prompts, dir, &o)
	close(stop)
	t.Logf("%d workers were killed", <-killed)
	if err != nil {
		t.Fatal(err)
	}
	same(t, dir, want)
}

// TestKilledServer: the server dies by SIGKILL and comes back, once with its files and once without; the run goes on.
func TestKilledServer(t *testing.T) {
	o := *drawing
	o.Answers = 300
	want := undisturbed(t, &o)
	for _, lose := range []bool{false, true} {
		first := open(t, &Options{Listen: "127.0.0.1:0", Workers: -1}) // finds a free port
		url := first.URL()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		env := []string{"CLUSTER_LISTEN=" + strings.TrimPrefix(url, "nats://"), "CLUSTER_DIR=" + t.TempDir()}
		server := start(t, "server", env...)
		var c *Cluster
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			var err error
			if c, err = Open(t.Context(), &Options{URL: url, Silence: 2 * time.Second}); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		start(t, "worker", "CLUSTER_URL="+url)
		dir := t.TempDir()
		var shards atomic.Int32
		ctx := progress.WithReporter(t.Context(), func(e progress.Event) {
			if e.Task == "draw shards" {
				shards.Store(int32(e.Done))
			}
		})
		go func() {
			for shards.Load() < 1 && t.Context().Err() == nil {
				time.Sleep(10 * time.Millisecond)
			}
			_ = server.Process.Kill()
			_ = server.Wait()
			if lose {
				env[1] = "CLUSTER_DIR=" + t.TempDir()
			}
			time.Sleep(time.Second)
			start(t, "server", env...)
		}()
		if _, err := c.Draw(ctx, policy, prompts, dir, &o); err != nil {
			t.Fatal(err)
		}
		same(t, dir, want)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestGivenUp: a job that fails is tried again and then given up with its error; the others are done.
func TestGivenUp(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "bayesrm")
	text := "#!/bin/sh\ncase $2 in *bad*) echo tried >>" + dir + "/tries; echo the cell has failed; exit 1;; esac\necho ok >$4\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	defer func(f func() (string, error)) { program = f }(program)
	program = func() (string, error) { return script, nil }
	c := open(t, &Options{Attempts: 3, Silence: 300 * time.Millisecond})
	err := c.Run(t.Context(), []Notebook{{File: "good.ipynb", Out: filepath.Join(dir, "a.ipynb")}, {File: "bad.ipynb", Out: filepath.Join(dir, "b.ipynb")}, {File: "fine.ipynb", Out: filepath.Join(dir, "c.ipynb")}})
	if err == nil || !strings.Contains(err.Error(), "1 of 3 jobs were given up after 3 attempts") || !strings.Contains(err.Error(), "job 1") || !strings.Contains(err.Error(), "the cell has failed") {
		t.Errorf("error %v", err)
	}
	for _, f := range []string{"a.ipynb", "c.ipynb"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Error(err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "tries")); strings.Count(string(b), "tried") != 3 {
		t.Errorf("tries: %q, want 3", b)
	}
}

// TestCancel: a run that is stopped returns at once, and its worker is free for the next.
func TestCancel(t *testing.T) {
	c := open(t, nil)
	o := *drawing
	o.Answers = 20_000
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	begun := time.Now()
	_, err := c.Draw(ctx, policy, prompts, t.TempDir(), &o)
	if took := time.Since(begun); !errors.Is(err, context.Canceled) || took > 3*time.Second {
		t.Fatalf("error %v after %v", err, took)
	}
	begun = time.Now()
	o.Answers = 10
	if _, err := c.Draw(t.Context(), policy, prompts[:1], t.TempDir(), &o); err != nil || time.Since(begun) > 10*time.Second {
		t.Errorf("the next run: %v after %v", err, time.Since(begun))
	}
}

// TestDeadlyJob: a job that kills every worker is given up, and the others are done.
func TestDeadlyJob(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "bayesrm")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncase $2 in *deadly*) kill -9 $PPID; sleep 1;; esac\necho ok >$4\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := open(t, &Options{Listen: "127.0.0.1:0", Workers: -1, Attempts: 2, Silence: 500 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { // as Slurm and Kubernetes start a worker again
		for ctx.Err() == nil {
			w := exec.CommandContext(ctx, os.Args[0])
			w.Env = append(os.Environ(), "CLUSTER_URL="+c.URL(), "CLUSTER_TEST=worker", "CLUSTER_PROGRAM="+script)
			_ = w.Run()
		}
	}()
	err := c.Run(t.Context(), []Notebook{{File: "deadly.ipynb", Out: filepath.Join(dir, "a.ipynb")}, {File: "good.ipynb", Out: filepath.Join(dir, "b.ipynb")}})
	if err == nil || !strings.Contains(err.Error(), "1 of 2 jobs") || !strings.Contains(err.Error(), "no worker lived through it") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "b.ipynb")); err != nil {
		t.Error(err)
	}
}

// TestFaultyNetwork: a worker whose connection breaks again and again does its jobs all the same.
func TestFaultyNetwork(t *testing.T) {
	o := *drawing
	o.Answers = 400
	want := undisturbed(t, &o)
	c := open(t, &Options{Listen: "127.0.0.1:0", Workers: -1, Silence: time.Second, Attempts: 50})
	var connections atomic.Int32
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close() //nolint:errcheck // a listener of the test
	go func() {
		for n := 0; ; n++ {
			in, err := proxy.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(c.URL(), "nats://"))
			if err != nil {
				t.Error(err)
				return
			}
			connections.Add(1)
			go io.Copy(in, out)                                                                              //nolint:errcheck // it breaks
			go io.Copy(out, in)                                                                              //nolint:errcheck // it breaks
			time.AfterFunc(time.Duration(100+n*70%300)*time.Millisecond, func() { in.Close(); out.Close() }) //nolint:errcheck // on purpose
		}
	}()
	start(t, "worker", "CLUSTER_URL=nats://"+proxy.Addr().String())
	dir := t.TempDir()
	if _, err := c.Draw(t.Context(), policy, prompts, dir, &o); err != nil {
		t.Fatal(err)
	}
	if n := connections.Load(); n < 3 {
		t.Errorf("%d connections: the network never broke", n)
	}
	same(t, dir, want)
}

// certificate writes a certificate for 127.0.0.1 and its key, signed by an authority or, with nil, by itself.
func certificate(t *testing.T, dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: ca == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if ca == nil {
		ca, caKey = c, key
	}
	der, err := x509.CreateCertificate(crand.Reader, c, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: k}} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c, key
}

// TestSecurity: who has no token and no certificate gets no jobs; who has both does them.
func TestSecurity(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "head", ca, caKey)
	certificate(t, dir, "worker", ca, caKey)
	certificate(t, dir, "stranger", nil, nil)
	with := func(name string) Security {
		return Security{Token: "secret", CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	}
	c := open(t, &Options{Listen: "127.0.0.1:0", Workers: -1, Security: with("head")})
	wrong := with("worker")
	wrong.Token = "guess"
	for name, s := range map[string]Security{"no security": {}, "wrong token": wrong, "unknown certificate": with("stranger"), "token alone": {Token: "secret"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := Work(ctx, c.URL(), &s); err == nil {
			t.Errorf("%s: the server let it in", name)
		}
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Work(ctx, c.URL(), ptr(with("worker"))) }()
	if _, err := c.Draw(t.Context(), policy, prompts[:1], t.TempDir(), drawing); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func ptr[T any](x T) *T { return &x }

// TestChangedFolder: a worker that has loaded a folder loads it again for the next run, which may find another model there.
func TestChangedFolder(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	c := open(t, nil)
	shards, err := c.Draw(ctx, policy, prompts[:1], filepath.Join(dir, "pool"), drawing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := world.Make(ctx, filepath.Join(dir, "made"), &world.MakeOptions{Policy: policy, Pairs: 20, Prompts: 2, Answers: 4, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	pairs, members := filepath.Join(dir, "made", "pairs.jsonl"), filepath.Join(dir, "members")
	for seed := range uint64(2) {
		if err := os.RemoveAll(members); err != nil {
			t.Fatal(err)
		}
		folders, err := c.Train(ctx, backbone, pairs, members, &ensemble.Options{Members: 1, Reward: &reward.Options{LearningRate: 1e-3, Seed: seed}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := c.Score(ctx, shards, folders, filepath.Join(dir, fmt.Sprint("scores", seed)))
		if err != nil {
			t.Fatal(err)
		}
		pool, got, err := scores.Part(0)
		if err != nil {
			t.Fatal(err)
		}
		m, err := reward.Load(ctx, folders[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ensemble.ScorePool(ctx, m, pool)
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Mean != want[0].Mean {
			t.Errorf("seed %d: reward %v, want %v of the model that is there now", seed, got[0].Mean, want[0].Mean)
		}
	}
	if _, err := c.Train(ctx, backbone, pairs, members, nil, &laplace.Options{Weights: laplace.LastLayer()}); err == nil || !strings.Contains(err.Error(), "Weights") {
		t.Errorf("a posterior over the head: %v", err)
	}
}

package kerneltest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"gobayes/kernel/client"
)

// interruptLimit is how long a cell may take to end after an interrupt (the README promises it).
const interruptLimit = 500 * time.Millisecond

// TestInterruptTable stops every long call of the engine and every way in which a cell of plain Go can wait, and finds the variables still
// there.
func TestInterruptTable(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	k := Start(t)
	must := func(code string) {
		t.Helper()
		if _, _, err := Run(t, k, code); err != nil {
			t.Fatal(err)
		}
	}
	must(`kept := 41
base, err := llm.Load(ctx, "data/world/backbone")
policy, err := llm.Load(ctx, "data/world/policy")
rng := rand.New(rand.NewPCG(1, 1))
var prompts []string
var rows []prefs.Pair
big := &bayesrm.Pool{}
for i := range 3000 {
	p := world.NewPrompt(rng)
	a, b := strings.TrimSuffix(world.Demonstration(rng, p), " <eos>"), strings.TrimSuffix(world.Demonstration(rng, p), " <eos>")
	if a != b {
		rows = append(rows, prefs.Pair{Prompt: p.Text, Chosen: a, Rejected: b})
	}
	prompts = append(prompts, p.Text)
	q := bayesrm.Question{ID: fmt.Sprint(i), Prompt: p.Text}
	for k := range 30 {
		q.Answers = append(q.Answers, bayesrm.Answer{ID: fmt.Sprint(i, "-", k), Text: strings.TrimSuffix(world.Demonstration(rng, p), " <eos>")})
	}
	big.Questions = append(big.Questions, q)
}
pairs := &prefs.Pairs{Rows: rows}
few := &prefs.Pairs{Rows: rows[:60]}
rm, err := reward.Train(ctx, base, few, nil)
lap, err := laplace.Fit(ctx, rm, few, nil)
few.Len()`)
	for _, tt := range []struct {
		name, code string
		deaf       bool // compiled code that nothing can stop: it is left behind after a second
	}{
		{name: "mutex", code: "var mu sync.Mutex\nmu.Lock()\nmu.Lock()", deaf: true},
		{name: "wait group", code: "var wg sync.WaitGroup\nwg.Add(1)\nwg.Wait()", deaf: true},
		{name: "tight loop", code: "for {}"},
		{name: "loop in a function", code: "func spin() { for {} }\nspin()"},
		{name: "sleep", code: "time.Sleep(time.Hour)"},
		{name: "channel", code: "<-make(chan int)"},
		{name: "select", code: "select {}"},
		{name: "printing", code: "for { fmt.Println(\"line\") }"},
		{name: "command", code: "shell(\"sleep 100\")"},
		{name: "sft.Train", code: "sft.Train(ctx, policy, world.Demonstrations(20000, 1), nil)"},
		{name: "reward.Train", code: "reward.Train(ctx, base, pairs, &reward.Options{Epochs: 100})"},
		{name: "reward.Train, watching", code: "reward.Train(ctx, base, pairs, &reward.Options{Epochs: 100, HeldOut: pairs})"},
		{name: "reward.TrainODIN", code: "reward.TrainODIN(ctx, base, pairs, nil, &reward.Options{Epochs: 100})"},
		{name: "reward.Evaluate", code: "for { rm.Evaluate(ctx, pairs) }"},
		{name: "ensemble.Train", code: "ensemble.Train(ctx, base, pairs, &ensemble.Options{Members: 50})"},
		{name: "laplace.Fit", code: "laplace.Fit(ctx, rm, pairs, nil)"},
		{name: "laplace.Fit, kron", code: "laplace.Fit(ctx, rm, pairs, &laplace.Options{Curvature: laplace.Kron})"},
		{name: "laplace.TunePrior", code: "huge, err := laplace.Fit(ctx, rm, pairs, &laplace.Options{Curvature: laplace.EKFAC})\nfor { huge.TunePrior(ctx, nil) }"},
		{name: "laplace.ScorePool", code: "lap.ScorePool(ctx, big, nil)"},
		{name: "laplace.Compare", code: "laplace.Compare(ctx, lap, []*laplace.Posterior{lap}, big)"},
		{name: "world.Make", code: "world.Make(ctx, filepath.Join(os.TempDir(), \"bayesrm-interrupt\"), &world.MakeOptions{Pairs: 100000, Prompts: 500, Answers: 5000})"},
		{name: "sample.Pool", code: "sample.Pool(ctx, policy, prompts, &sample.Options{Answers: 1000})"},
		{name: "llm.Generate", code: "policy.Generate(ctx, [][]int{{1, 2, 3}}, &llm.GenerateOptions{Samples: 20000, MaxTokens: 100})"},
		{name: "ppo.Train", code: "ppo.Train(ctx, policy, prompts, world.Scorer{}, &ppo.Options{Iterations: 10000})"},
		{name: "ppo.TrainRLOO", code: "ppo.TrainRLOO(ctx, policy, prompts, world.Scorer{}, &ppo.Options{Iterations: 10000})"},
		{name: "study.Trials", code: "study.Trials(ctx, 1, 3, &study.WorldOptions{Make: world.MakeOptions{Pairs: 20000}}, nil)"},
		{name: "figures", code: "for { figures.Panels(figures.Panel{Title: \"x\", Series: []figures.Series{{X: []float64{1, 2}, Y: []float64{1, 2}}}}).MIMEBundle() }"},
		{name: "cluster.Draw", code: "c, err := cluster.Open(ctx, nil)\nc.Draw(ctx, \"data/world/policy\", prompts, " + strconv.Quote(t.TempDir()) + ", &cluster.DrawOptions{Options: sample.Options{Answers: 5000}})"},
		{name: "sample.Server", code: "l, err := net.Listen(\"tcp\", \"127.0.0.1:0\")\nsample.Pool(ctx, &sample.Server{URL: \"http://\" + l.Addr().String() + \"/v1\", Model: \"silent\"}, prompts[:9], nil)"},
		{name: "timeit", code: "timeit(func() { time.Sleep(time.Hour) })"},
		{name: "interact", code: "widgets.Interact(func(k float64) { for {} })"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			took := interrupted(t, k, tt.code)
			start := time.Now()
			if _, shown, err := Run(t, k, "kept + 1"); shown != "42" || err != nil {
				t.Errorf("afterwards: %q, error %v", shown, err)
			}
			next := time.Since(start)
			t.Logf("%v, and the next cell %v", took.Round(time.Millisecond), next.Round(time.Millisecond))
			if took > interruptLimit {
				t.Errorf("the interrupt took %v", took)
			}
			if next > interruptLimit && !tt.deaf {
				t.Errorf("the call went on: the next cell waited %v for it", next)
			}
		})
	}
}

// interrupted runs code, interrupts it, and returns how long it took to end.
func interrupted(t *testing.T, k *client.Kernel, code string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var at time.Time
	time.AfterFunc(700*time.Millisecond, func() { at = time.Now(); cancel() })
	r, err := k.Execute(ctx, code, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Err == nil || r.Err.Name != "Interrupt" {
		t.Fatalf("error %v, want an Interrupt", r.Err)
	}
	return time.Since(at)
}

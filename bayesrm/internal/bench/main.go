// Command bench measures the engine beside its peers in one run and prints a line per figure: ours, the peer's, the ratio,
// the goal, and ok or short. Each side runs in a process of its own, in turns. A process reports its best time of a second or more;
// the table has the medians of the rounds, the ratio the median of what the two sides of each round give: neighbours on the machine
// come and go, and slow both.
//
//	go run ./bayesrm/internal/bench [-threads 1,2] [-rounds 3] [NAME…]
//
// peak is the multiply-adds of one core; gemm-… are products of Pythia-70M and SmolLM2-135M, …64 and eigen in float64; forward
// and lora are a pass and a step of Pythia-70M's shape on 8 rows of 512 tokens, lora-hh steps on the lengths of real
// preference pairs, laplace-fit and -var the exact posterior on such pairs and its variances beside a hand-written one, laplace-torch-… the
// same beside laplace-torch's best, Kronecker factors, laplace-kron-… Kronecker factors on both sides (48 pairs: the decomposition
// of the factors is most of it), variance-… variances beside plain forwards of ours, score-members five LoRA models on
// one backbone, cluster-… answers by worker processes of one thread, score-shared 64 answers of 64 tokens to a prompt of 200; decode is SmolLM2-135M in float32, one sequence
// beside llama.cpp and 64 beside our own one, decode-limit what 64 could reach if they only multiplied, at peak; bestofn is 30 values of n over 12,500 answers a prompt.
//
// The peers are Python programs (peers.py); BAYESRM_PYTHON names the interpreter, python3 by default. What is not
// installed, and what needs files of ../shared that are absent, is skipped with a message.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"gobayes/bayesrm/cluster"
	"gobayes/bayesrm/tensor"
)

//go:embed peers.py
var peers []byte

// result is what one side measured.
type result struct {
	Rate   float64 // units of work a second
	RSS    float64 // peak memory in MiB
	Error  string
	Detail string // versions, for the peers
}

// figure is one line of the table.
type figure struct {
	name string
	unit string
	peer string // function of peers.py; "" for a figure of ours alone
	goal float64
	ours func(r *run) error
	// threads fixes the number of threads; 0 follows -threads
	threads int
}

// run is what a measurement gets.
type run struct {
	ctx     context.Context
	threads int
	shared  string // folder of real inputs
	tmp     string // exchanged with the peer
	rate    float64
}

func main() {
	log.SetFlags(0)
	threads := flag.String("threads", "1,2", "numbers of threads, separated by commas")
	rounds := flag.Int("rounds", 3, "rounds of each side")
	child := flag.String("child", "", "internal: measure this figure only and print JSON")
	worker := flag.String("worker", "", "internal: take jobs from this server")
	tmp := flag.String("tmp", "", "internal: folder to exchange files with the peer")
	flag.Parse()
	if *worker != "" {
		log.Fatal(cluster.Work(context.Background(), *worker, nil))
	}
	if *child != "" {
		n, err := strconv.Atoi(*threads)
		if err != nil {
			log.Fatal(err)
		}
		runChild(*child, n, *tmp)
		return
	}
	if err := runAll(*threads, *rounds, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func sharedFolder() string {
	if d := os.Getenv("BAYESRM_DATA"); d != "" {
		return d
	}
	return filepath.Join("..", "shared")
}

// runChild measures our side of one figure.
func runChild(name string, threads int, tmp string) {
	runtime.GOMAXPROCS(threads)
	r := &run{ctx: context.Background(), threads: threads, shared: sharedFolder(), tmp: tmp}
	var out result
	for _, f := range figures() {
		if f.name == name {
			if err := f.ours(r); err != nil {
				out.Error = err.Error()
			}
		}
	}
	out.Rate, out.RSS = r.rate, peakRSS()
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		log.Fatal(err)
	}
}

func runAll(threads string, rounds int, names []string) error {
	tmp, err := os.MkdirTemp("", "bayesrm-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	script := filepath.Join(tmp, "peers.py")
	if err := os.WriteFile(script, peers, 0o644); err != nil {
		return err
	}
	var counts []int
	for _, s := range strings.Split(threads, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("bench: -threads %q: want positive numbers separated by commas", threads)
		}
		counts = append(counts, n)
	}
	all := figures()
	for _, n := range names {
		if !slices.ContainsFunc(all, func(f figure) bool { return strings.HasPrefix(f.name, n) }) {
			var known []string
			for _, f := range all {
				known = append(known, f.name)
			}
			return fmt.Errorf("bench: no figure starts with %q; there are %s", n, strings.Join(known, ", "))
		}
	}
	fmt.Printf("kernels: %s; %d processors\n", tensor.Level(), runtime.NumCPU())
	fmt.Printf(row, "figure", "threads", "unit", "ours", "peer", "ratio", "goal", "", "MiB ours", "MiB peer")
	for _, f := range all {
		if len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(f.name, n) }) {
			continue
		}
		for _, n := range counts {
			if f.threads != 0 && n != counts[0] {
				continue
			}
			if f.threads != 0 {
				n = f.threads
			}
			fmt.Println(f.measure(script, tmp, n, rounds))
		}
	}
	return nil
}

// row is the layout of the table.
const row = "%-20s %7s  %-9s %9s %9s %6s %6s  %-5s %9s %9s\n"

// measure runs both sides in turns and formats the line.
func (f figure) measure(script, tmp string, threads, rounds int) string {
	var ours, peer, ratios []float64
	var memory [2]float64
	var failed, peerFailed string
	for range rounds {
		r := child(threads, os.Args[0], "-child", f.name, "-threads", strconv.Itoa(threads), "-tmp", tmp)
		if failed = r.Error; failed != "" {
			break
		}
		ours, memory[0] = append(ours, r.Rate), max(memory[0], r.RSS)
		if f.peer == "" {
			continue
		}
		python := os.Getenv("BAYESRM_PYTHON")
		if python == "" {
			python = "python3"
		}
		p := child(threads, python, script, f.peer, strconv.Itoa(threads), tmp, sharedFolder())
		if peerFailed = p.Error; peerFailed != "" {
			break
		}
		peer, ratios, memory[1] = append(peer, p.Rate), append(ratios, r.Rate/p.Rate), max(memory[1], p.RSS)
	}
	line := func(cells ...any) string {
		return strings.TrimSpace(fmt.Sprintf(row, append([]any{f.name, strconv.Itoa(threads), f.unit}, cells...)...))
	}
	mib := func(side int) string { return fmt.Sprintf("%.0f", memory[side]) }
	switch {
	case failed != "":
		return fmt.Sprintf("%-20s skipped: %s", f.name, failed)
	case f.peer == "" || peerFailed != "":
		s := line(number(median(ours)), "-", "-", "-", "", mib(0), "-")
		if peerFailed != "" {
			s += "  peer skipped: " + peerFailed
		}
		return s
	}
	ratio := median(ratios)
	goal, verdict := fmt.Sprintf("%.2f", f.goal), "ok"
	switch {
	case f.goal == 0: // reported only
		goal, verdict = "-", ""
	case ratio < f.goal:
		verdict = "short"
	}
	return line(number(median(ours)), number(median(peer)), fmt.Sprintf("%.2f", ratio), goal, verdict, mib(0), mib(1))
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}

func number(x float64) string {
	if x < 100 {
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// child runs one side and reads what it prints last.
func child(threads int, name string, args ...string) result {
	cmd := exec.Command(name, args...)
	n := strconv.Itoa(threads)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS="+n, "OPENBLAS_NUM_THREADS="+n, "MKL_NUM_THREADS="+n, "RAYON_NUM_THREADS="+n, "TOKENIZERS_PARALLELISM=false", "HF_HUB_OFFLINE=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var r result
	if e := json.Unmarshal([]byte(lines[len(lines)-1]), &r); e != nil {
		last := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return result{Error: fmt.Sprintf("%v: %s", err, last[len(last)-1])}
	}
	return r
}

package sample

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gobayes/bayesrm/internal/check"
	"gobayes/bayesrm/llm"
)

// fake is a completion server whose answers name their seed; fault may spoil a reply.
type fake struct {
	mu       sync.Mutex
	requests []map[string]any
	most     int // answers to a request
	logprobs bool
	fault    func(n int, w http.ResponseWriter) bool // request n, from 1: says whether it has replied
	n        atomic.Int32
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/v1/completions" {
		http.Error(w, "not a completion request", http.StatusNotFound)
		return
	}
	f.mu.Lock()
	f.requests = append(f.requests, body)
	f.mu.Unlock()
	if f.fault != nil && f.fault(int(f.n.Add(1)), w) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	n := min(int(body["n"].(float64)), f.most)
	var choices []map[string]any
	for k := range n {
		c := map[string]any{"index": k, "finish_reason": "stop", "text": fmt.Sprintf("%v #%v.%d", body["prompt"], body["seed"], k), "logprobs": nil}
		if f.logprobs && body["logprobs"] != nil {
			c["logprobs"] = map[string]any{"token_logprobs": []float64{-0.5, -0.25}, "tokens": []string{"a", "b"}}
			c["token_ids"] = []int{7, 8}
		}
		choices = append(choices, c)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": "1", "object": "text_completion", "choices": choices})
}

func serve(t *testing.T, f *fake) *Server {
	t.Helper()
	if f.most == 0 {
		f.most = math.MaxInt
	}
	h := httptest.NewServer(f)
	t.Cleanup(h.Close)
	return &Server{URL: h.URL + "/v1", Model: "m", Template: llm.Template{Prompt: "<", Answer: ">"}}
}

func texts(t *testing.T, s *Server, o *Options) string {
	t.Helper()
	p, err := Pool(t.Context(), s, []string{"x", "y"}, o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, q := range p.Questions {
		for _, a := range q.Answers {
			fmt.Fprintln(&b, a.ID, a.Text)
		}
	}
	return b.String()
}

// TestServer: what is asked for reaches the server; faults that pass change nothing of what comes out.
func TestServer(t *testing.T) {
	o := &Options{Answers: 20, MaxTokens: 9, Temperature: 0.7, TopK: 5, TopP: 0.9, MinP: 0.1, Seed: 3}
	calm := &fake{}
	want := texts(t, serve(t, calm), o)
	if n := strings.Count(want, "\n"); n != 40 || !strings.Contains(want, "0/0 <x> #") || len(calm.requests) != 4 {
		t.Errorf("%d answers by %d requests:\n%s", n, len(calm.requests), want)
	}
	r := calm.requests[0]
	for k, v := range map[string]any{"model": "m", "max_tokens": 9., "temperature": 0.7, "top_k": 5., "top_p": 0.9, "min_p": 0.1} {
		if r[k] != v {
			t.Errorf("%s is %v in the request, want %v", k, r[k], v)
		}
	}
	if other := texts(t, serve(t, &fake{}), &Options{Answers: 20, Seed: 4}); other == want {
		t.Error("another seed gives the same answers")
	}
	for name, fault := range map[string]func(n int, w http.ResponseWriter) bool{
		"busy": func(n int, w http.ResponseWriter) bool {
			if n%2 == 1 {
				w.Header().Set("Retry-After", "0.01")
				http.Error(w, `{"error":{"message":"slow down"}}`, http.StatusTooManyRequests)
			}
			return n%2 == 1
		},
		"failing": func(n int, w http.ResponseWriter) bool {
			if n%3 == 1 {
				http.Error(w, "oops", http.StatusServiceUnavailable)
			}
			return n%3 == 1
		},
		"broken off": func(n int, w http.ResponseWriter) bool {
			if n%2 == 1 {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write([]byte(`{"choices":[{"text":"half`))
				panic(http.ErrAbortHandler)
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := texts(t, serve(t, &fake{fault: fault}), o); got != want {
				t.Errorf("other answers than of a calm server:\n%s", got)
			}
		})
	}
}

// TestServerOffers: a server of one answer a request gives all the same, each with a seed of its own; what a server lacks is said.
func TestServerOffers(t *testing.T) {
	f := &fake{most: 1, logprobs: true}
	s := serve(t, f)
	first := texts(t, s, &Options{Answers: 5, Seed: 3})
	if again := texts(t, s, &Options{Answers: 5, Seed: 3}); again != first {
		t.Errorf("the same seed gives\n%s and\n%s", first, again)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(first) {
		_, text, _ := strings.Cut(line, " ")
		if seen[text] {
			t.Errorf("%q comes twice", text)
		}
		seen[text] = true
	}
	out, err := s.Complete(t.Context(), []string{"x"}, &llm.GenerateOptions{LogProbs: true})
	if err != nil || len(out[0][0].LogProbs) != 2 || len(out[0][0].IDs) != 2 || out[0][0].IDs[1] != 8 {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := serve(t, &fake{}).Complete(t.Context(), []string{"x"}, &llm.GenerateOptions{LogProbs: true}); err == nil || !strings.Contains(err.Error(), "gives no log-probabilities") {
		t.Errorf("log-probabilities of a server without: %v", err)
	}
	for _, bad := range []*Server{{URL: "localhost", Model: "m"}, {URL: "http://localhost:1/v1"}} {
		if _, err := bad.Complete(t.Context(), []string{"x"}, nil); err == nil || !strings.Contains(err.Error(), "want the URL") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestServerErrors: a refusal is not repeated and says why; a fault that does not pass ends with its reason; a stop ends at once.
func TestServerErrors(t *testing.T) {
	f := &fake{fault: func(_ int, w http.ResponseWriter) bool {
		http.Error(w, `{"error":{"message":"no model of this name"}}`, http.StatusNotFound)
		return true
	}}
	s := serve(t, f)
	s.Parallel = 1
	if _, err := s.Complete(t.Context(), []string{"x"}, nil); err == nil || !strings.Contains(err.Error(), "no model of this name") || f.n.Load() != 1 {
		t.Errorf("%v after %d requests", err, f.n.Load())
	}
	f = &fake{fault: func(_ int, w http.ResponseWriter) bool {
		w.Header().Set("Retry-After", "0")
		http.Error(w, `{"error":{"message":"out of memory"}}`, http.StatusInternalServerError)
		return true
	}}
	s = serve(t, f)
	s.Retries = 2
	if _, err := s.Complete(t.Context(), []string{"x"}, nil); err == nil || !strings.Contains(err.Error(), "out of memory") || f.n.Load() != 3 {
		t.Errorf("%v after %d requests", err, f.n.Load())
	}
	stuck := make(chan struct{})
	defer close(stuck)
	s = serve(t, &fake{fault: func(int, http.ResponseWriter) bool { <-stuck; return false }})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	begun := time.Now()
	if _, err := s.Complete(ctx, []string{"x"}, nil); !errors.Is(err, context.Canceled) || time.Since(begun) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

// TestServerRate: requests keep to the rate.
func TestServerRate(t *testing.T) {
	f := &fake{most: 1}
	s := serve(t, f)
	s.PerSecond, s.single = 50, true
	begun := time.Now()
	texts(t, s, &Options{Answers: 6})
	if took := time.Since(begun); len(f.requests) != 12 || took < 11*20*time.Millisecond {
		t.Errorf("%d requests in %v, want 12 in 220 ms at least", len(f.requests), took)
	}
}

// TestLlamaCPP draws from a real llama.cpp server, where Python has one: BAYESRM_PYTHON, python3 by default, with llama-cpp-python[server].
func TestLlamaCPP(t *testing.T) {
	python := cmp.Or(os.Getenv("BAYESRM_PYTHON"), "python3")
	if err := exec.Command(python, "-c", "import llama_cpp.server.app").Run(); err != nil {
		t.Skipf("%s has no llama_cpp.server: %v", python, err)
	}
	model := check.Data(t, "models", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close() // the server takes it
	cmd := exec.Command(python, "-m", "llama_cpp.server", "--model", model, "--port", port, "--host", "127.0.0.1", "--n_ctx", "256", "--logits_all", "true", "--model_alias", "smol")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()         //nolint:errcheck // killed
	defer cmd.Process.Kill() //nolint:errcheck // it may have ended
	s := &Server{URL: "http://127.0.0.1:" + port + "/v1", Model: "smol"}
	o := &llm.GenerateOptions{Greedy: true, MaxTokens: 12, LogProbs: true}
	const prompt = "Once upon a time, in a village by the sea,"
	got, err := s.Complete(t.Context(), []string{prompt}, o) // asked again until the server is there
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.Load(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := m.Tokenizer.Encode(prompt)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Generate(t.Context(), [][]int{ids}, o)
	if err != nil {
		t.Fatal(err)
	}
	// llama.cpp rounds activations to 8 bits behind weights of 4: the likeliest token is another one sooner or later.
	if text := m.Tokenizer.Decode(want[0][0].IDs[:6]); !strings.HasPrefix(got[0][0].Text, text) || len(got[0][0].LogProbs) != 12 {
		t.Fatalf("llama.cpp's %q with %d log-probabilities, ours %q", got[0][0].Text, len(got[0][0].LogProbs), text)
	}
	check.Close(t, "log-probabilities", got[0][0].LogProbs[:6], want[0][0].LogProbs[:6], 0.15, 0)
	pool, err := Pool(t.Context(), s, []string{prompt, "The capital of France is"}, &Options{Answers: 3, MaxTokens: 8, Seed: 1})
	if err != nil || pool.Len() != 6 {
		t.Fatalf("%v, %v", pool, err)
	}
	if a := pool.Questions[0].Answers; a[0].Text == a[1].Text && a[1].Text == a[2].Text {
		t.Errorf("three answers are all %q", a[0].Text)
	}
}

package sample

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"gobayes/bayesrm/llm"
	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/tokenizer"

	"golang.org/x/time/rate"
)

// Server is a policy behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp or Ollama, by /v1/completions, where the exact text of
// the prompt counts. A request that fails for a reason that may pass, a busy server or a broken connection, is sent again.
type Server struct {
	// URL of the API, like http://localhost:8000/v1.
	URL string
	// Model as the server names it.
	Model string
	// Template around each prompt.
	Template llm.Template
	// Tokenizer of the model: prompts are then sent as token ids, which some servers do not take. Default: as text.
	Tokenizer tokenizer.Tokenizer `json:"-"`
	// Key that the server asks for. Default: $OPENAI_API_KEY.
	Key string `json:"-"`
	// Parallel requests. Default 8.
	Parallel int
	// PerSecond is the most requests in a second. Default: no limit.
	PerSecond float64
	// Retries of a request before it counts as failed. Default 8, with growing pauses: about a minute.
	Retries int
	// Timeout of a request. Default 5 minutes.
	Timeout time.Duration

	mu     sync.Mutex
	single bool // the server gives one answer a request
}

// String is the model and the address.
func (s *Server) String() string { return fmt.Sprintf("%s at %s", s.Model, s.URL) }

// Fingerprint is the name of the model and its template: the weights behind the name are not known.
func (s *Server) Fingerprint() string {
	return fmt.Sprintf("server's %q, template %q, tokens %v", s.Model, s.Template, s.Tokenizer != nil)
}

// perRequest is how many answers are asked for at once, of a server that gives several.
const perRequest = 16

// request is some answers to a prompt.
type request struct{ prompt, first, n int }

// Complete returns opts.Samples answers to each prompt. An answer depends on the seed, its prompt and its number, as far as the server
// honours seeds. Log-probabilities are an error where the server gives none; token ids are there only where it gives them (vLLM).
func (s *Server) Complete(ctx context.Context, prompts []string, opts *llm.GenerateOptions) ([][]llm.Completion, error) {
	o := llm.GenerateOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Samples <= 0 {
		o.Samples = 1
	}
	if _, err := url.ParseRequestURI(s.URL); err != nil || s.Model == "" {
		return nil, fmt.Errorf("sample: server %q, model %q: want the URL of an API, like http://localhost:8000/v1, and the name of a model there", s.URL, s.Model)
	}
	if o.Seeds != nil {
		return nil, errors.New("sample: server: Seeds are for models of this process; use Seed")
	}
	limit := rate.Inf
	if s.PerSecond > 0 {
		limit = rate.Limit(s.PerSecond)
	}
	c := &conversation{s: s, limiter: rate.NewLimiter(limit, 1), o: o, prompts: prompts, out: make([][]llm.Completion, len(prompts))}
	for p := range prompts {
		c.out[p] = make([]llm.Completion, o.Samples)
	}
	if err := c.run(ctx); err != nil {
		return nil, fmt.Errorf("sample: %v: %w", s, err)
	}
	return c.out, nil
}

// conversation is one call of Complete.
type conversation struct {
	s       *Server
	limiter *rate.Limiter
	o       llm.GenerateOptions
	prompts []string

	mu   sync.Mutex
	out  [][]llm.Completion
	done int
}

// run sends the requests, several at a time; the first error ends it.
func (c *conversation) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	requests := make(chan request)
	go func() {
		defer close(requests)
		for p := range c.prompts {
			for k := 0; k < c.o.Samples; {
				n := min(perRequest, c.o.Samples-k)
				if c.s.one() {
					n = 1
				}
				select {
				case requests <- request{p, k, n}:
				case <-ctx.Done():
					return
				}
				k += n
			}
		}
	}()
	var workers sync.WaitGroup
	for range cmp.Or(c.s.Parallel, 8) {
		workers.Go(func() {
			for r := range requests {
				if err := c.answer(ctx, r); err != nil {
					cancel(fmt.Errorf("prompt %d (%.40q): %w", r.prompt, c.prompts[r.prompt], err))
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("stopped after %d of %d answers: %w", c.done, len(c.prompts)*c.o.Samples, context.Cause(ctx))
	}
	return nil
}

func (s *Server) one() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.single
}

// answer gets the answers of a request. A server that gave fewer than it was asked for is asked for one at a time from then on.
func (c *conversation) answer(ctx context.Context, r request) error {
	choices, err := c.ask(ctx, r)
	if err != nil {
		return err
	}
	if len(choices) < r.n {
		c.s.mu.Lock()
		c.s.single = true
		c.s.mu.Unlock()
		choices = nil // the seeds of a request are those of its first answer: all answers have seeds of their own now
		for k := range r.n {
			one, err := c.ask(ctx, request{r.prompt, r.first + k, 1})
			if err == nil && len(one) == 0 {
				err = errors.New("the server gives no answer")
			}
			if err != nil {
				return err
			}
			choices = append(choices, one[0])
		}
	}
	for k := range r.n {
		a, err := c.completion(choices[k])
		if err != nil {
			return err
		}
		c.out[r.prompt][r.first+k] = a
	}
	c.report(ctx, r.n, "")
	return nil
}

// report says that so many more answers are there.
func (c *conversation) report(ctx context.Context, more int, note string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += more
	progress.Report(ctx, progress.Event{Task: "generate on the server", Done: c.done, Total: len(c.prompts) * c.o.Samples, Note: note})
}

// ask sends a request until it is answered, or refused.
func (c *conversation) ask(ctx context.Context, r request) ([]choice, error) {
	body, err := c.body(r)
	if err != nil {
		return nil, err
	}
	retries := cmp.Or(c.s.Retries, 8)
	for try := 0; ; try++ {
		if err := c.limiter.Wait(ctx); err != nil {
			return nil, err
		}
		choices, pause, err := c.post(ctx, body)
		if err == nil {
			return choices, nil
		}
		if ctx.Err() != nil || pause < 0 || try == retries {
			return nil, err
		}
		if pause == 0 {
			pause = min(30*time.Second, 250*time.Millisecond<<try)
		}
		c.report(ctx, 0, fmt.Sprintf("asked again after %v", err))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// body is a request in JSON.
func (c *conversation) body(r request) ([]byte, error) {
	text := c.s.Template.Prompt + c.prompts[r.prompt] + c.s.Template.Answer
	m := map[string]any{"model": c.s.Model, "prompt": text, "n": r.n, "temperature": cmp.Or(c.o.Temperature, 1), "seed": c.seed(r)}
	if c.s.Tokenizer != nil {
		ids, err := c.s.Tokenizer.Encode(text)
		if err != nil {
			return nil, err
		}
		m["prompt"] = ids
	}
	if c.o.Greedy {
		m["temperature"] = 0
	}
	for name, v := range map[string]float64{"max_tokens": float64(c.o.MaxTokens), "top_p": c.o.TopP, "top_k": float64(c.o.TopK), "min_p": c.o.MinP, "repetition_penalty": c.o.RepetitionPenalty} {
		if v != 0 {
			m[name] = v
		}
	}
	if len(c.o.Stop) > 0 {
		m["stop"] = c.o.Stop
	}
	if c.o.LogProbs {
		m["logprobs"], m["return_token_ids"] = 1, true // the ids are vLLM's; others do not mind
	}
	return json.Marshal(m)
}

// choice is an answer of the server.
type choice struct {
	Text     string
	Finish   string `json:"finish_reason"`
	TokenIDs []int  `json:"token_ids"`
	LogProbs *struct {
		Tokens []float64 `json:"token_logprobs"`
	}
}

// post sends a request once. The pause says when an error may pass: as the server says, 0 without a word, negative never.
func (c *conversation) post(ctx context.Context, body []byte) (choices []choice, pause time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.s.Timeout, 5*time.Minute))
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.s.URL, "/")+"/completions", bytes.NewReader(body))
	if err != nil {
		return nil, -1, err
	}
	q.Header.Set("Content-Type", "application/json")
	if key := cmp.Or(c.s.Key, os.Getenv("OPENAI_API_KEY")); key != "" {
		q.Header.Set("Authorization", "Bearer "+key)
	}
	reply, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, 0, err
	}
	defer reply.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(reply.Body, 64<<20))
	if err != nil {
		return nil, 0, err
	}
	if status := reply.StatusCode; status != http.StatusOK {
		err := fmt.Errorf("%s: %.300s", reply.Status, strings.TrimSpace(string(b)))
		if status != http.StatusRequestTimeout && status != http.StatusConflict && status != http.StatusTooManyRequests && status < 500 {
			return nil, -1, err
		}
		pause, _ := time.ParseDuration(reply.Header.Get("Retry-After") + "s") // 0 where it says nothing
		return nil, max(0, pause), err
	}
	var answer struct{ Choices []choice }
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, 0, fmt.Errorf("not a completion: %w", err)
	}
	return answer.Choices, 0, nil
}

// seed is that of a request: of the run's seed, the prompt's text and the first answer's number.
func (c *conversation) seed(r request) int64 {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], c.o.Seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(c.o.First+r.first))
	h.Write(b[:])
	io.WriteString(h, c.prompts[r.prompt]) //nolint:errcheck // a hash takes everything
	return int64(h.Sum64() >> 33)          // servers take 31 bits
}

// completion reads an answer.
func (c *conversation) completion(from choice) (llm.Completion, error) {
	a := llm.Completion{Text: from.Text, IDs: from.TokenIDs, Reason: "end"}
	if from.Finish == "length" {
		a.Reason = "length"
	}
	if c.o.LogProbs {
		if from.LogProbs == nil && from.Text != "" {
			return a, errors.New("the server gives no log-probabilities; leave LogProbs out")
		}
		if from.LogProbs != nil {
			a.LogProbs = from.LogProbs.Tokens
		}
	}
	return a, nil
}

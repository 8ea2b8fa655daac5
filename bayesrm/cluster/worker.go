package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"gobayes/bayesrm/progress"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Work takes jobs from the queue of a server until ctx ends: what bayesrm worker does. It waits for a server that is not there
// yet or goes away, and reports on ctx what it does. It is an error if the server refuses it.
func Work(ctx context.Context, url string, security *Security) error {
	s := Security{}
	if security != nil {
		s = *security
	}
	for {
		nc, js, err := dial(url, s)
		if err == nil {
			defer nc.Close()
			return newWorker(nc, js, hostName()).run(ctx)
		}
		if !errors.Is(err, nats.ErrNoServers) && !strings.Contains(err.Error(), "connection refused") {
			return fmt.Errorf("cluster: work: %w", err)
		}
		progress.Report(ctx, progress.Event{Task: "wait for " + url, Note: err.Error()})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// worker does one job at a time; each has all processors.
type worker struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	name  string
	of    string // the run that tools were loaded for
	tools tools
}

func newWorker(nc *nats.Conn, js jetstream.JetStream, name string) *worker {
	return &worker{nc: nc, js: js, name: name}
}

func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		m, silence, attempts, err := w.next(ctx)
		if err != nil || m == nil { // no queue yet, no connection or no jobs
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
			continue
		}
		w.job(ctx, m, silence, attempts)
	}
	return nil
}

// next is a job, or nil if there is none for a while.
func (w *worker) next(ctx context.Context) (m jetstream.Msg, silence time.Duration, attempts int, err error) {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := w.js.Consumer(short, jobStream, consumer)
	if err != nil {
		return nil, 0, 0, err
	}
	info := c.CachedInfo()
	batch, err := c.Fetch(1, jetstream.FetchContext(short))
	if err != nil {
		return nil, 0, 0, err
	}
	for m = range batch.Messages() {
		return m, info.Config.AckWait, info.Config.MaxDeliver, nil
	}
	return nil, 0, 0, nil
}

// job does a job and takes it off the queue.
func (w *worker) job(ctx context.Context, m jetstream.Msg, silence time.Duration, attempts int) {
	var job message
	if err := json.Unmarshal(m.Data(), &job); err != nil {
		_ = m.TermWithReason("not a job") // another program's
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	unwanted := false
	var mu sync.Mutex
	sub, err := w.nc.Subscribe(cancelled+job.Run, func(*nats.Msg) {
		mu.Lock()
		unwanted = true
		mu.Unlock()
		cancel()
	})
	if err == nil {
		defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone
	}
	beating := make(chan struct{})
	go func() { // the job is still in hands
		t := time.NewTicker(silence / 3)
		defer t.Stop()
		for {
			select {
			case <-beating:
				return
			case <-t.C:
				_ = m.InProgress() // a lost beat is followed by others
			}
		}
	}()
	say := func(r report) {
		r.Worker, r.Number = w.name, job.Number
		if b, err := json.Marshal(r); err == nil {
			_ = w.nc.Publish(news+job.Run, b) // the head looks at the results too
		}
	}
	var last time.Time
	working := progress.WithReporter(ctx, func(e progress.Event) {
		progress.Report(ctx, e)
		mu.Lock()
		soon := time.Since(last) < 300*time.Millisecond
		if !soon {
			last = time.Now()
		}
		mu.Unlock()
		if !soon {
			say(report{Event: &e})
		}
	})
	err = w.do(working, job)
	close(beating)
	mu.Lock()
	defer mu.Unlock()
	meta, metaErr := m.Metadata()
	switch {
	case unwanted:
		_ = m.Term() // its run has left the queue already
	case err == nil:
		say(report{Done: true})
		short, stop := context.WithTimeout(context.WithoutCancel(ctx), silence)
		_ = again(short, m.DoubleAck) // at worst it comes again, and is found done
		stop()
	case ctx.Err() != nil: // this worker stops: at once another one's
		_ = m.Nak()
		_ = w.nc.FlushTimeout(time.Second)
	case metaErr == nil && meta.NumDelivered >= uint64(attempts):
		give(context.WithoutCancel(ctx), w.js, job, fmt.Sprintf("%s: %v", w.name, err))
		_ = m.Term()
		say(report{Dead: true, Error: fmt.Sprintf("%s: %v", w.name, err)})
	default:
		_ = m.NakWithDelay(min(time.Minute, silence/10<<min(6, int(meta.NumDelivered))))
		say(report{Error: err.Error()})
	}
}

// do runs a job; a panic in it is its error.
func (w *worker) do(ctx context.Context, job message) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if job.Protocol != protocol {
		return fmt.Errorf("this worker speaks version %d of the protocol, the run version %d: give all machines the same bayesrm", protocol, job.Protocol)
	}
	do, ok := kinds[job.Kind]
	if !ok {
		return fmt.Errorf("this worker knows no jobs of kind %q: give all machines the same bayesrm", job.Kind)
	}
	if w.of != job.Run { // a folder may hold another model by now
		w.of, w.tools = job.Run, tools{}
	}
	return do(ctx, &w.tools, job.Spec)
}

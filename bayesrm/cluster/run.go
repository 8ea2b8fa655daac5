package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gobayes/bayesrm/progress"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// message is a job on its way.
type message struct {
	Protocol int
	Run      string
	Number   int
	Kind     string
	Spec     json.RawMessage
}

// report is what a worker says about a job.
type report struct {
	Worker string
	Number int
	Done   bool
	Error  string          // of an attempt
	Dead   bool            // there will be no other attempt
	Event  *progress.Event // of the work within
}

// work is jobs of one kind, of which some are wanted.
type work struct {
	task  string // for the progress bar
	kind  string
	key   string          // of everything that the results depend on, and their place
	total int             // jobs
	spec  func(i int) any // of job i
	done  func(i int) (bool, error)
}

// run puts the jobs that are not done on the queue and waits for their results. It is an error if some were given up; the others
// are done all the same, and a later run tries again.
func (c *connection) run(ctx context.Context, w work) error {
	waiting := map[int]bool{}
	for i := range w.total {
		ok, err := w.done(i)
		if err != nil {
			return err
		}
		if !ok {
			waiting[i] = true
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	run := hash(w.kind + "\n" + w.key)
	reports := make(chan report, 1024)
	sub, err := c.nc.Subscribe(news+run, func(m *nats.Msg) {
		var r report
		if json.Unmarshal(m.Data, &r) == nil {
			reports <- r
		}
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = sub.Unsubscribe() // the connection may be gone
		for {
			select {
			case <-reports: // nobody blocks on it
			default:
				return
			}
		}
	}()
	stream, err := c.js.Stream(ctx, jobStream)
	if err != nil {
		return err
	}
	if err := c.clear(ctx, stream, run); err != nil { // of a run that ended before its jobs did
		return err
	}
	if err := c.publish(ctx, run, w, waiting); err != nil {
		return err
	}
	exhausted, err := c.watch(run, stream)
	if err != nil {
		return err
	}
	defer exhausted.Unsubscribe() //nolint:errcheck // the connection may be gone
	deaths, idle := map[int]string{}, 0
	report := func() {
		progress.Report(ctx, progress.Event{Task: w.task, Done: w.total - len(waiting), Total: w.total, Note: notes(len(deaths))})
	}
	report()
	look := time.NewTicker(time.Second) // results count, not what is said of them
	defer look.Stop()
	for len(waiting) > len(deaths) {
		select {
		case <-ctx.Done():
			c.cancel(run)
			return fmt.Errorf("stopped after %d of %d: %w", w.total-len(waiting), w.total, ctx.Err())
		case r := <-reports:
			switch {
			case r.Event != nil:
				e := *r.Event
				e.Task = r.Worker + ": " + e.Task
				progress.Report(ctx, e)
			case r.Dead && waiting[r.Number]:
				deaths[r.Number] = r.Error
			case r.Error != "":
				progress.Report(ctx, progress.Event{Task: w.task, Done: w.total - len(waiting), Total: w.total, Note: fmt.Sprintf("%s: job %d: %s; it is tried again", r.Worker, r.Number, r.Error)})
			}
			if !r.Done {
				continue
			}
			if err := w.look(waiting, deaths, r.Number); err != nil {
				return err
			}
		case <-look.C:
			var some []int
			for i := range waiting { // in no order: each has its turn
				if some = append(some, i); len(some) == 100 {
					break
				}
			}
			if err := w.look(waiting, deaths, some...); err != nil {
				return err
			}
			err := c.dead(ctx, run, waiting, deaths)
			if err == nil {
				err = c.missed(ctx, run, w, waiting, deaths, &idle)
			}
			if err != nil && ctx.Err() == nil && !lost(err) {
				return err
			}
		}
		report()
	}
	if len(deaths) == 0 {
		return nil
	}
	var lines []string
	for i, why := range deaths {
		lines = append(lines, fmt.Sprintf("job %d: %s", i, why))
	}
	slices.Sort(lines)
	return fmt.Errorf("%d of %d jobs were given up after %d attempts each; what is done stays, and another run tries them again:\n%s",
		len(deaths), w.total, c.options.Attempts, strings.Join(lines[:min(10, len(lines))], "\n"))
}

// look finds which of some jobs are done.
func (w work) look(waiting map[int]bool, deaths map[int]string, some ...int) error {
	for _, i := range some {
		ok, err := w.done(i)
		if err != nil {
			return err
		}
		if ok {
			delete(waiting, i)
			delete(deaths, i)
		}
	}
	return nil
}

// missed puts jobs on the queue again that are in no queue, when it has seen that several times: the server lost its files.
func (c *connection) missed(ctx context.Context, run string, w work, waiting map[int]bool, deaths map[int]string, idle *int) error {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := c.js.Stream(short, jobStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = c.prepare(short)
		if err == nil {
			s, err = c.js.Stream(short, jobStream)
		}
	}
	if err != nil {
		return err
	}
	info, err := s.Info(short, jetstream.WithSubjectFilter(jobs+run+".*"))
	if err != nil {
		return err
	}
	if len(info.State.Subjects) > 0 {
		*idle = 0
		return nil
	}
	if *idle++; *idle < 5 {
		return nil
	}
	*idle = 0
	gone := map[int]bool{}
	for i := range waiting {
		gone[i] = deaths[i] == ""
	}
	return c.publish(ctx, run, w, gone)
}

func notes(deaths int) string {
	if deaths == 0 {
		return ""
	}
	return fmt.Sprintf("%d given up", deaths)
}

// lost says whether an error is that of a connection, which comes back.
func lost(err error) bool {
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, nats.ErrConnectionReconnecting) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// again calls f until it succeeds, the context ends, or it fails for another reason than a lost connection.
func again(ctx context.Context, f func(ctx context.Context) error) error {
	for {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := f(one)
		cancel()
		if err == nil || ctx.Err() != nil || !lost(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// clear takes a run's jobs off the queue, living and dead.
func (c *connection) clear(ctx context.Context, stream jetstream.Stream, run string) error {
	return again(ctx, func(ctx context.Context) error {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(jobs+run+".*")); err != nil {
			return err
		}
		d, err := c.js.Stream(ctx, deadStream)
		if err != nil {
			return err
		}
		return d.Purge(ctx, jetstream.WithPurgeSubject(dead+run+".*"))
	})
}

// publish puts jobs on the queue, each once.
func (c *connection) publish(ctx context.Context, run string, w work, numbers map[int]bool) error {
	nonce := rand.Text() // a job of an earlier run of this work is another job
	for i := range w.total {
		if !numbers[i] {
			continue
		}
		spec, err := json.Marshal(w.spec(i))
		if err != nil {
			return err
		}
		b, err := json.Marshal(message{protocol, run, i, w.kind, spec})
		if err != nil {
			return err
		}
		err = again(ctx, func(ctx context.Context) error {
			_, err := c.js.Publish(ctx, jobs+run+"."+strconv.Itoa(i), b, jetstream.WithMsgID(nonce+"."+strconv.Itoa(i)))
			return err
		})
		if err != nil {
			return fmt.Errorf("job %d: %w", i, err)
		}
	}
	return nil
}

// watch gives up jobs whose workers died at every attempt: nobody else would say so.
func (c *connection) watch(run string, stream jetstream.Stream) (*nats.Subscription, error) {
	return c.nc.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES."+jobStream+"."+consumer, func(m *nats.Msg) {
		var advisory struct {
			Seq uint64 `json:"stream_seq"`
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if json.Unmarshal(m.Data, &advisory) != nil {
			return
		}
		raw, err := stream.GetMsg(ctx, advisory.Seq)
		if err != nil {
			return // it was done in the end
		}
		var job message
		if json.Unmarshal(raw.Data, &job) != nil || job.Run != run {
			return
		}
		give(ctx, c.js, job, fmt.Sprintf("no worker lived through it, in %d attempts", c.options.Attempts))
		_ = stream.DeleteMsg(ctx, advisory.Seq) // it is not delivered again
	})
}

// give publishes that a job is given up.
func give(ctx context.Context, js jetstream.JetStream, job message, why string) {
	_ = again(ctx, func(ctx context.Context) error { // the head sees in the end that the result is missing
		_, err := js.Publish(ctx, dead+job.Run+"."+strconv.Itoa(job.Number), []byte(why))
		return err
	})
}

// dead reads which of the jobs that a run waits for were given up, and why.
func (c *connection) dead(ctx context.Context, run string, waiting map[int]bool, deaths map[int]string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := c.js.Stream(ctx, deadStream)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(dead+run+".*"))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		i, err := strconv.Atoi(subject[strings.LastIndex(subject, ".")+1:])
		if err != nil || !waiting[i] || deaths[i] != "" {
			continue
		}
		m, err := s.GetLastMsgForSubject(ctx, subject)
		if err != nil {
			return err
		}
		deaths[i] = string(m.Data)
	}
	return nil
}

// cancel tells the workers that a run is no longer wanted.
func (c *connection) cancel(run string) {
	_ = c.nc.Publish(cancelled+run, nil) // who does not hear it finishes a job in vain
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	if s, err := c.js.Stream(ctx, jobStream); err == nil {
		_ = s.Purge(ctx, jetstream.WithPurgeSubject(jobs+run+".*"))
	}
}

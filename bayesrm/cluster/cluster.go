// Package cluster spreads long work over processes and machines: answers, scores, members of ensembles and whole notebooks are jobs in
// a queue of NATS JetStream. Without options the server and one worker run in this process, and no port is opened; with an address
// other machines help, each with
//
//	bayesrm worker --url nats://HOST:4222
//
// A job is a description, not data: every machine sees the same folders under the same paths. A worker writes a result under another
// name, syncs and renames it, and only then takes the job off the queue: whoever dies, each result is there once. What a run finds done is
// not done again.
package cluster

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gobayes/bayesrm/progress"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The names of the queue, of its consumer and of the subjects.
const (
	jobStream  = "BAYESRM_JOBS"
	deadStream = "BAYESRM_DEAD"
	consumer   = "workers"
	jobs       = "bayesrm.job."    // + run + number: the queue
	dead       = "bayesrm.dead."   // + run + number: jobs that were given up
	news       = "bayesrm.news."   // + run: what workers say
	cancelled  = "bayesrm.cancel." // + run: the run is no longer wanted
)

// protocol changes when workers and runs of different programs no longer understand each other.
const protocol = 1

// Options configure Open. A nil *Options, and every zero field, mean the default.
type Options struct {
	// URL of a server that runs already, like nats://host:4222. Default: a server in this process.
	URL string
	// Listen is an address, like 0.0.0.0:4222, on which the server in this process takes workers of other machines. Default: none.
	Listen string
	// Dir keeps the server's queue. Default: a temporary folder; results do not depend on it.
	Dir string
	// Workers in this process. Default 1 beside an own server, 0 with a URL. Negative: none.
	Workers int
	// Security of the connection, and of the server that listens.
	Security
	// Attempts at a job before it is given up. Default 5.
	Attempts int
	// Silence is how long a worker may be silent before its job goes to another. Default 30 s; workers speak three times as often.
	Silence time.Duration
}

// Security says who may connect, and how.
type Security struct {
	// Token that workers show, and that an own server asks for.
	Token string
	// Credentials is a NATS credentials file, for a server that asks for one.
	Credentials string
	// CA, Cert and Key are PEM files: the authority that the other side must be signed by, and the own certificate.
	CA, Cert, Key string
}

// Cluster is a queue of jobs and the workers of this process.
type Cluster struct{ q queue }

// queue is what a Cluster stands on; the types of NATS stay behind it, out of what cells are checked against.
type queue interface {
	url() string
	workersHere() int
	close() error
	run(ctx context.Context, w work) error
}

// URL is where workers of other machines connect to; empty if the server takes none.
func (c *Cluster) URL() string { return c.q.url() }

// String is the address and the number of workers in this process.
func (c *Cluster) String() string {
	at := c.URL()
	if at == "" {
		at = "this process"
	}
	return fmt.Sprintf("queue in %s, %d workers here", at, c.q.workersHere())
}

// Close stops the workers of this process, and its server.
func (c *Cluster) Close() error { return c.q.close() }

// connection is a queue on a server.
type connection struct {
	options Options
	server  *server.Server // nil with a URL
	own     string         // temporary folder of the server
	nc      *nats.Conn
	js      jetstream.JetStream
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// Open starts a server and a worker in this process, or connects to a server.
func Open(ctx context.Context, opts *Options) (*Cluster, error) {
	c := &connection{}
	if opts != nil {
		c.options = *opts
	}
	o := &c.options
	if o.URL != "" && (o.Listen != "" || o.Dir != "") {
		return nil, errors.New("cluster: open: Listen and Dir are of a server in this process; leave them out, or URL")
	}
	if o.Workers == 0 && o.URL == "" {
		o.Workers = 1
	}
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Silence <= 0 {
		o.Silence = 30 * time.Second
	}
	err := c.connect()
	if err == nil {
		err = c.prepare(ctx)
	}
	if err != nil {
		_ = c.close() // the first error says more
		return nil, fmt.Errorf("cluster: open: %w", err)
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	for i := range max(0, o.Workers) {
		w := newWorker(c.nc, c.js, fmt.Sprintf("%s/%d", hostName(), i+1))
		c.workers.Go(func() { _ = w.run(working) }) // it ends with the context
	}
	return &Cluster{c}, nil
}

func (c *connection) connect() error {
	o := &c.options
	var also []nats.Option
	if o.URL == "" {
		if err := c.serve(); err != nil {
			return err
		}
		also = []nats.Option{nats.InProcessServer(c.server)}
	}
	var err error
	c.nc, c.js, err = dial(o.URL, o.Security, also...)
	return err
}

// serve starts the server of this process.
func (c *connection) serve() error {
	o := &c.options
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "bayesrm-cluster-"); err != nil {
			return err
		}
		c.own = dir
	}
	so := &server.Options{ServerName: "bayesrm", DontListen: o.Listen == "", JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, Authorization: o.Token}
	if o.Listen != "" {
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return fmt.Errorf("listen: %w; want HOST:PORT, like 0.0.0.0:4222", err)
		}
		so.Host = host
		if so.Port, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("listen on %s: the port must be a number", o.Listen)
		}
		if so.Port == 0 {
			so.Port = server.RANDOM_PORT
		}
		if o.Cert != "" {
			if so.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{CertFile: o.Cert, KeyFile: o.Key, CaFile: o.CA, Verify: o.CA != ""}); err != nil {
				return err
			}
			so.TLSTimeout = 5
		}
	}
	var err error
	if c.server, err = server.NewServer(so); err != nil {
		return err
	}
	c.server.Start()
	if !c.server.ReadyForConnections(20 * time.Second) {
		return fmt.Errorf("the server does not start on %q with its files in %s: is the address taken, or the folder in use?", o.Listen, dir)
	}
	return nil
}

// dial connects to a server, and again whenever the connection is lost.
func dial(url string, s Security, also ...nats.Option) (*nats.Conn, jetstream.JetStream, error) {
	o := []nats.Option{nats.Name("bayesrm"), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond), nats.RetryOnFailedConnect(false)}
	if s.Token != "" {
		o = append(o, nats.Token(s.Token))
	}
	if s.Credentials != "" {
		o = append(o, nats.UserCredentials(s.Credentials))
	}
	if s.CA != "" {
		o = append(o, nats.RootCAs(s.CA))
	}
	if s.Cert != "" {
		o = append(o, nats.ClientCert(s.Cert, s.Key))
	}
	if len(also) > 0 && (s.CA != "" || s.Cert != "") { // within a process there is nothing to encrypt, but the server asks for it
		o = append(o, nats.Secure(&tls.Config{InsecureSkipVerify: true})) //nolint:gosec // a pipe within this process
	}
	nc, err := nats.Connect(url, append(o, also...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", url, err)
	}
	js, err := jetstream.New(nc)
	return nc, js, err
}

// prepare makes the queue, or finds it there.
func (c *connection) prepare(ctx context.Context) error {
	s, err := c.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: jobStream, Subjects: []string{jobs + ">"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if _, err := c.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: deadStream, Subjects: []string{dead + ">"}, Storage: jetstream.FileStorage, MaxAge: 30 * 24 * time.Hour}); err != nil {
		return fmt.Errorf("queue of dead jobs: %w", err)
	}
	_, err = s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.options.Silence, MaxDeliver: c.options.Attempts, MaxAckPending: -1})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

func (c *connection) url() string {
	switch {
	case c.server == nil:
		return c.options.URL
	case c.options.Listen == "":
		return ""
	}
	return c.server.ClientURL()
}

func (c *connection) workersHere() int { return max(0, c.options.Workers) }

func (c *connection) close() error {
	if c.stop != nil {
		c.stop()
		c.workers.Wait()
	}
	if c.nc != nil {
		c.nc.Close()
	}
	if c.server != nil {
		c.server.Shutdown()
		c.server.WaitForShutdown()
	}
	if c.own != "" {
		return os.RemoveAll(c.own)
	}
	return nil
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		name = "worker"
	}
	return fmt.Sprintf("%s-%d", strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' || r == '*' || r == '>' {
			return '-'
		}
		return r
	}, name), os.Getpid())
}

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

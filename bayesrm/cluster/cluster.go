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
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

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

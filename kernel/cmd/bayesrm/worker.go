package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gobayes/bayesrm/cluster"
	"gobayes/bayesrm/progress"
)

type workerCmd struct {
	URL   string `required:"" help:"Server to take jobs from." placeholder:"nats://HOST:4222"`
	Token string `help:"Token that the server asks for." env:"BAYESRM_TOKEN"`
	Creds string `help:"NATS credentials file." placeholder:"FILE"`
	CA    string `help:"PEM file of the authority that signed the server's certificate." placeholder:"FILE"`
	Cert  string `help:"PEM file of this worker's certificate." placeholder:"FILE"`
	Key   string `help:"PEM file of its key." placeholder:"FILE"`
}

func (c *workerCmd) Run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	meter := progress.NewMeter(5*time.Second, func(b progress.Bar) { fmt.Fprintln(os.Stderr, b) })
	return cluster.Work(progress.WithReporter(ctx, meter.Report), c.URL, &cluster.Security{Token: c.Token, Credentials: c.Creds, CA: c.CA, Cert: c.Cert, Key: c.Key})
}

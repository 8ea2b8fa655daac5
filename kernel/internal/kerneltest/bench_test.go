package kerneltest

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gobayes/kernel/client"
	"gobayes/kernel/internal/wire"
	"gobayes/kernel/internal/zmtp"
)

// BenchmarkPipeline sends cells without waiting for the answers: what the kernel itself takes for one. A client in Python takes longer for
// the messages of a cell than the kernel for the cell.
//
//	go test ./kernel/internal/kerneltest -run NONE -bench Pipeline -benchtime 5000x
func BenchmarkPipeline(b *testing.B) {
	c := wire.Connection{Transport: "tcp", IP: "127.0.0.1", Key: "key"}
	for _, p := range []*int{&c.ShellPort, &c.IOPubPort, &c.StdinPort, &c.ControlPort, &c.HBPort} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		*p = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "connection.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
	kernel := exec.Command(Binary(b), "kernel", file)
	kernel.Env = append(os.Environ(), client.NoHistory)
	if err := kernel.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = kernel.Process.Kill()
		_ = kernel.Wait() // killed
	}()
	dial := func(port int, open func(addr string) (*zmtp.Client, error)) *zmtp.Client {
		for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			z, err := open(net.JoinHostPort(c.IP, strconv.Itoa(port)))
			if err == nil {
				return z
			}
			if time.Now().After(until) {
				b.Fatal(err)
			}
		}
	}
	iopub := dial(c.IOPubPort, zmtp.DialSub)
	shell := dial(c.ShellPort, func(addr string) (*zmtp.Client, error) { return zmtp.Dial(addr, "bench") })
	replies := make(chan bool, 1)
	go iopub.Receive(func([][]byte) {})
	go shell.Receive(func([][]byte) { replies <- true })
	codec := wire.NewCodec(c.Key)
	send := func() error {
		f, err := codec.Encode(nil, codec.NewHeader("execute_request"), nil, nil, map[string]any{"code": "1+1"})
		if err == nil {
			err = shell.Send(f)
		}
		return err
	}
	wait := func() {
		select {
		case <-replies:
		case <-time.After(time.Minute):
			b.Fatal("no reply for a minute")
		}
	}
	if err := send(); err != nil {
		b.Fatal(err)
	}
	wait()
	b.ResetTimer()
	go func() {
		for range b.N {
			if err := send(); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	for range b.N {
		wait()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cells/s")
}

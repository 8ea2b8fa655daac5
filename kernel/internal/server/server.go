// Package server is the kernel's side of the Jupyter protocol: the channels, the queue of cells, interrupts and shutdown.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gobayes/kernel/internal/assist"
	"gobayes/kernel/internal/rt"
	"gobayes/kernel/internal/session"
	"gobayes/kernel/internal/wire"
	"gobayes/kernel/internal/zmtp"
)

// Server serves one session.
type Server struct {
	conn    wire.Connection
	version string // of the kernel
	codec   *wire.Codec
	shell   *zmtp.Router
	control *zmtp.Router
	stdin   *zmtp.Router
	iopub   *zmtp.Publisher
	closers []interface{ Close() error }

	ready   chan struct{} // closed when the sockets are all there
	session *session.Session
	out     *outputs
	input   *input
	comms   *comms
	history *assist.History

	assistMu  sync.Mutex
	assistant *assist.Assistant

	queue   queue
	running sync.Mutex   // held while code of the session runs
	count   int          // execution count; belongs to the executor
	serial  atomic.Int64 // of cells, silent ones and callbacks included
	current running

	dropped  atomic.Int64 // messages that were unsigned or malformed
	stopping chan struct{}
	stopOnce sync.Once
}

// Serve binds the ports of conn and answers until a shutdown request, the end of ctx, or the end of the parent process.
// An error says which port could not be bound.
func Serve(ctx context.Context, conn wire.Connection, version string) error {
	s := &Server{conn: conn, version: version, history: assist.NewHistory(assist.HistoryDir()), codec: wire.NewCodec(conn.Key), stopping: make(chan struct{}), ready: make(chan struct{})}
	s.out = newOutputs(s)
	s.input = newInput(s)
	s.comms = &comms{s: s, open: map[string]*rt.Comm{}}
	s.queue.cond = sync.NewCond(&s.queue.mu)
	if err := s.bind(); err != nil {
		s.close()
		return err
	}
	rt.SetHost(&host{s})
	restore, err := capture(s.out)
	if err != nil {
		s.close()
		return err
	}
	defer restore()
	s.session = session.New()
	s.assistant = assist.New(s.session)
	close(s.ready)
	s.publish(nil, "status", map[string]any{"execution_state": "starting"})
	go s.execute()
	go s.watchParent()
	go s.watchSignals()
	go s.watchMemory()
	select {
	case <-ctx.Done():
		s.interrupt()
		s.stop()
	case <-s.stopping:
	}
	s.close()
	return nil
}

// bind opens the five channels.
func (s *Server) bind() error {
	addr := func(port int) string { return net.JoinHostPort(s.conn.IP, strconv.Itoa(port)) }
	var err error
	open := func(name string, port int, f func(addr string) (interface{ Close() error }, error)) {
		if err != nil {
			return
		}
		c, e := f(addr(port))
		if e != nil {
			err = fmt.Errorf("server: %s channel: %w", name, e)
			return
		}
		s.closers = append(s.closers, c)
	}
	open("iopub", s.conn.IOPubPort, func(a string) (interface{ Close() error }, error) {
		p, err := zmtp.ListenPub(a, s.welcome)
		s.iopub = p
		return p, err
	})
	open("stdin", s.conn.StdinPort, func(a string) (interface{ Close() error }, error) {
		r, err := zmtp.ListenRouter(a, s.handler(func(m *wire.Message, id string) { s.input.reply(m) }))
		s.stdin = r
		return r, err
	})
	open("control", s.conn.ControlPort, func(a string) (interface{ Close() error }, error) {
		r, err := zmtp.ListenRouter(a, s.handler(s.onControl))
		s.control = r
		return r, err
	})
	open("shell", s.conn.ShellPort, func(a string) (interface{ Close() error }, error) {
		r, err := zmtp.ListenRouter(a, s.handler(s.onShell))
		s.shell = r
		return r, err
	})
	open("heartbeat", s.conn.HBPort, func(a string) (interface{ Close() error }, error) { return zmtp.ListenEcho(a) })
	return err
}

// handler decodes and checks messages; bad ones are dropped in silence and counted.
func (s *Server) handler(f func(m *wire.Message, id string)) func(id string, frames [][]byte) {
	return func(id string, frames [][]byte) {
		<-s.ready
		m, err := s.codec.Decode(frames)
		if err != nil {
			s.dropped.Add(1)
			return
		}
		f(m, id)
	}
}

func (s *Server) welcome(topic string) [][]byte {
	f, err := s.codec.Encode([][]byte{[]byte("iopub_welcome")}, s.codec.NewHeader("iopub_welcome"), nil, nil, map[string]any{"subscription": topic})
	if err != nil {
		return nil
	}
	return f
}

// publish sends a message to every subscriber.
func (s *Server) publish(parent json.RawMessage, msgType string, content any) {
	f, err := s.codec.Encode([][]byte{[]byte(msgType)}, s.codec.NewHeader(msgType), parent, nil, content)
	if err != nil {
		return
	}
	s.iopub.Publish(f)
}

// reply answers a request on the channel that it came by.
func (s *Server) reply(r *zmtp.Router, id string, m *wire.Message, content map[string]any) {
	if content["status"] == nil {
		content["status"] = "ok"
	}
	msgType := m.Header.MsgType
	if n := len(msgType) - len("_request"); n > 0 && msgType[n:] == "_request" {
		msgType = msgType[:n]
	}
	f, err := s.codec.Encode(m.Identities, s.codec.NewHeader(msgType+"_reply"), m.RawHeader, nil, content)
	if err != nil {
		return
	}
	r.Send(id, f)
}

// during surrounds a request with busy and idle.
func (s *Server) during(m *wire.Message, f func()) {
	s.publish(m.RawHeader, "status", map[string]any{"execution_state": "busy"})
	defer func() {
		s.out.flush()
		s.publish(m.RawHeader, "status", map[string]any{"execution_state": "idle"})
	}()
	f()
}

func (s *Server) onControl(m *wire.Message, id string) {
	s.during(m, func() {
		switch m.Header.MsgType {
		case "kernel_info_request":
			s.reply(s.control, id, m, s.kernelInfo())
		case "interrupt_request":
			s.interrupt()
			s.reply(s.control, id, m, map[string]any{})
		case "shutdown_request":
			s.shutdown(s.control, id, m)
		}
	})
	s.finish(m)
}

// onShell puts cells into the queue and answers everything else at once, also while a cell runs.
func (s *Server) onShell(m *wire.Message, id string) {
	if m.Header.MsgType == "execute_request" {
		s.queue.push(request{m: m, id: id})
		return
	}
	s.during(m, func() { s.answer(m, id) })
	s.finish(m)
}

func (s *Server) answer(m *wire.Message, id string) {
	reply := func(c map[string]any) { s.reply(s.shell, id, m, c) }
	switch m.Header.MsgType {
	case "kernel_info_request":
		reply(s.kernelInfo())
	case "shutdown_request":
		s.shutdown(s.shell, id, m)
	case "is_complete_request", "complete_request", "inspect_request", "history_request":
		reply(s.assist(m))
	case "comm_info_request":
		reply(s.comms.info(m))
	case "comm_open", "comm_msg", "comm_close":
		s.comms.receive(m)
	}
}

func (s *Server) shutdown(r *zmtp.Router, id string, m *wire.Message) {
	var c struct {
		Restart bool `json:"restart"`
	}
	_ = json.Unmarshal(m.Content, &c) // a shutdown without content is one without restart
	s.interrupt()
	s.reply(r, id, m, map[string]any{"restart": c.Restart})
}

// finish stops the server after the idle of a shutdown request.
func (s *Server) finish(m *wire.Message) {
	if m.Header.MsgType == "shutdown_request" {
		s.stop()
	}
}

func (s *Server) stop() { s.stopOnce.Do(func() { close(s.stopping) }) }

func (s *Server) close() {
	var wg sync.WaitGroup
	for _, c := range s.closers {
		wg.Go(func() { _ = c.Close() })
	}
	wg.Wait()
}

// interrupt cancels the running cell.
func (s *Server) interrupt() { s.current.cancel(nil) }

// watchParent ends the kernel when the process that started it is gone.
func (s *Server) watchParent() {
	pid, err := strconv.Atoi(os.Getenv("JPY_PARENT_PID"))
	if err != nil || os.Getppid() != pid {
		return // started by something between the front end and us
	}
	for os.Getppid() == pid {
		time.Sleep(time.Second)
	}
	s.interrupt()
	s.stop()
}

// watchSignals makes SIGINT an interrupt of the running cell, never the end of the process.
func (s *Server) watchSignals() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	for range c {
		s.interrupt()
	}
}

func (s *Server) kernelInfo() map[string]any {
	return map[string]any{
		"protocol_version": wire.ProtocolVersion, "implementation": "bayesrm", "implementation_version": s.version,
		"language_info": map[string]any{
			"name": "go", "version": "1.26", "mimetype": "text/x-go", "file_extension": ".go", "codemirror_mode": "go", "pygments_lexer": "go", "nbconvert_exporter": "script",
		},
		"banner": "bayesrm: Go with Bayesian reward models", "help_links": []any{}, "debugger": false, "supported_features": []string{},
	}
}

var errNoInput = errors.New("this front end does not take input (allow_stdin is false)")

// Package client drives a Jupyter kernel: start it, send it cells, collect what they output.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gobayes/kernel/internal/wire"
	"gobayes/kernel/internal/zmtp"
	"gobayes/kernel/notebook"
)

// Kernel is a running kernel process and the connections to it.
type Kernel struct {
	cmd     *exec.Cmd
	dir     string // holds the connection file
	codec   *wire.Codec
	shell   *zmtp.Client
	control *zmtp.Client
	stdin   *zmtp.Client
	iopub   *zmtp.Client
	exited  chan struct{}

	subscribed chan struct{} // closed by the kernel's welcome
	welcome    sync.Once
	stderr     *lastWords
	language   map[string]any // language_info, as the kernel says it

	mu      sync.Mutex
	waiting map[string]chan *wire.Message // replies, by the id of the request
	running bool                          // a cell
	runs    map[string]*run               // whose outputs are gathered, by the id of the request
	// Input answers a cell that asks for a line; nil refuses input. Set it before Execute.
	Input func(prompt string) (string, error)
}

// Options configure Start.
type Options struct {
	// Argv is the kernel's command; {connection_file} is replaced.
	Argv []string
	// Dir is its working directory. Default: the caller's.
	Dir string
	// Env is added to the environment, as "NAME=value".
	Env []string
}

// NoHistory, in Options.Env, keeps what is run out of the user's history.
const NoHistory = "BAYESRM_HISTORY=off"

// subscribeLimit is how long Start waits for the kernel to welcome the subscription to its outputs (JEP 65).
const subscribeLimit = time.Second

// startLimit is how long a kernel may take to answer.
const startLimit = 30 * time.Second

// Start starts a kernel and waits until it answers. When another program has taken one of the chosen ports meanwhile it
// chooses again.
func Start(ctx context.Context, o Options) (k *Kernel, err error) {
	for range 3 {
		if k, err = start(ctx, o); err == nil || !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return k, err
}

func start(ctx context.Context, o Options) (*Kernel, error) {
	k := &Kernel{waiting: map[string]chan *wire.Message{}, runs: map[string]*run{}, exited: make(chan struct{}), subscribed: make(chan struct{}), stderr: &lastWords{}}
	conn, err := freePorts()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	k.dir, err = os.MkdirTemp("", "bayesrm-kernel-")
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	file := filepath.Join(k.dir, "connection.json")
	b, err := json.Marshal(conn)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		os.RemoveAll(k.dir)
		return nil, fmt.Errorf("client: connection file: %w", err)
	}
	argv := append([]string{}, o.Argv...)
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "{connection_file}", file)
	}
	k.cmd = exec.Command(argv[0], argv[1:]...)
	k.cmd.Dir = o.Dir
	k.cmd.Env = append(append(os.Environ(), "JPY_PARENT_PID="+strconv.Itoa(os.Getpid())), o.Env...)
	k.cmd.Stderr = k.stderr
	if err := k.cmd.Start(); err != nil {
		os.RemoveAll(k.dir)
		return nil, fmt.Errorf("client: start %s: %w", argv[0], err)
	}
	go func() {
		_ = k.cmd.Wait() // the state is in cmd.ProcessState
		close(k.exited)
	}()
	k.codec = wire.NewCodec(conn.Key)
	if err := k.connect(ctx, conn); err != nil {
		k.Kill()
		return nil, fmt.Errorf("client: start %s: %w%s", argv[0], err, k.stderr.suffix())
	}
	return k, nil
}

// freePorts chooses ports that nobody listens on now.
func freePorts() (wire.Connection, error) {
	c := wire.Connection{Transport: "tcp", IP: "127.0.0.1", Key: wire.NewID(), SignatureScheme: "hmac-sha256", KernelName: "bayesrm"}
	var open []net.Listener
	defer func() {
		for _, l := range open {
			l.Close()
		}
	}()
	for _, p := range []*int{&c.ShellPort, &c.IOPubPort, &c.StdinPort, &c.ControlPort, &c.HBPort} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return c, err
		}
		open = append(open, l)
		*p = l.Addr().(*net.TCPAddr).Port
	}
	return c, nil
}

// connect opens the channels as soon as the kernel listens, and waits for its first answer.
func (k *Kernel) connect(ctx context.Context, c wire.Connection) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	identity := k.codec.Session
	for _, ch := range []struct {
		to   **zmtp.Client
		port int
		open func(addr string) (*zmtp.Client, error)
	}{
		{&k.iopub, c.IOPubPort, zmtp.DialSub},
		{&k.shell, c.ShellPort, func(a string) (*zmtp.Client, error) { return zmtp.Dial(a, identity) }},
		{&k.control, c.ControlPort, func(a string) (*zmtp.Client, error) { return zmtp.Dial(a, identity) }},
		{&k.stdin, c.StdinPort, func(a string) (*zmtp.Client, error) { return zmtp.Dial(a, identity) }},
	} {
		addr := net.JoinHostPort(c.IP, strconv.Itoa(ch.port))
		for {
			cl, err := ch.open(addr)
			if err == nil {
				*ch.to = cl
				break
			}
			select {
			case <-k.exited:
				return fmt.Errorf("the kernel ended: %v", k.cmd.ProcessState)
			case <-ctx.Done():
				return fmt.Errorf("no answer in %v: %w", startLimit, err)
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	go k.iopub.Receive(k.onIOPub)
	go k.shell.Receive(k.onReply)
	go k.control.Receive(k.onReply)
	go k.stdin.Receive(k.onStdin)
	info, err := k.request(ctx, k.shell, "kernel_info_request", map[string]any{})
	if err != nil {
		return err
	}
	var content struct {
		Language map[string]any `json:"language_info"`
	}
	if err := json.Unmarshal(info.Content, &content); err != nil {
		return fmt.Errorf("kernel_info_reply: %w", err)
	}
	k.language = content.Language
	// what is published before the subscription has arrived is lost; older kernels do not say when it has
	select {
	case <-k.subscribed:
	case <-time.After(subscribeLimit):
	case <-k.exited:
	}
	return nil
}

// request sends a message and waits for its reply.
func (k *Kernel) request(ctx context.Context, ch *zmtp.Client, msgType string, content any) (*wire.Message, error) {
	h := k.codec.NewHeader(msgType)
	wait := k.expect(h.MsgID)
	if err := k.send(ch, h, nil, content); err != nil {
		return nil, err
	}
	return k.await(ctx, h.MsgID, wait)
}

func (k *Kernel) expect(id string) chan *wire.Message {
	c := make(chan *wire.Message, 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting[id] = c
	return c
}

func (k *Kernel) await(ctx context.Context, id string, wait chan *wire.Message) (*wire.Message, error) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.waiting, id)
	}()
	select {
	case m := <-wait:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.exited:
		return nil, &EndedError{Status: k.cmd.ProcessState.ExitCode(), text: fmt.Sprintf("client: the kernel ended: %v%s", k.cmd.ProcessState, k.stderr.suffix())}
	}
}

func (k *Kernel) send(ch *zmtp.Client, h wire.Header, parent json.RawMessage, content any) error {
	f, err := k.codec.Encode(nil, h, parent, nil, content)
	if err != nil {
		return err
	}
	return ch.Send(f)
}

func (k *Kernel) onReply(frames [][]byte) {
	m, err := k.codec.Decode(frames)
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.waiting[parentID(m)]; c != nil {
		select {
		case c <- m:
		default:
		}
	}
}

func parentID(m *wire.Message) string {
	var h wire.Header
	_ = json.Unmarshal(m.Parent, &h) // a message without a parent belongs to nobody
	return h.MsgID
}

func (k *Kernel) onStdin(frames [][]byte) {
	m, err := k.codec.Decode(frames)
	if err != nil || m.Header.MsgType != "input_request" || k.Input == nil {
		return
	}
	var c struct{ Prompt string }
	_ = json.Unmarshal(m.Content, &c)
	go func() {
		v, err := k.Input(c.Prompt)
		if err != nil {
			_ = k.Interrupt(context.Background())
			return
		}
		_ = k.send(k.stdin, k.codec.NewHeader("input_reply"), m.RawHeader, map[string]any{"value": v})
	}()
}

const widgetView = "application/vnd.jupyter.widget-view+json"

// run gathers the outputs of a cell.
type run struct {
	id      string
	on      func(notebook.Output)
	outputs []notebook.Output
	idle    chan struct{}
	ended   bool
	clear   bool // with the next output
}

// Result is what executing a cell gave.
type Result struct {
	Outputs        []notebook.Output
	ExecutionCount int
	Err            *CellError // nil if the cell succeeded
}

// CellError is the error of a cell.
type CellError struct {
	Name, Value string
	Traceback   []string
}

func (e *CellError) Error() string { return e.Name + ": " + e.Value }

// Execute runs a cell. on, if not nil, sees each output when it comes; updates of a display come as an output with the same
// DisplayID. When ctx ends the cell is interrupted.
func (k *Kernel) Execute(ctx context.Context, code string, on func(notebook.Output)) (Result, error) {
	r := k.newRun(on)
	defer k.forget(r)
	return k.execute(ctx, code, r)
}

// newRun begins to gather the outputs of a cell that execute will run; forget ends it. Between the two, outputs that come after the
// cell has ended are gathered too.
func (k *Kernel) newRun(on func(notebook.Output)) *run {
	r := &run{id: wire.NewID(), on: on, idle: make(chan struct{})}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.runs[r.id] = r
	return r
}

func (k *Kernel) forget(r *run) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.runs, r.id)
}

func (k *Kernel) execute(ctx context.Context, code string, r *run) (Result, error) {
	h := k.codec.NewHeader("execute_request")
	h.MsgID = r.id
	k.mu.Lock()
	if k.running {
		k.mu.Unlock()
		return Result{}, errors.New("client: execute: a cell is running")
	}
	k.running = true
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.running = false
	}()
	wait := k.expect(h.MsgID)
	content := map[string]any{"code": code, "silent": false, "store_history": true, "user_expressions": map[string]any{}, "allow_stdin": k.Input != nil, "stop_on_error": true}
	if err := k.send(k.shell, h, nil, content); err != nil {
		return Result{}, fmt.Errorf("client: execute: %w", err)
	}
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() { k.insist(ended) })
	defer stop()
	m, err := k.await(context.Background(), h.MsgID, wait)
	if err != nil {
		return Result{}, err
	}
	select {
	case <-r.idle:
	case <-k.exited:
	}
	var c struct {
		Status    string
		Count     int `json:"execution_count"`
		EName     string
		EValue    string
		Traceback []string
	}
	if err := json.Unmarshal(m.Content, &c); err != nil {
		return Result{}, fmt.Errorf("client: execute: reply: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	res := Result{Outputs: slices.Clone(r.outputs), ExecutionCount: c.Count}
	switch c.Status {
	case "ok":
	case "aborted":
		res.Err = &CellError{Name: "Aborted", Value: "a cell before this one failed"}
	default:
		res.Err = &CellError{c.EName, c.EValue, c.Traceback}
	}
	return res, nil
}

func (k *Kernel) onIOPub(frames [][]byte) {
	m, err := k.codec.Decode(frames)
	if err != nil {
		return
	}
	if m.Header.MsgType == "iopub_welcome" {
		k.welcome.Do(func() { close(k.subscribed) })
		return
	}
	k.mu.Lock()
	r := k.runs[parentID(m)]
	if r == nil {
		k.mu.Unlock()
		return
	}
	out, ok := r.take(m)
	k.mu.Unlock()
	if ok && r.on != nil {
		r.on(out)
	}
}

// take adds a message to the outputs and returns it as one.
func (r *run) take(m *wire.Message) (notebook.Output, bool) {
	var c struct {
		State     string                     `json:"execution_state"`
		Name      string                     `json:"name"`
		Text      string                     `json:"text"`
		Data      map[string]json.RawMessage `json:"data"`
		Metadata  map[string]any             `json:"metadata"`
		Count     int                        `json:"execution_count"`
		EName     string                     `json:"ename"`
		EValue    string                     `json:"evalue"`
		Traceback []string                   `json:"traceback"`
		Wait      bool                       `json:"wait"`
		Transient struct {
			ID string `json:"display_id"`
		} `json:"transient"`
	}
	if json.Unmarshal(m.Content, &c) != nil {
		return notebook.Output{}, false
	}
	o := notebook.Output{Type: m.Header.MsgType, Name: c.Name, Text: c.Text, Metadata: c.Metadata, ExecutionCount: c.Count, EName: c.EName, EValue: c.EValue, Traceback: c.Traceback, DisplayID: c.Transient.ID}
	if c.Data != nil {
		o.Data = map[string]any{}
	}
	delete(c.Data, widgetView) // the models are not kept: what stands beside the view is
	for typ, raw := range c.Data {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			o.Data[typ] = s
		} else {
			o.Data[typ] = raw
		}
	}
	switch m.Header.MsgType {
	case "status":
		if c.State == "idle" && !r.ended {
			r.ended = true
			close(r.idle)
		}
		return o, false
	case "clear_output":
		r.clear = c.Wait
		if !c.Wait {
			r.outputs = nil
		}
		return o, false
	case "update_display_data":
		o.Type = "display_data"
		for i := range r.outputs {
			if r.outputs[i].DisplayID == o.DisplayID {
				r.outputs[i] = o
			}
		}
		return o, true
	case "stream", "display_data", "execute_result", "error":
	default:
		return o, false
	}
	if r.clear {
		r.outputs, r.clear = nil, false
	}
	if n := len(r.outputs) - 1; o.Type == "stream" && n >= 0 && r.outputs[n].Type == "stream" && r.outputs[n].Name == o.Name {
		r.outputs[n].Text += o.Text
	} else {
		r.outputs = append(r.outputs, o)
	}
	return o, true
}

// again is how long an interrupted cell may go on before it is interrupted anew: the first request may have come before the cell
// had begun.
const again = 300 * time.Millisecond

// insist interrupts the cell until it has ended.
func (k *Kernel) insist(ended chan struct{}) {
	for {
		_ = k.Interrupt(context.Background()) // a kernel that is gone ends the cell too
		select {
		case <-ended:
			return
		case <-k.exited:
			return
		case <-time.After(again):
		}
	}
}

// PID is the process of the kernel.
func (k *Kernel) PID() int { return k.cmd.Process.Pid }

// Interrupt stops the running cell.
func (k *Kernel) Interrupt(ctx context.Context) error {
	_, err := k.request(ctx, k.control, "interrupt_request", map[string]any{})
	return err
}

// shutdownLimit is how long a kernel may take to end after a shutdown request.
const shutdownLimit = 5 * time.Second

// Close shuts the kernel down, and kills it if it does not end.
func (k *Kernel) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	_, err := k.request(ctx, k.control, "shutdown_request", map[string]any{"restart": false})
	select {
	case <-k.exited:
		if k.cmd.ProcessState.Success() {
			err = nil // it obeyed; its reply may still have been on the way when it ended
		}
	case <-ctx.Done():
	}
	k.Kill()
	return err
}

// Kill ends the process at once and removes what Start made.
func (k *Kernel) Kill() {
	_ = k.cmd.Process.Kill()
	<-k.exited
	for _, c := range []*zmtp.Client{k.iopub, k.shell, k.control, k.stdin} {
		if c != nil {
			_ = c.Close()
		}
	}
	os.RemoveAll(k.dir)
}

// EndedError says that the kernel's process ended before it answered, with which status (-1: by a signal) and why, if it said so.
type EndedError struct {
	Status int
	text   string
}

func (e *EndedError) Error() string { return e.text }

// lastWords keeps the beginning of what the kernel process writes to its standard error: why it ended.
type lastWords struct {
	mu sync.Mutex
	b  []byte
}

const maxLastWords = 4096

func (t *lastWords) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[:min(len(p), maxLastWords-len(t.b))]...)
	return len(p), nil
}

func (t *lastWords) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := strings.TrimSpace(string(t.b)); s != "" {
		return "\n" + s
	}
	return ""
}

package zmtp

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

// Peer is one connected client.
type Peer struct {
	zmq *zmq4.Conn
	out *conn
	mu  sync.Mutex // one message at a time
}

// Send queues a message for the peer.
func (p *Peer) Send(frames [][]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.hold()
	defer p.out.release()
	return p.zmq.SendMsg(zmq4.NewMsgFrom(frames...))
}

// listener accepts the peers of one channel.
type listener struct {
	net.Listener
	typ   zmq4.SocketType
	serve func(*Peer)

	mu    sync.Mutex
	peers map[*Peer]bool
	count atomic.Int64
}

func listen(addr string, typ zmq4.SocketType) (*listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("zmtp: %w", err)
	}
	return &listener{Listener: l, typ: typ, peers: map[*Peer]bool{}}, nil
}

func (l *listener) accept() {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, say: try again
			time.Sleep(5 * time.Millisecond)
			continue
		}
		go l.handle(c)
	}
}

func (l *listener) handle(c net.Conn) {
	w := newConn(c)
	defer func() { _ = w.Close() }()
	defer func() { _ = recover() }() // the library indexes a peer's data without checks; the peer is dropped
	c.SetReadDeadline(time.Now().Add(handshakeLimit))
	id := zmq4.SocketIdentity("k" + strconv.FormatInt(l.count.Add(1), 10))
	z, err := zmq4.Open(w, null.Security(), l.typ, id, true, nil)
	if err != nil {
		return
	}
	c.SetReadDeadline(time.Time{})
	p := &Peer{zmq: z, out: w}
	l.mu.Lock()
	l.peers[p] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.peers, p)
		l.mu.Unlock()
	}()
	l.serve(p)
}

// receive calls f with each message of p until the connection ends.
func receive(p *Peer, f func([][]byte)) {
	for {
		m, err := p.zmq.RecvMsg()
		if err != nil {
			return
		}
		if m.Type == zmq4.UsrMsg {
			f(m.Frames)
		}
	}
}

// Close stops accepting, waits up to a second for what is queued to leave, and closes every connection.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	var ps []*Peer
	for p := range l.peers {
		ps = append(ps, p)
	}
	l.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range ps {
		wg.Go(func() {
			p.out.drain(time.Second)
			_ = p.out.Close()
		})
	}
	wg.Wait()
	return err
}

// Port is the TCP port that the channel listens on.
func (l *listener) Port() int { return l.Addr().(*net.TCPAddr).Port }

// Router is a channel of requests and replies.
type Router struct {
	*listener
	mu   sync.Mutex
	byID map[string]*Peer
}

// ListenRouter listens on addr ("127.0.0.1:0") and calls handle with each message: the identity of its sender, and its
// frames. handle runs on the connection's own goroutine.
func ListenRouter(addr string, handle func(id string, frames [][]byte)) (*Router, error) {
	l, err := listen(addr, zmq4.Router)
	if err != nil {
		return nil, err
	}
	r := &Router{listener: l, byID: map[string]*Peer{}}
	l.serve = func(p *Peer) {
		id := p.zmq.Peer.Meta["Identity"]
		if id == "" {
			id = "\x00" + strconv.FormatInt(l.count.Add(1), 10)
		}
		r.mu.Lock()
		r.byID[id] = p // the newest connection wins: Jupyter Server reconnects with the identity that it had
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.byID[id] == p {
				delete(r.byID, id)
			}
		}()
		receive(p, func(frames [][]byte) { handle(id, frames) })
	}
	go l.accept()
	return r, nil
}

// Send sends a message to the peer of that identity; a peer that has gone is no error.
func (r *Router) Send(id string, frames [][]byte) {
	r.mu.Lock()
	p := r.byID[id]
	r.mu.Unlock()
	if p != nil {
		_ = p.Send(frames)
	}
}

// Publisher is a channel that sends every message to every subscriber, in one order, and drops none.
type Publisher struct {
	*listener
	mu   sync.Mutex
	subs map[*Peer]bool
}

// ListenPub listens on addr. welcome, called with the topic of each subscription, returns a message for the subscriber alone.
func ListenPub(addr string, welcome func(topic string) [][]byte) (*Publisher, error) {
	l, err := listen(addr, zmq4.Pub)
	if err != nil {
		return nil, err
	}
	b := &Publisher{listener: l, subs: map[*Peer]bool{}}
	l.serve = func(p *Peer) {
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.subs, p)
		}()
		receive(p, func(frames [][]byte) {
			if len(frames) != 1 || len(frames[0]) == 0 || frames[0][0] != 1 {
				return
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if err := p.Send(welcome(string(frames[0][1:]))); err == nil {
				b.subs[p] = true // a kernel's clients subscribe to everything
			}
		})
	}
	go l.accept()
	return b, nil
}

// Publish sends a message to all subscribers. One that has stalled is cut off.
func (b *Publisher) Publish(frames [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.subs {
		if err := p.Send(frames); err != nil {
			_ = p.out.Close()
			delete(b.subs, p)
		}
	}
}

// ListenEcho listens on addr and sends every message back as it came: Jupyter's heartbeat.
func ListenEcho(addr string) (*listener, error) {
	l, err := listen(addr, zmq4.Rep)
	if err != nil {
		return nil, err
	}
	l.serve = func(p *Peer) { receive(p, func(frames [][]byte) { _ = p.Send(frames) }) }
	go l.accept()
	return l, nil
}

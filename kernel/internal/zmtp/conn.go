// Package zmtp serves ZeroMQ peers: one listener a channel, one goroutine a connection, around zmq4.Open.
//
// The library's own sockets are not fit for a kernel: a malformed packet kills the process and one silent connection
// blocks all later ones. Here a peer's bytes are checked before the library sees them, and whatever the library does
// with them is recovered.
package zmtp

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	handshakeLimit = 5 * time.Second
	maxFrame       = 1 << 30
	maxQueue       = 64 << 20 // bytes that a peer may leave unread
	stallLimit     = 5 * time.Second
	maxSpare       = 1 << 20
	greeting       = 64
)

var errTooBig = errors.New("zmtp: frame larger than 1 GiB")

// conn is a net.Conn that refuses oversized frames before anybody allocates for them, and whose writes go to a buffer
// with a goroutine of its own, so that a peer that does not read blocks nobody else.
type conn struct {
	net.Conn
	skip   int64 // bytes until the next frame header
	header []byte

	mu         sync.Mutex
	cond       *sync.Cond
	out, spare []byte
	writing    bool
	held       bool // a message is being written
	closed     bool
	err        error
}

func newConn(c net.Conn) *conn {
	w := &conn{Conn: c, skip: greeting}
	w.cond = sync.NewCond(&w.mu)
	go w.flush()
	return w
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if e := c.follow(p[:n]); e != nil {
		c.Conn.Close()
		return 0, e
	}
	return n, err
}

// follow tracks frame boundaries. A header is one flag byte and a length of one byte, or of eight if flag bit 2 is set.
func (c *conn) follow(b []byte) error {
	for len(b) > 0 {
		if n := min(c.skip, int64(len(b))); n > 0 {
			c.skip -= n
			b = b[n:]
			continue
		}
		c.header = append(c.header, b[0])
		b = b[1:]
		switch long := c.header[0]&2 != 0; {
		case !long && len(c.header) == 2:
			c.skip, c.header = int64(c.header[1]), c.header[:0]
		case long && len(c.header) == 9:
			size := binary.BigEndian.Uint64(c.header[1:])
			if size > maxFrame {
				return errTooBig
			}
			c.skip, c.header = int64(size), c.header[:0]
		}
	}
	return nil
}

// hold keeps back what is written until release, so that a message leaves in one piece. When the peer leaves more than maxQueue unread for
// stallLimit it is cut off.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > maxQueue {
		t := time.AfterFunc(stallLimit, func() {
			c.mu.Lock()
			c.err = os.ErrDeadlineExceeded
			c.cond.Broadcast()
			c.mu.Unlock()
			c.Conn.Close()
		})
		for len(c.out) > maxQueue && c.err == nil && !c.closed {
			c.cond.Wait()
		}
		t.Stop()
	}
	c.held = true
}

func (c *conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	c.cond.Broadcast()
}

// Write queues p.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.closed {
		return 0, net.ErrClosed
	}
	c.out = append(c.out, p...)
	if !c.writing && !c.held {
		c.cond.Broadcast()
	}
	return len(p), nil
}

func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for (len(c.out) == 0 || c.held) && !c.closed && c.err == nil {
			c.cond.Wait()
		}
		if c.err != nil || len(c.out) == 0 {
			return
		}
		b := c.out
		c.out, c.writing = c.spare[:0], true
		c.mu.Unlock()
		_, err := c.Conn.Write(b)
		c.mu.Lock()
		c.writing = false
		c.spare = nil
		if cap(b) <= maxSpare {
			c.spare = b
		}
		if err != nil {
			c.err = err
		}
		c.cond.Broadcast()
	}
}

// drain waits until everything written has left, at most d.
func (c *conn) drain(d time.Duration) {
	t := time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.err = os.ErrDeadlineExceeded
		c.cond.Broadcast()
	})
	defer t.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for (len(c.out) > 0 || c.writing) && c.err == nil {
		c.cond.Wait()
	}
}

func (c *conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.cond.Broadcast()
	c.mu.Unlock()
	return c.Conn.Close()
}

package zmtp

import (
	"fmt"
	"net"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

// Client is the other end of a channel: a DEALER or a SUB socket of its own connection.
type Client struct {
	*Peer
}

// Dial connects to a Router; identity is what it will know the connection by.
func Dial(addr, identity string) (*Client, error) {
	return dial(addr, zmq4.Dealer, identity)
}

// DialSub connects to a Publisher and subscribes to everything.
func DialSub(addr string) (*Client, error) {
	c, err := dial(addr, zmq4.Sub, "")
	if err != nil {
		return nil, err
	}
	return c, c.Send([][]byte{{1}})
}

// toItself reports whether a connection ends where it begins: dialing a port on this machine that nobody listens on succeeds
// when the system picks the same port for the near end.
func toItself(n net.Conn) bool { return n.LocalAddr().String() == n.RemoteAddr().String() }

func dial(addr string, typ zmq4.SocketType, identity string) (*Client, error) {
	n, err := net.DialTimeout("tcp", addr, handshakeLimit)
	if err != nil {
		return nil, fmt.Errorf("zmtp: %w", err)
	}
	if toItself(n) {
		_ = n.Close()
		return nil, fmt.Errorf("zmtp: %s: nobody listens", addr)
	}
	w := newConn(n)
	n.SetReadDeadline(time.Now().Add(handshakeLimit))
	z, err := zmq4.Open(w, null.Security(), typ, zmq4.SocketIdentity(identity), false, nil)
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("zmtp: %s: %w", addr, err)
	}
	n.SetReadDeadline(time.Time{})
	return &Client{&Peer{zmq: z, out: w}}, nil
}

// Receive calls f with each message until the connection ends.
func (c *Client) Receive(f func(frames [][]byte)) { receive(c.Peer, f) }

// Close sends what is queued, for at most a second, and closes the connection.
func (c *Client) Close() error {
	c.out.drain(time.Second)
	return c.out.Close()
}

package zmtp

import (
	"net"
	"testing"
)

// TestToItself: a connection that the system has closed to a ring is recognised, a real one is not.
func TestToItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	n, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if toItself(n) {
		t.Error("a connection to a listener is taken for one to itself")
	}
	n.Close()
	l.Close()
	ring, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: addr.IP, Port: addr.Port}}).Dial("tcp", addr.String())
	if err != nil {
		t.Skipf("this system makes no such connections: %v", err)
	}
	defer ring.Close()
	if !toItself(ring) {
		t.Errorf("%v to %v is not recognised", ring.LocalAddr(), ring.RemoteAddr())
	}
}

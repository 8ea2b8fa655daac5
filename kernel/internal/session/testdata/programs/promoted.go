package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

type conn struct {
	*net.TCPConn
	mu sync.Mutex
	n  int
}

func (c *conn) Read(b []byte) (int, error) { c.n++; return c.TCPConn.Read(b) }

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		t := c.(*net.TCPConn)
		t.SetNoDelay(true)
		w := t.Write
		w([]byte("hello"))
		defer t.Close()
	}()
	d, _ := net.Dial("tcp", l.Addr().String())
	c := &conn{TCPConn: d.(*net.TCPConn)}
	b := make([]byte, 5)
	n, err := c.Read(b)
	fmt.Println(n, err, string(b), c.n, c.RemoteAddr().Network())
	var nc net.Conn = c
	fmt.Println(nc.SetDeadline(time.Now().Add(time.Second)), nc.Close())
	f := (*net.TCPConn).Close
	fmt.Println(f(c.TCPConn) != nil)
	l.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := w.(http.Hijacker)
		if !ok {
			return
		}
		c, rw, err := h.Hijack()
		if err != nil {
			return
		}
		fmt.Fprint(rw, "HTTP/1.0 200 OK\r\n\r\nhi")
		rw.Flush()
		c.(*net.TCPConn).CloseWrite()
	}))
	defer s.Close()
	r, err := http.Get(s.URL)
	fmt.Println(r.StatusCode, err)
}

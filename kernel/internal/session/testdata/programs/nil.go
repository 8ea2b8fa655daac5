package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

func r() (io.Reader, error) { return nil, nil }

func main() {
	f := func(ok bool) (io.Reader, error) {
		if ok {
			return strings.NewReader("x"), nil
		}
		return nil, fmt.Errorf("no")
	}
	fmt.Println(f(false))
	fmt.Println(r())
	q, err := http.NewRequest("GET", "localhost", nil)
	fmt.Println(q.URL, err)
}

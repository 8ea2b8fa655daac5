package main

import "fmt"

// product is the tile kernel c = a·b, or c += a·b: rows × nv vectors of columns. Step l of the sum reads `rows` elements at
// a + l·as bytes and the columns at b + l·bs bytes; rows of c lie cs bytes apart.
func product(name string, rows, nv int, f64 bool) (signature, func(a *asm)) {
	s := signature{name: fmt.Sprintf("%s%dx%d", name, rows, nv), ptrs: []string{"a", "b", "c"}, ints: []string{"k", "as", "bs", "cs", "add"}, f64: f64}
	return s, func(a *asm) {
		a.begin(s)
		as, bs, cs := a.ptrs[3], a.ptrs[4], a.ptrs[5]
		a.arg64("k", s.intAt(0), a.count)
		a.arg64("as", s.intAt(1), as)
		a.arg64("bs", s.intAt(2), bs)
		a.arg64("cs", s.intAt(3), cs)
		// Panels of b lie one behind the other. The next is fetched under way: its first tile would wait for memory where there are
		// few rows, as in decoding. One or two rows wait for nothing but memory, and are slower with it.
		ahead, fetch := a.ptrs[6], a.amd64() && rows >= 4
		if fetch {
			a.line("MOVQ %s, %s", a.count, ahead)
			a.line("IMULQ %s, %s", bs, ahead)
			a.line("ADDQ %s, %s", a.ptrs[1], ahead)
		}
		acc := make([]vec, rows*nv)
		for i := range acc {
			acc[i] = a.v()
			a.zero(acc[i])
		}
		b := make([]vec, nv)
		for j := range b {
			b[j] = a.v()
		}
		// two registers for the broadcasts, if they are left
		var t []vec
		for len(t) < 2 && !allUsed(a.used) {
			t = append(t, a.v())
		}
		step := func() {
			for j := range b {
				a.load(b[j], a.ptrs[1], j*a.bytes)
			}
			if fetch {
				for j := 0; j < nv*a.bytes; j += 64 {
					a.line("PREFETCHT1 %d(%s)", j, ahead)
				}
				a.stride(ahead, bs)
			}
			for i := range rows {
				x := t[i%len(t)]
				a.broadcast(x, a.ptrs[0], i*a.elem())
				for j := range b {
					a.fma(acc[i*nv+j], x, b[j])
				}
			}
			a.stride(a.ptrs[0], as)
			a.stride(a.ptrs[1], bs)
		}
		a.loop(4, func() {
			for range 4 {
				step()
			}
		})
		a.loop(1, step)
		a.free(b...)
		a.free(t...)
		write := func(add bool) {
			for i := range rows {
				for j := range nv {
					if add {
						x := a.v()
						a.load(x, a.ptrs[2], j*a.bytes)
						a.add(acc[i*nv+j], acc[i*nv+j], x)
						a.free(x)
					}
					a.store(acc[i*nv+j], a.ptrs[2], j*a.bytes)
				}
				if i+1 < rows {
					a.stride(a.ptrs[2], cs)
				}
			}
		}
		a.ifNonZero("add", s.intAt(4), func() { write(true) }, func() { write(false) })
		a.end()
	}
}

func allUsed(u []bool) bool {
	for _, x := range u {
		if !x {
			return false
		}
	}
	return true
}

package main

// transpose writes a block of lanes × lanes float32 and walks right: for each of n blocks, dst[j·dld + i] = src[i·sld + j].
// Strides are in bytes.
func transpose() (signature, func(a *asm)) {
	s := signature{name: "transpose", ptrs: []string{"dst", "src"}, ints: []string{"n", "dld", "sld"}}
	return s, func(a *asm) {
		a.begin(s)
		dst, src, dld, sld, p := a.ptrs[0], a.ptrs[1], a.ptrs[2], a.ptrs[3], a.ptrs[4]
		a.arg64("n", s.intAt(0), a.count)
		a.arg64("dld", s.intAt(1), dld)
		a.arg64("sld", s.intAt(2), sld)
		L := a.lanes()
		a.loop(1, func() {
			kept := append([]bool{}, a.used...)
			a.mov64(p, src)
			x := make([]vec, L)
			for i := range x {
				x[i] = a.v()
				a.load(x[i], p, 0)
				a.stride(p, sld)
			}
			for _, c := range a.transposed(x) {
				a.store(c, dst, 0)
				a.stride(dst, dld)
			}
			a.step(src, a.bytes)
			a.used = kept
		})
		a.end()
	}
}

func (a *asm) mov64(dst, src string) {
	if a.amd64() {
		a.line("MOVQ %s, %s", src, dst)
		return
	}
	a.line("MOVD %s, %s", src, dst)
}

// transposed returns the columns of the rows x.
func (a *asm) transposed(x []vec) []vec {
	// pair replaces rows i and i+d by op_lo and op_hi of both
	pair := func(d int, lo, hi func(d, x, y vec)) {
		for i := range x {
			if i&d != 0 {
				continue
			}
			t := a.v()
			lo(t, x[i], x[i+d])
			hi(x[i+d], x[i], x[i+d])
			a.free(x[i])
			x[i] = t
		}
	}
	x86 := func(format string) func(d, x, y vec) {
		return func(d, x, y vec) { a.line(format, a.r(y), a.r(x), a.r(d)) }
	}
	switch a.name {
	case "NEON":
		word := func(name string, base uint32) func(d, x, y vec) {
			return func(d, x, y vec) { a.word(name, base, y, x, d) }
		}
		pair(1, word("TRN1", 0x4E802800), word("TRN2", 0x4E806800))
		pair(2, word("TRN1.2D", 0x4EC02800), word("TRN2.2D", 0x4EC06800))
		return x
	case "AVX2":
		pair(1, x86("VUNPCKLPS %s, %s, %s"), x86("VUNPCKHPS %s, %s, %s"))
		pair(2, x86("VUNPCKLPD %s, %s, %s"), x86("VUNPCKHPD %s, %s, %s"))
		pair(4, x86("VPERM2F128 $0x20, %s, %s, %s"), x86("VPERM2F128 $0x31, %s, %s, %s"))
		return []vec{x[0], x[2], x[1], x[3], x[4], x[6], x[5], x[7]}
	}
	pair(1, x86("VUNPCKLPS %s, %s, %s"), x86("VUNPCKHPS %s, %s, %s"))
	pair(2, x86("VUNPCKLPD %s, %s, %s"), x86("VUNPCKHPD %s, %s, %s"))
	pair(4, x86("VSHUFF32X4 $0x88, %s, %s, %s"), x86("VSHUFF32X4 $0xDD, %s, %s, %s"))
	pair(8, x86("VSHUFF32X4 $0x88, %s, %s, %s"), x86("VSHUFF32X4 $0xDD, %s, %s, %s"))
	// after the unpacks row i of four holds column (0, 2, 1, 3)[i] of each 128-bit lane; the shuffles pick lanes (0,2), (1,3)
	// of four rows and then of eight
	return []vec{x[0], x[2], x[1], x[3], x[4], x[6], x[5], x[7], x[8], x[10], x[9], x[11], x[12], x[14], x[13], x[15]}
}

package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// isa is one instruction set: the names of its registers and how each abstract operation is spelled.
type isa struct {
	name, goarch string
	bytes        int // of a vector register
	vregs        int
	ptrs         []string // general registers for pointers and strides
	count, tmp   string   // general registers for the loop counter and scratch
	rows         []int    // heights of the product tiles, tallest first
}

var (
	avx512 = &isa{name: "AVX512", goarch: "amd64", bytes: 64, vregs: 32, ptrs: amd64Ptrs, count: "CX", tmp: "AX", rows: []int{14, 8, 4, 2, 1}}
	avx2   = &isa{name: "AVX2", goarch: "amd64", bytes: 32, vregs: 16, ptrs: amd64Ptrs, count: "CX", tmp: "AX", rows: []int{6, 4, 2, 1}}
	neon   = &isa{name: "NEON", goarch: "arm64", bytes: 16, vregs: 32, count: "R10", tmp: "R11", rows: []int{8, 4, 2, 1},
		ptrs: []string{"R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8"}}
	amd64Ptrs = []string{"DI", "SI", "DX", "R8", "R9", "R10", "R11", "R12", "R13"}
)

// asm writes one function at a time.
type asm struct {
	*isa
	out    *bytes.Buffer
	f64    bool
	used   []bool
	labels int
	consts map[string]bool // names of constants of this file, written at its end
	order  []string
}

type vec int // a vector register

func (a *asm) lanes() int {
	if a.f64 {
		return a.bytes / 8
	}
	return a.bytes / 4
}

func (a *asm) elem() int { return a.bytes / a.lanes() }

func (a *asm) line(format string, args ...any) { fmt.Fprintf(a.out, "\t"+format+"\n", args...) }
func (a *asm) label(name string)               { fmt.Fprintf(a.out, "%s:\n", name) }
func (a *asm) newLabel(name string) string     { a.labels++; return fmt.Sprintf("%s%d", name, a.labels) }

// v takes a free vector register.
func (a *asm) v() vec {
	for i, u := range a.used {
		if !u {
			a.used[i] = true
			return vec(i)
		}
	}
	panic(a.name + ": out of vector registers")
}

func (a *asm) free(rs ...vec) {
	for _, r := range rs {
		a.used[r] = false
	}
}

func (a *asm) amd64() bool { return a.goarch == "amd64" }

func (a *asm) r(v vec) string {
	switch a.bytes {
	case 64:
		return fmt.Sprintf("Z%d", v)
	case 32:
		return fmt.Sprintf("Y%d", v)
	}
	return fmt.Sprintf("V%d", v)
}

func (a *asm) suffix() string {
	if a.f64 {
		return "PD"
	}
	return "PS"
}

// word emits a NEON instruction that Go's assembler has no name for: base of the .4S form, fields Rm, Rn, Rd.
func (a *asm) word(name string, base uint32, m, n, d vec) {
	if a.f64 {
		base |= 1 << 22
	}
	arr := "4S"
	if a.f64 {
		arr = "2D"
	}
	a.line("WORD $0x%08x // %s V%d.%s, V%d.%s, V%d.%s", base|uint32(m)<<16|uint32(n)<<5|uint32(d), name, m, arr, n, arr, d, arr)
}

// op3 emits d = x ∘ y.
func (a *asm) op3(x86, arm string, base uint32, d, x, y vec) {
	if a.amd64() {
		a.line("%s%s %s, %s, %s", x86, a.suffix(), a.r(y), a.r(x), a.r(d))
		return
	}
	a.word(arm, base, y, x, d)
}

func (a *asm) add(d, x, y vec) { a.op3("VADD", "FADD", 0x4E20D400, d, x, y) }
func (a *asm) sub(d, x, y vec) { a.op3("VSUB", "FSUB", 0x4EA0D400, d, x, y) }
func (a *asm) mul(d, x, y vec) { a.op3("VMUL", "FMUL", 0x6E20DC00, d, x, y) }
func (a *asm) div(d, x, y vec) { a.op3("VDIV", "FDIV", 0x6E20FC00, d, x, y) }

// max and min return y where either is not a number, on x86; NEON returns not-a-number if either is.
func (a *asm) max(d, x, y vec)  { a.op3("VMAX", "FMAX", 0x4E20F400, d, x, y) }
func (a *asm) min(d, x, y vec)  { a.op3("VMIN", "FMIN", 0x4EA0F400, d, x, y) }
func (a *asm) fma(d, x, y vec)  { a.op3("VFMADD231", "FMLA", 0x4E20CC00, d, x, y) }  // d += x·y
func (a *asm) fnma(d, x, y vec) { a.op3("VFNMADD231", "FMLS", 0x4EA0CC00, d, x, y) } // d −= x·y

func (a *asm) sqrt(d, x vec) {
	if a.amd64() {
		a.line("VSQRT%s %s, %s", a.suffix(), a.r(x), a.r(d))
		return
	}
	a.word("FSQRT", 0x6EA1F800, 0, x, d)
}

// bits emits a bitwise operation.
func (a *asm) bits(x86, arm string, base uint32, d, x, y vec) {
	if a.amd64() {
		if a.bytes == 64 {
			x86 += "D"
		}
		a.line("%s %s, %s, %s", x86, a.r(y), a.r(x), a.r(d))
		return
	}
	a.line("WORD $0x%08x // %s V%d.16B, V%d.16B, V%d.16B", base|uint32(y)<<16|uint32(x)<<5|uint32(d), arm, y, x, d)
}

func (a *asm) and(d, x, y vec) { a.bits("VPAND", "AND", 0x4E201C00, d, x, y) }
func (a *asm) or(d, x, y vec)  { a.bits("VPOR", "ORR", 0x4EA01C00, d, x, y) }
func (a *asm) xor(d, x, y vec) { a.bits("VPXOR", "EOR", 0x6E201C00, d, x, y) }

func (a *asm) zero(d vec) { a.xor(d, d, d) }
func (a *asm) mov(d, x vec) {
	if a.amd64() {
		a.line("VMOVAPS %s, %s", a.r(x), a.r(d))
		return
	}
	a.or(d, x, x)
}

// round rounds to the nearest integer, ties to even.
func (a *asm) round(d, x vec) {
	switch {
	case a.bytes == 64:
		a.line("VRNDSCALEPS $8, %s, %s", a.r(x), a.r(d))
	case a.amd64():
		a.line("VROUNDPS $8, %s, %s", a.r(x), a.r(d))
	default:
		a.word("FRINTN", 0x4E218800, 0, x, d)
	}
}

// pow2 replaces the whole float32 numbers n by 2^(n−1+k), k in register bias as an int32 of 126: the exponent is built from bits.
func (a *asm) pow2(n, bias vec) {
	if a.amd64() {
		a.line("VCVTPS2DQ %s, %s", a.r(n), a.r(n))
		a.line("VPADDD %s, %s, %s", a.r(bias), a.r(n), a.r(n))
		a.line("VPSLLD $23, %s, %s", a.r(n), a.r(n))
		return
	}
	a.word("FCVTNS", 0x4E21A800, 0, n, n)
	a.word("ADD", 0x4EA08400, bias, n, n)
	a.line("WORD $0x%08x // SHL V%d.4S, V%d.4S, #23", 0x4F005400|uint32(32+23)<<16|uint32(n)<<5|uint32(n), n, n)
}

func (a *asm) load(d vec, ptr string, off int) {
	if a.amd64() {
		a.line("VMOVUPS %d(%s), %s", off, ptr, a.r(d))
		return
	}
	a.line("FMOVQ %d(%s), F%d", off, ptr, d)
}

func (a *asm) store(s vec, ptr string, off int) {
	if a.amd64() {
		a.line("VMOVUPS %s, %d(%s)", a.r(s), off, ptr)
		return
	}
	a.line("FMOVQ F%d, %d(%s)", s, off, ptr)
}

// broadcast fills d with the element at off(ptr).
func (a *asm) broadcast(d vec, ptr string, off int) {
	switch {
	case a.amd64() && a.f64:
		a.line("VBROADCASTSD %d(%s), %s", off, ptr, a.r(d))
	case a.amd64():
		a.line("VBROADCASTSS %d(%s), %s", off, ptr, a.r(d))
	default:
		arr := "S4"
		if a.f64 {
			arr = "D2"
		}
		if off != 0 {
			a.line("ADD $%d, %s, %s", off, ptr, a.tmp)
			ptr = a.tmp
		}
		a.line("VLD1R (%s), [V%d.%s]", ptr, d, arr)
	}
}

// arg fills d with a scalar argument.
func (a *asm) arg(d vec, name string, off int) {
	if a.amd64() {
		op := "VBROADCASTSS"
		if a.f64 {
			op = "VBROADCASTSD"
		}
		a.line("%s %s+%d(FP), %s", op, name, off, a.r(d))
		return
	}
	arr := "S4"
	if a.f64 {
		arr = "D2"
	}
	a.line("MOVD $%s+%d(FP), %s", name, off, a.tmp)
	a.line("VLD1R (%s), [V%d.%s]", a.tmp, d, arr)
}

// con loads a constant into a new register.
func (a *asm) con(x float64) vec {
	d := a.v()
	a.conBits(d, math.Float32bits(float32(x)))
	return d
}

func (a *asm) conBits(d vec, bits uint32) {
	name := fmt.Sprintf("c%s%08x", strings.ToLower(a.name), bits)
	if !a.consts[name] {
		a.consts[name] = true
		a.order = append(a.order, name)
	}
	if a.amd64() {
		a.line("VMOVUPS %s<>(SB), %s", name, a.r(d))
		return
	}
	a.line("MOVD $%s<>(SB), %s", name, a.tmp)
	a.line("VLD1 (%s), [V%d.B16]", a.tmp, d)
}

// data writes the constants of the file.
func (a *asm) data() {
	for _, name := range a.order {
		bits := name[len(name)-8:]
		for i := 0; i < a.bytes; i += 4 {
			fmt.Fprintf(a.out, "DATA %s<>+%d(SB)/4, $0x%s\n", name, i, bits)
		}
		fmt.Fprintf(a.out, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n\n", name, a.bytes)
	}
}

func (a *asm) arg64(name string, off int, reg string) {
	if a.amd64() {
		a.line("MOVQ %s+%d(FP), %s", name, off, reg)
		return
	}
	a.line("MOVD %s+%d(FP), %s", name, off, reg)
}

// step moves a pointer by a constant.
func (a *asm) step(ptr string, n int) {
	if a.amd64() {
		a.line("ADDQ $%d, %s", n, ptr)
		return
	}
	a.line("ADD $%d, %s", n, ptr)
}

// stride moves a pointer by a register.
func (a *asm) stride(ptr, by string) {
	if a.amd64() {
		a.line("ADDQ %s, %s", by, ptr)
		return
	}
	a.line("ADD %s, %s", by, ptr)
}

// loop runs body while the counter register is at least n, taking n off each time.
func (a *asm) loop(n int, body func()) {
	top, end := a.newLabel("loop"), a.newLabel("end")
	a.label(top)
	if a.amd64() {
		a.line("CMPQ %s, $%d", a.count, n)
		a.line("JLT %s", end)
	} else {
		a.line("CMP $%d, %s", n, a.count)
		a.line("BLT %s", end)
	}
	body()
	if a.amd64() {
		a.line("SUBQ $%d, %s", n, a.count)
		a.line("JMP %s", top)
	} else {
		a.line("SUB $%d, %s", n, a.count)
		a.line("B %s", top)
	}
	a.label(end)
}

// ifZero jumps over body unless the argument is non-zero.
func (a *asm) ifNonZero(name string, off int, body, otherwise func()) {
	els, end := a.newLabel("else"), a.newLabel("end")
	a.arg64(name, off, a.tmp)
	if a.amd64() {
		a.line("TESTQ %s, %s", a.tmp, a.tmp)
		a.line("JZ %s", els)
	} else {
		a.line("CBZ %s, %s", a.tmp, els)
	}
	body()
	if a.amd64() {
		a.line("JMP %s", end)
	} else {
		a.line("B %s", end)
	}
	a.label(els)
	otherwise()
	a.label(end)
}

// reduce leaves the sum (or the largest) of the lanes of v in its first lane. v is one of the first 16 registers.
func (a *asm) reduce(v vec, largest bool) {
	if v > 15 {
		panic("reduce: register beyond 15")
	}
	if !a.amd64() {
		switch {
		case largest:
			a.line("WORD $0x%08x // FMAXV S%d, V%d.4S", 0x6E30F800|uint32(v)<<5|uint32(v), v, v)
		case a.f64:
			a.word("FADDP", 0x6E20D400, v, v, v)
		default:
			a.word("FADDP", 0x6E20D400, v, v, v)
			a.word("FADDP", 0x6E20D400, v, v, v)
		}
		return
	}
	op := "VADD" + a.suffix()
	if largest {
		op = "VMAX" + a.suffix()
	}
	t := a.v()
	if t > 15 {
		panic("reduce: no register below 16")
	}
	if a.bytes == 64 {
		a.line("VEXTRACTF64X4 $1, Z%d, Y%d", v, t)
		a.line("%s Y%d, Y%d, Y%d", op, t, v, v)
	}
	a.line("VEXTRACTF128 $1, Y%d, X%d", v, t)
	a.line("%s X%d, X%d, X%d", op, t, v, v)
	a.line("VPERMILPD $1, X%d, X%d", v, t)
	a.line("%s X%d, X%d, X%d", op, t, v, v)
	if !a.f64 {
		a.line("VPERMILPS $0xB1, X%d, X%d", v, t)
		a.line("%s X%d, X%d, X%d", op, t, v, v)
	}
	a.free(t)
}

// ret stores the first lane of v as a result.
func (a *asm) ret(v vec, name string, off int) {
	switch {
	case a.amd64() && a.f64:
		a.line("VMOVSD X%d, %s+%d(FP)", v, name, off)
	case a.amd64():
		a.line("VMOVSS X%d, %s+%d(FP)", v, name, off)
	case a.f64:
		a.line("FMOVD F%d, %s+%d(FP)", v, name, off)
	default:
		a.line("FMOVS F%d, %s+%d(FP)", v, name, off)
	}
}

func (a *asm) end() {
	if a.amd64() {
		a.line("VZEROUPPER")
	}
	a.line("RET")
	fmt.Fprintln(a.out)
}

package main

import (
	"bytes"
	"fmt"
	"strings"
)

// dispatch writes, for each kernel, the function that the package calls: the best one that the processor has, or plain Go.
func dispatch(sets []*isa) []byte {
	b := &bytes.Buffer{}
	fmt.Fprintf(b, "%spackage tensor\n\n// levelVectors are the vectors of the levels with assembly.\nvar levelVectors = map[int]vectors{\n", header)
	for _, set := range sets {
		fmt.Fprintf(b, "level%s: {%d, %#v},\n", set.name, set.bytes/4, set.rows)
	}
	fmt.Fprintf(b, "}\n\n")
	for _, e := range elementwiseKernels() {
		choose(b, sets, e.signature, e.name+"Whole", "is "+e.name+" for n a multiple of the lanes")
	}
	for _, c := range columnKernels() {
		choose(b, sets, c.signature, c.name, "on one vector of columns: "+c.doc)
	}
	s, _ := transpose()
	choose(b, sets, s, s.name, "writes dst[j·dld + i] = src[i·sld + j] for n square blocks of one vector, side by side in src")
	for _, nv := range rotationWidths {
		s, _ := rotations(nv)
		choose(b, sets, s, s.name, fmt.Sprintf("applies n plane rotations to neighbouring rows of %d vectors of columns", nv))
	}
	for _, f64 := range []bool{false, true} {
		tile(b, sets, f64)
	}
	return b.Bytes()
}

// lengths writes, for each elementwise kernel, the function that takes any length, the same for every processor.
func lengths() []byte {
	b := &bytes.Buffer{}
	fmt.Fprintf(b, "%spackage tensor\n\n", header)
	for _, e := range elementwiseKernels() {
		e.anyLength(b)
	}
	return b.Bytes()
}

// choose writes the function name, which calls the kernel s of the level in use.
func choose(b *bytes.Buffer, sets []*isa, s signature, name, doc string) {
	fmt.Fprintf(b, "// %s %s.\nfunc %s(%s)%s {\n", name, doc, name, s.params(), s.results())
	call := func(suffix string) {
		if len(s.rets) > 0 {
			fmt.Fprint(b, "return ")
		}
		fmt.Fprintf(b, "%s%s(%s)\n", s.name, suffix, s.args())
	}
	if len(sets) > 0 {
		fmt.Fprintf(b, "switch level {\n")
		for _, set := range sets {
			fmt.Fprintf(b, "case level%s:\n", set.name)
			call(set.name)
			if len(s.rets) == 0 {
				fmt.Fprintln(b, "return")
			}
		}
		fmt.Fprintf(b, "}\n")
	}
	call("Go")
	fmt.Fprintf(b, "}\n\n")
}

// anyLength writes the function that takes any n: the rest goes through a vector on the stack, padded so that it adds
// nothing to a result.
func (e elementwise) anyLength(b *bytes.Buffer) {
	lanes, array := "lanes", "vector"
	if e.f64 {
		lanes, array = "lanes64", "vector64"
	}
	fmt.Fprintf(b, "// %s: %s.\nfunc %s(%s)%s {\n", e.name, e.doc, e.name, e.params(), e.results())
	assign := ""
	if len(e.rets) > 0 {
		assign = strings.Join(e.rets, ", ") + " = "
	}
	call := func(ptrs []string, n string) string {
		args := append(append(append([]string{}, ptrs...), n), e.scalars...)
		return fmt.Sprintf("%sWhole(%s)", e.name, strings.Join(args, ", "))
	}
	fmt.Fprintf(b, "whole := n / %s * %s\n", lanes, lanes)
	if e.largest {
		fmt.Fprintf(b, "%s = *%s\n", e.rets[0], e.ptrs[0])
	}
	fmt.Fprintf(b, "if whole > 0 {\n%s%s\n}\n", assign, call(e.ptrs, "whole"))
	fmt.Fprintf(b, "if n > whole {\n")
	var tails []string
	for _, p := range e.ptrs {
		fmt.Fprintf(b, "var t%s %s\n", p, array)
		if pad := e.pad; pad != "" && p != e.ptrs[0] || pad != "" && len(e.ptrs) == 1 {
			fmt.Fprintf(b, "t%s.fill(%s)\n", p, pad)
		}
		fmt.Fprintf(b, "t%s.load(%s, whole, n)\n", p, p)
		tails = append(tails, "&t"+p+"[0]")
	}
	switch {
	case e.largest:
		fmt.Fprintf(b, "%s = max(%s, %s)\n", e.rets[0], e.rets[0], call(tails, lanes))
	case len(e.rets) > 0:
		var rs []string
		for _, r := range e.rets {
			rs = append(rs, r+"_")
		}
		fmt.Fprintf(b, "%s := %s\n", strings.Join(rs, ", "), call(tails, lanes))
		for _, r := range e.rets {
			fmt.Fprintf(b, "%s += %s_\n", r, r)
		}
	default:
		fmt.Fprintln(b, call(tails, lanes))
	}
	for _, p := range e.ptrs[:e.writes] {
		fmt.Fprintf(b, "t%s.store(%s, whole, n)\n", p, p)
	}
	fmt.Fprintf(b, "}\n")
	if len(e.rets) > 0 {
		fmt.Fprintf(b, "return %s\n", strings.Join(e.rets, ", "))
	}
	fmt.Fprintf(b, "}\n\n")
}

// tile writes the choice among the product kernels.
func tile(b *bytes.Buffer, sets []*isa, f64 bool) {
	name, elem := "tile", "float32"
	if f64 {
		name, elem = "tile64", "float64"
	}
	fmt.Fprintf(b, "// %s computes rows × nv vectors of columns of c = a·b, or c += a·b where add is not 0; strides are in bytes.\n", name)
	fmt.Fprintf(b, "func %s(rows, nv int, a, b, c *%s, k, as, bs, cs, add int) {\n", name, elem)
	if len(sets) > 0 {
		fmt.Fprintf(b, "switch level {\n")
		for _, set := range sets {
			fmt.Fprintf(b, "case level%s:\nswitch rows*4 + nv {\n", set.name)
			for _, rows := range set.rows {
				for _, nv := range tileWidths(rows, f64) {
					fmt.Fprintf(b, "case %d:\n%s%dx%d%s(a, b, c, k, as, bs, cs, add)\n", rows*4+nv, productName(f64), rows, nv, set.name)
				}
			}
			fmt.Fprintf(b, "}\nreturn\n")
		}
		fmt.Fprintf(b, "}\n")
	}
	fmt.Fprintf(b, "%sGo(rows, nv, a, b, c, k, as, bs, cs, add)\n}\n\n", name)
}

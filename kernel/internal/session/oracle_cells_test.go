package session

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// cellsOf is a random sequence of cells. What a cell declares for the session stands between « and »: «var NAME TYPE», «NAME := TYPE» or
// «func NAME»; a name that takes the place of another, of another type, ends in r and a number.
func cellsOf(seed int) []string {
	w := &writer{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), vars: map[string][]string{}, cells: true}
	s := &cellWriter{writer: w, held: map[string]bool{}}
	w.b.WriteString("«var a int» = 3\n«var b int» = -2\n«var r int» = 0\n«s := string» \"héy\"\n«t := string» \"\"\n")
	w.vars = map[string][]string{"int": {"a", "b", "r"}, "string": {"s", "t"}}
	cells := []string{s.end()}
	for range 6 + w.IntN(6) {
		w.steps = 8
		switch w.IntN(6) {
		case 0:
			s.retype()
		case 1, 2:
			s.function()
		}
		w.block(3)
		cells = append(cells, s.end())
	}
	return cells
}

type cellWriter struct {
	*writer
	funcs []string        // declared
	held  map[string]bool // names that declared functions and function literals use
}

var name = regexp.MustCompile(`\b[gv]\d+(r\d+)?\b`)

// end ends the cell.
func (s *cellWriter) end() string {
	text := s.b.String()
	s.b.Reset()
	for line := range strings.Lines(text) {
		if strings.Contains(line, "func") || strings.HasPrefix(line, "\t") { // perhaps inside one
			for _, n := range name.FindAllString(line, -1) {
				s.held[n] = true
			}
		}
	}
	return text
}

// retype declares a variable again with another type. No function may use it: it would no longer compile.
func (s *cellWriter) retype() {
	old := kinds[s.IntN(len(kinds))]
	was := s.some(old)
	base, _, _ := strings.Cut(was, "r")
	if was == "" || was[0] != 'v' || s.held[was] {
		return
	}
	typ := kinds[s.IntN(len(kinds))]
	if typ == old {
		return
	}
	s.vars[old] = slices.DeleteFunc(s.vars[old], func(n string) bool { return n == was })
	s.n++
	name := fmt.Sprintf("%sr%d", base, s.n)
	s.assign(name, typ, s.expr(typ, 2))
	s.vars[typ] = append(s.vars[typ], name)
}

// function declares a function, or declares one again: those that call it see the new one.
func (s *cellWriter) function() {
	funcs := s.vars["func(int) int"]
	if len(s.funcs) > 0 && s.IntN(2) == 0 {
		if g := s.funcs[s.IntN(len(s.funcs))]; !s.held[g] {
			s.vars["func(int) int"] = nil // it must not call itself
			s.line("«func %s»(n int) int { return n - %s }", g, s.expr("int", 2))
			s.vars["func(int) int"] = funcs
		}
		return
	}
	s.n++
	g := fmt.Sprintf("g%d", s.n)
	s.line("«func %s»(n int) int { return n + %s }", g, s.expr("int", 2))
	s.vars["func(int) int"] = append(funcs, g)
	s.funcs = append(s.funcs, g)
}

var (
	again  = regexp.MustCompile(`\b(v\d+)r\d+\b`)
	marked = regexp.MustCompile(`«(?:var (\w+) ([^»]*)|(\w+) := ([^»]*)|func (\w+))»`)
)

// inSession is a cell as a user writes it.
func inSession(cell string) string {
	cell = again.ReplaceAllString(cell, "$1")
	return marked.ReplaceAllStringFunc(cell, func(d string) string {
		d = strings.Trim(d, "«»")
		if name, _, ok := strings.Cut(d, " := "); ok {
			return name + " :="
		}
		return d
	})
}

// compiled is a program that does what the cells do: variables, also of functions, outlive the function literal that a cell is.
func compiled(seed int, cells []string) string {
	var vars, body strings.Builder
	seen := map[string]bool{}
	for _, c := range cells {
		for _, m := range marked.FindAllStringSubmatch(c, -1) {
			name, typ := m[1]+m[3]+m[5], m[2]+m[4]
			if m[5] != "" {
				typ = "func(int) int"
			}
			if !seen[name] {
				fmt.Fprintf(&vars, "\tvar %s %s\n\t_ = %[1]s\n", name, typ)
			}
			seen[name] = true
		}
		c = marked.ReplaceAllStringFunc(c, func(d string) string {
			m := marked.FindStringSubmatch(d)
			switch {
			case m[5] != "":
				return m[5] + " = func"
			case m[3] != "":
				return m[3] + " ="
			}
			return m[1]
		})
		fmt.Fprintf(&body, "\tfunc() {\n\t\tdefer func() {\n\t\t\tif x := recover(); x != nil {\n\t\t\t\tfmt.Println(\"panic\", x)\n\t\t\t}\n\t\t}()\n%s\t}()\n", c)
	}
	return fmt.Sprintf("func p%d() {\n\tcalls = 0\n%s%s}\n", seed, vars.String(), body.String())
}

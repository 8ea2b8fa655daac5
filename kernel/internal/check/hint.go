package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"strings"
)

// hints finds, for the errors of one cell, what the user may have meant.
type hints struct {
	b    *builder
	file *ast.File
}

var (
	undefinedName   = regexp.MustCompile(`^undefined: (\w+)$`)
	undefinedMember = regexp.MustCompile(`^undefined: (\w+)\.(\w+)$`)
	noMember        = regexp.MustCompile(`^\S+\.(\w+) undefined \(type .* has no field or method \w+`)
	unknownField    = regexp.MustCompile(`^unknown field (\w+) in struct literal`)
	cannotUse       = regexp.MustCompile(`^cannot use (.+) \((?:variable|value|constant|.* constant).*? of (?:\w+ )?type ([^\s()]+)\) as ([^\s()]+) value`)
	mismatched      = regexp.MustCompile(`mismatched types (\w+) and (\w+)\)`)
	notImported     = regexp.MustCompile(`^could not import (\S+)`)
	mismatch        = regexp.MustCompile(`^assignment mismatch: \d+ variables? but .* returns \d+ values?|^multiple-value .* in single-value context`)
)

const usable = "cells can use the packages of std, gonum, gonum/plot and bayesrm; others cannot be fetched"

// elsewhere are names of other notebooks, and what stands for them here.
var elsewhere = map[string]string{
	"exit":    "Ctrl-D leaves the console, and the menu of a notebook shuts its kernel down",
	"quit":    "Ctrl-D leaves the console, and the menu of a notebook shuts its kernel down",
	"Display": "display.Show(x) shows a value, display.HTML and display.Markdown a text", "gonbui": "package display shows HTML, Markdown and pictures",
	"None": "it is nil in Go", "null": "it is nil in Go", "True": "it is true in Go", "False": "it is false in Go",
}

// of returns a sentence that helps with an error at pos, or "".
func (h *hints) of(msg string, pos token.Pos) string {
	if m := undefinedName.FindStringSubmatch(msg); m != nil {
		if s := elsewhere[m[1]]; s != "" {
			return s
		}
		if s := nearest(m[1], h.names(pos)); s != "" {
			return "did you mean " + s + "?"
		}
		if sel := h.selectorAt(pos); sel != nil && sel.X.Pos() == pos {
			return fmt.Sprintf("no package is called %s here; %s", m[1], usable)
		}
		return ""
	}
	if m := notImported.FindStringSubmatch(msg); m != nil {
		name := BaseName(m[1])
		if s := elsewhere[name]; s != "" {
			return s
		}
		path, ok := h.b.in.Imports(name)
		if !ok && len(name) > 3 { // nearly every short word is near to a package's name
			path, ok = h.b.in.Imports(nearest(name, h.b.in.Names()))
		}
		if ok {
			return fmt.Sprintf("did you mean %q?", path)
		}
		return usable
	}
	if m := undefinedMember.FindStringSubmatch(msg); m != nil {
		if sel := h.selectorAt(pos); sel != nil {
			if id, ok := sel.X.(*ast.Ident); ok {
				if p, ok := h.b.cell.Info.Uses[id].(*types.PkgName); ok {
					return didYouMean(m[1]+".", m[2], exported(p.Imported().Scope().Names()))
				}
			}
		}
	}
	if m := noMember.FindStringSubmatch(msg); m != nil {
		if sel := h.selectorAt(pos); sel != nil {
			if t := h.b.cell.Info.TypeOf(sel.X); t != nil {
				return didYouMean("", m[1], memberNames(Members(t)))
			}
		}
	}
	if m := unknownField.FindStringSubmatch(msg); m != nil {
		if t := h.literalAt(pos); t != nil {
			return didYouMean("", m[1], memberNames(Fields(t)))
		}
	}
	if m := cannotUse.FindStringSubmatch(msg); m != nil {
		x, have, want := m[1], m[2], m[3]
		switch {
		case numeric(have) && numeric(want):
			return fmt.Sprintf("convert it: %s(%s)", want, x)
		case want == "*"+have:
			return "take its address: &" + x
		case have == "*"+want:
			return "take what it points to: *" + x
		}
	}
	if m := mismatched.FindStringSubmatch(msg); m != nil && numeric(m[1]) && numeric(m[2]) {
		return fmt.Sprintf("convert one of the two: %s(…) or %s(…)", m[1], m[2])
	}
	if mismatch.MatchString(msg) {
		return "name every result, with _ for one that is not needed: x, err := …"
	}
	return ""
}

func numeric(name string) bool {
	b, ok := types.Universe.Lookup(name).(*types.TypeName)
	if !ok {
		return false
	}
	t, ok := b.Type().(*types.Basic)
	return ok && t.Info()&types.IsNumeric != 0
}

// names lists what an identifier at pos could mean: the locals there, the cell's own, the session's, packages, the language.
func (h *hints) names(pos token.Pos) []string {
	ns := append([]string{}, h.b.cell.Own...)
	for _, s := range h.b.cell.Info.Scopes {
		if s.Contains(pos) && s.Parent() != types.Universe {
			ns = append(ns, s.Names()...)
		}
	}
	if h.b.in.Names != nil {
		ns = append(ns, h.b.in.Names()...)
	}
	return append(ns, types.Universe.Names()...)
}

func (h *hints) selectorAt(pos token.Pos) (sel *ast.SelectorExpr) {
	ast.Inspect(h.file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && (s.Pos() == pos || s.Sel.Pos() == pos) {
			sel = s
		}
		return sel == nil
	})
	return sel
}

// literalAt is the type of the innermost literal that holds pos.
func (h *hints) literalAt(pos token.Pos) (t types.Type) {
	ast.Inspect(h.file, func(n ast.Node) bool {
		if l, ok := n.(*ast.CompositeLit); ok && l.Pos() <= pos && pos < l.End() {
			t = h.b.cell.Info.TypeOf(l)
		}
		return true
	})
	return t
}

func exported(names []string) (out []string) {
	for _, n := range names {
		if token.IsExported(n) {
			out = append(out, n)
		}
	}
	return out
}

func memberNames(ms []Member) (names []string) {
	for _, m := range ms {
		names = append(names, m.Name())
	}
	return names
}

func didYouMean(prefix, name string, names []string) string {
	if s := nearest(name, names); s != "" {
		return "did you mean " + prefix + s + "?"
	}
	return ""
}

// nearest returns the name that takes the fewest slips of a typist to become name, "" if none is near; another case of letters is the
// nearest of all.
func nearest(name string, names []string) string {
	best, least := "", 1+max(1, len(name)/3)
	for _, n := range names {
		if len(n)-len(name) > least || len(name)-len(n) > least {
			continue
		}
		d := slips(name, n)
		if strings.EqualFold(name, n) {
			d = 0
		}
		if n != name && n != "_" && (d < least || d == least && best != "" && n < best) {
			best, least = n, d
		}
	}
	return best
}

// slips is the number of letters inserted, left out, replaced or swapped with a neighbour (optimal string alignment).
func slips(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range y {
		d[0][j+1] = j + 1
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}

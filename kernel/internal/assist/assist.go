// Package assist answers what a front end asks while the user types: completions, what a name is, and the history.
package assist

import (
	"fmt"
	"go/token"
	"go/types"
	"sort"
	"strings"
	"unicode"

	"gobayes/kernel/internal/exports"
	"gobayes/kernel/internal/session"
)

// Assistant looks names up in a session. It has an importer of its own, so that it can answer while a cell is checked.
type Assistant struct {
	session *session.Session
	im      *exports.Importer
}

// New returns an Assistant for a session. It is not safe for concurrent use.
func New(s *session.Session) *Assistant {
	return &Assistant{session: s, im: exports.New(token.NewFileSet())}
}

// Complete returns the names that could stand at pos (in code points) of code, and the range that they would replace.
func (a *Assistant) Complete(code string, pos int) (matches []string, start, end int) {
	runes := []rune(code)
	pos = min(max(pos, 0), len(runes))
	path, prefix := nameBefore(runes[:pos])
	start, end = pos-len([]rune(prefix)), pos
	var names []string
	if len(path) == 0 {
		names = append(a.session.Names(), session.PackageNames()...)
		for t := token.BREAK; t <= token.VAR; t++ {
			if t.IsKeyword() {
				names = append(names, t.String())
			}
		}
		names = append(names, types.Universe.Names()...)
	} else {
		names = a.members(path)
	}
	seen := map[string]bool{}
	for _, n := range names {
		if strings.HasPrefix(strings.ToLower(n), strings.ToLower(prefix)) && !seen[n] {
			seen[n] = true
			matches = append(matches, n)
		}
	}
	sort.SliceStable(matches, func(i, j int) bool { // names with the prefix as typed come first
		pi, pj := strings.HasPrefix(matches[i], prefix), strings.HasPrefix(matches[j], prefix)
		if pi != pj {
			return pi
		}
		return matches[i] < matches[j]
	})
	return matches, start, end
}

// nameBefore splits what stands before the cursor: "a.b.pre" is path [a b] and prefix pre.
func nameBefore(rs []rune) (path []string, prefix string) {
	ident := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	i := len(rs)
	for i > 0 && ident(rs[i-1]) {
		i--
	}
	prefix = string(rs[i:])
	for i > 0 && rs[i-1] == '.' {
		j := i - 1
		k := j
		for k > 0 && ident(rs[k-1]) {
			k--
		}
		if k == j {
			return []string{""}, prefix // a member of something that is no plain name
		}
		path = append([]string{string(rs[k:j])}, path...)
		i = k
	}
	return path, prefix
}

// resolve finds the object that a dotted path names.
func (a *Assistant) resolve(path []string) types.Object {
	o := a.session.Lookup(path[0])
	rest := path[1:]
	if o == nil {
		p, ok := a.session.ImportPath(path[0])
		if !ok {
			return types.Universe.Lookup(path[0])
		}
		pkg, err := a.im.Import(p)
		if err != nil {
			return nil
		}
		if len(rest) == 0 {
			return types.NewPkgName(token.NoPos, nil, path[0], pkg)
		}
		o = pkg.Scope().Lookup(rest[0])
		rest = rest[1:]
	}
	for _, name := range rest {
		if o == nil {
			return nil
		}
		m, _, _ := types.LookupFieldOrMethod(o.Type(), true, o.Pkg(), name)
		o = m
	}
	return o
}

func (a *Assistant) members(path []string) []string {
	o := a.resolve(path)
	if o == nil {
		return nil
	}
	var names []string
	if p, ok := o.(*types.PkgName); ok {
		for _, n := range p.Imported().Scope().Names() {
			if token.IsExported(n) {
				names = append(names, n)
			}
		}
		return names
	}
	t := o.Type()
	for i := range types.NewMethodSet(types.NewPointer(t)).Len() {
		names = append(names, types.NewMethodSet(types.NewPointer(t)).At(i).Obj().Name())
	}
	for i := range types.NewMethodSet(t).Len() {
		names = append(names, types.NewMethodSet(t).At(i).Obj().Name())
	}
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	if s, ok := t.Underlying().(*types.Struct); ok {
		for i := range s.NumFields() {
			names = append(names, s.Field(i).Name())
		}
	}
	visible := names[:0]
	for _, n := range names {
		if token.IsExported(n) || o.Pkg() == nil || o.Pkg().Path() == "main" {
			visible = append(visible, n)
		}
	}
	return visible
}

// Inspect says what the name at pos (in code points) of code is: its kind, type and where it comes from.
func (a *Assistant) Inspect(code string, pos int) (text string, found bool) {
	runes := []rune(code)
	pos = min(max(pos, 0), len(runes))
	for pos < len(runes) && (runes[pos] == '_' || unicode.IsLetter(runes[pos]) || unicode.IsDigit(runes[pos])) {
		pos++
	}
	path, prefix := nameBefore(runes[:pos])
	if prefix == "" || len(path) > 0 && path[0] == "" {
		return "", false
	}
	o := a.resolve(append(path, prefix))
	if o == nil {
		return "", false
	}
	q := func(p *types.Package) string {
		if p.Path() == "main" {
			return ""
		}
		return p.Name()
	}
	if p, ok := o.(*types.PkgName); ok {
		return fmt.Sprintf("package %s // import %q", p.Imported().Name(), p.Imported().Path()), true
	}
	text = types.ObjectString(o, q)
	if t, ok := o.(*types.TypeName); ok {
		for i := range types.NewMethodSet(types.NewPointer(t.Type())).Len() {
			m := types.NewMethodSet(types.NewPointer(t.Type())).At(i).Obj()
			if m.Exported() || m.Pkg().Path() == "main" {
				text += "\n" + types.ObjectString(m, q)
			}
		}
	}
	return text, true
}

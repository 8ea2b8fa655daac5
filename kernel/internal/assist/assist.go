// Package assist answers what a front end asks while the user types: completions, what a name is, and the history.
package assist

import (
	"go/ast"
	"go/scanner"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"unicode"

	"gobayes/kernel/internal/cell"
	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/exports"
	"gobayes/kernel/internal/session"
	"gobayes/stdlib"
)

// Assistant looks names up in a session. It has an importer of its own, so that it can answer while a cell is checked.
type Assistant struct {
	session *session.Session
	im      *exports.Importer
	docs    map[string]map[string]string // of packages, as stdlib.Docs
}

// New returns an Assistant for a session. It is not safe for concurrent use.
func New(s *session.Session) *Assistant {
	return &Assistant{session: s, im: exports.New(token.NewFileSet()), docs: map[string]map[string]string{}}
}

// mark ends the identifier at the cursor, so that it is found again in the syntax tree. It is a letter that no one types.
const mark = "ǃ"

// draft is a cell that is being written, as far as it can be checked, and the way from the file down to the identifier
// at the cursor.
type draft struct {
	*check.Cell
	path []ast.Node
}

const draftName = "draft"

// draft checks code with the identifier that ends at byte end marked. Code that does not parse is cut off there, and what is
// open is closed.
func (a *Assistant) draft(code string, end int) *draft {
	units, err := cell.Split(draftName, code[:end]+mark+code[end:])
	if err != nil {
		units = cell.Draft(draftName, code[:end]+mark+closers(code[:end]))
	}
	c := check.Draft(a.im, token.NewFileSet(), check.Input{Name: draftName, Func: "run_" + draftName, Units: units, Live: a.lookup, Imports: a.session.ImportPath})
	d := &draft{Cell: c}
	var path []ast.Node
	ast.Inspect(c.Files[0], func(n ast.Node) bool {
		if n == nil {
			path = path[:len(path)-1]
			return true
		}
		path = append(path, n)
		if id, ok := n.(*ast.Ident); ok && d.path == nil && strings.HasSuffix(id.Name, mark) {
			d.path = append([]ast.Node{}, path...)
		}
		return true
	})
	return d
}

// at is the i-th node from the cursor upwards, nil beyond the root; 0 is the identifier itself.
func (d *draft) at(i int) ast.Node {
	if i >= len(d.path) {
		return nil
	}
	return d.path[len(d.path)-1-i]
}

// closers closes the brackets that code leaves open.
func closers(code string) string {
	ts := tokens(code)
	var b strings.Builder
	for _, i := range slices.Backward(opened(ts)) {
		switch ts[i].tok {
		case token.LPAREN:
			b.WriteByte(')')
		case token.LBRACK:
			b.WriteByte(']')
		case token.LBRACE:
			b.WriteByte('}')
		}
	}
	return b.String()
}

// opened lists the brackets that are open at the end, as indices of tokens.
func opened(ts []tokenAt) (open []int) {
	for i, t := range ts {
		switch t.tok {
		case token.LPAREN, token.LBRACK, token.LBRACE:
			open = append(open, i)
		case token.RPAREN, token.RBRACK, token.RBRACE:
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
	}
	return open
}

type tokenAt struct {
	tok        token.Token
	start, end int
	text       string
}

// tokens scans code; a string or comment that is not terminated is a token that ends with the code.
func tokens(code string) []tokenAt {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(code))
	s.Init(file, []byte(code), func(token.Position, string) {}, scanner.ScanComments)
	var ts []tokenAt
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return ts
		}
		if tok != token.SEMICOLON || lit == ";" {
			off := file.Offset(pos)
			ts = append(ts, tokenAt{tok, off, off + max(len(lit), len(tok.String())), lit})
		}
	}
}

// literal returns the string or comment that the cursor stands in at the end of code.
func literal(code string) (t tokenAt, inside bool) {
	ts := tokens(code)
	if len(ts) == 0 {
		return t, false
	}
	t = ts[len(ts)-1]
	switch {
	case t.tok == token.COMMENT:
		return t, strings.HasPrefix(t.text, "//") && !strings.Contains(code[t.start:], "\n") || strings.HasPrefix(t.text, "/*") && !strings.HasSuffix(t.text, "*/")
	case t.tok == token.STRING && t.text[0] == '"':
		return t, !terminated(t.text) && !strings.Contains(code[t.start:], "\n")
	case t.tok == token.STRING:
		return t, len(t.text) < 2 || t.text[len(t.text)-1] != '`'
	}
	return t, false
}

// terminated reports whether an interpreted string ends in a quote of its own.
func terminated(s string) bool {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return true
		}
	}
	return false
}

// identifierBefore is the byte at which the identifier that ends at byte end of code starts.
func identifierBefore(code string, end int) int {
	return len(strings.TrimRightFunc(code[:end], isIdent))
}

// identifierEnd is the byte at which the identifier that byte pos of code lies in, or follows, ends.
func identifierEnd(code string, pos int) int {
	return len(code) - len(strings.TrimLeftFunc(code[pos:], isIdent))
}

func isIdent(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// byteOffset turns a position in code points into one in bytes.
func byteOffset(code string, pos int) int {
	n := 0
	for i := range code {
		if n >= pos {
			return i
		}
		n++
	}
	return len(code)
}

// lookup returns what a name means in the next cell: the session's own or what is predeclared there; nil if nothing.
func (a *Assistant) lookup(name string) types.Object {
	if o := a.session.Lookup(name); o != nil {
		return o
	}
	path, member := session.Predeclared(name)
	if member == "" {
		return nil
	}
	p, err := a.im.Import(path)
	if err != nil {
		return nil
	}
	o := p.Scope().Lookup(member)
	if f, ok := o.(*types.Func); ok {
		return types.NewFunc(token.NoPos, p, name, f.Signature())
	}
	return types.NewVar(token.NoPos, types.NewPackage("main", "main"), name, o.Type())
}

// doc is the comment of what a package or the user declares: name is "Name" or "Type.Member", "" the package.
func (a *Assistant) doc(pkg *types.Package, name string) string {
	if pkg == nil {
		pkg = types.NewPackage("builtin", "builtin")
	}
	if pkg.Path() == "main" {
		return a.session.Doc(name)
	}
	if path, member := session.Predeclared(name); member != "" && path == pkg.Path() {
		name = member
	}
	if a.docs[pkg.Path()] == nil {
		a.docs[pkg.Path()] = stdlib.Docs(pkg.Path())
	}
	return a.docs[pkg.Path()][name]
}

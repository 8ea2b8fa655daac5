// Package cell cuts the text of a cell into its top-level pieces: imports, declarations, statements and the last expression.
package cell

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
	"strings"
)

// Kind says what a Unit is.
type Kind int

// The kinds of unit.
const (
	Import Kind = iota
	Func        // function or method declaration
	Type        // type or const declaration
	Var         // var declaration, or x := e
	Stmt        // any other statement
	Expr        // an expression; shown when it is the last unit and no semicolon follows it
)

// Unit is one top-level piece of a cell.
type Unit struct {
	Cell   string // name of the cell, for positions
	Kind   Kind
	Text   string
	Line   int // of its first byte in the cell, from 1
	Column int // in bytes, from 1
	Decl   ast.Decl
	Stmt   ast.Stmt
	Silent bool // ends in an explicit semicolon
}

// Split cuts src, the text of the named cell, at the semicolons, written or implied, of nesting depth zero. The error is a scanner.ErrorList with
// positions in the cell.
func Split(name, src string) ([]Unit, error) {
	units, errs := split(name, src)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return units, nil
}

// Draft is Split for a cell that is being written: a piece that does not parse is a Stmt or a Func without syntax.
func Draft(name, src string) []Unit {
	units, _ := split(name, src)
	return units
}

func split(name, src string) (units []Unit, failed []error) {
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	var errs scanner.ErrorList
	var s scanner.Scanner
	s.Init(file, []byte(src), func(pos token.Position, msg string) { errs.Add(pos, msg) }, 0)
	type piece struct {
		start, end int
		first, sec token.Token
		silent     bool
	}
	var pieces []piece
	cur := piece{start: -1}
	depth, n := 0, 0
	closed := false // a block has ended at depth 0: the header of for, if, switch, select is over
	begins := false // a statement begins: a piece does, and what follows a label
	flush := func(end int, explicit bool) {
		if cur.start >= 0 {
			cur.end, cur.silent = end, explicit
			pieces = append(pieces, cur)
		} else if explicit && len(pieces) > 0 {
			pieces[len(pieces)-1].silent = true
		}
		cur, n = piece{start: -1}, 0
	}
	for {
		pos, tok, lit := s.Scan()
		off := file.Offset(pos)
		if tok == token.EOF {
			flush(len(src), false)
			break
		}
		switch tok {
		case token.LPAREN, token.LBRACE, token.LBRACK:
			depth++
		case token.RPAREN, token.RBRACE, token.RBRACK:
			depth--
			if tok == token.RBRACE && depth == 0 {
				closed = true
			}
		case token.ELSE:
			closed = closed && depth > 0 // else if has a header of its own
		case token.SEMICOLON:
			header := !closed && (cur.first == token.FOR || cur.first == token.IF || cur.first == token.SWITCH || cur.first == token.SELECT)
			if depth <= 0 && !header {
				flush(off, lit == ";")
				continue
			}
		}
		if cur.start < 0 {
			cur.start, begins = off, true
		}
		if begins {
			cur.first, closed, n = tok, false, 0
		}
		n++
		begins = n == 2 && tok == token.COLON && cur.first == token.IDENT
		if n == 2 {
			cur.sec = tok
		}
	}
	if len(errs) > 0 {
		failed = append(failed, errs)
	}
	for _, p := range pieces {
		at := file.Position(file.Pos(p.start))
		u := Unit{Cell: name, Text: src[p.start:p.end], Line: at.Line, Column: at.Column, Silent: p.silent}
		if err := u.parse(p.first, p.sec); err != nil {
			failed = append(failed, err)
			u.Kind = Stmt
			if p.first == token.TYPE || p.first == token.CONST || p.first == token.VAR || p.first == token.FUNC && p.sec == token.IDENT {
				u.Kind = Func
			}
		}
		units = append(units, u)
	}
	return units, failed
}

// parse fills Kind and the syntax of u. Its errors have positions in the cell.
func (u *Unit) parse(first, second token.Token) error {
	if first == token.PACKAGE { // a program pasted into a cell
		u.Kind = Import
		return nil
	}
	decl := false
	switch first {
	case token.IMPORT, token.TYPE, token.VAR, token.CONST:
		decl = true
	case token.FUNC: // func f(…), or the method func (t T) m(…): not a function literal
		decl = second == token.IDENT || u.method()
	}
	if decl {
		f, err := u.file("package p;")
		if err != nil {
			return err
		}
		u.Decl = f.Decls[0]
		switch first {
		case token.IMPORT:
			u.Kind = Import
		case token.FUNC:
			u.Kind = Func
		case token.VAR:
			u.Kind = Var
		default:
			u.Kind = Type
		}
		return nil
	}
	f, err := u.file("package p;func _(){")
	if err != nil {
		return err
	}
	body := f.Decls[0].(*ast.FuncDecl).Body.List
	if len(body) == 0 {
		u.Kind = Stmt
		u.Stmt = &ast.EmptyStmt{}
		return nil
	}
	u.Stmt = body[0]
	switch s := u.Stmt.(type) {
	case *ast.AssignStmt:
		u.Kind = Stmt
		if s.Tok == token.DEFINE && identifiers(s.Lhs) {
			u.Kind = Var
		}
	case *ast.ExprStmt:
		u.Kind = Expr
	default:
		u.Kind = Stmt
	}
	return nil
}

func identifiers(xs []ast.Expr) bool {
	for _, x := range xs {
		if _, ok := x.(*ast.Ident); !ok {
			return false
		}
	}
	return true
}

// method reports whether the unit, which starts with "func (", is a method declaration and not a function literal.
func (u *Unit) method() bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", "package p;"+u.Text, parser.SkipObjectResolution)
	return err == nil
}

// file parses prefix and the unit's text; positions in errors are those of the cell.
func (u *Unit) file(prefix string) (*ast.File, error) {
	src := prefix + Position("", u.Line, u.Column) + u.Text
	if prefix[len(prefix)-1] == '{' {
		src += "\n}"
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", src, parser.SkipObjectResolution)
	var errs scanner.ErrorList
	if errors.As(err, &errs) {
		return nil, u.inside(errs)
	}
	return f, err
}

// At is where the byte at offset of the unit's text stands in the cell.
func (u *Unit) At(offset int) (line, column int) {
	before := u.Text[:offset]
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		return u.Line + strings.Count(before, "\n"), offset - i
	}
	return u.Line, u.Column + offset
}

// inside keeps the errors within the unit's text. Of errors after it, which follow from those or name the brace that file adds,
// it keeps the first where there is no other, as one at the end of the text.
func (u *Unit) inside(errs scanner.ErrorList) scanner.ErrorList {
	line, column := u.At(len(strings.TrimRight(u.Text, " \t\r\n")))
	kept := slices.DeleteFunc(slices.Clone(errs), func(e *scanner.Error) bool {
		return e.Pos.Line > line || e.Pos.Line == line && e.Pos.Column >= column
	})
	if len(kept) > 0 {
		return kept
	}
	e := *errs[0]
	e.Pos.Line, e.Pos.Column = line, column
	if want, _, ok := strings.Cut(e.Msg, ", found "); ok {
		e.Msg = want + ", found the end of the statement"
	}
	return scanner.ErrorList{&e}
}

// Status says whether src could run as it stands ("complete"), needs more lines ("incomplete", with the indent of the
// next one) or cannot become valid ("invalid"): Jupyter's is_complete.
func Status(src string) (status, indent string) {
	depth := 0
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	open := false // a raw string or a comment runs to the end
	bad := false
	s.Init(file, []byte(src), func(_ token.Position, msg string) {
		switch msg {
		case "raw string literal not terminated", "comment not terminated":
			open = true
		default:
			bad = true
		}
	}, 0)
	last := token.EOF
	for {
		_, tok, _ := s.Scan()
		if tok == token.EOF {
			break
		}
		switch tok {
		case token.LPAREN, token.LBRACE, token.LBRACK:
			depth++
		case token.RPAREN, token.RBRACE, token.RBRACK:
			depth--
		}
		last = tok
	}
	if bad || depth < 0 {
		return "invalid", ""
	}
	waits := last.IsOperator() && last != token.RPAREN && last != token.RBRACE && last != token.RBRACK && last != token.SEMICOLON && last != token.INC && last != token.DEC && last != token.EOF
	if open || depth > 0 || waits {
		for range depth {
			indent += "\t"
		}
		return "incomplete", indent
	}
	if _, err := Split("", src); err != nil {
		return "invalid", ""
	}
	return "complete", ""
}

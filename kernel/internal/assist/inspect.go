package assist

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/session"
)

// Description is what is known of a name, as Markdown and as plain text.
type Description struct {
	Markdown, Text string
}

// Inspect describes what stands at pos (in code points) of code: the name there, or the function whose arguments are
// being written. value shows the present value of a variable of the session; it may be nil.
func (a *Assistant) Inspect(code string, pos int, value func(name string) (string, bool)) (Description, bool) {
	at := byteOffset(code, pos)
	if _, inside := literal(code[:at]); !inside {
		end := identifierEnd(code, at)
		if identifierBefore(code, end) < end {
			if s, ok := a.subject(code, end); ok {
				return a.describe(s, value), true
			}
		}
	}
	if end, ok := callee(code[:at]); ok {
		if s, ok := a.subject(code[:end], end); ok {
			return a.describe(s, value), true
		}
	}
	return Description{}, false
}

// Describe describes what a dotted name means, as `help` shows it: a package, a name in it, a member of that, or a name of the
// session.
func (a *Assistant) Describe(name string) (Description, bool) {
	s, ok := a.subject(name, len(name))
	if !ok {
		return Description{}, false
	}
	return a.describe(s, nil), true
}

// callee returns the end of the name of the innermost function whose arguments are open at the end of code.
func callee(code string) (end int, ok bool) {
	ts := tokens(code)
	for _, i := range slices.Backward(opened(ts)) {
		if ts[i].tok == token.LPAREN && i > 0 && ts[i-1].tok == token.IDENT {
			return ts[i-1].end, true
		}
	}
	return 0, false
}

// subject is what a description is about: an object, and the type that declares it if it is a field or method.
type subject struct {
	check.Member
	pkg *types.PkgName // or a package
}

// subject finds what the identifier means that ends at byte end of code.
func (a *Assistant) subject(code string, end int) (subject, bool) {
	start := identifierBefore(code, end)
	name := code[start:end]
	d := a.draft(code, end)
	if d.path == nil {
		return subject{}, false
	}
	cs, _ := a.candidates(d, func(n string) bool { return n == name })
	for _, c := range cs {
		if c.name != name || c.object == nil {
			continue
		}
		s := subject{Member: check.Member{Object: c.object}}
		if t, _, isMember := strings.Cut(c.docName, "."); isMember {
			s.Of = types.NewTypeName(token.NoPos, c.docPkg, t, nil)
		}
		return s, true
	}
	if _, selects := d.at(1).(*ast.SelectorExpr); !selects || d.at(1).(*ast.SelectorExpr).X == d.at(0) {
		if path, ok := a.session.ImportPath(name); ok {
			if p, err := a.im.Import(path); err == nil {
				return subject{pkg: types.NewPkgName(token.NoPos, nil, name, p)}, true
			}
		}
	}
	return subject{}, false
}

// describe writes the declaration, the present value and the comment.
func (a *Assistant) describe(s subject, value func(name string) (string, bool)) Description {
	var md, text strings.Builder
	code := func(src string) {
		fmt.Fprintf(&md, "```go\n%s\n```\n\n", src)
		fmt.Fprintf(&text, "%s\n", src)
	}
	if s.pkg != nil {
		p := s.pkg.Imported()
		code(fmt.Sprintf("package %s // import %q", p.Name(), p.Path()))
		a.comment(&md, &text, p, a.doc(p, ""))
		return Description{strings.TrimSpace(md.String()), strings.TrimSpace(text.String())}
	}
	code(a.declaration(s))
	if v, ok := s.Object.(*types.Var); ok && !v.IsField() && value != nil && a.session.Lookup(v.Name()) == v {
		if shown, ok := value(v.Name()); ok {
			code(shown)
		}
	}
	a.comment(&md, &text, s.Pkg(), a.doc(s.Pkg(), s.DocName()))
	if t, ok := s.Object.(*types.TypeName); ok {
		a.list(&md, &text, t)
	}
	return Description{strings.TrimSpace(md.String()), strings.TrimSpace(text.String())}
}

// declaration is the first line of a declaration: what one writes to use the thing.
func (a *Assistant) declaration(s subject) string {
	switch o := s.Object.(type) {
	case *types.Func:
		return signature(types.ObjectString(o, session.Qualify), o.Signature())
	case *types.Var:
		if s.Of != nil {
			return fmt.Sprintf("field %s %s // of %s", o.Name(), types.TypeString(o.Type(), session.Qualify), s.Of.Name())
		}
	case *types.TypeName:
		name := o.Name()
		if o.Pkg() != nil && o.Pkg().Path() != "main" {
			name = o.Pkg().Name() + "." + name
		}
		return "type " + name + " " + kindOf(o.Type())
	}
	return types.ObjectString(s.Object, session.Qualify)
}

// lineWidth is how long a declaration may be before each parameter has a line of its own.
const lineWidth = 88

// signature breaks the declaration of a function with many parameters.
func signature(decl string, sig *types.Signature) string {
	params := strings.TrimPrefix(types.TypeString(sig.Params(), session.Qualify), "(")
	i := strings.Index(decl, "("+params)
	if len(decl) <= lineWidth || sig.Params().Len() < 2 || i < 0 || sig.Variadic() {
		return decl
	}
	var b strings.Builder
	b.WriteString(decl[:i] + "(\n")
	for k := range sig.Params().Len() {
		p := sig.Params().At(k)
		fmt.Fprintf(&b, "\t%s %s,\n", p.Name(), types.TypeString(p.Type(), session.Qualify))
	}
	return b.String() + ")" + strings.TrimPrefix(decl[i:], "("+params)
}

// list writes the fields and methods of a type with the first sentence of their comments.
func (a *Assistant) list(md, text *strings.Builder, t *types.TypeName) {
	ms := check.Members(t.Type())
	if len(ms) == 0 {
		return
	}
	text.WriteString("\n")
	md.WriteString("\n")
	for _, m := range ms {
		sig := m.Name() + " " + types.TypeString(m.Type(), session.Qualify)
		if f, ok := m.Object.(*types.Func); ok {
			sig = "func " + f.Name() + strings.TrimPrefix(types.TypeString(f.Type(), session.Qualify), "func")
		}
		first := new(doc.Package).Synopsis(a.doc(m.Pkg(), m.DocName()))
		fmt.Fprintf(md, "- `%s`", sig)
		fmt.Fprintf(text, "  %s\n", sig)
		if first != "" {
			fmt.Fprintf(md, " — %s", first)
			fmt.Fprintf(text, "      %s\n", first)
		}
		md.WriteString("\n")
	}
}

// comment writes a doc comment in both forms. Names of std and of gonum link to their page.
func (a *Assistant) comment(md, text *strings.Builder, pkg *types.Package, doc string) {
	if doc == "" {
		return
	}
	p := comment.Parser{}
	parsed := p.Parse(doc)
	printer := comment.Printer{DocLinkURL: func(l *comment.DocLink) string {
		path := l.ImportPath
		if path == "" && pkg != nil {
			path = pkg.Path()
		}
		return (&comment.DocLink{ImportPath: path, Recv: l.Recv, Name: l.Name}).DefaultURL("https://pkg.go.dev")
	}, HeadingID: func(*comment.Heading) string { return "" }}
	text.WriteString("\n")
	md.Write(printer.Markdown(parsed))
	text.Write(printer.Text(parsed))
}

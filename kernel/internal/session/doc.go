package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// Doc returns the comment of a function, type or constant that a cell declared, or of a "Type.Member"; "" if there is none.
func (s *Session) Doc(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.decls[name]
	t, member, isMember := strings.Cut(name, ".")
	if d == nil && isMember { // a field
		d = s.decls[t]
	}
	if d == nil {
		return ""
	}
	src := above(s.texts[d.unit.Cell], d.unit.Line) + d.unit.Text
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || len(f.Decls) == 0 {
		return ""
	}
	switch d := f.Decls[0].(type) {
	case *ast.FuncDecl:
		return d.Doc.Text()
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if isMember && spec.Name.Name == t {
					return fieldDoc(spec, member)
				}
				if spec.Name.Name == name {
					return spec.Doc.Text() + d.Doc.Text()
				}
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if n.Name == name {
						return spec.Doc.Text() + spec.Comment.Text() + d.Doc.Text()
					}
				}
			}
		}
	}
	return ""
}

func fieldDoc(spec *ast.TypeSpec, name string) string {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return ""
	}
	for _, f := range list.List {
		for _, n := range f.Names {
			if n.Name == name {
				return f.Doc.Text() + f.Comment.Text()
			}
		}
	}
	return ""
}

// above returns the comment lines that end just before the given line of text.
func above(text string, line int) string {
	lines := strings.Split(text, "\n")
	end := min(line-1, len(lines))
	start := end
	for start > 0 && strings.HasPrefix(strings.TrimSpace(lines[start-1]), "//") {
		start--
	}
	if start == end {
		return ""
	}
	return strings.Join(lines[start:end], "\n") + "\n"
}

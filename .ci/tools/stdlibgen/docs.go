package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"log"
	"path/filepath"
	"strings"
)

// docs are the comments of a package by what they describe: "" the package, "Name" and "Type.Member" for the rest.
func docs(p listed) map[string]string {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			log.Fatal(err)
		}
		files = append(files, f)
	}
	d, err := doc.NewFromFiles(fset, files, p.ImportPath, doc.PreserveAST)
	if err != nil {
		log.Fatal(err)
	}
	out := map[string]string{}
	note := func(key string, texts ...string) {
		for _, t := range texts {
			if t = strings.TrimSpace(t); t != "" {
				out[key] = t
				return
			}
		}
	}
	funcs := func(prefix string, fs []*doc.Func) {
		for _, f := range fs {
			note(prefix+f.Name, f.Doc)
		}
	}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			for _, s := range v.Decl.Specs {
				s := s.(*ast.ValueSpec)
				for _, n := range s.Names {
					if n.IsExported() {
						note(n.Name, s.Doc.Text(), s.Comment.Text(), v.Doc)
					}
				}
			}
		}
	}
	note("", d.Doc)
	funcs("", d.Funcs)
	values(d.Consts)
	values(d.Vars)
	for _, t := range d.Types {
		note(t.Name, t.Doc)
		funcs("", t.Funcs)
		funcs(t.Name+".", t.Methods)
		values(t.Consts)
		values(t.Vars)
		for _, s := range t.Decl.Specs {
			members(s.(*ast.TypeSpec), note)
		}
	}
	return out
}

// members notes the comments of a struct's fields and of an interface's methods.
func members(s *ast.TypeSpec, note func(key string, texts ...string)) {
	var list *ast.FieldList
	switch t := s.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, f := range list.List {
		for _, n := range f.Names {
			if n.IsExported() {
				note(s.Name.Name+"."+n.Name, f.Doc.Text(), f.Comment.Text())
			}
		}
	}
}

func docData(p listed) []byte {
	raw, err := json.Marshal(docs(p))
	if err != nil {
		log.Fatal(err)
	}
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	w.Write(raw)
	w.Close()
	return out.Bytes()
}

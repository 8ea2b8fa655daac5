package lower

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"slices"
	"strings"
)

func (e *fnEnv) compLit(x *ast.CompositeLit) string {
	l := e.l
	t := e.typeOf(x)
	if p, ok := under(t).(*types.Pointer); ok && !l.endless(t) {
		return e.address(e.literalOf(x, p.Elem()), p.Elem())
	}
	return e.literalOf(x, t)
}

// address spells the address of a literal of type t.
func (e *fnEnv) address(s string, t types.Type) string {
	if e.l.endless(t) {
		return e.helper("h_address", "func h_address(v interface{}) *interface{} { return &v }") + "(" + s + ")"
	}
	if _, ok := under(t).(*types.Struct); !ok { // the interpreter makes one for all rounds of a loop
		return e.newOf(t) + "(" + s + ")"
	}
	return "&" + s
}

// literalOf lowers a composite literal to one of type t.
func (e *fnEnv) literalOf(x *ast.CompositeLit, t types.Type) string {
	l := e.l
	var parts []string
	elem := func(v ast.Expr, et types.Type) string {
		if cl, ok := ast.Unparen(v).(*ast.CompositeLit); ok {
			return e.wrapIface(e.compLit(cl), e.typeOf(cl), et)
		}
		return e.exprTo(v, et)
	}
	switch u := under(t).(type) {
	case *types.Struct:
		for i, el := range x.Elts {
			if kv, ok := el.(*ast.KeyValueExpr); ok {
				fn := kv.Key.(*ast.Ident).Name
				var ft types.Type
				for j := 0; j < u.NumFields(); j++ {
					if u.Field(j).Name() == fn {
						ft = u.Field(j).Type()
					}
				}
				parts = append(parts, fn+": "+elem(kv.Value, ft))
			} else {
				if u.Field(i).Name() == "_" {
					continue
				}
				parts = append(parts, u.Field(i).Name()+": "+elem(el, u.Field(i).Type()))
			}
		}
	case *types.Slice, *types.Array:
		var et types.Type
		if s, ok := u.(*types.Slice); ok {
			et = s.Elem()
		} else {
			et = u.(*types.Array).Elem()
		}
		// with keys, as fields have: of elements without one the interpreter wants to know the type before it can
		at := int64(0)
		for _, el := range x.Elts {
			if kv, ok := el.(*ast.KeyValueExpr); ok {
				at, _ = constant.Int64Val(constant.ToInt(e.info.Types[kv.Key].Value))
				el = kv.Value
			}
			parts = append(parts, fmt.Sprint(at)+": "+elem(el, et))
			at++
		}
	case *types.Map:
		if isIface(u.Key()) {
			m := l.fresh("m")
			w := "func() " + l.typ(t) + " {\n" + m + " := " + l.typ(t) + "{}\n"
			for _, el := range x.Elts {
				kv := el.(*ast.KeyValueExpr)
				w += m + "[" + elem(kv.Key, u.Key()) + "] = " + elem(kv.Value, u.Elem()) + "\n"
			}
			return w + "return " + m + "\n}()"
		}
		for _, el := range x.Elts {
			kv := el.(*ast.KeyValueExpr)
			parts = append(parts, elem(kv.Key, u.Key())+": "+elem(kv.Value, u.Elem()))
		}
	default:
		panic(l.errf(x.Pos(), "complit %v", t))
	}
	if l.endless(t) {
		return l.made(l.typ(under(t))+"{"+strings.Join(parts, ", ")+"}", t)
	}
	return l.typ(t) + "{" + strings.Join(parts, ", ") + "}"
}

func (e *fnEnv) funcLit(x *ast.FuncLit) (header, literal string) {
	sig := e.info.TypeOf(x).(*types.Signature)
	sub := &fnEnv{l: e.l, sb: e.sb, instKey: e.instKey, info: e.info, pkg: e.pkg, names: e.names, labels: map[string]string{}, decl: e.decl}
	sub.sig = sig
	save := e.l.env
	e.l.env = sub
	defer func() { e.l.env = save }()
	w := &writer{}
	hdr := sub.funcSig(sig)
	sub.body(w, sig, x.Body)
	return "func" + hdr, "func" + hdr + " {\n" + w.String() + "}"
}

// ownFrame spells a function literal as a value. The interpreter keeps it in the frame that makes it, and when a call of it ends puts back
// what was there before: in a loop, where another goroutine may just have made the next one there, it needs a frame of its own.
func (e *fnEnv) ownFrame(x *ast.FuncLit) string {
	header, literal := e.funcLit(x)
	if !e.inLoop() {
		return literal
	}
	return "func() " + header + " { return " + literal + " }()"
}

func (e *fnEnv) inLoop() bool {
	return slices.ContainsFunc(e.targets, func(t *target) bool { return t.kind == "loop" })
}

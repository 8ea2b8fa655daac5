package engine

import (
	"errors"
	"reflect"
	"unsafe"

	"gobayes/kernel/internal/rtype"
)

// The interpreter builds the reflect types of structs with placeholders for those that are not built yet, and at the end puts one
// type in place of all of them: right for a struct that refers to itself, wrong for structs that refer to each other, also if one of them
// is a field's type without a name. Here the types of the latter are built before the interpreter asks for them.

// What the interpreter calls the categories of types, in its order.
const (
	catNil = iota
	catArray
	_ // binT
	_ // binPkgT
	catBool
	_ // builtinT
	catChan
	catChanSend
	catChanRecv
	_ // comparableT
	catComplex64
	catComplex128
	_ // constraintT
	catError
	catFloat32
	catFloat64
	catFunc
	_ // genericT
	catInterface
	catInt
	catInt8
	catInt16
	catInt32
	catInt64
	catLinked
	catMap
	catPtr
	catSlice
	_ // srcPkgT
	catString
	catStruct
	catUint
	catUint8
	catUint16
	catUint32
	catUint64
	catUintptr
	catValue
	catVariadic
)

var basic = map[uint64]reflect.Type{
	catBool: reflect.TypeFor[bool](), catString: reflect.TypeFor[string](), catError: reflect.TypeFor[error](), catComplex64: reflect.TypeFor[complex64](),
	catComplex128: reflect.TypeFor[complex128](), catFloat32: reflect.TypeFor[float32](), catFloat64: reflect.TypeFor[float64](),
	catInt: reflect.TypeFor[int](), catInt8: reflect.TypeFor[int8](), catInt16: reflect.TypeFor[int16](), catInt32: reflect.TypeFor[int32](),
	catInt64: reflect.TypeFor[int64](), catUint: reflect.TypeFor[uint](), catUint8: reflect.TypeFor[uint8](), catUint16: reflect.TypeFor[uint16](),
	catUint32: reflect.TypeFor[uint32](), catUint64: reflect.TypeFor[uint64](), catUintptr: reflect.TypeFor[uintptr](),
}

// itype is a type of the interpreter: a pointer to its struct.
type itype struct{ reflect.Value }

func (t itype) get(name string) reflect.Value { return field(t.Elem(), name) }
func (t itype) part(name string) itype        { return itype{t.get(name)} }
func (t itype) cat() uint64                   { return t.get("cat").Uint() }
func (t itype) name() string                  { return t.get("name").String() }
func (t itype) isStruct() bool                { return t.cat() == catStruct && t.name() != "" }

// id is what tells a struct from others: the interpreter has several types of one name.
func (t itype) id() any {
	if n := t.name(); n != "" {
		return n
	}
	return t.UnsafePointer()
}

func (t itype) rtype() reflect.Type {
	r, _ := t.get("rtype").Interface().(reflect.Type)
	return r
}

func (t itype) fields() (ts []itype) {
	fs := t.get("field")
	for i := range fs.Len() {
		ts = append(ts, itype{field(fs.Index(i), "typ")})
	}
	return ts
}

func list(v reflect.Value) (ts []itype) {
	for i := range v.Len() {
		ts = append(ts, itype{v.Index(i)})
	}
	return ts
}

// parts are the types that t is made of.
func (t itype) parts() (ts []itype) {
	for _, p := range []itype{t.part("key"), t.part("val")} {
		if !p.IsNil() {
			ts = append(ts, p)
		}
	}
	return append(append(append(ts, t.fields()...), list(t.get("arg"))...), list(t.get("ret"))...)
}

// typeBuilder builds the reflect types of the structs that a cell declares.
type typeBuilder struct {
	global  *globals
	seen    map[unsafe.Pointer]bool
	all     []itype // what the declared types are made of, themselves included
	structs map[string]*structType
}

// structType is a struct with a name.
type structType struct {
	itype
	stand reflect.Type // stands for it until it is built
	built reflect.Type
	busy  bool
}

var stands int

var errUnknownType = errors.New("a type that only the interpreter knows")

// resolve gives the declared types of these names their reflect types if structs among them refer to each other.
func (g *globals) resolve(names []string) {
	b := &typeBuilder{global: g, seen: map[unsafe.Pointer]bool{}, structs: map[string]*structType{}}
	for _, n := range names {
		if t := g.typeNamed(n); t.IsValid() {
			b.walk(t, b.seen, b.add)
		}
	}
	if !b.tangled() {
		return
	}
	for _, s := range b.structs {
		if b.build(s) != nil {
			return
		}
	}
	for _, s := range b.structs {
		for i, f := range s.fields() {
			if t, err := b.typeOf(f); err == nil {
				rtype.SetFieldType(s.built, i, t)
			}
		}
	}
	for _, t := range b.all {
		if r, err := b.typeOf(t); err == nil {
			t.get("rtype").Set(reflect.ValueOf(r))
		}
	}
}

// typeNamed is what a name of package main declares, the zero itype for no type.
func (g *globals) typeNamed(name string) itype {
	sym := g.symbol(name)
	if !sym.IsValid() {
		return itype{}
	}
	t := itype{field(sym.Elem(), "typ")}
	if t.IsNil() {
		return itype{}
	}
	return t
}

// walk visits t and what it is made of, as far as it has no reflect type yet and was not seen.
func (b *typeBuilder) walk(t itype, seen map[unsafe.Pointer]bool, visit func(itype)) {
	if t = b.whole(t); seen[t.UnsafePointer()] || t.rtype() != nil {
		return
	}
	seen[t.UnsafePointer()] = true
	visit(t)
	for _, p := range t.parts() {
		b.walk(p, seen, visit)
	}
}

func (b *typeBuilder) add(t itype) {
	b.all = append(b.all, t)
	if t.isStruct() {
		stands++
		b.structs[t.name()] = &structType{itype: t, stand: reflect.ArrayOf(stands, basic[catUint8])}
	}
}

// whole is the type that an incomplete one, of a name that was declared later, stands for.
func (b *typeBuilder) whole(t itype) itype {
	if !t.get("incomplete").Bool() {
		return t
	}
	if n := t.get("node"); !n.IsNil() {
		if w := b.global.typeNamed(field(n.Elem(), "ident").String()); w.IsValid() {
			return w
		}
	}
	return t
}

// tangled reports whether there are two structs of which each leads to the other.
func (b *typeBuilder) tangled() bool {
	leads := map[any]map[any]bool{}
	for _, s := range b.all {
		if s.cat() != catStruct {
			continue
		}
		to := map[any]bool{}
		b.walk(s, map[unsafe.Pointer]bool{}, func(t itype) {
			if t.cat() == catStruct {
				to[t.id()] = true
			}
		})
		leads[s.id()] = to
	}
	for a := range leads {
		for c := range leads[a] {
			if a != c && leads[c][a] {
				return true
			}
		}
	}
	return false
}

// build builds a struct after those that it holds by value, with stands in place of those that it refers to.
func (b *typeBuilder) build(s *structType) error {
	if s.built != nil {
		return nil
	}
	if s.busy {
		return errUnknownType // it holds itself
	}
	s.busy = true
	if err := b.held(s.itype); err != nil {
		return err
	}
	r, err := b.structOf(s.itype)
	s.built = r
	return err
}

// held builds the structs that the struct t holds by value.
func (b *typeBuilder) held(t itype) error {
	for _, f := range t.fields() {
		h := b.whole(f)
		for h.cat() == catArray || h.cat() == catLinked {
			h = b.whole(h.part("val"))
		}
		var err error
		switch {
		case h.isStruct() && b.structs[h.name()] != nil:
			err = b.build(b.structs[h.name()])
		case h.cat() == catStruct && h.name() == "":
			err = b.held(h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// structOf is the reflect type of a struct of the fields of t.
func (b *typeBuilder) structOf(t itype) (reflect.Type, error) {
	fs := t.get("field")
	var fields []reflect.StructField
	for i, f := range t.fields() {
		r, err := b.typeOf(f)
		if err != nil {
			return nil, err
		}
		name := field(fs.Index(i), "name").String()
		if name[0] < 'A' || name[0] > 'Z' {
			name = "X" + name
		}
		fields = append(fields, reflect.StructField{Name: name, Type: r, Tag: reflect.StructTag(field(fs.Index(i), "tag").String())})
	}
	return reflect.StructOf(fields), nil
}

// typeOf is the reflect type of t. For a struct that is not built it is what stands for it.
func (b *typeBuilder) typeOf(t itype) (reflect.Type, error) {
	t = b.whole(t)
	if r := t.rtype(); r != nil {
		return r, nil
	}
	if t.isStruct() {
		s := b.structs[t.name()]
		switch {
		case s == nil:
			return nil, errUnknownType
		case s.built != nil:
			return s.built, nil
		}
		return s.stand, nil
	}
	if t.cat() == catStruct {
		return b.structOf(t)
	}
	if r := basic[t.cat()]; r != nil {
		return r, nil
	}
	var key, val reflect.Type
	var err error
	if p := t.part("val"); !p.IsNil() {
		if val, err = b.typeOf(p); err != nil {
			return nil, err
		}
	}
	if p := t.part("key"); !p.IsNil() {
		if key, err = b.typeOf(p); err != nil {
			return nil, err
		}
	}
	switch t.cat() {
	case catLinked:
		return val, nil
	case catArray:
		return reflect.ArrayOf(int(t.get("length").Int()), val), nil
	case catSlice, catVariadic:
		return reflect.SliceOf(val), nil
	case catPtr:
		return reflect.PointerTo(val), nil
	case catMap:
		return reflect.MapOf(key, val), nil
	case catChan:
		return reflect.ChanOf(reflect.BothDir, val), nil
	case catChanSend:
		return reflect.ChanOf(reflect.SendDir, val), nil
	case catChanRecv:
		return reflect.ChanOf(reflect.RecvDir, val), nil
	case catInterface:
		if t.get("field").Len() == 0 {
			return reflect.TypeFor[any](), nil
		}
	case catFunc:
		args := list(t.get("arg"))
		in, err := b.typesOf(args)
		if err != nil {
			return nil, err
		}
		out, err := b.typesOf(list(t.get("ret")))
		if err != nil {
			return nil, err
		}
		return reflect.FuncOf(in, out, len(args) > 0 && args[len(args)-1].cat() == catVariadic), nil
	}
	return nil, errUnknownType
}

func (b *typeBuilder) typesOf(ts []itype) (rs []reflect.Type, err error) {
	for _, t := range ts {
		r, err := b.typeOf(t)
		if err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

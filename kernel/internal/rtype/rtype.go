// Package rtype makes types at run time that compiled code takes for declared ones: they have a name, unexported and embedded fields,
// and methods that interfaces, package reflect and all that stands on it (fmt, encoding/json, text/template, errors) find and call.
//
// Package reflect makes types too, but without names and methods. A type made here is a copy of one of those, with the same layout
// in memory, so that a value changes its type by changing one word: see Retype.
package rtype

import (
	"encoding/binary"
	"hash/maphash"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// Package reflect's own layout of types (Go 1.26, internal/abi); TestLayout notices when it changes.
type (
	common struct {
		size, ptrBytes uintptr
		hash           uint32
		flag           uint8
		_, _, _        uint8
		_, _           unsafe.Pointer
		str, ptrToThis int32
	}
	field struct {
		name, typ unsafe.Pointer
		offset    uintptr
	}
	structType struct {
		common
		pkgPath unsafe.Pointer
		fields  []field
	}
	elemType struct { // pointers, slices, arrays and channels start so
		common
		elem unsafe.Pointer
	}
	arrayType struct {
		elemType
		slice unsafe.Pointer
		len   uintptr
	}
	mapType struct {
		common
		key, elem unsafe.Pointer
		_         [6]uintptr
	}
	funcType struct {
		_ common
		_ [2]uint16
		_ uint32
	}
	uncommon struct {
		pkgPath     int32
		all, public uint16
		methods     uint32 // their offset from here
		_           uint32
	}
	method struct{ name, typ, byWord, byValue int32 }
)

const (
	flagUncommon = 1 << iota
	flagExtraStar
	flagNamed
)

// sizes of what stands for a type before its uncommon part.
var sizes = map[reflect.Kind]uintptr{
	reflect.Struct: unsafe.Sizeof(structType{}), reflect.Pointer: unsafe.Sizeof(elemType{}), reflect.Slice: unsafe.Sizeof(elemType{}),
	reflect.Array: unsafe.Sizeof(arrayType{}), reflect.Chan: unsafe.Sizeof(elemType{}) + 8, reflect.Map: unsafe.Sizeof(mapType{}),
	reflect.Func: unsafe.Sizeof(funcType{}), reflect.Interface: unsafe.Sizeof(structType{}),
}

func sizeOf(k reflect.Kind) uintptr {
	if size, ok := sizes[k]; ok {
		return size
	}
	return unsafe.Sizeof(common{})
}

// Pointer is the address of a type, by which it is known.
func Pointer(t reflect.Type) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1] }

// PointerOf is the address of the type of an interface's value, nil for none.
func PointerOf(x any) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(&x))[0] }

// Retype gives the value of an interface another type, which must have the same layout.
func Retype(x any, t reflect.Type) any {
	if x != nil {
		(*[2]unsafe.Pointer)(unsafe.Pointer(&x))[0] = Pointer(t)
	}
	return x
}

// Method is a method of a type to be made.
type Method struct {
	Name string
	Type reflect.Type // without the receiver
	// Func takes the receiver, as an interface's value of the type that the new one was made from, before what Type takes.
	Func reflect.Value
}

// Type is a type in the making. It may stand in other types from the start, and is used when its parts are set.
type Type struct {
	reflect.Type // the new type
	from         reflect.Type
	block        []uintptr
	keep         []any // what block points to
}

// New starts a copy of from that prints as name and has room for a number of methods: a declared type of package pkg, or, with pkg "",
// one without a name.
func New(from reflect.Type, name, pkg string, methods int) *Type {
	size := sizeOf(from.Kind())
	tail := uintptr(0)
	if from.Kind() == reflect.Func {
		tail = uintptr(from.NumIn()+from.NumOut()) * 8
	}
	up := unsafe.Sizeof(uncommon{})
	t := &Type{from: from, block: make([]uintptr, (size+up+tail+uintptr(methods)*unsafe.Sizeof(method{}))/8)}
	start := unsafe.Pointer(unsafe.SliceData(t.block))
	old := Pointer(from)
	copy(unsafe.Slice((*byte)(start), size), unsafe.Slice((*byte)(old), size))
	c := (*common)(start)
	if tail > 0 { // the parameters and results stand behind the uncommon part, if there is one
		at := size
		if c.flag&flagUncommon != 0 {
			at += up
		}
		copy(unsafe.Slice((*byte)(unsafe.Add(start, size+up)), tail), unsafe.Slice((*byte)(unsafe.Add(old, at)), tail))
	}
	c.flag = c.flag&^(flagExtraStar|flagNamed) | flagUncommon
	if pkg != "" {
		c.flag |= flagNamed
	}
	c.hash = uint32(maphash.Comparable(seed, start))
	c.str = t.offset(encode(name, "", true, false))
	c.ptrToThis = 0
	u := (*uncommon)(unsafe.Add(start, size))
	*u = uncommon{methods: uint32(up + tail)}
	if pkg != "" {
		u.pkgPath = t.offset(encode(pkg, "", true, false))
	}
	t.keep = append(t.keep, from)
	t.Type = typeAt(start)
	mu.Lock()
	defer mu.Unlock()
	all = append(all, t)
	return t
}

// all are the types that were made: values of them may be anywhere, and what holds a value does not hold its type for the collector.
var (
	mu  sync.Mutex
	all []*Type
)

var seed = maphash.MakeSeed()

// typeAt is the type at an address.
func typeAt(p unsafe.Pointer) reflect.Type {
	var x any
	(*[2]unsafe.Pointer)(unsafe.Pointer(&x))[0] = p
	return reflect.TypeOf(x)
}

func (t *Type) start() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(t.block)) }

// use returns the address of a part, which is kept as long as t.
func (t *Type) use(part reflect.Type) unsafe.Pointer {
	t.keep = append(t.keep, part)
	return Pointer(part)
}

// offset is the number by which the run time finds a name, type or function.
func (t *Type) offset(p unsafe.Pointer) int32 {
	t.keep = append(t.keep, p)
	return addReflectOff(p)
}

// SetPointer makes p the type of pointers to t.
func (t *Type) SetPointer(p *Type) {
	(*common)(t.start()).ptrToThis = t.offset(Pointer(p.Type))
	p.SetElem(t.Type)
}

// SetElem sets the element of a pointer, slice, array, channel or map.
func (t *Type) SetElem(e reflect.Type) {
	switch t.Kind() {
	case reflect.Map:
		(*mapType)(t.start()).elem = t.use(e)
	case reflect.Array:
		(*arrayType)(t.start()).slice = t.use(reflect.SliceOf(e))
		fallthrough
	default:
		(*elemType)(t.start()).elem = t.use(e)
	}
}

// SetKey sets the key of a map.
func (t *Type) SetKey(k reflect.Type) { (*mapType)(t.start()).key = t.use(k) }

// SetFields sets the fields of a struct of package pkg: their names, types, tags, and whether they are embedded.
func (t *Type) SetFields(pkg string, fs []reflect.StructField) {
	s := (*structType)(t.start())
	old := s.fields
	s.fields = make([]field, len(old))
	path := encode(pkg, "", true, false)
	s.pkgPath = path
	for i, f := range fs {
		name := encode(f.Name, string(f.Tag), f.PkgPath == "", f.Anonymous)
		t.keep = append(t.keep, name)
		s.fields[i] = field{name, t.use(f.Type), old[i].offset}
	}
	t.keep = append(t.keep, path, s.fields)
}

// Signature returns the parameters and results of a function's type.
func Signature(ft reflect.Type) (in, out []reflect.Type) {
	for i := range ft.NumIn() {
		in = append(in, ft.In(i))
	}
	for i := range ft.NumOut() {
		out = append(out, ft.Out(i))
	}
	return in, out
}

// SetFieldType gives a field of a struct that package reflect has built another type of the same shape.
func SetFieldType(s reflect.Type, i int, t reflect.Type) {
	(*structType)(Pointer(s)).fields[i].typ = Pointer(t)
}

// SetSignature sets the parameters and results of a function.
func (t *Type) SetSignature(ts []reflect.Type) {
	at := unsafe.Add(t.start(), unsafe.Sizeof(funcType{})+unsafe.Sizeof(uncommon{}))
	for i, p := range ts {
		unsafe.Slice((*unsafe.Pointer)(at), len(ts))[i] = t.use(p)
	}
}

// SetMethods gives t its methods, as many as New was told. It returns false, and t has none, when this process has made as many methods
// as it can.
func (t *Type) SetMethods(methods []Method) bool {
	if len(methods) == 0 {
		return true
	}
	methods = slices.SortedFunc(slices.Values(methods), func(a, b Method) int { return strings.Compare(a.Name, b.Name) })
	u := (*uncommon)(unsafe.Add(t.start(), sizeOf(t.Kind())))
	out := unsafe.Slice((*method)(unsafe.Add(unsafe.Pointer(u), u.methods)), len(methods))
	for i, m := range methods {
		word, ok := stub(t.byWord(m))
		value := word
		if k := t.Kind(); ok && k != reflect.Pointer {
			value, ok = stub(t.byValue(m))
		}
		if !ok {
			return false
		}
		out[i] = method{t.offset(encode(m.Name, "", true, false)), t.offset(Pointer(m.Type)), addReflectOff(word), addReflectOff(value)}
		t.keep = append(t.keep, m.Type)
	}
	u.all, u.public = uint16(len(methods)), uint16(len(methods))
	return true
}

// byWord is m as interfaces call it: the receiver is the word that an interface holds.
func (t *Type) byWord(m Method) reflect.Value {
	return t.forward(m, reflect.TypeFor[unsafe.Pointer](), func(r reflect.Value) any {
		var x any
		*(*[2]unsafe.Pointer)(unsafe.Pointer(&x)) = [2]unsafe.Pointer{Pointer(t.from), r.UnsafePointer()}
		return x
	})
}

// byValue is m as a function of the receiver's value.
func (t *Type) byValue(m Method) reflect.Value {
	return t.forward(m, t.from, func(r reflect.Value) any { return r.Interface() })
}

// forward is m as a function whose receiver is given in another form.
func (t *Type) forward(m Method, receiver reflect.Type, value func(reflect.Value) any) reflect.Value {
	ft := m.Func.Type()
	in, out := Signature(ft)
	in[0] = receiver
	call := m.Func.Call
	if ft.IsVariadic() {
		call = m.Func.CallSlice
	}
	return reflect.MakeFunc(reflect.FuncOf(in, out, ft.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		r := value(args[0])
		args[0] = reflect.ValueOf(&r).Elem()
		return call(args)
	})
}

// encode is a name as package reflect keeps it.
func encode(name, tag string, exported, embedded bool) unsafe.Pointer {
	b := []byte{0}
	if exported {
		b[0] |= 1
	}
	if embedded {
		b[0] |= 1 << 3
	}
	b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	if tag != "" {
		b[0] |= 1 << 1
		b = append(binary.AppendUvarint(b, uint64(len(tag))), tag...)
	}
	return unsafe.Pointer(unsafe.SliceData(b))
}

// addReflectOff gives an address a number for the run time, which keeps what is there from then on.
//
//go:linkname addReflectOff reflect.addReflectOff
//go:noescape
func addReflectOff(p unsafe.Pointer) int32

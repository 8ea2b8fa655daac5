package rt

import (
	"fmt"
	"go/token"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"gobayes/kernel/internal/rtype"
)

// TD describes a type of a cell that the interpreter's type does not tell: its name, its methods (receiver first) and the descriptors of
// its parts, nil for parts that need none. An interface holds a value of such a type with the type that is made from the descriptor, so
// that compiled code sees what it would see of a compiled type.
type TD struct {
	name, pkg string       // pkg is "" for a type without a name
	from      reflect.Type // the interpreter's
	methods   map[string]tdMethod
	pointer   *TD // of pointers to this type, where they have methods of their own
	elem, key *TD
	fields    []tdField // of a struct
	params    []*TD     // parameters and results of a function
	made      reflect.Type
}

type tdMethod struct {
	fn  reflect.Value
	sig *TD
}

type tdField struct {
	name, tag string
	embedded  bool
	typ       *TD
}

var (
	making sync.Mutex // held while types are made
	known  sync.Map   // *TD by the address of the type that was made from it
)

// NewTD and its setters are called by lowered code only. p is a nil pointer to the interpreter's type.
func NewTD(name, pkg string, p any) *TD {
	return &TD{name: name, pkg: pkg, from: reflect.TypeOf(p).Elem(), methods: map[string]tdMethod{}}
}

func SetMethod(t *TD, name string, fn any, sig *TD) {
	t.methods[name] = tdMethod{reflect.ValueOf(fn), sig}
}
func SetPointer(t, p *TD) { t.pointer = p }
func SetElem(t, e *TD)    { t.elem = e }
func SetKey(t, e *TD)     { t.key = e }
func AddParam(t, e *TD)   { t.params = append(t.params, e) }
func AddField(t *TD, name string, e *TD, embedded bool, tag string) {
	t.fields = append(t.fields, tdField{name, tag, embedded, e})
}

// Mk makes an interface of v. It is a function because a composite literal assigned to an interface variable is retyped by the
// interpreter.
func Mk(t *TD, v any) any {
	if v == nil { // a nil function that the interpreter holds as interface{}
		v = reflect.Zero(t.from).Interface()
	}
	return rtype.Retype(v, t.real())
}

// Split returns the descriptor of what x holds and the value as the interpreter knows it, nil and x if its type is not a cell's.
func Split(x any) (*TD, any) {
	if x == nil {
		return nil, nil
	}
	if t, ok := known.Load(rtype.PointerOf(x)); ok {
		t := t.(*TD)
		return t, rtype.Retype(x, t.from)
	}
	return nil, x
}

// As returns the value as the interpreter knows it if x holds one of the described type.
func As(x any, t *TD) (any, bool) {
	if x == nil {
		return nil, false
	}
	if rtype.PointerOf(x) != rtype.Pointer(t.real()) {
		return nil, false
	}
	return rtype.Retype(x, t.from), true
}

// real is the type that is made from t.
func (t *TD) real() reflect.Type {
	making.Lock()
	defer making.Unlock()
	return t.of(t.from)
}

// make sets t.made.
func (t *TD) make() {
	from := t.from
	switch k := from.Kind(); {
	case t.pkg != "" || k == reflect.Struct || k == reflect.Interface:
		t.declare()
	case k == reflect.Pointer:
		t.made = reflect.PointerTo(t.elem.of(from.Elem()))
	case k == reflect.Slice:
		t.made = reflect.SliceOf(t.elem.of(from.Elem()))
	case k == reflect.Array:
		t.made = reflect.ArrayOf(from.Len(), t.elem.of(from.Elem()))
	case k == reflect.Chan:
		t.made = reflect.ChanOf(from.ChanDir(), t.elem.of(from.Elem()))
	case k == reflect.Map:
		t.made = reflect.MapOf(t.key.of(from.Key()), t.elem.of(from.Elem()))
	case k == reflect.Func:
		ps := t.signature(from)
		t.made = reflect.FuncOf(ps[:from.NumIn()], ps[from.NumIn():], from.IsVariadic())
	default:
		t.made = from
	}
	known.LoadOrStore(rtype.Pointer(t.made), t)
}

// of is the type for a part that the interpreter knows as from; t may be nil.
func (t *TD) of(from reflect.Type) reflect.Type {
	if t == nil || from.Kind() != t.from.Kind() { // held as interface{}
		return from
	}
	if t.made == nil {
		t.make()
	}
	return t.made
}

// declare makes a type with a name of its own, or a struct.
func (t *TD) declare() {
	from := t.from
	k := from.Kind()
	name := t.name
	if k == reflect.Struct && t.pkg == "" {
		name = t.spelled()
	}
	typ := rtype.New(from, name, t.pkg, len(t.methods))
	t.made = typ.Type
	var ptr *rtype.Type
	pointer := t.pointer
	if pointer == nil && len(t.methods) > 0 {
		pointer = &TD{methods: t.byPointer()}
	}
	if pointer != nil {
		pointer.from = reflect.PointerTo(from)
		ptr = rtype.New(pointer.from, "*"+name, "", len(pointer.methods))
		pointer.made = ptr.Type
		typ.SetPointer(ptr)
	}
	switch k {
	case reflect.Struct:
		fs := make([]reflect.StructField, len(t.fields))
		for i, f := range t.fields {
			fs[i] = reflect.StructField{Name: f.name, Tag: reflect.StructTag(f.tag), Anonymous: f.embedded, Type: f.typ.of(from.Field(i).Type)}
			if !token.IsExported(f.name) {
				fs[i].PkgPath = "main"
			}
		}
		typ.SetFields("main", fs)
	case reflect.Map:
		typ.SetKey(t.key.of(from.Key()))
		typ.SetElem(t.elem.of(from.Elem()))
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
		typ.SetElem(t.elem.of(from.Elem()))
	case reflect.Func:
		typ.SetSignature(t.signature(from))
	}
	t.setMethods(typ)
	if ptr != nil {
		pointer.setMethods(ptr)
	}
	if t.pointer != nil {
		known.Store(rtype.Pointer(ptr.Type), pointer)
	}
}

// setMethods gives typ the methods of t.
func (t *TD) setMethods(typ *rtype.Type) {
	ms := make([]rtype.Method, 0, len(t.methods))
	for name, m := range t.methods {
		ft := m.fn.Type()
		in, out := rtype.Signature(ft)
		ms = append(ms, rtype.Method{Name: name, Type: m.sig.of(reflect.FuncOf(in[1:], out, ft.IsVariadic())), Func: m.fn})
	}
	if !typ.SetMethods(ms) {
		noStubs.Do(func() {
			io.WriteString(Stderr, "bayesrm: the types of this session have more methods than fit: compiled code does not see those of new types; restart the kernel\n")
		})
	}
}

var noStubs sync.Once

// byPointer are the methods of t as methods of pointers to it.
func (t *TD) byPointer() map[string]tdMethod {
	ms := map[string]tdMethod{}
	for name, m := range t.methods {
		call := m.fn.Call
		if m.fn.Type().IsVariadic() {
			call = m.fn.CallSlice
		}
		ms[name] = tdMethod{reflect.MakeFunc(m.fn.Type(), func(args []reflect.Value) []reflect.Value {
			p := args[0].Elem()
			if p.IsNil() {
				panic(Error{fmt.Sprintf("value method %s.%s called using nil *%s pointer", t.name, name, strings.TrimPrefix(t.name, t.pkg+"."))})
			}
			args[0] = p.Elem()
			return call(args)
		}), m.sig}
	}
	return ms
}

// signature are the types for the parameters and results of a function that the interpreter knows as ft.
func (t *TD) signature(ft reflect.Type) []reflect.Type {
	in, out := rtype.Signature(ft)
	ts := append(in, out...)
	for i, p := range t.params {
		ts[i] = p.of(ts[i])
	}
	return ts
}

// spelled is the type of a struct as package reflect spells it.
func (t *TD) spelled() string {
	var fs []string
	for i, f := range t.fields {
		s := " " + f.typ.of(t.from.Field(i).Type).String()
		if !f.embedded {
			s = " " + f.name + s
		}
		if f.tag != "" {
			s += " " + strconv.Quote(f.tag)
		}
		fs = append(fs, s)
	}
	return "struct {" + strings.Join(fs, ";") + " }"
}

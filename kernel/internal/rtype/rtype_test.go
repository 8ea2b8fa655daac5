package rtype

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
)

type plain = struct {
	A string
	B int
}

// named is a type "main.Named" over plain, with methods by value, and by pointer too on its pointers.
func named(t *testing.T) *Type {
	t.Helper()
	str := Method{"String", reflect.TypeFor[func() string](), reflect.ValueOf(func(r any) string { return "<" + r.(plain).A + ">" })}
	pstr := Method{"String", str.Type, reflect.ValueOf(func(r any) string { return str.Func.Call([]reflect.Value{reflect.ValueOf(*r.(*plain))})[0].String() })}
	set := Method{"UnmarshalJSON", reflect.TypeFor[func([]byte) error](), reflect.ValueOf(func(r any, b []byte) error {
		r.(*plain).A = string(b)
		return nil
	})}
	sum := Method{"Sum", reflect.TypeFor[func(float64, int, string, ...int) (int, error)](), reflect.ValueOf(func(r any, f float64, a int, s string, more ...int) (int, error) {
		n := r.(plain).B + a + int(f) + len(s)
		for _, m := range more {
			n += m
		}
		return n, errors.New(s)
	})}
	typ := New(reflect.TypeFor[plain](), "main.Named", "main", 2)
	ptr := New(reflect.TypeFor[*plain](), "*main.Named", "", 2)
	typ.SetPointer(ptr)
	typ.SetFields("main", []reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: `json:"a"`}, {Name: "b", PkgPath: "main", Type: reflect.TypeFor[int]()}})
	if !typ.SetMethods([]Method{sum, str}) || !ptr.SetMethods([]Method{set, pstr}) {
		t.Fatal("no stubs")
	}
	return typ
}

func TestLayout(t *testing.T) {
	typ := named(t)
	if got := fmt.Sprintln(typ.Type, typ.Name(), typ.PkgPath(), typ.NumMethod(), typ.Field(0).Tag, typ.Field(1).Name, typ.Field(1).PkgPath, reflect.PointerTo(typ.Type).NumMethod()); got != "main.Named Named main 2 json:\"a\" b main 2\n" {
		t.Errorf("%q", got)
	}
	x := Retype(plain{"q", 4}, typ.Type)
	if got := fmt.Sprintf("%v %T %+v", x, x, []any{x, reflect.ValueOf(x).Kind()}); got != "<q> main.Named [<q> struct]" {
		t.Error(got)
	}
	slice := reflect.New(reflect.SliceOf(typ.Type))
	if err := json.Unmarshal([]byte(`["u", 7]`), slice.Interface()); err != nil || fmt.Sprint(slice.Elem()) != `[<"u"> <7>]` {
		t.Error(err, slice.Elem())
	}
	out := reflect.ValueOf(x).MethodByName("Sum").Call([]reflect.Value{reflect.ValueOf(2.0), reflect.ValueOf(3), reflect.ValueOf("four"), reflect.ValueOf(10), reflect.ValueOf(20)})
	if out[0].Int() != 43 || fmt.Sprint(out[1]) != "four" {
		t.Error(out)
	}
	m, _ := typ.MethodByName("Sum")
	if out := m.Func.Call([]reflect.Value{reflect.ValueOf(x), reflect.ValueOf(2.0), reflect.ValueOf(3), reflect.ValueOf("four")}); out[0].Int() != 13 {
		t.Error(out)
	}
	if x != Retype(plain{"q", 4}, typ.Type) || x == any(plain{"q", 4}) || Retype(x, typ.from) != any(plain{"q", 4}) {
		t.Error("equality")
	}
	if m := map[any]int{x: 1}; m[Retype(plain{"q", 4}, typ.Type)] != 1 || m[plain{"q", 4}] != 0 {
		t.Error("keys")
	}
}

func TestStubs(t *testing.T) {
	typ := named(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 2000 {
				x := Retype(plain{fmt.Sprint(i, j), j}, typ.Type)
				if s := x.(fmt.Stringer).String(); s != fmt.Sprintf("<%d %d>", i, j) {
					t.Error(s)
					return
				}
				if j%100 == 0 {
					runtime.GC()
				}
			}
		})
	}
	wg.Wait()
	defer used.Store(used.Swap(numStubs - 6)) // the last stubs are where they are looked for, and then there are none
	last := named(t)
	if s := Retype(plain{A: "last"}, last.Type).(fmt.Stringer).String(); s != "<last>" {
		t.Error(s)
	}
	if _, ok := stub(reflect.ValueOf(func() {})); ok {
		t.Error("one stub too many")
	}
}

package rt

import (
	"reflect"
	"unsafe"
)

// Symbols is this package's table for the interpreter.
func Symbols() map[string]reflect.Value {
	return map[string]reflect.Value{
		"Add": reflect.ValueOf(Add), "AddField": reflect.ValueOf(AddField), "AddParam": reflect.ValueOf(AddParam), "As": reflect.ValueOf(As), "AssertErr": reflect.ValueOf(AssertErr), "At": reflect.ValueOf(At),
		"CheckErr": reflect.ValueOf(CheckErr), "ClearMap": reflect.ValueOf(ClearMap), "Complex": reflect.ValueOf(Complex), "Context": reflect.ValueOf(Context),
		"Defer": reflect.ValueOf(Defer), "Deferring": reflect.ValueOf(Deferring), "PanicOf": reflect.ValueOf(PanicOf), "Recovered": reflect.ValueOf(Recovered),
		"Eq": reflect.ValueOf(Eq), "ErrorsAs": reflect.ValueOf(ErrorsAs), "Go": reflect.ValueOf(Go), "GoPanic": reflect.ValueOf(GoPanic), "Gone": reflect.ValueOf(Gone),
		"HasMethods": reflect.ValueOf(HasMethods), "Holds": reflect.ValueOf(Holds), "MethodOf": reflect.ValueOf(MethodOf), "Mk": reflect.ValueOf(Mk), "NewTD": reflect.ValueOf(NewTD),
		"NotNil":   reflect.ValueOf(NotNil),
		"NilPanic": reflect.ValueOf(NilPanic), "Print": reflect.ValueOf(Print), "Println": reflect.ValueOf(Println), "Reinterpret": reflect.ValueOf(Reinterpret),
		"SetElem": reflect.ValueOf(SetElem), "SetKey": reflect.ValueOf(SetKey), "SetMethod": reflect.ValueOf(SetMethod), "SetPointer": reflect.ValueOf(SetPointer), "Slice": reflect.ValueOf(Slice), "SliceData": reflect.ValueOf(SliceData),
		"Split": reflect.ValueOf(Split), "String": reflect.ValueOf(String), "StringData": reflect.ValueOf(StringData),
		"Select": reflect.ValueOf(Select), "Show": reflect.ValueOf(Show), "Stderr": reflect.ValueOf(&Stderr).Elem(), "Stdin": reflect.ValueOf(&Stdin).Elem(), "Stdout": reflect.ValueOf(&Stdout).Elem(),
		"WithNames": reflect.ValueOf(WithNames),
		"Defers":    reflect.ValueOf((*Defers)(nil)), "UnsafePointer": reflect.ValueOf((*unsafe.Pointer)(nil)), "TD": reflect.ValueOf((*TD)(nil)),
	}
}

package rt

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// Println is the builtin println: to the cell's standard error.
func Println(a ...any) {
	var ss []string
	for _, x := range a {
		ss = append(ss, builtinForm(x))
	}
	io.WriteString(Stderr, strings.Join(ss, " ")+"\n")
}

// Print is the builtin print.
func Print(a ...any) {
	for _, x := range a {
		io.WriteString(Stderr, builtinForm(x))
	}
}

// builtinForm is a value as the builtins of Go 1.26 print it.
func builtinForm(a any) string {
	if a == nil {
		return "(0x0,0x0)" // an interface without a value
	}
	v := reflect.ValueOf(a)
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Float64, reflect.Float32:
		return builtinFloat(v.Float(), v.Type().Bits())
	case reflect.Complex128, reflect.Complex64:
		im := builtinFloat(imag(v.Complex()), v.Type().Bits()/2)
		if im[0] != '+' && im[0] != '-' {
			im = "+" + im
		}
		return "(" + builtinFloat(real(v.Complex()), v.Type().Bits()/2) + im + "i)"
	case reflect.Slice:
		return fmt.Sprintf("[%d/%d]%#x", v.Len(), v.Cap(), v.Pointer())
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return fmt.Sprintf("%#x", v.Pointer())
	}
	switch {
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	}
	return fmt.Sprint(a)
}

func builtinFloat(f float64, bits int) string { return strconv.FormatFloat(f, 'g', -1, bits) }

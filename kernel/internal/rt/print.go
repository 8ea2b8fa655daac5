package rt

import (
	"fmt"
	"io"
	"reflect"
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

// builtinForm is a value as the builtins print it: floats as +1.500000e+000.
func builtinForm(a any) string {
	if a == nil {
		return "nil"
	}
	v := reflect.ValueOf(Raw(a))
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return fmt.Sprint(v.Bool())
	case reflect.Float64, reflect.Float32:
		return builtinFloat(v.Float())
	case reflect.Complex128, reflect.Complex64:
		return "(" + builtinFloat(real(v.Complex())) + builtinFloat(imag(v.Complex())) + "i)"
	}
	switch {
	case v.CanInt():
		return fmt.Sprint(v.Int())
	case v.CanUint():
		return fmt.Sprint(v.Uint())
	}
	return fmt.Sprint(a)
}

func builtinFloat(f float64) string {
	if f != f {
		return "NaN"
	}
	s := fmt.Sprintf("%+.6e", f)
	if i := strings.LastIndexAny(s, "+-"); i > 0 && len(s)-i == 3 {
		s = s[:i+1] + "0" + s[i+1:]
	}
	return s
}

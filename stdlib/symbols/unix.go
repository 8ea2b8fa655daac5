//go:build linux || darwin

package symbols

func init() { unix["syscall"] = tables{syscallUnixTable, syscallUnixConstants} }

package rt

import "unsafe"

// label identifies the profiler labels of the calling goroutine. Labels are the one thing that a goroutine inherits from
// the one that started it, also when compiled code does, so that a print finds its cell. The runtime keeps this name for
// packages that read labels; package pprof can only set them.
//
//go:linkname label runtime/pprof.runtime_getProfLabel
func label() unsafe.Pointer

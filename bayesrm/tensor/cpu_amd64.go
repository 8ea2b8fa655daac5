package tensor

import "golang.org/x/sys/cpu"

func levels() []int {
	have := []int{levelGo}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		have = append([]int{levelAVX2}, have...)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL {
			have = append([]int{levelAVX512}, have...)
		}
	}
	return have
}

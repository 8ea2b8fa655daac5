package tensor

// Every arm64 processor has NEON.
func levels() []int { return []int{levelNEON, levelGo} }

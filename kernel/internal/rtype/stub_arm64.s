#include "textflag.h"

// Stub i jumps to the function closures[i], whose context is R26; R27 holds nothing by Go's calling convention.
#define S1(i) PCALIGN $16; MOVD ·closures+((i)*8)(SB), R26; MOVD (R26), R27; JMP (R27)
#include "stub.h"

TEXT ·stubs(SB), NOSPLIT, $0-8
	MOVD $·code(SB), R0
	MOVD R0, ret+0(FP)
	RET

#include "textflag.h"

// Stub i jumps to the function closures[i], whose context is DX; R12 holds nothing by Go's calling convention.
#define S1(i) PCALIGN $16; MOVQ ·closures+((i)*8)(SB), DX; MOVQ (DX), R12; JMP R12
#include "stub.h"

TEXT ·stubs(SB), NOSPLIT, $0-8
	MOVQ $·code(SB), AX
	MOVQ AX, ret+0(FP)
	RET

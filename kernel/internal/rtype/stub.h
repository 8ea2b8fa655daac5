// The stubs of all architectures, each of which defines S1.

#define S4(i) S1(i); S1((i)+1); S1((i)+2); S1((i)+3)
#define S16(i) S4(i); S4((i)+4); S4((i)+8); S4((i)+12)
#define S64(i) S16(i); S16((i)+16); S16((i)+32); S16((i)+48)
#define S256(i) S64(i); S64((i)+64); S64((i)+128); S64((i)+192)
#define S1K(i) S256(i); S256((i)+256); S256((i)+512); S256((i)+768)
#define S4K(i) S1K(i); S1K((i)+1024); S1K((i)+2048); S1K((i)+3072)
#define S16K(i) S4K(i); S4K((i)+4096); S4K((i)+8192); S4K((i)+12288)

TEXT ·code(SB), NOSPLIT|NOFRAME, $0-0
	S16K(0)
	S16K(16384)
	S16K(32768)
	S16K(49152)
	RET

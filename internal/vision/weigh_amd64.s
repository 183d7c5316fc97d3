#include "textflag.h"

// Packing works within 128-bit lanes; this puts the eight groups of four bytes
// back into their order.
DATA order<>+0(SB)/4, $0
DATA order<>+4(SB)/4, $4
DATA order<>+8(SB)/4, $1
DATA order<>+12(SB)/4, $5
DATA order<>+16(SB)/4, $2
DATA order<>+20(SB)/4, $6
DATA order<>+24(SB)/4, $3
DATA order<>+28(SB)/4, $7
GLOBL order<>(SB), RODATA|NOPTR, $32

// One half in fixed point, for rounding: 1 << (precision-1).
DATA half<>+0(SB)/4, $0x200000
GLOBL half<>(SB), RODATA|NOPTR, $4

// func weighVectors(dst, rows *byte, stride, n int, weights *uint64, taps int)
TEXT ·weighVectors(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ rows+8(FP), SI
	MOVQ stride+16(FP), DX
	MOVQ n+24(FP), CX
	MOVQ weights+32(FP), R8
	MOVQ taps+40(FP), R9
	VMOVDQU order<>(SB), Y8
	VPBROADCASTD half<>(SB), Y9

block: // 32 bytes of the output: four sums of eight
	VMOVDQA Y9, Y0
	VMOVDQA Y9, Y1
	VMOVDQA Y9, Y2
	VMOVDQA Y9, Y3
	MOVQ SI, R10
	MOVQ R8, R11
	MOVQ R9, R12

tap:
	VPBROADCASTD (R11), Y4
	VPMOVZXBD 0(R10), Y5
	VPMOVZXBD 8(R10), Y6
	VPMULLD Y4, Y5, Y5
	VPMULLD Y4, Y6, Y6
	VPADDD Y5, Y0, Y0
	VPADDD Y6, Y1, Y1
	VPMOVZXBD 16(R10), Y5
	VPMOVZXBD 24(R10), Y6
	VPMULLD Y4, Y5, Y5
	VPMULLD Y4, Y6, Y6
	VPADDD Y5, Y2, Y2
	VPADDD Y6, Y3, Y3
	ADDQ DX, R10
	ADDQ $8, R11
	DECQ R12
	JNZ tap

	// Drop the fraction; packing with saturation clips to 0–255.
	VPSRAD $22, Y0, Y0
	VPSRAD $22, Y1, Y1
	VPSRAD $22, Y2, Y2
	VPSRAD $22, Y3, Y3
	VPACKSSDW Y1, Y0, Y0
	VPACKSSDW Y3, Y2, Y2
	VPACKUSWB Y2, Y0, Y0
	VPERMD Y0, Y8, Y0
	VMOVDQU Y0, (DI)
	ADDQ $32, DI
	ADDQ $32, SI
	SUBQ $32, CX
	JNZ block

	VZEROUPPER
	RET

//go:build !purego && !portable

#include "textflag.h"

DATA updateOnes<>+0(SB)/8, $0x3ff0000000000000
GLOBL updateOnes<>(SB), RODATA|NOPTR, $8

DATA updateSign<>+0(SB)/4, $0x80000000
GLOBL updateSign<>(SB), RODATA|NOPTR, $4

// func scoresAVX2(keys *uint64, ids *uint32, sums *float32, squares *float64, n int, own float64)
TEXT ·scoresAVX2(SB), NOSPLIT, $0-48
	MOVQ keys+0(FP), DI
	MOVQ ids+8(FP), SI
	MOVQ sums+16(FP), DX
	MOVQ squares+24(FP), BX
	MOVQ n+32(FP), CX
	VBROADCASTSD own+40(FP), Y14
	VBROADCASTSD updateOnes<>(SB), Y13
	VPBROADCASTD updateSign<>(SB), X12
	VPCMPEQD Y11, Y11, Y11
	XORL AX, AX
loop:
	CMPQ AX, CX
	JGE  done
	VMOVDQU (SI)(AX*4), X0
	VMOVDQA Y11, Y3
	VGATHERDPD Y3, (BX)(X0*8), Y1
	VMULPD Y1, Y14, Y1
	VSQRTPD Y1, Y1
	VCVTPS2PD (DX)(AX*4), Y2
	VDIVPD Y1, Y2, Y2
	VMINPD Y13, Y2, Y2
	VCVTPD2PSY Y2, X2
	VPOR X12, X2, X2
	VPXOR X11, X0, X0
	VPUNPCKLDQ X2, X0, X3
	VPUNPCKHDQ X2, X0, X4
	VMOVDQU X3, (DI)(AX*8)
	VMOVDQU X4, 16(DI)(AX*8)
	ADDQ $4, AX
	JMP  loop
done:
	VZEROUPPER
	RET

// func anySlotAVX2(slots *float32, ids *uint32, n int) bool
TEXT ·anySlotAVX2(SB), NOSPLIT, $0-25
	MOVQ slots+0(FP), BX
	MOVQ ids+8(FP), SI
	MOVQ n+16(FP), CX
	VPCMPEQD Y11, Y11, Y11
	VPXOR Y5, Y5, Y5
	XORL AX, AX
anyloop:
	CMPQ AX, CX
	JGE  anydone
	VMOVDQU (SI)(AX*4), Y0
	VMOVDQA Y11, Y3
	VPXOR Y1, Y1, Y1
	VPGATHERDD Y3, (BX)(Y0*4), Y1
	VPOR Y1, Y5, Y5
	ADDQ $8, AX
	JMP  anyloop
anydone:
	VPTEST Y5, Y5
	SETNE ret+24(FP)
	VZEROUPPER
	RET

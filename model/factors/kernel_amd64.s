//go:build !purego && !portable

#include "textflag.h"

// func dotsAtAVX2(dst, x, y *float32, ids *uint32, n, width int)
//
// DI dst, SI x, DX y, R8 ids, CX rows left, R9 width, AX the row, R10 offset in it, BX bytes left of it.
TEXT ·dotsAtAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ ids+24(FP), R8
	MOVQ n+32(FP), CX
	MOVQ width+40(FP), R9

row:
	MOVLQZX (R8), AX
	IMULQ   R9, AX
	ADDQ    DX, AX
	VXORPS  Y0, Y0, Y0
	VXORPS  Y1, Y1, Y1
	VXORPS  Y2, Y2, Y2
	VXORPS  Y3, Y3, Y3
	XORQ    R10, R10
	MOVQ    R9, BX
	SUBQ    $128, BX
	JLT     rest

four:
	VMOVUPS (SI)(R10*1), Y4
	VMOVUPS 32(SI)(R10*1), Y5
	VMOVUPS 64(SI)(R10*1), Y6
	VMOVUPS 96(SI)(R10*1), Y7
	VMULPS  (AX)(R10*1), Y4, Y4
	VMULPS  32(AX)(R10*1), Y5, Y5
	VMULPS  64(AX)(R10*1), Y6, Y6
	VMULPS  96(AX)(R10*1), Y7, Y7
	VADDPS  Y4, Y0, Y0
	VADDPS  Y5, Y1, Y1
	VADDPS  Y6, Y2, Y2
	VADDPS  Y7, Y3, Y3
	ADDQ    $128, R10
	SUBQ    $128, BX
	JGE     four

rest:
	ADDQ $128, BX
	JZ   sum

one:
	VMOVUPS (SI)(R10*1), Y4
	VMULPS  (AX)(R10*1), Y4, Y4
	VADDPS  Y4, Y0, Y0
	ADDQ    $32, R10
	SUBQ    $32, BX
	JNZ     one

sum:
	VADDPS       Y1, Y0, Y0
	VADDPS       Y3, Y2, Y2
	VADDPS       Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS       X1, X0, X0
	VHADDPS      X0, X0, X0
	VHADDPS      X0, X0, X0
	VMOVSS       X0, (DI)
	ADDQ         $4, DI
	ADDQ         $4, R8
	DECQ         CX
	JNZ          row
	VZEROUPPER
	RET

// func combineAtAVX2(dst, coef, y *float32, ids *uint32, n, width, stride int)
//
// DI dst, SI coef, DX y, R8 ids, R9 n, R10 bytes left of dst, R11 stride. A block of dst stays in registers while BX goes through the rows.
TEXT ·combineAtAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ coef+8(FP), SI
	MOVQ y+16(FP), DX
	MOVQ ids+24(FP), R8
	MOVQ n+32(FP), R9
	MOVQ width+40(FP), R10
	MOVQ stride+48(FP), R11

	SUBQ $256, R10
	JLT  under64

block64:
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	VMOVUPS 128(DI), Y4
	VMOVUPS 160(DI), Y5
	VMOVUPS 192(DI), Y6
	VMOVUPS 224(DI), Y7
	XORQ    BX, BX

row64:
	MOVLQZX      (R8)(BX*4), AX
	IMULQ        R11, AX
	ADDQ         DX, AX
	VBROADCASTSS (SI)(BX*4), Y8
	VMULPS       (AX), Y8, Y9
	VMULPS       32(AX), Y8, Y10
	VMULPS       64(AX), Y8, Y11
	VMULPS       96(AX), Y8, Y12
	VADDPS       Y9, Y0, Y0
	VADDPS       Y10, Y1, Y1
	VADDPS       Y11, Y2, Y2
	VADDPS       Y12, Y3, Y3
	VMULPS       128(AX), Y8, Y9
	VMULPS       160(AX), Y8, Y10
	VMULPS       192(AX), Y8, Y11
	VMULPS       224(AX), Y8, Y12
	VADDPS       Y9, Y4, Y4
	VADDPS       Y10, Y5, Y5
	VADDPS       Y11, Y6, Y6
	VADDPS       Y12, Y7, Y7
	INCQ         BX
	CMPQ         BX, R9
	JLT          row64
	VMOVUPS      Y0, (DI)
	VMOVUPS      Y1, 32(DI)
	VMOVUPS      Y2, 64(DI)
	VMOVUPS      Y3, 96(DI)
	VMOVUPS      Y4, 128(DI)
	VMOVUPS      Y5, 160(DI)
	VMOVUPS      Y6, 192(DI)
	VMOVUPS      Y7, 224(DI)
	ADDQ         $256, DI
	ADDQ         $256, DX
	SUBQ         $256, R10
	JGE          block64

under64:
	ADDQ $256, R10
	SUBQ $128, R10
	JLT  under32
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	XORQ    BX, BX

row32:
	MOVLQZX      (R8)(BX*4), AX
	IMULQ        R11, AX
	ADDQ         DX, AX
	VBROADCASTSS (SI)(BX*4), Y8
	VMULPS       (AX), Y8, Y9
	VMULPS       32(AX), Y8, Y10
	VMULPS       64(AX), Y8, Y11
	VMULPS       96(AX), Y8, Y12
	VADDPS       Y9, Y0, Y0
	VADDPS       Y10, Y1, Y1
	VADDPS       Y11, Y2, Y2
	VADDPS       Y12, Y3, Y3
	INCQ         BX
	CMPQ         BX, R9
	JLT          row32
	VMOVUPS      Y0, (DI)
	VMOVUPS      Y1, 32(DI)
	VMOVUPS      Y2, 64(DI)
	VMOVUPS      Y3, 96(DI)
	ADDQ         $128, DI
	ADDQ         $128, DX
	SUBQ         $128, R10

under32:
	ADDQ $128, R10
	JZ   done

block8:
	VMOVUPS (DI), Y0
	XORQ    BX, BX

row8:
	MOVLQZX      (R8)(BX*4), AX
	IMULQ        R11, AX
	VBROADCASTSS (SI)(BX*4), Y8
	VMULPS       (DX)(AX*1), Y8, Y9
	VADDPS       Y9, Y0, Y0
	INCQ         BX
	CMPQ         BX, R9
	JLT          row8
	VMOVUPS      Y0, (DI)
	ADDQ         $32, DI
	ADDQ         $32, DX
	SUBQ         $32, R10
	JNZ          block8

done:
	VZEROUPPER
	RET

// func pairAVX2(x, a, b *float32, width int, step, keep float32)
//
// DI x, SI a, DX b, CX bytes left, Y0 step, Y1 keep. All are read before any is written.
TEXT ·pairAVX2(SB), NOSPLIT, $0-40
	MOVQ         x+0(FP), DI
	MOVQ         a+8(FP), SI
	MOVQ         b+16(FP), DX
	MOVQ         width+24(FP), CX
	VBROADCASTSS step+32(FP), Y0
	VBROADCASTSS keep+36(FP), Y1
	XORQ         R10, R10

pair:
	VMOVUPS (DI)(R10*1), Y2
	VMOVUPS (SI)(R10*1), Y3
	VMOVUPS (DX)(R10*1), Y4
	VSUBPS  Y4, Y3, Y5
	VMULPS  Y0, Y5, Y5
	VMULPS  Y0, Y2, Y6
	VMULPS  Y1, Y2, Y2
	VMULPS  Y1, Y3, Y3
	VMULPS  Y1, Y4, Y4
	VADDPS  Y5, Y2, Y2
	VADDPS  Y6, Y3, Y3
	VSUBPS  Y6, Y4, Y4
	VMOVUPS Y2, (DI)(R10*1)
	VMOVUPS Y3, (SI)(R10*1)
	VMOVUPS Y4, (DX)(R10*1)
	ADDQ    $32, R10
	SUBQ    $32, CX
	JNZ     pair
	VZEROUPPER
	RET

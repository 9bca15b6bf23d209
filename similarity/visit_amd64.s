//go:build !purego && !portable

#include "go_asm.h"
#include "textflag.h"

// The loops of visit.go and their order of operations; what differs is that memory that
// a row needs is asked for while rows before it are at work. Prefetching never faults,
// so positions ahead may be any that lie in the arrays.
//
// SI words, R8 position of the row at work, R9 end of the positions, R10 weight of the
// leading item at the row at work, BX slots, DI the visit.

#define BEGIN(slots) \
	MOVQ v+0(FP), DI; \
	MOVQ visit_words(DI), SI; \
	MOVQ visit_at(DI), R8; \
	MOVQ visit_rows(DI), R9; \
	LEAQ (R8)(R9*4), R9; \
	MOVQ visit_weights(DI), R10; \
	MOVQ slots(DI), BX

#define END \
	SUBQ visit_at(DI), R8; \
	SHRQ $2, R8; \
	MOVQ R8, visit_done(DI); \
	RET

// n is how many entries count of the row whose position is at offset from R8, if they are not all. Uses R12.
#define LENGTH(offset, n, whole) \
	MOVQ visit_lengths(DI), R12; \
	TESTQ R12, R12; \
	JZ   whole; \
	SUBQ visit_at(DI), R12; \
	MOVLQZX offset(R8)(R12*1), n; \
whole:

// Goes to end after the last row, and when the turn is over. Then R13 is the first entry of
// the row, R14 their number; the beginning of the row eight ahead is asked for.
#define ROW(end, whole) \
	CMPQ R8, R9; \
	JGE  end; \
	CMPQ visit_turn(DI), $0; \
	JLE  end; \
	MOVLQZX 32(R8), AX; \
	PREFETCHT0 (SI)(AX*4); \
	PREFETCHT0 64(SI)(AX*4); \
	MOVLQZX (R8), AX; \
	LEAQ 4(SI)(AX*4), R13; \
	MOVLQZX -4(R13), R14; \
	LENGTH(0, R14, whole)

// The rest of the row two ahead is asked for. Uses AX, R11, R12.
#define FETCHROW(line, test, whole) \
	MOVLQZX 8(R8), AX; \
	LEAQ 128(SI)(AX*4), R11; \
	MOVLQZX -128(R11), AX; \
	LENGTH(8, AX, whole); \
	LEAQ -124(R11)(AX*4), AX; \
	JMP  test; \
line: \
	PREFETCHT0 (R11); \
	ADDQ $64, R11; \
test: \
	CMPQ R11, AX; \
	JLT  line

// The same of the values of the row two ahead. Uses AX, R11, R12.
#define FETCHVALUES(line, test, whole) \
	MOVLQZX 8(R8), R12; \
	MOVLQZX (SI)(R12*4), AX; \
	MOVQ visit_values(DI), R11; \
	LEAQ (R11)(R12*4), R11; \
	LENGTH(8, AX, whole); \
	LEAQ 4(R11)(AX*4), AX; \
	JMP  test; \
line: \
	PREFETCHT0 (R11); \
	ADDQ $64, R11; \
test: \
	CMPQ R11, AX; \
	JLT  line

// The slots of the next row are asked for. Uses AX, R11, R12.
#define FETCHSLOTS(slot, test, whole) \
	MOVLQZX 4(R8), AX; \
	LEAQ 4(SI)(AX*4), R11; \
	MOVLQZX -4(R11), AX; \
	LENGTH(4, AX, whole); \
	LEAQ (R11)(AX*4), R12; \
	JMP  test; \
slot: \
	MOVL (R11), AX; \
	SHRL $8, AX; \
	PREFETCHT0 (BX)(AX*4); \
	ADDQ $4, R11; \
test: \
	CMPQ R11, R12; \
	JLT  slot

// Counts the row at work and goes on to the next, R14 the end of its entries.
#define NEXT \
	ADDQ R14, visit_updates(DI); \
	SUBQ R14, visit_turn(DI); \
	LEAQ (R13)(R14*4), R14; \
	ADDQ $4, R8

// X1 is the weight of the leading item.
#define WEIGHT \
	MOVSS (R10), X1; \
	ADDQ $4, R10

// Goes to full where touched could have no room for the row. Uses R11.
#define ROOM(full) \
	LEAQ (CX)(R14*1), R11; \
	CMPQ R11, visit_room(DI); \
	JGT  full

// Notes the id AX if its slot, in R12, is zero in all bits.
#define NOTE \
	MOVL AX, (DX)(CX*4); \
	CMPL R12, $1; \
	ADCQ $0, CX

// DI ids, CX their number, SI slots, R8 inverse, R9 dot, R10 estimate, X1 scale, AX the
// place at work, DX pairs, R12 zero, R13 the number of places in R14.
#define TAKEBEGIN \
	MOVQ places_base+128(FP), R14; \
	XORL AX, AX; \
	MOVQ CX, DX; \
	XORL R12, R12; \
	XORL R13, R13

// BX is the id, R11 its slot, which is zero from here on. The factor of the id 24 ahead is
// asked for: ids has room for that many more.
#define TAKESLOT \
	MOVLQZX 96(DI)(AX*4), BX; \
	PREFETCHT0 (R8)(BX*4); \
	MOVLQZX (DI)(AX*4), BX; \
	MOVSS (R8)(BX*4), X0; \
	MOVL (SI)(BX*4), R11; \
	MOVL R12, (SI)(BX*4)

// X2 is the slot as a number. Goes to zero where it is none. The place is noted in R14, and
// counts in R13 if the bits of the estimate are not below those of the bound.
#define TAKEPUT(zero) \
	MULSS X2, X0; \
	MOVSS X2, (R9)(AX*4); \
	MULSS X1, X0; \
	MOVSS X0, (R10)(AX*4); \
	TESTL R11, R11; \
	JZ   zero; \
	MOVL X0, R11; \
	MOVL AX, (R14)(R13*4); \
	CMPL R11, bound+152(FP); \
	SBBQ $-1, R13

// DI estimate, CX places in whole eights, SI slots, R8 inverse, Y1 scale, Y6 zeros, Y7
// -Inf, Y5 minus the number of zeros in each lane, AX the place at work.
#define SCANBEGIN \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y5, Y5, Y5; \
	MOVL $0xFF800000, AX; \
	MOVL AX, X7; \
	VBROADCASTSS X7, Y7; \
	XORL AX, AX

// Y0 are eight slots. Uses Y2, Y3.
#define ESTIMATE \
	VCMPPS $0, Y6, Y0, Y3; \
	VMULPS (R8)(AX*4), Y0, Y2; \
	VMULPS Y1, Y2, Y2; \
	VBLENDVPS Y3, Y7, Y2, Y2; \
	VMOVUPS Y2, (DI)(AX*4); \
	VPADDD Y3, Y5, Y5; \
	ADDQ $8, AX

// AX is the number of zeros. Uses X0.
#define SCANEND \
	VEXTRACTI128 $1, Y5, X0; \
	VPADDD X0, X5, X5; \
	VPSHUFD $0x4E, X5, X0; \
	VPADDD X0, X5, X5; \
	VPSHUFD $0xB1, X5, X0; \
	VPADDD X0, X5, X5; \
	MOVL X5, AX; \
	NEGL AX; \
	VZEROUPPER

// func touchCoded(v *visit)
TEXT ·touchCoded(SB), NOSPLIT, $0-8
	BEGIN(visit_sums)
	MOVQ visit_touched(DI), DX
	MOVQ visit_count(DI), CX
row:
	ROW(end, whole)
	ROOM(end)
	FETCHROW(line, lines, ahead)
	FETCHSLOTS(slot, slots, next)
	NEXT
	WEIGHT
	MOVQ visit_table(DI), R11
	JMP  entries
entry:
	MOVL (R13), AX
	MOVBLZX AX, R12
	SHRL $8, AX
	MOVSS (R11)(R12*4), X0
	MOVL (BX)(AX*4), R12
	MULSS X1, X0
	NOTE
	ADDSS (BX)(AX*4), X0
	MOVSS X0, (BX)(AX*4)
	ADDQ $4, R13
entries:
	CMPQ R13, R14
	JLT  entry
	JMP  row
end:
	MOVQ CX, visit_count(DI)
	END

// func touchValued(v *visit)
TEXT ·touchValued(SB), NOSPLIT, $0-8
	BEGIN(visit_sums)
	MOVQ visit_touched(DI), DX
	MOVQ visit_count(DI), CX
row:
	ROW(end, whole)
	ROOM(end)
	FETCHROW(line, lines, ahead)
	FETCHVALUES(value, values, some)
	FETCHSLOTS(slot, slots, next)
	NEXT
	WEIGHT
	MOVQ visit_values(DI), R11
	SUBQ SI, R11
	JMP  entries
entry:
	MOVL (R13), AX
	SHRL $8, AX
	MOVSS (R11)(R13*1), X0
	MOVL (BX)(AX*4), R12
	MULSS X1, X0
	NOTE
	ADDSS (BX)(AX*4), X0
	MOVSS X0, (BX)(AX*4)
	ADDQ $4, R13
entries:
	CMPQ R13, R14
	JLT  entry
	JMP  row
end:
	MOVQ CX, visit_count(DI)
	END

// func touchOnes(v *visit)
TEXT ·touchOnes(SB), NOSPLIT, $0-8
	BEGIN(visit_counts)
	MOVQ visit_touched(DI), DX
	MOVQ visit_count(DI), CX
row:
	ROW(end, whole)
	ROOM(end)
	FETCHROW(line, lines, ahead)
	FETCHSLOTS(slot, slots, next)
	NEXT
	JMP  entries
entry:
	MOVL (R13), AX
	SHRL $8, AX
	MOVL (BX)(AX*4), R12
	NOTE
	INCL R12
	MOVL R12, (BX)(AX*4)
	ADDQ $4, R13
entries:
	CMPQ R13, R14
	JLT  entry
	JMP  row
end:
	MOVQ CX, visit_count(DI)
	END

#define ADDCODED(offset, e, x) \
	MOVL offset(R13), e; \
	MOVBLZX e, R12; \
	SHRL $8, e; \
	MOVSS (R11)(R12*4), x; \
	MULSS X1, x; \
	ADDSS (BX)(e*4), x; \
	MOVSS x, (BX)(e*4)

// func addCoded(v *visit)
TEXT ·addCoded(SB), NOSPLIT, $0-8
	BEGIN(visit_sums)
row:
	ROW(end, whole)
	FETCHROW(line, lines, ahead)
	NEXT
	WEIGHT
	MOVQ visit_table(DI), R11
	LEAQ -12(R14), DX
	JMP  fours
four:
	ADDCODED(0, AX, X0)
	ADDCODED(4, CX, X2)
	ADDCODED(8, AX, X0)
	ADDCODED(12, CX, X2)
	ADDQ $16, R13
fours:
	CMPQ R13, DX
	JLT  four
	JMP  entries
entry:
	ADDCODED(0, AX, X0)
	ADDQ $4, R13
entries:
	CMPQ R13, R14
	JLT  entry
	JMP  row
end:
	END

#define ADDVALUED(offset, e, x) \
	MOVL offset(R13), e; \
	SHRL $8, e; \
	MOVSS offset(R11)(R13*1), x; \
	MULSS X1, x; \
	ADDSS (BX)(e*4), x; \
	MOVSS x, (BX)(e*4)

// func addValued(v *visit)
TEXT ·addValued(SB), NOSPLIT, $0-8
	BEGIN(visit_sums)
row:
	ROW(end, whole)
	FETCHROW(line, lines, ahead)
	FETCHVALUES(value, values, some)
	NEXT
	WEIGHT
	MOVQ visit_values(DI), R11
	SUBQ SI, R11
	LEAQ -12(R14), DX
	JMP  fours
four:
	ADDVALUED(0, AX, X0)
	ADDVALUED(4, CX, X2)
	ADDVALUED(8, AX, X0)
	ADDVALUED(12, CX, X2)
	ADDQ $16, R13
fours:
	CMPQ R13, DX
	JLT  four
	JMP  entries
entry:
	ADDVALUED(0, AX, X0)
	ADDQ $4, R13
entries:
	CMPQ R13, R14
	JLT  entry
	JMP  row
end:
	END

#define ADDONE(offset, e) \
	MOVL offset(R13), e; \
	SHRL $8, e; \
	INCL (BX)(e*4)

// func addOnes(v *visit)
TEXT ·addOnes(SB), NOSPLIT, $0-8
	BEGIN(visit_counts)
row:
	ROW(end, whole)
	FETCHROW(line, lines, ahead)
	NEXT
	LEAQ -12(R14), DX
	JMP  fours
four:
	ADDONE(0, AX)
	ADDONE(4, CX)
	ADDONE(8, AX)
	ADDONE(12, CX)
	ADDQ $16, R13
fours:
	CMPQ R13, DX
	JLT  four
	JMP  entries
entry:
	ADDONE(0, AX)
	ADDQ $4, R13
entries:
	CMPQ R13, R14
	JLT  entry
	JMP  row
end:
	END

// func takeSums(dot, estimate []float32, ids []uint32, sums, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int)
TEXT ·takeSums(SB), NOSPLIT, $0-176
	MOVQ dot_base+0(FP), R9
	MOVQ estimate_base+24(FP), R10
	MOVQ ids_base+48(FP), DI
	MOVQ ids_len+56(FP), CX
	MOVQ sums_base+72(FP), SI
	MOVQ inverse_base+96(FP), R8
	MOVSS scale+120(FP), X1
	TAKEBEGIN
	JMP  places
place:
	TAKESLOT
	MOVL R11, X2
	TAKEPUT(zero)
next:
	INCQ AX
places:
	CMPQ AX, CX
	JLT  place
	MOVQ DX, pairs+160(FP)
	MOVQ R13, reached+168(FP)
	RET
zero:
	MOVL $0xFF800000, (R10)(AX*4)
	DECQ DX
	JMP  next

// func takeCounts(dot, estimate []float32, ids, counts []uint32, inverse []float32, scale float32, places []uint32, bound float32) (pairs, reached int)
TEXT ·takeCounts(SB), NOSPLIT, $0-176
	MOVQ dot_base+0(FP), R9
	MOVQ estimate_base+24(FP), R10
	MOVQ ids_base+48(FP), DI
	MOVQ ids_len+56(FP), CX
	MOVQ counts_base+72(FP), SI
	MOVQ inverse_base+96(FP), R8
	MOVSS scale+120(FP), X1
	TAKEBEGIN
	JMP  places
place:
	TAKESLOT
	XORPS X2, X2
	CVTSQ2SS R11, X2
	TAKEPUT(zero)
next:
	INCQ AX
places:
	CMPQ AX, CX
	JLT  place
	MOVQ DX, pairs+160(FP)
	MOVQ R13, reached+168(FP)
	RET
zero:
	MOVL $0xFF800000, (R10)(AX*4)
	DECQ DX
	JMP  next

// func scanSumsAVX2(estimate, sums, inverse *float32, n int, scale float32) (zeros int)
TEXT ·scanSumsAVX2(SB), NOSPLIT, $0-48
	MOVQ estimate+0(FP), DI
	MOVQ sums+8(FP), SI
	MOVQ inverse+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSS scale+32(FP), Y1
	SCANBEGIN
	JMP  eights
eight:
	VMOVUPS (SI)(AX*4), Y0
	ESTIMATE
eights:
	CMPQ AX, CX
	JLT  eight
	SCANEND
	MOVQ AX, zeros+40(FP)
	RET

// func scanCountsAVX2(estimate *float32, counts *uint32, inverse *float32, n int, scale float32) (zeros int)
TEXT ·scanCountsAVX2(SB), NOSPLIT, $0-48
	MOVQ estimate+0(FP), DI
	MOVQ counts+8(FP), SI
	MOVQ inverse+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSS scale+32(FP), Y1
	SCANBEGIN
	JMP  eights
eight:
	VCVTDQ2PS (SI)(AX*4), Y0
	ESTIMATE
eights:
	CMPQ AX, CX
	JLT  eight
	SCANEND
	MOVQ AX, zeros+40(FP)
	RET

// Writes the places of those of eight, from AX on, of which the uppermost bit is set to places DI, DX so far, and goes on to the next eight. Uses BX, R8.
#define NOTEEIGHT(eight, bit, none) \
	VMOVMSKPS eight, BX; \
	TESTL BX, BX; \
	JZ   none; \
bit: \
	BSFL BX, R8; \
	ADDL AX, R8; \
	MOVL R8, (DI)(DX*4); \
	INCQ DX; \
	LEAL -1(BX), R8; \
	ANDL R8, BX; \
	JNZ  bit; \
none: \
	ADDQ $8, AX

// func reachAVX2(places *uint32, x *float32, n int, bound float32) (count int)
TEXT ·reachAVX2(SB), NOSPLIT, $0-40
	MOVQ places+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS bound+24(FP), Y1
	XORL AX, AX
	XORL DX, DX
	JMP  eights
eight:
	VCMPPS $2, (SI)(AX*4), Y1, Y0 // bound <= x
	NOTEEIGHT(Y0, bit, none)
eights:
	CMPQ AX, CX
	JLT  eight
	MOVQ DX, count+32(FP)
	VZEROUPPER
	RET

// func reachEachAVX2(places *uint32, x, bounds *float32, n int) (count int)
TEXT ·reachEachAVX2(SB), NOSPLIT, $0-40
	MOVQ places+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ bounds+16(FP), R9
	MOVQ n+24(FP), CX
	XORL AX, AX
	XORL DX, DX
	JMP  eights
eight:
	VMOVUPS (R9)(AX*4), Y1
	VCMPPS $2, (SI)(AX*4), Y1, Y0 // bound <= x
	NOTEEIGHT(Y0, bit, none)
eights:
	CMPQ AX, CX
	JLT  eight
	MOVQ DX, count+32(FP)
	VZEROUPPER
	RET

// func aboveAVX2(buf *float32, filled, room int, x *float32, n int, bound float32) (taken, count int)
TEXT ·aboveAVX2(SB), NOSPLIT, $0-64
	MOVQ buf+0(FP), DI
	MOVQ filled+8(FP), DX
	MOVQ room+16(FP), R9
	SUBQ $8, R9 // as long as eight more have room
	MOVQ x+24(FP), SI
	MOVQ n+32(FP), CX
	VBROADCASTSS bound+40(FP), Y1
	XORL AX, AX
	JMP  eights
eight:
	VCMPPS $1, (SI)(AX*4), Y1, Y0 // bound < x
	VMOVMSKPS Y0, BX
	TESTL BX, BX
	JZ   none
	CMPQ DX, R9
	JGT  full
	LEAQ (SI)(AX*4), R10
bit:
	BSFL BX, R8
	MOVL (R10)(R8*4), R11
	MOVL R11, (DI)(DX*4)
	INCQ DX
	LEAL -1(BX), R8
	ANDL R8, BX
	JNZ  bit
none:
	ADDQ $8, AX
eights:
	CMPQ AX, CX
	JLT  eight
full:
	MOVQ AX, taken+48(FP)
	MOVQ DX, count+56(FP)
	VZEROUPPER
	RET

// func membersAVX2(places *uint32, bits *uint64, ids *uint32, n int) (count int)
TEXT ·membersAVX2(SB), NOSPLIT, $0-40
	MOVQ places+0(FP), DI
	MOVQ bits+8(FP), R9
	MOVQ ids+16(FP), SI
	MOVQ n+24(FP), CX
	VPCMPEQD Y5, Y5, Y5
	VPSRLD $27, Y5, Y6 // 31
	XORL AX, AX
	XORL DX, DX
	JMP  eights
eight:
	VMOVDQU (SI)(AX*4), Y0
	VPSRLD  $5, Y0, Y1
	VMOVDQA Y5, Y3
	VPGATHERDD Y3, (R9)(Y1*4), Y2 // words of 32 bits
	VPANDN  Y6, Y0, Y0 // 31 less the place of the bit
	VPSLLVD Y0, Y2, Y2
	NOTEEIGHT(Y2, bit, none)
eights:
	CMPQ AX, CX
	JLT  eight
	MOVQ DX, count+32(FP)
	VZEROUPPER
	RET

// func fetch(x []float64, ids []uint32)
TEXT ·fetch(SB), NOSPLIT, $0-48
	MOVQ x_base+0(FP), SI
	MOVQ ids_base+24(FP), DI
	MOVQ ids_len+32(FP), CX
	XORL AX, AX
	JMP  places
place:
	MOVLQZX (DI)(AX*4), BX
	PREFETCHT0 (SI)(BX*8)
	INCQ AX
places:
	CMPQ AX, CX
	JLT  place
	RET

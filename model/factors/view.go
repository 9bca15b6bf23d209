package factors

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// This is the only file that looks at memory by unsafe. Numbers lie in files and between workers as little-endian; where the processor has them so
// too, they are looked at in place.

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// floatsOf returns the numbers that b holds, of which it may share the memory. A rest of less than four bytes is left out.
func floatsOf(b []byte) []float32 {
	p := unsafe.Pointer(unsafe.SliceData(b))
	if littleEndian && uintptr(p)%unsafe.Alignof(float32(0)) == 0 {
		return unsafe.Slice((*float32)(p), len(b)/4)
	}
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// bytesOf returns x as floatsOf takes it, and may share its memory.
func bytesOf(x []float32) []byte {
	if littleEndian {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
	}
	b := make([]byte, 0, 4*len(x))
	for _, f := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// idsOf returns the numbers that b holds, as floatsOf.
func idsOf(b []byte) []uint32 {
	p := unsafe.Pointer(unsafe.SliceData(b))
	if littleEndian && uintptr(p)%unsafe.Alignof(uint32(0)) == 0 {
		return unsafe.Slice((*uint32)(p), len(b)/4)
	}
	x := make([]uint32, len(b)/4)
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return x
}

// appendFloats appends numbers as little-endian float64.
func appendFloats(b []byte, x ...float64) []byte {
	for _, f := range x {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
	}
	return b
}

// readFloats returns what appendFloats has appended.
func readFloats(b []byte) []float64 {
	x := make([]float64, len(b)/8)
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return x
}

package model

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// littleEndian tells whether numbers in memory have the byte order of files.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// View returns the numbers that b holds; a rest too short for one is left out. They share its memory where byte order and alignment allow.
func View[T Number](b []byte) []T {
	var zero T
	n := len(b) / int(unsafe.Sizeof(zero))
	p := unsafe.Pointer(unsafe.SliceData(b))
	if littleEndian && uintptr(p)%unsafe.Alignof(zero) == 0 {
		return unsafe.Slice((*T)(p), n)
	}
	x := make([]T, n)
	if _, err := binary.Decode(b, binary.LittleEndian, x); err != nil {
		panic(err) // all have a fixed size
	}
	return x
}

// Bytes returns numbers as View and Reader take them, and shares their memory where the byte order allows.
func Bytes[T Number](x []T) []byte {
	if !littleEndian {
		b, err := binary.Append(nil, binary.LittleEndian, slices.Clone(x)) // so that x need not be on the heap
		if err != nil {
			panic(err) // all have a fixed size
		}
		return b
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), int(unsafe.Sizeof(zero))*len(x))
}

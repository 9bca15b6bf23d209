package neural

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// This is the only file that looks at memory by unsafe.

type number interface{ float32 | float64 | int64 }

// littleEndian tells whether numbers in memory have the byte order of files.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// view returns the numbers of a section, which must be whole. They share its memory if byte order and alignment allow.
func view[T number](section []byte) []T {
	var zero T
	p := unsafe.Pointer(unsafe.SliceData(section))
	if littleEndian && uintptr(p)%unsafe.Alignof(zero) == 0 {
		return unsafe.Slice((*T)(p), len(section)/int(unsafe.Sizeof(zero)))
	}
	out := make([]T, len(section)/int(unsafe.Sizeof(zero)))
	if _, err := binary.Decode(section, binary.LittleEndian, out); err != nil {
		panic(fmt.Sprintf("neural: decode %T: %v", out, err)) // all have a fixed size
	}
	return out
}

// bytesOf returns numbers as they are in files, in memory of their own.
func bytesOf[T number](s []T) []byte {
	out, err := binary.Append(make([]byte, 0, binary.Size(s)), binary.LittleEndian, s)
	if err != nil {
		panic(fmt.Sprintf("neural: encode %T: %v", s, err)) // all have a fixed size
	}
	return out
}

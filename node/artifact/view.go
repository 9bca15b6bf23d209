package artifact

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/kith-io/kith/similarity"
)

// This is the only file that looks at memory by unsafe. Each function has a portable twin that copies.

// element is what sections are made of.
type element interface {
	byte | int64 | uint32 | uint64 | float32 | float64 | similarity.Neighbor
}

// A Neighbor in memory is one in a file: id and score, nothing between or after.
var (
	_ [8]struct{} = [unsafe.Sizeof(similarity.Neighbor{})]struct{}{}
	_ [4]struct{} = [unsafe.Offsetof(similarity.Neighbor{}.Score)]struct{}{}
)

// littleEndian tells whether numbers in memory have the byte order of files.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// view returns the elements of a section, which must be whole. They share its memory if byte order and alignment allow.
func view[T element](section []byte) []T {
	var zero T
	p := unsafe.Pointer(unsafe.SliceData(section))
	if !littleEndian || uintptr(p)%unsafe.Alignof(zero) != 0 {
		return decode[T](section)
	}
	return unsafe.Slice((*T)(p), len(section)/int(unsafe.Sizeof(zero)))
}

// section returns the bytes of elements in a file. They share memory if the byte order allows.
func section[T element](s []T) []byte {
	if !littleEndian {
		return encode(s)
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(zero)))
}

// words returns neighbors as numbers, with the score in the upper half, if byte order and alignment allow. They share memory.
func words(s []similarity.Neighbor) ([]uint64, bool) {
	p := unsafe.Pointer(unsafe.SliceData(s))
	if !littleEndian || uintptr(p)%unsafe.Alignof(uint64(0)) != 0 {
		return nil, false
	}
	return unsafe.Slice((*uint64)(p), len(s)), true
}

// decode is the portable twin of view.
func decode[T element](section []byte) []T {
	var zero T
	out := make([]T, len(section)/int(unsafe.Sizeof(zero)))
	if _, err := binary.Decode(section, binary.LittleEndian, out); err != nil {
		panic(fmt.Sprintf("artifact: decode %T: %v", out, err)) // all elements have a fixed size
	}
	return out
}

// encode is the portable twin of section.
func encode[T element](s []T) []byte {
	out, err := binary.Append(nil, binary.LittleEndian, s)
	if err != nil {
		panic(fmt.Sprintf("artifact: encode %T: %v", s, err)) // all elements have a fixed size
	}
	return out
}

package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Number is what files of models, and what workers say to each other, are made of: little-endian.
type Number interface {
	~uint8 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64 | ~float32 | ~float64
}

// Append appends numbers to b.
func Append[T Number](b []byte, x ...T) []byte { return append(b, Bytes(x)...) }

// Reader takes bytes of which nothing is known apart. After an error, which Err and End return, nothing is left, and it gives zeros and empty sections: what was read is
// looked at when all is, unless something is made of its size. The sections that it gives share the memory of the bytes.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a Reader of b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// End returns the first error, or one if bytes are left.
func (r *Reader) End() error {
	if len(r.rest) > 0 {
		r.Fail("%d bytes are left over", len(r.rest))
	}
	return r.err
}

// Fail sets the error, if there is none yet.
func (r *Reader) Fail(format string, a ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, a...)
	}
	r.rest = nil
}

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.rest) }

// Magic takes what a file begins with.
func (r *Reader) Magic(want string) {
	rest, ok := bytes.CutPrefix(r.rest, []byte(want))
	if r.rest = rest; !ok {
		r.Fail("it does not begin with %q", want)
	}
}

// Version takes the version of a file, 4 bytes.
func (r *Reader) Version(want uint32) {
	if v := r.Uint32(); v != want {
		r.Fail("version %d, want %d: build the model again", v, want)
	}
}

// Take takes n elements of some bytes each.
func (r *Reader) Take(n, size uint64) []byte {
	if size > 0 && n > uint64(len(r.rest))/size {
		r.Fail("it ends early")
		return nil
	}
	b := r.rest[: n*size : n*size]
	r.rest = r.rest[n*size:]
	return b
}

// Numbers takes n numbers, and copies them.
func Numbers[T Number](r *Reader, n uint64) []T {
	var zero T
	b := r.Take(n, uint64(unsafe.Sizeof(zero)))
	if len(b) == 0 {
		return nil
	}
	return slices.Clone(View[T](b))
}

// Uint8 takes a byte.
func (r *Reader) Uint8() uint8 {
	if b := r.Take(1, 1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 takes 2 bytes.
func (r *Reader) Uint16() uint16 {
	if b := r.Take(1, 2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Uint32 takes 4 bytes.
func (r *Reader) Uint32() uint32 {
	if b := r.Take(1, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 takes 8 bytes.
func (r *Reader) Uint64() uint64 {
	if b := r.Take(1, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Float32 takes 4 bytes.
func (r *Reader) Float32() float32 { return math.Float32frombits(r.Uint32()) }

// Float64 takes 8 bytes.
func (r *Reader) Float64() float64 { return math.Float64frombits(r.Uint64()) }

// Uvarint takes a number as binary.AppendUvarint has it.
func (r *Reader) Uvarint() uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.Fail("it ends early, or within a number")
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

// Varint takes a number as binary.AppendVarint has it.
func (r *Reader) Varint() int64 {
	x := r.Uvarint()
	return int64(x>>1) ^ -int64(x&1)
}

// Within returns x, if it is from low to high. Otherwise it sets an error, and returns 0.
func (r *Reader) Within(what string, x, low, high int64) int {
	if x < low || x > high {
		r.Fail("%s is %d, want %d to %d", what, x, low, high)
	}
	if r.err != nil {
		return 0
	}
	return int(x)
}

package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// errShort is the error of bytes that end early.
var errShort = errors.New("it ends early")

// number is what slices are coded of.
type number interface {
	~uint8 | ~int32 | ~uint32 | ~int64 | ~uint64 | ~float32 | ~float64
}

func putNumber(b []byte, x uint64) []byte { return binary.LittleEndian.AppendUint64(b, x) }

func putFloat(b []byte, x float64) []byte { return putNumber(b, math.Float64bits(x)) }

// putSlice appends the length of x, and its elements.
func putSlice[T number](b []byte, x []T) []byte {
	b, err := binary.Append(putNumber(b, uint64(len(x))), binary.LittleEndian, x)
	if err != nil {
		panic(err) // not for slices of numbers
	}
	return b
}

// reader takes apart what was put. After an error it gives zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) number() uint64 {
	if len(r.rest) < 8 {
		r.err = errShort
	}
	if r.err != nil {
		return 0
	}
	x := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return x
}

func (r *reader) float() float64 { return math.Float64frombits(r.number()) }

// size reads a whole number of at most limit.
func (r *reader) size(what string, limit int) int {
	x := r.number()
	if r.err == nil && x > uint64(limit) {
		r.err = fmt.Errorf("%s is %d, want at most %d", what, x, limit)
	}
	if r.err != nil {
		return 0
	}
	return int(x)
}

func slice[T number](r *reader) []T {
	n := r.number()
	var one T
	size := uint64(binary.Size(one))
	if r.err == nil && n > uint64(len(r.rest))/size {
		r.err = errShort
	}
	if r.err != nil || n == 0 {
		return nil
	}
	x := make([]T, n)
	if _, err := binary.Decode(r.rest[:n*size], binary.LittleEndian, x); err != nil {
		r.err = err
	}
	r.rest = r.rest[n*size:]
	return x
}

// exact reads a slice of a length.
func exact[T number](r *reader, what string, n int) []T {
	x := slice[T](r)
	if r.err == nil && len(x) != n {
		r.err = fmt.Errorf("%d %s, want %d", len(x), what, n)
	}
	return x
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes are left over", len(r.rest))
	}
	return r.err
}

func (st *step) encode() []byte {
	fresh := uint64(0)
	if st.Fresh {
		fresh = 1
	}
	b := putNumber(nil, uint64(st.Kind))
	b = putNumber(putNumber(b, uint64(st.Trial)), uint64(st.Round))
	b = putFloat(putNumber(putNumber(b, fresh), uint64(st.Count)), st.Chance)
	return putSlice(b, st.Centers)
}

func decodeStep(b []byte) (st step, err error) {
	r := reader{rest: b}
	st.Kind = stepKind(r.size("the kind", int(stepSpread)))
	st.Trial, st.Round = uint32(r.number()), uint32(r.number())
	st.Fresh, st.Count = r.number() == 1, r.size("the number of vectors", math.MaxInt32)
	st.Chance, st.Centers = r.float(), slice[float32](&r)
	return st, r.end()
}

func (r *reply) encode() []byte {
	b := putFloat(nil, r.Sum)
	b = putNumber(putNumber(b, uint64(r.Changed)), uint64(r.Distances))
	b = putSlice(putSlice(b, r.Keys), r.Vectors)
	return putSlice(putSlice(b, r.Sums), r.Counts)
}

func decodeReply(b []byte) (p reply, err error) {
	r := reader{rest: b}
	p.Sum, p.Changed, p.Distances = r.float(), int64(r.number()), int64(r.number())
	p.Keys, p.Vectors = slice[uint64](&r), slice[float32](&r)
	p.Sums, p.Counts = slice[float64](&r), slice[int64](&r)
	return p, r.end()
}

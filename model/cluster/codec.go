package cluster

import (
	"encoding/binary"
	"math"

	"github.com/kith-io/kith/model"
)

func putNumber(b []byte, x uint64) []byte { return binary.LittleEndian.AppendUint64(b, x) }

func putFloat(b []byte, x float64) []byte { return putNumber(b, math.Float64bits(x)) }

// putSlice appends the length of x, and its elements.
func putSlice[T model.Number](b []byte, x []T) []byte {
	return model.Append(putNumber(b, uint64(len(x))), x...)
}

// size reads a whole number of at most limit.
func size(r *model.Reader, what string, limit int) int {
	return r.Within(what, int64(r.Uint64()), 0, int64(limit))
}

// slice reads what putSlice has put.
func slice[T model.Number](r *model.Reader) []T { return model.Numbers[T](r, r.Uint64()) }

// exact reads a slice of a length.
func exact[T model.Number](r *model.Reader, what string, n int) []T {
	x := slice[T](r)
	if len(x) != n {
		r.Fail("%d %s, want %d", len(x), what, n)
	}
	return x
}

// only takes bytes that are nothing but a slice of a length.
func only[T model.Number](b []byte, what string, n int) ([]T, error) {
	r := model.NewReader(b)
	x := exact[T](r, what, n)
	return x, r.End()
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
	r := model.NewReader(b)
	st.Kind = stepKind(size(r, "the kind", int(stepSpread)))
	st.Trial, st.Round = uint32(r.Uint64()), uint32(r.Uint64())
	st.Fresh, st.Count = r.Uint64() == 1, size(r, "the number of vectors", math.MaxInt32)
	st.Chance, st.Centers = r.Float64(), slice[float32](r)
	return st, r.End()
}

func (r *reply) encode() []byte {
	b := putFloat(nil, r.Sum)
	b = putNumber(putNumber(b, uint64(r.Changed)), uint64(r.Distances))
	b = putSlice(putSlice(b, r.Keys), r.Vectors)
	return putSlice(putSlice(b, r.Sums), r.Counts)
}

func decodeReply(b []byte) (p reply, err error) {
	r := model.NewReader(b)
	p.Sum, p.Changed, p.Distances = r.Float64(), int64(r.Uint64()), int64(r.Uint64())
	p.Keys, p.Vectors = slice[uint64](r), slice[float32](r)
	p.Sums, p.Counts = slice[float64](r), slice[int64](r)
	return p, r.End()
}

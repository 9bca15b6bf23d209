package wire

import (
	"fmt"
	"iter"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// pairChunk is the number of pairs in a message, but that those of one item are in one.
const pairChunk = 1 << 16

// PairSums converts sums of pairs.
func PairSums(sums []similarity.PairSums) []*kithv1.PairSums {
	out := make([]*kithv1.PairSums, len(sums))
	for k, s := range sums {
		out[k] = &kithv1.PairSums{Item: s.Item, All: s.All, Mirror: s.Mirror, With: s.With}
		if len(s.Sum) == 0 {
			continue
		}
		out[k].Sum = make([]uint64, len(s.Sum))
		for n, x := range s.Sum {
			out[k].Sum[n] = uint64(x)
		}
	}
	return out
}

// AppendPairSums is the inverse of PairSums, behind what is there.
func AppendPairSums(dst []similarity.PairSums, sums []*kithv1.PairSums) []similarity.PairSums {
	for _, s := range sums {
		x := similarity.PairSums{Item: s.GetItem(), All: s.GetAll(), Mirror: s.GetMirror(), With: s.GetWith()}
		if sums := s.GetSum(); len(sums) > 0 {
			x.Sum = make([]float64, len(sums))
			for n, sum := range sums {
				x.Sum[n] = float64(sum)
			}
		}
		dst = append(dst, x)
	}
	return dst
}

// Flags of columns.
const (
	flagAll    = 1
	flagMirror = 2
)

// PairColumns converts sums of pairs to columns.
func PairColumns(sums []similarity.PairSums) *kithv1.PairColumns {
	pairs, flags := 0, false
	for _, s := range sums {
		pairs += len(s.With)
		flags = flags || s.All || s.Mirror
	}
	c := &kithv1.PairColumns{Item: make([]uint32, len(sums)), Size: make([]uint32, len(sums)), With: make([]uint32, 0, pairs)}
	if flags {
		c.Flags = make([]uint32, len(sums))
	}
	for k, s := range sums {
		c.Item[k], c.Size[k] = s.Item, uint32(len(s.With))
		if s.All {
			c.Flags[k] |= flagAll
		}
		if s.Mirror {
			c.Flags[k] |= flagMirror
		}
		last := uint32(0)
		for _, i := range s.With {
			c.With = append(c.With, i-last)
			last = i
		}
		if len(s.Sum) > 0 && c.Sum == nil {
			c.Sum = make([]uint64, 0, pairs)
		}
		for _, x := range s.Sum {
			c.Sum = append(c.Sum, uint64(x))
		}
	}
	return c
}

// AppendPairColumns is the inverse of PairColumns, behind what is there; the error matches ErrInvalid where columns do not fit each other.
func AppendPairColumns(dst []similarity.PairSums, c *kithv1.PairColumns) ([]similarity.PairSums, error) {
	n, pairs := len(c.GetItem()), 0
	for _, size := range c.GetSize() {
		if pairs += int(size); pairs > len(c.GetWith()) {
			break
		}
	}
	if len(c.GetSize()) != n || len(c.GetFlags()) != 0 && len(c.GetFlags()) != n || pairs != len(c.GetWith()) || len(c.GetSum()) != 0 && len(c.GetSum()) != pairs {
		return nil, fmt.Errorf("%w: sums of %d items in columns of %d sizes, %d flags, %d others and %d sums", ErrInvalid, n, len(c.GetSize()), len(c.GetFlags()), len(c.GetWith()), len(c.GetSum()))
	}
	with := c.GetWith() // the message is ours alone
	var sums []float64
	if len(c.GetSum()) > 0 {
		sums = make([]float64, pairs)
		for k, x := range c.GetSum() {
			sums[k] = float64(x)
		}
	}
	at := 0
	for k, item := range c.GetItem() {
		x := similarity.PairSums{Item: item}
		if len(c.GetFlags()) > 0 {
			x.All, x.Mirror = c.GetFlags()[k]&flagAll != 0, c.GetFlags()[k]&flagMirror != 0
		}
		to := at + int(c.GetSize()[k])
		x.With = with[at:to:to]
		last := uint32(0)
		for p := range x.With {
			last += x.With[p]
			x.With[p] = last
		}
		if sums != nil {
			x.Sum = sums[at:to:to]
		}
		dst, at = append(dst, x), to
	}
	return dst, nil
}

// FormPairSums returns what a message has of sums: columns, or what earlier programs know.
func FormPairSums(sums []similarity.PairSums, columns bool) ([]*kithv1.PairSums, *kithv1.PairColumns) {
	if columns {
		return nil, PairColumns(sums)
	}
	return PairSums(sums), nil
}

// TakePairSums appends the sums of a message, which has them in either form: earlier programs know the first alone.
func TakePairSums(dst []similarity.PairSums, sums []*kithv1.PairSums, c *kithv1.PairColumns) ([]similarity.PairSums, error) {
	if c != nil {
		return AppendPairColumns(dst, c)
	}
	return AppendPairSums(dst, sums), nil
}

// ChunkPairSums cuts sums into what a message takes; there is one chunk, which is empty, of none.
func ChunkPairSums(sums []similarity.PairSums) iter.Seq[[]similarity.PairSums] {
	return func(yield func([]similarity.PairSums) bool) {
		from, n := 0, 0
		for k, s := range sums {
			if n += 1 + len(s.With); n >= pairChunk {
				if !yield(sums[from : k+1]) {
					return
				}
				from, n = k+1, 0
			}
		}
		if from < len(sums) || len(sums) == 0 {
			yield(sums[from:])
		}
	}
}

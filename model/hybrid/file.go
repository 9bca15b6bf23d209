package hybrid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/kith-io/kith/model/train"
)

// ErrFile is matched by the error of a file that is no whole Weighing.
var ErrFile = errors.New("damaged file of a hybrid")

const (
	magic   = "kith-hyb" // of a Weighing
	version = 1
	// magicCombination is that of a combination. Behind it are its form (a byte), the number of names and each, its length first, and what it needs beside them.
	magicCombination = "kithCMB\x01"

	maxTrees = 10_000
	maxParts = 100
	maxName  = 1000
	maxDepth = 1 << 20
)

// Forms of combinations in files.
const (
	formBlending  = 1 // normalization, depth, a weight for each name
	formSwitching = 2 // a length for each name but the last
	formRanking   = 3 // users, items, the count of each, whether those of new entries follow, and the file of a Weighing
)

func appendNumber(b []byte, n int) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(int32(n)))
}

func appendFloat(b []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
}

func appendNames(b []byte, names []string) []byte {
	b = appendNumber(b, len(names))
	for _, name := range names {
		b = append(appendNumber(b, len(name)), name...)
	}
	return b
}

func (b *Blending) appendTo(file []byte) []byte {
	file = appendNames(append(file, magicCombination+string(rune(formBlending))...), b.names)
	file = appendNumber(appendNumber(file, int(b.n)), b.depth)
	for _, x := range b.weights {
		file = appendFloat(file, x)
	}
	return file
}

func (s *Switching) appendTo(file []byte) []byte {
	file = appendNames(append(file, magicCombination+string(rune(formSwitching))...), s.names)
	for _, n := range s.until {
		file = appendNumber(file, n)
	}
	return file
}

func (r *Ranking) appendTo(file []byte) []byte {
	file = appendNames(append(file, magicCombination+string(rune(formRanking))...), r.w.parts)
	file = binary.AppendUvarint(binary.AppendUvarint(file, uint64(r.catalog.numUsers)), uint64(len(r.catalog.counts)))
	file = appendCounts(file, r.catalog.counts)
	if r.catalog.fresh == nil {
		file = append(file, 0)
	} else {
		file = appendCounts(append(file, 1), r.catalog.fresh)
	}
	return r.w.appendTo(file)
}

// ranking reads what Ranking.appendTo writes behind the names.
func (r *reader) ranking(names []string) (*Ranking, error) {
	users, items := r.uvarint(), r.uvarint()
	if users > math.MaxUint32 || items > uint64(len(r.rest)) {
		r.fail("%d users and %d items in %d bytes", users, items, len(r.rest))
		return nil, r.err
	}
	counts := r.counts(int(items), users)
	var fresh []int64
	if r.uvarint() == 1 {
		fresh = r.counts(int(items), users)
	}
	if r.err != nil {
		return nil, r.err
	}
	w, err := ReadWeighing(r.rest)
	if err == nil && !slices.Equal(w.parts, names) {
		err = fmt.Errorf("what was learned is of %q, want %q", w.parts, names)
	}
	r.rest = nil
	return NewRanking(newCatalog(int(users), counts, fresh), w), err
}

// ReadCombination reads the file of a model of RRF, WeightedBlend, LengthSwitch or LearnedRanker. The error matches ErrFile.
func ReadCombination(file []byte) (train.Combination, error) {
	r := reader{rest: file}
	if string(r.take(len(magicCombination))) != magicCombination {
		r.fail("it does not begin as one")
	}
	form := r.take(1)
	names := r.names()
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, r.err)
	}
	var out train.Combination
	var err error
	switch form[0] {
	case formBlending:
		n, depth := r.within("the normalization", 0, len(Normalizations())-1), r.within("the depth", 1, maxDepth)
		weights := make([]float64, len(names))
		for i := range weights {
			weights[i] = r.float()
		}
		out, err = NewBlending(names, weights, Normalization(n), depth)
	case formSwitching:
		until := make([]int, len(names)-1)
		for i := range until {
			until[i] = r.within("a length of histories", 1, math.MaxInt32)
		}
		out, err = NewSwitching(names, until)
	case formRanking:
		out, err = r.ranking(names)
	default:
		r.fail("form %d", form[0])
	}
	if err != nil {
		r.fail("%w", err)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return out, nil
}

// WriteTo writes the file of what was learned: a magic number, a version, the names of the parts, and the regression or the trees.
func (w *Weighing) WriteTo(out io.Writer) (int64, error) {
	n, err := out.Write(w.appendTo(nil))
	return int64(n), err
}

func (w *Weighing) appendTo(b []byte) []byte {
	b = append(append(b, magic...), version)
	number := func(n int) { b = appendNumber(b, n) }
	float := func(x float64) { b = appendFloat(b, x) }
	number(w.depth)
	b = appendNames(b, w.parts)
	if w.linear != nil {
		number(-1)
		float(w.linear.base)
		for _, x := range w.linear.weights {
			float(x)
		}
	} else {
		number(len(w.forest.trees))
		float(w.forest.base)
		for _, t := range w.forest.trees {
			number(len(t.feature))
			for n, f := range t.feature {
				number(int(f))
				number(int(t.left[n]))
				number(int(t.right[n]))
				float(float64(t.threshold[n]))
				float(t.value[n])
			}
		}
	}
	return b
}

// ReadWeighing reads what WriteTo has written. The error matches ErrFile.
func ReadWeighing(file []byte) (*Weighing, error) {
	r := reader{rest: file}
	if string(r.take(len(magic))) != magic {
		r.fail("it does not begin with %q", magic)
	}
	if v := r.take(1); r.err == nil && v[0] != version {
		r.fail("version %d, want %d", v[0], version)
	}
	w := &Weighing{depth: r.within("depth", 1, maxDepth)}
	w.parts = r.names()
	width := len(w.parts)*partFeatures + itemFeatures
	if n := r.within("the number of trees", -1, maxTrees); n < 0 {
		w.linear = &linear{base: r.float()}
		for range width {
			w.linear.weights = append(w.linear.weights, r.float())
		}
	} else {
		w.forest = &forest{base: r.float()}
		for range n {
			w.forest.trees = append(w.forest.trees, r.tree(width))
			if r.err != nil {
				break
			}
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return w, nil
}

// reader takes a file apart. After an error it gives zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, a ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, a...)
	}
}

func (r *reader) take(n int) []byte {
	if len(r.rest) < n {
		r.fail("it ends early")
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) within(what string, low, high int) int {
	b := r.take(4)
	if b == nil {
		return 0
	}
	n := int(int32(binary.LittleEndian.Uint32(b)))
	if n < low || n > high {
		r.fail("%s is %d, want %d to %d", what, n, low, high)
		return 0
	}
	return n
}

// counts reads a count for each of some items, of up to most.
func (r *reader) counts(items int, most uint64) []int64 {
	counts := make([]int64, items)
	for i := range counts {
		n := r.uvarint()
		if n > most {
			r.fail("a count is %d, of %d users", n, most)
		}
		counts[i] = int64(n)
	}
	return counts
}

// names reads names of models.
func (r *reader) names() (names []string) {
	for range r.within("the number of models", 1, maxParts) {
		names = append(names, string(r.take(r.within("the length of a name", 0, maxName))))
	}
	return names
}

// end returns an error that matches ErrFile if the file was not whole, or is not at its end.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d bytes are left over", len(r.rest))
	}
	if r.err != nil {
		return fmt.Errorf("%w: %w", ErrFile, r.err)
	}
	return nil
}

// maxFloat is above all that is learned; sums over all trees stay finite.
const maxFloat = 1e30

func (r *reader) float() float64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(b))
	if !(math.Abs(x) <= maxFloat) {
		r.fail("a value is %v", x)
		return 0
	}
	return x
}

func (r *reader) tree(width int) (t tree) {
	n := r.within("the number of nodes", 1, 2*leaves-1)
	for i := range n {
		t.feature = append(t.feature, int32(r.within("a feature", -1, width-1)))
		low := 0
		if t.feature[i] >= 0 {
			low = i + 1 // so that no path goes round
		}
		t.left, t.right = append(t.left, int32(r.within("a node", low, n-1))), append(t.right, int32(r.within("a node", low, n-1)))
		t.threshold, t.value = append(t.threshold, float32(r.float())), append(t.value, r.float())
	}
	return t
}

package hybrid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
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
func (r reader) ranking(names []string) (*Ranking, error) {
	users, items := r.Uvarint(), r.Uvarint()
	if users > math.MaxUint32 || items > uint64(r.Len()) {
		r.Fail("%d users and %d items in %d bytes", users, items, r.Len())
		return nil, r.Err()
	}
	counts := r.counts(int(items), users)
	var fresh []int64
	if r.Uvarint() == 1 {
		fresh = r.counts(int(items), users)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	w, err := ReadWeighing(r.Take(uint64(r.Len()), 1))
	if err == nil && !slices.Equal(w.parts, names) {
		err = fmt.Errorf("what was learned is of %q, want %q", w.parts, names)
	}
	return NewRanking(newCatalog(int(users), counts, fresh), w), err
}

// ReadCombination reads the file of a model of RRF, WeightedBlend, LengthSwitch or LearnedRanker. The error matches ErrFile.
func ReadCombination(file []byte) (train.Combination, error) {
	r := newReader(file)
	r.Magic(magicCombination)
	form := r.Uint8()
	names := r.names()
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	var out train.Combination
	var err error
	switch form {
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
		r.Fail("form %d", form)
	}
	if err != nil {
		r.Fail("%w", err)
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
	r := newReader(file)
	r.Magic(magic)
	if v := r.Uint8(); v != version {
		r.Fail("version %d, want %d", v, version)
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
			if r.Err() != nil {
				break
			}
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return w, nil
}

// reader takes a file, or what workers say, apart.
type reader struct{ *model.Reader }

func newReader(b []byte) reader { return reader{model.NewReader(b)} }

func (r reader) within(what string, low, high int) int {
	return r.Within(what, int64(int32(r.Uint32())), int64(low), int64(high))
}

// counts reads a count for each of some items, of up to most.
func (r reader) counts(items int, most uint64) []int64 {
	counts := make([]int64, items)
	for i := range counts {
		n := r.Uvarint()
		if n > most {
			r.Fail("a count is %d, of %d users", n, most)
		}
		counts[i] = int64(n)
	}
	return counts
}

// names reads names of models.
func (r reader) names() (names []string) {
	for range r.within("the number of models", 1, maxParts) {
		names = append(names, string(r.Take(uint64(r.within("the length of a name", 0, maxName)), 1)))
	}
	return names
}

// end returns an error that matches ErrFile if the file was not whole, or is not at its end.
func (r reader) end() error {
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	return nil
}

// maxFloat is above all that is learned; sums over all trees stay finite.
const maxFloat = 1e30

func (r reader) float() float64 {
	x := r.Float64()
	if !(math.Abs(x) <= maxFloat) {
		r.Fail("a value is %v", x)
		return 0
	}
	return x
}

func (r reader) tree(width int) (t tree) {
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

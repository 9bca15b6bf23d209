package markov

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
)

// maxOrder is the largest order of a chain.
const maxOrder = 3

// gram is symbols of which one comes after the others: context has the last of these first; what is beyond its order is 0.
type gram struct {
	context     [maxOrder]uint32
	next, count uint32
}

func compareGrams(a, b gram) int {
	return cmp.Or(slices.Compare(a.context[:], b.context[:]), cmp.Compare(a.next, b.next))
}

// tally counts grams of the orders from 0.
type tally struct {
	grams [maxOrder + 1][]gram
	limit [maxOrder + 1]int // length at which equal ones are put together
}

const minTally = 1 << 16

// add counts the last symbol of a sequence after those before it: after none, after one, and so on up to order.
func (t *tally) add(sequence []uint32, order int) error {
	last := len(sequence) - 1
	g := gram{next: sequence[last], count: 1}
	for m := 0; m <= min(order, last); m++ {
		if m > 0 {
			g.context[m-1] = sequence[last-m]
		}
		t.grams[m] = append(t.grams[m], g)
		if len(t.grams[m]) >= max(t.limit[m], minTally) {
			if err := t.settle(m); err != nil {
				return err
			}
			t.limit[m] = 2 * len(t.grams[m])
		}
	}
	return nil
}

// settle sorts the grams of an order, and puts equal ones together.
func (t *tally) settle(order int) error {
	grams := t.grams[order]
	slices.SortFunc(grams, compareGrams)
	kept := grams[:0]
	for _, g := range grams {
		if n := len(kept); n > 0 && compareGrams(kept[n-1], g) == 0 {
			sum := uint64(kept[n-1].count) + uint64(g.count)
			if sum > math.MaxUint32 {
				return fmt.Errorf("a sequence is there %d times, want up to %d", sum, uint32(math.MaxUint32))
			}
			kept[n-1].count = uint32(sum)
		} else {
			kept = append(kept, g)
		}
	}
	t.grams[order] = kept
	return nil
}

// encode writes the grams of all orders for which f holds, settled before: of each order the number, and then contexts, nexts and counts.
func (t *tally) encode(order int, f func(order int, g gram) bool) []byte {
	var out []byte
	for m := range order + 1 {
		at, n := len(out), uint64(0)
		out = binary.LittleEndian.AppendUint64(out, 0)
		for _, g := range t.grams[m] {
			if !f(m, g) {
				continue
			}
			n++
			for _, x := range g.context[:m] {
				out = binary.LittleEndian.AppendUint32(out, x)
			}
			out = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(out, g.next), g.count)
		}
		binary.LittleEndian.PutUint64(out[at:], n)
	}
	return out
}

// decode adds what encode wrote.
func (t *tally) decode(b []byte, order int) error {
	r := model.NewReader(b)
	for m := range order + 1 {
		size := 4 * (m + 2)
		for b := r.Take(r.Uint64(), uint64(size)); len(b) > 0; b = b[size:] {
			var g gram
			for i := range m {
				g.context[i] = word(b, i)
			}
			g.next, g.count = word(b, m), word(b, m+1)
			t.grams[m] = append(t.grams[m], g)
		}
	}
	return r.End()
}

// word returns the number at place i.
func word(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }

// table is the grams of one order in a file: little-endian
//
//	8  contexts
//	8  grams
//	   for each context: its symbols, 4 each, the last of the sequence first; contexts ascend
//	   for each context: the end of its grams among all, 4
//	   for each gram: the next symbol, and the count, 4 each; symbols ascend within a context
type table struct {
	order, contexts  int
	keys, ends, rows []byte
	total            float64 // of the counts, of order 0
}

// appendTable writes the grams of an order, sorted.
func appendTable(out []byte, order int, grams []gram) []byte {
	le := binary.LittleEndian
	var keys, ends, rows []byte
	n := 0
	for i, g := range grams {
		if i == 0 || g.context != grams[i-1].context {
			n++
			if i > 0 {
				ends = le.AppendUint32(ends, uint32(i))
			}
			for _, x := range g.context[:order] {
				keys = le.AppendUint32(keys, x)
			}
		}
		rows = le.AppendUint32(le.AppendUint32(rows, g.next), g.count)
	}
	if n > 0 {
		ends = le.AppendUint32(ends, uint32(len(grams)))
	}
	out = le.AppendUint64(le.AppendUint64(out, uint64(n)), uint64(len(grams)))
	return append(append(append(out, keys...), ends...), rows...)
}

// readTable reads a table of symbols below alphabet.
func readTable(r *model.Reader, order, alphabet int) (t table, err error) {
	contexts, grams := r.Uint64(), r.Uint64()
	t = table{order: order, contexts: int(contexts), keys: r.Take(contexts, 4*uint64(order)), ends: r.Take(contexts, 4), rows: r.Take(grams, 8)}
	if grams > math.MaxUint32 {
		r.Fail("%d grams of order %d", grams, order)
	}
	if r.Err() != nil {
		return t, fmt.Errorf("%w: %w", ErrCorrupt, r.Err())
	}
	if err := t.check(alphabet); err != nil {
		return t, err
	}
	if order == 0 {
		t.total = t.sum(0, int(grams))
	}
	return t, nil
}

// sum adds up the counts of grams.
func (t *table) sum(begin, end int) (total float64) {
	for k := begin; k < end; k++ {
		total += float64(word(t.rows, 2*k+1))
	}
	return total
}

func (t *table) check(alphabet int) error {
	begin := 0
	for i := range t.contexts {
		end := int(word(t.ends, i))
		if end <= begin || end > len(t.rows)/8 {
			return corrupt("context %d of order %d has the grams from %d to %d", i, t.order, begin, end)
		}
		key := t.key(i)
		for _, x := range key[:t.order] {
			if int64(x) >= int64(alphabet) {
				return corrupt("symbol %d of %d", x, alphabet)
			}
		}
		if before := t.key(max(0, i-1)); i > 0 && slices.Compare(before[:], key[:]) >= 0 {
			return corrupt("context %d of order %d after %d", key, t.order, before)
		}
		for k := begin; k < end; k++ {
			if next, n := t.gram(k); int64(next) >= int64(alphabet) || n == 0 || k > begin && next <= word(t.rows, 2*k-2) {
				return corrupt("gram %d of order %d: symbol %d with count %d", k, t.order, next, n)
			}
		}
		begin = end
	}
	if begin != len(t.rows)/8 {
		return corrupt("%d grams of order %d, of which contexts have %d", len(t.rows)/8, t.order, begin)
	}
	return nil
}

func (t *table) key(i int) (key [maxOrder]uint32) {
	for k := range t.order {
		key[k] = word(t.keys, i*t.order+k)
	}
	return key
}

func (t *table) gram(k int) (next, count uint32) { return word(t.rows, 2*k), word(t.rows, 2*k+1) }

// find returns the grams after the last symbols of a sequence, an empty range if it was never seen.
func (t *table) find(sequence []uint32) (begin, end int) {
	if len(sequence) < t.order {
		return 0, 0
	}
	var want [maxOrder]uint32
	for k := range t.order {
		want[k] = sequence[len(sequence)-1-k]
	}
	low, high := 0, t.contexts
	for low < high {
		mid := (low + high) / 2
		if key := t.key(mid); slices.Compare(key[:], want[:]) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == t.contexts || t.key(low) != want {
		return 0, 0
	}
	if low > 0 {
		begin = int(word(t.ends, low-1))
	}
	return begin, int(word(t.ends, low))
}

// after says what follows a sequence: what is added to the probability of symbols by each order, and the share that the uniform distribution has.
type after struct {
	parts   []part
	uniform float64
}

// part is the grams of one context; a symbol with count n gets n·each.
type part struct {
	table      *table
	begin, end int
	each       float64
}

// next interpolates the tables, whose orders ascend: see the documentation of the package. Cost: the grams of the contexts.
func next(tables []table, sequence []uint32) (a after) {
	a.uniform = 1
	for m := len(tables) - 1; m >= 0; m-- {
		t := &tables[m]
		begin, end := t.find(sequence)
		if begin == end {
			continue
		}
		total := t.total
		if t.order > 0 {
			total = t.sum(begin, end)
		}
		kinds := float64(end - begin)
		a.parts = append(a.parts, part{t, begin, end, a.uniform / (total + kinds)})
		a.uniform *= kinds / (total + kinds)
	}
	return a
}

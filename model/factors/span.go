package factors

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

// within says which ratings there can be; others are left out. ±model.MaxRating leaves a side open.
type within struct{ least, greatest float64 }

func withinOf(s model.Settings) within { return within{s.Number("least"), s.Number("greatest")} }

func (w within) has(r float32) bool { return r >= float32(w.least) && r <= float32(w.greatest) }

func (w within) check() error {
	if w.least >= w.greatest {
		return fmt.Errorf("least is %v and greatest %v, want the greatest rating above the least", w.least, w.greatest)
	}
	return nil
}

// span is what ratings count as: from low to high, and against the mean.
//
// Anybody who rates can send any number, and squared errors follow the largest one. So where an end that within leaves open is far off, it is where the thousandth part of the ratings lies beyond, and
// one of them at least if there are fewestCut: those count as what is there. Far off is an end that is further from there than all ratings between these places reach.
type span struct {
	mean, low, high float64

	// What is for notes and errors: the number of ratings, of those left out, and the least and the greatest.
	n, out, lowest, highest float64
}

// fewestCut is the number of ratings from which on one may be an error.
const fewestCut = 10

func (s *span) clip(x float64) float64 { return min(s.high, max(s.low, x)) }

// encode is for decodeSpan.
func (s *span) encode() []byte { return model.Append(nil, s.mean, s.low, s.high) }

// decodeSpan returns what is for solving of a span, and the numbers behind it.
func decodeSpan(b []byte) (*span, []float64, error) {
	f := model.View[float64](b)
	if len(f) < 3 {
		return nil, nil, fmt.Errorf("%d bytes, want a mean, and the least and the greatest rating: are all servers of one program?", len(b))
	}
	return &span{mean: f[0], low: f[1], high: f[2]}, f[3:], nil
}

// cell has ratings that are alike: those of a range of float32 whose ends differ by a part of 128 or less.
type cell struct{ low, high, n, sum float64 }

// histogram has the ratings of a worker by cells. They add up whatever the number of workers, and whole scales have a cell for each rating.
type histogram struct {
	cells map[int32]*cell
	out   float64 // left out
}

// cellOf numbers cells in the order of ratings: their upper 16 bits, which are sign, exponent and 7 digits, those of numbers below 0 turned around.
func cellOf(r float64) int32 {
	bits := int32(math.Float32bits(float32(r)))
	if bits < 0 {
		bits ^= math.MaxInt32
	}
	return bits >> 16
}

func (h *histogram) add(r float32) {
	x := float64(r)
	h.merge(cell{x, x, 1, x})
}

func (h *histogram) merge(c cell) {
	if h.cells == nil {
		h.cells = map[int32]*cell{}
	}
	at := cellOf(c.low)
	to := h.cells[at]
	if to == nil {
		to = &cell{low: c.low, high: c.high}
		h.cells[at] = to
	}
	*to = cell{min(to.low, c.low), max(to.high, c.high), to.n + c.n, to.sum + c.sum}
}

// sorted returns the cells in the order of ratings.
func (h *histogram) sorted() (cells []*cell) {
	for _, at := range slices.Sorted(maps.Keys(h.cells)) {
		cells = append(cells, h.cells[at])
	}
	return cells
}

// encode is for newSpan: how many are left out, then the cells. That is 32 bytes for each rating of a scale, or, of any numbers,
// for each of the 128 cells between a number and its double.
func (h *histogram) encode() []byte {
	b := model.Append(nil, h.out)
	for _, c := range h.sorted() {
		b = model.Append(b, c.low, c.high, c.n, c.sum)
	}
	return b
}

// newSpan makes the span of the histograms of all workers.
func newSpan(said [][]byte, w within) (*span, error) {
	var all histogram
	for worker, b := range said {
		f := model.View[float64](b)
		if len(f)%4 != 1 {
			return nil, fmt.Errorf("worker %d did not say what ratings it has: are all servers of one program?", worker)
		}
		all.out += f[0]
		for c := range slices.Chunk(f[1:], 4) {
			all.merge(cell{c[0], c[1], c[2], c[3]})
		}
	}
	cells := all.sorted()
	s := &span{out: all.out}
	for _, c := range cells {
		s.n += c.n
	}
	if s.n == 0 {
		return s, nil
	}
	s.lowest, s.highest = cells[0].low, cells[len(cells)-1].high
	beyond := 0.0
	if s.n >= fewestCut {
		beyond = math.Ceil(s.n / 1000)
	}
	s.low, s.high = reach(slices.All(cells), beyond).low, reach(slices.Backward(cells), beyond).high
	length := s.high - s.low
	if length == 0 { // of ratings that are nearly all alike
		length = 10 * max(1, math.Abs(s.low))
	}
	if w.least > -model.MaxRating || s.lowest >= s.low-length {
		s.low = s.lowest
	}
	if w.greatest < model.MaxRating || s.highest <= s.high+length {
		s.high = s.highest
	}
	sum := 0.0
	for _, c := range cells {
		switch {
		case c.high < s.low:
			sum += c.n * s.low
		case c.low > s.high:
			sum += c.n * s.high
		default:
			sum += c.sum
		}
	}
	s.mean = sum / s.n
	return s, nil
}

// reach returns the first cell with which there are more ratings than some number.
func reach(cells iter.Seq2[int, *cell], beyond float64) (at *cell) {
	for _, at = range cells {
		if beyond -= at.n; beyond < 0 {
			break
		}
	}
	return at
}

// none is the error of no ratings.
func (s *span) none() error {
	if s.out > 0 {
		return fmt.Errorf("there are no ratings from least to greatest, and %.0f others", s.out)
	}
	return fmt.Errorf("there are no ratings: it learns from events of behavior %s, whose value is the rating; send some, and give them a weight", train.Rating)
}

// noSolution is the error of a row that cannot be solved.
func (s *span) noSolution() error {
	return fmt.Errorf("a row has no one solution: use a larger regularization; %s", s.remedy())
}

// remedy says what to do about ratings that nothing can be learned from.
func (s *span) remedy() string {
	return fmt.Sprintf("ratings go from %.6g to %.6g; leave those out that are none by least=... and greatest=...", s.low, s.high)
}

func (s *span) notes() (notes []string) {
	if s.out > 0 {
		notes = append(notes, fmt.Sprintf("ratings left out, which are not from least to greatest: %.0f", s.out))
	}
	if s.highest > s.high || s.lowest < s.low {
		notes = append(notes, fmt.Sprintf("ratings go from %.6g to %.6g, and count as %.6g to %.6g: leave those out that are none by least=... and greatest=...", s.lowest, s.highest, s.low, s.high))
	}
	return notes
}

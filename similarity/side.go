package similarity

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Side is the part of the weighed matrix with the items [Lo, Hi), by user: what the
// items of a Block are compared with. It is not changed once made and may be
// shared by goroutines.
//
// A row is a run of words: its length, then an entry each, the id relative to Lo
// above a code of its weight. So a visit to a user costs one jump in memory, and
// four bytes an entry: on long-tailed data the time of a task is that of memory.
// Where there are more weights than codes, they are in an array of their own.
type Side struct {
	Lo, Hi uint32

	at    []uint32 // position of the row of each user; 0 is an empty row
	words []uint32
	codes codes
	value []float32 // of the entry in the word of the same position; nil if all have codes

	norms
	inverse []float32 // of each item, for estimates by the measure that the Side is made for
}

// codes numbers up to 256 weights in the order in which they come.
type codes struct {
	weight [256]float32
	n      int
	full   bool // there are more
	slots  [1024]uint16
}

// code returns the number of a weight. All bits count: -0 is not 0.
func (c *codes) code(w float32) uint32 {
	bits := math.Float32bits(w)
	for s := bits * 2654435769 >> 22; ; s = (s + 1) % uint32(len(c.slots)) {
		n := c.slots[s]
		if n == 0 {
			if c.n == len(c.weight) {
				c.full = true
				return 0
			}
			c.weight[c.n] = w
			c.n++
			c.slots[s] = uint16(c.n)
			return uint32(c.n - 1)
		}
		if math.Float32bits(c.weight[n-1]) == bits {
			return uint32(n - 1)
		}
	}
}

func (c *codes) ones() bool { return c.n == 0 || c.n == 1 && !c.full && c.weight[0] == 1 }

// NewSide makes the Side of the items of consecutive blocks: parts holds for each
// block what NewBlock takes, and ends the end of each block's items; the first
// begins at lo. It serves tasks with the Measure and Alpha of o. Errors are those of
// NewBlock. The Side does not refer to parts.
// Cost: O(users + entries); 4 bytes an entry and 8 a user, and 4 bytes more an
// entry where there are more than 256 weights.
func NewSide(lo uint32, ends []uint32, numUsers uint32, parts [][][]byte, o Options) (*Side, error) {
	var rows []*partRows
	hi := lo
	for n, end := range ends {
		open, _, _, err := openParts(hi, end, numUsers, parts[n])
		if err != nil {
			return nil, err
		}
		for _, p := range open {
			rows = append(rows, &partRows{part: p, base: hi - lo})
		}
		hi = end
	}
	s, err := joinRows(lo, hi, numUsers, rows)
	if err != nil {
		return nil, fmt.Errorf("side [%d,%d): %w", lo, hi, err)
	}
	s.setNorms(s.countNorms(), &o)
	return s, nil
}

// joinRows makes the Side of items [lo, hi), but for its norms, from parts by ascending
// item. Users are done one after the other, so that rows are written from the first word to
// the last.
func joinRows(lo, hi, numUsers uint32, parts []*partRows) (*Side, error) {
	if err := checkBlockRange(lo, hi); err != nil {
		return nil, err
	}
	s := &Side{Lo: lo, Hi: hi, at: make([]uint32, numUsers)}
	var entries, filled uint64
	for _, p := range parts {
		entries += p.entries
		filled += p.filled
		p.number(&s.codes)
	}
	most := 1 + entries + min(filled, uint64(numUsers)) // words; 1 for the empty row
	if most > math.MaxUint32 {
		return nil, fmt.Errorf("rows of %d words, want at most %d: %w", most, uint32(math.MaxUint32), ErrShape)
	}
	words := make([]uint32, 1, most)
	if s.codes.full {
		s.value = make([]float32, 1, most)
	}
	// The parts whose next row is that of a user are a chain: first is the number of one,
	// follow that of the next, both plus 1.
	first, follow := make([]uint32, numUsers), make([]uint32, len(parts))
	link := func(n uint32) error {
		p := parts[n]
		more, err := p.next()
		if more {
			follow[n], first[p.user] = first[p.user], n+1
		}
		return err
	}
	for n := range parts {
		if err := link(uint32(n)); err != nil {
			return nil, err
		}
	}
	var turn []uint32
	for user, head := range first {
		if head == 0 {
			continue
		}
		turn = turn[:0]
		for ; head != 0; head = follow[head-1] {
			turn = append(turn, head-1)
		}
		slices.Sort(turn) // by item
		at := len(words)
		s.at[user] = uint32(at)
		words = append(words, 0)
		if s.codes.full {
			s.value = append(s.value, 0)
		}
		for _, n := range turn {
			var err error
			if words, s.value, err = parts[n].appendTo(words, s.value, &s.codes); err == nil {
				err = link(n)
			}
			if err != nil {
				return nil, err
			}
		}
		words[at] = uint32(len(words) - at - 1)
	}
	s.words = words
	hugePages(s.words)
	return s, nil
}

// partRows goes over the rows of a part, for a Side.
type partRows struct {
	*part
	base  uint32      // of its items on the Side
	codes [256]uint32 // on the Side, of the weights that the part numbers
}

// number gives codes to the weights of the part.
func (p *partRows) number(c *codes) {
	switch {
	case p.weights == nil:
		p.codes[0] = c.code(1)
	case p.distinct != nil:
		for n, w := range p.distinct {
			p.codes[n] = c.code(w)
		}
	default:
		for k := 0; k < len(p.weights) && !c.full; k += 4 {
			c.code(math.Float32frombits(binary.LittleEndian.Uint32(p.weights[k:])))
		}
	}
}

// appendTo appends the row at hand to words, and its weights to values if those are
// wanted.
func (p *partRows) appendTo(words []uint32, values []float32, c *codes) ([]uint32, []float32, error) {
	begin := len(words)
	words, err := p.appendItems(words)
	if err != nil {
		return nil, nil, err
	}
	row := words[begin:]
	weights := p.takeWeights()
	for k, item := range row {
		code := p.codes[0]
		if weights != nil {
			w, err := p.weight(weights, k)
			if err != nil {
				return nil, nil, err
			}
			switch {
			case c.full:
				values = append(values, w)
			case p.distinct != nil:
				code = p.codes[weights[k]]
			default:
				code = c.code(w)
			}
		} else if c.full {
			values = append(values, 1)
		}
		row[k] = (p.base+item)<<8 | code
	}
	return words, values, nil
}

// ReadSide is NewSide of parts that it asks for block by block, each block twice, so that they need
// not be in memory together. It is done with what parts returns when it asks again. Errors
// of parts are returned.
func ReadSide(lo uint32, ends []uint32, numUsers uint32, parts func(block int) ([][]byte, error), o Options) (*Side, error) {
	hi := lo
	if len(ends) > 0 {
		hi = ends[len(ends)-1]
	}
	s, err := newSide(lo, hi, numUsers, func(f func(user, item uint32, w float32)) error {
		from := lo
		for n, end := range ends {
			raw, err := parts(n)
			if err != nil {
				return err
			}
			open, _, _, err := openParts(from, end, numUsers, raw)
			if err != nil {
				return err
			}
			base := from - lo
			for _, p := range open {
				if err := p.each(func(user, item uint32, w float32) { f(user, base+item, w) }); err != nil {
					return fmt.Errorf("side [%d,%d): %w", lo, hi, err)
				}
			}
			from = end
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.setNorms(s.countNorms(), &o)
	return s, nil
}

// sideOf makes the Side of the items [lo, hi) of weighed rows, but for its norms.
func sideOf(r *Rows, lo, hi uint32) (*Side, error) {
	return newSide(lo, hi, uint32(r.NumUsers()), func(f func(user, item uint32, w float32)) error {
		for u := range r.NumUsers() {
			from, to := r.window(u, lo, hi)
			for k := from; k < to; k++ {
				f(uint32(u), r.Item[k]-lo, r.weight(k))
			}
		}
		return nil
	})
}

// newSide makes a Side, but for its norms, of entries that each gives to f: the items of a
// user ascend. each is called twice and must give the same.
func newSide(lo, hi, numUsers uint32, each func(f func(user, item uint32, w float32)) error) (*Side, error) {
	if err := checkBlockRange(lo, hi); err != nil {
		return nil, err
	}
	s := &Side{Lo: lo, Hi: hi, at: make([]uint32, numUsers)}
	next := make([]uint32, numUsers) // the lengths of the rows; then where their next entry goes
	if err := each(func(user, _ uint32, w float32) {
		next[user]++
		s.codes.code(w)
	}); err != nil {
		return nil, err
	}
	total := uint64(1) // the empty row
	for _, n := range next {
		if n > 0 {
			total += uint64(n) + 1
		}
	}
	if total > math.MaxUint32 {
		return nil, fmt.Errorf("side [%d,%d) has rows of %d words, want at most %d: %w", lo, hi, total, uint32(math.MaxUint32), ErrShape)
	}
	s.words = make([]uint32, total)
	hugePages(s.words)
	if s.codes.full {
		s.value = make([]float32, total)
	}
	at := uint32(1)
	for u, n := range next {
		if n > 0 {
			s.at[u], s.words[at] = at, n
			next[u] = at + 1
			at += n + 1
		}
	}
	return s, each(func(user, item uint32, w float32) {
		at := next[user]
		next[user]++
		s.words[at] = item << 8
		if s.value != nil {
			s.value[at] = w
		} else {
			s.words[at] |= s.codes.code(w)
		}
	})
}

// countNorms computes the norms of the items from the rows.
func (s *Side) countNorms() norms {
	n := newNorms(s.width())
	for _, at := range s.at { // 0 is a row of no entries
		for p := at + 1; p <= at+s.words[at]; p++ {
			e := s.words[p]
			w := s.codes.weight[uint8(e)]
			if s.value != nil {
				w = s.value[p]
			}
			n.add(e>>8, w)
		}
	}
	return n
}

func (s *Side) setNorms(n norms, o *Options) {
	s.norms, s.inverse = n, make([]float32, len(n.squares))
	hugePages(s.inverse)
	hugePages(n.squares)
	for j, squares := range n.squares {
		s.inverse[j] = o.inverse(squares)
	}
}

// row returns the words of the row at a position, and its weights, which may be in buf
// until the next call.
func (s *Side) row(at uint32, buf *[]float32) ([]uint32, []float32) {
	row := s.words[at+1 : at+1+s.words[at]]
	if s.value != nil {
		return row, s.value[at+1 : int(at)+1+len(row)]
	}
	values := (*buf)[:0]
	for _, e := range row {
		values = append(values, s.codes.weight[uint8(e)])
	}
	*buf = values
	return row, values
}

func (s *Side) width() int { return int(s.Hi - s.Lo) }

// SizeBytes returns the memory that the Side holds.
func (s *Side) SizeBytes() int64 {
	return int64(unsafe.Sizeof(*s)) + 4*int64(len(s.at)+len(s.words)+len(s.value)+len(s.inverse)) + s.sizeBytes()
}

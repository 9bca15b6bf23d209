package fusion

import (
	"runtime"
	"slices"
)

// chunkRows is the number of rows that are packed at once in memory.
const chunkRows = 1 << 16

// ratingBit marks, in an item number, the row of a rating.
const ratingBit = 1 << 31

// rowStore keeps rows in the order of their arrival, packed in chunks. A
// column of a chunk has the narrowest form that holds its numbers exactly,
// which for most files makes 12 to 16 bytes a row.
type rowStore struct {
	n      int64
	open   *openChunk
	chunks []chunk
	// limited says that a memory limit makes the collector run when it must.
	limited bool
}

// openChunk collects the rows of the next chunk.
type openChunk struct {
	n          int
	user, item []uint32 // item with ratingBit
	weight     []float64
	time       []int64
}

// openRowBytes is the memory of a row of an openChunk.
const openRowBytes = 4 + 4 + 8 + 8

func newOpenChunk(rows int) *openChunk {
	return &openChunk{user: make([]uint32, rows), item: make([]uint32, rows), weight: make([]float64, rows), time: make([]int64, rows)}
}

// add adds a row, and reports whether the chunk is full then.
func (c *openChunk) add(user, item uint32, t term) (full bool) {
	if t.rating {
		item |= ratingBit
	}
	c.user[c.n], c.item[c.n], c.weight[c.n], c.time[c.n] = user, item, t.weight, t.time
	c.n++
	return c.n == len(c.user)
}

// pack returns the rows, which it copies, and begins anew.
func (c *openChunk) pack() chunk {
	n := c.n
	out := chunk{user: slices.Clone(c.user[:n]), item: slices.Clone(c.item[:n])}
	out.packWeight(c.weight[:n])
	out.packTime(c.time[:n])
	c.n = 0
	return out
}

// chunk holds up to chunkRows rows.
type chunk struct {
	user, item []uint32  // item with ratingBit
	weight32   []float32 // or
	weight64   []float64 // or, if both are nil, 1
	seconds    []uint32  // or
	millis     []int64   // or, if both are nil, 0
}

func (s *rowStore) add(user, item uint32, t term) {
	if s.open == nil {
		s.open = newOpenChunk(chunkRows)
	}
	s.n++
	if s.open.add(user, item, t) {
		s.seal()
	}
}

// seal packs the open chunk.
func (s *rowStore) seal() {
	if s.open != nil && s.open.n > 0 {
		s.chunks = append(s.chunks, s.open.pack())
	}
}

func (c *chunk) packWeight(weight []float64) {
	one, short := true, true
	for _, x := range weight {
		one = one && x == 1
		short = short && float64(float32(x)) == x
	}
	switch {
	case one:
	case short:
		c.weight32 = make([]float32, len(weight))
		for i, x := range weight {
			c.weight32[i] = float32(x)
		}
	default:
		c.weight64 = slices.Clone(weight)
	}
}

func (c *chunk) packTime(time []int64) {
	unknown, short := true, true
	for _, t := range time {
		unknown = unknown && t == 0
		short = short && t%1000 == 0 && t/1000 < 1<<32
	}
	switch {
	case unknown:
	case short:
		c.seconds = make([]uint32, len(time))
		for i, t := range time {
			c.seconds[i] = uint32(t / 1000)
		}
	default:
		c.millis = slices.Clone(time)
	}
}

// entries are rows by user, and after fuse the entries of a Table.
type entries struct {
	start    []int64
	item     []uint32  // with ratingBit until fused
	weight   []float32 // nil if all are 1; until fused, nil also if weight64 is not
	weight64 []float64 // until fused, nil if all weights are in weight
	time     []int64   // nil if all are 0
}

// group brings the rows into the order of their users, and uses the store up.
// Rows of one user stay in the order of their arrival. Arguments
// userRank and itemRank are the final numbers of users and items.
//
// This is a counting sort, one column after the other. A column of the chunks
// is given up as soon as it is copied; see collect.
func (s *rowStore) group(userRank, itemRank []uint32) *entries {
	s.seal()
	s.open = nil
	e := &entries{start: make([]int64, len(userRank)+1)}
	for _, c := range s.chunks {
		for _, u := range c.user {
			e.start[userRank[u]+1]++
		}
	}
	for u := range userRank {
		e.start[u+1] += e.start[u]
	}
	next := slices.Clone(e.start)
	for _, c := range s.chunks {
		for i, u := range c.user {
			to := &next[userRank[u]]
			c.user[i] = uint32(*to) // now the place of the row
			*to++
		}
	}

	e.item = make([]uint32, s.n)
	for k := range s.chunks {
		c := &s.chunks[k]
		for i, to := range c.user {
			e.item[to] = itemRank[c.item[i]&^ratingBit] | c.item[i]&ratingBit
		}
		c.item = nil
	}
	s.collect()
	s.groupWeight(e)
	s.collect()
	s.groupTime(e)
	s.chunks = nil
	s.collect()
	return e
}

// collect makes the collector take at once what was given up: by itself it
// would let the memory double. Where that is little, it is left alone.
func (s *rowStore) collect() {
	if s.n >= 1<<20 && !s.limited {
		runtime.GC()
	}
}

func (s *rowStore) groupWeight(e *entries) {
	one, short := true, true
	for _, c := range s.chunks {
		one = one && c.weight32 == nil && c.weight64 == nil
		short = short && c.weight64 == nil
	}
	switch {
	case one:
	case short:
		e.weight = make([]float32, s.n)
		for k := range s.chunks {
			c := &s.chunks[k]
			for i, to := range c.user {
				e.weight[to] = 1
				if c.weight32 != nil {
					e.weight[to] = c.weight32[i]
				}
			}
			c.weight32 = nil
		}
	default:
		e.weight64 = make([]float64, s.n)
		for k := range s.chunks {
			c := &s.chunks[k]
			for i, to := range c.user {
				switch {
				case c.weight64 != nil:
					e.weight64[to] = c.weight64[i]
				case c.weight32 != nil:
					e.weight64[to] = float64(c.weight32[i])
				default:
					e.weight64[to] = 1
				}
			}
			c.weight32, c.weight64 = nil, nil
		}
	}
}

func (s *rowStore) groupTime(e *entries) {
	for k := range s.chunks {
		c := &s.chunks[k]
		if e.time == nil && (c.seconds != nil || c.millis != nil) {
			e.time = make([]int64, s.n)
		}
		switch {
		case c.seconds != nil:
			for i, to := range c.user {
				e.time[to] = int64(c.seconds[i]) * 1000
			}
		case c.millis != nil:
			for i, to := range c.user {
				e.time[to] = c.millis[i]
			}
		}
		c.seconds, c.millis = nil, nil
	}
}

// fuse fuses the rows of each user and item to one entry and brings the entries of
// a user into the order of their items, in place.
func (e *entries) fuse(w *Weights) {
	f := fuser{entries: e, weights: w}
	from := int64(0)
	for u := range len(e.start) - 1 {
		to := e.start[u+1]
		e.start[u] = f.out
		f.row(from, to)
		from = to
	}
	e.start[len(e.start)-1] = f.out
	e.weight64 = nil
	e.item = shrink(e.item, f.out)
	if e.weight = shrink(e.weight, f.out); !f.weighted {
		e.weight = nil
	}
	if e.time = shrink(e.time, f.out); !f.timed {
		e.time = nil
	}
}

// shrink cuts s to n elements, and frees the rest if that is worth a copy.
func shrink[T any](s []T, n int64) []T {
	if s == nil || 4*n > 3*int64(len(s)) {
		return s[:min(n, int64(len(s)))]
	}
	return slices.Clone(s[:n])
}

// fuser writes entries over the rows, which it reads ahead of them.
type fuser struct {
	*entries
	weights  *Weights
	out      int64 // entries written
	weighted bool  // one of them weighs other than 1
	timed    bool  // one of them has a time

	// Of one user:
	order []uint64 // item, then place in the row
	copy  []term   // the row
	terms []term   // those of one item
}

// row fuses the rows of one user.
func (f *fuser) row(from, to int64) {
	ascending := true
	for i := from + 1; i < to && ascending; i++ {
		ascending = f.item[i-1]&^ratingBit < f.item[i]&^ratingBit
	}
	if ascending {
		for i := from; i < to; i++ {
			f.terms = append(f.terms[:0], f.term(i))
			f.write(f.item[i] &^ ratingBit)
		}
		return
	}
	f.order, f.copy = f.order[:0], f.copy[:0]
	for i := from; i < to; i++ {
		f.order = append(f.order, uint64(f.item[i]&^ratingBit)<<32|uint64(i-from))
		f.copy = append(f.copy, f.term(i))
	}
	slices.Sort(f.order)
	for i := 0; i < len(f.order); {
		item := f.order[i] >> 32
		f.terms = f.terms[:0]
		for ; i < len(f.order) && f.order[i]>>32 == item; i++ {
			f.terms = append(f.terms, f.copy[uint32(f.order[i])])
		}
		if len(f.terms) > 1 {
			slices.SortStableFunc(f.terms, byTime)
		}
		f.write(uint32(item))
	}
}

// term returns row i.
func (f *fuser) term(i int64) term {
	t := term{weight: 1, rating: f.item[i]&ratingBit != 0}
	switch {
	case f.weight64 != nil:
		t.weight = f.weight64[i]
	case f.weight != nil:
		t.weight = float64(f.weight[i])
	}
	if f.time != nil {
		t.time = f.time[i]
	}
	return t
}

// write appends the entry of an item with the terms f.terms.
func (f *fuser) write(item uint32) {
	weight, last, ok := f.weights.sum(f.terms)
	if !ok {
		return
	}
	f.item[f.out] = item
	if weight != 1 && f.weight == nil {
		f.weight = make([]float32, len(f.item))
		for i := range f.weight {
			f.weight[i] = 1 // what the rows not read yet weigh too
		}
	}
	if f.weight != nil {
		f.weight[f.out] = weight
		f.weighted = f.weighted || weight != 1
	}
	if f.time != nil {
		f.time[f.out] = last
		f.timed = f.timed || last != 0
	}
	f.out++
}

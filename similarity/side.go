package similarity

import (
	"cmp"
	"fmt"
	"iter"
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
	if n := c.slots[slotOf(bits)]; n != 0 && math.Float32bits(c.weight[n-1]) == bits {
		return uint32(n - 1)
	}
	return c.add(bits)
}

// slotOf returns where the search for the bits of a weight begins.
func slotOf(bits uint32) uint32 { return bits * 2654435769 >> 22 }

// add is code, but for the first slot that it looks at.
func (c *codes) add(bits uint32) uint32 {
	for s := slotOf(bits); ; s = (s + 1) % uint32(len(c.slots)) {
		n := c.slots[s]
		if n == 0 {
			if c.n == len(c.weight) {
				c.full = true
				return 0
			}
			c.weight[c.n] = math.Float32frombits(bits)
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
// entry where there are more than 256 weights. While it is made, 4 bytes more for each
// entry of the users that a part has.
func NewSide(lo uint32, ends []uint32, numUsers uint32, parts [][][]byte, o Options) (*Side, error) {
	var all []*part
	hi := lo
	for n, end := range ends {
		open, _, _, err := openParts(hi, end, numUsers, parts[n])
		if err != nil {
			return nil, err
		}
		all = append(all, open...)
		hi = end
	}
	s, err := joinRows(lo, hi, numUsers, all)
	if err != nil {
		return nil, fmt.Errorf("side [%d,%d): %w", lo, hi, err)
	}
	s.setNorms(s.norms, &o)
	return s, nil
}

// joinRows makes the Side of items [lo, hi), with norms but without their inverses, from parts by ascending
// item. Users are done range by range, as they are in parts, so that the rows at work are in
// the cache.
func joinRows(lo, hi, numUsers uint32, parts []*part) (*Side, error) {
	if err := checkBlockRange(lo, hi); err != nil {
		return nil, err
	}
	s := &Side{Lo: lo, Hi: hi, at: make([]uint32, numUsers), norms: newNorms(int(hi - lo))}
	var entries uint64
	for _, p := range parts {
		entries += p.entries
		p.number(&s.codes)
	}
	most := 1 + entries + min(entries, uint64(numUsers)) // words; 1 for the empty row
	if most > math.MaxUint32 {
		return nil, fmt.Errorf("rows of %d words, want at most %d: %w", most, uint32(math.MaxUint32), ErrShape)
	}
	s.words = make([]uint32, most)
	hugePages(s.words)
	if s.codes.full {
		s.value = make([]float32, most)
	}
	at := uint32(1)
	var j rowJoiner
	for group := range userGroups(parts) {
		var err error
		if at, err = j.join(s, at, group); err != nil {
			return nil, err
		}
	}
	s.words = s.words[:at]
	if s.value != nil {
		s.value = s.value[:at]
	}
	return s, nil
}

// rowJoiner makes rows of a Side. It keeps memory from one range of users to the next.
type rowJoiner struct {
	next   []uint32 // of each user of the range: the length of the row; then where its next entry goes
	users  []uint32 // of all entries, relative to the first of the range
	codes  []uint32 // of an item
	values []float32
}

// join writes the rows of the users of some parts, by ascending item, to the words from at on, and returns their end.
func (j *rowJoiner) join(s *Side, at uint32, parts []*part) (end uint32, err error) {
	first, last := parts[0].firstUser, uint64(0)
	for _, p := range parts {
		first, last = min(first, p.firstUser), max(last, p.end())
	}
	j.next, j.users = atLeast(j.next, int(last-uint64(first))), j.users[:0]
	clear(j.next)
	for _, p := range parts {
		if err := j.count(p, first); err != nil {
			return 0, err
		}
	}
	users := j.users
	for u, n := range j.next {
		if n > 0 {
			s.at[first+uint32(u)], s.words[at] = at, n
			j.next[u] = at + 1
			at += n + 1
		}
	}
	for _, p := range parts {
		if users, err = j.write(s, p, users); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// count appends the users of a part, and adds its entries to the lengths of their rows.
func (j *rowJoiner) count(p *part, first uint32) error {
	j.users = slices.Grow(j.users, int(p.entries))
	return p.eachItem(func(i *partItems) error {
		n := len(j.users)
		j.users = j.users[:n+i.size]
		users := j.users[n:]
		if err := i.users(users); err != nil {
			return err
		}
		for k, user := range users {
			user -= first
			users[k] = user
			j.next[user]++
		}
		return nil
	})
}

// write writes the entries of a part to the rows of users and counts them in the norms, and returns the users that follow.
func (j *rowJoiner) write(s *Side, p *part, users []uint32) (rest []uint32, err error) {
	table := p.codesOf(&s.codes)
	items := p.items()
	for {
		more, err := items.more()
		if !more || err != nil {
			return users, err
		}
		of := users[:items.size]
		users = users[items.size:]
		item := p.lo - s.Lo + items.item
		word, squares := item<<8, s.squares[item]
		s.users[item] += uint32(items.size)
		if s.codes.full {
			j.values = atLeast(j.values, items.size)
			if err := items.values(j.values); err != nil {
				return nil, err
			}
			for k, user := range of {
				to := &j.next[user]
				s.words[*to], s.value[*to] = word, j.values[k]
				squares += float64(j.values[k]) * float64(j.values[k])
				*to++
			}
			s.squares[item] = squares
			continue
		}
		j.codes = atLeast(j.codes, items.size)
		if err := items.codes(j.codes, &table, &s.codes); err != nil {
			return nil, err
		}
		codes := j.codes[:len(of)]
		for k, user := range of {
			to := &j.next[user]
			s.words[*to] = word | codes[k]
			w := float64(s.codes.weight[uint8(codes[k])])
			squares += w * w
			*to++
		}
		s.squares[item] = squares
	}
}

// userGroups cuts parts, which are by ascending item, into groups that share no user, by ascending user. Within a
// group the order stays. Usually the parts of all blocks have the same ranges of users, and each makes a group.
func userGroups(parts []*part) iter.Seq[[]*part] {
	return func(yield func([]*part) bool) {
		order := make([]int, len(parts))
		for n := range order {
			order[n] = n
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(parts[a].firstUser, parts[b].firstUser) })
		for len(order) > 0 {
			n, end := 0, uint64(0)
			for n < len(order) && (n == 0 || uint64(parts[order[n]].firstUser) < end) {
				end = max(end, parts[order[n]].end())
				n++
			}
			slices.Sort(order[:n])
			var group []*part
			for _, k := range order[:n] {
				group = append(group, parts[k])
			}
			if order = order[n:]; !yield(group) {
				return
			}
		}
	}
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
			for _, p := range open {
				if err := p.each(lo, f); err != nil {
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

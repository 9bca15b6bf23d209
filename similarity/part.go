package similarity

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Form of a part, all integers little endian or unsigned varints:
//
//	magic "kblk", version 3
//	varint  first user, number of users, first item, number of items
//	varint  number of entries, bytes of the lengths that follow
//	varint  weights: 0 if all are one, 1 to 256 for as many distinct ones, 257 if each is in full
//	for each item with entries: varint items skipped since the one before, number of its entries less one
//	for each entry, item by item: varint users skipped since the one before of the item, or before the first
//	weights: 4 bytes float32 for each distinct weight, then a byte for each entry: its number; or 4 bytes float32 for each entry
//	8 bytes xxhash64 of everything before
//
// It is by item because an item has dozens of the users of a part, while a user has a few of the items of a block: loops
// over so few mispredict their ends.
const (
	partMagic   = "kblk"
	partVersion = 3
	partInFull  = 257
)

// AppendPart appends the encoded entries of items [lo, hi) of the weighed rows r to
// dst and returns the extended slice. Row u of r is user firstUser+u of the
// whole matrix. It panics if firstUser+r.NumUsers() is above 2^32-1 or if [lo, hi)
// is not a block. Cost: O(users + items + entries of r), about 1.2 bytes
// an entry of the block, and with weights 1 more, or 4 if there are more than 256.
func AppendPart(dst []byte, r *Rows, firstUser, lo, hi uint32) []byte {
	return AppendColumns(dst, r.Columns(), firstUser, lo, hi)
}

// Parts returns the parts of consecutive ranges of items, the first of which begins
// at 0, and each ends at the entry of ends: for each range the bytes that AppendPart
// appends. It panics as AppendPart does. Cost: O(users + items + entries), and two copies of the matrix.
func Parts(r *Rows, firstUser uint32, ends []uint32) [][]byte {
	return ColumnParts(r.Columns(), firstUser, ends)
}

// ColumnParts is Parts of the items×users matrix, without a copy.
func ColumnParts(columns *Rows, firstUser uint32, ends []uint32) [][]byte {
	out := make([][]byte, len(ends))
	lo := uint32(0)
	for b, hi := range ends {
		out[b] = AppendColumns(nil, columns, firstUser, lo, hi)
		lo = hi
	}
	return out
}

// AppendColumns is AppendPart of the items×users matrix. Cost: O(items + entries of the block).
func AppendColumns(dst []byte, columns *Rows, firstUser, lo, hi uint32) []byte {
	if err := checkBlockRange(lo, hi); err != nil {
		panic("similarity: " + err.Error())
	}
	if uint64(firstUser)+uint64(columns.NumItems) > math.MaxUint32 {
		panic(fmt.Sprintf("similarity: part of users [%d,+%d) passes 2^32-1", firstUser, columns.NumItems))
	}
	var first, last int64
	if n := columns.NumUsers(); n > 0 { // items that it has not have no entries
		first, last = columns.Start[min(int(lo), n)], columns.Start[min(int(hi), n)]
	}
	entries := int(last - first)
	var lengths []byte
	skips := make([]byte, 0, entries+entries/4)
	nextItem := int(lo)
	for item := int(lo); item < min(int(hi), columns.NumUsers()); item++ {
		users, _ := columns.row(item)
		if len(users) == 0 {
			continue
		}
		lengths = binary.AppendUvarint(lengths, uint64(item-nextItem))
		lengths = binary.AppendUvarint(lengths, uint64(len(users)-1))
		nextItem = item + 1
		next := uint32(0)
		for _, u := range users {
			if skip := u - next; skip < 0x80 { // as most are
				skips = append(skips, byte(skip))
			} else {
				skips = binary.AppendUvarint(skips, uint64(skip))
			}
			next = u + 1
		}
	}
	form, weights := 0, []byte(nil)
	if columns.Weight != nil {
		form, weights = encodeWeights(columns.Weight[first:last])
	}
	const header = len(partMagic) + 1 + 7*binary.MaxVarintLen32
	begin := len(dst)
	dst = slices.Grow(dst, header+len(lengths)+len(skips)+len(weights)+sumBytes)
	dst = append(append(dst, partMagic...), partVersion)
	for _, v := range []int{int(firstUser), columns.NumItems, int(lo), int(hi - lo), entries, len(lengths), form} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	return appendSum(append(append(append(dst, lengths...), skips...), weights...), begin)
}

// encodeWeights returns how weights are encoded, and the bytes.
func encodeWeights(weights []float32) (form int, b []byte) {
	var c codes
	numbers := make([]byte, 0, len(weights))
	for _, w := range weights {
		n := c.code(w)
		if c.full {
			break
		}
		numbers = append(numbers, byte(n))
	}
	distinct := c.weight[:c.n]
	switch {
	case !c.full && c.ones():
		return 0, nil
	case !c.full && 4*c.n < 3*len(weights): // or they are shorter in full
		b = make([]byte, 0, 4*c.n+len(numbers))
		for _, w := range distinct {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(w))
		}
		return c.n, append(b, numbers...)
	}
	b = make([]byte, 0, 4*len(weights))
	for _, w := range weights {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(w))
	}
	return partInFull, b
}

// window returns the range of the entries of row u with items [lo, hi).
func (r *Rows) window(u int, lo, hi uint32) (from, to int64) {
	start := r.Start[u]
	row := r.Item[start:r.Start[u+1]]
	f := sort.Search(len(row), func(k int) bool { return row[k] >= lo })
	t := f + sort.Search(len(row)-f, func(k int) bool { return row[f+k] >= hi })
	return start + int64(f), start + int64(t)
}

// part is an opened part: its header, and the bytes of what follows.
type part struct {
	firstUser, users, lo, hi uint32
	entries                  uint64
	lengths, skips           []byte
	weights                  []byte    // nil if all are one
	distinct                 []float32 // that weights number; nil if they are in full
}

// openPart checks the checksum and the header, whose sizes it bounds by the
// length of the data.
func openPart(raw []byte) (*part, error) {
	d, err := openSum(raw, partMagic, partVersion)
	if err != nil {
		return nil, err
	}
	var p part
	p.firstUser = uint32(d.uint(math.MaxUint32))
	p.users = uint32(d.uint(math.MaxUint32 - uint64(p.firstUser)))
	p.lo = uint32(d.uint(math.MaxUint32))
	p.hi = p.lo + uint32(d.uint(min(MaxBlockItems, math.MaxUint32-uint64(p.lo))))
	p.entries = d.uint(uint64(len(d.b)))
	lengths := d.uint(uint64(len(d.b)))
	form := d.uint(partInFull)
	weights := uint64(0)
	switch form {
	case 0:
	case partInFull:
		weights = 4 * p.entries
	default:
		weights = 4*form + p.entries
	}
	if d.bad || lengths+p.entries+weights > uint64(len(d.b)) { // each entry has a skip
		return nil, fmt.Errorf("bad header: %w", ErrCorrupt)
	}
	p.lengths, p.skips = d.b[:lengths], d.b[lengths:len(d.b)-int(weights)]
	if form == 0 {
		return &p, nil
	}
	p.weights = d.b[len(d.b)-int(weights):]
	if form == partInFull {
		return &p, nil
	}
	for range form {
		w := math.Float32frombits(binary.LittleEndian.Uint32(p.weights))
		if !validWeight(w) {
			return nil, fmt.Errorf("weight %v: %w", w, ErrCorrupt)
		}
		p.distinct, p.weights = append(p.distinct, w), p.weights[4:]
	}
	return &p, nil
}

// end is the first user behind those of the part.
func (p *part) end() uint64 { return uint64(p.firstUser) + uint64(p.users) }

// number gives codes to the weights of the part.
func (p *part) number(c *codes) {
	switch {
	case p.weights == nil:
		c.code(1)
	case p.distinct != nil:
		for _, w := range p.distinct {
			c.code(w)
		}
	default:
		for k := 0; k < len(p.weights) && !c.full; k += 4 {
			c.code(math.Float32frombits(binary.LittleEndian.Uint32(p.weights[k:])))
		}
	}
}

// partItems goes over the items of a part that have entries.
type partItems struct {
	part *part
	// item at hand, relative to the first of the part, and its number of entries.
	item uint32
	size int

	next           uint32 // item that may come
	left           uint64 // entries behind the item at hand
	lengths        decoder
	skips, weights []byte // from what was read on
}

// items begins before the first item.
func (p *part) items() partItems {
	return partItems{part: p, left: p.entries, lengths: decoder{b: p.lengths}, skips: p.skips, weights: p.weights}
}

// more goes to the next item and tells whether there is one.
func (i *partItems) more() (bool, error) {
	if len(i.lengths.b) == 0 {
		if i.left != 0 {
			return false, fmt.Errorf("items do not fill the data: %w", ErrCorrupt)
		}
		return false, nil
	}
	width := i.part.hi - i.part.lo
	if i.next == width || i.left == 0 {
		return false, fmt.Errorf("too many items or entries: %w", ErrCorrupt)
	}
	i.item = i.next + uint32(i.lengths.uint(uint64(width-i.next-1)))
	n := i.lengths.uint(i.left-1) + 1
	if i.lengths.bad {
		return false, i.bad()
	}
	i.next, i.left, i.size = i.item+1, i.left-n, int(n)
	return true, nil
}

// eachItem calls f with each item at hand, which must read its users, and checks that nothing is left behind them.
func (p *part) eachItem(f func(i *partItems) error) error {
	items := p.items()
	for {
		more, err := items.more()
		if err != nil {
			return err
		}
		if !more {
			return items.end()
		}
		if err := f(&items); err != nil {
			return err
		}
	}
}

func (i *partItems) bad() error {
	return fmt.Errorf("bad entries of item %d: %w", i.part.lo+i.item, ErrCorrupt)
}

// users writes the users of the item at hand to dst, as many as it has entries. They ascend, and are those of the part.
func (i *partItems) users(dst []uint32) error {
	b, n := i.skips, 0
	user := uint64(i.part.firstUser) // the next that may come
	for k := range dst {
		if n == len(b) {
			return i.bad()
		}
		skip := uint64(b[n])
		n++
		if skip >= 0x80 {
			long := 0
			if skip, long = binary.Uvarint(b[n-1:]); long <= 0 || skip > math.MaxUint32 {
				return i.bad()
			}
			n += long - 1
		}
		user += skip
		dst[k] = uint32(user)
		user++
	}
	if user > i.part.end() {
		return i.bad()
	}
	i.skips = b[n:]
	return nil
}

// end returns an error if there are users behind those that were read.
func (i *partItems) end() error {
	if len(i.skips) != 0 {
		return fmt.Errorf("users do not fill the data: %w", ErrCorrupt)
	}
	return nil
}

// noCode is no code of a weight.
const noCode = 1 << 8

// codesOf returns the codes of the weights that the part numbers; all others are noCode.
func (p *part) codesOf(c *codes) (table [256]uint32) {
	for n := range table {
		if table[n] = noCode; n < len(p.distinct) {
			table[n] = c.code(p.distinct[n])
		}
	}
	return table
}

// codes writes the codes of the weights of the item at hand to dst. c has numbered them, and is not full.
func (i *partItems) codes(dst []uint32, table *[256]uint32, c *codes) error {
	switch {
	case i.part.weights == nil:
		one := c.code(1)
		for k := range dst {
			dst[k] = one
		}
	case i.part.distinct != nil:
		seen := uint32(0)
		for k, n := range i.weights[:len(dst)] { // which are there: there is one for each entry
			dst[k] = table[n]
			seen |= table[n]
		}
		if seen >= noCode {
			return i.bad()
		}
		i.weights = i.weights[len(dst):]
	default:
		for k := range dst {
			w, err := i.inFull(k)
			if err != nil {
				return err
			}
			dst[k] = c.code(w)
		}
		i.weights = i.weights[4*len(dst):]
	}
	return nil
}

// values writes the weights of the item at hand to dst.
func (i *partItems) values(dst []float32) (err error) {
	switch {
	case i.part.weights == nil:
		for k := range dst {
			dst[k] = 1
		}
	case i.part.distinct != nil:
		for k, n := range i.weights[:len(dst)] {
			if int(n) >= len(i.part.distinct) {
				return i.bad()
			}
			dst[k] = i.part.distinct[n]
		}
		i.weights = i.weights[len(dst):]
	default:
		for k := range dst {
			if dst[k], err = i.inFull(k); err != nil {
				return err
			}
		}
		i.weights = i.weights[4*len(dst):]
	}
	return nil
}

// inFull returns weight k from the one at hand on, of a part that has them in full.
func (i *partItems) inFull(k int) (float32, error) {
	w := math.Float32frombits(binary.LittleEndian.Uint32(i.weights[4*k:]))
	if !validWeight(w) {
		return 0, fmt.Errorf("weight %v: %w", w, ErrCorrupt)
	}
	return w, nil
}

// each calls f for all entries, item by item, the users of each ascending. Items are relative to base.
func (p *part) each(base uint32, f func(user, item uint32, w float32)) error {
	var users []uint32
	var weights []float32
	return p.eachItem(func(i *partItems) error {
		users, weights = atLeast(users, i.size), atLeast(weights, i.size)
		if err := i.users(users); err != nil {
			return err
		}
		if err := i.values(weights); err != nil {
			return err
		}
		for k, user := range users {
			f(user, p.lo-base+i.item, weights[k])
		}
		return nil
	})
}

// atLeast returns a slice of n elements, in the memory of s if it has room.
func atLeast[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

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
//	magic "kblk", version 1 or 2
//	varint  first user, number of users, first item, number of items
//	varint  number of users with entries, number of entries
//	varint  version 1: 1 if weights follow or 0; version 2: number of distinct weights, 1 to 256
//	for each user with entries:
//	  varint  users skipped since the one before, entries less one
//	  varint  first item relative to the block, then items skipped between two
//	weights, if they follow; otherwise all are one
//	  version 1: 4 bytes float32 for each entry
//	  version 2: 4 bytes float32 for each distinct weight, then a byte for each entry: its number
//	8 bytes xxhash64 of everything before
const (
	partMagic   = "kblk"
	partVersion = 1
	partCoded   = 2 // the version with numbered weights
)

// AppendPart appends the encoded entries of items [lo, hi) of the weighed rows r to
// dst and returns the extended slice. Row u of r is user firstUser+u of the
// whole matrix. It panics if firstUser+r.NumUsers() is above 2^32-1 or if [lo, hi)
// is not a block. Cost: O(users · log(row) + entries of the block), about 1.5 bytes
// an entry, and with weights 1 more, or 4 if there are more than 256.
func AppendPart(dst []byte, r *Rows, firstUser, lo, hi uint32) []byte {
	checkPart(r, firstUser, lo, hi)
	p := partWriter{lo: lo, hi: hi}
	for u := range r.NumUsers() {
		if from, to := r.window(u, lo, hi); from < to {
			p.add(u, r, from, to)
		}
	}
	return p.append(dst, firstUser, r.NumUsers())
}

// Parts returns the parts of consecutive ranges of items, the first of which begins
// at 0, and each ends at the entry of ends: for each range the bytes that AppendPart
// appends, but in one pass over the rows. It panics as AppendPart does. Cost: O(users
// + items + entries), 4 bytes an item and the parts twice.
func Parts(r *Rows, firstUser uint32, ends []uint32) [][]byte {
	blocks := make([]partWriter, len(ends))
	blockOf := make([]uint32, 0, r.NumItems)
	lo := uint32(0)
	for b, hi := range ends {
		checkPart(r, firstUser, lo, hi)
		blocks[b].lo, blocks[b].hi = lo, hi
		for ; lo < hi; lo++ {
			blockOf = append(blockOf, uint32(b))
		}
	}
	for u := range r.NumUsers() {
		end := r.Start[u+1]
		for from := r.Start[u]; from < end && int(r.Item[from]) < len(blockOf); {
			b := &blocks[blockOf[r.Item[from]]]
			to := from + 1
			for to < end && r.Item[to] < b.hi {
				to++
			}
			b.add(u, r, from, to)
			from = to
		}
	}
	out := make([][]byte, len(ends))
	for b := range blocks {
		out[b] = blocks[b].append(nil, firstUser, r.NumUsers())
		blocks[b] = partWriter{} // its memory is free for the next
	}
	return out
}

func checkPart(r *Rows, firstUser, lo, hi uint32) {
	if err := checkBlockRange(lo, hi); err != nil {
		panic("similarity: " + err.Error())
	}
	if uint64(firstUser)+uint64(r.NumUsers()) > math.MaxUint32 {
		panic(fmt.Sprintf("similarity: part of users [%d,+%d) passes 2^32-1", firstUser, r.NumUsers()))
	}
}

// partWriter collects the rows of one part, by ascending user.
type partWriter struct {
	lo, hi          uint32
	next            int // the user that may come next
	filled, entries int
	rows            []byte
	// codes number the weights. weights has the number of each entry, or the weight when there are too many to number.
	codes   codes
	weights []byte
}

// add adds the entries [from, to) of r, which are those of a user.
func (p *partWriter) add(user int, r *Rows, from, to int64) {
	p.rows = binary.AppendUvarint(p.rows, uint64(user-p.next))
	p.rows = binary.AppendUvarint(p.rows, uint64(to-from-1))
	p.next = user + 1
	skip := p.lo
	for _, i := range r.Item[from:to] {
		p.rows = binary.AppendUvarint(p.rows, uint64(i-skip))
		skip = i + 1
	}
	p.filled++
	p.entries += int(to - from)
	if r.Weight == nil {
		return
	}
	for _, w := range r.Weight[from:to] {
		if !p.codes.full {
			n := p.codes.code(w)
			if !p.codes.full {
				p.weights = append(p.weights, byte(n))
				continue
			}
			p.weights = p.spelled()
		}
		p.weights = binary.LittleEndian.AppendUint32(p.weights, math.Float32bits(w))
	}
}

// spelled returns the numbered weights of the entries in full.
func (p *partWriter) spelled() []byte {
	out := make([]byte, 0, 8*len(p.weights))
	for _, n := range p.weights {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(p.codes.weight[n]))
	}
	return out
}

// append appends the part to dst.
func (p *partWriter) append(dst []byte, firstUser uint32, users int) []byte {
	version, form, weights := byte(partVersion), 1, p.weights
	var distinct []float32
	switch {
	case p.codes.full:
	case p.codes.ones():
		form, weights = 0, nil
	case 4*p.codes.n < 3*p.entries: // or they are shorter in full
		version, form, distinct = partCoded, p.codes.n, p.codes.weight[:p.codes.n]
	default:
		weights = p.spelled()
	}
	const header = len(partMagic) + 1 + 7*binary.MaxVarintLen32
	begin := len(dst)
	dst = slices.Grow(dst, header+len(p.rows)+4*len(distinct)+len(weights)+sumBytes)
	dst = append(append(dst, partMagic...), version)
	for _, v := range []int{int(firstUser), users, int(p.lo), int(p.hi - p.lo), p.filled, p.entries, form} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	dst = append(dst, p.rows...)
	for _, w := range distinct {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(w))
	}
	return appendSum(append(dst, weights...), begin)
}

// window returns the range of the entries of row u with items [lo, hi).
func (r *Rows) window(u int, lo, hi uint32) (from, to int64) {
	start := r.Start[u]
	row := r.Item[start:r.Start[u+1]]
	f := sort.Search(len(row), func(k int) bool { return row[k] >= lo })
	t := f + sort.Search(len(row)-f, func(k int) bool { return row[f+k] >= hi })
	return start + int64(f), start + int64(t)
}

// part is an opened part: its header, and the bytes of its rows and weights.
type part struct {
	firstUser, users, lo, hi uint32
	filled, entries          uint64
	rows                     decoder
	weights                  []byte    // nil if all are one
	distinct                 []float32 // that weights number; nil if they are in full

	// Where next is: what rows and weights have is behind the row at hand.
	user uint32 // of the row at hand
	size int    // its entries
	seen uint64 // rows, with it
	skip uint64 // the first user who may come after it
	left uint64 // entries after it
}

// openPart checks the checksum and the header, whose sizes it bounds by the
// length of the data.
func openPart(raw []byte) (*part, error) {
	version, most := byte(partVersion), uint64(1)
	if len(raw) > len(partMagic) && raw[len(partMagic)] == partCoded {
		version, most = partCoded, 256
	}
	d, err := openSum(raw, partMagic, version)
	if err != nil {
		return nil, err
	}
	var p part
	p.firstUser = uint32(d.uint(math.MaxUint32))
	p.users = uint32(d.uint(math.MaxUint32 - uint64(p.firstUser)))
	p.lo = uint32(d.uint(math.MaxUint32))
	p.hi = p.lo + uint32(d.uint(min(MaxBlockItems, math.MaxUint32-uint64(p.lo))))
	p.filled = d.uint(min(uint64(p.users), uint64(len(d.b))/2))
	p.entries = d.uint(uint64(len(d.b)))
	form := d.uint(most)
	if d.bad || p.entries < p.filled {
		return nil, fmt.Errorf("bad header: %w", ErrCorrupt)
	}
	rows := d.b
	if form > 0 {
		size := 4 * p.entries
		if version == partCoded {
			size = 4*form + p.entries
		}
		if uint64(len(rows)) < size {
			return nil, fmt.Errorf("%d bytes for %d weights: %w", len(rows), p.entries, ErrCorrupt)
		}
		cut := len(rows) - int(size)
		rows, p.weights = rows[:cut], rows[cut:]
	}
	if version == partCoded {
		for range form {
			w := math.Float32frombits(binary.LittleEndian.Uint32(p.weights))
			if !validWeight(w) {
				return nil, fmt.Errorf("weight %v: %w", w, ErrCorrupt)
			}
			p.distinct, p.weights = append(p.distinct, w), p.weights[4:]
		}
	}
	p.rows, p.skip, p.left = decoder{b: rows}, uint64(p.firstUser), p.entries
	return &p, nil
}

// next goes to the next row, and tells whether there is one. appendItems and then
// takeWeights are to be called for each row.
func (p *part) next() (more bool, err error) {
	if p.seen == p.filled {
		if len(p.rows.b) != 0 || p.left != 0 {
			return false, fmt.Errorf("rows do not fill the data: %w", ErrCorrupt)
		}
		return false, nil
	}
	end := uint64(p.firstUser) + uint64(p.users)
	if p.skip >= end || p.left == 0 {
		return false, fmt.Errorf("too many rows or entries: %w", ErrCorrupt)
	}
	user := p.skip + p.rows.uint(end-p.skip-1)
	size := p.rows.uint(p.left-1) + 1
	p.user = uint32(user)
	if p.rows.bad {
		return false, p.badRow()
	}
	p.seen++
	p.size, p.skip, p.left = int(size), user+1, p.left-size
	return true, nil
}

// appendItems appends the items of the row at hand, relative to lo, ascending.
func (p *part) appendItems(dst []uint32) ([]uint32, error) {
	item, width := uint64(0), uint64(p.hi-p.lo) // the next that may come
	b := p.rows.b
	for range p.size {
		skip, n := uint64(0), 1
		if len(b) > 0 && b[0] < 0x80 { // as most are
			skip = uint64(b[0])
		} else if skip, n = binary.Uvarint(b); n <= 0 {
			return nil, p.badRow()
		}
		if item >= width || skip >= width-item {
			return nil, p.badRow()
		}
		b = b[n:]
		item += skip
		dst = append(dst, uint32(item))
		item++
	}
	p.rows.b = b
	return dst, nil
}

func (p *part) badRow() error { return fmt.Errorf("bad row near user %d: %w", p.user, ErrCorrupt) }

// takeWeights returns what weight reads the weights of the row at hand from; nil if all
// are one.
func (p *part) takeWeights() []byte {
	if p.weights == nil {
		return nil
	}
	n := p.size
	if p.distinct == nil {
		n *= 4
	}
	row := p.weights[:n] // which is there: weights has room for all entries, and left is not below 0
	p.weights = p.weights[n:]
	return row
}

// weight returns the weight of entry k of a row.
func (p *part) weight(row []byte, k int) (float32, error) {
	if p.distinct != nil {
		if int(row[k]) >= len(p.distinct) {
			return 0, fmt.Errorf("weight number %d of %d: %w", row[k], len(p.distinct), ErrCorrupt)
		}
		return p.distinct[row[k]], nil
	}
	w := math.Float32frombits(binary.LittleEndian.Uint32(row[4*k:]))
	if !validWeight(w) {
		return 0, fmt.Errorf("weight %v: %w", w, ErrCorrupt)
	}
	return w, nil
}

// eachRow calls f for all rows: users ascend, and so do the items of a user, which are
// relative to lo. Weights are for weight, and nil if all are one. It may be called again.
func (p *part) eachRow(f func(user uint32, items []uint32, weights []byte) error) error {
	at := *p
	var items []uint32
	for {
		more, err := at.next()
		if !more || err != nil {
			return err
		}
		if items, err = at.appendItems(items[:0]); err != nil {
			return err
		}
		if err := f(at.user, items, at.takeWeights()); err != nil {
			return err
		}
	}
}

// each is eachRow by entry.
func (p *part) each(f func(user, item uint32, w float32)) error {
	return p.eachRow(func(user uint32, items []uint32, weights []byte) (err error) {
		w := float32(1)
		for k, item := range items {
			if weights != nil {
				if w, err = p.weight(weights, k); err != nil {
					return err
				}
			}
			f(user, item, w)
		}
		return nil
	})
}

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
//	magic "kblk", version 1
//	varint  first user, number of users, first item, number of items
//	varint  number of users with entries, number of entries, 1 if weights follow or 0
//	for each user with entries:
//	  varint  users skipped since the one before, entries less one
//	  varint  first item relative to the block, then items skipped between two
//	4 bytes float32 for each entry, if weights follow; otherwise all are one
//	8 bytes xxhash64 of everything before
const (
	partMagic   = "kblk"
	partVersion = 1
)

// AppendPart appends the encoded entries of items [lo, hi) of the weighed rows r to
// dst and returns the extended slice. Row u of r is user firstUser+u of the
// whole matrix. It panics if firstUser+r.NumUsers() is above 2^32-1 or if [lo, hi)
// is not a block. Cost: O(users · log(row) + entries of the block), about 1.5 bytes
// an entry and 4 more with weights.
func AppendPart(dst []byte, r *Rows, firstUser, lo, hi uint32) []byte {
	if err := checkBlockRange(lo, hi); err != nil {
		panic("similarity: " + err.Error())
	}
	if uint64(firstUser)+uint64(r.NumUsers()) > math.MaxUint32 {
		panic(fmt.Sprintf("similarity: part of users [%d,+%d) passes 2^32-1", firstUser, r.NumUsers()))
	}
	var filled, entries uint64
	ones := true
	for u := range r.NumUsers() {
		from, to := r.window(u, lo, hi)
		if from < to {
			filled++
			entries += uint64(to - from)
			ones = ones && (r.Weight == nil || !slices.ContainsFunc(r.Weight[from:to], func(w float32) bool { return w != 1 }))
		}
	}
	weighted := uint64(1)
	if ones {
		weighted = 0
	}
	begin := len(dst)
	dst = slices.Grow(dst, int(entries)*2+int(entries)*4*int(weighted)+64)
	dst = append(dst, partMagic...)
	dst = append(dst, partVersion)
	for _, v := range []uint64{uint64(firstUser), uint64(r.NumUsers()), uint64(lo), uint64(hi - lo), filled, entries, weighted} {
		dst = binary.AppendUvarint(dst, v)
	}
	next := 0
	for u := range r.NumUsers() {
		from, to := r.window(u, lo, hi)
		if from == to {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(u-next))
		dst = binary.AppendUvarint(dst, uint64(to-from-1))
		next = u + 1
		skip := lo
		for _, i := range r.Item[from:to] {
			dst = binary.AppendUvarint(dst, uint64(i-skip))
			skip = i + 1
		}
	}
	if !ones {
		for u := range r.NumUsers() {
			from, to := r.window(u, lo, hi)
			for _, w := range r.Weight[from:to] {
				dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(w))
			}
		}
	}
	return appendSum(dst, begin)
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
	weights                  []byte // nil if all are one
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
	p.filled = d.uint(min(uint64(p.users), uint64(len(d.b))/2))
	p.entries = d.uint(uint64(len(d.b)))
	weighted := d.uint(1)
	if d.bad || p.entries < p.filled {
		return nil, fmt.Errorf("bad header: %w", ErrCorrupt)
	}
	rows := d.b
	if weighted == 1 {
		if uint64(len(rows))/4 < p.entries {
			return nil, fmt.Errorf("%d bytes for %d weights: %w", len(rows), p.entries, ErrCorrupt)
		}
		cut := len(rows) - 4*int(p.entries)
		rows, p.weights = rows[:cut], rows[cut:]
	}
	p.rows = decoder{b: rows}
	return &p, nil
}

// each calls f for all entries: users ascend, and so do the items of a user, which
// are relative to lo.
func (p *part) each(f func(user, item uint32, w float32)) error {
	d, weights := p.rows, p.weights
	user := uint64(p.firstUser) // the next that may come
	end := user + uint64(p.users)
	width, left := uint64(p.hi-p.lo), p.entries
	w := float32(1)
	for range p.filled {
		if user >= end || left == 0 {
			return fmt.Errorf("too many rows or entries: %w", ErrCorrupt)
		}
		user += d.uint(end - user - 1)
		size := d.uint(left-1) + 1
		left -= size
		item := uint64(0) // the next that may come
		for range size {
			if item >= width {
				d.bad = true
			} else {
				item += d.uint(width - item - 1)
			}
			if d.bad {
				return fmt.Errorf("bad row near user %d: %w", user, ErrCorrupt)
			}
			if weights != nil {
				w = math.Float32frombits(binary.LittleEndian.Uint32(weights))
				weights = weights[4:]
				if !validWeight(w) {
					return fmt.Errorf("weight %v: %w", w, ErrCorrupt)
				}
			}
			f(uint32(user), uint32(item), w)
			item++
		}
		user++
	}
	if len(d.b) != 0 || left != 0 {
		return fmt.Errorf("rows do not fill the data: %w", ErrCorrupt)
	}
	return nil
}

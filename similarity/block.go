package similarity

import (
	"fmt"
	"math"
	"unsafe"
)

// MaxBlockItems is the largest number of items of a Block or a Side: ids within one
// take 24 of the 32 bits of an entry, beside a code of its weight.
const MaxBlockItems = 1 << 24

// Block is the part of the weighed matrix with the items [Lo, Hi), by item: the
// items that lead a task. It is not changed once made and may be shared by
// goroutines.
type Block struct {
	Lo, Hi uint32

	numUsers uint32
	// Entries [start[i], start[i+1]) are those of item Lo+i, users ascending. No weights
	// stand for ones.
	start  []uint32
	user   []uint32
	weight []float32

	norms
}

// norms are what measures need to know of each item.
type norms struct {
	squares []float64 // sum of squared weights, formed in ascending user order
	users   []uint32  // users with an entry
}

func newNorms(items int) norms {
	return norms{squares: make([]float64, items), users: make([]uint32, items)}
}

// add counts an entry of item i.
func (n *norms) add(i uint32, w float32) {
	n.squares[i] += float64(w) * float64(w) // exact product: no room for a fused step to differ
	n.users[i]++
}

// slice returns the norms of the items [lo, hi) of n.
func (n *norms) slice(lo, hi uint32) norms {
	return norms{n.squares[lo:hi], n.users[lo:hi]}
}

// normsOf returns the norms of all items from the transposed matrix, whose users ascend.
func normsOf(columns *Rows, threads int) norms {
	n := newNorms(columns.NumUsers())
	parts := columns.cutUsers(threads)
	each(len(parts), func(p int) {
		for i := parts[p].lo; i < parts[p].hi; i++ {
			for k := columns.Start[i]; k < columns.Start[i+1]; k++ {
				n.add(uint32(i), columns.weight(k))
			}
		}
	})
	return n
}

// of returns what a score takes of item i.
func (n *norms) of(i int) side { return side{n.squares[i], n.users[i]} }

func (n *norms) sizeBytes() int64 {
	return 8*int64(len(n.squares)) + 4*int64(len(n.users))
}

// NewBlock joins the parts of items [lo, hi) that AppendPart made, one for each
// range of users, in ascending order of their users. numUsers is the number of
// users of the whole matrix; users that no part covers have no entries.
//
// Damaged parts give an error that matches ErrCorrupt; parts of other items, out of
// order or beyond numUsers one that matches ErrShape. Memory is bounded by the
// sizes of the parts and hi-lo. The block does not refer to parts.
// Cost: O(items + entries); 4 bytes an entry, and 4 more with weights.
func NewBlock(lo, hi, numUsers uint32, parts [][]byte) (*Block, error) {
	open, entries, ones, err := openParts(lo, hi, numUsers, parts)
	if err != nil {
		return nil, err
	}
	b := &Block{Lo: lo, Hi: hi, numUsers: numUsers, start: make([]uint32, int64(hi-lo)+1), norms: newNorms(int(hi - lo))}
	bad := func(n int, err error) error { return fmt.Errorf("block [%d,%d) part %d: %w", lo, hi, n, err) }
	for n, p := range open {
		items := p.items()
		for {
			more, err := items.more()
			if err != nil {
				return nil, bad(n, err)
			}
			if !more {
				break
			}
			b.users[items.item] += uint32(items.size)
		}
	}
	next := make([]uint32, b.width())
	for i, n := range b.users {
		next[i] = b.start[i]
		b.start[i+1] = b.start[i] + n
	}
	b.user = make([]uint32, entries)
	if !ones {
		b.weight = make([]float32, entries)
	}
	for n, p := range open {
		if err := b.read(p, next); err != nil {
			return nil, bad(n, err)
		}
	}
	for i, n := range b.users {
		b.squares[i] = float64(n)
		if !ones {
			b.squares[i] = squaredNorm(int(n), b.weight[b.start[i]:b.start[i+1]])
		}
	}
	return b, nil
}

// read writes the entries of a part to where the next of each item go.
func (b *Block) read(p *part, next []uint32) error {
	return p.eachItem(func(i *partItems) error {
		from := next[i.item]
		to := from + uint32(i.size)
		next[i.item] = to
		if err := i.users(b.user[from:to]); err != nil || b.weight == nil {
			return err
		}
		return i.values(b.weight[from:to])
	})
}

// openParts checks the parts of one block.
func openParts(lo, hi, numUsers uint32, parts [][]byte) (open []*part, entries uint64, ones bool, err error) {
	if err := checkBlockRange(lo, hi); err != nil {
		return nil, 0, false, err
	}
	var next uint64
	ones = true
	for n, raw := range parts {
		p, err := openPart(raw)
		if err != nil {
			return nil, 0, false, fmt.Errorf("block [%d,%d) part %d: %w", lo, hi, n, err)
		}
		if p.lo != lo || p.hi != hi {
			return nil, 0, false, fmt.Errorf("block [%d,%d) part %d is of items [%d,%d): %w", lo, hi, n, p.lo, p.hi, ErrShape)
		}
		end := uint64(p.firstUser) + uint64(p.users)
		if uint64(p.firstUser) < next || end > uint64(numUsers) {
			return nil, 0, false, fmt.Errorf("block [%d,%d) part %d has users [%d,%d), want them from %d on and below %d: %w",
				lo, hi, n, p.firstUser, end, next, numUsers, ErrShape)
		}
		next = end
		entries += p.entries
		ones = ones && p.weights == nil
		open = append(open, p)
	}
	if entries > math.MaxUint32 {
		return nil, 0, false, fmt.Errorf("block [%d,%d) has %d entries, want at most %d: %w",
			lo, hi, entries, uint32(math.MaxUint32), ErrShape)
	}
	return open, entries, ones, nil
}

func checkBlockRange(lo, hi uint32) error {
	if hi < lo || hi-lo > MaxBlockItems {
		return fmt.Errorf("block [%d,%d): want 0 to %d items: %w", lo, hi, MaxBlockItems, ErrShape)
	}
	return nil
}

func (b *Block) width() int { return int(b.Hi - b.Lo) }

// SizeBytes returns the memory that the block holds.
func (b *Block) SizeBytes() int64 {
	return int64(unsafe.Sizeof(*b)) + 4*int64(len(b.start)+len(b.user)+len(b.weight)) + b.sizeBytes()
}

// cutBlocks makes the blocks of the weighed and transposed matrix, whose norms are those of
// all items, with the given ascending borders: block n has the items
// [borders[n], borders[n+1]).
func cutBlocks(columns *Rows, borders []uint32, all norms) ([]*Block, error) {
	blocks := make([]*Block, len(borders)-1)
	for n := range blocks {
		lo, hi := borders[n], borders[n+1]
		if err := checkBlockRange(lo, hi); err != nil {
			return nil, err
		}
		first, last := columns.Start[lo], columns.Start[hi]
		if last-first > math.MaxUint32 {
			return nil, fmt.Errorf("block [%d,%d) has %d entries, want at most %d: %w", lo, hi, last-first, uint32(math.MaxUint32), ErrShape)
		}
		b := &Block{
			Lo: lo, Hi: hi, numUsers: uint32(columns.NumItems), start: make([]uint32, int64(hi-lo)+1), norms: all.slice(lo, hi),
			user: columns.Item[first:last],
		}
		if columns.Weight != nil {
			b.weight = columns.Weight[first:last]
		}
		for i, end := range columns.Start[lo : int(hi)+1] {
			b.start[i] = uint32(end - first)
		}
		blocks[n] = b
	}
	return blocks, nil
}

package similarity

import (
	"fmt"
	"math"
	"unsafe"
)

// MaxBlockItems is the largest width of a block: ids within a block are 16 bits,
// which halves the memory that a kernel reads and lets an array of this length
// be indexed without bounds checks.
const MaxBlockItems = 1 << 16

// Block is the slice of the weighed matrix with the items [Lo, Hi) and all users,
// ready for kernels: by user and by item, with the sum of squares and the number
// of users of each item. It is not changed once made and may be shared by
// goroutines.
type Block struct {
	Lo, Hi uint32

	numUsers uint32
	ones     bool // all weights are one; rowWeight and colWeight are nil

	// By user: entries [rowStart[u], rowStart[u+1]) have ids relative to Lo.
	rowStart  []uint32
	rowItem   []uint16
	rowWeight []float32

	// By item: entries [colStart[i], colStart[i+1]), users ascending.
	colStart  []uint32
	colUser   []uint32
	colWeight []float32

	squares []float64 // sum of squared weights of each item
	inverse []float32 // 1/sqrt(squares), 0 if squares is 0: for estimates only
}

// NewBlock joins the parts of items [lo, hi) that AppendPart made, one for each
// range of users, in ascending order of their users. numUsers is the number of
// users of the whole matrix; users that no part covers have no entries.
//
// Damaged parts give an error that matches ErrCorrupt; parts of other items, out of
// order or beyond numUsers one that matches ErrShape. Memory is bounded by the
// sizes of the parts and numUsers. The block does not refer to parts.
// Cost: O(users + items + entries).
func NewBlock(lo, hi, numUsers uint32, parts [][]byte) (*Block, error) {
	if err := checkBlockRange(lo, hi); err != nil {
		return nil, err
	}
	open := make([]*part, len(parts))
	var entries, next uint64
	ones := true
	for n, raw := range parts {
		p, err := openPart(raw)
		if err != nil {
			return nil, fmt.Errorf("block [%d,%d) part %d: %w", lo, hi, n, err)
		}
		if p.lo != lo || p.hi != hi {
			return nil, fmt.Errorf("block [%d,%d) part %d is of items [%d,%d): %w", lo, hi, n, p.lo, p.hi, ErrShape)
		}
		end := uint64(p.firstUser) + uint64(p.users)
		if uint64(p.firstUser) < next || end > uint64(numUsers) {
			return nil, fmt.Errorf("block [%d,%d) part %d has users [%d,%d), want them from %d on and below %d: %w",
				lo, hi, n, p.firstUser, end, next, numUsers, ErrShape)
		}
		next = end
		entries += p.entries
		ones = ones && p.weights == nil
		open[n] = p
	}
	if entries > math.MaxUint32 {
		return nil, fmt.Errorf("block [%d,%d) has %d entries, want at most %d: %w",
			lo, hi, entries, uint32(math.MaxUint32), ErrShape)
	}
	b := &Block{
		Lo: lo, Hi: hi, numUsers: numUsers, ones: ones,
		rowStart: make([]uint32, int64(numUsers)+1), rowItem: make([]uint16, 0, entries),
	}
	if !ones {
		b.rowWeight = make([]float32, 0, entries)
	}
	for n, p := range open {
		if err := p.appendTo(b); err != nil {
			return nil, fmt.Errorf("block [%d,%d) part %d: %w", lo, hi, n, err)
		}
	}
	for u := range numUsers { // appendTo set ends of users with entries only
		b.rowStart[u+1] = max(b.rowStart[u+1], b.rowStart[u])
	}
	b.finish()
	return b, nil
}

func checkBlockRange(lo, hi uint32) error {
	if hi < lo || hi-lo > MaxBlockItems {
		return fmt.Errorf("block [%d,%d): want 0 to %d items: %w", lo, hi, MaxBlockItems, ErrShape)
	}
	return nil
}

// cutBlocks makes the blocks of weighed rows with the given ascending borders: block
// n has the items [borders[n], borders[n+1]).
func cutBlocks(r *Rows, borders []uint32) ([]*Block, error) {
	cursor := make([]int64, r.NumUsers())
	copy(cursor, r.Start)
	blocks := make([]*Block, len(borders)-1)
	for n := range blocks {
		lo, hi := borders[n], borders[n+1]
		if err := checkBlockRange(lo, hi); err != nil {
			return nil, err
		}
		b := &Block{Lo: lo, Hi: hi, numUsers: uint32(r.NumUsers()), rowStart: make([]uint32, r.NumUsers()+1)}
		var entries int64
		b.ones = true
		for u, from := range cursor {
			to := from
			for to < r.Start[u+1] && r.Item[to] < hi {
				b.ones = b.ones && (r.Weight == nil || r.Weight[to] == 1)
				to++
			}
			entries += to - from
			cursor[u] = to
			if entries > math.MaxUint32 {
				return nil, fmt.Errorf("block [%d,%d) has more than %d entries: %w", lo, hi, uint32(math.MaxUint32), ErrShape)
			}
			b.rowStart[u+1] = uint32(entries)
		}
		b.rowItem = make([]uint16, entries)
		if !b.ones {
			b.rowWeight = make([]float32, entries)
		}
		for u, to := range cursor {
			at, end := b.rowStart[u], b.rowStart[u+1]
			from := to - int64(end-at)
			for k := range int64(end - at) {
				b.rowItem[int64(at)+k] = uint16(r.Item[from+k] - lo)
			}
			if !b.ones {
				copy(b.rowWeight[at:end], r.Weight[from:to])
			}
		}
		b.finish()
		blocks[n] = b
	}
	return blocks, nil
}

// finish derives the arrays by item from those by user. Sums of squares are
// formed in ascending user order.
func (b *Block) finish() {
	n := b.width()
	b.colStart = make([]uint32, n+1)
	b.colUser = make([]uint32, len(b.rowItem))
	b.squares = make([]float64, n)
	b.inverse = make([]float32, n)
	if !b.ones {
		b.colWeight = make([]float32, len(b.rowItem))
	}
	for _, i := range b.rowItem {
		b.colStart[int(i)+1]++
	}
	for i := range n {
		b.colStart[i+1] += b.colStart[i]
	}
	next := make([]uint32, n)
	copy(next, b.colStart)
	for u := range b.numUsers {
		for p := b.rowStart[u]; p < b.rowStart[u+1]; p++ {
			i := b.rowItem[p]
			at := next[i]
			next[i]++
			b.colUser[at] = u
			w := float32(1)
			if !b.ones {
				w = b.rowWeight[p]
				b.colWeight[at] = w
			}
			b.squares[i] += float64(w) * float64(w) // exact product: no room for a fused step to differ
		}
	}
	for i, s := range b.squares {
		if s > 0 {
			b.inverse[i] = float32(1 / math.Sqrt(s))
		}
	}
}

func (b *Block) width() int { return int(b.Hi - b.Lo) }

// users returns the number of users with an entry for item i (relative to Lo).
func (b *Block) users(i int) uint32 { return b.colStart[i+1] - b.colStart[i] }

// SizeBytes returns the memory that the block holds.
func (b *Block) SizeBytes() int64 {
	return int64(unsafe.Sizeof(*b)) +
		4*int64(len(b.rowStart)+len(b.rowWeight)+len(b.colStart)+len(b.colUser)+len(b.colWeight)+len(b.inverse)) +
		2*int64(len(b.rowItem)) + 8*int64(len(b.squares))
}

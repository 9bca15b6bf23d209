package similarity

import (
	"math"
	"slices"
)

// Collector keeps the K best neighbors so far of each item of a range. Tasks of one
// Block may add to one Collector in any order: the result is the same, and later
// tasks are faster because they know what a pair must beat.
//
// A Collector must not be used by two goroutines at the same time.
type Collector struct {
	lo    uint32
	k     int
	room  int       // slots of each item, k or more
	size  []int32   // neighbors held for each item
	keys  []uint64  // of each item in its slots, in no order
	bound []float32 // no score below it can enter; -Inf, or less than any score, until full
}

// NewCollector returns an empty Collector of the items [lo, hi) that keeps k >= 1
// neighbors of each. It reserves 8·k bytes an item, so cut k at the number of
// candidates there can be.
func NewCollector(lo, hi uint32, k int) *Collector { return newCollector(lo, hi, k, k) }

func newCollector(lo, hi uint32, k, room int) *Collector {
	n := int(hi - lo)
	c := &Collector{lo: lo, k: k, room: room, size: make([]int32, n), keys: make([]uint64, n*room), bound: make([]float32, n)}
	for i := range c.bound {
		c.bound[i] = negInf
	}
	return c
}

// CollectorOf returns a Collector that holds what l does, which must be the lists of a
// Collector with the same k. It goes on where that one ended.
func CollectorOf(l *Lists, k int) *Collector {
	c := NewCollector(l.Lo, l.Lo+uint32(l.Len()), k)
	for i := range l.Len() {
		list := l.Entries[l.Start[i]:l.Start[i+1]]
		list = list[:min(k, len(list))]
		for n, x := range list {
			c.keys[i*k+n] = rankKey(x.Score, x.ID)
		}
		if c.size[i] = int32(len(list)); len(list) == k {
			c.bound[i] = lowered(list[k-1].Score)
		}
	}
	return c
}

// held returns the keys of item i, in no order.
func (c *Collector) held(i int) []uint64 { return c.keys[i*c.room:][:c.size[i]] }

// part returns a Collector of some of the items, which holds what c does of them.
func (c *Collector) part(lo, hi uint32) *Collector {
	from, to := int(lo-c.lo), int(hi-c.lo)
	return &Collector{lo: lo, k: c.k, room: c.room, size: c.size[from:to], keys: c.keys[from*c.room : to*c.room], bound: c.bound[from:to]}
}

// add takes a key of item i, of which there is room for more than k.
func (c *Collector) add(i int, key uint64) {
	keys := c.keys[i*c.room:][:c.room]
	n := int(c.size[i])
	keys[n] = key
	if n++; n == c.room {
		c.bound[i] = lowered(keyScore(selectBest(keys, c.k)))
		n = c.k
	}
	c.size[i] = int32(n)
}

// SizeBytes returns the memory that the Collector holds.
func (c *Collector) SizeBytes() int64 { return 8*int64(len(c.keys)) + 8*int64(len(c.size)) }

// Lists returns what is held now, in rank order. The Collector may go on.
// Cost: O(neighbors · log K).
func (c *Collector) Lists() *Lists {
	total := 0
	for _, n := range c.size {
		total += int(n)
	}
	l := &Lists{Lo: c.lo, Start: make([]int64, len(c.size)+1), Entries: make([]Neighbor, 0, total)}
	keys := make([]uint64, 0, c.k)
	for i := range c.size {
		keys = append(keys[:0], c.held(i)...)
		slices.Sort(keys)
		l.Entries = appendRanked(l.Entries, keys)
		l.Start[i+1] = int64(len(l.Entries))
	}
	return l
}

// write writes the k best of each item to dst, one list after the other in rank order, and their lengths to
// size. It gives up what is held.
func (c *Collector) write(dst []Neighbor, size []int64) {
	dst = dst[:0]
	for i := range c.size {
		keys := c.held(i)
		slices.Sort(keys)
		keys = keys[max(0, len(keys)-c.k):]
		dst = appendRanked(dst, keys)
		size[i] = int64(len(keys))
	}
}

// topK finds the K best keys of one item. It fills a buffer several times as long
// and then selects, which moves a key far fewer times than a heap.
type topK struct {
	k     int
	buf   []uint64
	n     int
	bound float32 // no score below it can enter
}

// begin takes what the Collector holds of item i.
func (b *topK) begin(c *Collector, i int) {
	b.k = c.k
	if want := 2*c.k + 64; len(b.buf) != want {
		b.buf = make([]uint64, want)
	}
	b.n = copy(b.buf, c.held(i))
	b.bound = c.bound[i]
}

// add takes a key and returns the bound from here on.
func (b *topK) add(key uint64) float32 {
	b.buf[b.n] = key
	b.n++
	if b.n == len(b.buf) {
		b.cut()
	}
	return b.bound
}

// cut leaves the k best.
func (b *topK) cut() {
	b.bound = lowered(keyScore(selectBest(b.buf[:b.n], b.k)))
	b.n = b.k
}

// end gives the k best of item i back.
func (b *topK) end(c *Collector, i int) {
	if b.n >= b.k {
		b.cut()
	}
	copy(c.keys[i*c.room:], b.buf[:b.n])
	c.size[i], c.bound[i] = int32(b.n), b.bound
}

// selectBest brings the k greatest keys, of at least k, to the front and returns the
// least of them. Hoare, Algorithm 65: Find, Comm. ACM 4(7), 1961 [hoare1961], with
// partitions that have no branch on a key, for keys in no order mispredict every other.
// Cost: O(len(keys)) as a rule.
func selectBest[T uint64 | float32](keys []T, k int) T {
	for rest := keys; ; {
		pivot := middle(rest[0], rest[len(rest)/2], rest[len(rest)-1])
		n := 0 // keys above it
		for i, x := range rest {
			rest[i] = rest[n]
			rest[n] = x
			n += one(x > pivot)
		}
		if k <= n {
			rest = rest[:n]
			continue
		}
		rest, k = rest[n:], k-n
		n = 0 // keys equal to it
		for i, x := range rest {
			rest[i] = rest[n]
			rest[n] = x
			n += one(x == pivot)
		}
		if k <= n {
			return pivot
		}
		rest, k = rest[n:], k-n
	}
}

func middle[T uint64 | float32](x, y, z T) T { return max(min(x, y), min(max(x, y), z)) }

var negInf = float32(math.Inf(-1))

// lowered returns a number below score by more than the error of the kernels'
// float32 estimates, which is under 8 roundings of 2^-24 each, or under 2^-80 where a product of them has lost digits.
func lowered(score float32) float32 {
	const slack, least = 1.0 / (1 << 20), 1.0 / (1 << 80)
	if score > 0 {
		return score*(1-slack) - least
	}
	return score*(1+slack) - least
}

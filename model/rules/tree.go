package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// ErrTooMany is matched by the error of data with more frequent itemsets than are allowed.
var ErrTooMany = errors.New("too many frequent itemsets")

func tooMany(most int) error {
	return fmt.Errorf("%w: more than %d; raise min-support, lower max-length, or raise max-itemsets", ErrTooMany, most)
}

// none stands for no node, no item, no set.
const none = ^uint32(0)

// paths is a list of transactions, each ascending ranks of items with a number of times.
type paths struct {
	end  []int // of each in rank
	rank []uint32
	// times is how often each is there.
	times []uint32
}

func (p *paths) add(ranks []uint32, times uint32) {
	p.rank = append(p.rank, ranks...)
	p.end = append(p.end, len(p.rank))
	p.times = append(p.times, times)
}

func (p *paths) at(i int) []uint32 {
	if i == 0 {
		return p.rank[:p.end[0]]
	}
	return p.rank[p.end[i-1]:p.end[i]]
}

// sorted returns the transactions in the order of their items, equal ones as one.
func (p *paths) sorted() *paths {
	order := make([]int, len(p.end))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return slices.Compare(p.at(a), p.at(b)) })
	out := &paths{}
	for i, at := range order {
		if i > 0 && slices.Equal(p.at(at), p.at(order[i-1])) {
			out.times[len(out.times)-1] += p.times[at]
		} else {
			out.add(p.at(at), p.times[at])
		}
	}
	return out
}

// node is a node of an FP-tree: an item after the items of its ancestors. 24 bytes.
type node struct {
	rank, count uint32
	parent      uint32 // none for the root
	next        uint32 // another node of the item
	child       uint32 // the one that was made last
	sibling     uint32 // that was made before
}

// head is an item of a tree: how often it is in its transactions, and the first of its nodes.
type head struct{ rank, count, first uint32 }

// forest is a stack of FP-trees in one piece of memory: that of a set lies above that of the set that it grew from.
type forest struct {
	nodes []node
	heads []head
	// of each rank, in the tree that is being made: the place of its head, or none; and the child of the root.
	place, top []uint32
}

func newForest(ranks int) *forest {
	f := &forest{place: make([]uint32, ranks), top: make([]uint32, ranks)}
	for i := range f.place {
		f.place[i], f.top[i] = none, none
	}
	return f
}

// begin starts a tree with an item for each head from firstHead on. end must follow, before another begins.
func (f *forest) begin(firstHead int) (root uint32) {
	for i := firstHead; i < len(f.heads); i++ {
		f.place[f.heads[i].rank] = uint32(i)
	}
	root = uint32(len(f.nodes))
	f.nodes = append(f.nodes, node{rank: none, parent: none, next: none, child: none, sibling: none})
	return root
}

func (f *forest) end(firstHead int) {
	for _, h := range f.heads[firstHead:] {
		f.place[h.rank], f.top[h.rank] = none, none
	}
}

// insert adds one path to a tree. It takes the shortest time where the path begins as that before it.
func (f *forest) insert(root uint32, ranks []uint32, times uint32) {
	at := root
	for _, r := range ranks {
		next := f.nodes[at].child
		if at == root { // it may have a great many children
			next = f.top[r]
		} else {
			for next != none && f.nodes[next].rank != r {
				next = f.nodes[next].sibling
			}
		}
		if next == none {
			next = uint32(len(f.nodes))
			h := &f.heads[f.place[r]]
			f.nodes = append(f.nodes, node{rank: r, parent: at, next: h.first, child: none, sibling: f.nodes[at].child})
			h.first = next
			f.nodes[at].child = next
			if at == root {
				f.top[r] = next
			}
		}
		f.nodes[next].count += times
		at = next
	}
}

// single tells whether a tree from root to the end of the forest is one path.
func (f *forest) single(root uint32) bool {
	for i := root; i < uint32(len(f.nodes)); i++ {
		if c := f.nodes[i].child; c != none && f.nodes[c].sibling != none {
			return false
		}
	}
	return true
}

// found is a frequent set: that of its parent, and an item of a lower rank. 12 bytes.
type found struct{ parent, rank, count uint32 }

// miner says what is looked for.
type miner struct {
	least     uint32 // times that a set is there
	maxLength int
	// lone tells of each rank that a set may have one such item at most; nil if no item is such.
	lone []bool
	most int
	// sets is the number of sets that were found so far.
	sets atomic.Int64
}

func (m *miner) isLone(rank uint32) bool { return m.lone != nil && m.lone[rank] }

// grower looks for the sets that end in one item, on the tree base, which it shares with others and only reads.
type grower struct {
	*miner
	base   *forest
	own    *forest
	counts []uint32 // by rank, zero between uses
	path   []uint32
	out    []found
	looks  int
	// ended is the error of the context of mine.
	ended func() error
}

// mine returns the frequent sets whose item of the highest rank is wanted, one list for each item in ascending order. A list begins with the item alone, and a set comes after the
// set it grew from. Cost: that of FP-growth, at most exponential in the length of the transactions. Memory: 24 bytes for each node of the tree, and
// less for each thread.
func (m *miner) mine(ctx context.Context, transactions *paths, ranks int, wanted func(rank uint32) bool, threads int) ([][]found, error) {
	base := newForest(ranks)
	counts := make([]uint32, ranks)
	for i, times := range transactions.times {
		for _, r := range transactions.at(i) {
			counts[r] += times
		}
	}
	for r, n := range counts {
		if n > 0 {
			base.heads = append(base.heads, head{uint32(r), n, none})
		}
	}
	root := base.begin(0)
	for i, times := range transactions.times {
		base.insert(root, transactions.at(i), times)
	}
	base.end(0)

	var items []head
	for _, h := range base.heads {
		if wanted(h.rank) && h.count >= m.least {
			items = append(items, h)
		}
	}
	out := make([][]found, len(items))
	growers := sync.Pool{New: func() any {
		return &grower{miner: m, base: base, own: newForest(ranks), counts: make([]uint32, ranks)}
	}}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, threads))
	for i := len(items) - 1; i >= 0; i-- { // those of high ranks take longest
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			w := growers.Get().(*grower)
			defer growers.Put(w)
			w.ended, w.out = gctx.Err, nil
			w.own.nodes, w.own.heads = w.own.nodes[:0], w.own.heads[:0]
			err := w.grow(base, items[i], none, 1, m.isLone(items[i].rank))
			out[i] = w.out
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// emit notes a set and returns its number.
func (g *grower) emit(parent, rank, count uint32) (uint32, error) {
	if g.sets.Add(1) > int64(g.most) {
		return 0, tooMany(g.most)
	}
	if g.looks++; g.looks%1024 == 0 {
		if err := g.ended(); err != nil {
			return 0, err
		}
	}
	g.out = append(g.out, found{parent, rank, count})
	return uint32(len(g.out) - 1), nil
}

// grow notes the set of parent and an item of the tree in from, length items long, and all that grow from it. lone says that the set has an item that is.
func (g *grower) grow(from *forest, h head, parent uint32, length int, lone bool) error {
	set, err := g.emit(parent, h.rank, h.count)
	if err != nil || length == g.maxLength {
		return err
	}
	f := g.own
	firstHead, firstNode := len(f.heads), len(f.nodes)
	defer func() { f.heads, f.nodes = f.heads[:firstHead], f.nodes[:firstNode] }()

	// What is how often before the item.
	for n := h.first; n != none; n = from.nodes[n].next {
		count := from.nodes[n].count
		for p := from.nodes[n].parent; from.nodes[p].parent != none; p = from.nodes[p].parent {
			r := from.nodes[p].rank
			if g.counts[r] == 0 {
				f.heads = append(f.heads, head{rank: r, first: none})
			}
			g.counts[r] += count
		}
	}
	kept := f.heads[:firstHead]
	for _, x := range f.heads[firstHead:] {
		x.count, g.counts[x.rank] = g.counts[x.rank], 0
		if x.count >= g.least && !(lone && g.isLone(x.rank)) {
			kept = append(kept, x)
		}
	}
	f.heads = kept
	slices.SortFunc(f.heads[firstHead:], func(a, b head) int { return int(a.rank) - int(b.rank) })
	if length+1 == g.maxLength || len(f.heads)-firstHead < 2 {
		for _, x := range f.heads[firstHead:] {
			if _, err := g.emit(set, x.rank, x.count); err != nil {
				return err
			}
		}
		return nil
	}

	root := f.begin(firstHead)
	for n := h.first; n != none; n = from.nodes[n].next {
		g.path = g.path[:0]
		for p := from.nodes[n].parent; from.nodes[p].parent != none; p = from.nodes[p].parent {
			if r := from.nodes[p].rank; f.place[r] != none {
				g.path = append(g.path, r)
			}
		}
		slices.Reverse(g.path)
		f.insert(root, g.path, from.nodes[n].count)
	}
	f.end(firstHead)
	end := len(f.heads)
	if f.single(root) {
		return g.choose(firstHead, end, set, length+1, none, lone)
	}
	for i := firstHead; i < end; i++ {
		x := f.heads[i]
		if err := g.grow(f, x, set, length+1, lone || g.isLone(x.rank)); err != nil {
			return err
		}
	}
	return nil
}

// choose notes all sets of items of heads, which are one path: a set is there as often as its last item. No tree is needed for them.
func (g *grower) choose(first, end int, parent uint32, length int, count uint32, lone bool) error {
	for i := first; i < end; i++ {
		h := g.own.heads[i]
		if lone && g.isLone(h.rank) {
			continue
		}
		set, err := g.emit(parent, h.rank, min(count, h.count))
		if err != nil {
			return err
		}
		if length < g.maxLength {
			if err := g.choose(first, i, set, length+1, min(count, h.count), lone || g.isLone(h.rank)); err != nil {
				return err
			}
		}
	}
	return nil
}

package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"strings"

	"github.com/kith-io/kith/fusion"
)

// keptPurchases is how many of the notes about items of baskets a store keeps in memory once it was asked about one, about, in either order: 24 bytes each, 6 MiB. The others lie in
// files. If there is no room for these, none are kept.
const keptPurchases = 1 << 17

// basketID stands for a basket of a user, and tells neither.
type basketID struct{ high, low uint64 }

func (a basketID) compare(b basketID) int {
	if a.high != b.high {
		return cmp.Compare(a.high, b.high)
	}
	return cmp.Compare(a.low, b.low)
}

// bought says that an item was bought in a basket, so many times: 24 bytes.
type bought struct {
	basket basketID
	item   uint32 // see Items
	n      int32
}

func (a bought) times() int { return int(a.n) }

// inBasket orders by basket, and ofItem by item.
type (
	inBasket struct{ bought }
	ofItem   struct{ bought }
)

func (a inBasket) compare(b inBasket) int {
	if a.basket != b.basket {
		return a.basket.compare(b.basket)
	}
	return cmp.Compare(a.item, b.item)
}

func (a inBasket) with(times int) inBasket {
	a.n = int32(times) // of one user, who has fewer
	return a
}

func (a ofItem) compare(b ofItem) int {
	if a.item != b.item {
		return cmp.Compare(a.item, b.item)
	}
	return a.basket.compare(b.basket)
}

func (a ofItem) with(times int) ofItem {
	a.n = int32(times)
	return a
}

// baskets are the items that were bought together.
type baskets struct {
	items     *Items
	secret    [32]byte
	inBaskets runs[inBasket]
	ofItems   runs[ofItem]
	tidying   bool   // guarded by the lock
	key       []byte // scratch of add and remove
}

func (s *Store) newBaskets() *baskets {
	b := &baskets{items: s.items}
	_, _ = rand.Read(b.secret[:]) // it returns no error
	warn := func(err error) {
		s.log.Warn("no room for the baskets: what was bought together takes a pass over all events each time", "dir", s.dir, "err", err)
	}
	b.inBaskets.keep, b.inBaskets.dir, b.inBaskets.room, b.inBaskets.warn = s.purchases, s.scratch, s.wait.room, warn
	b.ofItems.keep, b.ofItems.dir, b.ofItems.room, b.ofItems.warn = s.purchases, s.scratch, s.wait.room, warn
	return b
}

// Lock implements sync.Locker.
func (b *baskets) Lock() {
	b.inBaskets.Lock()
	b.ofItems.Lock()
}

// Unlock implements sync.Locker.
func (b *baskets) Unlock() {
	b.ofItems.Unlock()
	b.inBaskets.Unlock()
}

func (b *baskets) add(e *fusion.Event)    { b.note(e, 1) }
func (b *baskets) remove(e *fusion.Event) { b.note(e, -1) }

func (b *baskets) note(e *fusion.Event, n int32) {
	basket := e.Basket()
	if basket == "" {
		return
	}
	b.key = append(append(append(append(b.key[:0], b.secret[:]...), e.User...), 0), basket...)
	sum := sha256.Sum256(b.key)
	x := bought{basketID{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}, b.items.number(e.Item), n}
	b.inBaskets.add(inBasket{x})
	b.ofItems.add(ofItem{x})
}

func (b *baskets) claim() bool {
	if b.tidying || !b.inBaskets.untidy() && !b.ofItems.untidy() {
		return false
	}
	b.tidying = true
	return true
}

func (b *baskets) tidy(ctx context.Context) {
	for {
		b.inBaskets.tidy(ctx)
		b.ofItems.tidy(ctx)
		b.Lock()
		if ctx.Err() != nil || !b.inBaskets.untidy() && !b.ofItems.untidy() {
			b.tidying = false
			b.Unlock()
			return
		}
		b.Unlock()
	}
}

func (b *baskets) settle(ctx context.Context) {
	b.inBaskets.settle(ctx)
	b.ofItems.settle(ctx)
}

func (b *baskets) drop() {
	b.inBaskets.drop()
	b.ofItems.drop()
}

func (b *baskets) scratchBytes() uint64 { return b.inBaskets.scratchBytes() + b.ofItems.scratchBytes() }

// with counts the baskets with an item, and those of them with each other item. It reports whether all baskets are there, and whether they were dropped.
func (b *baskets) with(item string) (others map[string]uint64, n uint64, all, dropped bool) {
	b.Lock()
	in, ok := b.inBaskets.view()
	of, too := b.ofItems.view()
	b.Unlock()
	if !ok || !too { // both are, but for the moment between them
		if ok {
			in.close()
		}
		if too {
			of.close()
		}
		return nil, 0, false, true
	}
	defer in.close()
	defer of.close()
	if in.cut != nil || of.cut != nil {
		return nil, 0, false, false
	}
	others = map[string]uint64{}
	id, ok := b.items.find(item)
	if !ok {
		return others, 0, true, false
	}
	found := basketsOf(of, id)
	counts := map[uint32]uint64{}
	walk(itemsOf(in, found), func(e inBasket, _ int) bool {
		counts[e.item]++
		return true
	})
	delete(counts, id)
	keys := b.items.all()
	for x, c := range counts {
		others[keys[x]] = c
	}
	return others, uint64(len(found)), true, false
}

// basketsOf returns the baskets with an item, in order. Cost: its notes, and a look at those that came last.
func basketsOf(v *view[ofItem], item uint32) (found []basketID) {
	var lists [][]ofItem
	for _, r := range v.runs {
		own := from(r.notes, func(e ofItem) bool { return e.item >= item })
		lists = append(lists, own[:len(own)-len(from(own, func(e ofItem) bool { return e.item > item }))])
	}
	var last []ofItem
	for _, notes := range v.loose {
		for i := range notes {
			if notes[i].item == item {
				last = append(last, notes[i])
			}
		}
	}
	walk(append(lists, inOrder(last)), func(e ofItem, _ int) bool {
		found = append(found, e.basket)
		return true
	})
	return found
}

// itemsOf returns the notes about baskets, which are in order, in lists in order. Cost: these, a search for each basket in each run, and a look at those that came last.
func itemsOf(v *view[inBasket], baskets []basketID) (lists [][]inBasket) {
	for _, r := range v.runs {
		var own []inBasket
		for _, basket := range baskets {
			for i := seek(r.notes, basket); i < len(r.notes) && r.notes[i].basket == basket; i++ {
				own = append(own, r.notes[i])
			}
		}
		lists = append(lists, own)
	}
	filter := make([]bool, 1<<bits.Len(uint(8*len(baskets)))) // most of what came last is of other baskets
	for _, basket := range baskets {
		filter[basket.low%uint64(len(filter))] = true
	}
	var last []inBasket
	for _, notes := range v.loose {
		for i := range notes {
			if basket := notes[i].basket; filter[basket.low%uint64(len(filter))] {
				if _, ok := slices.BinarySearchFunc(baskets, basket, basketID.compare); ok {
					last = append(last, notes[i])
				}
			}
		}
	}
	return append(lists, inOrder(last))
}

// seek returns the place of the first note that is not before a basket. As baskets are hashes it guesses well, and reads few places of memory or of a file.
func seek(notes []inBasket, basket basketID) int {
	n := len(notes)
	if n == 0 {
		return 0
	}
	before := func(i int) bool { return notes[i].basket.compare(basket) < 0 }
	guess := func(of basketID) int { return int(float64(of.high) * (float64(n) * 0x1p-64)) } // within n, or at it
	to := guess(basket)
	i := min(to, n-1)
	for range 2 { // how far it is off is about the root of how far it was
		i = max(0, min(i+to-guess(notes[i].basket), n-1))
	}
	low, high := 0, i // around the place
	if before(i) {
		low = i + 1
		for step := 1; ; step *= 2 {
			if high = min(low+step, n); high == n || !before(high) {
				break
			}
			low = high + 1
		}
	} else {
		for step := 1; high > 0; step *= 2 {
			if low = max(0, high-step); before(low) {
				break
			}
			high = low
		}
	}
	return low + sort.Search(high-low, func(i int) bool { return !before(low + i) })
}

// BoughtTogether counts the baskets that have an item, and for each other item those that have both. A basket is what a user bought in one order (the
// context order of the events), or, if they name none, on one day in UTC; cancellations take nothing out. Cost: the baskets of the item, some hundred nanoseconds each, which are in files of 48
// bytes for each item of a basket. The first call, and the first behind an erasure of more than 32,768 events of a user, takes a pass over all events, and so does each one while there is no
// room on the disk and more than 131,072 of these items.
func (s *Store) BoughtTogether(ctx context.Context, item string) (others map[string]uint64, n uint64, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, 0, err
	}
	defer s.release(d)
	for again := false; ; {
		b, err := d.baskets.get(ctx, s, d, s.newBaskets)
		if err != nil {
			return nil, 0, fmt.Errorf("event store %s: baskets: %w", s.dir, err)
		}
		others, n, all, dropped := b.with(item)
		switch {
		case dropped:
		case all:
			return others, n, nil
		case again || s.wait.room() != nil:
			return d.allTogether(ctx, item)
		default:
			again = true
			d.baskets.forget(d, b)
		}
	}
}

// allTogether counts baskets out of all events, one user after the other.
func (d *database) allTogether(ctx context.Context, item string) (others map[string]uint64, n uint64, err error) {
	others = map[string]uint64{}
	user, own := "", map[string][]string{} // different items of its baskets
	count := func() {
		for _, items := range own {
			if !slices.Contains(items, item) {
				continue
			}
			n++
			for _, x := range items {
				if x != item {
					others[x]++
				}
			}
		}
		clear(own)
	}
	err = d.dump(ctx, everything, Position{}, func(e fusion.Event) error {
		if e.User != user {
			count()
			user = e.User
		}
		if basket := e.Basket(); basket != "" && !slices.Contains(own[basket], e.Item) {
			own[basket] = append(own[basket], strings.Clone(e.Item))
		}
		return nil
	})
	count()
	return others, n, err
}

package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/kith-io/kith/fusion"
)

// keptPurchases is how many different items of baskets a store keeps at hand once it was asked about one: some 40 bytes each, and some 150 a
// basket. With more, each question takes a pass over all events.
const keptPurchases = 1 << 20

// baskets are the items that were bought together.
type baskets struct {
	sync.Mutex      // guards what follows
	most       int  // items of baskets that are kept
	n          int  // items of baskets; above most there were too many, and nothing is kept
	fewer      bool // some went since there were too many
	items      map[string]uint32
	names      []string            // of items, by number
	keys       map[string]uint32   // number of a basket by user, NUL and its key
	of         [][]uint32          // items of each basket
	in         map[uint32][]uint32 // baskets of each item, with some that are gone
	gone       []uint32            // baskets that are gone and may be in others; of has nothing for them
	stale      int                 // how often gone ones are in
	free       []uint32            // numbers that stand for no basket
}

func newBaskets(most int) *baskets {
	return &baskets{most: most, items: map[string]uint32{}, keys: map[string]uint32{}, in: map[uint32][]uint32{}}
}

func (b *baskets) add(e *fusion.Event) {
	key := e.Basket()
	if key == "" {
		return
	}
	if b.n > b.most {
		return
	}
	key = e.User + "\x00" + key
	basket, ok := b.keys[key]
	if !ok {
		if last := len(b.free) - 1; last >= 0 {
			basket, b.free = b.free[last], b.free[:last]
		} else {
			basket = uint32(len(b.of))
			b.of = append(b.of, nil)
		}
		b.keys[key] = basket
	}
	item, ok := b.items[e.Item]
	if !ok {
		item = uint32(len(b.names))
		name := strings.Clone(e.Item)
		b.items[name] = item
		b.names = append(b.names, name)
	}
	if slices.Contains(b.of[basket], item) {
		return
	}
	if b.n++; b.n > b.most {
		b.items, b.names, b.keys, b.of, b.in, b.gone, b.free = nil, nil, nil, nil, nil, nil, nil
		return
	}
	b.of[basket] = append(b.of[basket], item)
	b.in[item] = append(b.in[item], basket)
}

// remove takes out the basket that an event is in: all events of its user are going. Cost: that of the items of the basket, on average.
func (b *baskets) remove(e *fusion.Event) {
	key := e.Basket()
	if key == "" {
		return
	}
	if b.n > b.most {
		b.fewer = true
		return
	}
	key = e.User + "\x00" + key
	basket, ok := b.keys[key]
	if !ok {
		return
	}
	delete(b.keys, key)
	b.n -= len(b.of[basket])
	b.stale += len(b.of[basket])
	b.of[basket] = nil
	b.gone = append(b.gone, basket)
	if b.stale <= b.n {
		return
	}
	for item, in := range b.in {
		if in = slices.DeleteFunc(in, func(basket uint32) bool { return b.of[basket] == nil }); len(in) > 0 {
			b.in[item] = in
		} else {
			delete(b.in, item)
		}
	}
	b.free, b.gone, b.stale = append(b.free, b.gone...), nil, 0
}

func (b *baskets) claim() bool { return false }

func (b *baskets) tidy(context.Context) {}

func (b *baskets) drop() {}

func (b *baskets) scratchBytes() uint64 { return 0 }

// with counts the baskets with an item, and those of them with each other item. It reports whether all baskets are there, and if not, whether they may be if they are
// collected again.
func (b *baskets) with(item string) (others map[string]uint64, n uint64, all, again bool) {
	b.Lock()
	defer b.Unlock()
	if b.n > b.most {
		return nil, 0, false, b.fewer
	}
	others = map[string]uint64{}
	id, ok := b.items[item]
	if !ok {
		return others, 0, true, false
	}
	counts := map[uint32]uint64{}
	for _, basket := range b.in[id] {
		for _, x := range b.of[basket] {
			counts[x]++
		}
	}
	n = counts[id]
	delete(counts, id)
	for x, c := range counts {
		others[b.names[x]] = c
	}
	return others, n, true, false
}

// BoughtTogether counts the baskets that have an item, and for each other item those that have both. A basket is what a user bought in one order (the
// context order of the events), or, if they name none, on one day in UTC; cancellations take nothing out. Cost: the baskets of the item, in memory;
// of a store with more than 1,048,576 items of baskets, a pass over all events, as at the first call and the first behind an erasure of more than 32,768 events of a user.
func (s *Store) BoughtTogether(ctx context.Context, item string) (others map[string]uint64, n uint64, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, 0, err
	}
	defer s.release(d)
	for {
		b, err := d.baskets.get(ctx, s, d, func() *baskets { return newBaskets(s.purchases) })
		if err != nil {
			return nil, 0, fmt.Errorf("event store %s: baskets: %w", s.dir, err)
		}
		others, n, all, again := b.with(item)
		switch {
		case all:
			return others, n, nil
		case !again:
			return d.allTogether(ctx, item)
		}
		d.baskets.forget(d, b)
	}
}

// allTogether counts baskets out of all events, one user after the other.
func (d *database) allTogether(ctx context.Context, item string) (others map[string]uint64, n uint64, err error) {
	others = map[string]uint64{}
	user, own := "", newBaskets(math.MaxInt)
	count := func() {
		found, with, _, _ := own.with(item)
		n += with
		for x, c := range found {
			others[x] += c
		}
	}
	err = d.dump(ctx, everything, Position{}, func(e fusion.Event) error {
		if e.User != user {
			count()
			user, own = e.User, newBaskets(math.MaxInt)
		}
		own.add(&e)
		return nil
	})
	count()
	return others, n, err
}

package store

import (
	"math"
	"strings"
	"sync"

	"github.com/kith-io/kith/fusion"
)

// Items numbers the items and behaviors of the events that stores of a process have gone over for windows of time and for baskets, so that these need not keep their names for each
// store: some 50 bytes and the key each. A number stands for the same as long as the process lives.
type Items struct {
	mu      sync.RWMutex // guards what follows
	numbers map[string]uint32
	keys    []string // by number; those there do not change
	kinds   map[fusion.Behavior]uint16
}

// NewItems returns Items without any.
func NewItems() *Items {
	return &Items{numbers: map[string]uint32{}, kinds: map[fusion.Behavior]uint16{}}
}

// number returns the number of an item, which it gets if it has none.
func (x *Items) number(item string) uint32 {
	if n, ok := x.find(item); ok {
		return n
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	n, ok := x.numbers[item]
	if !ok {
		item = strings.Clone(item)
		n = uint32(len(x.keys))
		x.numbers[item], x.keys = n, append(x.keys, item)
	}
	return n
}

// find returns the number of an item that has one.
func (x *Items) find(item string) (uint32, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n, ok := x.numbers[item]
	return n, ok
}

// kind returns the number of a behavior, which it gets if it has none. ok is false if there are too many.
func (x *Items) kind(b fusion.Behavior) (n uint16, ok bool) {
	x.mu.RLock()
	n, ok = x.kinds[b]
	x.mu.RUnlock()
	if ok {
		return n, true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if n, ok = x.kinds[b]; ok {
		return n, true
	}
	if len(x.kinds) > math.MaxUint16 {
		return 0, false
	}
	n = uint16(len(x.kinds))
	x.kinds[fusion.Behavior(strings.Clone(string(b)))] = n
	return n, true
}

// places returns, by number of a behavior, where it is among some, or -1.
func (x *Items) places(of []fusion.Behavior) []int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	places := make([]int, len(x.kinds))
	for i := range places {
		places[i] = -1
	}
	for at := len(of) - 1; at >= 0; at-- { // of equal ones the first counts
		if n, ok := x.kinds[of[at]]; ok {
			places[n] = at
		}
	}
	return places
}

// all returns the keys of all items by number, which must not be changed.
func (x *Items) all() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.keys
}

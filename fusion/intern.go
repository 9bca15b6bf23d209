package fusion

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
)

// interner numbers distinct keys 0, 1, 2, ... in the order of their first
// appearance. It keeps their bytes one after the other in one arena and finds
// them by an open-addressing table, so a key costs its bytes and about 24 more,
// and a lookup allocates nothing. The zero value is ready; it is not safe for
// concurrent use.
type interner struct {
	seed  maphash.Seed
	arena []byte
	ends  []int // ends[id] is where key id ends in the arena; it starts where the one before ends
	// slots holds, for each taken slot, 32 bits of the key's hash and id+1; 0 is
	// free. Its length is a power of two, and at most 3/4 are taken. The hash bits
	// serve as the slot's home too, so that growing does not look at the keys.
	slots []uint64
}

func (n *interner) len() int { return len(n.ends) }

// key returns the bytes of key id, valid until the next add.
func (n *interner) key(id uint32) []byte {
	start := 0
	if id > 0 {
		start = n.ends[id-1]
	}
	return n.arena[start:n.ends[id]]
}

// add returns the number of key, which it copies if it is new (fresh). There
// must be fewer than 2^32-1 keys.
func (n *interner) add(key []byte) (id uint32, fresh bool) {
	if 4*len(n.ends) >= 3*len(n.slots) {
		n.grow()
	}
	hash := maphash.Bytes(n.seed, key) >> 32
	mask := uint64(len(n.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := n.slots[i]
		if slot == 0 {
			id = uint32(len(n.ends))
			n.slots[i] = hash<<32 | uint64(id) + 1
			n.arena = append(n.arena, key...)
			n.ends = append(n.ends, len(n.arena))
			return id, true
		}
		if slot>>32 == hash {
			if id = uint32(slot) - 1; string(n.key(id)) == string(key) {
				return id, false
			}
		}
	}
}

// grow doubles the table.
func (n *interner) grow() {
	if n.slots == nil {
		n.seed = maphash.MakeSeed()
	}
	old := n.slots
	n.slots = make([]uint64, max(1024, 2*len(old)))
	mask := uint64(len(n.slots) - 1)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		i := slot >> 32 & mask
		for n.slots[i] != 0 {
			i = (i + 1) & mask
		}
		n.slots[i] = slot
	}
}

// sorted returns the keys in ascending order of bytes, as parts of one string,
// and the place of each id in that order.
func (n *interner) sorted() (keys []string, rank []uint32) {
	type entry struct {
		prefix uint64 // the first eight bytes, big-endian: settles most comparisons
		id     uint32
	}
	all := string(n.arena)
	key := func(id uint32) string {
		start := 0
		if id > 0 {
			start = n.ends[id-1]
		}
		return all[start:n.ends[id]]
	}
	order := make([]entry, n.len())
	for id := range order {
		order[id] = entry{prefix(key(uint32(id))), uint32(id)}
	}
	slices.SortFunc(order, func(a, b entry) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return strings.Compare(key(a.id), key(b.id))
	})
	keys = make([]string, len(order))
	rank = make([]uint32, len(order))
	for i, e := range order {
		keys[i], rank[e.id] = key(e.id), uint32(i)
	}
	return keys, rank
}

// prefix returns the first eight bytes of s, big-endian, as if zeros followed
// it.
func prefix(s string) uint64 {
	var p uint64
	for i := range min(len(s), 8) {
		p |= uint64(s[i]) << (56 - 8*i)
	}
	return p
}

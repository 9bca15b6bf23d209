package fusion

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// interner numbers distinct keys 0, 1, 2, ... in the order of their first
// appearance. It keeps their bytes one after the other in one arena and finds
// them by an open-addressing table, so a key costs its bytes and about 40 more,
// and a lookup allocates nothing. The zero value is ready; it is not safe for
// concurrent use.
type interner struct {
	arena []byte
	ends  []int // ends[id] is where key id ends in the arena; it starts where the one before ends
	// slots has a power of two for its length, and at most 3/4 are taken.
	slots []internSlot
	seed  maphash.Seed
	mix   [2]uint64 // of the seed, for short keys
}

// internSlot is a place in the table. A key of up to eight bytes, as most are,
// stands in word itself, so finding it touches no other memory; word of a longer
// one is its hash, and the key must be compared.
type internSlot struct {
	word   uint64
	length uint32
	number uint32 // id+1, 0 for a free slot
}

const shortKey = 8

func (n *interner) len() int { return len(n.ends) }

// sizeBytes returns the memory that the interner holds.
func (n *interner) sizeBytes() int64 {
	return int64(cap(n.arena)) + 8*int64(cap(n.ends)) + 16*int64(len(n.slots))
}

// key returns the bytes of key id, valid until the next add.
func (n *interner) key(id uint32) []byte {
	start := 0
	if id > 0 {
		start = n.ends[id-1]
	}
	return n.arena[start:n.ends[id]]
}

// add returns the number of key, which it copies if it is new (fresh). There
// must be fewer than 2^32-1 keys, each under 4 GiB.
func (n *interner) add(key []byte) (id uint32, fresh bool) {
	if 4*len(n.ends) >= 3*len(n.slots) {
		n.grow()
	}
	length := uint32(len(key))
	var word uint64
	if length <= shortKey {
		word = pack(key)
	} else {
		word = maphash.Bytes(n.seed, key)
	}
	mask := uint64(len(n.slots) - 1)
	for i := n.home(word, length) & mask; ; i = (i + 1) & mask {
		slot := &n.slots[i]
		if slot.number == 0 {
			id = uint32(len(n.ends))
			*slot = internSlot{word, length, id + 1}
			n.arena = append(n.arena, key...)
			n.ends = append(n.ends, len(n.arena))
			return id, true
		}
		if slot.word == word && slot.length == length {
			if id = slot.number - 1; length <= shortKey || string(n.key(id)) == string(key) {
				return id, false
			}
		}
	}
}

// home returns where the search for a key starts.
func (n *interner) home(word uint64, length uint32) uint64 {
	if length > shortKey {
		return word
	}
	high, low := bits.Mul64(word^n.mix[0], n.mix[1]^uint64(length)<<32)
	return high ^ low
}

// pack makes a number of a key of up to eight bytes. Keys of one length have
// distinct numbers.
func pack(key []byte) uint64 {
	switch n := len(key); {
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(key)) | uint64(binary.LittleEndian.Uint32(key[n-4:]))<<32
	case n > 0:
		return uint64(key[0]) | uint64(key[n/2])<<8 | uint64(key[n-1])<<16
	}
	return 0
}

// grow doubles the table.
func (n *interner) grow() {
	if n.slots == nil {
		n.seed = maphash.MakeSeed()
		n.mix = [2]uint64{maphash.String(n.seed, "xor"), maphash.String(n.seed, "times") | 1}
	}
	old := n.slots
	n.slots = make([]internSlot, max(1024, 2*len(old)))
	mask := uint64(len(n.slots) - 1)
	for _, slot := range old {
		if slot.number == 0 {
			continue
		}
		i := n.home(slot.word, slot.length) & mask
		for n.slots[i].number != 0 {
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

package identity

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Key names something in a source: an account, a cookie, a SKU.
type Key struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// String returns the key as reports have it.
func (k Key) String() string { return k.Kind + " " + k.Text }

// interner numbers keys in the order of their first appearance. A key costs its bytes, 9 bytes for where they end and for its kind, and 11 to 21 in the
// table. The zero value is ready.
type interner struct {
	arena []byte
	ends  []uint64 // ends[id] is where key id ends in the arena
	kinds []uint8
	// slots have the upper half of the hash above id+1; 0 is free. Their number is a power of two, and at most 3/4 are taken.
	slots []uint64
}

func (n *interner) len() int { return len(n.ends) }

// sizeBytes returns the memory that the interner holds.
func (n *interner) sizeBytes() int64 {
	return int64(cap(n.arena)) + 8*int64(cap(n.ends)) + int64(cap(n.kinds)) + 8*int64(len(n.slots))
}

// text returns the bytes of a key, valid until the next add.
func (n *interner) text(id uint32) []byte {
	start := uint64(0)
	if id > 0 {
		start = n.ends[id-1]
	}
	return n.arena[start:n.ends[id]]
}

func hashKey(kind uint8, text string) uint64 {
	h := xxhash.Sum64String(text) ^ uint64(kind)*0x9e3779b97f4a7c15
	return h ^ h>>29
}

// find returns the number of a key and true, or the slot where it would stand and false. There must be slots.
func (n *interner) find(kind uint8, text string, hash uint64) (at uint64, found bool) {
	mask := uint64(len(n.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := n.slots[i]
		if slot == 0 {
			return i, false
		}
		if slot>>32 == hash>>32 {
			if id := uint32(slot) - 1; n.kinds[id] == kind && string(n.text(id)) == text {
				return uint64(id), true
			}
		}
	}
}

// lookup returns the number of a key.
func (n *interner) lookup(kind uint8, text string) (id uint32, ok bool) {
	if len(n.slots) == 0 {
		return 0, false
	}
	at, ok := n.find(kind, text, hashKey(kind, text))
	return uint32(at), ok
}

// add returns the number of a key, which is copied if it is new. There must be fewer than 2^32-1.
func (n *interner) add(kind uint8, text string) uint32 {
	if 4*len(n.ends) >= 3*len(n.slots) {
		n.grow()
	}
	hash := hashKey(kind, text)
	at, ok := n.find(kind, text, hash)
	if ok {
		return uint32(at)
	}
	id := uint32(len(n.ends))
	n.slots[at] = hash>>32<<32 | uint64(id+1)
	n.arena = append(n.arena, text...)
	n.ends = append(n.ends, uint64(len(n.arena)))
	n.kinds = append(n.kinds, kind)
	return id
}

func (n *interner) grow() {
	n.slots = make([]uint64, max(64, 2*len(n.slots)))
	mask := uint64(len(n.slots) - 1)
	for id := range n.ends {
		hash := hashKey(n.kinds[id], string(n.text(uint32(id))))
		i := hash & mask
		for n.slots[i] != 0 {
			i = (i + 1) & mask
		}
		n.slots[i] = hash>>32<<32 | uint64(id+1)
	}
}

// digest is the start of the hash of a value, for comparing; 0 stands for a missing value.
type digest uint64

func digestOf(sum []byte) digest { return max(1, digest(binary.LittleEndian.Uint64(sum))) }

// spread is the finalizer of SplitMix64: a bijection of which every bit depends on all.
func spread(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// combine mixes a value into a hash.
func combine(h, x uint64) uint64 { return spread(bits.RotateLeft64(h, 23) ^ x) }

package artifact

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Dictionary gives the keys and counts of the items by dense id, and dense ids by key. It is safe for concurrent use, but
// not with Close.
type Dictionary struct {
	file   []byte
	keys   keys
	counts []uint64
	slots  []uint32 // hash table; see the layout
}

// WriteDictionary writes the dictionary of a version: keys by dense id, unique, and the count of each. If they are not
// so the error matches similarity.ErrShape. Cost: O(items), and memory for the keys and 16 bytes an item.
func (s *Store) WriteDictionary(version uint64, keys []string, counts []uint64) (Info, error) {
	if len(keys) != len(counts) || uint64(len(keys)) > maxIDs {
		return Info{}, refuse(DictionaryName, fmt.Errorf("%d counts for %d keys", len(counts), len(keys)))
	}
	d := &Dictionary{keys: packKeys(keys), counts: counts, slots: make([]uint32, slotsOf(uint64(len(keys))))}
	hashes := make([]uint32, len(keys)) // their lower halves: keys whose hashes differ are not looked at
	for id, key := range keys {
		hash := xxhash.Sum64String(key)
		hashes[id] = uint32(hash)
		slot := d.homeOf(hash)
		for ; d.slots[slot] != 0; slot++ {
			if other := d.slots[slot] - 1; hashes[other] == uint32(hash) && keys[other] == key {
				return Info{}, refuse(DictionaryName, fmt.Errorf("key %q has the ids %d and %d", key, other, id))
			}
			if slot == len(d.slots)-1 {
				slot = -1
			}
		}
		d.slots[slot] = uint32(id) + 1
	}
	return s.write(version, DictionaryName, dictionaryMagic,
		section([]uint64{uint64(len(keys)), uint64(len(d.keys.text))}),
		section(d.keys.start), d.keys.text, section(d.counts), section(d.slots))
}

// OpenDictionary maps a dictionary. Errors match fs.ErrNotExist if there is no file and ErrCorrupt if it is damaged. The
// caller must Close it. Cost: O(size), to check it; no memory but the mapping.
func OpenDictionary(path string) (*Dictionary, error) {
	return openFile(path, dictionaryMagic, parseDictionary)
}

// OpenDictionary is OpenDictionary of a file of the store. What its sections hold is looked at only if this process has not done that before.
func (s *Store) OpenDictionary(version uint64) (*Dictionary, error) {
	return openIn(s, version, DictionaryName, dictionaryMagic, parseDictionary)
}

// parseDictionary cuts the sections; openFile checks them.
func parseDictionary(s *sections) (*Dictionary, error) {
	sizes, err := s.sizes(2)
	if err != nil {
		return nil, err
	}
	n, textBytes := sizes[0], sizes[1]
	if n > maxIDs {
		return nil, fmt.Errorf("%d items", n)
	}
	return &Dictionary{
		file:   s.file,
		keys:   cutKeys(s, n, textBytes),
		counts: cut[uint64](s, n),
		slots:  cut[uint32](s, slotsOf(n)),
	}, nil
}

// check checks that no access can be out of bounds and that every search ends.
func (d *Dictionary) check() error {
	if err := d.keys.check(); err != nil {
		return err
	}
	used := 0
	for _, s := range d.slots {
		if s > uint32(d.Len()) {
			return fmt.Errorf("hash table: item %d of %d", s-1, d.Len())
		}
		if s != 0 {
			used++
		}
	}
	if used != d.Len() {
		return fmt.Errorf("hash table: %d of %d items", used, d.Len())
	}
	return nil
}

func (d *Dictionary) ready() {}

// slotsOf is the size of the hash table of n keys. Half of the slots are empty, so a search looks at 1.5 keys on average if
// it finds one, and at 2.5 if not.
func slotsOf(n uint64) uint64 { return 2*n + 1 }

// home is where the search for a key begins.
func (d *Dictionary) home(key string) int { return d.homeOf(xxhash.Sum64String(key)) }

// homeOf is home of a key with a hash.
func (d *Dictionary) homeOf(hash uint64) int {
	high, _ := bits.Mul64(hash, uint64(len(d.slots)))
	return int(high)
}

// slot returns where a key is in the hash table, or where it would be.
func (d *Dictionary) slot(key string) (slot int, found bool) { return d.slotFrom(d.home(key), key) }

func (d *Dictionary) slotFrom(home int, key string) (slot int, found bool) {
	for slot = home; ; slot++ {
		if slot == len(d.slots) {
			slot = 0
		}
		s := d.slots[slot]
		if s == 0 {
			return slot, false
		}
		if string(d.keys.at(int(s-1))) == key {
			return slot, true
		}
	}
}

// Len returns the number of items. All dense ids are below it.
func (d *Dictionary) Len() int { return d.keys.len() }

// Key returns the key of an item, which must be below Len. It is a copy, so that answers may keep it.
func (d *Dictionary) Key(id uint32) string { return string(d.keys.at(int(id))) }

// Keys is Key of several items.
func (d *Dictionary) Keys(ids []uint32) []string {
	size := int64(0)
	for _, id := range ids {
		size += d.keys.start[id+1] - d.keys.start[id]
	}
	var text strings.Builder
	text.Grow(int(size))
	for _, id := range ids {
		text.Write(d.keys.at(int(id)))
	}
	out, all, at := make([]string, len(ids)), text.String(), 0
	for i, id := range ids {
		n := int(d.keys.start[id+1] - d.keys.start[id])
		out[i], at = all[at:at+n], at+n
	}
	return out
}

// AllKeys returns the keys of all items, by dense id. They share one copy.
func (d *Dictionary) AllKeys() []string {
	text, keys := string(d.keys.text), make([]string, d.Len())
	for i := range keys {
		keys[i] = text[d.keys.start[i]:d.keys.start[i+1]]
	}
	return keys
}

// KeyBytes is Key without a copy: it must not be changed, nor kept beyond Close.
func (d *Dictionary) KeyBytes(id uint32) []byte { return d.keys.at(int(id)) }

// Count returns the count of an item, which must be below Len.
func (d *Dictionary) Count(id uint32) uint64 { return d.counts[id] }

// ID returns the dense id of a key. Cost: O(1) expected, without allocation.
func (d *Dictionary) ID(key string) (uint32, bool) {
	slot, ok := d.slot(key)
	if !ok {
		return 0, false
	}
	return d.slots[slot] - 1, true
}

// NoID stands for a key that a dictionary does not have.
const NoID = math.MaxUint32

// IDs is ID of several keys, with NoID for those it does not have. What lies anywhere in memory is asked for all keys together first, so that the processor
// does not wait for one after the other; in steps, so short that it sees many keys ahead.
func (d *Dictionary) IDs(keys []string) []uint32 {
	homes, ids := make([]int, len(keys)), make([]uint32, len(keys))
	for i, key := range keys {
		homes[i] = d.home(key)
	}
	for i, home := range homes {
		ids[i] = d.slots[home] // for now
	}
	var read byte
	for _, s := range ids {
		if at := d.keys.start[max(s, 1)-1]; at < int64(len(d.keys.text)) {
			read ^= d.keys.text[at]
		}
	}
	runtime.KeepAlive(read) // or nothing is read
	for i, key := range keys {
		slot, found := d.slotFrom(homes[i], key)
		if ids[i] = NoID; found {
			ids[i] = d.slots[slot] - 1
		}
	}
	return ids
}

// Close frees the mapping. Closing again does nothing.
func (d *Dictionary) Close() error {
	file := d.file
	*d = Dictionary{} // a late reader panics rather than reads what is mapped there next
	return unmap(file)
}

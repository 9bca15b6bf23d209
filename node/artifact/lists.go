package artifact

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/kith-io/kith/similarity"
)

// Lists gives the neighbor lists of the items of a partition. It is safe for concurrent use, but not with Close.
type Lists struct {
	file    []byte
	items   []uint32
	start   []int64
	entries []similarity.Neighbor
	// first has, by id without its last shift bits, how many items come before those that share these bits: not in the file, 4 to 8 bytes an item.
	first []uint32
	shift uint8
}

// WriteLists writes the neighbor lists of the items of a partition. items are dense ids, ascending; list i of lists belongs
// to items[i], and lists.Lo is not looked at. If they do not fit, or a list is not as similarity.Lists promises, the error
// matches similarity.ErrShape. Cost: O(items + entries).
func (s *Store) WriteLists(version uint64, partition uint32, items []uint32, lists *similarity.Lists) (Info, error) {
	w, err := s.CreateLists(version, partition)
	if err != nil {
		return Info{}, err
	}
	defer w.Abort()
	if err := w.Add(items, lists); err != nil {
		return Info{}, err
	}
	return w.Commit()
}

// OpenLists maps neighbor lists. Errors match fs.ErrNotExist if there is no file and ErrCorrupt if it is damaged. The
// caller must Close it. Cost: O(size), to check it; no memory but the mapping.
func OpenLists(path string) (*Lists, error) {
	return openFile(path, listsMagic, parseLists)
}

// OpenLists is OpenLists of a file of the store. What its sections hold is looked at only if this process has not done that before.
func (s *Store) OpenLists(version uint64, partition uint32) (*Lists, error) {
	return openIn(s, version, ListsName(partition), listsMagic, parseLists)
}

// parseLists cuts the sections; openFile checks them.
func parseLists(s *sections) (*Lists, error) {
	sizes, err := s.sizes(2)
	if err != nil {
		return nil, err
	}
	n, entries := sizes[0], sizes[1]
	if n > maxIDs {
		return nil, fmt.Errorf("%d items", n)
	}
	return &Lists{
		file:    s.file,
		items:   cut[uint32](s, n),
		start:   cut[int64](s, n+1),
		entries: cut[similarity.Neighbor](s, entries),
	}, nil
}

// check checks that no access can be out of bounds, and what is promised of the lists.
func (l *Lists) check() error {
	if len(l.start) != len(l.items)+1 {
		return fmt.Errorf("%d lists for %d items", len(l.start)-1, len(l.items))
	}
	if err := checkStarts(l.start, len(l.entries)); err != nil {
		return fmt.Errorf("lists: %w", err)
	}
	for i, item := range l.items {
		if i > 0 && l.items[i-1] >= item {
			return fmt.Errorf("item %d comes after %d", item, l.items[i-1])
		}
		list := l.At(i)
		if usualList(item, list) {
			continue
		}
		if err := checkList(item, list); err != nil {
			return fmt.Errorf("list of item %d: %w", item, err)
		}
	}
	return nil
}

// ready makes the directory. Ids of a partition are spread evenly, so that there is about one item to each of its entries.
func (l *Lists) ready() {
	if len(l.items) == 0 {
		l.first = []uint32{0, 0}
		l.shift = 32
		return
	}
	last := l.items[len(l.items)-1]
	l.shift = uint8(max(0, bits.Len32(last)-bits.Len(uint(len(l.items)))))
	l.first = make([]uint32, last>>l.shift+2)
	for _, item := range l.items {
		l.first[item>>l.shift+1]++
	}
	for i := range l.first[1:] {
		l.first[i+1] += l.first[i]
	}
}

// usualList reports whether a list is valid and has no negative scores, without a branch for each neighbor. It may be false for any list where memory has not the order of files. The bits of
// positive numbers are in the order of the numbers, so that the first and the last tell of all that none is zero, infinite or not a number.
func usualList(item uint32, list []similarity.Neighbor) bool {
	if len(list) == 0 {
		return true
	}
	words, ok := words(list)
	if !ok || math.Float32bits(list[0].Score) > math.Float32bits(math.MaxFloat32) || list[len(list)-1].Score == 0 {
		return false
	}
	last, descends, wrong := int64(math.MaxInt64), int64(-1), int64(0) // by their signs
	for _, w := range words {
		key := int64(w ^ math.MaxUint32) // falls with the score, and for equal ones as the id rises
		descends &= key - last
		wrong |= key | (int64(uint32(w)^item) - 1)
		last = key
	}
	return descends < 0 && wrong >= 0
}

// checkList checks the order of a list, its scores, and that it has not its own item.
func checkList(item uint32, list []similarity.Neighbor) error {
	for i, n := range list {
		switch {
		case n.ID == item:
			return errors.New("has the item itself")
		case n.Score == 0 || !(math.Abs(float64(n.Score)) <= math.MaxFloat32):
			return fmt.Errorf("score of %d is %v", n.ID, n.Score)
		case i > 0 && (list[i-1].Score < n.Score || list[i-1].Score == n.Score && list[i-1].ID >= n.ID):
			return fmt.Errorf("%v comes after %v", n, list[i-1])
		}
	}
	return nil
}

// Len returns the number of items of the partition.
func (l *Lists) Len() int { return len(l.items) }

// Items returns the dense ids of the items of the partition, ascending. The slice is valid until Close and must not be
// changed: writing to it ends the process.
func (l *Lists) Items() []uint32 { return l.items }

// List returns the neighbors of an item in rank order, and whether the item is in the partition. The slice is valid until
// Close and must not be changed: writing to it ends the process. Cost: a look at some two items if ids are spread evenly, and O(log items) at worst, without allocation.
func (l *Lists) List(item uint32) ([]similarity.Neighbor, bool) {
	i, ok := l.Find(item)
	if !ok {
		return nil, false
	}
	return l.At(i), true
}

// Find returns the place of an item in Items, and whether it is in the partition.
func (l *Lists) Find(item uint32) (i int, ok bool) {
	at := item >> l.shift
	if int64(at)+1 >= int64(len(l.first)) {
		return 0, false
	}
	lo := l.first[at]
	i, ok = slices.BinarySearch(l.items[lo:l.first[at+1]], item)
	return int(lo) + i, ok
}

// At returns the neighbors of the item at a place, as List does.
func (l *Lists) At(i int) []similarity.Neighbor {
	return l.entries[l.start[i]:l.start[i+1]:l.start[i+1]]
}

// Ahead reads what List is to read of the file, so that a caller who looks for several items waits for their memory at once, and not for one after the other. It returns
// something that depends on it, as what is not used is not read.
func (l *Lists) Ahead(item uint32) uint32 {
	at := item >> l.shift
	if int64(at)+1 >= int64(len(l.first)) {
		return 0
	}
	if i := l.first[at]; int64(i) < int64(len(l.items)) {
		return l.items[i] ^ uint32(l.start[i])
	}
	return 0
}

// Release lets the system take back the memory of what was read of the file until now. Lists stay valid: what is read
// again comes from the file.
func (l *Lists) Release() error { return release(l.file) }

// Close frees the mapping. Closing again does nothing.
func (l *Lists) Close() error {
	file := l.file
	*l = Lists{} // a late reader finds nothing rather than what is mapped there next
	return unmap(file)
}

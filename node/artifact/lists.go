package artifact

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/similarity"
)

// Lists gives the neighbor lists of the items of a partition. It is safe for concurrent use, but not with Close.
type Lists struct {
	file    []byte
	items   []uint32
	start   []int64
	entries []similarity.Neighbor
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
		if err := checkList(item, l.at(i)); err != nil {
			return fmt.Errorf("list of item %d: %w", item, err)
		}
	}
	return nil
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

// at returns list i.
func (l *Lists) at(i int) []similarity.Neighbor {
	return l.entries[l.start[i]:l.start[i+1]:l.start[i+1]]
}

// Len returns the number of items of the partition.
func (l *Lists) Len() int { return len(l.items) }

// Items returns the dense ids of the items of the partition, ascending. The slice is valid until Close and must not be
// changed: writing to it ends the process.
func (l *Lists) Items() []uint32 { return l.items }

// List returns the neighbors of an item in rank order, and whether the item is in the partition. The slice is valid until
// Close and must not be changed: writing to it ends the process. Cost: O(log items), without allocation.
func (l *Lists) List(item uint32) ([]similarity.Neighbor, bool) {
	i, ok := slices.BinarySearch(l.items, item)
	if !ok {
		return nil, false
	}
	return l.at(i), true
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

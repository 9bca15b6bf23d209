package artifact

import (
	"fmt"

	"github.com/kith-io/kith/similarity"
)

const restMagic = "kithrest"

// Rest gives what comes behind the neighbor lists of the items of a partition, for a build that follows (docs/adr/0032). It is
// safe for concurrent use, but not with Close.
type Rest struct {
	lists  Lists // without a directory
	bounds []float32
}

// RestWriter writes a rest as it comes. Entries wait as those of a ListsWriter do; memory is 4 bytes an item more. It must be ended by
// Commit or Abort, and be used by one goroutine.
type RestWriter struct {
	listSpool
	bounds []float32
}

// CreateRest begins the rest of a partition.
func (s *Store) CreateRest(version uint64, partition uint32) (*RestWriter, error) {
	spool, err := s.createSpool(version, RestName(partition))
	if err != nil {
		return nil, err
	}
	return &RestWriter{listSpool: spool}, nil
}

// Add adds items, as ListsWriter.Add, with the neighbors behind those in their lists, in rank order, and a bound of each: no pair
// of the item that is in neither has a score above it; 0 says that all pairs are there. A bound is finite and not negative. If
// anything is not so the error matches similarity.ErrShape.
func (w *RestWriter) Add(items []uint32, rest *similarity.Lists, bounds []float32) error {
	if err := checkBounds(items, bounds); err != nil {
		return refuse(w.file.name, err)
	}
	if err := w.add(items, rest); err != nil {
		return err
	}
	w.bounds = append(w.bounds, bounds...)
	return nil
}

// Commit makes the file durable under its name and returns its identity.
func (w *RestWriter) Commit() (Info, error) { return w.commit(restMagic, section(w.bounds)) }

// OpenRest maps a rest. Errors match fs.ErrNotExist if there is no file and ErrCorrupt if it is damaged. The caller must Close
// it. Cost: O(size), to check it; no memory but the mapping.
func OpenRest(path string) (*Rest, error) {
	return openFile(path, restMagic, parseRest)
}

// OpenRest is OpenRest of a file of the store. What its sections hold is looked at only if this process has not done that before.
func (s *Store) OpenRest(version uint64, partition uint32) (*Rest, error) {
	return openIn(s, version, RestName(partition), restMagic, parseRest)
}

// parseRest cuts the sections; openFile checks them.
func parseRest(s *sections) (*Rest, error) {
	sizes, err := s.sizes(2)
	if err != nil {
		return nil, err
	}
	n, entries := sizes[0], sizes[1]
	if n > maxIDs {
		return nil, fmt.Errorf("%d items", n)
	}
	r := &Rest{lists: Lists{file: s.file, items: cut[uint32](s, n), start: cut[int64](s, n+1)}}
	r.bounds, r.lists.entries = cut[float32](s, n), cut[similarity.Neighbor](s, entries)
	return r, nil
}

// check checks that no access can be out of bounds, and what is promised of lists and bounds.
func (r *Rest) check() error {
	if err := checkBounds(r.lists.items, r.bounds); err != nil {
		return err
	}
	return r.lists.check()
}

func (r *Rest) ready() {}

func checkBounds(items []uint32, bounds []float32) error {
	if len(bounds) != len(items) {
		return fmt.Errorf("%d bounds for %d items", len(bounds), len(items))
	}
	for i, bound := range bounds {
		if !(bound >= 0) || !finite(float64(bound)) {
			return fmt.Errorf("bound of item %d is %v", items[i], bound)
		}
	}
	return nil
}

// Len returns the number of items of the partition.
func (r *Rest) Len() int { return r.lists.Len() }

// Items returns the dense ids of the items of the partition, ascending. The slice is valid until Close and must not be
// changed: writing to it ends the process.
func (r *Rest) Items() []uint32 { return r.lists.Items() }

// At returns of item i of Items the neighbors behind those of its list, in rank order, and the bound of the scores of all others.
// The slice is valid until Close and must not be changed: writing to it ends the process.
func (r *Rest) At(i int) (rest []similarity.Neighbor, bound float32) {
	return r.lists.At(i), r.bounds[i]
}

// Close frees the mapping. Closing again does nothing.
func (r *Rest) Close() error {
	r.bounds = nil
	return r.lists.Close()
}

package artifact

import (
	"cmp"
	"fmt"
	"io"
	"os"

	"github.com/kith-io/kith/similarity"
)

// ListsWriter writes the neighbor lists of the items of a partition as they come: the file that WriteLists makes of all of
// them at once. Entries wait in memory, or if they are many in a file of their own, so memory is at most 16 MiB, and 64 for all of a store, and 12 bytes an item. It
// must be ended by Commit or Abort, and be used by one goroutine.
type ListsWriter struct{ listSpool }

// CreateLists begins the neighbor lists of the items of a partition.
func (s *Store) CreateLists(version uint64, partition uint32) (*ListsWriter, error) {
	spool, err := s.createSpool(version, ListsName(partition))
	if err != nil {
		return nil, err
	}
	return &ListsWriter{spool}, nil
}

// Add adds lists: items are dense ids, ascending and above those before; list i of lists belongs to items[i], and lists.Lo
// is not looked at. If they do not fit, or a list is not as similarity.Lists promises, the error matches
// similarity.ErrShape.
func (w *ListsWriter) Add(items []uint32, lists *similarity.Lists) error { return w.add(items, lists) }

// Commit makes the file durable under its name and returns its identity.
func (w *ListsWriter) Commit() (Info, error) { return w.commit(listsMagic) }

// spoolMemory is how many bytes of entries of a file wait in memory, and four times as many those of all. Tests change it.
var spoolMemory = 16 << 20

// listSpool is what writes a file of lists whose items and entries come together.
type listSpool struct {
	file  *File
	items []uint32
	start []int64
	// held are entries that wait, behind those in the file spilled, which is nil until there are more than spoolMemory.
	held    []byte
	spilled *os.File
}

func (s *Store) createSpool(version uint64, name string) (listSpool, error) {
	file, err := s.Create(version, name)
	return listSpool{file: file, start: []int64{0}}, err
}

// spill makes room for entries.
func (w *listSpool) spill() (err error) {
	if w.spilled == nil {
		if w.spilled, err = os.CreateTemp(w.file.store.versionDir(w.file.version), w.file.name+"-*"+tempSuffix); err != nil {
			return fmt.Errorf("create artifact: %w", err)
		}
	}
	if _, err := w.spilled.Write(w.held); err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	w.file.store.spooled.Add(-int64(len(w.held)))
	w.held = w.held[:0]
	return nil
}

func (w *listSpool) add(items []uint32, lists *similarity.Lists) error {
	l := &Lists{items: items, start: lists.Start, entries: lists.Entries}
	if len(l.start) == 0 {
		l.start = []int64{0} // no lists
	}
	if err := l.checkLists(); err != nil {
		return refuse(w.file.name, err)
	}
	if len(items) == 0 {
		return nil
	}
	if n := len(w.items); n > 0 && w.items[n-1] >= items[0] {
		return refuse(w.file.name, fmt.Errorf("item %d comes after %d", items[0], w.items[n-1]))
	}
	base := w.start[len(w.start)-1]
	for _, end := range l.start[1:] {
		w.start = append(w.start, base+end)
	}
	w.items = append(w.items, items...)
	entries := section(l.entries)
	if len(w.held) > 0 && (len(w.held)+len(entries) > spoolMemory || w.file.store.spooled.Load()+int64(len(entries)) > 4*int64(spoolMemory)) {
		if err := w.spill(); err != nil {
			return err
		}
	}
	w.file.store.spooled.Add(int64(len(entries)))
	w.held = append(w.held, entries...)
	return nil
}

// commit writes items, starts, the sections of more, and the entries.
func (w *listSpool) commit(magic string, more ...[]byte) (Info, error) {
	defer w.Abort()
	n, entries := uint64(len(w.items)), uint64(w.start[len(w.start)-1])
	for _, s := range append([][]byte{head(magic), section([]uint64{n, entries}), section(w.items), section(w.start)}, more...) {
		if err := w.file.section(s); err != nil {
			return Info{}, err
		}
	}
	if w.spilled != nil {
		if _, err := w.spilled.Seek(0, io.SeekStart); err != nil {
			return Info{}, fmt.Errorf("write artifact: %w", err)
		}
		if copied, err := io.Copy(w.file, w.spilled); err != nil || uint64(copied) != 8*entries-uint64(len(w.held)) {
			return Info{}, fmt.Errorf("write artifact: %w", cmp.Or(err, fmt.Errorf("%d bytes of %d entries", copied, entries)))
		}
	}
	if err := w.file.section(w.held); err != nil {
		return Info{}, err
	}
	return w.file.end()
}

// Abort removes what was written unless it was committed. It may be called again, and after Commit.
func (w *listSpool) Abort() {
	w.file.Abort()
	w.file.store.spooled.Add(-int64(len(w.held)))
	w.held = nil
	if w.spilled != nil {
		// What cannot be removed now is when the store is opened next.
		_ = w.spilled.Close()
		_ = os.Remove(w.spilled.Name())
		w.spilled = nil
	}
}

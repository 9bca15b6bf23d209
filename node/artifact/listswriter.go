package artifact

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

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
	// held are entries that wait, behind those in the file spilled, which is nil until there are more than spoolMemory. All pieces but the last are full.
	held    []*spoolPiece
	bytes   int // in held
	spilled *os.File
}

// spoolPiece is memory for entries.
type spoolPiece [pieceBytes]byte

// spoolPieces are those that no file needs now. Memory that a process has not used for a while costs more time than what is written to it.
var spoolPieces = sync.Pool{New: func() any { return new(spoolPiece) }}

// hold keeps entries in memory.
func (w *listSpool) hold(entries []byte) {
	w.file.store.spooled.Add(int64(len(entries)))
	for len(entries) > 0 {
		at := w.bytes % pieceBytes
		if at == 0 {
			w.held = append(w.held, spoolPieces.Get().(*spoolPiece))
		}
		n := copy(w.held[len(w.held)-1][at:], entries)
		entries, w.bytes = entries[n:], w.bytes+n
	}
}

// writeHeld writes what is held.
func (w *listSpool) writeHeld(to io.Writer) error {
	left := w.bytes
	for _, piece := range w.held {
		n := min(left, pieceBytes)
		if _, err := to.Write(piece[:n]); err != nil {
			return fmt.Errorf("write artifact: %w", err)
		}
		left -= n
	}
	return nil
}

// drop forgets what is held.
func (w *listSpool) drop() {
	w.file.store.spooled.Add(-int64(w.bytes))
	for _, piece := range w.held {
		spoolPieces.Put(piece)
	}
	w.held, w.bytes = w.held[:0], 0
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
	if err := w.writeHeld(w.spilled); err != nil {
		return err
	}
	w.drop()
	return nil
}

func (w *listSpool) add(items []uint32, lists *similarity.Lists) error {
	l := &Lists{items: items, start: lists.Start, entries: lists.Entries}
	if len(l.start) == 0 {
		l.start = []int64{0} // no lists
	}
	if err := l.check(); err != nil {
		return refuse(w.file.name, err)
	}
	if len(items) == 0 {
		return nil
	}
	if n := len(w.items); n > 0 && w.items[n-1] >= items[0] {
		return refuse(w.file.name, fmt.Errorf("item %d comes after %d", items[0], w.items[n-1]))
	}
	if room := len(w.items) + len(items); room > cap(w.items) { // at least as much again: this is copied, and looked at once
		w.items, w.start = slices.Grow(w.items, max(room, 1024)), slices.Grow(w.start, max(room, 1024)+1)
	}
	base := w.start[len(w.start)-1]
	for _, end := range l.start[1:] {
		w.start = append(w.start, base+end)
	}
	w.items = append(w.items, items...)
	entries := section(l.entries)
	if w.bytes > 0 && (w.bytes+len(entries) > spoolMemory || w.file.store.spooled.Load()+int64(len(entries)) > 4*int64(spoolMemory)) {
		if err := w.spill(); err != nil {
			return err
		}
	}
	w.hold(entries)
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
		if copied, err := io.Copy(w.file, w.spilled); err != nil || uint64(copied) != 8*entries-uint64(w.bytes) {
			return Info{}, fmt.Errorf("write artifact: %w", cmp.Or(err, fmt.Errorf("%d bytes of %d entries", copied, entries)))
		}
	}
	if err := w.writeHeld(w.file); err != nil { // entries fill whole words
		return Info{}, err
	}
	return w.file.endChecked()
}

// Abort removes what was written unless it was committed. It may be called again, and after Commit.
func (w *listSpool) Abort() {
	w.file.Abort()
	w.drop()
	if w.spilled != nil {
		// What cannot be removed now is when the store is opened next.
		_ = w.spilled.Close()
		_ = os.Remove(w.spilled.Name())
		w.spilled = nil
	}
}

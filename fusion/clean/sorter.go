package clean

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Bounds of a sorter.
const (
	// minSorterBytes is the least memory of a sorter, whatever the limit.
	minSorterBytes = 4 << 10
	// entryBytes is the memory of an entry beside its payload.
	entryBytes = 16
	// maxArena bounds the payloads in memory, whose places are 32 bits.
	maxArena = 1 << 31
	// maxFanIn is the number of runs that are merged at once.
	maxFanIn = 64
)

// sorter sorts entries of a key and a payload, by key and then by payload, in bounded memory: entries that are too many for it are sorted
// by parts, which are written to a file and merged. Every result that needs more than one record comes from one of these: columns of numbers, keys
// of duplicates, events of users, and the numbers of the records that a rule has chosen.
//
// First add, then cursors, one at a time.
type sorter struct {
	dir, name string
	limit     int
	block     int

	n       int64
	entries []sortEntry
	arena   []byte
	sorted  bool

	file   *blockFile // nil if all is in memory
	writer *blockWriter
	runs   []sortRun
	// spilled counts the bytes of all runs that were written, here and elsewhere.
	spilled *int64
}

// sortEntry is an entry with its payload in the arena.
type sortEntry struct {
	key      uint64
	at, size uint32
}

// sortRun is a sorted part of the file.
type sortRun struct{ from, to int64 }

// newSorter returns a sorter that takes about limit bytes of memory.
func newSorter(dir, name string, limit int64) *sorter {
	l := int(min(max(limit, minSorterBytes), maxArena))
	return &sorter{dir: dir, name: name, limit: l, spilled: new(int64), block: min(max(l/maxFanIn, 1<<10), 64<<10)}
}

// add adds an entry; the payload is copied.
func (s *sorter) add(key uint64, payload []byte) error {
	// Slices grow by doubling at worst, so that half of the limit is what may be in use.
	if used := len(s.entries)*entryBytes + len(s.arena); used > 0 && used+entryBytes+len(payload) > s.limit/2 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.entries = append(s.entries, sortEntry{key, uint32(len(s.arena)), uint32(len(payload))})
	s.arena = append(s.arena, payload...)
	s.n++
	return nil
}

func (s *sorter) payload(e sortEntry) []byte { return s.arena[e.at : e.at+e.size] }

func (s *sorter) sort() {
	if len(s.arena) == 0 {
		slices.SortFunc(s.entries, func(a, b sortEntry) int { return cmp.Compare(a.key, b.key) })
		return
	}
	slices.SortFunc(s.entries, func(a, b sortEntry) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return bytes.Compare(s.payload(a), s.payload(b))
	})
}

// spill writes the entries in memory as a run.
func (s *sorter) spill() error {
	if s.file == nil {
		f, err := createBlocks(s.dir, s.name)
		if err != nil {
			return err
		}
		s.file, s.writer = f, newBlockWriter(f, s.block)
	}
	s.sort()
	from := s.file.size
	for _, e := range s.entries {
		if err := s.write(e.key, s.payload(e)); err != nil {
			return err
		}
	}
	return s.endRun(from)
}

func (s *sorter) write(key uint64, payload []byte) error {
	w := s.writer
	w.buf = binary.BigEndian.AppendUint64(w.buf, key)
	w.buf = append(binary.AppendUvarint(w.buf, uint64(len(payload))), payload...)
	return w.end()
}

func (s *sorter) endRun(from int64) error {
	if err := s.writer.flush(); err != nil {
		return err
	}
	s.runs = append(s.runs, sortRun{from, s.file.size})
	*s.spilled += s.file.size - from
	s.entries, s.arena = s.entries[:0], s.arena[:0]
	return nil
}

// cursor returns a cursor before the first entry. Nothing may be added any more.
func (s *sorter) cursor() (*sortCursor, error) {
	if s.file == nil {
		if !s.sorted {
			s.sort()
			s.sorted = true
		}
		return &sortCursor{sorter: s}, nil
	}
	if len(s.entries) > 0 {
		if err := s.spill(); err != nil {
			return nil, err
		}
	}
	s.entries, s.arena = nil, nil
	fanIn := min(max(s.limit/s.block, 4), maxFanIn)
	for len(s.runs) > fanIn {
		c, err := s.merge(s.runs[:fanIn])
		if err != nil {
			return nil, err
		}
		s.runs = s.runs[fanIn:]
		from := s.file.size
		for c.next() {
			if err := s.write(c.key, c.payload); err != nil {
				return nil, err
			}
		}
		if c.err != nil {
			return nil, c.err
		}
		if err := s.endRun(from); err != nil {
			return nil, err
		}
	}
	return s.merge(s.runs)
}

// merge returns a cursor over the entries of runs.
func (s *sorter) merge(runs []sortRun) (*sortCursor, error) {
	if _, err := s.file.begin(); err != nil {
		return nil, err
	}
	c := &sortCursor{sorter: s, heap: make([]*runReader, 0, len(runs))}
	for _, r := range runs {
		reader := &runReader{file: s.file, at: r.from, end: r.to}
		if ok, err := reader.next(); err != nil {
			return nil, err
		} else if ok {
			c.heap = append(c.heap, reader)
		}
	}
	for i := len(c.heap)/2 - 1; i >= 0; i-- {
		c.down(i)
	}
	return c, nil
}

func (s *sorter) remove() error {
	if s == nil {
		return nil
	}
	s.entries, s.arena = nil, nil
	return s.file.remove()
}

// sortCursor walks over the entries of a sorter in order.
type sortCursor struct {
	sorter  *sorter
	at      int // of entries in memory
	heap    []*runReader
	started bool

	// The entry at the cursor; the payload is valid until the next call of next.
	key     uint64
	payload []byte
	err     error
}

// next moves to the next entry and reports whether there is one; if not, err says whether something failed.
func (c *sortCursor) next() bool {
	if c.heap == nil {
		if c.at == len(c.sorter.entries) {
			return false
		}
		e := c.sorter.entries[c.at]
		c.key, c.payload = e.key, c.sorter.payload(e)
		c.at++
		return true
	}
	if c.started {
		ok, err := c.heap[0].next()
		if err != nil {
			c.err = err
			return false
		}
		if !ok {
			last := len(c.heap) - 1
			c.heap[0] = c.heap[last]
			c.heap = c.heap[:last]
		}
		c.down(0)
	}
	c.started = true
	if len(c.heap) == 0 {
		return false
	}
	c.key, c.payload = c.heap[0].key, c.heap[0].payload
	return true
}

// down restores the heap below i.
func (c *sortCursor) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(c.heap); child++ {
			if c.heap[child].before(c.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		c.heap[i], c.heap[least] = c.heap[least], c.heap[i]
		i = least
	}
}

// runReader reads the entries of a run.
type runReader struct {
	file    *blockFile
	at, end int64
	buf     []byte // of the block
	rest    []byte // of its content
	key     uint64
	payload []byte
}

func (r *runReader) before(o *runReader) bool {
	if r.key != o.key {
		return r.key < o.key
	}
	return bytes.Compare(r.payload, o.payload) < 0
}

func (r *runReader) next() (bool, error) {
	if len(r.rest) == 0 {
		if r.at == r.end {
			return false, nil
		}
		content, next, err := r.file.read(r.at, &r.buf)
		if err != nil {
			return false, err
		}
		r.rest, r.at = content, next
	}
	var err error
	r.key, r.payload, r.rest, err = readEntry(r.rest)
	return err == nil, err
}

// readEntry reads an entry of a run, and returns what follows it.
func readEntry(b []byte) (key uint64, payload, rest []byte, err error) {
	if len(b) < 8 {
		return 0, nil, nil, errEntry
	}
	key, b = binary.BigEndian.Uint64(b), b[8:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return 0, nil, nil, errEntry
	}
	b = b[n:]
	return key, b[:size:size], b[size:], nil
}

var errEntry = fmt.Errorf("entry is cut off: %w", ErrCorrupt)

// removeAll removes sorters, some of which may be nil.
func removeAll(sorters ...*sorter) error {
	var errs []error
	for _, s := range sorters {
		errs = append(errs, s.remove())
	}
	return errors.Join(errs...)
}

package fusion

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// SpillConfig says how ReadSpill cuts the rows up.
type SpillConfig struct {
	// Dir is an empty folder for the files.
	Dir string
	// Partitions is the number of files; Of returns that of a user's rows, from 0.
	Partitions int
	Of         func(user []byte) int
	// Transposed makes users of items and items of users: tables are those of the
	// transposed matrix, and Of is asked for the keys of items.
	Transposed bool
	// BufferBytes bounds the rows that wait in memory. Changes speed only.
	BufferBytes int64
	// MaxKeyBytes bounds the keys in memory, and the ids of events; 0 means no bound.
	MaxKeyBytes int64
}

// Bounds of the rows of one chunk of a file: shorter ones are mostly head, and longer
// ones save nothing.
const (
	minSpillRows = 1 << 9
	maxSpillRows = chunkRows
)

// keyCheck is the number of new keys between two looks at their memory.
const keyCheck = 1 << 12

// Spill is the matrix of users and items of whole files, cut into partitions by user.
// Keys are in memory, rows in a file for each partition.
type Spill struct {
	weights  Weights
	items    []string // ascending
	itemRank []uint32
	parts    []spillPart
	memory   int64
	rows     int64
}

// spillPart is the rows of a partition.
type spillPart struct {
	users interner
	open  *openChunk // nil once all is written
	file  *os.File
	rows  int64
	bytes int64
}

// ReadSpill reads sources as ReadTable does, but keeps only keys in memory. It
// writes the rows that count to files, from which Table makes the entries of a
// partition of the users: those that ReadTable makes, bit for bit. The caller must Close
// the result.
//
// What ReadTable refuses is refused here, too, except that nobody knows yet whether an entry is
// left. The error for keys that pass MaxKeyBytes matches ErrKeyMemory.
//
// Memory: the distinct keys, about 40 bytes each and their length while reading and 20
// and their length thereafter; in sources with ids of events, as much for each id
// while reading; and BufferBytes. Disk: 8 bytes a row, and 4 or 8 for weights other than 1,
// and as many for times.
func ReadSpill(ctx context.Context, ms []Mapping, w Weights, now int64, dead *DeadLetterWriter, cfg SpillConfig) (_ *Spill, _ []Report, err error) {
	s := &Spill{weights: w, parts: make([]spillPart, cfg.Partitions)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	rows := min(maxSpillRows, max(minSpillRows, cfg.BufferBytes/int64(openRowBytes*max(1, cfg.Partitions))))
	for p := range s.parts {
		part := &s.parts[p]
		if part.file, err = os.OpenFile(filepath.Join(cfg.Dir, fmt.Sprintf("rows-%05d", p)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return nil, nil, fmt.Errorf("spill rows: %w", err)
		}
		part.open = newOpenChunk(int(rows))
	}
	b := spillBuilder{Spill: s, cfg: cfg, admission: admission{weights: w, now: now}}
	reports, err := readAll(ctx, ms, w, now, dead, b.add)
	if err != nil {
		return nil, reports, err
	}
	for p := range s.parts {
		if err := b.flush(p); err != nil {
			return nil, reports, err
		}
		part := &s.parts[p]
		part.open, part.users.slots = nil, nil
		part.users.arena, part.users.ends = slices.Clip(part.users.arena), slices.Clip(part.users.ends)
		s.rows += part.rows
		s.memory += part.users.sizeBytes()
	}
	b.ids = interner{}
	s.items, s.itemRank = b.items.sorted()
	s.memory += int64(len(b.items.arena)) + 20*int64(len(s.items))
	return s, reports, nil
}

// ErrKeyMemory means that the keys of a file do not fit the memory that is set aside for them.
var ErrKeyMemory = errors.New("too little memory for keys")

// spillBuilder collects the rows that count.
type spillBuilder struct {
	*Spill
	admission
	cfg   SpillConfig
	items interner
	// fresh counts new keys since the last look at their memory.
	fresh int
	buf   []byte // scratch

	// Of the row added last.
	userKey []byte
	part    int
	user    uint32
}

// add adds the row that r has read, if it counts.
func (b *spillBuilder) add(r *rowReader) error {
	t, ok := b.admit(r)
	if !ok {
		return nil
	}
	if b.items.len() == maxTableItems {
		return errTooLarge(r)
	}
	userKey, itemKey := r.user, r.item
	if b.cfg.Transposed {
		userKey, itemKey = itemKey, userKey
	}
	freshUser := false
	if string(b.userKey) != string(userKey) {
		b.userKey = append(b.userKey[:0], userKey...)
		b.part = b.cfg.Of(userKey)
		b.user, freshUser = b.parts[b.part].users.add(userKey)
	}
	item, freshItem := b.items.add(itemKey)
	part := &b.parts[b.part]
	if part.rows == maxTableRows {
		return errTooLarge(r)
	}
	part.rows++
	if freshUser || freshItem || len(r.id) > 0 {
		if b.fresh++; b.fresh >= keyCheck {
			b.fresh = 0
			if err := b.checkKeys(r); err != nil {
				return err
			}
		}
	}
	if part.open.add(b.user, item, t) {
		return b.flush(b.part)
	}
	return nil
}

// checkKeys compares the memory of all keys with its bound.
func (b *spillBuilder) checkKeys(r *rowReader) error {
	used := b.items.sizeBytes() + b.ids.sizeBytes()
	users := 0
	for p := range b.parts {
		used += b.parts[p].users.sizeBytes()
		users += b.parts[p].users.len()
	}
	if b.cfg.MaxKeyBytes <= 0 || used <= b.cfg.MaxKeyBytes {
		return nil
	}
	what := fmt.Sprintf("%d users and %d items", users, b.items.len())
	if n := b.ids.len(); n > 0 {
		what = fmt.Sprintf("%s and the ids of %d events", what, n)
	}
	return fmt.Errorf("%w: %s: after %d rows the keys of %s take %d MiB, more than the %d MiB that the limit leaves for them",
		ErrKeyMemory, r.report.Name, r.report.Read, what, used>>20, b.cfg.MaxKeyBytes>>20)
}

// flush writes the open chunk of a partition.
func (b *spillBuilder) flush(p int) error {
	part := &b.parts[p]
	if part.open.n == 0 {
		return nil
	}
	b.buf = part.open.appendChunk(b.buf[:0])
	n, err := part.file.Write(b.buf)
	part.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("spill rows: %w", err)
	}
	return nil
}

// Rows returns the number of rows that count.
func (s *Spill) Rows() int64 { return s.rows }

// NumUsers and NumItems return how many users and items have a row that counts.
func (s *Spill) NumUsers() int {
	n := 0
	for p := range s.parts {
		n += s.parts[p].users.len()
	}
	return n
}

// NumItems is described at NumUsers.
func (s *Spill) NumItems() int { return len(s.items) }

// MemoryBytes returns the memory that the Spill holds, DiskBytes the size of its files.
func (s *Spill) MemoryBytes() int64 { return s.memory }

// DiskBytes is described at MemoryBytes.
func (s *Spill) DiskBytes() int64 {
	var n int64
	for p := range s.parts {
		n += s.parts[p].bytes
	}
	return n
}

// TableBytes returns about how much memory making the table of partition p takes at its
// peak, the table included.
func (s *Spill) TableBytes(p int) int64 {
	part := &s.parts[p]
	return part.bytes + 20*part.rows + 64*int64(part.users.len()) + int64(len(part.users.arena)) + 1<<16
}

// Table reads the rows of partition p and fuses them: the users of the partition, with
// all items, of which some may have no entry here. The items are shared by the tables and
// must not be changed. Safe for concurrent use. Damage of the file is an error matching source.ErrCorrupt.
func (s *Spill) Table(ctx context.Context, p int) (*Table, error) {
	part := &s.parts[p]
	rows, err := part.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("spilled rows of partition %d: %w", p, err)
	}
	t := &Table{Items: s.items}
	var rank []uint32
	t.Users, rank = part.users.sorted()
	e := rows.group(rank, s.itemRank)
	w := s.weights
	e.fuse(&w)
	t.Start, t.Item, t.Weight, t.Time = e.start, e.item, e.weight, e.time
	t.dropEmptyUsers()
	return t, nil
}

// Close removes the files.
func (s *Spill) Close() error {
	var errs []error
	for p := range s.parts {
		if f := s.parts[p].file; f != nil {
			errs = append(errs, f.Close(), os.Remove(f.Name()))
			s.parts[p].file = nil
		}
	}
	return errors.Join(errs...)
}

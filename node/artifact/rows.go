package artifact

import (
	"fmt"
	"slices"

	"github.com/kith-io/kith/similarity"
)

// Rows gives the interaction rows of the users of a partition. It is safe for concurrent use, but not with Close.
type Rows struct {
	file      []byte
	firstUser uint32
	users     keys
	matrix    *similarity.Rows
}

// WriteRows writes the rows of the users of a partition, who have the dense ids from firstUser. users are their keys,
// ascending and unique; row i of rows belongs to users[i]. Weights that are all one are not stored. If users and rows do
// not fit, or rows are not valid, the error matches similarity.ErrShape. Cost: O(users + entries).
func (s *Store) WriteRows(version uint64, partition, firstUser uint32, users []string, rows *similarity.Rows) (Info, error) {
	return s.writeRows(version, partition, firstUser, packKeys(users), rows)
}

// WriteRowsOf is WriteRows with the keys as they are in the file.
func (s *Store) WriteRowsOf(version uint64, partition, firstUser uint32, users *Keys, rows *similarity.Rows) (Info, error) {
	users.begin()
	return s.writeRows(version, partition, firstUser, users.keys, rows)
}

func (s *Store) writeRows(version uint64, partition, firstUser uint32, users keys, rows *similarity.Rows) (Info, error) {
	name := RowsName(partition)
	// Before normal, which goes by the starts, and leaves valid what is.
	if err := rows.Validate(); err != nil {
		return Info{}, refuse(name, err)
	}
	m := normal(rows)
	r := &Rows{firstUser: firstUser, users: users, matrix: m}
	if err := r.checkUsers(); err != nil {
		return Info{}, refuse(name, err)
	}
	weighted := uint64(0)
	if m.Weight != nil {
		weighted = 1
	}
	sizes := []uint64{
		uint64(firstUser), uint64(users.len()), uint64(len(r.users.text)), uint64(m.NumItems), uint64(len(m.Item)), weighted,
	}
	return s.write(version, name, rowsMagic, section(sizes),
		section(r.users.start), r.users.text, section(m.Start), section(m.Item), section(m.Weight))
}

// normal returns the one form that equal matrices have: starts from 0, no entries that belong to no row, and no weights
// if all are one.
func normal(r *similarity.Rows) *similarity.Rows {
	first, end := r.Start[0], r.Start[r.NumUsers()]
	n := &similarity.Rows{NumItems: r.NumItems, Start: r.Start, Item: r.Item[first:end]}
	if first != 0 {
		n.Start = slices.Clone(r.Start)
		for i := range n.Start {
			n.Start[i] -= first
		}
	}
	if r.Weight != nil && slices.ContainsFunc(r.Weight[first:end], func(w float32) bool { return w != 1 }) {
		n.Weight = r.Weight[first:end]
	}
	return n
}

// OpenRows maps rows. Errors match fs.ErrNotExist if there is no file and ErrCorrupt if it is damaged. The caller must
// Close it. Cost: O(size), to check it; no memory but the mapping.
func OpenRows(path string) (*Rows, error) {
	return openFile(path, rowsMagic, parseRows)
}

// OpenRows is OpenRows of a file of the store. What its sections hold is looked at only if this process has not done that before.
func (s *Store) OpenRows(version uint64, partition uint32) (*Rows, error) {
	return openIn(s, version, RowsName(partition), rowsMagic, parseRows)
}

// parseRows cuts the sections; openFile checks them.
func parseRows(s *sections) (*Rows, error) {
	sizes, err := s.sizes(6)
	if err != nil {
		return nil, err
	}
	firstUser, n, textBytes, items, entries, weighted := sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]
	if max(firstUser, n, items) > maxIDs || weighted > 1 {
		return nil, fmt.Errorf("sizes are %d", sizes)
	}
	r := &Rows{file: s.file, firstUser: uint32(firstUser), users: cutKeys(s, n, textBytes)}
	r.matrix = &similarity.Rows{NumItems: int(items), Start: cut[int64](s, n+1), Item: cut[uint32](s, entries)}
	if weighted == 1 {
		r.matrix.Weight = cut[float32](s, entries)
	}
	return r, nil
}

// check checks that no access can be out of bounds and that searches are right.
func (r *Rows) check() error {
	if err := r.checkUsers(); err != nil {
		return err
	}
	if err := checkStarts(r.matrix.Start, len(r.matrix.Item)); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	return r.matrix.Validate()
}

// checkUsers checks the keys.
func (r *Rows) checkUsers() error {
	if n := r.matrix.NumUsers(); r.users.len() != n || uint64(r.firstUser)+uint64(n) > maxIDs {
		return fmt.Errorf("%d keys for %d rows of users from %d", r.users.len(), n, r.firstUser)
	}
	if err := r.users.check(); err != nil {
		return err
	}
	return r.users.checkAscending()
}

func (r *Rows) ready() {}

// FirstUser returns the dense id of the user of row 0. The others follow.
func (r *Rows) FirstUser() uint32 { return r.firstUser }

// NumUsers returns the number of rows.
func (r *Rows) NumUsers() int { return r.users.len() }

// Find returns the row of a user, and whether there is one. Cost: O(log users), without allocation.
func (r *Rows) Find(user string) (row int, ok bool) {
	row, ok = r.Place(user)
	if !ok {
		return 0, false
	}
	return row, true
}

// Place returns the row of a user, or where it would be, and whether there is one. Cost: as of Find.
func (r *Rows) Place(user string) (row int, ok bool) { return r.users.find(user) }

// Key returns the key of the user of a row, which must be in [0, NumUsers). It is a copy, so that answers may keep it.
func (r *Rows) Key(row int) string { return string(r.users.at(row)) }

// Matrix returns the rows: users×items, by item's dense id. Weight is nil if all weights are one. It is a view of the file:
// valid until Close, and not to be changed, for writing to it ends the process.
func (r *Rows) Matrix() *similarity.Rows { return r.matrix }

// Close frees the mapping. Closing again does nothing.
func (r *Rows) Close() error {
	file := r.file
	*r = Rows{} // a late reader panics rather than reads what is mapped there next
	return unmap(file)
}

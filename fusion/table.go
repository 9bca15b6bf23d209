package fusion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Table is the matrix of users and items of whole files, in memory: one entry
// for each interaction, in compressed sparse rows. Users and items are those
// with an entry.
type Table struct {
	Users, Items []string // keys, ascending by bytes
	// Start has len(Users)+1 elements: the entries of user u are those from
	// Start[u] to Start[u+1].
	Start []int64
	// Item holds the item of each entry, an index into Items, ascending and
	// unique within a user.
	Item []uint32
	// Weight holds the weight of each entry, nil if all are 1.
	Weight []float32
	// Time holds the time of the newest event of each entry that counts, in Unix
	// milliseconds, 0 if unknown; nil if all are unknown.
	Time []int64
}

// Bounds of a table.
const (
	maxTableRows  = math.MaxUint32
	maxTableItems = 1<<31 - 1 // one bit of an item number marks ratings
)

// ReadTable reads sources and fuses them: the entries of a user are those that
// Fuse makes of the user's events in all sources, as Events reads them, bit for
// bit. The reports are in the order of ms.
//
// Two rows of one user with the same ID are one event, the first. IDs are
// looked at only in sources with a column for them. Among rows of equal time
// the later in the file is the later event; between sources, a hash of their
// names decides, as in the ids that Events makes. (The event store knows no
// lines: given ids that do not ascend with the lines, it may take another of
// several ratings of the same time.)
//
// It is an error if a source has no good row (ErrNoValidRow, after all others
// are read), if no entry is left, or if w has a half-life and now is 0.
//
// Memory, at its peak: 24 bytes a row with weights that float32 holds exactly
// and times in whole seconds; 8 to 16 bytes less without times, 4 to 12 more
// with other weights, 4 more with milliseconds. On top of it come the distinct
// keys, about 60 bytes each and their length, and 32 bytes a row of the largest user.
// Cost: O(rows log(rows of a user)).
func ReadTable(ctx context.Context, ms []Mapping, w Weights, now int64, dead *DeadLetterWriter) (*Table, []Report, error) {
	b := tableBuilder{admission: admission{weights: w, now: now}}
	reports, err := readAll(ctx, ms, w, now, dead, b.add)
	if err != nil {
		return nil, reports, err
	}
	t := b.table()
	if len(t.Item) == 0 {
		return nil, reports, NothingLeft(reports)
	}
	return t, reports, nil
}

// readAll calls add with each good row of the sources, those of one source after the other in the order of the sources in made
// ids. Sources whose rows are no events are left out; their reports are empty. The reports are in the order of ms.
func readAll(ctx context.Context, ms []Mapping, w Weights, now int64, dead *DeadLetterWriter, add func(*rowReader) error) ([]Report, error) {
	reports := make([]Report, len(ms))
	for i := range ms {
		reports[i] = newReport(ms[i].name())
	}
	if err := w.Validate(); err != nil {
		return reports, err
	}
	if w.HalfLife > 0 && now <= 0 {
		return reports, errNow
	}
	order := make([]int, len(ms))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := newSourceID(reports[a].Name), newSourceID(reports[b].Name)
		return bytes.Compare(x[:], y[:])
	})
	var empty error
	for _, i := range order {
		if !ms[i].Kind.HasEvents() {
			continue
		}
		var err error
		reports[i], err = readSource(ctx, ms[i], dead, add)
		switch {
		case errors.Is(err, ErrNoValidRow):
			empty = errors.Join(empty, err)
		case err != nil:
			return reports, err
		}
	}
	return reports, empty
}

// readSource calls add with the good rows of one source.
func readSource(ctx context.Context, m Mapping, dead *DeadLetterWriter, add func(*rowReader) error) (Report, error) {
	rows, err := openRows(ctx, m, dead)
	if err != nil {
		return rows.report, err
	}
	for err == nil {
		if err = rows.next(ctx); err == nil {
			err = add(rows)
		}
	}
	if err == io.EOF { //nolint:errorlint // a wrapped one is damage
		err = nil
	}
	if err = errors.Join(err, rows.close()); err != nil {
		return rows.report, err
	}
	return rows.finish()
}

// NothingLeft returns an error, matching ErrNoValidRow, that says why the good rows of
// the reports left no entry.
func NothingLeft(reports []Report) error {
	var all Report
	for i := range reports {
		all.Add(reports[i])
	}
	if len(all.Weightless) > 0 {
		return fmt.Errorf("%w: no interaction is left: behaviors without weight: %s; give them one", ErrNoValidRow, counts(all.Weightless, 5))
	}
	return fmt.Errorf("%w: no interaction is left: all weights are 0 or below; look at values and at the weights of behaviors", ErrNoValidRow)
}

// admission decides which good rows count, and for how much.
type admission struct {
	weights Weights
	now     int64
	ids     interner // of events with an id of their own, after their user

	behavior Behavior // of the row before
	factor   float64  // of the behavior
	id       []byte   // scratch
}

// admit returns the term of the row that r has read, if it counts.
func (a *admission) admit(r *rowReader) (t term, ok bool) {
	if len(r.id) > 0 {
		a.id = append(append(append(a.id[:0], r.user...), 0), r.id...) // keys have no NUL byte
		if _, fresh := a.ids.add(a.id); !fresh {
			return term{}, false
		}
	}
	if r.behavior != a.behavior {
		a.behavior, a.factor = r.behavior, a.weights.Behavior[r.behavior]
	}
	if a.factor == 0 {
		r.report.weightless(r.behavior)
		return term{}, false
	}
	return a.weights.term(a.factor, r.behavior, r.value, r.time, a.now), true
}

// tableBuilder collects the rows that count.
type tableBuilder struct {
	admission
	users, items interner
	rows         rowStore

	// Of the row added last. Files are often in the order of users.
	userKey []byte
	user    uint32
}

// add adds the row that r has read, if it counts.
func (b *tableBuilder) add(r *rowReader) error {
	t, ok := b.admit(r)
	if !ok {
		return nil
	}
	if b.rows.n == maxTableRows || b.items.len() == maxTableItems {
		return errTooLarge(r)
	}
	if string(b.userKey) != string(r.user) {
		b.userKey = append(b.userKey[:0], r.user...)
		b.user, _ = b.users.add(r.user)
	}
	item, _ := b.items.add(r.item)
	b.rows.add(b.user, item, t)
	return nil
}

func errTooLarge(r *rowReader) error {
	return fmt.Errorf("%s: too large for one table, which holds up to %d rows of %d items; put it into a cluster with kith ingest, or read a part of it",
		r.report.Name, int64(maxTableRows), maxTableItems)
}

// table fuses what was added. The builder is empty afterwards.
func (b *tableBuilder) table() *Table {
	t := &Table{}
	var userRank, itemRank []uint32
	t.Users, userRank = b.users.sorted()
	t.Items, itemRank = b.items.sorted()
	b.users, b.items, b.ids = interner{}, interner{}, interner{}
	e := b.rows.group(userRank, itemRank)
	e.fuse(&b.weights)
	t.Start, t.Item, t.Weight, t.Time = e.start, e.item, e.weight, e.time
	t.dropEmpty()
	return t
}

// dropEmpty removes users and items without an entry.
func (t *Table) dropEmpty() {
	t.dropEmptyUsers()
	number := make([]uint32, len(t.Items)) // new number + 1
	for _, i := range t.Item {
		number[i] = 1
	}
	items := uint32(0)
	for i := range number {
		if number[i] != 0 {
			t.Items[items] = t.Items[i]
			items++
			number[i] = items
		}
	}
	if int(items) == len(t.Items) {
		return
	}
	t.Items = t.Items[:items]
	for i, old := range t.Item {
		t.Item[i] = number[old] - 1
	}
}

func (t *Table) dropEmptyUsers() {
	users := 0
	for u := range t.Users {
		if t.Start[u+1] > t.Start[u] {
			t.Users[users], t.Start[users+1] = t.Users[u], t.Start[u+1]
			users++
		}
	}
	t.Users, t.Start = t.Users[:users], t.Start[:users+1]
}

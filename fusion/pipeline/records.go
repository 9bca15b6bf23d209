package pipeline

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/record"
)

// recordBatch is the number of records handed over at once.
const recordBatch = 1000

// fuse makes records of the rows of a side, and hands them over by key. Rows are sorted on disk.
func (r *run) fuse(ctx context.Context, s *side, kind catalog.Kind) (*Fused, error) {
	wanted := func(in *input) bool { return in.m.Kind == s.kind }
	if !slices.ContainsFunc(r.inputs, wanted) || !r.o.Share.First() {
		return nil, nil
	}
	sorted, err := openSorted(filepath.Join(r.o.TempDir, s.name), r.o.MemoryLimit)
	if err != nil {
		return nil, err
	}
	f := &fuser{run: r, side: s, kind: kind, report: &Fused{}, fields: map[string]*settler{}, sorted: sorted}
	err = func() error {
		for i, in := range r.inputs {
			if !wanted(in) {
				continue
			}
			if err := f.addRows(ctx, i, in); err != nil {
				return err
			}
		}
		if err := f.addKeys(); err != nil {
			return err
		}
		return f.emit(ctx)
	}()
	f.finish()
	return f.report, errors.Join(err, sorted.close())
}

// fuser makes the records of a side. An entry of its store is
//
//	key 0 | input u32 | number u64 | -> row: see appendRow
//	key 0 | keysEntry u32 |          -> keys that are one with it
type fuser struct {
	*run
	side   *side
	kind   catalog.Kind
	report *Fused
	fields map[string]*settler
	sorted *sorted
	shapes []shape // by input
	n      uint64
	key    []byte
	value  []byte
	out    []catalog.Record
}

// keysEntry takes the place of an input in entries that list keys.
const keysEntry = math.MaxUint32

// shape is what is known of the rows of an input.
type shape struct {
	fields []record.Field // those that are stored
	at     []int          // of each, in the records of the input
	hash   []bool         // of each: its values are replaced
	key    int
	time   int // -1 for none
}

// shapeOf checks what is said about the fields of an input.
func (s *side) shapeOf(in *input, fields []record.Field) (shape, error) {
	f := shape{key: record.FieldIndex(fields, s.field), time: -1}
	if changed := s.entity.Changed; changed != "" {
		f.time = record.FieldIndex(fields, changed)
		if f.time >= 0 && fields[f.time].Type != record.Time {
			return f, in.m.Fail("fields."+changed, fmt.Errorf("%w: %s.changed is %s, which is a %s here; it must be a time", fusion.ErrMapping, s.name, changed, fields[f.time].Type))
		}
	}
	for i, field := range fields {
		if i == f.key || slices.Contains(in.m.Personal, field.Name) {
			continue
		}
		hashed := slices.Contains(in.m.Hashed, field.Name)
		if hashed {
			field.Type = record.Text
		}
		f.fields, f.at, f.hash = append(f.fields, field), append(f.at, i), append(f.hash, hashed)
	}
	for name := range in.m.Lists {
		if i := record.FieldIndex(f.fields, name); i >= 0 && f.fields[i].Type != record.Text {
			return f, in.m.Fail("lists."+name, fmt.Errorf("%w: %s is a %s; only texts are lists", fusion.ErrMapping, name, f.fields[i].Type))
		}
	}
	return f, nil
}

// addRows stores the rows of an input.
func (f *fuser) addRows(ctx context.Context, i int, in *input) error {
	var hash *hasher
	if f.secret != nil {
		hash = newHasher(f.secret)
	}
	f.shapes = append(f.shapes, make([]shape, i+1-len(f.shapes))...)
	return f.each(ctx, in, func(fields []record.Field) (func(*record.Record) error, error) {
		s, err := f.side.shapeOf(in, fields)
		if err != nil {
			return nil, err
		}
		f.shapes[i] = s
		kindOf := f.side.kindIn(in, fields)
		return func(rec *record.Record) error {
			if rec.Values[s.key].IsNull() {
				return f.refuseLate(in, fields, rec, "no_"+f.side.field, "a rule has taken the key away")
			}
			kind, err := kindOf(rec.Values)
			if err != nil {
				return f.refuseLate(in, fields, rec, unknownKind, err.Error())
			}
			f.report.Rows++
			f.n++
			f.key = append(append(f.key[:0], f.side.key(kind, rec.Values[s.key].Text())...), 0)
			f.key = binary.BigEndian.AppendUint32(f.key, uint32(i))
			f.key = binary.BigEndian.AppendUint64(f.key, f.n)
			f.value = s.appendRow(f.value[:0], rec, hash)
			return f.sorted.add(f.key, f.value)
		}, nil
	})
}

// appendRow appends what is kept of a row: file, line, part, rules, time and values.
func (s *shape) appendRow(dst []byte, rec *record.Record, hash *hasher) []byte {
	dst = record.AppendValue(dst, record.OfText(rec.Place.File))
	dst = binary.AppendUvarint(dst, uint64(rec.Place.Line))
	dst = binary.AppendUvarint(dst, uint64(rec.Place.Part))
	dst = binary.AppendUvarint(dst, rec.Rules)
	when := record.Value{}
	if s.time >= 0 {
		when = rec.Values[s.time]
	}
	dst = record.AppendValue(dst, when)
	for i, at := range s.at {
		v := rec.Values[at]
		if s.hash[i] {
			v = hash.value(s.fields[i].Name, v)
		}
		dst = record.AppendValue(dst, v)
	}
	return dst
}

// row is a row that came back.
type row struct {
	input  int
	place  record.Place
	rules  uint64
	when   record.Value
	values []record.Value
}

func (f *fuser) readRow(input int, b string) (row, error) {
	w := row{input: input, place: record.Place{Source: f.inputs[input].report.Name}}
	file, b, err := record.ReadValue(b)
	numbers := [3]uint64{}
	for i := range numbers {
		if err == nil {
			numbers[i], b, err = record.ReadUvarint(b)
		}
	}
	if err == nil {
		w.when, b, err = record.ReadValue(b)
	}
	w.place.File, w.place.Line, w.place.Part, w.rules = file.Text(), int64(numbers[0]), int(numbers[1]), numbers[2]
	w.values = make([]record.Value, len(f.shapes[input].fields))
	for i := range w.values {
		if err == nil {
			w.values[i], b, err = record.ReadValue(b)
		}
	}
	if err != nil {
		return w, fmt.Errorf("temporary store: %w", err)
	}
	return w, nil
}

// addKeys stores which keys are one, so that a record is made even where no row is.
func (f *fuser) addKeys() error {
	if f.side.entities == nil {
		return nil
	}
	for canonical, keys := range f.side.entities.All() {
		if len(keys) < 2 {
			continue
		}
		f.key = append(append(f.key[:0], f.side.key(canonical.Kind, canonical.Text)...), 0)
		f.key = binary.BigEndian.AppendUint32(f.key, keysEntry)
		f.value = binary.AppendUvarint(f.value[:0], uint64(len(keys)))
		for _, k := range keys[:min(len(keys), maxKeys)] {
			shown := f.side.shown(k)
			f.value = record.AppendValue(record.AppendValue(f.value, record.OfText(shown.Kind)), record.OfText(shown.Text))
		}
		if err := f.sorted.add(f.key, f.value); err != nil {
			return err
		}
	}
	return nil
}

func readKeys(b string, l *Lineage) error {
	n, b, err := record.ReadUvarint(b)
	l.KeyCount = int(n)
	for range min(n, maxKeys) {
		var kind, text record.Value
		if err == nil {
			kind, b, err = record.ReadValue(b)
		}
		if err == nil {
			text, b, err = record.ReadValue(b)
		}
		l.Keys = append(l.Keys, LineageKey{kind.Text(), text.Text()})
	}
	if err != nil {
		return fmt.Errorf("temporary store: %w", err)
	}
	return nil
}

// emit hands over the records.
func (f *fuser) emit(ctx context.Context) error {
	if err := f.sorted.flush(); err != nil {
		return err
	}
	it, err := f.sorted.db.NewIterWithContext(ctx, nil)
	if err != nil {
		return fmt.Errorf("temporary store: %w", err)
	}
	defer func() { _ = it.Close() }() // Error is asked below
	names := f.names()
	var g group
	const tail = 5 // 0 and the number of the input
	for ok := it.First(); ok; ok = it.Next() {
		k, value := string(it.Key()), string(it.Value())
		cut := strings.IndexByte(k, 0)
		if of := k[:cut]; of != g.key {
			if err := f.record(ctx, &g, names); err != nil {
				return err
			}
			g = group{key: of, rows: g.rows[:0]}
		}
		input := binary.BigEndian.Uint32([]byte(k[cut+1 : cut+tail]))
		if input == keysEntry {
			if err := readKeys(value, &g.keys); err != nil {
				return err
			}
			continue
		}
		w, err := f.readRow(int(input), value)
		if err == nil {
			err = f.addRow(&g, w, int64(len(value)))
		}
		if err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("temporary store: %w", err)
	}
	if err := f.record(ctx, &g, names); err != nil {
		return err
	}
	return f.flush(ctx)
}

// group is what there is of one key. Its rows are in memory, where fields are settled.
type group struct {
	key   string // "" for none yet
	rows  []row
	keys  Lineage // with keys alone
	bytes int64   // that the rows take
	full  bool    // they take more than the memory limit, and are refused
}

// settleBytes is about what a row takes beside its values while fields are settled.
const settleBytes = 512

// addRow adds a row to those of its key. A key with more rows than there is memory for is hardly that of one product or user, but stands for many or for
// none: all of its rows are refused.
func (f *fuser) addRow(g *group, w row, bytes int64) error {
	const code = "too_many_rows"
	detail := func() string {
		return fmt.Sprintf("the rows of %s %.80q take more than %d MiB; if the key stands for many, leave its rows out with where", f.side.field, g.key, f.o.MemoryLimit>>20)
	}
	if g.full {
		return f.refuseRow(&w, code, detail())
	}
	g.rows = append(g.rows, w)
	if g.bytes += settleBytes + valueBytes*int64(len(w.values)) + bytes; g.bytes <= f.o.MemoryLimit {
		return nil
	}
	for i := range g.rows {
		if err := f.refuseRow(&g.rows[i], code, detail()); err != nil {
			return err
		}
	}
	g.rows, g.full = nil, true
	return nil
}

// record settles one record and hands it over. As long as the catalog would not take it, the row that gives most to it is refused.
func (f *fuser) record(ctx context.Context, g *group, names []string) error {
	for len(g.rows) > 0 || g.keys.KeyCount > 0 {
		rec, choices, l := f.settleAll(g, names)
		err := f.check(&rec, l)
		if err == nil {
			f.report.Records++
			if len(g.rows) > 1 {
				f.report.Several++
			}
			for i := range choices {
				f.count(g.key, &choices[i])
			}
			f.progress(1)
			if f.out = append(f.out, rec); len(f.out) == recordBatch {
				return f.flush(ctx)
			}
			return nil
		}
		if len(g.rows) == 0 {
			return nil
		}
		most := heaviest(len(g.rows), choices)
		if err := f.refuseRow(&g.rows[most], "bad_record", err.Error()); err != nil {
			return err
		}
		g.rows = slices.Delete(g.rows, most, most+1)
	}
	return nil
}

// settleAll settles all fields of a record.
func (f *fuser) settleAll(g *group, names []string) (catalog.Record, []choice, *Lineage) {
	rec := catalog.Record{Key: g.key, Version: f.o.Now.UnixMilli()}
	l := g.keys
	l.RowCount = len(g.rows)
	for i := range g.rows[:min(len(g.rows), maxRows)] {
		l.Rows = append(l.Rows, f.lineageRow(&g.rows[i]))
	}
	l.Fields = make(map[string]LineageField, len(names))
	var choices []choice
	for _, name := range names {
		if c, of, ok := f.settle(name, g.rows); ok {
			choices = append(choices, c)
			rec.Attributes = append(rec.Attributes, catalog.Attribute{Name: name, Value: f.attribute(name, &c.settled)})
			l.Fields[name] = of
		}
	}
	return rec, choices, &l
}

// check puts the lineage into a record, as much of it as there is room for, and checks it.
func (f *fuser) check(rec *catalog.Record, l *Lineage) (err error) {
	for step := range lineageSteps {
		l.shorten(step)
		if rec.Places, err = json.Marshal(l); err != nil {
			return err
		}
		if err = rec.Check(); err == nil {
			return nil
		}
	}
	return err
}

// heaviest returns the row, of some, whose values take the most room in a record.
func heaviest(rows int, choices []choice) int {
	sizes := make([]int64, rows)
	for i := range choices {
		c := &choices[i]
		sizes[c.row] += int64(len(c.settler.report.Name)) + valueBytes + int64(len(c.settled.Value.Text()))
	}
	most := 0
	for i, size := range sizes {
		if size > sizes[most] {
			most = i
		}
	}
	return most
}

// refuseRow sets a row aside that cannot be a part of a record.
func (f *fuser) refuseRow(w *row, code, detail string) error {
	in := f.inputs[w.input]
	in.report.rejectLate(code, w.rules)
	d := fusion.DeadLetter{Source: in.report.Name, File: w.place.File, Line: w.place.Line, Reason: code, Detail: detail}
	if in.m.Private() {
		d.Detail = fusion.Withheld
	}
	in.report.sample(d)
	return f.o.Dead.Write(d)
}

func (f *fuser) lineageRow(w *row) LineageRow {
	out := LineageRow{Source: w.place.Source, File: w.place.File, Line: w.place.Line, Part: w.place.Part}
	if w.rules != 0 {
		for i, name := range f.inputs[w.input].rules.Names() {
			if w.rules&record.RuleBit(i) != 0 {
				out.Rules = append(out.Rules, name)
			}
		}
	}
	if w.when.Type() == record.Time {
		out.Changed = w.when.Millis()
	}
	return out
}

// flush hands over the records at hand.
func (f *fuser) flush(ctx context.Context) error {
	if len(f.out) == 0 {
		return nil
	}
	out := f.out
	f.out = nil
	return f.sink.Records(ctx, f.kind, out)
}

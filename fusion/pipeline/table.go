package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/record"
)

// ErrMemory means that a table that others join does not fit the memory limit.
var ErrMemory = errors.New("too little memory for a joined table")

// table holds what a join takes of another source, by key. Of rows with the same key the last one counts.
type table struct {
	join *fusion.Join
	path string   // of the join in its source
	on   []string // fields of the source that joins, in the order of the key
	// onTypes are the types of the fields of the other source that on are equal to, fields those that are taken.
	onTypes []record.Type
	fields  []record.Field
	rows    map[string][]record.Value
	bytes   int64
}

// rowOverhead is about what a row takes in a map beside its texts: two headers, and a share of the buckets.
const rowOverhead = 96

// openJoins reads the tables that a source joins.
func (r *run) openJoins(ctx context.Context, in *input) error {
	for k := range in.m.Joins {
		t := &table{join: &in.m.Joins[k], path: fmt.Sprintf("join[%d]", k), rows: map[string][]record.Value{}}
		t.on = slices.Sorted(maps.Keys(t.join.On))
		if err := r.fill(ctx, in, t); err != nil {
			return err
		}
		in.joins = append(in.joins, t)
	}
	return nil
}

// fill reads a table.
func (r *run) fill(ctx context.Context, in *input, t *table) error {
	i := slices.IndexFunc(r.inputs, func(other *input) bool { return other.report.Name == t.join.Source })
	other := r.inputs[i]
	return r.each(ctx, other, func(fields []record.Field) (func(*record.Record) error, error) {
		find := func(path, name string) (int, error) {
			at := record.FieldIndex(fields, name)
			if at < 0 {
				return 0, in.m.Fail(t.path+path, fmt.Errorf("%w: %s has no field %q", fusion.ErrMapping, t.join.Source, name))
			}
			return at, nil
		}
		var on, take []int
		for _, here := range t.on {
			at, err := find(".on."+here, t.join.On[here])
			if err != nil {
				return nil, err
			}
			on = append(on, at)
			t.onTypes = append(t.onTypes, fields[at].Type)
		}
		for _, here := range slices.Sorted(maps.Keys(t.join.Take)) {
			at, err := find(".take."+here, t.join.Take[here])
			if err != nil {
				return nil, err
			}
			take = append(take, at)
			t.fields = append(t.fields, record.Field{Name: here, Type: fields[at].Type})
		}
		var key []byte
		return func(rec *record.Record) error {
			var ok bool
			if key, ok = keyOf(key[:0], rec.Values, on); !ok {
				return nil // nothing can be equal to a missing value
			}
			values := make([]record.Value, len(take))
			for i, at := range take {
				values[i] = rec.Values[at].Clone()
			}
			if old, again := t.rows[string(key)]; again {
				t.bytes += sizeOf(values) - sizeOf(old)
			} else {
				t.bytes += int64(len(key)+rowOverhead) + sizeOf(values)
			}
			t.rows[string(key)] = values
			if t.bytes > r.o.MemoryLimit {
				return in.m.Fail(t.path, fmt.Errorf("%w: %d rows of %s take more than %d MiB; allow more memory, take fewer fields, or join it in the database it comes from",
					ErrMemory, len(t.rows), t.join.Source, r.o.MemoryLimit>>20))
			}
			return nil
		}, nil
	})
}

// sizeOf is about the memory of some values, in bytes.
func sizeOf(values []record.Value) int64 {
	size := int64(0)
	for _, v := range values {
		size += valueBytes + int64(len(v.Text()))
	}
	return size
}

// valueBytes is the memory of a value without its text.
const valueBytes = 40

// keyOf appends the key that some values make; ok is false if one is missing.
func keyOf(dst []byte, values []record.Value, at []int) (key []byte, ok bool) {
	for _, i := range at {
		if values[i].IsNull() {
			return dst, false
		}
		dst = record.AppendValue(dst, values[i])
	}
	return dst, true
}

// joined returns a stream of the records of a source with the fields that it joins.
func (r *run) joined(in *input, rows record.Stream) (record.Stream, error) {
	if len(in.joins) == 0 {
		return rows, nil
	}
	s := &joinedStream{run: r, in: in, rows: rows, fields: slices.Clone(rows.Fields())}
	for _, t := range in.joins {
		p := probe{table: t}
		for i, name := range t.on {
			at := record.FieldIndex(s.fields, name)
			if at < 0 {
				return nil, in.m.Fail(t.path+".on."+name, fmt.Errorf("%w: there is no field %q here", fusion.ErrMapping, name))
			}
			if here := s.fields[at].Type; here != t.onTypes[i] { // the text "9" is not the number 9
				return nil, in.m.Fail(t.path+".on."+name, fmt.Errorf("%w: %s is a %s here, and %s a %s in %s, so no two are equal; give both fields one type",
					fusion.ErrMapping, name, here, t.join.On[name], t.onTypes[i], t.join.Source))
			}
			p.on = append(p.on, at)
		}
		for _, f := range t.fields {
			at := record.FieldIndex(s.fields, f.Name)
			switch {
			case at < 0:
				at = len(s.fields)
				s.fields = append(s.fields, f)
			case s.fields[at].Type != f.Type:
				return nil, in.m.Fail(t.path+".take."+f.Name, fmt.Errorf("%w: %s is a %s here and a %s in %s; take it under another name",
					fusion.ErrMapping, f.Name, s.fields[at].Type, f.Type, t.join.Source))
			}
			p.to = append(p.to, at)
		}
		s.probes = append(s.probes, p)
	}
	s.values = make([]record.Value, len(s.fields))
	return s, nil
}

// probe looks a record up in a table.
type probe struct {
	*table
	on, to []int
}

// joinedStream adds fields of tables to records.
type joinedStream struct {
	run    *run
	in     *input
	rows   record.Stream
	fields []record.Field
	probes []probe
	values []record.Value
	key    []byte
}

func (s *joinedStream) Fields() []record.Field { return s.fields }

// Next returns the next record that finds what it needs.
func (s *joinedStream) Next() (record.Record, error) {
	for {
		rec, err := s.rows.Next()
		if err != nil {
			return rec, err
		}
		clear(s.values)
		copy(s.values, rec.Values)
		rec.Values = s.values
		missing := s.join()
		if missing == nil {
			return rec, nil
		}
		detail := fmt.Sprintf("no row of %s has the same %v", missing.join.Source, missing.on)
		if err := s.run.refuse(s.in, s.fields, &rec, "no_counterpart", detail); err != nil {
			return rec, err
		}
	}
}

// join fills the values in, and returns a table without a counterpart of a record that needs one.
func (s *joinedStream) join() *table {
	for i := range s.probes {
		p := &s.probes[i]
		var ok bool
		var found []record.Value
		if s.key, ok = keyOf(s.key[:0], s.values, p.on); ok {
			found, ok = p.rows[string(s.key)]
		}
		if !ok {
			s.in.counts.unmatched(p.join.Source)
			if p.join.Missing != "null" {
				return p.table
			}
		}
		for k, v := range found {
			if at := p.to[k]; s.values[at].IsNull() {
				s.values[at] = v
			}
		}
	}
	return nil
}

func (s *Source) unmatched(source string) {
	if s.Unmatched == nil {
		s.Unmatched = map[string]int64{}
	}
	s.Unmatched[source]++
}

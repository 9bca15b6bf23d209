package pipeline

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion/identity"
	"github.com/kith-io/kith/fusion/record"
)

// maxExamples is the number of conflicts that a report shows of each field.
const maxExamples = 3

// settler settles one field, and counts.
type settler struct {
	rule   identity.Rule
	report FusedField
}

// settler returns that of a field.
func (f *fuser) settler(name string) *settler {
	if s, ok := f.fields[name]; ok {
		return s
	}
	e := &f.side.entity
	method := cmp.Or(e.Fields[name], e.Settle, identity.Trust.String())
	s := &settler{report: FusedField{Name: name, Method: method, From: map[string]int64{}}}
	s.rule.Method, _ = identity.ParseMethod(method) // New has checked it
	s.rule.Order = slices.Clone(e.Trust)
	for _, in := range f.inputs {
		if !slices.Contains(s.rule.Order, in.report.Name) {
			s.rule.Order = append(s.rule.Order, in.report.Name)
		}
	}
	f.fields[name] = s
	return s
}

// finish puts the fields into the report.
func (f *fuser) finish() {
	for _, name := range slices.Sorted(maps.Keys(f.fields)) {
		f.report.Fields = append(f.report.Fields, f.fields[name].report)
	}
}

// names returns the names of all fields, ascending.
func (f *fuser) names() []string {
	var names []string
	for i := range f.shapes {
		for _, field := range f.shapes[i].fields {
			names = append(names, field.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// choice is how a field of a record was settled.
type choice struct {
	settler *settler
	settled identity.Settled
	row     int // that has the value
}

// settle settles a field of a record and says where its value comes from; ok is false if no row has one.
func (f *fuser) settle(name string, rows []row) (c choice, of LineageField, ok bool) {
	var claims []identity.Claim
	at := map[record.Place]int{} // rows by place
	for i := range rows {
		w := &rows[i]
		if k := record.FieldIndex(f.shapes[w.input].fields, name); k >= 0 && !w.values[k].IsNull() {
			claims = append(claims, identity.Claim{Value: w.values[k], Place: w.place, Time: w.when.Millis(), Timed: !w.when.IsNull()})
			at[w.place] = i
		}
	}
	if len(claims) == 0 {
		return c, of, false
	}
	c.settler = f.settler(name)
	c.settled = c.settler.rule.Settle(claims)
	c.row = at[c.settled.Place]
	of.Row = c.row
	if len(claims) > 1 {
		of.Method, of.Agree, of.Others = c.settler.report.Method, c.settled.Agreeing, len(claims)-c.settled.Agreeing
	}
	for i := range c.settled.Others {
		if other := &c.settled.Others[i]; other.Value != c.settled.Value && len(of.Next) < maxOthers {
			of.Next = append(of.Next, LineageOther{at[other.Place], cut(other.Value.String(), sampleBytes)})
		}
	}
	return c, of, true
}

// count counts what was settled.
func (f *fuser) count(key string, c *choice) {
	s := c.settler
	s.report.Values++
	s.report.From[c.settled.Place.Source]++
	if c.settled.Conflict() {
		s.report.Conflicts++
		f.example(s, key, &c.settled)
	}
}

// example shows a conflict, if it is one of the first and nothing in it is private.
func (f *fuser) example(s *settler, key string, settled *identity.Settled) {
	if len(s.report.Examples) == maxExamples {
		return
	}
	x := Conflict{Key: key}
	for _, c := range append([]identity.Claim{settled.Claim}, settled.Others[:min(len(settled.Others), maxOthers)]...) {
		if f.private(c.Place.Source) {
			return
		}
		x.Claims = append(x.Claims, Claim{cut(c.Value.String(), sampleBytes), c.Place})
	}
	s.report.Examples = append(s.report.Examples, x)
}

// private reports whether a source is private.
func (f *fuser) private(source string) bool {
	return slices.ContainsFunc(f.inputs, func(in *input) bool { return in.report.Name == source && in.report.Private })
}

// attribute returns a value as the catalog has it.
func (f *fuser) attribute(name string, s *identity.Settled) catalog.Value {
	v := s.Value
	switch v.Type() {
	case record.Number:
		return catalog.Value{Type: catalog.Number, Number: v.Number()}
	case record.Bool:
		return catalog.Value{Type: catalog.Bool, Bool: v.Bool()}
	case record.Time:
		return catalog.Value{Type: catalog.Time, Millis: v.Millis()}
	}
	separator := f.file.Source(s.Place.Source).Lists[name]
	if separator == "" {
		return catalog.Value{Type: catalog.Text, Text: v.Text()}
	}
	entries := []string{}
	for entry := range strings.SplitSeq(v.Text(), separator) {
		if entry = strings.TrimSpace(entry); entry != "" && !slices.Contains(entries, entry) {
			entries = append(entries, entry)
		}
	}
	return catalog.Value{Type: catalog.Texts, Texts: entries}
}

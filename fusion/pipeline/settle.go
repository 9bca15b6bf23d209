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

// settle returns the value of a field of a record and where it comes from; ok is false if no row has one.
func (f *fuser) settle(key, name string, rows []row) (v catalog.Value, of LineageField, ok bool) {
	var claims []identity.Claim
	at := map[record.Place]int{} // rows by place
	for i := range rows {
		w := &rows[i]
		if k := record.FieldIndex(f.shapes[w.input].fields, name); k >= 0 && !w.values[k].IsNull() {
			claims = append(claims, identity.Claim{Value: w.values[k], Place: w.place, Time: w.when.Millis(), Timed: !w.when.IsNull()})
			at[w.place] = i
			if i >= maxRows {
				at[w.place] = -1
			}
		}
	}
	if len(claims) == 0 {
		return v, of, false
	}
	s := f.settler(name)
	settled := s.rule.Settle(claims)
	of.Row = at[settled.Place]
	if len(claims) > 1 {
		of.Method, of.Agree, of.Others = s.report.Method, settled.Agreeing, len(claims)-settled.Agreeing
	}
	for i := range settled.Others {
		if other := &settled.Others[i]; other.Value != settled.Value && len(of.Next) < maxOthers {
			of.Next = append(of.Next, LineageOther{at[other.Place], cut(other.Value.String(), sampleBytes)})
		}
	}
	s.count(&settled)
	if settled.Conflict() {
		f.example(s, key, &settled)
	}
	return f.attribute(name, &settled), of, true
}

// count counts what was settled.
func (s *settler) count(settled *identity.Settled) {
	s.report.Values++
	s.report.From[settled.Place.Source]++
	if settled.Conflict() {
		s.report.Conflicts++
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

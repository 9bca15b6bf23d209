package clean

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/kith-io/kith/fusion/record"
)

// Ways to deal with missing values.
const (
	MissingDrop     = "drop"
	MissingConstant = "constant"
	MissingMean     = "mean"
	MissingMedian   = "median"
	MissingMode     = "mode"
)

// Missing fills missing values, or drops the records that have some.
type Missing struct {
	Fields []string `yaml:"fields"`
	// With is drop, constant, mean, median or mode. The mode is the most frequent value; of equally frequent ones the least.
	With string `yaml:"with"`
	// Value is the constant, as record.Value.String has it.
	Value string `yaml:"value"`
	// By names a field by whose values mean, median or mode are formed; a value stays missing where its group has none. Records without a value of this
	// field are a group.
	By string `yaml:"by"`
	// Tokens are texts that mean that the value is missing, such as n/a. They are compared as they are.
	Tokens []string `yaml:"tokens"`
}

func (*Missing) kind() string        { return "missing" }
func (s *Missing) targets() []string { return s.Fields }

func (s *Missing) check() error {
	if s.With == "" {
		return wrong("with", "is missing; want drop, constant, mean, median or mode")
	}
	if err := firstError(needFields(s.Fields), oneOf("with", s.With, MissingDrop, MissingConstant, MissingMean, MissingMedian, MissingMode)); err != nil {
		return err
	}
	row := s.With == MissingDrop || s.With == MissingConstant
	switch {
	case s.With == MissingConstant && s.Value == "":
		return wrong("value", "is missing; it is what with: constant fills in")
	case s.With != MissingConstant && s.Value != "":
		return wrong("value", "has no meaning with: %s", s.With)
	case row && s.By != "":
		return wrong("by", "has no meaning with: %s", s.With)
	case s.By != "" && slices.Contains(s.Fields, s.By):
		return wrong("by", "%q is one of the fields that are filled", s.By)
	}
	return nil
}

func (s *Missing) build(e *env, fields []record.Field) (rule, []record.Field, error) {
	var types []record.Type
	if s.With == MissingMean || s.With == MissingMedian {
		types = []record.Type{record.Number, record.Time}
	}
	at, err := findAll(fields, s.Fields, types...)
	if err != nil {
		return nil, nil, err
	}
	m := &missingRule{at: at, tokens: map[string]struct{}{}}
	for _, t := range s.Tokens {
		m.tokens[t] = struct{}{}
	}
	switch s.With {
	case MissingDrop:
		m.reasons = reasons("missing: ", s.Fields)
		return m, fields, nil
	case MissingConstant:
		for _, i := range at {
			v, err := constant("value", s.Value, fields[i])
			if err != nil {
				return nil, nil, err
			}
			m.values = append(m.values, v)
		}
		return m, fields, nil
	}
	by, err := findBy(fields, s.By)
	if err != nil {
		return nil, nil, err
	}
	f := &fillRule{missing: m, with: s.With, fields: fields, groups: newGroups(by, e.memory/8)}
	for _, field := range at {
		n := need{mode: s.With == MissingMode}
		if s.With == MissingMedian {
			n.quantiles = median
		}
		f.columns = append(f.columns, newColumn(e, field, f.groups, n, e.memory*7/8/int64(len(at))))
	}
	return f, fields, nil
}

// median is the quantiles of a median.
var median = []float64{0.5}

// missingRule drops records or fills in constants.
type missingRule struct {
	at      []int
	tokens  map[string]struct{}
	reasons []string       // nil to fill
	values  []record.Value // by field
}

// lacks reports whether a value is missing or means so.
func (m *missingRule) lacks(v record.Value) bool {
	if v.Type() == record.Text && len(m.tokens) > 0 {
		_, ok := m.tokens[v.Text()]
		return ok
	}
	return v.IsNull()
}

func (m *missingRule) apply(_ int64, r *record.Record, c *counter) (string, error) {
	for i, at := range m.at {
		switch {
		case !m.lacks(r.Values[at]):
		case m.reasons != nil:
			return m.reasons[i], nil
		default:
			c.set(r, at, m.values[i])
		}
	}
	return "", nil
}

// fillRule fills in a statistic of the values that are there.
type fillRule struct {
	missing *missingRule
	with    string
	fields  []record.Field
	groups  *groups
	columns []*column
	fill    [][]record.Value // by field and group
}

func (f *fillRule) observe(_ int64, r *record.Record) error {
	group, err := f.groups.of(r.Values)
	if err != nil {
		return err
	}
	for _, c := range f.columns {
		v := r.Values[c.field]
		if f.missing.lacks(v) {
			v = record.Value{}
		}
		if err := c.observe(group, v); err != nil {
			return err
		}
	}
	return nil
}

func (f *fillRule) prepare(ctx context.Context, c *counter) error {
	f.fill = make([][]record.Value, len(f.columns))
	for i, column := range f.columns {
		all, err := column.summaries(ctx)
		if err != nil {
			return err
		}
		field := f.fields[column.field]
		for g := range all {
			s := &all[g]
			v := s.mode
			if s.n > 0 && f.with != MissingMode {
				x := s.mean
				if f.with == MissingMedian {
					x = s.quantiles[0]
				}
				v = record.OfNumber(x)
				if field.Type == record.Time {
					v = record.OfTime(int64(math.Round(x)))
				}
			}
			f.fill[i] = append(f.fill[i], v)
			if v.Type() == record.Number || v.Type() == record.Time {
				c.statistic(field.Name, f.groupName(g), f.with, v.Number())
			}
		}
	}
	return nil
}

func (f *fillRule) groupName(g int) string {
	if f.groups.field >= 0 && g >= len(f.groups.names) {
		return ""
	}
	return f.groups.name(g)
}

func (f *fillRule) apply(_ int64, r *record.Record, c *counter) (string, error) {
	group, known := f.groups.find(r.Values)
	if !known {
		return "", nil
	}
	for i, column := range f.columns {
		if f.missing.lacks(r.Values[column.field]) && int(group) < len(f.fill[i]) {
			c.set(r, column.field, f.fill[i][group])
		}
	}
	return "", nil
}

func (f *fillRule) remove() error { return removeColumns(f.columns) }

func removeColumns(columns []*column) error {
	var errs []error
	for _, c := range columns {
		errs = append(errs, c.remove())
	}
	return errors.Join(errs...)
}

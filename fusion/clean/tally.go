package clean

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kith-io/kith/fusion/record"
)

// tally describes the values of fields before and after all rules.
type tally struct {
	fields []tallied
}

// tallied is a field before and after.
type tallied struct {
	name string
	side [2]*side
}

// described returns the fields to describe; see Options.Distributions.
func described(names []string, cfg Config) []string {
	if names != nil {
		return names
	}
	for _, r := range cfg.Rules {
		if r.Spec == nil {
			continue // an error, which building the rules finds
		}
		for _, name := range r.Spec.targets() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// newTally returns a tally of the named fields.
func newTally(e *env, names []string, before, after []record.Field, memory int64) (*tally, error) {
	t := &tally{}
	sorters := int64(0)
	for _, name := range names {
		if record.FieldIndex(after, name) < 0 {
			return nil, fmt.Errorf("%w: distribution of a field %q, which there is not", ErrConfig, name)
		}
		for _, fields := range [][]record.Field{before, after} {
			if at := record.FieldIndex(fields, name); at >= 0 && sortable(fields[at].Type) {
				sorters++
			}
		}
	}
	for _, name := range names {
		f := tallied{name: name}
		for j, fields := range [][]record.Field{before, after} {
			at := record.FieldIndex(fields, name)
			s := &side{at: at}
			if at >= 0 {
				s.typ = fields[at].Type
			}
			if sortable(s.typ) {
				s.numbers = e.sorter("values", memory/sorters)
			} else {
				s.top = newTopValues(topCounters)
			}
			f.side[j] = s
		}
		t.fields = append(t.fields, f)
	}
	return t, nil
}

// sortable reports whether values of a type are described as numbers.
func sortable(t record.Type) bool { return t == record.Number || t == record.Time }

func (t *tally) before(values []record.Value) error { return t.observe(0, values) }
func (t *tally) after(values []record.Value) error  { return t.observe(1, values) }

func (t *tally) observe(side int, values []record.Value) error {
	for i := range t.fields {
		if s := t.fields[i].side[side]; s.at >= 0 {
			if err := s.observe(values[s.at]); err != nil {
				return err
			}
		}
	}
	return nil
}

// deciles are the edges of histograms; quartiles are read at the same time.
var deciles = []float64{0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1}

// finish returns the distributions.
func (t *tally) finish(ctx context.Context) ([]Distribution, error) {
	out := make([]Distribution, len(t.fields))
	for i := range t.fields {
		f := &t.fields[i]
		d := Distribution{Field: f.name}
		for j, v := range []*Values{&d.Before, &d.After} {
			q, err := f.side[j].describe(ctx, v)
			if err != nil {
				return nil, err
			}
			if d.Edges == nil && q != nil {
				d.Edges = slices.Compact(slices.Concat(q[:3], q[4:9], q[10:]))
			}
		}
		for j, v := range []*Values{&d.Before, &d.After} {
			if err := f.side[j].histogram(ctx, d.Edges, v); err != nil {
				return nil, err
			}
		}
		out[i] = d
	}
	return out, t.remove()
}

func (t *tally) remove() error {
	if t == nil {
		return nil
	}
	var errs []error
	for i := range t.fields {
		for _, s := range t.fields[i].side {
			errs = append(errs, s.numbers.remove())
		}
	}
	return errors.Join(errs...)
}

// side is the values of a field on one side of the rules.
type side struct {
	at      int // position in the records, -1 for none
	typ     record.Type
	missing int64
	moments moments
	numbers *sorter
	top     *topValues
}

func (s *side) observe(v record.Value) error {
	switch {
	case v.IsNull():
		s.missing++
		return nil
	case s.numbers == nil:
		s.moments.n++
		if v.Type() == record.Text {
			s.top.add(v.Text())
		} else {
			s.top.add(v.String())
		}
		return nil
	}
	s.moments.add(v.Number())
	return s.numbers.add(ordered(v.Number()), nil)
}

// describe fills in what needs no histogram, and returns the quantiles at deciles, nil for none.
func (s *side) describe(ctx context.Context, v *Values) ([]float64, error) {
	v.Type, v.Count, v.Missing = s.typ, s.moments.n, s.missing
	if s.numbers == nil {
		v.Top = s.top.most(topShown)
		return nil, nil
	}
	if v.Count == 0 {
		return nil, nil
	}
	v.Min, v.Max, v.Mean, v.SD = s.moments.min, s.moments.max, s.moments.mean, s.moments.sd()
	all := []summary{{moments: s.moments}}
	if err := quantiles(ctx, s.numbers, false, deciles, all, func(s *summary, q []float64) { s.quantiles = q }); err != nil {
		return nil, err
	}
	q := all[0].quantiles
	v.Quartiles = [3]float64{q[3], q[6], q[9]}
	return q, nil
}

// histogram counts the values between edges.
func (s *side) histogram(ctx context.Context, edges []float64, v *Values) error {
	if s.numbers == nil || len(edges) == 0 {
		return nil
	}
	bins := max(len(edges)-1, 1) // one edge is one bin of one value
	v.Histogram = make([]int64, bins)
	bin := 0
	return eachNumber(ctx, s.numbers, false, func(_ int, _ bool, _ *picker, x float64) error {
		for bin < bins-1 && x >= edges[bin+1] {
			bin++
		}
		switch {
		case x < edges[0]:
			v.Below++
		case x > edges[len(edges)-1]:
			v.Above++
		default:
			v.Histogram[bin]++
		}
		return nil
	})
}

package clean

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/kith-io/kith/fusion/record"
)

// groupBytes is the memory that a group takes in the table of groups and, with its statistics, in the columns of a rule; generous.
const groupBytes = 400

// minGroups is the least memory for groups, whatever the limit: that of some 150.
const minGroups = 64 << 10

// groups numbers the values of the field of the key by, in the order in which they come. Without such a field all is one group.
type groups struct {
	field  int // -1 for none
	number map[string]uint32
	names  []string
	bytes  int64
	limit  int64
	key    []byte
}

func newGroups(field int, limit int64) *groups {
	return &groups{field: field, number: map[string]uint32{}, limit: max(limit, minGroups)}
}

// of returns the group of a record. A missing value is a group, too.
func (g *groups) of(values []record.Value) (uint32, error) {
	if g.field < 0 {
		return 0, nil
	}
	g.key = record.AppendValue(g.key[:0], values[g.field])
	if n, ok := g.number[string(g.key)]; ok {
		return n, nil
	}
	n := uint32(len(g.number))
	name := values[g.field].String()
	g.bytes += groupBytes + int64(len(g.key)+len(name))
	if g.bytes > g.limit {
		return 0, fmt.Errorf("%w: more than %d groups; raise the memory limit, or group by a field with fewer values", ErrMemory, n)
	}
	g.number[string(g.key)] = n
	g.names = append(g.names, strings.Clone(name))
	return n, nil
}

// find returns the group of a record that was seen before.
func (g *groups) find(values []record.Value) (uint32, bool) {
	if g.field < 0 {
		return 0, true
	}
	g.key = record.AppendValue(g.key[:0], values[g.field])
	n, ok := g.number[string(g.key)]
	return n, ok
}

func (g *groups) name(n int) string {
	if g.field < 0 {
		return ""
	}
	return g.names[n]
}

// need is what is wanted of a column beside its moments.
type need struct {
	quantiles []float64
	mad, mode bool
}

// summary is what is known of the values of a field in a group.
type summary struct {
	moments
	quantiles []float64
	deviation []float64 // the median of the absolute deviations from the first quantile
	mode      record.Value
}

// column collects the values of a field by group.
type column struct {
	need    need
	field   int
	groups  *groups
	values  *sorter // nil if moments suffice
	moments []moments
	scratch []byte
	env     *env
	memory  int64
}

// newColumn returns a column; memory bounds what it sorts at once.
func newColumn(e *env, field int, g *groups, n need, memory int64) *column {
	c := &column{need: n, field: field, groups: g, env: e, memory: memory}
	if n.mad {
		c.memory /= 2 // the other half is for the deviations
	}
	if len(n.quantiles) > 0 || n.mad || n.mode {
		c.values = e.sorter("column", c.memory)
	}
	return c
}

// observe adds the value of a record whose group is known.
func (c *column) observe(group uint32, v record.Value) error {
	for int(group) >= len(c.moments) {
		c.moments = append(c.moments, moments{})
	}
	if v.IsNull() {
		return nil
	}
	m := &c.moments[group]
	if v.Type() == record.Number || v.Type() == record.Time {
		m.add(v.Number())
	} else {
		m.n++
	}
	switch {
	case c.values == nil:
		return nil
	case c.need.mode:
		c.scratch = record.AppendValue(c.scratch[:0], v)
		return c.values.add(uint64(group), c.scratch)
	case c.groups.field < 0:
		return c.values.add(ordered(v.Number()), nil)
	}
	c.scratch = binary.BigEndian.AppendUint64(c.scratch[:0], ordered(v.Number()))
	return c.values.add(uint64(group), c.scratch)
}

// summaries returns the statistics of all groups. Files are given back.
func (c *column) summaries(ctx context.Context) (_ []summary, err error) {
	out := make([]summary, max(len(c.moments), 1))
	for i, m := range c.moments {
		out[i].moments = m
	}
	if c.values == nil {
		return out, nil
	}
	if c.need.mode {
		err = c.modes(ctx, out)
	} else if err = quantiles(ctx, c.values, c.groups.field >= 0, c.need.quantiles, out, func(s *summary, q []float64) { s.quantiles = q }); err == nil && c.need.mad {
		err = c.deviations(ctx, out)
	}
	if err != nil {
		return nil, err
	}
	return out, c.remove()
}

// quantiles walks over sorted numbers and sets the quantiles of each group.
func quantiles(ctx context.Context, s *sorter, grouped bool, ps []float64, out []summary, set func(*summary, []float64)) error {
	return eachNumber(ctx, s, grouped, func(group int, fresh bool, p *picker, x float64) error {
		if fresh {
			*p = newPicker(out[group].n, ps)
			set(&out[group], p.out)
		}
		p.add(x)
		return nil
	})
}

// eachNumber calls f with each number in the order of groups and numbers; fresh says that the number is the first of its group.
func eachNumber(ctx context.Context, s *sorter, grouped bool, f func(group int, fresh bool, p *picker, x float64) error) error {
	cursor, err := s.cursor()
	if err != nil {
		return err
	}
	var p picker
	last := -1
	for n := 0; cursor.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		group, bits := 0, cursor.key
		if grouped {
			if len(cursor.payload) != 8 {
				return errEntry
			}
			group, bits = int(cursor.key), binary.BigEndian.Uint64(cursor.payload)
		}
		if err := f(group, group != last, &p, unordered(bits)); err != nil {
			return err
		}
		last = group
	}
	return cursor.err
}

// deviations sets the median absolute deviations, from the first quantile.
func (c *column) deviations(ctx context.Context, out []summary) (err error) {
	s := c.env.sorter("deviations", c.memory)
	defer func() {
		if r := s.remove(); err == nil {
			err = r
		}
	}()
	grouped := c.groups.field >= 0
	err = eachNumber(ctx, c.values, grouped, func(group int, _ bool, _ *picker, x float64) error {
		d := math.Min(math.Abs(x-out[group].quantiles[0]), math.MaxFloat64)
		if !grouped {
			return s.add(ordered(d), nil)
		}
		c.scratch = binary.BigEndian.AppendUint64(c.scratch[:0], ordered(d))
		return s.add(uint64(group), c.scratch)
	})
	if err != nil {
		return err
	}
	return quantiles(ctx, s, grouped, median, out, func(s *summary, q []float64) { s.deviation = q })
}

// modes sets the most frequent values; of equally frequent ones the first in the order of numbers, moments or texts.
func (c *column) modes(ctx context.Context, out []summary) error {
	cursor, err := c.values.cursor()
	if err != nil {
		return err
	}
	best := make([]int64, len(out))
	var run []byte
	group, count := uint64(0), int64(0)
	end := func() error {
		if count == 0 {
			return nil
		}
		v, _, err := record.ReadValue(string(run))
		if err != nil {
			return err
		}
		if old := out[group].mode; count > best[group] || count == best[group] && less(v, old) {
			out[group].mode, best[group] = v, count
		}
		return nil
	}
	for n := 0; cursor.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if count > 0 && group == cursor.key && string(run) == string(cursor.payload) {
			count++
			continue
		}
		if err := end(); err != nil {
			return err
		}
		group, run, count = cursor.key, append(run[:0], cursor.payload...), 1
	}
	if cursor.err != nil {
		return cursor.err
	}
	return end()
}

// less orders values of a type.
func less(a, b record.Value) bool {
	if a.Type() != b.Type() {
		return a.Type() < b.Type()
	}
	if a.Type() == record.Text {
		return a.Text() < b.Text()
	}
	return a.Number() < b.Number()
}

func (c *column) remove() error { return c.values.remove() }

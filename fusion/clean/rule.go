package clean

import (
	"context"
	"fmt"
	"strings"

	"github.com/kith-io/kith/fusion/record"
)

// rule is a rule at work on one stream. All calls come from one goroutine.
type rule interface {
	// apply changes the values of a record, by way of the counter, and may reject it by a reason. n is the number of the record, from 0,
	// among those that come to the rule; it ascends.
	apply(n int64, r *record.Record, c *counter) (reason string, err error)
}

// wholeRule is a rule that sees all records before it is applied to the first.
type wholeRule interface {
	rule
	// observe is called for each record in order, before prepare.
	observe(n int64, r *record.Record) error
	// prepare is called once between the last observe and the first apply.
	prepare(ctx context.Context, c *counter) error
	// remove gives memory and files back. It may be called at any time, and more than once.
	remove() error
}

// env is what rules that see all records may use.
type env struct {
	dir string
	// memory is what one rule may use.
	memory int64
	// sorters counts those that were made, for the names of their files.
	sorters int
	// spilled counts the bytes that sorters wrote.
	spilled int64
}

// sorter returns a sorter that takes about memory bytes.
func (e *env) sorter(name string, memory int64) *sorter {
	e.sorters++
	s := newSorter(e.dir, fmt.Sprintf("%s-%d", name, e.sorters), memory)
	s.spilled = &e.spilled
	return s
}

// counter counts what a rule does.
type counter struct {
	report *RuleReport
	// fields of the records that the rule gets.
	fields []record.Field
	// samples is how many samples are kept.
	samples int
	// changed says that the record at hand has been changed.
	changed bool
}

// set changes a value.
func (c *counter) set(r *record.Record, i int, v record.Value) {
	old := r.Values[i]
	if old == v {
		return
	}
	c.changed = true
	c.report.Values++
	if len(c.report.Changes) < c.samples {
		c.report.Changes = append(c.report.Changes, Change{clonePlace(r.Place), c.fields[i].Name, old.Clone(), v.Clone()})
	}
	r.Values[i] = v
}

// reject counts a record as rejected.
func (c *counter) reject(r *record.Record, reason string) {
	c.report.Rejected++
	c.report.Reasons[reason]++
	if len(c.report.Rejections) < c.samples {
		values := make([]record.Value, len(r.Values))
		for i, v := range r.Values {
			values[i] = v.Clone()
		}
		c.report.Rejections = append(c.report.Rejections, Rejection{
			Rule: c.report.Name, Reason: strings.Clone(reason), Fields: c.fields, Record: record.Record{Place: clonePlace(r.Place), Values: values},
		})
	}
}

// maxStatistics bounds the statistics of a rule in its report, where groups could make them many.
const maxStatistics = 100

// statistic tells a number that the rule goes by.
func (c *counter) statistic(field, group, name string, x float64) {
	if len(c.report.Statistics) < maxStatistics {
		c.report.Statistics = append(c.report.Statistics, Statistic{field, strings.Clone(group), name, x})
	} else {
		c.report.MoreStatistics++
	}
}

// clonePlace copies texts, which may be small parts of large blocks.
func clonePlace(p record.Place) record.Place {
	p.Source, p.File = strings.Clone(p.Source), strings.Clone(p.File)
	return p
}

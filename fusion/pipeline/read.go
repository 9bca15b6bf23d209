package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/clean"
	"github.com/kith-io/kith/fusion/record"
)

// check opens a source of files and closes it again, so that what is wrong with its fields and rules is found before anything is handed on.
func (r *run) check(ctx context.Context, in *input) error {
	if in.read || !in.m.Local() {
		return nil
	}
	m := in.m
	m.Source.Note = nil // it is told when the source is read
	rows, err := fusion.Records(ctx, m, nil)
	if err != nil {
		return err
	}
	_, _, err = r.prepare(in, rows)
	return errors.Join(err, rows.Close())
}

// prepare returns the records of a source with what they join, and the fields that they have after the rules.
func (r *run) prepare(in *input, rows record.Stream) (record.Stream, []record.Field, error) {
	stream, err := r.joined(in, rows)
	if err != nil {
		return nil, nil, err
	}
	fields, err := in.rules.Fields(stream.Fields())
	if err != nil {
		return nil, nil, in.m.Fail("clean", err)
	}
	if in.m.Kind.HasEvents() {
		if err := r.checkFollowed(in, stream.Fields()); err != nil {
			return nil, nil, err
		}
		if _, err := fusion.NewEventMaker(in.m.Kind, fields); err != nil {
			return nil, nil, in.m.Fail("fields", err)
		}
	}
	for _, s := range []*side{&r.users, &r.products} {
		if in.m.Kind == s.kind {
			if _, err := s.shapeOf(in, fields); err != nil {
				return nil, nil, err
			}
		}
	}
	return stream, fields, nil
}

// each calls what begin returns with each record of a source that its joins and rules leave. The first reading of a source counts its rows and sets
// those aside that the mapping, joins and rules reject; later ones do not. What the caller refuses itself counts at any reading.
func (r *run) each(ctx context.Context, in *input, begin func(fields []record.Field) (func(*record.Record) error, error)) error {
	first := !in.read
	if !first && in.m.Path == "-" {
		return in.m.Fail("path", fmt.Errorf("%w: the source is read more than once, and standard input cannot be; name a file", fusion.ErrMapping))
	}
	r.o.Dead.Observe(in.report.sample)
	defer r.o.Dead.Observe(nil)
	dead := r.o.Dead
	in.counts = in.report
	if !first {
		dead = nil
		in.counts = &Source{Report: fusion.Report{Reasons: map[string]int64{}}}
	}
	rows, err := fusion.Records(ctx, in.m, dead)
	if err != nil {
		return err
	}
	if in.idle != nil {
		rows.Idle(in.idle)
	}
	err = r.records(ctx, in, rows, begin)
	if in.flush != nil && (err == nil || ctx.Err() == nil) {
		err = errors.Join(err, in.flush())
	}
	in.read = true
	in.counts.Add(rows.Report()) // what joins and rules refused is counted already
	if err == nil {
		err = rows.Check()
	}
	return errors.Join(err, rows.Close())
}

// records puts rows through the joins and rules of their source.
func (r *run) records(ctx context.Context, in *input, rows record.Stream, begin func(fields []record.Field) (func(*record.Record) error, error)) error {
	stream, fields, err := r.prepare(in, rows)
	if err != nil {
		return err
	}
	yield, err := begin(fields)
	if err != nil {
		return err
	}
	count := func(rec *record.Record) error {
		r.progress(1)
		if rec.Rules != 0 {
			in.counts.Cleaned++
		}
		return yield(rec)
	}
	if len(in.rules.Rules) == 0 {
		for {
			rec, err := stream.Next()
			if err == io.EOF { //nolint:errorlint // a wrapped one is damage
				return nil
			}
			if err == nil {
				err = count(&rec)
			}
			if err != nil {
				return err
			}
		}
	}
	o := clean.Options{TempDir: r.o.TempDir, MemoryLimit: r.o.MemoryLimit}
	if in.m.Private() {
		o.Samples, o.Distributions = -1, []string{}
	}
	o.Reject = func(x clean.Rejection) error {
		return r.refuse(in, x.Fields, &x.Record, refusalCode(x.Rule), x.Reason)
	}
	report, err := clean.Run(ctx, stream, in.rules, o, func(rec record.Record) error { return count(&rec) })
	if report != nil && in.m.Private() {
		in.withhold(report)
	}
	in.counts.Clean = report
	return err
}

// withhold leaves out statistics by the values of a field, and those of fields that must not be shown: bounds and medians are values of somebody.
func (in *input) withhold(report *clean.Report) {
	for i := range report.Rules {
		rule := &report.Rules[i]
		all := len(rule.Statistics)
		rule.Statistics = slices.DeleteFunc(rule.Statistics, func(s clean.Statistic) bool {
			return s.Group != "" || slices.Contains(in.m.Personal, s.Field) || slices.Contains(in.m.Hashed, s.Field)
		})
		rule.MoreStatistics += all - len(rule.Statistics)
	}
}

// refuse sets a record aside that a join or a rule does not let pass.
func (r *run) refuse(in *input, fields []record.Field, rec *record.Record, code, detail string) error {
	in.counts.reject(code)
	if in.read {
		return nil // set aside at the first reading
	}
	return r.setAside(in, fields, rec, code, detail)
}

// refuseLate sets a record aside of which the only step that makes something of it can make nothing.
func (r *run) refuseLate(in *input, fields []record.Field, rec *record.Record, code, detail string) error {
	in.report.rejectLate(code, rec.Rules)
	return r.setAside(in, fields, rec, code, detail)
}

func (r *run) setAside(in *input, fields []record.Field, rec *record.Record, code, detail string) error {
	d := fusion.DeadLetter{Source: in.report.Name, File: rec.Place.File, Line: rec.Place.Line, Reason: code, Detail: detail}
	if in.m.Private() {
		d.Detail = fusion.Withheld
	} else {
		d.Raw = contentOf(fields, rec)
	}
	return r.o.Dead.Write(d)
}

// contentOf returns a record as JSON.
func contentOf(fields []record.Field, rec *record.Record) string {
	content := make(map[string]string, len(fields))
	for i, f := range fields {
		if v := rec.Values[i]; !v.IsNull() {
			content[f.Name] = v.String()
		}
	}
	out, err := json.Marshal(content)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

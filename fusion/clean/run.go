package clean

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kith-io/kith/fusion/record"
)

// Options says how Run works.
type Options struct {
	// TempDir is the folder for temporary files; empty means that of the system. All are removed when Run returns.
	TempDir string
	// MemoryLimit is about how many bytes are held beside the records at hand and the blocks of the spool; 0 means DefaultMemoryLimit. It
	// changes speed only, but groups that do not fit are an error. Below a MiB it is not kept exactly, since every sorter has some KiB.
	MemoryLimit int64
	// Reject is called for each record that a rule refuses, in the order of rules that need the whole source and then of records. An error ends
	// the run. Nil means that nobody wants to know.
	Reject func(Rejection) error
	// Samples is how many changes and rejections a report shows for each rule; 0 means DefaultSamples, less than 0 none.
	Samples int
	// Distributions are the fields whose values are described before and after. Nil means those that rules may change, an empty list none.
	Distributions []string
}

// Defaults of Options.
const (
	DefaultMemoryLimit = 256 << 20 // 16 million numbers, twice
	DefaultSamples     = 5         // what a person reads
)

// checkEvery is the number of records between two looks at the context.
const checkEvery = 1 << 12

// Run applies the rules to the records of a stream and calls out with each that is kept, in the order of the stream. Its fields are those of
// Config.Fields. A record is valid during the call only, but its texts stay. Run keeps nothing of the records of in, and changes none.
//
// Errors of the configuration match ErrConfig and come before the first record is read; with groups that do not fit the memory, the error matches
// ErrMemory. Errors of in and out are wrapped. The report is complete only if there is no error.
func Run(ctx context.Context, in record.Stream, cfg Config, o Options, out func(record.Record) error) (_ *Report, err error) {
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = DefaultMemoryLimit
	}
	if o.Samples == 0 {
		o.Samples = DefaultSamples
	}
	// A rule that has observed keeps an eighth of its share at most while the next one observes.
	e := &env{memory: o.MemoryLimit / 2}
	names := described(o.Distributions, cfg)
	if len(names) == 0 {
		e.memory = o.MemoryLimit * 7 / 8
	}
	if e.dir, err = os.MkdirTemp(o.TempDir, "kith-clean-"); err != nil {
		return nil, fmt.Errorf("clean: folder for temporary files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(e.dir)) }()
	fields := in.Fields()
	rules, last, err := cfg.build(e, fields)
	if err != nil {
		return nil, err
	}
	r := &runner{env: e, options: o, out: out, report: &Report{}, width: len(last)}
	defer func() {
		for _, s := range r.steps {
			if w, ok := s.rule.(wholeRule); ok {
				err = errors.Join(err, w.remove())
			}
		}
		err = errors.Join(err, r.tally.remove())
	}()
	r.plan(cfg, rules)
	if r.tally, err = newTally(e, names, fields, last, o.MemoryLimit*3/8); err != nil {
		return nil, err
	}
	if err := r.run(ctx, in); err != nil {
		return r.report, err
	}
	r.report.Distributions, err = r.tally.finish(ctx)
	r.report.SortedBytes = e.spilled
	return r.report, err
}

// step is a rule with what it has counted.
type step struct {
	rule    rule
	counter *counter
	n       int64  // records that it was applied to
	bit     uint64 // of Record.Rules
}

// runner runs the rules of one source.
type runner struct {
	env     *env
	options Options
	out     func(record.Record) error
	report  *Report
	steps   []*step
	tally   *tally
	// width is the number of fields of the records that come out, values are those of the record at hand.
	width  int
	values []record.Value
}

// plan makes the steps. Reports of rules must not move afterwards.
func (r *runner) plan(cfg Config, rules []builtRule) {
	r.values = make([]record.Value, 0, r.width)
	r.report.Rules = make([]RuleReport, len(rules))
	for i, name := range cfg.names() {
		report := &r.report.Rules[i]
		report.Name, report.Kind, report.Reasons = name, cfg.Rules[i].Spec.kind(), map[string]int64{}
		c := &counter{report: report, fields: rules[i].fields, samples: r.options.Samples}
		r.steps = append(r.steps, &step{rule: rules[i].rule, counter: c, bit: record.RuleBit(i)})
	}
}

// source yields records to a pass.
type source interface {
	next() (record.Record, error)
}

// streamSource counts the records of the stream and copies their values.
type streamSource struct {
	in record.Stream
	r  *runner
}

func (s streamSource) next() (record.Record, error) {
	rec, err := s.in.Next()
	if errors.Is(err, io.EOF) {
		return rec, io.EOF
	}
	if err != nil {
		return rec, fmt.Errorf("clean: read record %d: %w", s.r.report.Read+1, err)
	}
	s.r.report.Read++
	s.r.values = append(s.r.values[:0], rec.Values...)
	rec.Values = s.r.values
	return rec, s.r.tally.before(rec.Values)
}

// run makes the passes: one to each rule that needs the whole source, and one to the end.
func (r *runner) run(ctx context.Context, in record.Stream) error {
	var from source = streamSource{in, r}
	var last *spool
	defer func() { _ = last.remove() }() // the folder is removed after it in any case
	for begin := 0; ; {
		end := begin
		if _, whole := r.stepRule(begin); whole && last != nil {
			end++ // it has observed the records of this pass
		}
		var next wholeRule
		for ; end < len(r.steps); end++ {
			var whole bool
			if next, whole = r.stepRule(end); whole {
				break
			}
		}
		if next == nil {
			return r.pass(ctx, from, r.steps[begin:], r.keep)
		}
		s, err := newSpool(r.env.dir, fmt.Sprintf("spool-%d", r.report.Passes), len(r.steps[end].counter.fields))
		if err != nil {
			return err
		}
		err = r.pass(ctx, from, r.steps[begin:end], func(rec *record.Record) error {
			if err := next.observe(s.n, rec); err != nil {
				return err
			}
			return s.add(rec)
		})
		if err == nil {
			err = next.prepare(ctx, r.steps[end].counter)
		}
		if last != nil {
			err = errors.Join(err, last.remove(), r.steps[begin].rule.(wholeRule).remove())
		}
		last = s
		if err != nil {
			return r.ruleError(end, err)
		}
		if from, err = s.records(r.width); err != nil {
			return err
		}
		r.report.Passes++
		r.report.SpoolBytes = max(r.report.SpoolBytes, s.file.size)
		begin = end
	}
}

// stepRule returns the rule of a step if it needs the whole source.
func (r *runner) stepRule(i int) (wholeRule, bool) {
	if i >= len(r.steps) {
		return nil, false
	}
	w, ok := r.steps[i].rule.(wholeRule)
	return w, ok
}

// ruleError names the rule whose statistics failed, unless the error is that of the context.
func (r *runner) ruleError(i int, err error) error {
	if errors.Is(err, ErrMemory) {
		return fmt.Errorf("clean: rule %q: %w", r.steps[i].counter.report.Name, err)
	}
	return err
}

// pass applies steps to records and hands those that are left on.
func (r *runner) pass(ctx context.Context, from source, steps []*step, to func(*record.Record) error) error {
	var rec record.Record
	for n := int64(0); ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		if rec, err = from.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		ok := true
		for _, s := range steps {
			if ok, err = r.step(s, &rec); err != nil {
				return err
			} else if !ok {
				break
			}
		}
		if !ok {
			continue
		}
		if err := to(&rec); err != nil {
			return err
		}
	}
}

// step applies a rule to a record and reports whether the record is left.
func (r *runner) step(s *step, rec *record.Record) (bool, error) {
	c := s.counter
	c.report.Seen++
	c.changed = false
	reason, err := s.rule.apply(s.n, rec, c)
	s.n++
	if err != nil {
		return false, fmt.Errorf("clean: rule %q at %s: %w", c.report.Name, rec.Place, err)
	}
	if reason == "" {
		if c.changed {
			c.report.Changed++
			rec.Rules |= s.bit
		}
		return true, nil
	}
	c.reject(rec, reason)
	if r.options.Reject == nil {
		return false, nil
	}
	if err := r.options.Reject(Rejection{c.report.Name, reason, c.fields, *rec}); err != nil {
		return false, fmt.Errorf("clean: rejected record: %w", err)
	}
	return false, nil
}

// keep hands a record out.
func (r *runner) keep(rec *record.Record) error {
	if err := r.tally.after(rec.Values); err != nil {
		return err
	}
	r.report.Kept++
	if err := r.out(*rec); err != nil {
		return fmt.Errorf("clean: record from %s: %w", rec.Place, err)
	}
	return nil
}

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/record"
	"github.com/kith-io/kith/source"
)

// events hands on the events of all sources.
func (r *run) events(ctx context.Context) error {
	var tally fusion.Tally
	defer func() { r.report.Events.Totals = tally.Totals() }()
	yield := func(events []fusion.Event) error {
		tally.Add(events)
		r.report.Events.add(events)
		return r.sink.Events(ctx, events)
	}
	for _, in := range r.inputs {
		if !in.m.Kind.HasEvents() {
			if err := r.checkOnly(ctx, in); err != nil {
				return err
			}
			continue
		}
		if err := r.eventsOf(ctx, in, yield); err != nil {
			return err
		}
	}
	return nil
}

// checkOnly reads a source that nothing has read, so that its report is there.
func (r *run) checkOnly(ctx context.Context, in *input) error {
	if in.read || !r.o.Share.First() {
		return nil
	}
	return r.each(ctx, in, func([]record.Field) (func(*record.Record) error, error) {
		return func(*record.Record) error { return nil }, nil
	})
}

// eventsOf hands on the events of a source.
func (r *run) eventsOf(ctx context.Context, in *input, yield func([]fusion.Event) error) error {
	if !r.o.Share.All() {
		in.m.Source.Share = r.o.Share
		if mine, err := in.shared(); err != nil || !mine {
			return err
		}
	}
	resumed, finish := func() bool { return false }, func() error { return nil }
	if r.o.Follow != nil {
		resumed, finish = r.o.Follow(&in.m)
	}
	if in.m.Source.Remote.Follow && r.o.Outlast != nil {
		ctx = r.o.Outlast
	}
	read := r.recordEvents
	if !in.read && len(in.rules.Rules) == 0 && len(in.joins) == 0 && !in.m.Private() && !in.m.Has(r.users.kindField()) && !in.m.Has(r.products.kindField()) {
		read = r.fastEvents
	}
	err := read(ctx, in, yield)
	if errors.Is(err, fusion.ErrNoValidRow) && resumed() || errors.Is(err, source.ErrNoShare) {
		err = nil // what was handed on before, or by others, counts, too
	}
	if err != nil {
		return err
	}
	return finish()
}

// shared reports whether anything of a source is in the share that is read. Members of a group of a queue share its messages by themselves; what is
// one table or file belongs to one share as a whole.
func (in *input) shared() (bool, error) {
	m := &in.m
	switch {
	case m.Source.Remote.Group != "":
		return true, nil
	case !m.Local():
		return strings.HasPrefix(m.Path, "s3:") || m.Source.Share.Has(in.report.Name), nil
	}
	_, many, err := source.Files(m.Path, nil)
	return many || m.Source.Share.Has(in.report.Name), err
}

// fastEvents hands on the events of a source whose rows need nothing but other keys, and that nobody has read before.
func (r *run) fastEvents(ctx context.Context, in *input, yield func([]fusion.Event) error) error {
	r.o.Dead.Observe(in.report.sample)
	defer r.o.Dead.Observe(nil)
	report, err := fusion.Events(ctx, in.m, r.o.Dead, r.o.Batch, func(events []fusion.Event) error {
		for i := range events {
			events[i].User = r.users.key(in.m.UserKind, events[i].User)
			events[i].Item = r.products.key(in.m.ItemKind, events[i].Item)
		}
		r.progress(len(events))
		return yield(events)
	})
	in.read = true
	in.report.Add(report)
	return err
}

// recordEvents hands on the events of a source that goes through joins, rules or privacy.
func (r *run) recordEvents(ctx context.Context, in *input, yield func([]fusion.Event) error) error {
	var batch []fusion.Event
	flush := func() error {
		out := batch
		batch = nil
		if err := ctx.Err(); err != nil || len(out) == 0 {
			return err
		}
		return yield(out)
	}
	in.flush = flush
	in.idle = func() error {
		if len(batch) > 0 {
			return flush()
		}
		return yield(nil)
	}
	err := r.each(ctx, in, func(fields []record.Field) (func(*record.Record) error, error) {
		maker, err := fusion.NewEventMaker(in.m.Kind, fields)
		if err != nil {
			return nil, err
		}
		hide, userKindOf, itemKindOf := r.hide(in, fields), r.users.kindIn(in, fields), r.products.kindIn(in, fields)
		return func(rec *record.Record) error {
			userKind, err := userKindOf(rec.Values)
			itemKind, itemErr := itemKindOf(rec.Values)
			if err = cmp.Or(err, itemErr); err != nil {
				return r.refuseLate(in, fields, rec, unknownKind, err.Error())
			}
			hide(rec.Values)
			e, err := maker.Event(rec.Values)
			if err != nil {
				return r.refuseLate(in, fields, rec, fusion.Code(err), err.Error())
			}
			e.User, e.Item = r.users.key(userKind, e.User), r.products.key(itemKind, e.Item)
			if r.users.hash != nil && e.ID != "" {
				e.ID = r.users.hash.id(e.ID, rec.Place)
			}
			if batch = append(batch, e); len(batch) < cmp.Or(r.o.Batch, fusion.DefaultBatch) {
				return nil
			}
			return flush()
		}, nil
	})
	if err == nil {
		err = in.report.Check("")
	}
	return err
}

// hide returns what removes personal values from records, and replaces those that are to be hashed.
func (r *run) hide(in *input, fields []record.Field) func(values []record.Value) {
	var personal, hashed []int
	for i, f := range fields {
		switch {
		case slices.Contains(in.m.Personal, f.Name):
			personal = append(personal, i)
		case slices.Contains(in.m.Hashed, f.Name):
			hashed = append(hashed, i)
		}
	}
	if len(personal)+len(hashed) == 0 {
		return func([]record.Value) {}
	}
	hash := newHasher(r.secret)
	return func(values []record.Value) {
		for _, i := range personal {
			values[i] = record.Value{}
		}
		for _, i := range hashed {
			values[i] = hash.value(fields[i].Name, values[i])
		}
	}
}

// checkFollowed refuses a source that is to be gone on with where that gives other results.
func (r *run) checkFollowed(in *input, fields []record.Field) error {
	if !r.o.Resume && r.o.Share.All() && !in.m.Source.Remote.Follow || len(in.rules.Rules) == 0 {
		return nil
	}
	whole, err := in.rules.Whole(fields)
	if err != nil || len(whole) == 0 {
		return err
	}
	return in.m.Fail("clean", fmt.Errorf("%w: %s need the whole source, of which only a part is read with a state, a share, or follow; read it without, by a mapping of its own",
		fusion.ErrMapping, strings.Join(whole, ", ")))
}

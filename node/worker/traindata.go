package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// Events is a Source that has single events, which models are trained on.
type Events interface {
	// Events calls f for each user of partition p with events up to index cut of its log, users ascending by key, with those events by time, then id. f
	// must not keep the slice; an error of it ends the call and is returned. It gives the same on every replica.
	Events(ctx context.Context, p partition.ID, cut uint64, f func(user string, events []fusion.Event) error) error
}

// trainingData are the rows of a partition, as they are before a measure weighs them. They stay until the last model of a build is trained.
type trainingData struct {
	rows *similarity.Rows
	// times of the newest events of the entries; nil if all are unknown.
	times []int64
	// has tells for each user with events, in their order, whether there is a row, and users are the keys of those who have one.
	has   []bool
	users []string
}

// dataOf returns what the worker of a partition learns from, with some attributes of its users. What goes wrong later, when it reads events, is noted.
func (w *Worker) dataOf(ctx context.Context, j *job, p *plan, shard *kithv1.CountRequest, shape train.Shape, attributes []string, from *origin) (*train.Data, error) {
	source, ok := w.source.(Events)
	if !ok {
		return nil, fmt.Errorf("%w: this build has no single events, which models are trained on", wire.ErrInvalid)
	}
	j.mu.Lock()
	o := j.data[shard.Partition]
	if o == nil {
		made := newOnce[*trainingData]()
		o = &made
		j.data[shard.Partition] = o
	}
	j.mu.Unlock()
	rows, err := o.get(ctx, func() (d *trainingData, err error) {
		cpu, err := w.compute(ctx, func() error {
			d, err = p.trainingData(ctx, source, shard)
			return err
		})
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
		return d, err
	})
	if err != nil {
		return nil, err
	}
	profiles, err := w.profilesOf(ctx, j, rows.users, shard, attributes)
	if err != nil {
		return nil, err
	}
	return &train.Data{
		Shape: shape, Worker: int(shard.Partition), Rows: rows.rows, Times: rows.times, Profiles: profiles,
		Events: func(ctx context.Context, f func(user int, events []train.Event) error) error {
			return p.eachUser(ctx, source, shard, shape, rows.has, from, f)
		},
	}, nil
}

// profilesOf returns some attributes of users of a partition, whose keys ascend; nil if none are named. Nothing else of their records is kept.
func (w *Worker) profilesOf(ctx context.Context, j *job, users []string, shard *kithv1.CountRequest, attributes []string) ([][]train.Attribute, error) {
	if len(attributes) == 0 {
		return nil, nil
	}
	source, ok := w.source.(Records)
	if !ok {
		return nil, fmt.Errorf("%w: this build has no records of users, which models learn from", wire.ErrInvalid)
	}
	profiles := make([][]train.Attribute, len(users))
	cpu, err := w.compute(ctx, func() error {
		return source.Records(ctx, catalog.Profile, partition.ID(shard.Partition), shard.Cut, func(r *catalog.Record) error {
			if u, found := slices.BinarySearch(users, r.Key); found {
				profiles[u] = train.ProfileOf(r, attributes)
			}
			return nil
		})
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	return profiles, err
}

// trainingData fuses the events of a partition.
func (p *plan) trainingData(ctx context.Context, source Events, shard *kithv1.CountRequest) (*trainingData, error) {
	_, weights, err := wire.ParseSpec(shard.Spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	type entry struct {
		id   uint32
		with fusion.Interaction
	}
	d := &trainingData{rows: &similarity.Rows{NumItems: p.dictionary.Len(), Start: []int64{0}}}
	var row []entry
	weighted, timed := false, false
	err = source.Events(ctx, partition.ID(shard.Partition), shard.Cut, func(user string, events []fusion.Event) error {
		row = row[:0]
		for _, x := range fusion.Fuse(events, weights, shard.ReferenceUnixMs) {
			id, ok := p.dictionary.ID(x.Item)
			if !ok {
				return fmt.Errorf("item %q is not in the dictionary: %w", x.Item, wire.ErrBuildLost)
			}
			row = append(row, entry{id, x})
		}
		d.has = append(d.has, len(row) > 0)
		if len(row) == 0 {
			return nil
		}
		slices.SortFunc(row, func(a, b entry) int { return int(int64(a.id) - int64(b.id)) })
		for _, x := range row {
			d.rows.Item, d.rows.Weight = append(d.rows.Item, x.id), append(d.rows.Weight, x.with.Weight)
			d.times = append(d.times, x.with.Last)
			weighted, timed = weighted || x.with.Weight != 1, timed || x.with.Last != 0
		}
		d.rows.Start = append(d.rows.Start, int64(len(d.rows.Item)))
		d.users = append(d.users, user)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if got, want := uint32(d.rows.NumUsers()), p.head.FirstUser[shard.Partition+1]-p.head.FirstUser[shard.Partition]; got != want {
		return nil, fmt.Errorf("partition %d has %d users, %d were counted: %w", shard.Partition, got, want, wire.ErrBuildLost)
	}
	if !weighted {
		d.rows.Weight = nil
	}
	if !timed {
		d.times = nil
	}
	return d, nil
}

// errUser is an error of who takes events, which is not noted as one of the source.
type errUser struct{ error }

// Unwrap returns the error.
func (e errUser) Unwrap() error { return e.error }

// eachUser gives f the events of the users of a partition that have a row: those of the behaviors of the shape.
func (p *plan) eachUser(ctx context.Context, source Events, shard *kithv1.CountRequest, shape train.Shape, has []bool, from *origin,
	f func(user int, events []train.Event) error,
) error {
	behaviors := map[fusion.Behavior]uint8{}
	for i, name := range shape.Behaviors {
		behaviors[fusion.Behavior(name)] = uint8(i)
	}
	var out []train.Event
	at, user := 0, shape.FirstUser[shard.Partition]
	err := source.Events(ctx, partition.ID(shard.Partition), shard.Cut, func(_ string, events []fusion.Event) error {
		at++
		if at > len(has) || !has[at-1] {
			return nil
		}
		out = out[:0]
		for i := range events {
			e := &events[i]
			behavior, ok := behaviors[e.Behavior]
			if !ok {
				continue
			}
			id, ok := p.dictionary.ID(e.Item)
			if !ok {
				id = train.NoItem
			}
			out = append(out, train.Event{
				Item: id, Behavior: behavior, Value: float32(max(-math.MaxFloat32, min(e.Value, math.MaxFloat32))), Time: e.Time, Basket: BasketOf(e),
			})
		}
		if err := f(user, out); err != nil {
			return errUser{err}
		}
		user++
		return nil
	})
	if own := (errUser{}); errors.As(err, &own) {
		return own.error
	}
	if err != nil {
		return from.note(err)
	}
	return nil
}

const dayMs = 24 * 60 * 60 * 1000

// BasketOf returns a number for the basket of an event of a user: of purchases as fusion.Event.Basket tells, of others the day in UTC. An event without a time
// is alone. Two baskets of a user have one number once in 2^64.
func BasketOf(e *fusion.Event) uint64 {
	key := e.Basket()
	switch {
	case key != "":
	case e.Time > 0:
		key = "v" + strconv.FormatInt(e.Time/dayMs, 10)
	default:
		key = "e" + e.ID
	}
	return xxhash.Sum64String(key)
}

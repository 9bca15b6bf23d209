package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// concurrentJoins bounds the joins that one server makes at a time.
	concurrentJoins = 16
	// joinPause is how often the coordinator looks for joins that nobody has ended.
	joinPause = 2 * time.Second
	// joinTries bounds how often a join begins again as another is in its way.
	joinTries = 8
	// sweptKeys is how many keys a sweep removes at once.
	sweptKeys = 10_000
)

// Names for the steps of a join (docs/adr/0024), and for what they find.
const (
	stepBegin, stepAdopt, stepBar, stepDrop = kithv1.JoinStep_JOIN_STEP_BEGIN, kithv1.JoinStep_JOIN_STEP_ADOPT, kithv1.JoinStep_JOIN_STEP_BAR, kithv1.JoinStep_JOIN_STEP_DROP
	stepComplete, stepSettle                = kithv1.JoinStep_JOIN_STEP_COMPLETE, kithv1.JoinStep_JOIN_STEP_SETTLE
	stepCancel, stepSweep, stepCopy         = kithv1.JoinStep_JOIN_STEP_CANCEL, kithv1.JoinStep_JOIN_STEP_SWEEP, kithv1.JoinStep_JOIN_STEP_COPY
	stepErased                              = kithv1.JoinStep_JOIN_STEP_ERASED

	joinGone, joinPending, joinBusy, joinOpen = kithv1.JoinState_JOIN_STATE_UNSPECIFIED, kithv1.JoinState_JOIN_STATE_PENDING, kithv1.JoinState_JOIN_STATE_BUSY, kithv1.JoinState_JOIN_STATE_OPEN
	joinBarred, joinElsewhere                 = kithv1.JoinState_JOIN_STATE_BARRED, kithv1.JoinState_JOIN_STATE_ELSEWHERE
)

// JoinCounts is what became of joins.
type JoinCounts struct {
	// Joined now, with so many events; were one already; left out.
	Joined, Events, Known, Absent uint64
	Refused                       []RefusedJoin
}

// RefusedJoin is a join that was not made.
type RefusedJoin struct {
	From, To string
	Reason   error
}

// maxJoinEvents bounds the events of a key that is joined: they are read and copied at once. A cookie or a device of a person has less; a key with more is a robot, or one that many share.
const maxJoinEvents = 20_000

// errRefused is matched by the reasons.
var errRefused = errors.New("not joined")

// JoinUsers makes keys of users one, in their order where they have to do with each other. With onlyStored it leaves out keys without events that are not joined to anything. An
// error leaves open which are joined; to join them again is safe. Cost: some 10 ms for each that is new, 16 at a time, and its events.
func (r *Router) JoinUsers(ctx context.Context, joins []*kithv1.UserJoin, onlyStored bool) (counts JoinCounts, err error) {
	keys := make([]string, len(joins))
	for i, j := range joins {
		keys[i] = j.From
	}
	states, err := r.lookUp(ctx, keys)
	if err != nil {
		return counts, err
	}
	outcomes := make([]joined, len(joins))
	for at := 0; at < len(joins); {
		g, ctx := errgroup.WithContext(ctx)
		from, to := map[string]bool{}, map[string]bool{} // of those that are made at once: many may go to one account, and none is in the way of another
		for ; at < len(joins); at++ {
			j, state, o := joins[at], states[joins[at].From], &outcomes[at]
			if from[j.From] || to[j.From] || from[j.To] {
				break
			}
			if onlyStored && state.GetEvents() == 0 && state.GetTo() == "" {
				counts.Absent++
				continue
			}
			if n := state.GetEvents(); n > maxJoinEvents {
				o.refused = fmt.Errorf("%w: it has %d events, and at most %d can be joined; is it a robot, or a key that many share?", errRefused, n, maxJoinEvents)
				continue
			}
			from[j.From], to[j.To] = true, true
			select {
			case r.joins <- struct{}{}:
			case <-ctx.Done():
				return counts, errors.Join(context.Cause(ctx), g.Wait())
			}
			g.Go(func() error {
				defer func() { <-r.joins }()
				return o.take(r.join(ctx, j.From, j.To))
			})
		}
		if err := g.Wait(); err != nil {
			return counts, err
		}
	}
	for i, o := range outcomes {
		switch {
		case o.refused != nil:
			counts.Refused = append(counts.Refused, RefusedJoin{joins[i].From, joins[i].To, o.refused})
		case o.fresh:
			counts.Joined++
			counts.Events += o.events
		case o.known:
			counts.Known++
		}
	}
	return counts, nil
}

// joined is what became of one join.
type joined struct {
	fresh, known bool
	events       uint64
	refused      error
}

// take takes an outcome, and returns the error if it is none of this join alone.
func (j *joined) take(o joined, err error) error {
	*j = o
	if errors.Is(err, errRefused) {
		j.refused, err = err, nil
	}
	return err
}

// lookUp returns what is known of some keys.
func (r *Router) lookUp(ctx context.Context, keys []string) (map[string]*kithv1.UserState, error) {
	found, err := gather(ctx, r, keys, readChunk, (*kithv1.UserState).GetUser, func(ctx context.Context, p partition.ID, chunk []string) (users []*kithv1.UserState, err error) {
		err = r.onPartition(ctx, p, false, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
			resp, err := c.LookUpUsers(ctx, &kithv1.LookUpUsersRequest{Partition: uint32(p), Epoch: epoch, Users: chunk})
			users = resp.GetUsers()
			return err
		})
		return users, err
	})
	if err != nil {
		return nil, fmt.Errorf("look up users: %w", err)
	}
	out := map[string]*kithv1.UserState{}
	for _, u := range found {
		out[u.User] = u
	}
	return out, nil
}

// end returns the key that a chain of joins from a key leads to.
func (r *Router) end(ctx context.Context, key string) (string, error) {
	for {
		found, err := r.lookUp(ctx, []string{key})
		if err != nil {
			return "", err
		}
		next := found[key].GetTo()
		if next == "" {
			return key, nil
		}
		key = next
	}
}

// join makes one key another. Errors match errRefused if that cannot be.
func (r *Router) join(ctx context.Context, from, to string) (joined, error) {
	if from == to {
		return joined{}, fmt.Errorf("%w: %q to itself", errRefused, from)
	}
	for range joinTries {
		end, err := r.end(ctx, to)
		if err != nil {
			return joined{}, err
		}
		if end == from {
			return joined{}, fmt.Errorf("%w: %q is joined to %q already", errRefused, to, from)
		}
		began, err := r.step(ctx, from, &kithv1.StepJoinRequest{Step: stepBegin, From: from, To: end})
		switch {
		case err != nil:
			return joined{}, err
		case began.State == joinBusy: // it ends first
			if _, _, err := r.endJoin(ctx, began.To, from, began.Id); err != nil {
				return joined{}, err
			}
			continue
		case began.State == joinPending:
			events, done, err := r.endJoin(ctx, from, began.To, began.Id)
			if err != nil {
				return joined{}, err
			}
			if done && began.Fresh {
				return joined{fresh: true, events: events}, nil
			}
			continue
		}
		own, err := r.end(ctx, from)
		if err != nil {
			return joined{}, err
		}
		if end, err = r.end(ctx, to); err != nil { // another join may have come between
			return joined{}, err
		}
		if own != end {
			return joined{}, fmt.Errorf("%w: %q is joined to %q, so not to %q; the account that it belongs to can be erased and ingested again", errRefused, from, own, to)
		}
		return joined{known: true}, nil
	}
	return joined{}, fmt.Errorf("join %q to %q: %w: others are in the way", from, to, wire.ErrNotReady)
}

// step does a step of a join in the partition of a key.
func (r *Router) step(ctx context.Context, key string, req *kithv1.StepJoinRequest) (resp *kithv1.StepJoinResponse, err error) {
	partitions, err := r.partitions()
	if err != nil {
		return nil, err
	}
	return r.stepIn(ctx, partition.Of(key, partitions), req)
}

func (r *Router) stepIn(ctx context.Context, p partition.ID, req *kithv1.StepJoinRequest) (resp *kithv1.StepJoinResponse, err error) {
	req.Partition = uint32(p)
	err = r.onPartition(ctx, p, false, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
		req.Epoch = epoch
		resp, err = c.StepJoin(ctx, req)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return resp, nil
}

// endJoin does the steps of a join behind its begin, whoever began it and however far it has come. It returns how many events moved, and whether
// it has been settled: if not, it was taken back or erased.
func (r *Router) endJoin(ctx context.Context, from, to string, id uint64) (events uint64, done bool, err error) {
	at := func(key string, s kithv1.JoinStep) (*kithv1.StepJoinResponse, error) {
		return r.step(ctx, key, &kithv1.StepJoinRequest{Step: s, From: from, To: to, Id: id})
	}
	adopted, err := at(to, stepAdopt)
	if err == nil && adopted.State == joinElsewhere { // to was joined to another since: nobody may adopt by this id from here on
		adopted, err = at(to, stepBar)
	}
	switch {
	case err != nil:
		return 0, false, err
	case adopted.State == joinBarred, adopted.State == joinGone:
		_, err := at(from, stepCancel)
		return 0, false, err
	case adopted.State == joinOpen:
		// Only now is it sure that what is read is copied before the account can be erased.
		if err := r.copyEvents(ctx, from, to, id); errors.Is(err, wire.ErrErased) {
			_, err := at(to, stepDrop)
			return 0, false, err
		} else if err != nil {
			return 0, false, err
		}
		if _, err := at(to, stepComplete); err != nil {
			return 0, false, err
		}
	}
	settled, err := at(from, stepSettle)
	return settled.GetEvents(), settled.GetState() == kithv1.JoinState_JOIN_STATE_SETTLED, err
}

// copyEvents copies the events of a key. An error matches wire.ErrErased if the join is there no more.
func (r *Router) copyEvents(ctx context.Context, from, to string, id uint64) error {
	events, err := r.historyOf(ctx, from, &kithv1.HistoryRequest{Join: id})
	if errors.Is(err, wire.ErrMoved) {
		return nil // somebody else did
	}
	if err != nil || len(events) == 0 {
		return err
	}
	moved := make([]fusion.Event, len(events))
	for i := range events {
		moved[i] = events[i].Under(to)
	}
	for _, batch := range batches(wire.EventsToProto(moved)) {
		resp, err := r.step(ctx, to, &kithv1.StepJoinRequest{Step: stepCopy, From: from, To: to, Id: id, Events: batch})
		if err != nil {
			return err
		}
		if resp.State == joinGone {
			return fmt.Errorf("%w: %q", wire.ErrErased, to)
		}
	}
	return nil
}

// Cuts returns a cut of each partition, which covers all that was acknowledged before the call. Each event counts once: joins that are under way are waited for, and
// none begins or ends between the cuts.
func (r *Router) Cuts(ctx context.Context) ([]*kithv1.CutResponse, error) {
	first, err := r.marks(ctx, false)
	hold := false // until there were joins in the way
	for pause := firstPause; err == nil; pause, hold = min(2*pause, maxPause), true {
		var cuts, last []*kithv1.CutResponse
		if cuts, err = r.marks(ctx, hold); err != nil {
			break
		}
		if last, err = r.marks(ctx, hold); err != nil {
			break
		}
		if quiet(first, last) {
			return cuts, nil
		}
		if first = last; !sleep(ctx, pause) {
			err = fmt.Errorf("%w: users are being joined: %w", wire.ErrNotReady, ctx.Err())
		}
	}
	return nil, err
}

// quiet reports whether there was a time between two moments at which no join was under way.
func quiet(before, after []*kithv1.CutResponse) bool {
	for p := range before {
		if before[p].JoinsPending > 0 || before[p].JoinsBegun != after[p].JoinsBegun {
			return false
		}
	}
	return true
}

// marks returns a cut of each partition, and, if it is to hold them, lets no join begin for a moment.
func (r *Router) marks(ctx context.Context, holdJoins bool) ([]*kithv1.CutResponse, error) {
	n, err := r.partitions()
	if err != nil {
		return nil, err
	}
	marks := make([]*kithv1.CutResponse, n)
	g, ctx := errgroup.WithContext(ctx)
	for p := range marks {
		g.Go(func() (err error) {
			marks[p], err = r.cut(ctx, partition.ID(p), holdJoins)
			return err
		})
	}
	return marks, g.Wait()
}

// sweepJoins removes the events that have been settled under other keys.
func (r *Router) sweepJoins(ctx context.Context) error {
	marks, err := r.marks(ctx, false)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for p, m := range marks {
		if m.JoinsHidden == 0 {
			continue
		}
		g.Go(func() error {
			for swept := uint64(sweptKeys); swept == sweptKeys; {
				resp, err := r.stepIn(ctx, partition.ID(p), &kithv1.StepJoinRequest{Step: stepSweep, Id: m.Index})
				if err != nil {
					return err
				}
				swept = resp.Events
			}
			return nil
		})
	}
	return g.Wait()
}

// endJoins ends joins that were left under way, until ctx is done: what is there at two looks, joinPause apart, is not being done by anybody else.
func (c *Coordinator) endJoins(ctx context.Context) {
	before := map[string]uint64{}
	for sleep(ctx, joinPause) {
		now := map[string]uint64{}
		for p := range c.State().Replicas {
			var resp *kithv1.PendingJoinsResponse
			try, cancel := context.WithTimeout(ctx, tryTimeout)
			err := c.router.onPartition(try, partition.ID(p), true, func(ctx context.Context, client kithv1.PartitionServiceClient, epoch uint64) (err error) {
				resp, err = client.PendingJoins(ctx, &kithv1.PendingJoinsRequest{Partition: uint32(p), Epoch: epoch})
				return err
			})
			cancel()
			for _, u := range resp.GetUsers() {
				if now[u.User] = u.Id; before[u.User] == u.Id {
					err = errors.Join(err, c.endLeft(ctx, u)) // one that cannot be ended is in nobody's way
				}
			}
			if err != nil && ctx.Err() == nil {
				// The text may name users, so it is for debugging alone.
				c.cfg.Logger.Warn("joins of users that were left under way cannot be ended yet", "partition", p)
				c.cfg.Logger.Debug("end joins of users", "partition", p, "err", err)
			}
		}
		before = now
	}
}

// endLeft ends one join. If it has to be taken back, as the account was joined to another, it is made anew.
func (c *Coordinator) endLeft(ctx context.Context, u *kithv1.UserState) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	_, done, err := c.router.endJoin(ctx, u.User, u.To, u.Id)
	if err != nil || done {
		return err
	}
	end, err := c.router.end(ctx, u.To)
	if err != nil || end == u.To { // it was erased
		return err
	}
	if _, err = c.router.join(ctx, u.User, end); errors.Is(err, errRefused) {
		return nil
	}
	return err
}

//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// searchTime bounds the search of an order for one user.
	searchTime = 20 * time.Second
	// checkers read at the same time.
	checkers = 8
	// comparedUsers is the number of users whose recommendations are compared.
	comparedUsers = 100
)

// figures are what the checks counted.
type figures struct {
	Sent         int `json:"events_sent"`
	Acknowledged int `json:"events_acknowledged"`
	Lost         int `json:"events_lost"`
	Doubled      int `json:"events_doubled"`
	// Foreign events were never sent, or have another content.
	Foreign int `json:"events_foreign"`
	// Unacknowledged events are stored though no one was told: they are allowed.
	Unacknowledged int `json:"events_stored_unacknowledged"`
	// Copies are the histories that were compared: one for each user and replica, and one read by default.
	Copies       int    `json:"histories_compared"`
	WatchedUsers int    `json:"watched_users"`
	WatchedOps   int    `json:"watched_operations"`
	Linearizable string `json:"linearizable"`
	Lists        int    `json:"lists_compared"`
	ListsWrong   int    `json:"lists_wrong"`
	Answers      int    `json:"answers_compared"`
	AnswersWrong int    `json:"answers_wrong"`
	// Restored is the number of events of the last backup, all of which were restored to another cluster, and RestoredLists that of the
	// lists compared there.
	Restored      int `json:"events_restored"`
	RestoredLists int `json:"restored_lists_compared"`
}

// verify checks a cluster that all is well with, and that nobody writes to. It returns the promises that were broken, or
// an error if it could not look.
func verify(ctx context.Context, c *cluster, w *workload, out *figures) (broken []string, err error) {
	if err := c.converged(ctx); err != nil {
		return []string{"the replicas differ: " + err.Error()}, nil
	}
	stored, broken, err := c.compareHistories(ctx, w.acked, out)
	if err != nil {
		return broken, err
	}
	broken = append(broken, w.violations...)
	broken = append(broken, judge(w.ops, out)...)
	wrong, err := c.compareModels(ctx, stored, out)
	if broken = append(broken, wrong...); err != nil {
		return broken, err
	}
	wrong, err = c.compareRestored(ctx, lastSpec(), out)
	return append(broken, wrong...), err
}

// lastSpec is that of the builds whose models are compared.
func lastSpec() *kithv1.BuildSpec { return buildSpec(25) }

// judge looks for an order of what the clients did to each watched user.
func judge(ops []operation, out *figures) (broken []string) {
	users := map[string]bool{}
	for _, o := range ops {
		users[o.User] = true
	}
	out.WatchedUsers, out.WatchedOps, out.Linearizable = len(users), len(ops), "yes"
	wrong, undecided := linearizable(ops, searchTime)
	if len(undecided) > 0 {
		out.Linearizable = fmt.Sprintf("yes, as far as is known: no answer within %v for %d users", searchTime, len(undecided))
	}
	for user, history := range wrong {
		out.Linearizable = "no"
		broken = append(broken, fmt.Sprintf("the history of user %s is not linearizable:\n%s", user, tell(history)))
	}
	return broken
}

// converged waits until all replicas of each partition have applied the same entries and have the same numbers.
func (c *cluster) converged(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	return c.eventually(ctx, func(ctx context.Context) error {
		infos, err := c.infos(ctx)
		if err != nil {
			return err
		}
		for p := range uint32(c.cfg.partitions) {
			var first *kithv1.ReplicaInfo
			copies := 0
			for i, info := range infos {
				r := info[p]
				if r == nil {
					continue
				}
				copies++
				first = cmp.Or(first, r)
				if r.AppliedIndex != first.AppliedIndex || r.Events != first.Events || r.Users != first.Users {
					return fmt.Errorf("partition %d: %s has %d events of %d users up to entry %d, another %d of %d up to %d", p,
						c.servers[i].id, r.Events, r.Users, r.AppliedIndex, first.Events, first.Users, first.AppliedIndex)
				}
			}
			if copies != c.cfg.replication {
				return fmt.Errorf("partition %d has %d replicas", p, copies)
			}
		}
		return nil
	})
}

// history reads the events of a user from the replica of one server, as it is. Where the server holds none it returns an
// error that matches wire.ErrNoReplica.
func (c *cluster) history(ctx context.Context, i int, epoch uint64, user string) ([]*kithv1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	stream, err := kithv1.NewPartitionServiceClient(c.conns[i]).History(ctx, &kithv1.HistoryRequest{
		Partition: uint32(partition.Of(user, c.cfg.partitions)), Epoch: epoch, User: user, Stale: true,
	})
	if err != nil {
		return nil, err
	}
	var events []*kithv1.Event
	err = wire.Receive(stream, func(m *kithv1.HistoryResponse) error {
		events = append(events, m.Events...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("history of %s at %s: %w", user, c.servers[i].id, err)
	}
	return events, nil
}

// histories are the events of users.
type histories map[string][]*kithv1.Event

// byUser returns the ids of the events of each user, and whether they were acknowledged.
func byUser(acked map[event]bool) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for e, known := range acked {
		if out[e.user] == nil {
			out[e.user] = map[string]bool{}
		}
		out[e.user][e.id] = known
	}
	return out
}

// compareHistories reads every user by default and from every replica. It returns the events that are stored.
func (c *cluster) compareHistories(ctx context.Context, acked map[event]bool, out *figures) (stored []*kithv1.Event, broken []string, err error) {
	want := byUser(acked)
	for _, known := range acked {
		out.Sent++
		if known {
			out.Acknowledged++
		}
	}
	state, err := c.status(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(checkers)
	check := func(user, where string, got []*kithv1.Event, count bool) {
		mu.Lock()
		defer mu.Unlock()
		out.Copies++
		wrong, unacknowledged := compareHistory(user, want[user], got, out)
		if count {
			out.Unacknowledged += unacknowledged
			stored = append(stored, got...)
		}
		for _, text := range wrong {
			broken = append(broken, fmt.Sprintf("%s: %s", where, text))
		}
	}
	for user := range want {
		p := state.Partitions[partition.Of(user, c.cfg.partitions)]
		g.Go(func() error {
			got, err := list(ctx, c.conns[len(user)%len(c.conns)], user)
			if err != nil {
				return fmt.Errorf("read %s: %w", user, err)
			}
			check(user, "default read", got, true)
			for i, s := range c.servers {
				if !slices.Contains(p.Replicas, s.id) {
					continue
				}
				got, err := c.history(ctx, i, state.Epoch, user)
				if err != nil {
					return err
				}
				check(user, "replica on "+s.id, got, false)
			}
			return nil
		})
	}
	err = g.Wait()
	slices.SortFunc(stored, func(a, b *kithv1.Event) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.TimeUnixMs, b.TimeUnixMs), cmp.Compare(a.Id, b.Id))
	})
	return stored, broken, err
}

// compareHistory compares one copy of a user's history with what was sent, and acknowledged.
func compareHistory(user string, want map[string]bool, got []*kithv1.Event, out *figures) (wrong []string, unacknowledged int) {
	seen := map[string]bool{}
	for _, e := range got {
		acknowledged, sent := want[e.Id]
		should := event{user, e.Id}.message()
		switch {
		case !sent:
			out.Foreign++
			wrong = append(wrong, fmt.Sprintf("event %q of %s was never sent", e.Id, user))
		case seen[e.Id]:
			out.Doubled++
			wrong = append(wrong, fmt.Sprintf("event %q of %s is there twice", e.Id, user))
		case e.User != user || e.Item != should.Item || e.Behavior != should.Behavior || e.TimeUnixMs != should.TimeUnixMs:
			out.Foreign++
			wrong = append(wrong, fmt.Sprintf("event %q of %s is %v, want %v", e.Id, user, e, should))
		case !acknowledged:
			unacknowledged++
		}
		seen[e.Id] = true
	}
	for id, acknowledged := range want {
		if acknowledged && !seen[id] {
			out.Lost++
			wrong = append(wrong, fmt.Sprintf("event %q of %s was acknowledged and is lost", id, user))
		}
	}
	return wrong, unacknowledged
}

// compareModels builds a model on the cluster and on a server that never saw a fault, with the same events, and compares
// the neighbor lists of all items and the recommendations of some users, asked at every server.
func (c *cluster) compareModels(ctx context.Context, events []*kithv1.Event, out *figures) (broken []string, err error) {
	twin, conn, err := c.twin(ctx, events)
	if err != nil {
		return nil, fmt.Errorf("server to compare with: %w", err)
	}
	defer func() {
		err = errors.Join(err, conn.Close(), twin.end(context.WithoutCancel(ctx), syscall.SIGKILL))
	}()
	bounded, cancel := context.WithTimeout(ctx, 2*c.cfg.patience)
	defer cancel()
	for _, conns := range [][]*grpc.ClientConn{{conn}, slices.Clone(c.conns)} {
		job, err := (&client{conns: conns}).build(bounded, lastSpec())
		if err != nil {
			return nil, fmt.Errorf("build after all faults: %w", err)
		}
		if !succeeded(job) {
			return []string{"the build after all faults failed: " + job.Error}, nil
		}
		for _, conn := range conns {
			if err := awaitVersion(bounded, conn, job.ModelVersion, events[0].Item); err != nil {
				return []string{"the build after all faults is not used: " + err.Error()}, nil
			}
		}
	}
	items := map[string]bool{}
	for _, e := range events {
		items[e.Item] = true
	}
	for item := range items {
		differ, err := c.compareAnswers(ctx, conn, similarTo(item))
		if err != nil {
			return broken, fmt.Errorf("neighbors of %s: %w", item, err)
		}
		out.Lists += len(c.conns)
		out.ListsWrong += len(differ)
		for _, text := range differ {
			broken = append(broken, fmt.Sprintf("neighbors of %s %s", item, text))
		}
	}
	for n := range comparedUsers {
		user := fmt.Sprintf("b%d", n)
		differ, err := c.compareAnswers(ctx, conn, func(ctx context.Context, conn *grpc.ClientConn) (proto.Message, error) {
			resp, err := kithv1.NewRecommenderServiceClient(conn).Recommend(ctx, &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: user}, N: 20})
			if resp != nil {
				resp.ModelVersion = 0
			}
			return resp, err
		})
		if err != nil {
			return broken, fmt.Errorf("recommendations of %s: %w", user, err)
		}
		out.Answers += len(c.conns)
		out.AnswersWrong += len(differ)
		for _, text := range differ {
			broken = append(broken, fmt.Sprintf("recommendations of %s %s", user, text))
		}
	}
	return broken, nil
}

// awaitVersion waits until a server answers with a model version: it hears of it a moment after the coordinator.
func awaitVersion(ctx context.Context, conn *grpc.ClientConn, version uint64, item string) error {
	return (&client{conns: []*grpc.ClientConn{conn}}).call(ctx, callTry, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := kithv1.NewRecommenderServiceClient(conn).Similar(ctx, &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: item}})
		switch {
		case errors.Is(err, wire.ErrNoModel): // if it is the first one
			return fmt.Errorf("%w: %w", wire.ErrNotReady, err)
		case err == nil && resp.ModelVersion != version:
			return fmt.Errorf("%w: it answers with version %d, want %d", wire.ErrNotReady, resp.ModelVersion, version)
		}
		return err
	})
}

// twin starts a server of its own and gives it the events.
func (c *cluster) twin(ctx context.Context, events []*kithv1.Event) (_ *process, _ *grpc.ClientConn, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.patience)
	defer cancel()
	h := c.spare(0)
	p, err := c.newProcess(h, h.name)
	if err == nil {
		err = p.clear() // of a cluster that a backup was restored to
	}
	if err != nil {
		return nil, nil, err
	}
	conn, err := c.connect(h)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close(), p.end(context.WithoutCancel(ctx), syscall.SIGKILL))
		}
	}()
	if err := p.start(); err != nil {
		return nil, nil, err
	}
	api := &client{conns: []*grpc.ClientConn{conn}}
	for batch := range slices.Chunk(events, firstBatch) {
		if err := api.append(ctx, batch, callDeadline); err != nil {
			return nil, nil, err
		}
	}
	return p, conn, nil
}

// compareAnswers asks the same of the twin and of every server, and tells which servers answer otherwise.
func (c *cluster) compareAnswers(ctx context.Context, twin *grpc.ClientConn, ask func(context.Context, *grpc.ClientConn) (proto.Message, error)) (differ []string, err error) {
	one := func(conn *grpc.ClientConn) (resp proto.Message, err error) {
		ctx, cancel := context.WithTimeout(ctx, callDeadline)
		defer cancel()
		err = (&client{conns: []*grpc.ClientConn{conn}}).call(ctx, callTry, func(ctx context.Context, conn *grpc.ClientConn) error {
			resp, err = ask(ctx, conn)
			return err
		})
		return resp, err
	}
	want, err := one(twin)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", status.Code(err), err)
	}
	for i, conn := range c.conns {
		got, err := one(conn)
		switch {
		case err != nil:
			differ = append(differ, fmt.Sprintf("at %s: %v", c.servers[i].id, err))
		case !proto.Equal(got, want):
			differ = append(differ, fmt.Sprintf("at %s are\n    %v, want\n    %v", c.servers[i].id, got, want))
		}
	}
	return differ, nil
}

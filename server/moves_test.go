package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// deadline of a call. A shop sets a shorter one; here it must hold on a machine that is busy with other tests.
const deadline = 5 * time.Second

// load appends events and asks for recommendations all the time, as a shop does: each call has a deadline, and goes to the
// next server when one is gone.
type load struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	conns   []*grpc.ClientConn
	acked   []*kithv1.Event
	asked   int
	failed  []error // queries
	delayed []error // appends that had to be repeated after their deadline
}

// startLoad loads the members that use names.
func startLoad(t *testing.T, c *clustertest.Cluster, members ...int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	l.use(c, members...)
	l.running.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			e := &kithv1.Event{
				Id: fmt.Sprint("load", n), User: fmt.Sprintf("load%02d", n%40), Item: fmt.Sprintf("i%04d", n%50), Behavior: "view",
				TimeUnixMs: int64(1_700_000_000_000 + n),
			}
			l.call(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
				stream, err := kithv1.NewEventsServiceClient(conn).Append(ctx)
				if err != nil {
					return err
				}
				_ = stream.Send(&kithv1.AppendRequest{Events: []*kithv1.Event{e}}) // CloseAndRecv tells why it failed
				_, err = stream.CloseAndRecv()
				return err
			}, func() { l.acked = append(l.acked, e) })
		}
	})
	l.running.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			l.call(ctx, false, func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := kithv1.NewRecommenderServiceClient(conn).Recommend(ctx, forUser(fmt.Sprintf("u%03d", n%30), 5))
				if err == nil && len(resp.Items) != 5 {
					err = fmt.Errorf("%d items, want 5", len(resp.Items))
				}
				return err
			}, func() { l.asked++ })
		}
	})
	t.Cleanup(l.end)
	return l
}

// use sends the load to these members from now on.
func (l *load) use(c *clustertest.Cluster, members ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = nil
	for _, i := range members {
		l.conns = append(l.conns, c.Conn(i))
	}
}

// call calls the servers in turn until one answers; with again it goes on until the deadline ends, and then starts over.
func (l *load) call(ctx context.Context, again bool, f func(context.Context, *grpc.ClientConn) error, ok func()) {
	for ctx.Err() == nil {
		err := l.within(ctx, again, f)
		l.mu.Lock()
		switch {
		case err == nil:
			ok()
		case ctx.Err() != nil:
		case again:
			l.delayed = append(l.delayed, err)
		default:
			l.failed = append(l.failed, err)
		}
		l.mu.Unlock()
		if err == nil || !again {
			return
		}
	}
}

func (l *load) within(ctx context.Context, again bool, f func(context.Context, *grpc.ClientConn) error) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	l.mu.Lock()
	conns := slices.Clone(l.conns)
	l.mu.Unlock()
	turn := time.NewTicker(20 * time.Millisecond)
	defer turn.Stop()
	for {
		var err error
		for _, conn := range conns {
			if err = f(ctx, conn); err == nil || !wire.Retryable(err) {
				return err
			}
		}
		if !again {
			return err
		}
		select { // as clients do
		case <-turn.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (l *load) end() {
	l.stop()
	l.running.Wait()
}

// check ends the load: no query may have failed, no append may have missed its deadline unless members died, and every acknowledged event
// must be there, once.
func (l *load) check(t *testing.T, c *clustertest.Cluster, member int, died bool) {
	t.Helper()
	l.end()
	t.Logf("%d events appended, %d late; %d recommendations, %d failed", len(l.acked), len(l.delayed), l.asked, len(l.failed))
	if len(l.failed) > 0 {
		t.Errorf("%d queries failed, the first with: %v", len(l.failed), l.failed[0])
	}
	if len(l.delayed) > 0 && !died {
		t.Errorf("%d appends failed, the first with: %v", len(l.delayed), l.delayed[0])
	}
	if len(l.acked) == 0 || l.asked == 0 {
		t.Error("the load did nothing")
	}
	for u := range 40 {
		user := fmt.Sprintf("load%02d", u)
		events, err := list(t, c, member, user)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, e := range events {
			seen[e.Id]++
		}
		for _, e := range l.acked {
			if e.User == user && seen[e.Id] != 1 {
				t.Errorf("event %s of %s was acknowledged and is there %d times", e.Id, user, seen[e.Id])
			}
		}
	}
}

// settled waits until the replicas of all partitions are on their nodes, at most the share of each, and as many members vote as should.
func settled(t *testing.T, c *clustertest.Cluster, voters int) {
	t.Helper()
	c.Eventually(func() error {
		alive := c.Alive()
		for _, m := range alive {
			s := m.Server.State()
			if len(s.Moves) > 0 || len(s.Members) != len(alive) || !s.Formed {
				return fmt.Errorf("member %d: %d members, %d run; formed %v, moves %v", m.Index, len(s.Members), len(alive), s.Formed, s.Moves)
			}
			hold, all := map[string]int{}, 0
			for p, nodes := range s.Replicas {
				if len(nodes) != min(3, len(alive)) {
					return fmt.Errorf("partition %d on %v with %d members", p, nodes, len(alive))
				}
				for _, n := range nodes {
					hold[n]++
					all++
				}
			}
			for n, has := range hold {
				if most := (all + len(alive) - 1) / len(alive); has > most {
					return fmt.Errorf("%s holds %d replicas, want at most %d", n, has, most)
				}
			}
		}
		status, err := c.Cluster(alive[0].Index).Status(t.Context(), &kithv1.StatusRequest{})
		if err != nil {
			return err
		}
		vote := 0
		for _, m := range status.Members {
			if m.Voter {
				vote++
			}
		}
		if vote != voters || !status.Ready || status.MovesLeft != 0 {
			return fmt.Errorf("%d voters, want %d; ready %v, %d replicas to be moved", vote, voters, status.Ready, status.MovesLeft)
		}
		return nil
	})
}

func intend(t *testing.T, c *clustertest.Cluster, through, member int, intent kithv1.MemberIntent) {
	t.Helper()
	_, err := c.Cluster(through).SetIntent(t.Context(), &kithv1.SetIntentRequest{Member: c.Members[member].Server.ID(), Intent: intent})
	if err != nil {
		t.Fatal(err)
	}
}

// TestClusterGrowsAndShrinks takes a cluster from one member to three and five and back to one that was none of the first,
// while events are appended and recommendations asked for: no call fails, no event is lost, and the model answers as before.
func TestClusterGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 8})
	c.Append(0, shopEvents(30, 50, 20, 8))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	want := recommend(t, c, 0, forUser("u007", 10))
	l := startLoad(t, c, 0)
	c.Add()
	c.Add()
	settled(t, c, 3)
	l.use(c, 1, 2)
	c.Add()
	c.Add()
	settled(t, c, 5)
	l.use(c, 3, 4)
	for _, leaver := range []int{0, 1} {
		intend(t, c, 4, leaver, kithv1.MemberIntent_MEMBER_INTENT_LEAVE)
		c.Left(leaver)
	}
	settled(t, c, 3)
	for _, leaver := range []int{2, 3} {
		l.use(c, 4)
		intend(t, c, 4, leaver, kithv1.MemberIntent_MEMBER_INTENT_LEAVE)
		c.Left(leaver)
	}
	settled(t, c, 1)
	l.check(t, c, 4, false)
	if d := gocmp.Diff(want, recommend(t, c, 4, forUser("u007", 10)), protocmp.Transform()); d != "" {
		t.Errorf("answers otherwise after all moves (-before +after):\n%s", d)
	}
	if _, err := c.Cluster(4).SetIntent(t.Context(), &kithv1.SetIntentRequest{
		Member: c.Members[4].Server.ID(), Intent: kithv1.MemberIntent_MEMBER_INTENT_LEAVE,
	}); err == nil {
		t.Error("the last member may leave")
	}
}

// TestFourthMemberTakesItsShare: of 48 replicas on three members, 12 move to the fourth, and nothing else. The coordinator dies
// meanwhile, and the next one goes on.
func TestFourthMemberTakesItsShare(t *testing.T) {
	long(t)
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Partitions: 16})
	c.Append(0, shopEvents(30, 50, 20, 9))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	settled(t, c, 3)
	before := c.Members[0].Server.State()
	coordinator := c.Coordinator()
	others := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == coordinator })
	l := startLoad(t, c, others...)
	added := c.Add()
	c.Eventually(func() error {
		if s := c.Members[coordinator].Server.State(); len(s.Moves) == 0 {
			return fmt.Errorf("no move yet, epoch %d", s.Epoch)
		}
		return nil
	})
	c.Kill(coordinator)
	c.Coordinator()
	c.Run(coordinator)
	settled(t, c, 3)
	l.check(t, c, added, true)
	moved := 0
	after := c.Members[added].Server.State()
	for p := range after.Replicas {
		for _, n := range after.Replicas[p] {
			if !slices.Contains(before.Replicas[p], n) {
				moved++
			}
		}
	}
	if moved != 12 || after.Epoch != before.Epoch+12 {
		t.Errorf("%d replicas moved in %d steps, want 12 of 48", moved, after.Epoch-before.Epoch)
	}
}

// TestLostMemberIsReplaced kills one of four members. After the grace period its replicas are made elsewhere, and it is forgotten. Then it
// comes back with its old disk, and is taken in again.
func TestLostMemberIsReplaced(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 3, Partitions: 8, DeadAfter: 1500 * time.Millisecond})
	c.Add()
	settled(t, c, 3)
	c.Append(0, shopEvents(30, 50, 20, 10))
	lost := c.Coordinator()
	others := slices.DeleteFunc([]int{0, 1, 2, 3}, func(i int) bool { return i == lost })
	l := startLoad(t, c, others...)
	c.Kill(lost)
	settled(t, c, 3)
	c.Run(lost)
	settled(t, c, 3)
	l.check(t, c, lost, true)
}

// TestDrainedMemberHoldsNothing drains a member, which stays, and takes it into use again.
func TestDrainedMemberHoldsNothing(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Partitions: 4})
	c.Append(0, shopEvents(30, 50, 20, 11))
	drained := c.Coordinator()
	through := (drained + 1) % 3
	id := c.Members[drained].Server.ID()
	intend(t, c, through, drained, kithv1.MemberIntent_MEMBER_INTENT_DRAIN)
	c.Eventually(func() error {
		status, err := c.Cluster(drained).Status(t.Context(), &kithv1.StatusRequest{})
		if err != nil {
			return err
		}
		for _, m := range status.Members {
			if m.Id == id && (m.Replicas > 0 || m.Voter || m.Coordinator) || len(status.Moves) > 0 || !status.Ready {
				return fmt.Errorf("not drained: %v", status)
			}
		}
		return nil
	})
	c.Eventually(func() error {
		if left, err := os.ReadDir(filepath.Join(c.Dir(drained), "partitions")); err != nil || len(left) > 0 {
			return fmt.Errorf("the drained member still has %v, %w", left, err)
		}
		return nil
	})
	if events, err := list(t, c, drained, "u007"); err != nil || len(events) != 20 {
		t.Errorf("a drained member answers %d events, %v", len(events), err)
	}
	intend(t, c, drained, drained, kithv1.MemberIntent_MEMBER_INTENT_UNSPECIFIED)
	settled(t, c, 3)

	// A step of a move that is over, or of none, changes nothing.
	for member := range c.Members {
		for _, change := range []kithv1.ReplicaChange{
			kithv1.ReplicaChange_REPLICA_CHANGE_ADD, kithv1.ReplicaChange_REPLICA_CHANGE_PROMOTE, kithv1.ReplicaChange_REPLICA_CHANGE_REMOVE,
		} {
			_, err := kithv1.NewPartitionServiceClient(c.Conn(member)).ChangeReplica(t.Context(), &kithv1.ChangeReplicaRequest{
				Move: 5, Partition: 0, Change: change, Node: id, RaftAddr: "127.0.0.1:1",
			})
			if !errors.Is(err, wire.ErrInvalid) && !errors.Is(err, wire.ErrNotLeader) {
				t.Errorf("member %d: %v of a move of before: %v", member, change, err)
			}
		}
	}
}

// TestLeadersEvenOut waits until each of three members leads four partitions of twelve, and again after a restart, while events and
// queries go on: none fails.
func TestLeadersEvenOut(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Partitions: 12})
	settled(t, c, 3)
	c.Append(0, shopEvents(30, 50, 20, 18))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	even := func() error {
		for i, m := range c.Members {
			info, err := kithv1.NewPartitionServiceClient(c.Conn(i)).Info(t.Context(), &kithv1.InfoRequest{})
			if err != nil {
				return err
			}
			leads := 0
			for _, r := range info.Replicas {
				if r.Leader {
					leads++
				}
			}
			if leads != 4 {
				return fmt.Errorf("member %d (%s) leads %d partitions, want 4", i, m.Server.ID(), leads)
			}
		}
		return nil
	}
	c.Eventually(even)
	l := startLoad(t, c, 0, 1)
	c.Kill(2)
	c.Run(2)
	c.Eventually(even)
	l.check(t, c, 0, true)
}

// TestLeaveWaitsForAMajority kills one of three and tells another to leave. What would be left could decide nothing, so the cluster
// waits, and works on, until the dead one is back.
func TestLeaveWaitsForAMajority(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Partitions: 4})
	settled(t, c, 3)
	c.Append(0, shopEvents(30, 50, 20, 15))
	coordinator := c.Coordinator()
	leaver, dead := (coordinator+1)%3, (coordinator+2)%3
	id := c.Members[dead].Server.ID()
	c.Kill(dead)
	c.Eventually(func() error { // until membership knows
		status, err := c.Cluster(coordinator).Status(t.Context(), &kithv1.StatusRequest{})
		if err != nil {
			return err
		}
		for _, m := range status.Members {
			if m.Id == id && m.State != kithv1.MemberState_MEMBER_STATE_DEAD {
				return fmt.Errorf("%s is %v", id, m.State)
			}
		}
		return nil
	})
	intend(t, c, coordinator, leaver, kithv1.MemberIntent_MEMBER_INTENT_LEAVE)
	c.Append(coordinator, shopEvents(30, 50, 5, 16)) // needs both
	if s := c.Members[coordinator].Server.State(); s.Epoch != 1 || s.Member(c.Members[leaver].Server.ID()) == nil {
		t.Errorf("replicas have moved to epoch %d, members are %v", s.Epoch, s.Members)
	}
	c.Run(dead)
	c.Left(leaver)
	settled(t, c, 1)
	if events, err := list(t, c, dead, "u007"); err != nil || len(events) != 20 {
		t.Errorf("%d events, %v; want 20: the second lot has the ids of the first", len(events), err)
	}
}

// TestMoveToAFullMemberIsTurnedRound adds a member that cannot open its replicas, for want of room: its moves are given up, and
// another that comes gets the replicas.
func TestMoveToAFullMemberIsTurnedRound(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 8, DeadAfter: time.Second, Configure: func(member int, cfg *server.Config) {
		if member == 1 {
			cfg.DiskSpace = func(string) (free, total uint64, err error) { return 1 << 20, 1 << 40, nil }
		}
	}})
	settled(t, c, 1)
	c.Append(0, shopEvents(30, 50, 20, 17))
	full, roomy := c.Add(), c.Add()
	c.Eventually(func() error {
		s := c.Members[0].Server.State()
		held := 0
		for _, nodes := range s.Replicas {
			if slices.Contains(nodes, c.Members[full].Server.ID()) {
				t.Fatal("a member without room has a replica")
			}
			if slices.Contains(nodes, c.Members[roomy].Server.ID()) {
				held++
			}
		}
		if held < len(s.Replicas) || len(s.Moves) > 0 {
			return fmt.Errorf("%d of %d partitions have a replica on the member with room, %d moves", held, len(s.Replicas), len(s.Moves))
		}
		return nil
	})
	if events, err := list(t, c, roomy, "u007"); err != nil || len(events) != 20 {
		t.Errorf("%d events, %v; want 20", len(events), err)
	}
}

// TestMoveToALostMemberIsTurnedRound gives a cluster of one a member that cannot open its replicas, for want of room, and then loses
// it. The moves must not wait for it for ever, though it would be half of the replicas.
func TestMoveToALostMemberIsTurnedRound(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 2, DeadAfter: time.Second, Configure: func(member int, cfg *server.Config) {
		if member == 1 {
			cfg.DiskSpace = func(string) (free, total uint64, err error) { return 1 << 20, 1 << 40, nil }
		}
	}})
	settled(t, c, 1)
	c.Append(0, shopEvents(30, 50, 20, 17))
	late := c.Add()
	moves := func() int { return len(c.Members[0].Server.State().Moves) }
	c.Eventually(func() error {
		if n := moves(); n != 2 {
			return fmt.Errorf("%d moves, want one of each partition", n)
		}
		return nil
	})
	c.Kill(late)
	c.Eventually(func() error {
		if n := moves(); n != 0 {
			return fmt.Errorf("%d moves wait for a member that is lost", n)
		}
		return nil
	})
	c.Append(0, shopEvents(30, 50, 25, 17))
	if events, err := list(t, c, 0, "u007"); err != nil || len(events) != 25 {
		t.Errorf("%d events, %v; want 25", len(events), err)
	}
}

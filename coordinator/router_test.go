package coordinator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// fakePeers are nodes a, b and c, of which this one is none. Each answers by its function.
type fakePeers map[string]func(ctx context.Context, reply any) error

func (f fakePeers) Self() string             { return "self" }
func (f fakePeers) Alive() []string          { return []string{"a", "b", "c"} }
func (f fakePeers) Addr(node string) string  { return node }
func (f fakePeers) Changed() <-chan struct{} { return nil }
func (f fakePeers) Conn(_ context.Context, node string) (grpc.ClientConnInterface, error) {
	return fakeConn{answer: f[node]}, nil
}

// fakeLocal is a node without replicas and models.
type fakeLocal struct{}

func (fakeLocal) Leaderless(partition.ID) time.Duration { return 0 }
func (fakeLocal) HistoryOf(context.Context, partition.ID, uint64, string, bool) ([]fusion.Event, error) {
	return nil, wire.ErrNoReplica
}

func (fakeLocal) KnownHistory(partition.ID, uint64, string, bool) ([]fusion.Event, uint64, bool) {
	return nil, 0, false
}

func (fakeLocal) KnownStamp(partition.ID, uint64, string) (uint64, bool) { return 0, false }

func (fakeLocal) Erasures(int) (uint64, bool) { return 0, false }

func (fakeLocal) ScoresOf(uint64, []node.HistoryItem) (*neighborhood.Scores, error) {
	return nil, wire.ErrUnknownVersion
}
func (fakeLocal) Versions() *node.Versions { return nil }

type fakeConn struct {
	grpc.ClientConnInterface
	answer func(ctx context.Context, reply any) error
}

// Invoke implements grpc.ClientConnInterface.
func (c fakeConn) Invoke(ctx context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	return c.answer(ctx, reply)
}

// hang is what a paused process does.
func hang(ctx context.Context, _ any) error {
	<-ctx.Done()
	return ctx.Err()
}

// cut answers as a leader.
func cut(_ context.Context, reply any) error {
	resp, ok := reply.(*kithv1.CutResponse)
	if !ok {
		return fmt.Errorf("%w: unexpected call", wire.ErrInvalid)
	}
	resp.Index = 7
	return nil
}

// refer answers as a follower.
func refer(leader string) func(context.Context, any) error {
	return func(context.Context, any) error { return &wire.NotLeaderError{Leader: leader} }
}

// routerOver returns a Router of one partition on the nodes.
func routerOver(t *testing.T, peers fakePeers, replicas ...string) *Router {
	t.Helper()
	log := NewMemoryLog()
	for _, c := range []*kithv1.ControlCommand{
		{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{ClusterId: "c", Partitions: 1, ReplicationFactor: 3}}},
		{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: &kithv1.SetShardMap{Epoch: 1, Partitions: []*kithv1.Replicas{{Nodes: replicas}}}}},
	} {
		if _, err := log.Propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return NewRouter(log, peers, fakeLocal{}, time.Now)
}

// TestRouterPassesPausedLeader has a leader that breaks no connection and answers nothing: a call with a short deadline
// must reach the next leader, though the others learn only later that there is another.
func TestRouterPassesPausedLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		elected := began.Add(650 * time.Millisecond)
		b := func(ctx context.Context, reply any) error {
			if time.Now().Before(elected) {
				return refer("a")(ctx, reply)
			}
			return refer("c")(ctx, reply)
		}
		c := func(ctx context.Context, reply any) error {
			if time.Now().Before(elected) {
				return refer("a")(ctx, reply)
			}
			return cut(ctx, reply)
		}
		r := routerOver(t, fakePeers{"a": hang, "b": b, "c": c}, "a", "b", "c")
		r.setLeader(0, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if cut, err := r.Cut(ctx, 0); err != nil || cut.GetIndex() != 7 {
			t.Fatalf("index %d, error %v after %v; want 7 from the next leader", cut.GetIndex(), err, time.Since(began))
		}
		if took := time.Since(began); took < 650*time.Millisecond || took >= time.Second {
			t.Errorf("took %v, want a little more than until the election at 650ms", took)
		}
		began = time.Now()
		if _, err := r.Cut(ctx, 0); err != nil || time.Since(began) > 0 {
			t.Errorf("the call after that took %v and returned %v; want no more of the paused node", time.Since(began), err)
		}
	})
}

// TestRouterRemembersPausedLeader has nobody who answers in time; then another leads, and the next call must reach it
// although a follower still takes the paused node for the leader.
func TestRouterRemembersPausedLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := fakePeers{"a": hang, "b": refer("c"), "c": hang}
		r := routerOver(t, peers, "a", "b", "c")
		r.setLeader(0, "c")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := r.Cut(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want that the time is over", err)
		}
		peers["a"] = cut
		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if cut, err := r.Cut(ctx, 0); err != nil || cut.GetIndex() != 7 {
			t.Errorf("index %d, error %v; want 7 from the next leader", cut.GetIndex(), err)
		}
	})
}

// TestRouterWaitsForOnlyReplica has no other replica to keep time for.
func TestRouterWaitsForOnlyReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, reply any) error {
			select {
			case <-time.After(900 * time.Millisecond):
				return cut(ctx, reply)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		r := routerOver(t, fakePeers{"a": slow}, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if cut, err := r.Cut(ctx, 0); err != nil || cut.GetIndex() != 7 {
			t.Errorf("index %d, error %v; want 7", cut.GetIndex(), err)
		}
	})
}

// TestFanOutPassesPausedNode has a replica that answers nothing, before gossip has found out.
func TestFanOutPassesPausedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fine := func(context.Context, any) error { return nil }
		r := routerOver(t, fakePeers{"a": hang, "b": fine, "c": fine}, "a", "b", "c")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		lost, err := r.fanOut(ctx, "nearest", []uint32{0}, func(ctx context.Context, c kithv1.QueryServiceClient, _ []uint32) (func() error, error) {
			_, err := c.NearestUsers(ctx, &kithv1.NearestUsersRequest{})
			return func() error { return nil }, err
		})
		if err != nil || len(lost) > 0 || time.Since(began) > 500*time.Millisecond {
			t.Errorf("lost %v, error %v after %v; want an answer of the next replica before half of the time is over", lost, err, time.Since(began))
		}
	})
}

// TestFanOutHedges has a replica that is fast until it hangs: what it does not answer soon is asked at the next one, and counted once.
func TestFanOutHedges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hanging bool
		var takes time.Duration
		var gaveUp int
		sometimes := func(ctx context.Context, req any) error {
			if hanging {
				err := hang(ctx, req)
				gaveUp++
				return err
			}
			time.Sleep(takes)
			return nil
		}
		fine := func(context.Context, any) error { return nil }
		r := routerOver(t, fakePeers{"a": sometimes, "b": fine, "c": fine}, "a", "b", "c")
		answers := 0
		call := func() time.Duration {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			lost, err := r.fanOut(ctx, "nearest", []uint32{0}, func(ctx context.Context, c kithv1.QueryServiceClient, _ []uint32) (func() error, error) {
				_, err := c.NearestUsers(ctx, &kithv1.NearestUsersRequest{})
				return func() error { answers++; return nil }, err
			})
			if err != nil || len(lost) > 0 {
				t.Fatalf("lost %v, error %v", lost, err)
			}
			return time.Since(began)
		}
		for i := range 200 {
			if takes = time.Millisecond; i < 20 { // so that the others are well below the 95th percentile
				takes = 2 * time.Millisecond
			}
			call()
		}
		hanging = true
		if took := call(); took > 3*time.Millisecond {
			t.Errorf("it took %v, want little more than usual", took)
		}
		if answers != 201 || gaveUp != 1 {
			t.Errorf("%d answers of 201 calls, %d calls given up; want 201 and 1", answers, gaveUp)
		}
		// Where all is slow, no more than the share is asked twice: then the call is left to its patience, and the node is asked last.
		slow := 0
		for range 40 {
			if call() > 100*time.Millisecond {
				slow++
			}
			r.setSilent("a", false)
		}
		if slow < 30 {
			t.Errorf("%d of 40 calls waited for the node that hangs; want all but those of the budget", slow)
		}
		if answers != 241 {
			t.Errorf("%d answers of 241 calls", answers)
		}
	})
}

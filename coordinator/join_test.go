package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// storeNode is a node with the event stores of all partitions, each with a log of its own.
type storeNode struct {
	grpc.ClientConnInterface
	stores []*store.Store

	mu    sync.Mutex
	index []uint64
	// steps counts those of joins that are left before the caller dies: behind the last of them if it is done, and instead of it if it is not.
	steps int
	done  bool
	// onCut is called before each cut that does not hold joins; it may be nil.
	onCut func()
	// holds counts the others.
	holds atomic.Int64
}

var errDied = fmt.Errorf("%w: the caller has died", wire.ErrInvalid)

func (n *storeNode) Self() string             { return "self" }
func (n *storeNode) Alive() []string          { return []string{"a"} }
func (n *storeNode) Addr(string) string       { return "" }
func (n *storeNode) Changed() <-chan struct{} { return nil }
func (n *storeNode) Conn(context.Context, string) (grpc.ClientConnInterface, error) {
	return n, nil
}

// storesOf returns a node with three partitions, and a router to it.
func storesOf(t *testing.T) (*storeNode, *Router) {
	t.Helper()
	const partitions = 3
	n := &storeNode{index: make([]uint64, partitions), steps: -1}
	set := &kithv1.SetShardMap{Epoch: 1}
	for p := range partitions {
		s, err := store.Open(store.Options{Dir: filepath.Join(t.TempDir(), fmt.Sprint(p))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		n.stores = append(n.stores, s)
		set.Partitions = append(set.Partitions, &kithv1.Replicas{Nodes: []string{"a"}})
	}
	log := NewMemoryLog()
	for _, c := range []*kithv1.ControlCommand{
		{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{ClusterId: "c", Partitions: uint32(partitions), ReplicationFactor: 1}}},
		{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: set}},
	} {
		if _, err := log.Propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return n, NewRouter(log, n, fakeLocal{}, time.Now)
}

func (n *storeNode) apply(p uint32, command []byte) (store.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index[p]++
	return n.stores[p].Apply(n.index[p], command)
}

// Invoke implements grpc.ClientConnInterface as package node answers.
func (n *storeNode) Invoke(_ context.Context, method string, args, reply any, _ ...grpc.CallOption) (err error) {
	switch req := args.(type) {
	case *kithv1.StepJoinRequest:
		return n.step(req, reply.(*kithv1.StepJoinResponse))
	case *kithv1.AppendBatchRequest:
		r, err := n.apply(req.Partition, store.EncodeBatch(nil, wire.EventsFromProto(req.Events)))
		resp := reply.(*kithv1.AppendBatchResponse)
		resp.Appended, resp.Duplicates = r.Appended, r.Duplicates
		for _, m := range r.Moved {
			resp.Moved = append(resp.Moved, &kithv1.MovedUser{User: m.User, To: m.To})
		}
		return err
	case *kithv1.LookUpUsersRequest:
		for _, user := range req.Users {
			u, err := n.stores[req.Partition].User(user)
			if err != nil {
				return err
			}
			resp := reply.(*kithv1.LookUpUsersResponse)
			resp.Users = append(resp.Users, &kithv1.UserState{User: user, Events: u.Events, State: kithv1.JoinState(u.State), To: u.To, Id: u.ID})
		}
		return nil
	case *kithv1.ApplyErasureRequest:
		r, err := n.apply(req.Partition, store.EncodeErase(nil, store.Erase{User: req.User, Time: req.TimeUnixMs, Account: req.Account, Secret: [32]byte{1}, Request: [16]byte(req.RequestId)}))
		resp := reply.(*kithv1.ApplyErasureResponse)
		for _, m := range r.Moved {
			resp.JoinedTo = m.To
		}
		for _, j := range r.Joined {
			resp.Joined = append(resp.Joined, &kithv1.UserState{User: j.Key, Id: j.ID})
		}
		x := r.Erasure
		resp.Index, resp.UserHash, resp.Events = x.Index, x.Hash[:], x.Events
		for _, k := range x.Joined {
			resp.Erased = append(resp.Erased, &kithv1.ErasedKey{UserHash: k.Hash[:], Partition: k.Partition, Index: k.Index, Events: k.Events})
		}
		return err
	case *kithv1.CutRequest:
		if req.HoldJoins {
			n.holds.Add(1)
		} else if n.onCut != nil {
			n.onCut()
		}
		m, resp := n.stores[req.Partition].Mark(), reply.(*kithv1.CutResponse)
		resp.Index, resp.Events, resp.JoinsBegun, resp.JoinsPending, resp.JoinsHidden = m.Index, m.Events, m.Joins, m.Pending, m.Hidden
		return nil
	}
	return fmt.Errorf("%w: unexpected call of %s", wire.ErrInvalid, method)
}

func (n *storeNode) step(req *kithv1.StepJoinRequest, resp *kithv1.StepJoinResponse) error {
	n.mu.Lock()
	last := n.steps == 0
	n.steps--
	n.mu.Unlock()
	if last && !n.done {
		return errDied
	}
	command := store.EncodeJoin(nil, store.Join{Step: store.JoinStep(req.Step), From: req.From, To: req.To, ID: req.Id})
	if req.Step == stepCopy {
		command = store.EncodeCopies(nil, req.From, req.To, req.Id, wire.EventsFromProto(req.Events))
	}
	if req.Step == stepErased {
		var keys []store.ErasedKey
		for _, k := range req.Erased {
			keys = append(keys, store.ErasedKey{Hash: store.Hash(k.UserHash), Partition: k.Partition, Index: k.Index, Events: k.Events})
		}
		command = store.EncodeErased(nil, req.From, req.To, req.Id, keys)
	}
	r, err := n.apply(req.Partition, command)
	if err == nil && last {
		err = errDied
	}
	resp.State, resp.To, resp.Id, resp.Events, resp.Fresh = kithv1.JoinState(r.Join.State), r.Join.To, r.Join.ID, r.Join.Events, r.Join.Fresh
	return err
}

// NewStream implements grpc.ClientConnInterface for histories that are copied.
func (n *storeNode) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &historyStream{n: n, ctx: ctx}, nil
}

type historyStream struct {
	grpc.ClientStream
	n    *storeNode
	ctx  context.Context //nolint:containedctx // of a stream
	req  *kithv1.HistoryRequest
	sent bool
}

func (s *historyStream) CloseSend() error { return nil }
func (s *historyStream) SendMsg(m any) error {
	s.req = m.(*kithv1.HistoryRequest)
	return nil
}

func (s *historyStream) RecvMsg(m any) error {
	if s.sent {
		return io.EOF
	}
	s.sent = true
	of := s.n.stores[s.req.Partition]
	events, err := of.History(s.ctx, s.req.User)
	u, aliasErr := of.Alias(s.req.User)
	switch {
	case errors.Join(err, aliasErr) != nil:
		return errors.Join(err, aliasErr)
	case s.req.Join > 0 && u.ID != s.req.Join:
		return wire.ErrErased
	case u.State == store.JoinSettled:
		return &wire.MovedError{To: u.To}
	case u.State == store.JoinPending && s.req.Join == 0:
		return wire.ErrJoining
	}
	m.(*kithv1.HistoryResponse).Events = wire.EventsToProto(events)
	return nil
}

// told returns what is counted up to a cut of each partition: item and time of each event, ascending.
func (n *storeNode) told(t *testing.T, cuts []*kithv1.CutResponse) (events []string) {
	t.Helper()
	for p, s := range n.stores {
		err := s.Scan(t.Context(), cuts[p].Index, "", func(_ string, of []fusion.Event) error {
			for _, e := range of {
				events = append(events, fmt.Sprint(e.Item, "@", e.Time))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(events)
	return events
}

// pending returns the joins that are under way.
func (n *storeNode) pending(t *testing.T) (all []store.Join) {
	t.Helper()
	for _, s := range n.stores {
		joins, err := s.PendingJoins(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, joins...)
	}
	return all
}

// browse appends events of some keys, each of which has one with the id "1", and returns what there is.
func browse(t *testing.T, r *Router, keys ...string) (all []string) {
	t.Helper()
	var events []fusion.Event
	for k, key := range keys {
		for i := range 3 {
			e := fusion.Event{ID: fmt.Sprint(1 + i*(k+1)), User: key, Item: fmt.Sprint("i", i), Behavior: fusion.View, Value: 1, Time: int64(10*k + i + 1)}
			events = append(events, e)
			all = append(all, fmt.Sprint(e.Item, "@", e.Time))
		}
	}
	if _, err := r.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// TestJoinAfterEveryCrash has the server that joins two keys die at each of its steps, before or behind it. Another goes through all of them again: nothing is lost, and nothing
// counts twice.
func TestJoinAfterEveryCrash(t *testing.T) {
	const from, to = "cookie1", "account"
	steps := 0
	for died := true; died; steps++ {
		for _, done := range []bool{false, true} {
			n, r := storesOf(t)
			if partition.Of(from, 3) == partition.Of(to, 3) {
				t.Fatal("both keys are of one partition")
			}
			want := browse(t, r, from, to)
			n.steps, n.done = steps, done
			_, err := r.join(t.Context(), from, to)
			died = errors.Is(err, errDied)
			if err != nil && !died {
				t.Fatal(err)
			}
			n.steps = -1
			// What comes meanwhile is the account's, once it is known that the key is.
			late := fusion.Event{ID: "late", User: from, Item: "late", Behavior: fusion.View, Value: 1, Time: 99}
			if _, err := r.Append(t.Context(), []fusion.Event{late}); err != nil {
				t.Fatal(err)
			}
			want = append(want, "late@99")
			for _, j := range n.pending(t) {
				if _, ended, err := r.endJoin(t.Context(), j.From, j.To, j.ID); err != nil || !ended {
					t.Fatalf("step %d, done %v: ended %v, %v", steps, done, ended, err)
				}
			}
			if o, err := r.join(t.Context(), from, to); err != nil || !o.known && !(died && steps == 0 && !done) {
				t.Fatalf("step %d, done %v: joined again %+v, %v", steps, done, o, err)
			}
			cuts, err := r.Cuts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := n.told(t, cuts); !slices.Equal(got, want) {
				t.Errorf("step %d, done %v: %v, want %v", steps, done, got, want)
			}
			key, events, err := r.followed(t.Context(), from, true)
			if err != nil || key != to || len(events) != len(want) {
				t.Errorf("step %d, done %v: %d events of %q, %v; want %d of %q", steps, done, len(events), key, err, len(want), to)
			}
		}
	}
	if steps < 6 {
		t.Errorf("%d steps, want those of begin, adopt, copies, complete, settle and none", steps)
	}
}

// TestEachCutCountsOnce joins cookies while the cut is being taken, between the answers of partitions.
func TestEachCutCountsOnce(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 7))
		n, r := storesOf(t)
		keys := []string{"account"}
		for i := range 6 {
			keys = append(keys, fmt.Sprint("cookie", i))
		}
		want := browse(t, r, keys...)
		left := slices.Clone(keys[1:])
		var mu sync.Mutex
		n.onCut = func() {
			mu.Lock()
			defer mu.Unlock()
			if len(left) == 0 || rng.IntN(3) > 0 {
				return
			}
			if _, err := r.join(t.Context(), left[0], "account"); err != nil {
				t.Error(err)
			}
			left = left[1:]
		}
		for len(left) > 0 {
			began := len(left)
			cuts, err := r.Cuts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := n.told(t, cuts); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %v, want %v", seed, got, want)
			}
			if held := n.holds.Swap(0) > 0; held && began == len(left) {
				t.Errorf("seed %d: joins are held though none was in the way", seed)
			}
		}
	}
}

// TestJoinsInACircle has several servers join keys to one another at once, which say the opposite of each other. No chain leads back, and no event is lost.
func TestJoinsInACircle(t *testing.T) {
	keys := []string{"a", "b", "c", "d"}
	for range 10 {
		n, r := storesOf(t)
		want := browse(t, r, keys...)
		var servers sync.WaitGroup
		for i, from := range keys {
			for _, hop := range []int{1, 2} {
				servers.Go(func() {
					if _, err := r.join(t.Context(), from, keys[(i+hop)%len(keys)]); err != nil && !errors.Is(err, errRefused) && !errors.Is(err, wire.ErrNotReady) {
						t.Error(err)
					}
				})
			}
		}
		servers.Wait()
		if left := n.pending(t); len(left) > 0 {
			t.Fatalf("left under way: %v", left)
		}
		ends := map[string]bool{}
		for _, key := range keys {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			end, err := r.end(ctx, key)
			cancel()
			if err != nil {
				t.Fatalf("end of %s: %v", key, err)
			}
			ends[end] = true
		}
		if len(ends) == 0 {
			t.Error("no end")
		}
		cuts, err := r.Cuts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := n.told(t, cuts); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// TestJoinUsersCounts joins many at once, and says what became of each.
func TestJoinUsersCounts(t *testing.T) {
	n, r := storesOf(t)
	browse(t, r, "ada", "bob", "c1", "c2", "c3")
	joins := []*kithv1.UserJoin{
		{From: "c1", To: "ada"}, {From: "c2", To: "ada"}, {From: "never", To: "ada"}, {From: "c3", To: "c2"}, {From: "ada", To: "c3"}, {From: "c1", To: "bob"}, {From: "c2", To: "c1"},
	}
	counts, err := r.JoinUsers(t.Context(), joins, true)
	if err != nil {
		t.Fatal(err)
	}
	if counts.Joined != 3 || counts.Events != 9 || counts.Absent != 1 || counts.Known != 1 || len(counts.Refused) != 2 {
		t.Errorf("%+v, want 3 joined with 9 events, one absent, one known and two refused", counts)
	}
	for i, both := range [][2]string{{`"ada"`, `"c3"`}, {`"ada"`, `"bob"`}} {
		if i < len(counts.Refused) && (!strings.Contains(counts.Refused[i].Reason.Error(), both[0]) || !strings.Contains(counts.Refused[i].Reason.Error(), both[1])) {
			t.Errorf("refusal %v, want one that names %v", counts.Refused[i].Reason, both)
		}
	}
	if _, err := r.Append(t.Context(), []fusion.Event{{ID: "new", User: "c3", Item: "new", Behavior: fusion.View, Value: 1}}); err != nil {
		t.Fatal(err)
	}
	key, events, err := r.followed(t.Context(), "c3", true)
	if err != nil || key != "ada" || len(events) != 13 {
		t.Errorf("%d events of %q, %v; want 13 of ada", len(events), key, err)
	}
	if err := r.sweepJoins(t.Context()); err != nil {
		t.Fatal(err)
	}
	for p, s := range n.stores {
		if m := s.Mark(); m.Hidden > 0 {
			t.Errorf("partition %d still has the events of %d keys", p, m.Hidden)
		}
	}
}

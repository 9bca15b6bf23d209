package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/client"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestReadsGoToAnotherNode(t *testing.T) {
	sick := (&fake{recommend: func(context.Context, int64) error { return status.Error(codes.Unavailable, "broken") }}).start(t)
	well := (&fake{}).start(t)
	c := open(t, []*fake{sick, well})
	for range 20 {
		if got := ask(t, c); got != well.addr {
			t.Fatalf("%s answered, want %s", got, well.addr)
		}
	}
	// It is left alone after the first fault: for a quarter of a second at least, in which the others are asked.
	if n := sick.calls.Load(); n > 3 {
		t.Errorf("a node that fails was asked %d times in 20 reads", n)
	}
}

func TestReadsTakeTurns(t *testing.T) {
	nodes := []*fake{(&fake{}).start(t), (&fake{}).start(t), (&fake{}).start(t)}
	c := open(t, nodes)
	eventually(t, func() error { // all are connected
		got := map[string]bool{}
		for range nodes {
			got[ask(t, c)] = true
		}
		if len(got) < len(nodes) {
			return fmt.Errorf("%d of %d nodes answered", len(got), len(nodes))
		}
		return nil
	})
	before := nodes[0].calls.Load()
	for range 30 {
		ask(t, c)
	}
	if n := nodes[0].calls.Load() - before; n != 10 {
		t.Errorf("one of three nodes got %d of 30 reads, want 10", n)
	}
}

// TestWhatIsRepeated tells for each error of a server how often it is asked.
func TestWhatIsRepeated(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason client.Reason
		again  bool
	}{
		{refusal(codes.Unavailable, "NO_LEADER", 0), client.NoLeader, true},
		{refusal(codes.Unavailable, "NOT_READY", 0), client.NotReady, true},
		{refusal(codes.ResourceExhausted, "OVERLOADED", time.Millisecond), client.Overloaded, true},
		{refusal(codes.ResourceExhausted, "RATE_LIMITED", time.Millisecond), client.RateLimited, true},
		{status.Error(codes.Unavailable, "going away"), "", true},
		{status.Error(codes.DeadlineExceeded, "too slow"), "", true},
		{status.Error(codes.ResourceExhausted, "message too large"), "", false},
		{refusal(codes.InvalidArgument, "INVALID", 0), client.Invalid, false},
		{refusal(codes.NotFound, "UNKNOWN_USER", 0), client.UnknownUser, false},
		{refusal(codes.FailedPrecondition, "NO_MODEL", 0), client.NoModel, false},
		{refusal(codes.PermissionDenied, "FORBIDDEN", 0), client.Forbidden, false},
		{refusal(codes.Unauthenticated, "UNAUTHENTICATED", 0), client.Unauthenticated, false},
		{status.Error(codes.Internal, "oops"), "", false},
	} {
		t.Run(fmt.Sprintf("%v %s", status.Code(c.err), c.reason), func(t *testing.T) {
			node := (&fake{recommend: func(_ context.Context, n int64) error {
				if n == 1 {
					return c.err
				}
				return nil
			}}).start(t)
			_, err := open(t, []*fake{node}).Recommend(t.Context(), client.Query{User: "u"})
			if c.again {
				if err != nil || node.calls.Load() != 2 {
					t.Errorf("asked %d times, error %v; want 2 and none", node.calls.Load(), err)
				}
				return
			}
			e := (*client.Error)(nil)
			if !errors.As(err, &e) || e.Code != status.Code(c.err) || e.Reason != c.reason || c.reason != "" && !errors.Is(err, c.reason) || node.calls.Load() != 1 {
				t.Errorf("asked %d times, error %#v; want 1 and reason %q", node.calls.Load(), err, c.reason)
			}
			if status.Code(err) != e.Code {
				t.Errorf("status.Code is %v, want %v", status.Code(err), e.Code)
			}
		})
	}
}

func TestRetryHint(t *testing.T) {
	const hint = 150 * time.Millisecond
	node := (&fake{recommend: func(_ context.Context, n int64) error {
		if n == 1 {
			return refusal(codes.ResourceExhausted, "OVERLOADED", hint)
		}
		return nil
	}}).start(t)
	c := open(t, []*fake{node})
	began := time.Now()
	ask(t, c)
	if took := time.Since(began); took < hint {
		t.Errorf("asked again after %v; the server asked for %v", took, hint)
	}

	// A hint beyond the deadline: waiting for it makes no sense.
	never := (&fake{recommend: func(context.Context, int64) error { return refusal(codes.ResourceExhausted, "RATE_LIMITED", time.Hour) }}).start(t)
	_, err := open(t, []*fake{never}).Recommend(t.Context(), client.Query{User: "u"})
	e := (*client.Error)(nil)
	if !errors.Is(err, client.RateLimited) || !errors.As(err, &e) || e.RetryIn != time.Hour || never.calls.Load() != 1 {
		t.Errorf("error %v after %d calls; want %v after 1", err, never.calls.Load(), client.RateLimited)
	}
}

func TestDeadlines(t *testing.T) {
	hang := func(ctx context.Context, _ int64) error {
		<-ctx.Done()
		return ctx.Err()
	}
	node := (&fake{recommend: hang}).start(t)
	c := open(t, []*fake{node}, client.WithTimeout(50*time.Millisecond, time.Minute))
	_, err := c.Recommend(t.Context(), client.Query{User: "u"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the default deadline", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Recommend(ctx, client.Query{User: "u"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a call whose context was canceled", err)
	}

	// One of two nodes hangs: the other is asked after the time of an attempt.
	well := (&fake{}).start(t)
	c = open(t, []*fake{node, well}, client.WithTimeout(time.Minute, 50*time.Millisecond))
	for range 4 {
		if got := ask(t, c); got != well.addr {
			t.Errorf("%s answered, want %s", got, well.addr)
		}
	}
}

func TestClosedClient(t *testing.T) {
	c, err := client.New(t.Context(), []string{"127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recommend(t.Context(), client.Query{User: "u"}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("error %v, want %v", err, client.ErrClosed)
	}
}

func TestNoServer(t *testing.T) {
	c, err := client.New(t.Context(), []string{"127.0.0.1:1"}, client.WithTimeout(200*time.Millisecond, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, err = c.Recommend(t.Context(), client.Query{User: "u"})
	if e := (*client.Error)(nil); !errors.As(err, &e) || e.Attempts < 2 || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v; want one that names the address, after several attempts", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		addrs   []string
		options []client.Option
		want    string
	}{
		{nil, nil, "no address"},
		{[]string{"kith"}, nil, "host:port"},
		{[]string{"kith:1"}, []client.Option{client.WithAPIKey("k")}, "WithTLS"},
		{[]string{"kith:1"}, []client.Option{client.WithHedging(2)}, "0 to 1"},
		{[]string{"kith:1"}, []client.Option{client.WithTimeout(0, 1)}, "timeout is 0s"},
		{[]string{"kith:1"}, []client.Option{client.WithRefresh(-1)}, "refresh"},
	} {
		if _, err := client.New(t.Context(), c.addrs, c.options...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%v) = %v, want an error with %q", c.addrs, err, c.want)
		}
	}
}

// TestAppendRepeatsWithTheSameIDs loses the first answer, after the events were stored.
func TestAppendRepeatsWithTheSameIDs(t *testing.T) {
	var got [][]*kithv1.Event
	node := (&fake{append: func(n int64, events []*kithv1.Event) (*kithv1.AppendResponse, error) {
		got = append(got, events)
		if n == 1 {
			return nil, refusal(codes.Unavailable, "UNKNOWN_OUTCOME", 0)
		}
		return &kithv1.AppendResponse{Duplicates: uint64(len(events))}, nil
	}}).start(t)
	events := []client.Event{{User: "u", Item: "i", Behavior: client.View}, {User: "u", Item: "i", Behavior: client.View}, {ID: "mine", User: "u", Item: "i", Behavior: client.View}}
	counts, err := open(t, []*fake{node}).Append(t.Context(), events)
	if err != nil || counts.Duplicates != 3 {
		t.Fatalf("Append = %+v, %v", counts, err)
	}
	if len(got) != 2 {
		t.Fatalf("sent %d times, want 2", len(got))
	}
	for i := range events {
		a, b := got[0][i], got[1][i]
		if a.Id == "" || a.Id != b.Id || a.TimeUnixMs == 0 || a.TimeUnixMs != b.TimeUnixMs || events[i].ID != a.Id {
			t.Errorf("event %d was sent as %v and as %v, and is %+v", i, a, b, events[i])
		}
	}
	if got[0][0].Id == got[0][1].Id || got[0][2].Id != "mine" {
		t.Errorf("ids are %q, %q, %q", got[0][0].Id, got[0][1].Id, got[0][2].Id)
	}
}

func TestAppendCutsMessages(t *testing.T) {
	node := (&fake{append: func(_ int64, events []*kithv1.Event) (*kithv1.AppendResponse, error) {
		resp := &kithv1.AppendResponse{}
		for i, e := range events {
			if e.Item == "" {
				resp.Rejected++
				resp.Rejections = append(resp.Rejections, &kithv1.RejectedEvent{Index: uint64(i), Reason: "no_item"})
			} else {
				resp.Appended++
			}
		}
		return resp, nil
	}}).start(t)
	events := make([]client.Event, 2500)
	for i := range events {
		events[i] = client.Event{User: "u", Item: "i", Behavior: client.View}
	}
	events[1], events[2400] = client.Event{User: "u"}, client.Event{User: "u"}
	c := open(t, []*fake{node})
	counts, err := c.Append(t.Context(), events)
	if err != nil || counts.Stored != 2498 || len(counts.Rejected) != 2 || counts.Rejected[0].Index != 1 || counts.Rejected[1].Index != 2400 || node.calls.Load() != 3 {
		t.Errorf("Append = %+v, %v in %d messages; want 2498 stored, 1 and 2400 rejected, 3 messages", counts, err, node.calls.Load())
	}
	large := client.Event{User: "u", Item: "i", Behavior: client.View, Context: map[string]string{"page": strings.Repeat("x", 2<<20)}}
	if _, err := c.Append(t.Context(), []client.Event{large}); !errors.Is(err, client.Invalid) || !strings.Contains(err.Error(), "shorten its context") {
		t.Errorf("error %v of an event of 2 MiB", err)
	}
}

func TestDeleteIsRepeatedOnlyWithAVersion(t *testing.T) {
	node := (&fake{}).start(t)
	c := open(t, []*fake{node}, client.WithWriteTimeout(300*time.Millisecond))
	if _, err := c.Delete(t.Context(), client.Products, []string{"p"}, 0); err == nil || node.calls.Load() != 1 {
		t.Errorf("without a version: error %v after %d attempts, want 1", err, node.calls.Load())
	}
	if _, err := c.Delete(t.Context(), client.Products, []string{"p"}, 7); err == nil || node.calls.Load() < 3 {
		t.Errorf("with a version: error %v after %d attempts, want several", err, node.calls.Load()-1)
	}
}

func TestCredentials(t *testing.T) {
	server, mine := encrypted(t)
	var shown []string
	node := (&fake{recommend: func(ctx context.Context, _ int64) error {
		md, _ := metadata.FromIncomingContext(ctx)
		shown = append(shown, md.Get("authorization")...)
		return nil
	}}).start(t, grpc.Creds(server))
	ask(t, open(t, []*fake{node}, client.WithTLS(mine), client.WithAPIKey("kith_key")))
	tokens := 0
	c := open(t, []*fake{node}, client.WithTLS(mine), client.WithTokenSource(func(context.Context) (string, error) {
		tokens++
		return fmt.Sprint("token", tokens), nil
	}))
	ask(t, c)
	ask(t, c)
	if want := []string{"Bearer kith_key", "Bearer token1", "Bearer token2"}; !slices.Equal(shown, want) {
		t.Errorf("the server was shown %q, want %q", shown, want)
	}
	without := mine.Clone()
	without.Certificates = nil
	c = open(t, []*fake{node}, client.WithTLS(without), client.WithTimeout(200*time.Millisecond, time.Second))
	if _, err := c.Recommend(t.Context(), client.Query{User: "u"}); err == nil {
		t.Error("a server that wants a certificate answered without")
	}
}

// TestFollowsMembers changes which nodes there are.
func TestFollowsMembers(t *testing.T) {
	release := make(chan struct{})
	first := (&fake{}).start(t)
	leaves := (&fake{recommend: func(context.Context, int64) error {
		<-release
		return nil
	}}).start(t)
	joins := (&fake{}).start(t)
	first.setMembers(first, leaves)
	leaves.setMembers(first, leaves)
	c := open(t, []*fake{first}, client.WithRefresh(20*time.Millisecond), client.WithTimeout(time.Minute, time.Minute))

	// A call that is under way at a node that leaves is answered.
	answered := make(chan error, 1)
	go func() {
		for leaves.calls.Load() == 0 {
			if _, err := c.Recommend(t.Context(), client.Query{User: "u"}); err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	eventually(t, func() error {
		if leaves.calls.Load() == 0 {
			return errors.New("a member that the cluster named was not asked")
		}
		return nil
	})
	first.setMembers(first, joins)
	leaves.setMembers(first, joins)
	joins.setMembers(first, joins)
	eventually(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // it may come to the node that leaves still
		defer cancel()
		r, err := c.Recommend(ctx, client.Query{User: "u"})
		if err == nil && r.Items[0].Item != joins.addr {
			err = errors.New("the member that joined was not asked")
		}
		return err
	})
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the call at the node that left: %v", err)
	}
	before := leaves.calls.Load()
	for range 10 {
		ask(t, c)
	}
	if n := leaves.calls.Load() - before; n != 0 {
		t.Errorf("the node that left was asked %d times", n)
	}
}

// TestHedging makes one of two nodes hang once latencies are known.
func TestHedging(t *testing.T) {
	hangs := make(chan struct{})
	hang := (&fake{recommend: func(ctx context.Context, _ int64) error {
		select {
		case <-hangs:
			<-ctx.Done() // until the attempt is given up
			return ctx.Err()
		default:
			return nil
		}
	}}).start(t)
	well := (&fake{}).start(t)
	c := open(t, []*fake{hang, well}, client.WithHedging(1), client.WithTimeout(time.Minute, time.Minute))
	for range 100 {
		ask(t, c)
	}
	close(hangs)
	before := hang.calls.Load()
	for range 50 {
		if got := ask(t, c); got != well.addr {
			t.Fatalf("%s answered, want %s", got, well.addr)
		}
	}
	// After it has lost three times in a row, perhaps counting those before, it is left alone for a quarter of a second at least, and then
	// for twice as long.
	if n := hang.calls.Load() - before; n < 1 || n > 10 {
		t.Errorf("the node that hangs was asked %d times in 50 reads, want about 3", n)
	}
}

func TestHedgesAreFew(t *testing.T) {
	nodes := []*fake{(&fake{}).start(t), (&fake{}).start(t)}
	c := open(t, nodes, client.WithHedging(0.02))
	const reads = 1000
	for range reads {
		ask(t, c)
	}
	if sent := nodes[0].calls.Load() + nodes[1].calls.Load(); sent > reads+reads/50 {
		t.Errorf("%d reads were sent %d times, more than 2%% more", reads, sent)
	}
}

package direct_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/node/direct"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop answers as it is told to by the first key of a request.
type shop struct {
	kithv1.UnimplementedQueryServiceServer
	kithv1.UnimplementedEventsServiceServer
	kept  []*kithv1.WeightedItem
	lists *kithv1.NeighborListsResponse
	// held is closed when a call that does not look at its context may end.
	held, holds chan struct{}
}

func failure(name string) error {
	switch name {
	case "leader":
		return fmt.Errorf("partition 3: %w", &wire.NotLeaderError{Leader: "n2"})
	case "busy":
		return &wire.OverloadedError{RetryIn: 10 * time.Millisecond}
	case "unknown":
		return fmt.Errorf("%w %q", wire.ErrUnknownUser, "u")
	case "deadline":
		return context.DeadlineExceeded
	case "status":
		return status.Error(codes.Unavailable, "away")
	case "text":
		return errors.New("something")
	}
	return nil
}

func (s *shop) ScoreItems(_ context.Context, req *kithv1.ScoreItemsRequest) (*kithv1.ScoreItemsResponse, error) {
	s.kept = req.History
	resp := &kithv1.ScoreItemsResponse{}
	for _, h := range req.History {
		resp.Items, resp.Scores = append(resp.Items, h.Item), append(resp.Scores, int64(h.Weight))
	}
	return resp, nil
}

func (s *shop) NeighborLists(context.Context, *kithv1.NeighborListsRequest) (*kithv1.NeighborListsResponse, error) {
	return s.lists, nil
}

// NearestUsers fails as the key says, or does not end for a while.
func (s *shop) NearestUsers(_ context.Context, req *kithv1.NearestUsersRequest) (*kithv1.NearestUsersResponse, error) {
	if req.ExcludeUser == "hold" {
		close(s.holds)
		<-s.held
	}
	return &kithv1.NearestUsersResponse{}, failure(req.ExcludeUser)
}

// List sends three messages, or fails after one.
func (s *shop) List(req *kithv1.ListRequest, stream grpc.ServerStreamingServer[kithv1.ListResponse]) error {
	for i := range 3 {
		if err := stream.Send(&kithv1.ListResponse{Events: []*kithv1.Event{{User: req.User, Item: fmt.Sprint(i)}}}); err != nil {
			return err
		}
		if err := failure(req.User); err != nil {
			return err
		}
	}
	if req.User == "hold" {
		close(s.holds)
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	return nil
}

// Append counts what is sent, or fails after the first message.
func (s *shop) Append(stream grpc.ClientStreamingServer[kithv1.AppendRequest, kithv1.AppendResponse]) error {
	resp := &kithv1.AppendResponse{}
	err := wire.Receive(stream, func(m *kithv1.AppendRequest) error {
		resp.Appended += uint64(len(m.Events))
		for _, e := range m.Events {
			if err := failure(e.User); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(resp)
}

func (s *shop) register(r grpc.ServiceRegistrar) {
	kithv1.RegisterQueryServiceServer(r, s)
	kithv1.RegisterEventsServiceServer(r, s)
}

// both runs a test over the network and without.
// With lending also where messages are lent.
func both(t *testing.T, lending bool, f func(t *testing.T, s *shop, conn grpc.ClientConnInterface)) {
	t.Run("direct", func(t *testing.T) {
		s := newShop()
		conn := direct.New()
		t.Cleanup(conn.Close)
		s.register(conn)
		f(t, s, conn)
	})
	if lending {
		t.Run("lending", func(t *testing.T) {
			s := newShop()
			conn := direct.New()
			t.Cleanup(conn.Close)
			s.register(conn.Lend())
			f(t, s, conn)
		})
	}
	t.Run("network", func(t *testing.T) {
		s := newShop()
		server := grpc.NewServer(grpc.UnaryInterceptor(wire.UnaryServer), grpc.StreamInterceptor(wire.StreamServer))
		s.register(server)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		t.Cleanup(func() { server.Stop(); serving.Wait() })
		conn, err := dial(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		f(t, s, conn)
	})
}

func dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(wire.UnaryClient), grpc.WithStreamInterceptor(wire.StreamClient))
}

func newShop() *shop { return &shop{held: make(chan struct{}), holds: make(chan struct{})} }

var failures = []string{"leader", "busy", "unknown", "deadline", "status", "text"}

// TestErrors: what fails with an error fails with the same over the network.
func TestErrors(t *testing.T) {
	told := map[string][]string{}
	both(t, true, func(t *testing.T, _ *shop, conn grpc.ClientConnInterface) {
		say := func(err error) {
			var leader *wire.NotLeaderError
			text := fmt.Sprintf("%v|%v|%v", status.Code(err), wire.RetryIn(err), wire.Retryable(err))
			if errors.As(err, &leader) {
				text += "|" + leader.Leader
			}
			for _, sentinel := range []error{wire.ErrOverloaded, wire.ErrUnknownUser, context.DeadlineExceeded, context.Canceled} {
				text += fmt.Sprint("|", errors.Is(err, sentinel))
			}
			told[t.Name()] = append(told[t.Name()], text+"|"+err.Error())
		}
		for _, name := range failures {
			_, err := kithv1.NewQueryServiceClient(conn).NearestUsers(t.Context(), &kithv1.NearestUsersRequest{ExcludeUser: name})
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			say(err)
			stream, err := kithv1.NewEventsServiceClient(conn).List(t.Context(), &kithv1.ListRequest{User: name})
			if err != nil {
				t.Fatal(err)
			}
			var got int
			err = wire.Receive(stream, func(*kithv1.ListResponse) error { got++; return nil })
			if err == nil || got != 1 {
				t.Fatalf("%s: %d messages and %v, want one and an error", name, got, err)
			}
			say(err)
			upload, err := kithv1.NewEventsServiceClient(conn).Append(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for { // until the other side tells that it has ended
				if err := upload.Send(&kithv1.AppendRequest{Events: []*kithv1.Event{{User: name}}}); err != nil {
					if !errors.Is(err, io.EOF) {
						t.Errorf("%s: send: %v, want the end", name, err)
					}
					break
				}
			}
			_, err = upload.CloseAndRecv()
			say(err)
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // the handler may begin, or not
			stream, err := kithv1.NewEventsServiceClient(conn).List(done, &kithv1.ListRequest{User: "u"})
			if err == nil {
				_, err = stream.Recv()
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("a stream of a context that has ended: %v", err)
			}
		}
		_, err := kithv1.NewQueryServiceClient(conn).ScoreItems(done, &kithv1.ScoreItemsRequest{})
		told[t.Name()] = append(told[t.Name()], fmt.Sprint(status.Code(errors.Unwrap(err)), errors.Is(err, context.Canceled)))
	})
	for _, way := range []string{"direct", "lending"} {
		if diff := gocmp.Diff(told["TestErrors/network"], told["TestErrors/"+way]); diff != "" {
			t.Errorf("errors differ (-network +%s):\n%s", way, diff)
		}
	}
	_, err := kithv1.NewModelServiceClient(direct.New()).ListModels(t.Context(), &kithv1.ListModelsRequest{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "ModelService/ListModels") {
		t.Errorf("a service that is not there: %v", err)
	}
}

// TestMessagesAreNotShared changes on one side what was sent to the other.
func TestMessagesAreNotShared(t *testing.T) {
	both(t, false, func(t *testing.T, s *shop, conn grpc.ClientConnInterface) {
		client := kithv1.NewQueryServiceClient(conn)
		req := &kithv1.ScoreItemsRequest{History: []*kithv1.WeightedItem{{Item: 7, Weight: 2}}}
		resp, err := client.ScoreItems(t.Context(), req)
		if err != nil || !slices.Equal(resp.Items, []uint32{7}) || !slices.Equal(resp.Scores, []int64{2}) {
			t.Fatalf("%v, %v", resp, err)
		}
		if req.History[0].Item = 8; s.kept[0].Item != 7 {
			t.Error("the handler has the caller's request")
		}
		s.lists = &kithv1.NeighborListsResponse{Lists: []*kithv1.NeighborList{{Ids: []uint32{1, 2}}}}
		lists, err := client.NeighborLists(t.Context(), &kithv1.NeighborListsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(s.lists, lists, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if lists.Lists[0].Ids[0] = 9; s.lists.Lists[0].Ids[0] != 1 {
			t.Error("the caller has the handler's response")
		}
	})
}

// TestStreams sends and receives several messages.
func TestStreams(t *testing.T) {
	both(t, true, func(t *testing.T, _ *shop, conn grpc.ClientConnInterface) {
		client := kithv1.NewEventsServiceClient(conn)
		stream, err := client.List(t.Context(), &kithv1.ListRequest{User: "u"})
		if err != nil {
			t.Fatal(err)
		}
		var items []string
		m := &kithv1.ListResponse{Events: []*kithv1.Event{{User: "old"}}} // what a message had is replaced
		for {
			if err = stream.RecvMsg(m); err != nil {
				break
			}
			for _, e := range m.Events {
				items = append(items, e.User+e.Item)
			}
		}
		if !errors.Is(err, io.EOF) || !slices.Equal(items, []string{"u0", "u1", "u2"}) {
			t.Errorf("%q, %v", items, err)
		}
		upload, err := client.Append(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := upload.Send(&kithv1.AppendRequest{}); err != nil {
				t.Fatal(err)
			}
			if err := upload.Send(&kithv1.AppendRequest{Events: []*kithv1.Event{{User: "u"}}}); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := upload.CloseAndRecv()
		if err != nil || resp.Appended != 5 {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

// TestCallsEndWithTheirContext: also where the handler does not look at it; and Close waits for the handler.
func TestCallsEndWithTheirContext(t *testing.T) {
	s := newShop()
	conn := direct.New()
	s.register(conn)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := kithv1.NewQueryServiceClient(conn).NearestUsers(ctx, &kithv1.NearestUsersRequest{ExcludeUser: "hold"})
		ended <- err
	}()
	<-s.holds
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context has ended: %v", err)
	}
	closed := make(chan struct{})
	go func() { conn.Close(); close(closed) }()
	for { // until Close has begun
		if _, err := kithv1.NewQueryServiceClient(conn).ScoreItems(t.Context(), &kithv1.ScoreItemsRequest{}); err != nil {
			if status.Code(err) != codes.Unavailable {
				t.Errorf("a call after Close: %v", err)
			}
			break
		}
	}
	select {
	case <-closed:
		t.Error("Close did not wait for a handler")
	default:
	}
	close(s.held)
	<-closed

	s = newShop()
	conn = direct.New()
	s.register(conn)
	ctx, cancel = context.WithCancel(t.Context())
	stream, err := kithv1.NewEventsServiceClient(conn).List(ctx, &kithv1.ListRequest{User: "hold"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	<-s.holds
	cancel()
	if _, err := stream.Recv(); !errors.Is(err, context.Canceled) {
		t.Errorf("a stream whose context has ended: %v", err)
	}
	conn.Close()
}

// BenchmarkCall compares ways to send 500 items and get 500 scores.
func BenchmarkCall(b *testing.B) {
	s := newShop()
	conn, lending := direct.New(), direct.New()
	defer conn.Close()
	defer lending.Close()
	s.register(conn)
	s.register(lending.Lend())
	server := grpc.NewServer(grpc.UnaryInterceptor(wire.UnaryServer), grpc.StreamInterceptor(wire.StreamServer))
	s.register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Stop()
	network, err := dial(listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = network.Close() }()
	req := &kithv1.ScoreItemsRequest{}
	for i := range 500 {
		req.History = append(req.History, &kithv1.WeightedItem{Item: uint32(i), Weight: 1})
	}
	for _, x := range []struct {
		name string
		conn grpc.ClientConnInterface
	}{{"lending", lending}, {"direct", conn}, {"network", network}} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := kithv1.NewQueryServiceClient(x.conn).ScoreItems(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// moodyServer is an event store that is not at its best: it never finishes messages of more than most events, and of the others
// it refuses every fifth before it stores them, and loses the answer of every seventh.
type moodyServer struct {
	kithv1.UnimplementedEventsServiceServer
	most int

	mu       sync.Mutex
	messages int
	largest  int
	seen     map[string]bool
	events   map[string][]string // user -> ids, in the order of their first arrival
}

func (m *moodyServer) Append(stream grpc.ClientStreamingServer[kithv1.AppendRequest, kithv1.AppendResponse]) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one message", wire.ErrInvalid)
	}
	if len(req.Events) > m.most {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages++
	m.largest = max(m.largest, proto.Size(req))
	if m.messages%5 == 0 {
		return wire.ErrNotReady
	}
	resp := &kithv1.AppendResponse{}
	for _, e := range req.Events {
		if m.seen[e.User+"\x00"+e.Id] {
			resp.Duplicates++
			continue
		}
		m.seen[e.User+"\x00"+e.Id] = true
		m.events[e.User] = append(m.events[e.User], e.Id)
		resp.Appended++
	}
	if m.messages%7 == 0 {
		return wire.ErrUnknownOutcome
	}
	return stream.SendAndClose(resp)
}

// serve serves what register adds until the test ends, and returns the address.
func serve(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(node.ServerOptions()...)
	register(s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) }) // ends by Stop
	t.Cleanup(serving.Wait)
	t.Cleanup(s.Stop)
	return ln.Addr().String()
}

// serveEvents serves events until the test ends, and returns a client.
func serveEvents(t *testing.T, events kithv1.EventsServiceServer) *client {
	t.Helper()
	addr := serve(t, func(s *grpc.Server) { kithv1.RegisterEventsServiceServer(s, events) })
	c, err := (&remote{addrs: []string{addr}, timeout: patience}).open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// TestSendToMoodyServer checks that every event is stored, those of a user in their order.
func TestSendToMoodyServer(t *testing.T) {
	moody := &moodyServer{most: 1000, seen: map[string]bool{}, events: map[string][]string{}}
	c := serveEvents(t, moody)

	const events, users = 20_000, 50
	sending := &sender{client: c, patience: 300 * time.Millisecond, stored: func(int64) {}}
	total, err := sending.send(t.Context(), 3, func(yield func([]fusion.Event) error) error {
		batch := make([]fusion.Event, 700) // reused
		for n := 0; n < events; {
			batch = batch[:0]
			for range min(700, events-n) {
				batch = append(batch, fusion.Event{ID: fmt.Sprintf("%06d", n), User: fmt.Sprint("u", n%users), Item: "i", Behavior: fusion.View, Value: 1})
				n++
			}
			if err := yield(batch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total.Appended+total.Duplicates != events || total.Refused != 0 {
		t.Errorf("got %+v, want %d events", total, events)
	}
	if moody.largest > 1<<20 {
		t.Errorf("a message of %d bytes; want at most 1 MiB", moody.largest)
	}
	for user, ids := range moody.events {
		if len(ids) != events/users {
			t.Errorf("user %s has %d events, want %d", user, len(ids), events/users)
		}
		for i := 1; i < len(ids); i++ {
			if ids[i] <= ids[i-1] {
				t.Fatalf("user %s: event %s came after %s", user, ids[i], ids[i-1])
			}
		}
	}
}

// busyServer refuses each message twice, and asks for a pause.
type busyServer struct {
	kithv1.UnimplementedEventsServiceServer
	pause time.Duration

	mu      sync.Mutex
	refused map[string]time.Time // by the first event of the message: the last time
	tries   map[string]int
	stored  int
	early   []time.Duration // pauses that were too short
}

func (b *busyServer) Append(stream grpc.ClientStreamingServer[kithv1.AppendRequest, kithv1.AppendResponse]) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	first := req.Events[0].Id
	if last, ok := b.refused[first]; ok && time.Since(last) < b.pause {
		b.early = append(b.early, time.Since(last))
	}
	b.tries[first]++
	if b.tries[first] <= 2 {
		b.refused[first] = time.Now()
		return &wire.OverloadedError{RetryIn: b.pause}
	}
	b.stored += len(req.Events)
	return stream.SendAndClose(&kithv1.AppendResponse{Appended: uint64(len(req.Events))})
}

// TestSendWaitsAsTold checks that a server that is overloaded gets the pause that it asks for, and that nothing is lost.
func TestSendWaitsAsTold(t *testing.T) {
	busy := &busyServer{pause: 3 * retryPause, refused: map[string]time.Time{}, tries: map[string]int{}}
	c := serveEvents(t, busy)
	const events = 3 * messageEvents
	sending := &sender{client: c, stored: func(int64) {}}
	total, err := sending.send(t.Context(), 2, func(yield func([]fusion.Event) error) error {
		for n := range events {
			e := fusion.Event{ID: fmt.Sprint(n), User: fmt.Sprint("u", n%2), Item: "i", Behavior: fusion.View, Value: 1}
			if err := yield([]fusion.Event{e}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || total.Appended != events || busy.stored != events {
		t.Errorf("sent %+v and stored %d, want %d events: %v", total, busy.stored, events, err)
	}
	if len(busy.early) > 0 {
		t.Errorf("came back after %v, asked to wait for %v", busy.early, busy.pause)
	}
}

// TestSendCutsByBytes checks that large events make small messages.
func TestSendCutsByBytes(t *testing.T) {
	lanes := []chan message{make(chan message, 1000)}
	long := string(make([]byte, 4000))
	err := (&sender{}).distribute(t.Context(), lanes, func(yield func([]fusion.Event) error) error {
		for n := range 1000 {
			e := fusion.Event{ID: fmt.Sprint(n), User: "u", Item: "i", Behavior: fusion.View, Context: map[string]string{"page": long}}
			if err := yield([]fusion.Event{e}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	close(lanes[0])
	n, messages := 0, 0
	for m := range lanes[0] {
		if size := proto.Size(&kithv1.AppendRequest{Events: m.events}); size > messageBytes {
			t.Errorf("a message of %d bytes, want at most %d", size, messageBytes)
		}
		n += len(m.events)
		messages++
	}
	if n != 1000 || messages < 4 {
		t.Errorf("%d events in %d messages, want 1000 in 4 or more", n, messages)
	}
}

package main

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Bounds of a message of EventsService.Append, with some room below those of the service.
const (
	messageEvents = 8_000
	messageBytes  = 960 << 10
)

// sent counts what became of events.
type sent struct {
	Appended   uint64
	Duplicates uint64
	Refused    uint64
	// Refusal is the first one, for people.
	Refusal string
}

// sender stores events over several streams at once. All events of a user go through the same one, in the order in
// which they were given.
type sender struct {
	client *client
	// stored is told, now and then and by any goroutine, how many events have been acknowledged.
	stored func(n int64)

	mu    sync.Mutex
	total sent
	acks  int64
}

// send stores all events that produce gives to its yield, and returns when they are durable. The events may be reused
// when yield returns. An event is sent again until it is acknowledged: its id makes that harmless.
//
// Memory: three messages for each stream; a slow cluster holds up produce.
func (s *sender) send(ctx context.Context, streams int, produce func(yield func([]fusion.Event) error) error) (sent, error) {
	g, ctx := errgroup.WithContext(ctx)
	lanes := make([]chan []*kithv1.Event, streams)
	for i := range lanes {
		lanes[i] = make(chan []*kithv1.Event, 1) // one waits while one is on its way
		g.Go(func() error {
			for batch := range lanes[i] {
				if err := s.append(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer func() {
			for _, lane := range lanes {
				close(lane)
			}
		}()
		return distribute(ctx, lanes, produce)
	})
	err := g.Wait()
	return s.total, err
}

// distribute cuts events into messages, each of the users of one lane.
func distribute(ctx context.Context, lanes []chan []*kithv1.Event, produce func(yield func([]fusion.Event) error) error) error {
	seed := maphash.MakeSeed()
	batches := make([][]*kithv1.Event, len(lanes))
	sizes := make([]int, len(lanes))
	flush := func(lane int) error {
		if len(batches[lane]) == 0 {
			return nil
		}
		select {
		case lanes[lane] <- batches[lane]:
		case <-ctx.Done():
			return ctx.Err()
		}
		batches[lane], sizes[lane] = nil, 0
		return nil
	}
	err := produce(func(events []fusion.Event) error {
		for i := range events {
			e := wire.EventToProto(&events[i])
			bytes := protowire.SizeTag(1) + protowire.SizeBytes(proto.Size(e))
			lane := int(maphash.String(seed, e.User) % uint64(len(lanes)))
			if len(batches[lane]) == messageEvents || sizes[lane]+bytes > messageBytes {
				if err := flush(lane); err != nil {
					return err
				}
			}
			batches[lane], sizes[lane] = append(batches[lane], e), sizes[lane]+bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	for lane := range lanes {
		if err := flush(lane); err != nil {
			return err
		}
	}
	return nil
}

// append stores one message.
func (s *sender) append(ctx context.Context, batch []*kithv1.Event) error {
	var resp *kithv1.AppendResponse
	err := s.client.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream in any case
		stream, err := kithv1.NewEventsServiceClient(conn).Append(ctx)
		if err != nil {
			return err
		}
		_ = stream.Send(&kithv1.AppendRequest{Events: batch}) // CloseAndRecv tells why
		resp, err = stream.CloseAndRecv()
		return err
	})
	if err != nil {
		return fmt.Errorf("store %d events: %w", len(batch), err)
	}
	s.mu.Lock()
	s.total.Appended += resp.Appended
	s.total.Duplicates += resp.Duplicates
	s.total.Refused += resp.Rejected
	if r := resp.Rejections; len(r) > 0 && r[0].Index < uint64(len(batch)) && s.total.Refusal == "" {
		r := r[0]
		s.total.Refusal = fmt.Sprintf("event %q of user %q: %s", batch[r.Index].Id, batch[r.Index].User, r.Detail)
	}
	s.acks += int64(len(batch))
	acks := s.acks
	s.mu.Unlock()
	s.stored(acks)
	return nil
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/source/checkpoint"
)

const (
	// messageEvents and messageBytes bound a message of EventsService.Append, with some room below its own bounds. Every
	// message costs each partition a sync of its log, so large ones are several times as fast.
	messageEvents = 8000
	messageBytes  = 960 << 10
	// smallMessage is the number of events that is not cut any further.
	smallMessage = 250
	// storeTimeout suits disks that sync in well under a second.
	storeTimeout = 2 * attemptTimeout
)

// sent counts what became of events.
type sent struct {
	Appended   uint64
	Duplicates uint64 // also those stored by an attempt whose answer was lost
	Refused    uint64
	// Erased were not stored, as their user was erased.
	Erased uint64
	// Refusal is the first one, for people.
	Refusal string
}

// sender stores events over several streams at once. All events of a user go through the same one, in the order in
// which they were given.
type sender struct {
	client *client
	// patience is how long a message is tried before it is cut; 0 means storeTimeout.
	patience time.Duration
	// stored is told, now and then and by any goroutine, how many events have been acknowledged.
	stored func(n int64)
	// part is told of each batch of events that produce gives, and returns what is told when they are stored. May be nil.
	part func(events int) (*checkpoint.Part, error)
	// hold is how long an event may wait for others to fill its message, as long as produce goes on; 0 means any time.
	hold time.Duration
	// drain is for produce while it runs: it waits until all events that were given are acknowledged.
	drain func() error

	mu    sync.Mutex
	total sent
	acks  int64
}

// message is a number of events that are sent at once, and the parts that they are of.
type message struct {
	events []*kithv1.Event
	bytes  int
	parts  []share
	passed chan<- struct{} // instead of events: told that the messages before have been dealt with
}

// share is the number of events of a message that are of a part.
type share struct {
	part *checkpoint.Part
	n    int
}

// send stores all events that produce gives to its yield, and returns when they are durable. The events may be reused
// when yield returns. An event is sent again until it is acknowledged: its id makes that harmless.
//
// Memory: three messages for each stream; a slow cluster holds up produce.
func (s *sender) send(ctx context.Context, streams int, produce func(yield func([]fusion.Event) error) error) (sent, error) {
	g, ctx := errgroup.WithContext(ctx)
	lanes := make([]chan message, streams)
	for i := range lanes {
		lanes[i] = make(chan message, 1) // one waits while one is on its way
		g.Go(func() error {
			for m := range lanes[i] {
				if m.passed != nil {
					m.passed <- struct{}{}
					continue
				}
				if err := s.append(ctx, m.events); err != nil {
					return err
				}
				if err := s.done(m); err != nil {
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
		return s.distribute(ctx, lanes, produce)
	})
	err := g.Wait()
	return s.total, err
}

// done tells the parts of a message that it is stored. After an event was refused nothing is done any more: which of several
// messages it was in does not matter, since the run ends with an error.
func (s *sender) done(m message) error {
	s.mu.Lock()
	refused := s.total.Refused > 0
	s.mu.Unlock()
	if refused {
		return nil
	}
	for _, p := range m.parts {
		if err := p.part.Done(p.n); err != nil {
			return err
		}
	}
	return nil
}

// distribute cuts events into messages, each of the users of one lane.
func (s *sender) distribute(ctx context.Context, lanes []chan message, produce func(yield func([]fusion.Event) error) error) error {
	seed := maphash.MakeSeed()
	waiting := make([]message, len(lanes))
	flush := func(lane int) error {
		if len(waiting[lane].events) == 0 {
			return nil
		}
		select {
		case lanes[lane] <- waiting[lane]:
		case <-ctx.Done():
			return ctx.Err()
		}
		waiting[lane] = message{}
		return nil
	}
	flushAll := func() error {
		for lane := range lanes {
			if err := flush(lane); err != nil {
				return err
			}
		}
		return nil
	}
	s.drain = func() error {
		if err := flushAll(); err != nil {
			return err
		}
		return barrier(ctx, lanes)
	}
	flushed := time.Now()
	err := produce(func(events []fusion.Event) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var part *checkpoint.Part
		if s.part != nil {
			var err error
			if part, err = s.part(len(events)); err != nil {
				return err
			}
		}
		for i := range events {
			e := wire.EventToProto(&events[i])
			bytes := protowire.SizeTag(1) + protowire.SizeBytes(proto.Size(e))
			lane := int(maphash.String(seed, e.User) % uint64(len(lanes)))
			m := &waiting[lane]
			if len(m.events) == messageEvents || m.bytes+bytes > messageBytes {
				if err := flush(lane); err != nil {
					return err
				}
			}
			m.add(e, bytes, part)
		}
		if s.hold > 0 && time.Since(flushed) >= s.hold {
			flushed = time.Now()
			return flushAll()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flushAll()
}

// barrier waits until all messages in the lanes have been dealt with.
func barrier(ctx context.Context, lanes []chan message) error {
	passed := make(chan struct{}, len(lanes)) // no lane waits
	for _, lane := range lanes {
		select {
		case lane <- message{passed: passed}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for range lanes {
		select {
		case <-passed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err() // none of them means that no event was turned away
}

func (m *message) add(e *kithv1.Event, bytes int, part *checkpoint.Part) {
	m.events, m.bytes = append(m.events, e), m.bytes+bytes
	switch last := len(m.parts) - 1; {
	case part == nil:
	case last >= 0 && m.parts[last].part == part:
		m.parts[last].n++
	default:
		m.parts = append(m.parts, share{part, 1})
	}
}

// append stores one message. What is not stored in time is cut in two: servers give up on entries of their logs that take
// long, so on slow disks a large message might never get through.
func (s *sender) append(ctx context.Context, batch []*kithv1.Event) error {
	deadline := time.Now().Add(s.client.timeout)
	for {
		resp, err := s.try(ctx, batch)
		late := errors.Is(err, context.DeadlineExceeded)
		switch {
		case err == nil:
			s.count(batch, resp)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case late && len(batch) > smallMessage:
			half := len(batch) / 2
			if err := s.append(ctx, batch[:half]); err != nil {
				return err
			}
			return s.append(ctx, batch[half:])
		case !late && !wire.Retryable(err) || time.Now().After(deadline):
			return fmt.Errorf("store %s: %w", plural(len(batch), "event", "events"), err)
		}
	}
}

// try sends one message to one server after the other for a while.
func (s *sender) try(ctx context.Context, batch []*kithv1.Event) (resp *kithv1.AppendResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.patience, storeTimeout))
	defer cancel() // ends the stream in any case
	err = s.client.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := kithv1.NewEventsServiceClient(conn).Append(ctx)
		if err != nil {
			return err
		}
		_ = stream.Send(&kithv1.AppendRequest{Events: batch}) // CloseAndRecv tells why
		resp, err = stream.CloseAndRecv()
		return err
	})
	return resp, err
}

// count adds up what became of a message.
func (s *sender) count(batch []*kithv1.Event, resp *kithv1.AppendResponse) {
	s.mu.Lock()
	s.total.Appended += resp.Appended
	s.total.Duplicates += resp.Duplicates
	s.total.Refused += resp.Rejected
	s.total.Erased += resp.Erased
	if r := resp.Rejections; len(r) > 0 && r[0].Index < uint64(len(batch)) && s.total.Refusal == "" {
		r := r[0]
		s.total.Refusal = fmt.Sprintf("event %q of user %q: %s", batch[r.Index].Id, batch[r.Index].User, r.Detail)
	}
	s.acks += int64(len(batch))
	acks := s.acks
	s.mu.Unlock()
	s.stored(acks)
}

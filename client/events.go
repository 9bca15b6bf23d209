package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// messageEvents is the number of events of which a server names every one that it refuses.
	messageEvents = 1000
	// messageBytes leaves some room below the 1 MiB of a message.
	messageBytes = 960 << 10
)

// The behaviors that kith knows. Others are names of the shop's own.
const (
	View     = "view"
	Search   = "search"
	Cart     = "cart"
	Purchase = "purchase"
	Cancel   = "cancel"
	Rating   = "rating"
	// Impression and Click tell what became of an answer; see Recommendations.
	Impression = "impression"
	Click      = "click"
)

// Event is one observation of a user and an item.
type Event struct {
	// ID makes the event idempotent: a second one of the same user and id changes nothing. Empty means that the client makes one, of 128
	// random bits.
	ID string
	// User and Item are keys of 1 to 256 bytes.
	User, Item string
	// Behavior is View, Purchase, ..., or a name of the shop's own.
	Behavior string
	// Value is a rating or quantity; nil means 1.
	Value *float64
	// Time is when it was; the zero time means now.
	Time time.Time
	// Context are free facts, such as the page.
	Context map[string]string
}

// complete gives an event an id and a time, once: all attempts to store it have the same ones.
func (e *Event) complete() {
	if e.ID == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		e.ID = hex.EncodeToString(b[:])
	}
	if e.Time.IsZero() {
		e.Time = time.Now().Truncate(time.Millisecond)
	}
}

func (e *Event) proto() *kithv1.Event {
	return &kithv1.Event{Id: e.ID, User: e.User, Item: e.Item, Behavior: e.Behavior, Value: e.Value, TimeUnixMs: e.Time.UnixMilli(), Context: e.Context}
}

func eventOf(m *kithv1.Event) Event {
	e := Event{ID: m.Id, User: m.User, Item: m.Item, Behavior: m.Behavior, Value: m.Value, Context: m.Context}
	if m.TimeUnixMs != 0 {
		e.Time = time.UnixMilli(m.TimeUnixMs)
	}
	return e
}

// Appended counts what became of events.
type Appended struct {
	// Stored now, and stored before.
	Stored, Duplicates uint64
	// Erased were not stored, since their user was erased after their time.
	Erased uint64
	// Rejected are not stored, and never will be.
	Rejected []Rejection
}

// Rejection says why an event or a record was refused.
type Rejection struct {
	// Index is its position in the argument.
	Index int
	// Code is stable, such as no_user; empty for records. Detail is for people.
	Code, Detail string
}

// Error implements error.
func (r Rejection) Error() string { return r.Detail }

// Append stores events: when it returns they survive the loss of a minority of the replicas. Events without id or time get one, in
// place. After an error some events may be stored and others not; calling again with the same slice stores none twice. The counts are
// those of the messages before the error.
//
// Many events at once are far cheaper than one; see also [Client.NewAppender].
func (c *Client) Append(ctx context.Context, events []Event) (Appended, error) {
	var total Appended
	for i := range events {
		events[i].complete()
	}
	for done := 0; done < len(events); {
		batch, err := message(events[done:])
		if err != nil {
			return total, err
		}
		resp, err := c.append(ctx, batch)
		if err != nil {
			return total, err
		}
		total.add(resp, done)
		done += len(batch)
	}
	return total, nil
}

func (a *Appended) add(resp *kithv1.AppendResponse, first int) {
	a.Stored += resp.Appended
	a.Duplicates += resp.Duplicates
	a.Erased += resp.Erased
	for _, r := range resp.Rejections {
		a.Rejected = append(a.Rejected, Rejection{Index: first + int(r.Index), Code: r.Reason, Detail: r.Detail})
	}
}

// message returns the first events, as many as go into a message.
func message(events []Event) (batch []*kithv1.Event, err error) {
	bytes := 0
	for i := range min(len(events), messageEvents) {
		e := events[i].proto()
		n := protowire.SizeTag(1) + protowire.SizeBytes(proto.Size(e))
		if n > messageBytes {
			return nil, tooLarge(&events[i], n)
		}
		if bytes += n; bytes > messageBytes {
			break
		}
		batch = append(batch, e)
	}
	return batch, nil
}

func tooLarge(e *Event, bytes int) error {
	return fmt.Errorf("append: event %q of user %q: %w: it has %d bytes; want at most %d: shorten its context", e.ID, e.User, Invalid, bytes, messageBytes)
}

// append stores one message.
func (c *Client) append(ctx context.Context, batch []*kithv1.Event) (*kithv1.AppendResponse, error) {
	return call(ctx, c, c.write("append"), func(ctx context.Context, conn *grpc.ClientConn) (*kithv1.AppendResponse, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream in any case
		stream, err := kithv1.NewEventsServiceClient(conn).Append(ctx)
		if err != nil {
			return nil, err
		}
		_ = stream.Send(&kithv1.AppendRequest{Events: batch}) // CloseAndRecv tells why
		return stream.CloseAndRecv()
	})
}

// Events returns the stored events of a user, by time and id. With stale, any replica is asked: the newest may be missing.
func (c *Client) Events(ctx context.Context, user string, stale bool) ([]Event, error) {
	p := c.read("events", kithv1.EventsService_List_FullMethodName)
	return call(ctx, c, p, func(ctx context.Context, conn *grpc.ClientConn) (events []Event, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := kithv1.NewEventsServiceClient(conn).List(ctx, &kithv1.ListRequest{User: user, Stale: stale})
		err = receive(stream, err, func(m *kithv1.ListResponse) {
			for _, e := range m.Events {
				events = append(events, eventOf(e))
			}
		})
		return events, err
	})
}

// receive calls f with each message of a stream that was opened without err, until it ends, which is no error, or fails.
func receive[M any](stream grpc.ServerStreamingClient[M], err error, f func(*M)) error {
	for err == nil {
		var m *M
		if m, err = stream.Recv(); err == nil {
			f(m)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

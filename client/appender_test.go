package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kith-io/kith/client"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// shelf is a node that keeps events, and the sizes of their messages.
type shelf struct {
	mu     sync.Mutex
	events []*kithv1.Event
	sizes  []int
}

func (s *shelf) append(_ int64, events []*kithv1.Event) (*kithv1.AppendResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, len(events))
	resp := &kithv1.AppendResponse{}
	for i, e := range events {
		if e.Item == "bad" {
			resp.Rejected++
			resp.Rejections = append(resp.Rejections, &kithv1.RejectedEvent{Index: uint64(i), Reason: "bad_item", Detail: "bad item"})
			continue
		}
		resp.Appended++
		s.events = append(s.events, e)
	}
	return resp, nil
}

func view(i int) client.Event {
	return client.Event{User: "u", Item: fmt.Sprint("i", i), Behavior: client.View}
}

func add(t *testing.T, a *client.Appender, events ...client.Event) {
	t.Helper()
	for _, e := range events {
		if err := a.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAppender(t *testing.T) {
	kept := &shelf{}
	c := open(t, []*fake{(&fake{append: kept.append}).start(t)})
	var lost []string
	a, err := c.NewAppender(t.Context(), client.AppenderConfig{Batch: 10, Interval: time.Hour, Lost: func(e client.Event, err error) {
		lost = append(lost, fmt.Sprintf("%s %v", e.Item, err))
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		add(t, a, view(i))
	}
	eventually(t, func() error { // full batches go at once
		if s := a.Stats(); s.Stored < 20 {
			return fmt.Errorf("%d of 20 events of full batches are stored", s.Stored)
		}
		return nil
	})
	if s := a.Stats(); s.Stored != 20 {
		t.Errorf("%d events are stored; 5 shall wait for an hour", s.Stored)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Stored != 25 {
		t.Errorf("%d events are stored after Flush, want 25", s.Stored)
	}
	add(t, a, view(25), client.Event{User: "u", Item: "bad"}, view(26))
	err = a.Close(t.Context())
	if r := (client.Rejection{}); !errors.As(err, &r) || r.Code != "bad_item" || !strings.Contains(err.Error(), "1 of 28 events") {
		t.Errorf("Close = %v, want the rejection of one event of 28", err)
	}
	if want := []string{"bad bad item"}; !slices.Equal(lost, want) {
		t.Errorf("lost %q, want %q", lost, want)
	}
	if want := (client.AppenderStats{Added: 28, Stored: 27, Lost: 1}); a.Stats() != want {
		t.Errorf("stats are %+v, want %+v", a.Stats(), want)
	}
	if want := []int{10, 10, 5, 3}; !slices.Equal(kept.sizes, want) {
		t.Errorf("messages of %v events, want %v", kept.sizes, want)
	}
	for i, e := range kept.events {
		if e.Item != fmt.Sprint("i", i) {
			t.Fatalf("event %d is of %s", i, e.Item)
		}
	}
	if err := a.Add(t.Context(), view(1)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Add after Close: %v, want %v", err, client.ErrClosed)
	}
}

func TestAppenderSendsInTime(t *testing.T) {
	kept := &shelf{}
	c := open(t, []*fake{(&fake{append: kept.append}).start(t)})
	a, err := c.NewAppender(t.Context(), client.AppenderConfig{Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // the timer is for the first event of each batch
		add(t, a, view(i))
		eventually(t, func() error {
			if s := a.Stats(); s.Stored != uint64(i+1) {
				return fmt.Errorf("%d events are stored, want %d", s.Stored, i+1)
			}
			return nil
		})
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAppenderIsBounded(t *testing.T) {
	release := make(chan struct{})
	node := (&fake{append: func(_ int64, events []*kithv1.Event) (*kithv1.AppendResponse, error) {
		<-release
		return &kithv1.AppendResponse{Appended: uint64(len(events))}, nil
	}}).start(t)
	a, err := open(t, []*fake{node}).NewAppender(t.Context(), client.AppenderConfig{Batch: 2, Queue: 4})
	if err != nil {
		t.Fatal(err)
	}
	add(t, a, view(0), view(1), view(2), view(3))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Add(ctx, view(4)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Add to a full queue: %v, want that the deadline is over", err)
	}
	close(release)
	add(t, a, view(4))
	if err := a.Close(t.Context()); err != nil || a.Stats().Stored != 5 {
		t.Errorf("Close = %v, stats %+v; want 5 stored", err, a.Stats())
	}
}

// TestAppenderGivesUp closes an appender whose cluster refuses all.
func TestAppenderGivesUp(t *testing.T) {
	node := (&fake{append: func(int64, []*kithv1.Event) (*kithv1.AppendResponse, error) {
		return nil, refusal(codes.Unavailable, "NO_MAJORITY", 0)
	}}).start(t)
	var lost []client.Event
	a, err := open(t, []*fake{node}).NewAppender(t.Context(), client.AppenderConfig{Batch: 2, Lost: func(e client.Event, err error) {
		if e := (*client.Error)(nil); !errors.As(err, &e) {
			t.Errorf("lost for %v, want an error of the client", err)
		}
		lost = append(lost, e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	add(t, a, view(0), view(1), view(2))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); err == nil || !strings.Contains(err.Error(), "3 of 3 events were not stored") {
		t.Errorf("Close = %v, want that 3 of 3 events were not stored", err)
	}
	if len(lost) != 3 || lost[0].ID == "" {
		t.Errorf("lost %v, want 3 events with ids", lost)
	}
}

func TestAppenderConfigIsChecked(t *testing.T) {
	c := open(t, []*fake{(&fake{}).start(t)})
	for _, cfg := range []client.AppenderConfig{{Batch: 1001}, {Batch: -1}, {Queue: -1}, {Interval: -1}} {
		if _, err := c.NewAppender(t.Context(), cfg); err == nil {
			t.Errorf("NewAppender(%+v) takes it", cfg)
		}
	}
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// queryDeadline is what a query may take, all tries together.
	queryDeadline = time.Second
	// queryTry bounds one try of a query, so that a server that hangs leaves time to ask another.
	queryTry = 400 * time.Millisecond
	// callDeadline is what an append or a read of a history may take, and callTry one try of it.
	callDeadline = 15 * time.Second
	callTry      = 4 * time.Second
	// retryPause is the pause after all servers were asked in vain.
	retryPause = 20 * time.Millisecond
)

// client calls whichever server answers, by the rules of the API: what may be tried again is tried again, at the next
// server. It is safe for concurrent use.
type client struct {
	conns []*grpc.ClientConn
	next  atomic.Int64
}

// call tries f on one server after the other until one answers, ctx is done or an error is final. f must be safe to
// repeat.
func (c *client) call(ctx context.Context, try time.Duration, f func(ctx context.Context, conn *grpc.ClientConn) error) error {
	at := c.next.Load()
	for tries := 1; ; tries++ {
		one, cancel := context.WithTimeout(ctx, try)
		err := f(one, c.conns[at%int64(len(c.conns))])
		cancel()
		if err == nil {
			c.next.Store(at)
			return nil
		}
		if ctx.Err() != nil || !wire.Retryable(err) && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("after %d tries: %w", tries, err)
		}
		at++
		if tries%len(c.conns) == 0 {
			if err := pause(ctx, retryPause); err != nil {
				return fmt.Errorf("after %d tries: %w", tries, err)
			}
		}
	}
}

// pause waits, or returns the reason why ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// append sends events until they are acknowledged, for as long as patience. An error leaves open whether they are stored.
func (c *client) append(ctx context.Context, events []*kithv1.Event, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.call(ctx, callTry, func(ctx context.Context, conn *grpc.ClientConn) error {
		stream, err := kithv1.NewEventsServiceClient(conn).Append(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&kithv1.AppendRequest{Events: events}); err != nil && !errors.Is(err, io.EOF) {
			return err // EOF says that CloseAndRecv has the reason
		}
		resp, err := stream.CloseAndRecv()
		if err != nil {
			return err
		}
		if stored := resp.Appended + resp.Duplicates; stored != uint64(len(events)) {
			return fmt.Errorf("%d of %d events stored, %d rejected", stored, len(events), resp.Rejected)
		}
		return nil
	})
}

// list reads the history of a user, with all that was acknowledged before.
func (c *client) list(ctx context.Context, user string) (events []*kithv1.Event, err error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	err = c.call(ctx, callTry, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		events, err = list(ctx, conn, user)
		return err
	})
	return events, err
}

// list reads the history of a user from one server.
func list(ctx context.Context, conn *grpc.ClientConn, user string) ([]*kithv1.Event, error) {
	stream, err := kithv1.NewEventsServiceClient(conn).List(ctx, &kithv1.ListRequest{User: user})
	if err != nil {
		return nil, err
	}
	var events []*kithv1.Event
	err = wire.Receive(stream, func(m *kithv1.ListResponse) error {
		events = append(events, m.Events...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// recommend asks for ten items for a user.
func (c *client) recommend(ctx context.Context, user string) error {
	ctx, cancel := context.WithTimeout(ctx, queryDeadline)
	defer cancel()
	return c.call(ctx, queryTry, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := kithv1.NewRecommenderServiceClient(conn).Recommend(ctx, &kithv1.RecommendRequest{
			Subject: &kithv1.RecommendRequest_User{User: user}, N: 10,
		})
		return err
	})
}

// upTo draws a time of up to d, which is more than 0.
func upTo(rng *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(d)))
}

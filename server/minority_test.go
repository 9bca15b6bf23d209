package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// TestMinorityRefuses kills two of three. The one that is left says long before any deadline that it takes no events and answers
// no fresh questions, and answers stale ones when asked. When the others are back, everything works again.
func TestMinorityRefuses(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, shopEvents(30, 50, 20, 12))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	c.Kill(1)
	c.Kill(2)
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, wire.ErrNoLeader) && !errors.Is(err, wire.ErrNoMajority) {
			t.Errorf("%s: got %v, want to be told that there is no leader", what, err)
		}
	}
	stream, err := c.Events(0).Append(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&kithv1.AppendRequest{Events: shopEvents(1, 50, 1, 13)}) // CloseAndRecv tells what became of it
	_, err = stream.CloseAndRecv()
	refused("append", err)
	events := func(stale bool) (n int, err error) {
		stream, err := c.Events(0).List(ctx, &kithv1.ListRequest{User: "u007", Stale: stale})
		if err != nil {
			return 0, err
		}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return n, nil
			}
			if err != nil {
				return 0, err
			}
			n += len(m.Events)
		}
	}
	_, err = events(false)
	refused("list", err)
	if n, err := events(true); err != nil || n != 20 {
		t.Errorf("stale list: %d events, %v", n, err)
	}
	req := forUser("u007", 5)
	c.Eventually(func() error { // until membership knows
		if _, err := c.Recommender(0).Recommend(ctx, req); !errors.Is(err, wire.ErrNoMajority) {
			return fmt.Errorf("recommend: got %w, want to be told that most replicas are lost", err)
		}
		return nil
	})
	req.Stale = true
	if got, err := c.Recommender(0).Recommend(ctx, req); err != nil || len(got.Items) != 5 || !got.Stale {
		t.Errorf("stale recommendation: %v, %v", got, err)
	}
	c.Run(1)
	c.Run(2)
	c.Ready()
	c.Append(0, shopEvents(1, 50, 1, 13))
	if got := recommend(t, c, 0, forUser("u007", 5)); got.Stale {
		t.Error("answers are still stale after the others are back")
	}
}

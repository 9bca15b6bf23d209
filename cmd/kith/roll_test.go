package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// queries asks for recommendations at a steady rate until it is told to stop, and keeps what went wrong. Every one has a
// second, with the retries that clients have.
type queries struct {
	mu      sync.Mutex
	n       int
	slowest time.Duration
	failed  []error
	wg      sync.WaitGroup
}

const (
	queryDeadline = time.Second
	queryPause    = 10 * time.Millisecond
)

func (q *queries) run(ctx context.Context, stop <-chan struct{}, c *client) {
	c.timeout = queryDeadline
	tick := time.NewTicker(queryPause)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		began := time.Now()
		err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
			resp, err := kithv1.NewRecommenderServiceClient(conn).Recommend(ctx, &kithv1.RecommendRequest{
				Subject: &kithv1.RecommendRequest_User{User: fmt.Sprint("q", n%streamUsers)}, N: 3, NoFallback: true,
			})
			if err == nil && (resp.Partial || len(resp.Items) == 0) {
				err = fmt.Errorf("partial %v, %d items", resp.Partial, len(resp.Items))
			}
			return err
		})
		took := time.Since(began)
		q.mu.Lock()
		q.n++
		q.slowest = max(q.slowest, took)
		if err != nil {
			q.failed = append(q.failed, fmt.Errorf("query %d at %s, after %v: %w", n, began.Format(time.StampMilli), took, err))
		}
		q.mu.Unlock()
	}
}

// TestRollingRestart restarts each server in turn, as an upgrade does, while clients append and ask: no query fails, no append
// fails, and all that was acknowledged is there once.
func TestRollingRestart(t *testing.T) {
	long(t)
	processes := startProcesses(t, 3)
	allReady(t, processes)
	input := "user,item,weight\n"
	for u := range streamUsers {
		for i := range 7 {
			if (u+i)%3 > 0 {
				input += fmt.Sprintf("q%d,i%d,%d\n", u, i, 1+i%2)
			}
		}
	}
	mustKith(t, "ingest", writeFile(t, "events.csv", input), "--addr", processes[0].addr)
	mustKith(t, "build", "--wait", "--addr", processes[0].addr)

	for _, p := range processes { // a server may hear of the model a moment later
		eventually(t, 10*time.Second, func() error {
			if s := mustJSON[jsonStatus](t, "status", "--addr", p.addr); s.ActiveVersion == 0 {
				return fmt.Errorf("%s knows of no model", p.addr)
			}
			return nil
		})
	}

	stop := make(chan struct{})
	s := startStream(t.Context(), stop, clientOf(t, processes...))
	var q queries
	for i := range processes { // each begins with another server
		order := append(append([]*process{}, processes[i:]...), processes[:i]...)
		c := clientOf(t, order...)
		q.wg.Go(func() { q.run(t.Context(), stop, c) })
	}
	s.goOn(t, 500, "all run")
	for i, p := range processes {
		began := time.Now()
		p.stop()
		stopped := time.Since(began)
		s.goOn(t, 500, fmt.Sprintf("server %d is stopped", i))
		p.start()
		eventually(t, patience, func() error {
			if got := kith(t, nil, "health", "--ready", "--addr", p.addr); got.code != exitOK {
				return errors.New(got.err)
			}
			return nil
		})
		t.Logf("server %d: stopped after %v", i, stopped)
		s.goOn(t, 500, fmt.Sprintf("server %d is ready again", i))
	}
	close(stop)
	q.wg.Wait()
	if err := <-s.done; err != nil {
		t.Errorf("append: %v", err)
	}
	s.check(t, clientOf(t, processes[0]))
	for i, err := range q.failed {
		if i < 10 {
			t.Error(err)
		}
	}
	t.Logf("%d queries, %d failed, the slowest took %v; %d events", q.n, len(q.failed), q.slowest, s.acked())
	if q.n < 100 {
		t.Errorf("%d queries are too few to tell anything", q.n)
	}
	for _, p := range processes {
		p.stop()
	}
}

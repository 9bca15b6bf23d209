//go:build linux

package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// watchedGroups is the number of users whose histories are watched at a time.
	watchedGroups = 3
	// watchedAppenders and watchedReaders work on each of them, with watchedOps operations each, before the group goes on
	// to a new user: a history stays short enough for the search of an order.
	watchedAppenders = 2
	watchedReaders   = 2
	watchedOps       = 10
	// watchedPause is the mean pause between two operations of one client.
	watchedPause = 30 * time.Millisecond
	// hurry is the patience of a third of the appenders: what they give up may happen or not, and others see which.
	hurry = 300 * time.Millisecond
	// bulkUsers get bulkBatch events each bulkPause.
	bulkUsers = 1000
	bulkBatch = 50
	bulkPause = 200 * time.Millisecond
	// queriers ask, each with queryPause between two questions.
	queriers   = 2
	queryPause = 25 * time.Millisecond
	// clientsK is the length of the lists that they build.
	clientsK = 20
	// catalog is the number of items.
	catalog = 300
	// firstBatch is the size of the batches of the events that are there before the first fault.
	firstBatch = 1000
)

// event identifies an event.
type event struct{ user, id string }

// message returns the content of an event, which is a function of its identity: so a check knows what it must be.
func (e event) message() *kithv1.Event {
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.user + "\x00" + e.id)) // never fails
	sum := h.Sum64()
	// The product of two even draws: some items are far more popular than others, as in a shop.
	item := sum % 1000 * (sum / 1000 % 1000) * catalog / 1_000_000
	behavior := "view"
	if sum>>40%4 == 0 {
		behavior = "purchase"
	}
	return &kithv1.Event{Id: e.id, User: e.user, Item: fmt.Sprintf("item-%03d", item), Behavior: behavior, TimeUnixMs: int64(1_700_000_000_000 + sum>>20%1_000_000_000)}
}

// call is one call of a client. Times are since the start of the run.
type call struct {
	from, to time.Duration
	err      error
}

// workload is what the clients do and what they saw. Its methods are safe for concurrent use.
type workload struct {
	conns []*grpc.ClientConn
	seed  uint64
	start time.Time

	mu sync.Mutex
	// acked says, of each event that was sent, whether it was acknowledged.
	acked      map[event]bool
	ops        []operation
	queries    []call
	appends    []call
	builds     map[string]int // by how they ended
	violations []string       // what a client saw that must not be
}

func newWorkload(conns []*grpc.ClientConn, seed uint64) *workload {
	return &workload{conns: conns, seed: seed, start: time.Now(), acked: map[event]bool{}, builds: map[string]int{}}
}

// client returns a client that begins with some server.
func (w *workload) client(n int) *client {
	c := &client{conns: w.conns}
	c.next.Store(int64(n % len(w.conns)))
	return c
}

// now returns the time since the start.
func (w *workload) now() time.Duration { return time.Since(w.start) }

// fill appends the first n events.
func (w *workload) fill(ctx context.Context, n int) error {
	c := w.client(0)
	for from := 0; from < n; from += firstBatch {
		batch := make([]event, min(firstBatch, n-from))
		for i := range batch {
			batch[i] = event{"b" + strconv.Itoa((from+i)%bulkUsers), "f" + strconv.Itoa(from+i)}
		}
		if err := w.append(ctx, c, batch, callDeadline); err != nil {
			return fmt.Errorf("append the first events: %w", err)
		}
	}
	return nil
}

// append sends events, for as long as patience, and records what became of them.
func (w *workload) append(ctx context.Context, c *client, events []event, patience time.Duration) error {
	messages := make([]*kithv1.Event, len(events))
	w.mu.Lock()
	for i, e := range events {
		messages[i] = e.message()
		w.acked[e] = false
	}
	w.mu.Unlock()
	from := w.now()
	err := c.append(ctx, messages, patience)
	to := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == nil {
		w.appends = append(w.appends, call{from, to, err})
	}
	for _, e := range events {
		w.acked[e] = err == nil
	}
	return err
}

// acknowledged says, of each event that was sent so far, whether it was acknowledged.
func (w *workload) acknowledged() map[event]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.acked)
}

// run works until ctx is done, and returns when all clients have ended.
func (w *workload) run(ctx context.Context, buildEvery time.Duration) {
	var clients sync.WaitGroup
	for g := range watchedGroups {
		clients.Go(func() { w.watch(ctx, g) })
	}
	clients.Go(func() { w.bulk(ctx) })
	for q := range queriers {
		clients.Go(func() { w.query(ctx, q) })
	}
	clients.Go(func() { w.build(ctx, buildEvery) })
	clients.Wait()
}

// watch appends to and reads one user after the other.
func (w *workload) watch(ctx context.Context, group int) {
	for n := 0; ctx.Err() == nil; n++ {
		user := fmt.Sprintf("w%d-%d", group, n)
		var clients sync.WaitGroup
		for k := range watchedAppenders + watchedReaders {
			// Calls in flight end by themselves when the run does: an append that is broken off would be one more unknown.
			clients.Go(func() {
				rng := rand.New(rand.NewPCG(w.seed, uint64(group)<<40|uint64(n)<<8|uint64(k)))
				c := w.client(int(rng.Uint32N(1 << 16)))
				patience := callDeadline
				if rng.IntN(3) == 0 {
					patience = hurry
				}
				for i := 0; i < watchedOps && ctx.Err() == nil; i++ {
					if k < watchedAppenders && !w.appendOne(context.WithoutCancel(ctx), c, user, k, k*watchedOps+i, patience) {
						return // a second unknown of the same client would make the search of an order long
					}
					if k >= watchedAppenders {
						w.readOne(context.WithoutCancel(ctx), c, user, k)
					}
					if pause(ctx, upTo(rng, 2*watchedPause)) != nil {
						return
					}
				}
			})
		}
		clients.Wait()
	}
}

// appendOne appends one event of a watched user, and reports whether the outcome is known.
func (w *workload) appendOne(ctx context.Context, c *client, user string, k, at int, patience time.Duration) bool {
	o := operation{User: user, Client: k, Append: at, From: w.now()}
	err := w.append(ctx, c, []event{{user, watchedID(at)}}, patience)
	o.To = w.now()
	if err != nil {
		o.To = unknown
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops = append(w.ops, o)
	return err == nil
}

// readOne reads the history of a watched user.
func (w *workload) readOne(ctx context.Context, c *client, user string, k int) {
	o := operation{User: user, Client: k, Append: -1, From: w.now()}
	events, err := c.list(ctx, user)
	o.To = w.now()
	if err != nil {
		return // nothing was seen, so nothing is said
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		at, ok := watchedAt(e.Id)
		if !ok || o.Read&(1<<at) != 0 {
			w.violations = append(w.violations, fmt.Sprintf("a read of %s at %v has event %q twice, or it was never sent", user, o.From, e.Id))
			continue
		}
		o.Read |= 1 << at
	}
	w.ops = append(w.ops, o)
}

// watchedID is the id of the event at a position of a watched user's history; watchedAt goes back.
func watchedID(at int) string { return "e" + strconv.Itoa(at) }

func watchedAt(id string) (int, bool) {
	digits, ok := strings.CutPrefix(id, "e")
	at, err := strconv.Atoi(digits)
	return at, ok && err == nil && at >= 0 && at < watchedAppenders*watchedOps
}

// bulk appends batches that touch many partitions.
func (w *workload) bulk(ctx context.Context) {
	c := w.client(1)
	for n := 0; pause(ctx, bulkPause) == nil; n++ {
		batch := make([]event, bulkBatch)
		for i := range batch {
			batch[i] = event{"b" + strconv.Itoa((n*bulkBatch+i)%bulkUsers), "b" + strconv.Itoa(n*bulkBatch+i)}
		}
		_ = w.append(ctx, c, batch, callDeadline) // recorded
	}
}

// query asks for recommendations of some user.
func (w *workload) query(ctx context.Context, q int) {
	c := w.client(q)
	rng := rand.New(rand.NewPCG(w.seed, 1<<60|uint64(q)))
	for pause(ctx, queryPause) == nil {
		from := w.now()
		err := c.recommend(ctx, "b"+strconv.Itoa(rng.IntN(bulkUsers)))
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.queries = append(w.queries, call{from, w.now(), err})
		w.mu.Unlock()
	}
}

// build starts a build every so often and waits for its end.
func (w *workload) build(ctx context.Context, every time.Duration) {
	c := w.client(0)
	for pause(ctx, every) == nil {
		job, err := c.build(ctx, buildSpec(clientsK))
		if ctx.Err() != nil {
			return
		}
		end := "not started"
		if err == nil {
			end = jobEnd(job)
		}
		w.mu.Lock()
		w.builds[end]++
		w.mu.Unlock()
	}
}

// saw returns the calls so far, by their start. What is returned is not changed later.
func (w *workload) saw() (queries, appends []call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queries, appends = slices.Clone(w.queries), slices.Clone(w.appends)
	for _, calls := range [][]call{queries, appends} {
		slices.SortFunc(calls, func(a, b call) int { return int(a.from - b.from) })
	}
	return queries, appends
}

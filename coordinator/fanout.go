package coordinator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/hedging"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// hedgeShare is how many calls for scores may be hedged: enough for the slowest, too few to make an overload worse.
const hedgeShare = 0.05

// ask makes one call to a node for some partitions and returns what takes its answer, which is called once for the answers that count.
type ask func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) (take func() error, err error)

// fanOut asks for all partitions, each at one replica, with one call to each node; what a node does not answer is asked
// at the next replica, and of what it does not answer soon that may be asked there, too. It returns the partitions that no replica answered for.
// kind names the calls that take about as long. f is called by several goroutines, and what it returns by one at a time; an
// error that no other replica can cure ends all.
func (r *Router) fanOut(ctx context.Context, kind string, partitions []uint32, f ask) (lost []uint32, err error) {
	fan := &fan{Router: r, state: r.log.State(), alive: r.peers.Alive(), latencies: r.latenciesOf(kind), ask: f}
	pending := partitions
	for round := 0; len(pending) > 0; round++ {
		byNode, none := fan.nodes(pending, round)
		lost = append(lost, none...)
		pending = nil
		var mu sync.Mutex
		var final error
		ask := func(node string, parts []uint32) {
			take, err := fan.race(ctx, node, parts, round)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = take()
			}
			switch {
			case err == nil:
			case passing(err) || errors.Is(err, wire.ErrUnknownVersion):
				pending = append(pending, parts...)
			default:
				final = err
			}
		}
		own, here := byNode[r.peers.Self()]
		delete(byNode, r.peers.Self())
		var calls sync.WaitGroup
		for node, parts := range byNode {
			calls.Go(func() { ask(node, parts) })
		}
		if here {
			ask(r.peers.Self(), own)
		}
		calls.Wait()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if final != nil {
			return nil, final
		}
	}
	slices.Sort(lost)
	return lost, nil
}

// fan is what the calls of one fanOut have in common.
type fan struct {
	*Router
	state     *State
	alive     []string
	latencies *hedging.Latencies
	ask       ask
}

// nodes groups partitions by the node that is asked in a round. None are those that have no further replica.
func (f *fan) nodes(partitions []uint32, round int) (byNode map[string][]uint32, none []uint32) {
	byNode = map[string][]uint32{}
	for _, p := range partitions {
		if choices := f.choices(f.state.Replicas[p], f.alive, p); round < len(choices) {
			byNode[choices[round]] = append(byNode[choices[round]], p)
		} else {
			none = append(none, p)
		}
	}
	return byNode, none
}

// race calls a node, and, if it takes long, those of the next round for the same partitions: the answer of the one counts, or of all of the others,
// whichever is there first. All calls have ended when it returns.
func (f *fan) race(ctx context.Context, node string, parts []uint32, round int) (take func() error, err error) {
	if node == f.peers.Self() {
		return f.call(ctx, node, parts, round)
	}
	_, after := f.latencies.Quantiles()
	if after == 0 {
		return f.call(ctx, node, parts, round)
	}
	f.hedges.Earn()
	type outcome struct {
		take func() error
		err  error
	}
	first := func(ctx context.Context) outcome {
		take, err := f.call(ctx, node, parts, round)
		return outcome{take, err}
	}
	second := func() func(context.Context) outcome {
		next, none := f.nodes(parts, round+1)
		if len(none) > 0 || !f.hedges.Spend() {
			return nil
		}
		f.hedged.Inc()
		return func(ctx context.Context) outcome {
			take, err := f.all(ctx, next, round+1)
			return outcome{take, err}
		}
	}
	o := hedging.Race(ctx, after, first, second, func(o outcome) bool { return o.err == nil })
	return o.take, o.err
}

// all calls several nodes; what it returns takes all answers.
func (f *fan) all(ctx context.Context, byNode map[string][]uint32, round int) (take func() error, err error) {
	var mu sync.Mutex
	var takes []func() error
	g, ctx := errgroup.WithContext(ctx)
	for node, parts := range byNode {
		g.Go(func() error {
			take, err := f.call(ctx, node, parts, round)
			mu.Lock()
			defer mu.Unlock()
			takes = append(takes, take)
			return err
		})
	}
	err = g.Wait()
	return func() error {
		for _, take := range takes {
			if err := take(); err != nil {
				return err
			}
		}
		return nil
	}, err
}

// call calls a node, and counts how long it took. A call that was given up counts if it took longer than most.
func (f *fan) call(ctx context.Context, node string, parts []uint32, round int) (take func() error, err error) {
	began := time.Now()
	err = f.try(ctx, node, round+1 < len(f.state.Replicas[parts[0]]), func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		take, err = f.ask(ctx, queryClient(conn), parts)
		return err
	})
	if node == f.peers.Self() {
		return take, err
	}
	took := time.Since(began)
	if _, p95 := f.latencies.Quantiles(); err == nil || took >= p95 && (ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)) {
		f.latencies.Add(took)
	}
	return take, err
}

// latenciesOf returns the latencies of the calls of a kind to other nodes.
func (r *Router) latenciesOf(kind string) *hedging.Latencies {
	r.mu.RLock()
	l := r.latencies[kind]
	r.mu.RUnlock()
	if l != nil {
		return l
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l = r.latencies[kind]; l == nil {
		l = &hedging.Latencies{}
		r.latencies[kind] = l
	}
	return l
}

// choices returns the replicas of a partition in the order in which to ask them: this node, which costs no hop, then the
// living ones, beginning at another one for each partition, then those that left a call unanswered, then those that seem dead.
func (r *Router) choices(replicas, alive []string, p uint32) []string {
	rank := func(node string) int {
		if node == r.peers.Self() {
			return 0
		}
		if _, ok := slices.BinarySearch(alive, node); ok {
			return 1 + r.silence(node)
		}
		return 3
	}
	turn := int(p) % len(replicas)
	out := append(slices.Clone(replicas[turn:]), replicas[:turn]...)
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}

package coordinator

import (
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// fanOut asks for all partitions, each at one replica, with one call to each node; what a node does not answer is asked
// at the next replica. It returns the partitions that no replica answered for. f is called by several goroutines; an
// error that no other replica can cure ends all.
func (r *Router) fanOut(ctx context.Context, partitions []uint32, f func(ctx context.Context, c kithv1.QueryServiceClient, partitions []uint32) error) (lost []uint32, err error) {
	state, alive := r.log.State(), r.peers.Alive()
	pending := partitions
	for round := 0; len(pending) > 0; round++ {
		byNode := map[string][]uint32{}
		for _, p := range pending {
			if choices := r.choices(state.Replicas[p], alive, p); round < len(choices) {
				byNode[choices[round]] = append(byNode[choices[round]], p)
			} else {
				lost = append(lost, p)
			}
		}
		pending = nil
		var mu sync.Mutex
		var final error
		var calls sync.WaitGroup
		for node, parts := range byNode {
			calls.Go(func() {
				err := r.try(ctx, node, round+1 < len(state.Replicas[parts[0]]), func(ctx context.Context, conn grpc.ClientConnInterface) error {
					return f(ctx, kithv1.NewQueryServiceClient(conn), parts)
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
				case passing(err) || errors.Is(err, wire.ErrUnknownVersion):
					pending = append(pending, parts...)
				default:
					final = err
				}
			})
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

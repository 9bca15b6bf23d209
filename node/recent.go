package node

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// activeChunk is the number of items in a message: a key has at most 256 bytes.
const activeChunk = 2000

// ActiveItems implements kithv1.PartitionServiceServer.
func (n *Node) ActiveItems(req *kithv1.ActiveItemsRequest, stream grpc.ServerStreamingServer[kithv1.ActiveItemsResponse]) error {
	r, err := n.fresh(stream.Context(), req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return err
	}
	var behaviors []fusion.Behavior
	for _, b := range req.Behaviors {
		behaviors = append(behaviors, fusion.Behavior(b))
	}
	active, err := r.store.Active(stream.Context(), store.Window{From: req.FromUnixMs, To: req.ToUnixMs}, behaviors)
	if err != nil {
		return n.troubled(r, err)
	}
	for some := range slices.Chunk(active, activeChunk) {
		m := &kithv1.ActiveItemsResponse{}
		for _, x := range some {
			m.Items, m.Counts = append(m.Items, x.Item), append(m.Counts, x.Counts...)
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// LastItems implements kithv1.PartitionServiceServer.
func (n *Node) LastItems(ctx context.Context, req *kithv1.LastItemsRequest) (*kithv1.LastItemsResponse, error) {
	r, err := n.fresh(ctx, req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return nil, err
	}
	last, err := r.store.Last(ctx, int(req.N), req.ToUnixMs)
	if err != nil {
		return nil, n.troubled(r, err)
	}
	resp := &kithv1.LastItemsResponse{}
	for _, x := range last {
		resp.Items, resp.TimesUnixMs = append(resp.Items, x.Item), append(resp.TimesUnixMs, x.Time)
	}
	return resp, nil
}

// BoughtTogether implements kithv1.PartitionServiceServer.
func (n *Node) BoughtTogether(req *kithv1.BoughtTogetherRequest, stream grpc.ServerStreamingServer[kithv1.BoughtTogetherResponse]) error {
	r, err := n.fresh(stream.Context(), req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return err
	}
	others, baskets, err := r.store.BoughtTogether(stream.Context(), req.Item)
	if err != nil {
		return n.troubled(r, err)
	}
	m := &kithv1.BoughtTogetherResponse{Baskets: baskets}
	for items := range slices.Chunk(slices.Sorted(maps.Keys(others)), activeChunk) {
		m.Items = items
		for _, item := range items {
			m.Counts = append(m.Counts, others[item])
		}
		if err := stream.Send(m); err != nil {
			return err
		}
		m = &kithv1.BoughtTogetherResponse{}
	}
	if len(others) > 0 {
		return nil
	}
	return stream.Send(m)
}

package node

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// historyChunk is the number of events in a message: an event has at most about 5 KiB.
const historyChunk = 150

var _ kithv1.PartitionServiceServer = (*Node)(nil)

// AppendBatch implements kithv1.PartitionServiceServer.
func (n *Node) AppendBatch(ctx context.Context, req *kithv1.AppendBatchRequest) (*kithv1.AppendBatchResponse, error) {
	r, err := n.held(req.Partition, req.Epoch)
	if err != nil {
		return nil, err
	}
	events := wire.EventsFromProto(req.Events)
	partitions := len(n.control.View().Replicas)
	for i := range events {
		e := &events[i]
		if err := e.Validate(); err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", wire.ErrInvalid, i, err)
		}
		if e.ID == "" {
			return nil, fmt.Errorf("%w: event %d has no id", wire.ErrInvalid, i)
		}
		if of := partition.Of(e.User, partitions); of != r.id {
			return nil, fmt.Errorf("%w: event %d belongs to partition %d, not %d", wire.ErrInvalid, i, of, r.id)
		}
	}
	if len(events) == 0 {
		return &kithv1.AppendBatchResponse{}, nil
	}
	_, done, err := n.command(ctx, r, int64(proto.Size(req)), store.EncodeBatch(nil, events))
	if err != nil {
		return nil, err
	}
	if done.Appended > 0 {
		n.lastAppend.Store(time.Now().UnixMilli())
	}
	resp := &kithv1.AppendBatchResponse{Appended: done.Appended, Duplicates: done.Duplicates, Erased: done.Erased}
	for _, m := range done.Moved {
		resp.Moved = append(resp.Moved, &kithv1.MovedUser{User: m.User, To: m.To})
	}
	return resp, nil
}

// fresh returns the replica for a read: of acknowledged state at the leader, or as it is on any replica.
func (n *Node) fresh(ctx context.Context, p uint32, epoch uint64, stale bool) (*replica, error) {
	r, err := n.held(p, epoch)
	if err != nil || stale {
		return r, err
	}
	if _, err := r.group.ReadIndex(ctx); err != nil {
		return nil, r.convert(err)
	}
	return r, nil
}

// HistoryOf returns the events of a user in a partition; see History of store.Store. It is for calls of the own process. Errors match
// wire.ErrMoved for a user who is joined to another, and wire.ErrJoining while that is under way, but for a stale read.
func (n *Node) HistoryOf(ctx context.Context, p partition.ID, epoch uint64, user string, stale bool) ([]fusion.Event, error) {
	r, err := n.fresh(ctx, uint32(p), epoch, stale)
	if err != nil {
		return nil, err
	}
	events, err := r.store.History(ctx, user)
	if err == nil {
		err = r.own(user, stale)
	}
	if err != nil {
		return nil, n.troubled(r, err)
	}
	return events, nil
}

// KnownHistory returns what HistoryOf would, if this node can answer without a word of another one and the events are in memory, with a stamp that no other events have. Where keys are
// joined it looks one up in the store, which may read a block.
func (n *Node) KnownHistory(p partition.ID, epoch uint64, user string, stale bool) (events []fusion.Event, stamp uint64, ok bool) {
	if r := n.alone(p, epoch, stale); r != nil {
		events, stamp, ok = r.store.KnownHistory(user)
		ok = ok && r.own(user, stale) == nil
	}
	return events, stamp, ok
}

// KnownStamp returns the stamp that KnownHistory would, if not stale.
func (n *Node) KnownStamp(p partition.ID, epoch uint64, user string) (stamp uint64, ok bool) {
	if r := n.alone(p, epoch, false); r != nil {
		stamp, ok = r.store.KnownStamp(user)
		ok = ok && r.own(user, false) == nil
	}
	return stamp, ok
}

// alone returns the replica for a read if no other node has to be asked, or nil.
func (n *Node) alone(p partition.ID, epoch uint64, stale bool) *replica {
	r, err := n.held(uint32(p), epoch)
	if err != nil || !stale && !r.group.LeadsAlone() {
		return nil
	}
	return r
}

// History implements kithv1.PartitionServiceServer.
func (n *Node) History(req *kithv1.HistoryRequest, stream grpc.ServerStreamingServer[kithv1.HistoryResponse]) error {
	read := n.HistoryOf
	if req.Join > 0 {
		read = n.joining(req.Join)
	}
	events, err := read(stream.Context(), partition.ID(req.Partition), req.Epoch, req.User, req.Stale)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(events, historyChunk) {
		if err := stream.Send(&kithv1.HistoryResponse{Events: wire.EventsToProto(chunk)}); err != nil {
			return err
		}
	}
	return nil
}

// maxScannedUsers bounds an answer: a key has at most 256 bytes.
const maxScannedUsers = 2000

// ScanUsers implements kithv1.PartitionServiceServer.
func (n *Node) ScanUsers(ctx context.Context, req *kithv1.ScanUsersRequest) (*kithv1.ScanUsersResponse, error) {
	if req.N < 1 || req.N > maxScannedUsers {
		return nil, fmt.Errorf("%w: n is %d; want 1 to %d", wire.ErrInvalid, req.N, maxScannedUsers)
	}
	r, err := n.fresh(ctx, req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return nil, err
	}
	users, err := r.store.Users(ctx, req.AfterUser, int(req.N))
	if err != nil {
		return nil, n.troubled(r, err)
	}
	return &kithv1.ScanUsersResponse{Users: users}, nil
}

// Cut implements kithv1.PartitionServiceServer. The index is that of the last batch: other entries of the log change
// no events.
func (n *Node) Cut(ctx context.Context, req *kithv1.CutRequest) (*kithv1.CutResponse, error) {
	r, err := n.fresh(ctx, req.Partition, req.Epoch, false)
	if err != nil {
		return nil, err
	}
	if req.HoldJoins {
		r.joinsHeld.Store(time.Now().Add(holdTime).UnixNano())
	}
	m := r.store.Mark()
	return &kithv1.CutResponse{Index: m.Index, Events: m.Events, Users: m.Users, JoinsBegun: m.Joins, JoinsPending: m.Pending, JoinsHidden: m.Hidden}, nil
}

// Popular implements kithv1.PartitionServiceServer.
func (n *Node) Popular(ctx context.Context, req *kithv1.PopularRequest) (*kithv1.PopularResponse, error) {
	r, err := n.fresh(ctx, req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return nil, err
	}
	top, err := r.store.Popular(ctx, int(req.N))
	if err != nil {
		return nil, n.troubled(r, err)
	}
	resp := &kithv1.PopularResponse{}
	for _, c := range top {
		resp.Items = append(resp.Items, &kithv1.ItemCount{Item: c.Item, Count: c.Count})
	}
	if resp.Counts, err = r.store.ItemCounts(ctx, req.Items); err != nil {
		return nil, n.troubled(r, err)
	}
	return resp, nil
}

// Info implements kithv1.PartitionServiceServer.
func (n *Node) Info(context.Context, *kithv1.InfoRequest) (*kithv1.InfoResponse, error) {
	resp := n.describe(time.Now())
	for _, r := range n.all() {
		leader, _ := r.group.Leader()
		c := r.store.Counts()
		info := &kithv1.ReplicaInfo{
			Partition: uint32(r.id), Leader: r.group.IsLeader(), LeaderId: leader,
			AppliedIndex: r.store.Applied(), Events: c.Events, Users: c.Users,
			Products: c.Products, Profiles: c.Profiles, Erased: c.Erased,
		}
		if r.group.OnProbation() {
			info.ArrivedBytes = sizeOf(n.dir(r.id)) + sizeOf(filepath.Join(n.cfg.Dir, "models"))
		}
		resp.Replicas = append(resp.Replicas, info)
	}
	return resp, nil
}

// all returns the replicas that are open, by partition.
func (n *Node) all() []*replica {
	n.mu.RLock()
	defer n.mu.RUnlock()
	replicas := make([]*replica, 0, len(n.replicas))
	for _, r := range n.replicas {
		replicas = append(replicas, r)
	}
	slices.SortFunc(replicas, func(a, b *replica) int { return int(a.id) - int(b.id) })
	return replicas
}

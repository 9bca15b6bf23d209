package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// ApplyErasure implements kithv1.PartitionServiceServer.
func (n *Node) ApplyErasure(ctx context.Context, req *kithv1.ApplyErasureRequest) (*kithv1.ApplyErasureResponse, error) {
	r, err := n.held(req.Partition, req.Epoch)
	if err != nil {
		return nil, err
	}
	e := store.Erase{User: req.User, Time: req.TimeUnixMs, Again: req.AllowAgain, Account: req.Account}
	if copy(e.Secret[:], req.HashKey) != len(req.HashKey) || len(req.HashKey) != len(e.Secret) ||
		copy(e.Request[:], req.RequestId) != len(req.RequestId) || len(req.RequestId) != len(e.Request) {
		return nil, fmt.Errorf("%w: hash key of %d bytes and request id of %d; want %d and %d",
			wire.ErrInvalid, len(req.HashKey), len(req.RequestId), len(e.Secret), len(e.Request))
	}
	if e.Time < 0 || e.Time > fusion.MaxTime {
		return nil, fmt.Errorf("%w: time %d", wire.ErrInvalid, e.Time)
	}
	if err := catalog.CheckKey(e.User); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if err := n.belongs(r, e.User); err != nil {
		return nil, err
	}
	_, done, err := n.command(ctx, r, int64(proto.Size(req)), store.EncodeErase(nil, e))
	if err != nil {
		return nil, err
	}
	if len(done.Moved) > 0 {
		return &kithv1.ApplyErasureResponse{JoinedTo: done.Moved[0].To}, nil
	}
	if len(done.Joined) > 0 {
		resp := &kithv1.ApplyErasureResponse{}
		for _, j := range done.Joined {
			resp.Joined = append(resp.Joined, &kithv1.UserState{User: j.Key, Id: j.ID})
		}
		return resp, nil
	}
	x := done.Erasure
	return &kithv1.ApplyErasureResponse{
		Index: x.Index, TimeUnixMs: x.Time, UserHash: x.Hash[:], Events: x.Events, Profile: x.Profile, Erased: erasedToProto(x.Joined),
	}, nil
}

func erasedToProto(keys []store.ErasedKey) (out []*kithv1.ErasedKey) {
	for _, k := range keys {
		out = append(out, &kithv1.ErasedKey{UserHash: k.Hash[:], Partition: k.Partition, Index: k.Index, Events: k.Events, Profile: k.Profile})
	}
	return out
}

func erasedFromProto(keys []*kithv1.ErasedKey) ([]store.ErasedKey, error) {
	out := make([]store.ErasedKey, len(keys))
	for i, k := range keys {
		out[i] = store.ErasedKey{Partition: k.GetPartition(), Index: k.GetIndex(), Events: k.GetEvents(), Profile: k.GetProfile()}
		if copy(out[i].Hash[:], k.GetUserHash()) != len(k.GetUserHash()) || len(k.GetUserHash()) != len(out[i].Hash) {
			return nil, fmt.Errorf("%w: hash of an erased key of %d bytes", wire.ErrInvalid, len(k.GetUserHash()))
		}
	}
	return out, nil
}

// PurgeUser implements kithv1.PartitionServiceServer.
func (n *Node) PurgeUser(ctx context.Context, req *kithv1.PurgeUserRequest) (*kithv1.PurgeUserResponse, error) {
	r, err := n.held(req.Partition, req.Epoch)
	if err != nil {
		return nil, err
	}
	if err := r.comeTo(ctx, req.Index); err != nil {
		return nil, err
	}
	if err := r.store.Purge(ctx, req.User); err != nil {
		return nil, n.troubled(r, err)
	}
	return &kithv1.PurgeUserResponse{}, nil
}

// erasures tells which users of a partition were erased since the cut of a model version. The zero value knows of none.
type erasures struct {
	store *store.Store
	cut   uint64
	// count is how many there are.
	count int
}

// erasuresSince returns the erasures of a partition that a version does not know of. Without the replica it fails with
// wire.ErrNoReplica: another node has it.
func (n *Node) erasuresSince(p uint32, m *Version) (erasures, error) {
	if int(p) >= len(m.Cut) && m.Cut != nil {
		return erasures{}, fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, len(m.Cut))
	}
	r, err := n.replica(partition.ID(p))
	if err != nil {
		return erasures{}, err
	}
	e := erasures{store: r.store}
	if m.Cut != nil {
		e.cut = m.Cut[p]
	}
	if e.count, err = r.store.ErasedSince(e.cut); err != nil {
		return erasures{}, n.troubled(r, err)
	}
	return e, nil
}

// Erasures returns a stamp of what this node knows of the erasures of all of so many partitions: as long as it is the same, so are those that erasuresSince tells of. It is false if
// another node would be asked about one of them, or if a replica here cannot tell.
func (n *Node) Erasures(partitions int) (stamp uint64, ok bool) {
	replicas := n.control.View().Replicas
	if partitions > len(replicas) {
		return 0, false
	}
	for p, nodes := range replicas[:partitions] {
		if !slices.Contains(nodes, n.cfg.ID) {
			return 0, false
		}
		r, err := n.replica(partition.ID(p))
		if err != nil {
			return 0, false
		}
		of, ok := r.store.ErasureStamp()
		if !ok {
			return 0, false
		}
		stamp += of // each only grows, so a later sum is the same only if all are
	}
	return stamp, true
}

// has reports whether a user was erased.
func (e *erasures) has(user string) (bool, error) {
	if e.count == 0 {
		return false, nil
	}
	erased, err := e.store.Erased(user, e.cut)
	if errors.Is(err, store.ErrClosed) {
		err = fmt.Errorf("%w: %w", wire.ErrNoReplica, err)
	}
	return erased, err
}

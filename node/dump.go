package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// dumpBytes is the size of a message of a dump, but for its last event.
	dumpBytes = 512 << 10
	// dumpPatience is how long a replica may take to come to a cut before its caller is sent to another.
	dumpPatience = 5 * time.Second
)

// errFull ends the reading of a chunk.
var errFull = errors.New("chunk is full")

// Dump implements kithv1.PartitionServiceServer. The store is read a chunk at a time and left alone while a chunk is on
// its way: a slow caller keeps no old files of it from being deleted.
func (n *Node) Dump(req *kithv1.DumpRequest, stream grpc.ServerStreamingServer[kithv1.DumpResponse]) error {
	at := store.Position{User: req.AfterUser, ID: req.AfterId}
	for {
		chunk, more, err := n.dumpChunk(stream.Context(), req, at)
		if err != nil {
			return err
		}
		if len(chunk) > 0 {
			last := chunk[len(chunk)-1]
			at = store.Position{User: last.User, ID: last.Id}
			if err := stream.Send(&kithv1.DumpResponse{Events: chunk}); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// dumpChunk returns the next events of a dump, and whether there are more.
func (n *Node) dumpChunk(ctx context.Context, req *kithv1.DumpRequest, after store.Position) (events []*kithv1.Event, more bool, err error) {
	r, err := n.held(req.Partition, req.Epoch)
	if err != nil {
		return nil, false, err
	}
	if err := r.comeTo(ctx, req.Cut); err != nil {
		return nil, false, err
	}
	return r.chunk(ctx, req.Cut, after)
}

// comeTo waits a while until the replica has applied its log up to an index. Later it matches wire.ErrNotReady.
func (r *replica) comeTo(ctx context.Context, index uint64) error {
	wait, cancel := context.WithTimeout(ctx, dumpPatience)
	defer cancel()
	err := r.group.WaitApplied(wait, index)
	if err != nil && ctx.Err() == nil && wait.Err() != nil {
		return fmt.Errorf("partition %d: replica is at %d of %d: %w", r.id, r.store.Applied(), index, wire.ErrNotReady)
	}
	return r.convert(err)
}

// chunk returns the next events up to a cut, and whether there are more.
func (r *replica) chunk(ctx context.Context, cut uint64, after store.Position) (events []*kithv1.Event, more bool, err error) {
	size := 0
	err = r.store.Dump(ctx, cut, after, func(e fusion.Event) error {
		if size >= dumpBytes {
			return errFull
		}
		m := wire.EventToProto(&e)
		size += protowire.SizeTag(1) + protowire.SizeBytes(proto.Size(m))
		events = append(events, m)
		return nil
	})
	switch {
	case errors.Is(err, errFull):
		return events, true, nil
	case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrBehind):
		return nil, false, fmt.Errorf("partition %d: %w: %w", r.id, wire.ErrNotReady, err)
	case errors.Is(err, store.ErrErased):
		return nil, false, r.convert(err)
	case err != nil:
		return nil, false, fmt.Errorf("partition %d: %w", r.id, err)
	}
	return events, false, nil
}

package node

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// recordBytes is the size of a message of records, but for its last one.
const recordBytes = 512 << 10

// ApplyRecords implements kithv1.PartitionServiceServer.
func (n *Node) ApplyRecords(ctx context.Context, req *kithv1.ApplyRecordsRequest) (*kithv1.ApplyRecordsResponse, error) {
	r, err := n.held(req.Partition, req.Epoch)
	if err != nil {
		return nil, err
	}
	kind, err := wire.KindFromProto(req.Kind)
	if err != nil {
		return nil, err
	}
	records, err := wire.RecordsFromProto(req.Records)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return &kithv1.ApplyRecordsResponse{}, nil
	}
	for i := range records {
		if err := n.belongs(r, records[i].Key); err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
	}
	index, done, err := n.command(ctx, r, int64(proto.Size(req)), store.EncodeRecords(nil, kind, records))
	if err != nil {
		return nil, err
	}
	return &kithv1.ApplyRecordsResponse{Changed: done.Changed, Unchanged: done.Unchanged, Erased: done.Erased, Index: index}, nil
}

// belongs returns an error if a key is not of the partition of a replica.
func (n *Node) belongs(r *replica, key string) error {
	if of := partition.Of(key, len(n.control.View().Replicas)); of != r.id {
		return fmt.Errorf("%w: %.80q belongs to partition %d, not %d", wire.ErrInvalid, key, of, r.id)
	}
	return nil
}

// command puts a command of some bytes on the wire through the group of a partition, if there is room for it, and returns its index in the log.
func (n *Node) command(ctx context.Context, r *replica, bytes int64, command []byte) (uint64, store.Result, error) {
	if err := n.disk.Room(); err != nil {
		n.diskRefused.Add(1)
		return 0, store.Result{}, fmt.Errorf("partition %d: %w", r.id, err)
	}
	free, err := n.inflight.Take(bytes)
	if err != nil {
		return 0, store.Result{}, fmt.Errorf("partition %d: %w", r.id, err)
	}
	index, result, err := r.group.ProposeHeld(ctx, command, free)
	if err != nil {
		return 0, store.Result{}, n.troubled(r, err)
	}
	done, ok := result.(store.Result)
	if !ok {
		return 0, store.Result{}, fmt.Errorf("partition %d: unexpected result %T", r.id, result)
	}
	return index, done, nil
}

// ReadRecords implements kithv1.PartitionServiceServer.
func (n *Node) ReadRecords(req *kithv1.ReadRecordsRequest, stream grpc.ServerStreamingServer[kithv1.ReadRecordsResponse]) error {
	kind, err := wire.KindFromProto(req.Kind)
	if err != nil {
		return err
	}
	r, err := n.fresh(stream.Context(), req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return err
	}
	var chunk []*kithv1.Record
	size := 0
	for _, key := range req.Keys {
		record, ok, err := r.store.Record(kind, key)
		if err != nil {
			return n.troubled(r, err)
		}
		if !ok {
			continue
		}
		m := wire.RecordToProto(&record)
		chunk, size = append(chunk, m), size+proto.Size(m)
		if size < recordBytes {
			continue
		}
		if err := stream.Send(&kithv1.ReadRecordsResponse{Records: chunk}); err != nil {
			return err
		}
		chunk, size = nil, 0
	}
	if len(chunk) == 0 {
		return nil
	}
	return stream.Send(&kithv1.ReadRecordsResponse{Records: chunk})
}

// ScanRecords implements kithv1.PartitionServiceServer.
func (n *Node) ScanRecords(ctx context.Context, req *kithv1.ScanRecordsRequest) (*kithv1.ScanRecordsResponse, error) {
	kind, err := wire.BackupKindFromProto(req.Kind)
	if err != nil {
		return nil, err
	}
	r, err := n.fresh(ctx, req.Partition, req.Epoch, req.Stale)
	if err != nil {
		return nil, err
	}
	if err := r.comeTo(ctx, req.LeastIndex); err != nil {
		return nil, err
	}
	resp := &kithv1.ScanRecordsResponse{}
	size := 0
	add := func(record catalog.Record) error {
		if size >= recordBytes || req.N > 0 && len(resp.Records) == int(req.N) {
			resp.More = true
			return store.ErrStop
		}
		m := wire.RecordToProto(&record)
		resp.Records, size = append(resp.Records, m), size+proto.Size(m)+recordOverhead
		return nil
	}
	if kind == catalog.Joined {
		err = r.store.Aliases(ctx, req.AfterKey, add)
	} else {
		err = r.store.Records(ctx, kind, req.AfterKey, add)
	}
	if err != nil {
		return nil, n.troubled(r, err)
	}
	return resp, nil
}

// recordOverhead is what a record takes besides its own bytes, so that small ones do not make a long answer.
const recordOverhead = 64

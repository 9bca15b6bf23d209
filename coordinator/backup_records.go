package coordinator

import (
	"context"
	"fmt"
	"slices"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// backupRecords sends all records, partitions in order, the kinds of each in order, by key, behind a position. They have no cut: each is
// sent as it is at a replica that has come to the cut of the events, so what was acknowledged before the backup is there, or something newer.
func (c *Coordinator) backupRecords(ctx context.Context, from *kithv1.BackupPosition, send func(*kithv1.BackupResponse) error) error {
	first, err := wire.BackupKindFromProto(from.AfterKind)
	if err != nil {
		return err
	}
	after := from.AfterKey
	for p := from.Partition; int(p) < len(from.Manifest.Partitions); p++ {
		for _, kind := range append(slices.Clone(catalog.Kinds), catalog.Joined) {
			if kind < first {
				continue
			}
			if err := c.sendRecords(ctx, partition.ID(p), kind, after, from.Manifest.Partitions[p].Index, send); err != nil {
				return fmt.Errorf("backup: partition %d: %w", p, err)
			}
			after = ""
		}
		first = 0
	}
	return nil
}

// sendRecords sends the records of a kind of one partition.
func (c *Coordinator) sendRecords(ctx context.Context, p partition.ID, kind catalog.Kind, after string, index uint64, send func(*kithv1.BackupResponse) error) error {
	for more := true; more; {
		resp, err := c.recordsPage(ctx, p, &kithv1.ScanRecordsRequest{Partition: uint32(p), Kind: wire.KindToProto(kind), AfterKey: after, Stale: true, LeastIndex: index})
		if err != nil {
			return err
		}
		if more = resp.More; len(resp.Records) == 0 {
			continue
		}
		after = resp.Records[len(resp.Records)-1].Key
		part := &kithv1.BackupRecords{Partition: uint32(p), Kind: wire.KindToProto(kind), Records: resp.Records}
		if err := send(&kithv1.BackupResponse{Part: &kithv1.BackupResponse_Records{Records: part}}); err != nil {
			return err
		}
	}
	return nil
}

// recordsPage asks the replicas of a partition for a page until one answers or none has for a while.
func (c *Coordinator) recordsPage(ctx context.Context, p partition.ID, req *kithv1.ScanRecordsRequest) (resp *kithv1.ScanRecordsResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, dumpPatience)
	defer cancel()
	err = c.router.onPartition(ctx, p, true, func(ctx context.Context, client kithv1.PartitionServiceClient, epoch uint64) (err error) {
		req.Epoch = epoch
		resp, err = client.ScanRecords(ctx, req)
		return err
	})
	return resp, err
}

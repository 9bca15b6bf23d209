package coordinator

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Backup sends a manifest and then all events of the cluster up to the cut in it, as ClusterService.Backup describes, or
// what is missing after an earlier call; then, if they are asked for, its records. Events come from the replicas of each partition, one after the other; when one is lost the
// next goes on behind the last event. An error of send ends the backup and is returned. What does not agree with the
// manifest matches wire.ErrCorrupt. Memory: a message or two.
func (c *Coordinator) Backup(ctx context.Context, from *kithv1.BackupPosition, withRecords bool, send func(*kithv1.BackupResponse) error) error {
	if from == nil {
		m, err := c.manifest(ctx)
		if err != nil {
			return err
		}
		if err := send(&kithv1.BackupResponse{Part: &kithv1.BackupResponse_Manifest{Manifest: m}}); err != nil {
			return err
		}
		from = &kithv1.BackupPosition{Manifest: m}
	}
	if err := c.checkPosition(from); err != nil {
		return err
	}
	if from.AfterKind != kithv1.RecordKind_RECORD_KIND_UNSPECIFIED { // all events have been sent
		return c.backupRecords(ctx, from, send)
	}
	for p := from.Partition; int(p) < len(from.Manifest.Partitions); p++ {
		d := dump{c: c, partition: partition.ID(p), cut: from.Manifest.Partitions[p].Index, send: send}
		resumed := p == from.Partition && from.AfterUser != ""
		if resumed {
			d.user, d.id = from.AfterUser, from.AfterId
		}
		if err := d.run(ctx); err != nil {
			return fmt.Errorf("backup: partition %d: %w", p, err)
		}
		if want := from.Manifest.Partitions[p].Events; !resumed && d.events != want {
			return fmt.Errorf("backup: partition %d: %w: its replicas sent %d events, its leader counted %d at the cut", p, wire.ErrCorrupt, d.events, want)
		}
	}
	if !withRecords {
		return nil
	}
	return c.backupRecords(ctx, &kithv1.BackupPosition{Manifest: from.Manifest, AfterKind: kithv1.RecordKind_RECORD_KIND_PRODUCT}, send)
}

// checkPosition refuses to go on with a backup of another cluster.
func (c *Coordinator) checkPosition(from *kithv1.BackupPosition) error {
	s := c.State()
	switch m := from.GetManifest(); {
	case s.Epoch == 0:
		return fmt.Errorf("%w: it has no shard map yet", wire.ErrNotReady)
	case m.GetClusterId() != s.Cluster.ClusterId:
		return fmt.Errorf("%w: the backup is of cluster %q, this is %q", wire.ErrInvalid, m.GetClusterId(), s.Cluster.ClusterId)
	case len(m.Partitions) != len(s.Replicas):
		return fmt.Errorf("%w: the backup has %d partitions, the cluster %d", wire.ErrInvalid, len(m.Partitions), len(s.Replicas))
	}
	return nil
}

// manifest takes a cut of all partitions: each covers what was acknowledged before the call.
func (c *Coordinator) manifest(ctx context.Context) (*kithv1.BackupManifest, error) {
	s := c.State()
	if s.Epoch == 0 {
		return nil, fmt.Errorf("%w: it has no shard map yet", wire.ErrNotReady)
	}
	m := &kithv1.BackupManifest{
		ClusterId: s.Cluster.ClusterId, CreatedUnixMs: c.cfg.Now().UnixMilli(), Program: s.Member(c.peers.Self()).GetVersion(),
		ReplicationFactor: s.Cluster.ReplicationFactor, ActiveVersion: s.Active,
	}
	for _, r := range s.Versions {
		v := proto.Clone(r.Version).(*kithv1.ModelVersion)
		v.Active, v.Usage = v.Version == s.Active, nil
		m.Versions = append(m.Versions, v)
	}
	var err error
	if m.Partitions, err = c.cuts(ctx); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return m, nil
}

// cuts takes a cut of all partitions: each covers what was acknowledged before the call. It waits for elections.
func (c *Coordinator) cuts(ctx context.Context) ([]*kithv1.PartitionCut, error) {
	ctx, cancel := context.WithTimeout(ctx, cutPatience)
	defer cancel()
	cuts, err := c.router.Cuts(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the cut: %w", err)
	}
	out := make([]*kithv1.PartitionCut, len(cuts))
	for p, x := range cuts {
		out[p] = &kithv1.PartitionCut{Index: x.Index, Events: x.Events, Users: x.Users}
	}
	return out, nil
}

// dump brings the events of one partition up to a cut.
type dump struct {
	c         *Coordinator
	partition partition.ID
	cut       uint64
	send      func(*kithv1.BackupResponse) error

	user, id string // the last event that was sent
	events   uint64 // sent so far
}

// run sends all events of the partition, from one replica after the other.
func (d *dump) run(ctx context.Context) error {
	return d.c.fromReplicas(ctx, d.partition, "backup", func(ctx context.Context, node string, epoch uint64) (bool, error) {
		before := d.events
		err := d.from(ctx, node, epoch)
		return d.events > before, err
	})
}

// from sends what one replica has, behind the last event that was sent.
func (d *dump) from(ctx context.Context, node string, epoch uint64) error {
	open := func(ctx context.Context, c kithv1.PartitionServiceClient) (grpc.ServerStreamingClient[kithv1.DumpResponse], error) {
		return c.Dump(ctx, &kithv1.DumpRequest{Partition: uint32(d.partition), Epoch: epoch, Cut: d.cut, AfterUser: d.user, AfterId: d.id})
	}
	return listen(ctx, d.c, node, open, func(m *kithv1.DumpResponse) error {
		if len(m.Events) == 0 {
			return nil
		}
		part := &kithv1.BackupResponse{Part: &kithv1.BackupResponse_Events{
			Events: &kithv1.BackupEvents{Partition: uint32(d.partition), Events: m.Events},
		}}
		if err := d.send(part); err != nil {
			return &sinkError{err}
		}
		last := m.Events[len(m.Events)-1]
		d.user, d.id = last.User, last.Id
		d.events += uint64(len(m.Events))
		return nil
	})
}

package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// replica is a node that has the same events of every partition, and may break off.
type replica struct {
	kithv1.UnimplementedPartitionServiceServer
	ids []string // of the events of one user

	mu sync.Mutex
	// sends is how many chunks are sent before the next error; below 0 for all.
	sends int
	calls []*kithv1.DumpRequest
}

func (r *replica) Cut(context.Context, *kithv1.CutRequest) (*kithv1.CutResponse, error) {
	return &kithv1.CutResponse{Index: 7, Events: 6, Users: 1}, nil
}

// Dump sends two events in a chunk.
func (r *replica) Dump(req *kithv1.DumpRequest, stream grpc.ServerStreamingServer[kithv1.DumpResponse]) error {
	r.mu.Lock()
	r.calls = append(r.calls, req)
	sends := r.sends
	r.mu.Unlock()
	ids := r.ids
	if req.AfterUser != "" {
		ids = ids[slices.Index(ids, req.AfterId)+1:]
	}
	for chunk := range slices.Chunk(ids, 2) {
		if sends == 0 {
			return status.Error(codes.Internal, "broken off")
		}
		sends--
		m := &kithv1.DumpResponse{}
		for _, id := range chunk {
			m.Events = append(m.Events, &kithv1.Event{User: fmt.Sprint("u", req.Partition), Id: id, Item: "i", Behavior: "view"})
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// outside is a node without replicas and models.
type outside struct{}

func (outside) Leaderless(partition.ID) time.Duration { return 0 }
func (outside) HistoryOf(context.Context, partition.ID, uint64, string, bool) ([]fusion.Event, error) {
	return nil, wire.ErrNoReplica
}

func (outside) KnownHistory(partition.ID, uint64, string, bool) ([]fusion.Event, uint64, bool) {
	return nil, 0, false
}

func (outside) KnownStamp(partition.ID, uint64, string) (uint64, bool) { return 0, false }

func (outside) Erasures(int) (uint64, bool) { return 0, false }

func (outside) ScoresOf(uint64, []node.HistoryItem) (*neighborhood.Scores, error) {
	return nil, wire.ErrUnknownVersion
}
func (outside) Versions() *node.Versions { return nil }

// backupCluster returns a coordinator of two partitions that are on all of some replicas.
func backupCluster(t *testing.T, replicas ...*replica) *coordinator.Coordinator {
	t.Helper()
	peers := node.NewPeers("outside", nil)
	t.Cleanup(func() { _ = peers.Close() })
	var known []node.Peer
	var ids []string
	for i, r := range replicas {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer(node.ServerOptions()...)
		kithv1.RegisterPartitionServiceServer(s, r)
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		t.Cleanup(func() {
			s.Stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		ids = append(ids, fmt.Sprint("n", i))
		known = append(known, node.Peer{ID: ids[i], GRPCAddr: ln.Addr().String(), Alive: true})
	}
	peers.Update(known)
	machine := coordinator.NewMachine()
	apply(t, machine, 1, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{
		ClusterId: "c1", Partitions: 2, ReplicationFactor: uint32(len(replicas)),
	}}})
	apply(t, machine, 2, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: &kithv1.SetShardMap{
		Epoch: 1, Partitions: []*kithv1.Replicas{{Nodes: ids}, {Nodes: ids}},
	}}})
	return coordinator.New(coordinator.Config{Now: time.Now, Logger: slog.New(slog.DiscardHandler)}, coordinator.NewControl(machine, nil, peers), outside{})
}

// apply puts a command into a machine.
func apply(t *testing.T, m *coordinator.Machine, index uint64, c *kithv1.ControlCommand) {
	t.Helper()
	data, err := proto.Marshal(c)
	if err == nil {
		_, err = m.Apply(index, data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// received is what a backup sent.
type received struct {
	manifest *kithv1.BackupManifest
	keys     []string
}

func (r *received) take(m *kithv1.BackupResponse) error {
	if m.GetManifest() != nil {
		r.manifest = m.GetManifest()
	}
	for _, e := range m.GetEvents().GetEvents() {
		r.keys = append(r.keys, e.User+e.Id)
	}
	return nil
}

var (
	sixIDs  = []string{"a", "b", "c", "d", "e", "f"}
	sixKeys = []string{"u0a", "u0b", "u0c", "u0d", "u0e", "u0f", "u1a", "u1b", "u1c", "u1d", "u1e", "u1f"}
)

// TestBackupGoesOn has replicas that break off: the next goes on behind the last event that came.
func TestBackupGoesOn(t *testing.T) {
	first, second := &replica{ids: sixIDs, sends: 1}, &replica{ids: sixIDs, sends: 1}
	c := backupCluster(t, first, second)
	var got received
	if err := c.Backup(t.Context(), nil, false, got.take); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.keys, sixKeys) {
		t.Errorf("got %v, want %v", got.keys, sixKeys)
	}
	if m := got.manifest; m.ClusterId != "c1" || len(m.Partitions) != 2 || m.Partitions[0].Index != 7 || m.Partitions[0].Events != 6 {
		t.Errorf("got manifest %v", m)
	}
	if len(first.calls) < 2 || len(second.calls) < 2 {
		t.Errorf("%d and %d calls, want both to be asked for both", len(first.calls), len(second.calls))
	}
	for _, req := range append(first.calls, second.calls...) {
		if req.Cut != 7 || req.Epoch != 1 {
			t.Errorf("got request %v, want cut 7 and epoch 1", req)
		}
	}
}

// TestBackupResumes goes on with a backup that another call began.
func TestBackupResumes(t *testing.T) {
	c := backupCluster(t, &replica{ids: sixIDs, sends: -1})
	var first, rest received
	errStop := errors.New("receiver is gone")
	err := c.Backup(t.Context(), nil, false, func(m *kithv1.BackupResponse) error {
		if len(first.keys) == 8 {
			return errStop
		}
		return first.take(m)
	})
	if !errors.Is(err, errStop) {
		t.Fatalf("got %v, want %v", err, errStop)
	}
	from := &kithv1.BackupPosition{Manifest: first.manifest, Partition: 1, AfterUser: "u1", AfterId: "b"}
	if err := c.Backup(t.Context(), from, false, rest.take); err != nil {
		t.Fatal(err)
	}
	if got := append(first.keys, rest.keys...); rest.manifest != nil || !slices.Equal(got, sixKeys) {
		t.Errorf("got %v and manifest %v, want %v and none", got, rest.manifest, sixKeys)
	}
	from.Manifest.ClusterId = "another"
	if err := c.Backup(t.Context(), from, false, rest.take); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("of another cluster: got %v, want %v", err, wire.ErrInvalid)
	}
}

// TestBackupCounts has a replica that lacks an event that its leader counted.
func TestBackupCounts(t *testing.T) {
	c := backupCluster(t, &replica{ids: sixIDs[:5], sends: -1})
	var got received
	if err := c.Backup(t.Context(), nil, false, got.take); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("got %v, want %v", err, wire.ErrCorrupt)
	}
}

// TestBackupEnds has no replica that sends anything: the caller's context ends it.
func TestBackupEnds(t *testing.T) {
	c := backupCluster(t, &replica{ids: sixIDs, sends: 0})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var got received
	if err := c.Backup(ctx, nil, false, got.take); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

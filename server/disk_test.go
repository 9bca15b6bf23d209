package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// fakeDisks are disks of members whose free space a test sets.
type fakeDisks []atomic.Int64

const roomy, fullDisk = 1 << 40, 100 << 20

func (f fakeDisks) configure(member int, cfg *server.Config) {
	cfg.DiskReserveBytes = 200 << 20
	cfg.DiskSpace = func(string) (free, total uint64, err error) { return uint64(f[member].Load()), 2 * roomy, nil }
}

func (f fakeDisks) set(free int64, members ...int) {
	for _, m := range members {
		f[m].Store(free)
	}
}

// led returns how many partitions each member leads, as member asks sees it.
func led(t *testing.T, c *clustertest.Cluster, asks int) (map[string]int, error) {
	t.Helper()
	s, err := kithv1.NewClusterServiceClient(c.Conn(asks)).Status(t.Context(), &kithv1.StatusRequest{})
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, p := range s.Partitions {
		out[p.Leader]++
	}
	return out, nil
}

// appendOnce sends events in one message, and returns the error.
func appendOnce(ctx context.Context, c *clustertest.Cluster, member int, events []*kithv1.Event) error {
	stream, err := c.Events(member).Append(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&kithv1.AppendRequest{Events: events}) // CloseAndRecv tells why
	_, err = stream.CloseAndRecv()
	return err
}

// takesEvents returns the health of a member's event service.
func takesEvents(t *testing.T, c *clustertest.Cluster, member int) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	resp, err := healthv1.NewHealthClient(c.Conn(member)).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "kith.v1.EventsService"})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status
}

// TestDiskFull fills the disk of one member of three, then of all, and makes room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disks := make(fakeDisks, 3)
	disks.set(roomy, 0, 1, 2)
	c := clustertest.Start(t, clustertest.Options{Configure: disks.configure})
	c.Append(0, shopEvents(30, 50, 20, 6))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	id := c.Members[0].Server.ID()

	disks.set(fullDisk, 0)
	c.Eventually(func() error {
		leads, err := led(t, c, 1)
		if err == nil && leads[id] > 0 {
			err = fmt.Errorf("member with a full disk leads %d partitions", leads[id])
		}
		return err
	})
	c.Eventually(func() error {
		if got := takesEvents(t, c, 0); got != healthv1.HealthCheckResponse_NOT_SERVING {
			return fmt.Errorf("health of the event service with a full disk: %v", got)
		}
		return nil
	})
	// Events go to the others, through any member; and it answers queries.
	if err := appendOnce(t.Context(), c, 0, shopEvents(30, 50, 2, 7)); err != nil {
		t.Errorf("append through the member with the full disk: %v", err)
	}
	if got := recommend(t, c, 0, forUser("u001", 5)); len(got.Items) != 5 {
		t.Errorf("got %v, want 5 items", got)
	}
	// A build needs to write there.
	job, err := c.Models(1).Build(t.Context(), &kithv1.BuildRequest{Spec: &kithv1.BuildSpec{K: 11}})
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually(func() error {
		j := c.Members[1].Server.State().Job(job.Job.Id)
		if j == nil || j.Job.Phase != kithv1.JobPhase_JOB_PHASE_FAILED {
			return errors.New("the build has not failed yet")
		}
		if !strings.Contains(j.Job.Error, id) || !strings.Contains(j.Job.Error, "disk is full") {
			t.Errorf("build failed with %q, want the member and its disk", j.Job.Error)
		}
		return nil
	})

	disks.set(fullDisk, 1, 2)
	c.Eventually(func() error {
		for m := range 3 {
			if takesEvents(t, c, m) != healthv1.HealthCheckResponse_NOT_SERVING {
				return fmt.Errorf("member %d takes events", m)
			}
		}
		return nil
	})
	err = wire.FromStatus(appendOnce(t.Context(), c, 1, shopEvents(1, 50, 2, 8)))
	if status.Code(err) != codes.ResourceExhausted || !errors.Is(err, wire.ErrDiskFull) || !strings.Contains(err.Error(), "100 MiB are free") {
		t.Errorf("append with all disks full: got %v, want RESOURCE_EXHAUSTED and the free space", err)
	}
	if events, err := list(t, c, 1, "u001"); err != nil || len(events) == 0 {
		t.Errorf("history with all disks full: %d events, %v", len(events), err)
	}

	disks.set(roomy, 0, 1, 2)
	c.Eventually(func() error { return appendOnce(t.Context(), c, 0, shopEvents(30, 50, 2, 9)) })
	c.Eventually(func() error {
		if got := takesEvents(t, c, 0); got != healthv1.HealthCheckResponse_SERVING {
			return fmt.Errorf("health of the event service with room: %v", got)
		}
		return nil
	})
	c.Build(0, &kithv1.BuildSpec{K: 12})
}

// TestFollowerWithoutRoom lets a member fall behind whose disk takes not even log entries. It catches up when there is room.
func TestFollowerWithoutRoom(t *testing.T) {
	t.Parallel()
	disks := make(fakeDisks, 3)
	disks.set(roomy, 0, 1, 2)
	c := clustertest.Start(t, clustertest.Options{Configure: disks.configure})
	c.Append(1, shopEvents(10, 50, 5, 1))
	disks.set(1<<20, 0)
	c.Eventually(func() error { return appendOnce(t.Context(), c, 1, shopEvents(30, 50, 20, 2)) })
	disks.set(roomy, 0)
	sameEverywhere(t, c)
}

// sameEverywhere waits until all replicas of each partition have applied the same and hold as many events.
func sameEverywhere(t *testing.T, c *clustertest.Cluster) {
	t.Helper()
	c.Eventually(func() error {
		seen := map[uint32]*kithv1.ReplicaInfo{}
		for _, m := range c.Alive() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			info, err := kithv1.NewPartitionServiceClient(c.Conn(m.Index)).Info(ctx, &kithv1.InfoRequest{})
			cancel()
			if err != nil {
				return err
			}
			if len(info.Replicas) != len(m.Server.State().Replicas) {
				return fmt.Errorf("member %d has %d replicas", m.Index, len(info.Replicas))
			}
			for _, r := range info.Replicas {
				first := seen[r.Partition]
				if first == nil {
					seen[r.Partition] = r
				} else if first.AppliedIndex != r.AppliedIndex || first.Events != r.Events || first.Users != r.Users {
					return fmt.Errorf("member %d has %v, another %v", m.Index, r, first)
				}
			}
		}
		return nil
	})
}

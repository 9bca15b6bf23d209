package server_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// startBuild starts a build through a member and returns its job.
func startBuild(t *testing.T, c *clustertest.Cluster, member int, spec *kithv1.BuildSpec) uint64 {
	t.Helper()
	resp, err := c.Models(member).Build(t.Context(), &kithv1.BuildRequest{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Job.Id
}

func cancelBuild(t *testing.T, c *clustertest.Cluster, member int, job uint64) *kithv1.CancelResponse {
	t.Helper()
	resp, err := c.Models(member).Cancel(t.Context(), &kithv1.CancelRequest{Id: job, By: "ada@desk"})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// reach waits until a job has computed something, or has ended.
func reach(t *testing.T, c *clustertest.Cluster, member int, job uint64) *kithv1.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	stream, err := c.Models(member).WatchJob(ctx, &kithv1.WatchJobRequest{Id: job})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.Job.TasksDone > 0 || m.Job.Phase >= kithv1.JobPhase_JOB_PHASE_MERGE {
			return m.Job
		}
	}
}

// TestCancel ends a build in the middle, through a server that does not coordinate: nothing of it is left, a second time changes
// nothing, and the next build runs at once.
func TestCancel(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, shopEvents(120, 600, 60, 3))
	through := (c.Coordinator() + 1) % 3
	if resp := cancelBuild(t, c, through, 0); resp.Job != nil || resp.Canceled {
		t.Errorf("canceled %v while no build runs", resp)
	}
	if _, err := c.Models(through).Cancel(t.Context(), &kithv1.CancelRequest{Id: 1 << 40}); !errors.Is(err, wire.ErrUnknownJob) {
		t.Errorf("cancel of a job that never was: %v, want %v", err, wire.ErrUnknownJob)
	}
	if _, err := c.Models(through).Cancel(t.Context(), &kithv1.CancelRequest{By: "a\nb"}); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("cancel by two lines: %v, want %v", err, wire.ErrInvalid)
	}
	var job uint64
	for attempt := 0; ; attempt++ {
		job = startBuild(t, c, through, &kithv1.BuildSpec{K: 20, BlockItems: 16})
		if seen := reach(t, c, through, job); seen.Phase >= kithv1.JobPhase_JOB_PHASE_MERGE {
			if attempt == 5 {
				t.Fatal("builds end before they can be canceled")
			}
			c.Wait(through, job)
			continue
		}
		if resp := cancelBuild(t, c, through, 0); resp.Canceled {
			if resp.Job.Id != job || resp.Job.Phase != kithv1.JobPhase_JOB_PHASE_FAILED || !strings.Contains(resp.Job.Error, "canceled by ada@desk") ||
				!strings.Contains(resp.Job.Error, c.Members[through].Server.ID()) || resp.Job.EndedUnixMs == 0 {
				t.Errorf("canceled job is %v", resp.Job)
			}
			break
		}
	}
	again := cancelBuild(t, c, c.Coordinator(), job)
	if again.Canceled || !strings.Contains(again.Job.Error, "canceled by ada@desk") {
		t.Errorf("canceled twice: %v", again)
	}
	next := startBuild(t, c, through, &kithv1.BuildSpec{K: 5})
	c.Wait(through, next)
	if now := c.Members[through].Server.State(); now.Active != next || now.Version(job) != nil {
		t.Errorf("active is %d, want %d; job %d was canceled", now.Active, next, job)
	}
	c.Eventually(func() error {
		for i := range c.Members {
			if path := filepath.Join(c.Dir(i), "models", fmt.Sprintf("%020d", job)); exists(path) {
				return fmt.Errorf("%s is left of the canceled build", path)
			}
			if n := c.Members[i].Server.Jobs(); n > 0 {
				return fmt.Errorf("member %d still works on %d builds", i, n)
			}
		}
		return nil
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// TestBuildThatCannotEnd begins a build while a partition has no replica that answers. It is canceled; and the next one is given up
// by the coordinator, which says why. When the replica is back a build ends.
func TestBuildThatCannotEnd(t *testing.T) {
	t.Parallel()
	const patience = 3 * time.Second
	c := clustertest.Start(t, clustertest.Options{Configure: func(_ int, cfg *server.Config) {
		cfg.Replication, cfg.StallAfter = 1, patience
	}})
	c.Append(0, shopEvents(30, 50, 20, 12))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	coordinator := c.Coordinator()
	lost := slices.IndexFunc(c.Members, func(m *clustertest.Member) bool { // a member may hold nothing of four partitions
		return m.Index != coordinator && slices.ContainsFunc(m.Server.State().Replicas, func(nodes []string) bool { return nodes[0] == m.Server.ID() })
	})
	through := 3 - coordinator - lost
	c.Kill(lost)
	job := startBuild(t, c, through, &kithv1.BuildSpec{K: 9})
	if resp := cancelBuild(t, c, through, job); !resp.Canceled {
		t.Errorf("a build that waits for a partition is not canceled: %v", resp)
	}
	began := time.Now()
	job = startBuild(t, c, through, &kithv1.BuildSpec{K: 8}) // at once
	c.Eventually(func() error {
		j := c.Members[through].Server.State().Job(job).Job
		if j.Phase != kithv1.JobPhase_JOB_PHASE_FAILED {
			return fmt.Errorf("job is %v", j)
		}
		if !strings.Contains(j.Error, "no progress for 3s at the step cut") || !strings.Contains(j.Error, "0 of the 1 replicas of partition") {
			t.Errorf("job failed with %q", j.Error)
		}
		return nil
	})
	if took := time.Since(began); took < patience {
		t.Errorf("given up after %v, want %v or more", took, patience)
	}
	c.Run(lost)
	c.Ready()
	c.Build(through, &kithv1.BuildSpec{K: 7})
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// buildSpec is what builds of the drill compute. Another k makes another spec, so that it is not taken for a build that runs.
func buildSpec(k uint32) *kithv1.BuildSpec { return &kithv1.BuildSpec{Measure: "cosine", K: k} }

// build starts a build and waits until it has ended.
func (c *client) build(ctx context.Context, spec *kithv1.BuildSpec) (*kithv1.Job, error) {
	id, err := c.startBuild(ctx, spec)
	if err != nil {
		return nil, err
	}
	return c.watch(ctx, id, ended)
}

// buildWait is how long a build may wait for another to end.
const buildWait = 30 * time.Second

// startBuild starts a build, after one with another spec that may run.
func (c *client) startBuild(ctx context.Context, spec *kithv1.BuildSpec) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, buildWait)
	defer cancel()
	for {
		var id uint64
		err := c.call(ctx, callTry, func(ctx context.Context, conn *grpc.ClientConn) error {
			resp, err := kithv1.NewModelServiceClient(conn).Build(ctx, &kithv1.BuildRequest{Spec: spec})
			id = resp.GetJob().GetId()
			return err
		})
		if !errors.Is(err, wire.ErrJobRunning) {
			return id, err
		}
		if pause(ctx, lookPause) != nil {
			return 0, err
		}
	}
}

// watch waits until a job is as asked for.
func (c *client) watch(ctx context.Context, id uint64, enough func(*kithv1.Job) bool) (*kithv1.Job, error) {
	var last *kithv1.Job
	// A server that does not know the job yet, or any more of the cluster, is passed over for the next one.
	err := c.call(ctx, callDeadline, func(ctx context.Context, conn *grpc.ClientConn) error {
		ctx, cancel := context.WithCancel(ctx) // ends the stream
		defer cancel()
		stream, err := kithv1.NewModelServiceClient(conn).WatchJob(ctx, &kithv1.WatchJobRequest{Id: id})
		if err != nil {
			return err
		}
		for {
			m, err := stream.Recv()
			switch {
			case errors.Is(err, io.EOF):
				return fmt.Errorf("%w: job %d ended unnoticed", wire.ErrNotReady, id)
			case errors.Is(err, wire.ErrUnknownJob):
				return fmt.Errorf("%w: %w", wire.ErrNotReady, err)
			case err != nil:
				return err
			case enough(m.Job):
				last = m.Job
				return nil
			}
		}
	})
	return last, err
}

func ended(j *kithv1.Job) bool {
	return succeeded(j) || j.Phase == kithv1.JobPhase_JOB_PHASE_FAILED
}

// computing reports whether a job has a plan and its tasks are under way, or is beyond that.
func computing(j *kithv1.Job) bool { return j.Phase >= kithv1.JobPhase_JOB_PHASE_EXPORT }

// jobEnd says in a word how a job ended.
func jobEnd(j *kithv1.Job) string {
	if succeeded(j) {
		return "done"
	}
	return strings.ToLower(strings.TrimPrefix(j.Phase.String(), "JOB_PHASE_"))
}

// succeeded reports whether a job has published its version.
func succeeded(j *kithv1.Job) bool { return j.Phase == kithv1.JobPhase_JOB_PHASE_DONE }

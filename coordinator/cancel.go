package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// canceledBy begins the error of a job that somebody has canceled, as the protocol says.
const canceledBy = "canceled by "

// Canceled reports whether a job has ended because somebody canceled it. Its error then says who did.
func Canceled(j *kithv1.Job) bool {
	return j.GetPhase() == kithv1.JobPhase_JOB_PHASE_FAILED && strings.HasPrefix(j.Error, canceledBy)
}

// Cancel ends a build, or the one that runs if job is 0, and says who asked for it. It returns the build as it is then, nil if none
// runs, and whether this call ended it: one that has ended before stays as it is. Errors match wire.ErrUnknownJob.
func (c *Coordinator) Cancel(ctx context.Context, job uint64, by string) (_ *kithv1.Job, canceled bool, err error) {
	if err := c.Confirm(ctx); err != nil { // the build may be younger than what this process knows
		return nil, false, err
	}
	s := c.State()
	rec := s.Job(job)
	if job == 0 {
		if rec = s.Running(); rec == nil {
			return nil, false, nil
		}
	}
	switch {
	case rec == nil:
		return nil, false, fmt.Errorf("%w: %d", wire.ErrUnknownJob, job)
	case Ended(rec.Job):
		return rec.Job, false, nil
	}
	reason := fmt.Sprintf("%s%s, through node %s", canceledBy, by, c.peers.Self())
	if err := c.failJob(ctx, rec.Job.Id, reason); err != nil {
		if now := c.State().Job(rec.Job.Id); errors.Is(err, wire.ErrUnknownJob) && now != nil {
			return c.Cancel(ctx, now.Job.Id, by) // it has begun again meanwhile
		}
		return nil, false, err
	}
	if rec = c.State().Job(rec.Job.Id); rec == nil {
		return nil, false, fmt.Errorf("%w: %d", wire.ErrUnknownJob, job)
	}
	return rec.Job, rec.Job.Error == reason, nil
}

// failJob ends a job for a reason, unless it has ended.
func (c *Coordinator) failJob(ctx context.Context, job uint64, reason string) error {
	_, err := c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetJobPhase{SetJobPhase: &kithv1.SetJobPhase{
		Job: job, Phase: kithv1.JobPhase_JOB_PHASE_FAILED, Error: reason, NowUnixMs: c.cfg.Now().UnixMilli(),
	}}})
	return err
}

// failure returns why a job failed, or nil if it did not.
func failure(rec *kithv1.JobRecord) error {
	if rec == nil || rec.Job.Phase != kithv1.JobPhase_JOB_PHASE_FAILED {
		return nil
	}
	return fmt.Errorf("build %d: %s", rec.Job.Id, rec.Job.Error)
}

// whileOpen runs f with a context that ends when the job fails in the log, by whoever ends it.
func (b *Builder) whileOpen(ctx context.Context, job uint64, f func(context.Context) error) error {
	err, _ := while(ctx, b.cfg.Log.Changed, func() error {
		if failure(b.cfg.Log.State().Job(job)) != nil {
			return context.Canceled
		}
		return nil
	}, f)
	return err
}

// dropJob frees what the nodes keep for a job that has ended. A node that does not hear it drops the job when it sees its end in
// the log.
func (b *Builder) dropJob(ctx context.Context, job uint64) {
	var calls sync.WaitGroup
	for _, node := range b.cfg.Nodes.Alive() {
		calls.Go(func() {
			if err := b.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
				ctx, cancel := context.WithTimeout(ctx, dropTimeout)
				defer cancel()
				_, err := c.DropJob(ctx, &kithv1.DropJobRequest{Job: job})
				return err
			}); err != nil {
				b.cfg.Logger.Debug("drop job", "job", job, "node", node, "err", err)
			}
		})
	}
	calls.Wait()
}

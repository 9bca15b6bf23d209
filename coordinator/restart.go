package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// maxRestarts is how often a job begins again: where users are erased all the time a build that reads events late never comes to its end.
const maxRestarts = 5

// restartJob begins a job again under a new id, which it returns: the next cut has nothing in common with what nodes have of the last one.
func (s *State) restartJob(index, id uint64) (uint64, error) {
	at := slices.IndexFunc(s.Jobs, func(j *kithv1.JobRecord) bool { return j.Job.Id == id })
	switch {
	case at < 0 && s.Job(id) != nil:
		return s.Job(id).Job.Id, nil // a repeated command
	case at < 0:
		return 0, fmt.Errorf("%w: %d", wire.ErrUnknownJob, id)
	case Ended(s.Jobs[at].Job):
		return id, nil
	}
	was := s.Jobs[at]
	if n := len(was.Job.EarlierIds); n >= maxRestarts {
		return 0, fmt.Errorf("%w: build %d has begun again %d times", wire.ErrErased, id, n)
	}
	job := &kithv1.Job{
		Id: index, Spec: was.Job.Spec, Phase: kithv1.JobPhase_JOB_PHASE_CUT, CreatedUnixMs: was.Job.CreatedUnixMs,
		EarlierIds: append(slices.Clone(was.Job.EarlierIds), id),
	}
	s.Jobs = slices.Clone(s.Jobs)
	s.Jobs[at] = &kithv1.JobRecord{Job: job, RequestId: was.RequestId} // the last one, as those that follow begin when it has ended
	return index, nil
}

// restart makes a build begin again, or fails it if that cannot be. Cause says which erasure has overtaken it.
func (c *Coordinator) restart(ctx context.Context, job uint64, cause error) error {
	err := c.require(ctx, restartLevel, "a build that begins again")
	var id uint64
	if err == nil {
		id, err = c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_RestartJob{RestartJob: &kithv1.RestartJob{Job: job}}})
	}
	switch {
	case errors.Is(err, wire.ErrUpgrade), errors.Is(err, wire.ErrErased):
		cause = fmt.Errorf("%w; and %w", cause, err)
		return errors.Join(cause, c.failJob(ctx, job, cause.Error()))
	case err != nil || id == job: // or it has ended meanwhile
		return err
	}
	c.restarts.Inc()
	c.cfg.Logger.Warn("build begins again", "job", job, "as", id, "err", cause)
	return nil
}

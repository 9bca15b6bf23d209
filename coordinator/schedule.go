package coordinator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// buildRest is how many times as long as a build took there is none that was not asked for: the nodes have queries to answer.
const buildRest = 3

// scheduleRequest begins the request id of a build that nobody asked for.
const scheduleRequest = "schedule-"

// ofSchedule reports whether a job, nil for none, began because its time had come.
func ofSchedule(j *kithv1.JobRecord) bool {
	return strings.HasPrefix(j.GetRequestId(), scheduleRequest)
}

// schedule starts builds while this process coordinates: one BuildEvery after the last one began, when there is something that the active version has not seen, with the
// settings of that version. While an older version was made active there are none: they would take its place.
func (c *Coordinator) schedule(ctx context.Context) {
	for {
		changed := c.Changed()
		wait, due := nextBuild(c.State(), c.cfg.BuildEvery, c.cfg.Now())
		if due && wait <= 0 {
			if err := c.buildAgain(ctx); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("build at its time", "err", err)
			}
			wait = c.cfg.BuildEvery
		}
		timer := time.NewTimer(wait)
		var ticks <-chan time.Time
		if due {
			ticks, changed = timer.C, nil
		}
		select {
		case <-ticks:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// maxDoublings bounds the pauses after builds that failed: 16 times as long as after one that did not.
const maxDoublings = 4

// nextBuild returns how long it is to the next build: twice as long after each one that failed. due is false while one runs, while an older version than the last is active, or before
// there are partitions.
func nextBuild(s *State, every time.Duration, now time.Time) (wait time.Duration, due bool) {
	if s.Epoch == 0 || s.Running() != nil || len(s.Versions) > 0 && s.Versions[len(s.Versions)-1].Version.Version != s.Active {
		return 0, false
	}
	if len(s.Jobs) == 0 {
		return 0, true
	}
	failed := 0
	for _, j := range slices.Backward(s.Jobs) {
		if j.Job.Phase != kithv1.JobPhase_JOB_PHASE_FAILED || Canceled(j.Job) || failed == maxDoublings {
			break
		}
		failed++
	}
	j := s.Jobs[len(s.Jobs)-1].Job
	began, ended := time.UnixMilli(j.CreatedUnixMs), time.UnixMilli(j.EndedUnixMs)
	return max(began.Add(every<<failed).Sub(now), ended.Add(buildRest*max(0, ended.Sub(began))).Sub(now)), true
}

// buildAgain starts a build with the settings of the active version, if it would see or train something that the version does not have.
func (c *Coordinator) buildAgain(ctx context.Context) error {
	s := c.State()
	spec, active := &kithv1.BuildSpec{}, s.Version(s.Active)
	if active != nil {
		spec = active.Version.Spec
	}
	if len(c.cfg.Models) > 0 {
		spec = proto.Clone(spec).(*kithv1.BuildSpec)
		spec.Models = c.cfg.Models
	}
	spec, err := c.complete(ctx, spec)
	if err != nil {
		return err
	}
	stored, err := c.cuts(ctx)
	if err != nil {
		return err
	}
	if active != nil && covers(s.Job(s.Active).GetCut(), stored) && proto.Equal(spec, active.Version.Spec) || !slices.ContainsFunc(stored, hasEvents) {
		return nil
	}
	_, err = c.createJob(ctx, spec, scheduleRequest+c.cfg.NewID())
	if errors.Is(err, wire.ErrJobRunning) {
		return nil // somebody was faster
	}
	return err
}

func hasEvents(cut *kithv1.PartitionCut) bool { return cut.Events > 0 }

// covers reports whether a version has seen all that is stored. cut is that of its build, which may not be known any more.
func covers(cut []uint64, stored []*kithv1.PartitionCut) bool {
	for p, now := range stored {
		if p >= len(cut) || now.Index > cut[p] {
			return false
		}
	}
	return true
}

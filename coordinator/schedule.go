package coordinator

import (
	"context"
	"errors"
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

// schedule starts builds while this process coordinates: one BuildEvery after the last one began, when events have come since, with the settings of
// the active version.
func (c *Coordinator) schedule(ctx context.Context) {
	var last eventCount
	for {
		changed := c.Changed()
		wait, due := nextBuild(c.State(), c.cfg.BuildEvery, c.cfg.Now())
		if due && wait <= 0 {
			now, covered, err := c.countEvents(ctx)
			if err == nil && now != last && now.events > 0 && !covered {
				err = c.buildAgain(ctx)
			}
			if err == nil {
				last = now
			} else if ctx.Err() == nil {
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

// nextBuild returns how long it is to the next build; due is false while one runs, or before there are partitions.
func nextBuild(s *State, every time.Duration, now time.Time) (wait time.Duration, due bool) {
	if s.Epoch == 0 || s.Running() != nil {
		return 0, false
	}
	if len(s.Jobs) == 0 {
		return 0, true
	}
	j := s.Jobs[len(s.Jobs)-1].Job
	began, ended := time.UnixMilli(j.CreatedUnixMs), time.UnixMilli(j.EndedUnixMs)
	return max(began.Add(every).Sub(now), ended.Add(buildRest*max(0, ended.Sub(began))).Sub(now)), true
}

// eventCount tells whether events have come.
type eventCount struct{ events, users uint64 }

// countEvents also tells whether the active version has seen them all.
func (c *Coordinator) countEvents(ctx context.Context) (n eventCount, covered bool, err error) {
	cuts, err := c.cuts(ctx)
	if err != nil {
		return n, false, err
	}
	for _, cut := range cuts {
		n.events += cut.Events
		n.users += cut.Users
	}
	s := c.State()
	return n, covers(s.Job(s.Active).GetCut(), cuts), nil
}

// covers reports whether a version has seen all that is stored. cut is that of its build, which may not be known any more.
func covers(cut []uint64, stored []*kithv1.PartitionCut) bool {
	for p, now := range stored {
		if p >= len(cut) || now.Index > cut[p] {
			return false
		}
	}
	return true
}

// buildAgain starts a build with the settings of the active version.
func (c *Coordinator) buildAgain(ctx context.Context) error {
	s := c.State()
	spec := &kithv1.BuildSpec{}
	if v := s.Version(s.Active); v != nil {
		spec = v.Version.Spec
	}
	if len(c.cfg.Models) > 0 {
		spec = proto.Clone(spec).(*kithv1.BuildSpec)
		spec.Models = c.cfg.Models
	}
	spec, err := c.complete(ctx, spec)
	if err == nil {
		_, err = c.createJob(ctx, spec, scheduleRequest+c.cfg.NewID())
	}
	if errors.Is(err, wire.ErrJobRunning) {
		return nil // somebody was faster
	}
	return err
}

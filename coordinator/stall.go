package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// strides knows when the build that runs has last come further, as one coordinator has seen it. What an attempt repeats does not
// count. It is safe for concurrent use.
type strides struct {
	now func() time.Time

	mu  sync.Mutex
	job uint64
	// phase and tasks are what the log said last.
	phase kithv1.JobPhase
	tasks uint32
	// far and done are the furthest step that was seen, and how much of it.
	far   kithv1.JobPhase
	done  int
	since time.Time
}

// note takes in how far a step of a job is.
func (s *strides) note(job uint64, phase kithv1.JobPhase, done int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if job == s.job && cmp.Or(cmp.Compare(stage(phase), stage(s.far)), cmp.Compare(done, s.done)) > 0 {
		s.far, s.done, s.since = phase, done, s.now()
	}
}

// still takes in what the log says of the job that runs, and returns for how long it has not come further.
func (s *strides) still(j *kithv1.Job) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.Id != s.job {
		s.job, s.far, s.done = j.Id, 0, 0
		s.phase, s.tasks, s.since = j.Phase, j.TasksDone, s.now()
	}
	if j.Phase != s.phase || j.TasksDone != s.tasks {
		s.phase, s.tasks, s.since = j.Phase, j.TasksDone, s.now()
	}
	return s.now().Sub(s.since)
}

// unblock fails the build that runs if it has not come further for a while and something waits for its end: moves do, also those
// that repair what the build lacks.
func (p *placement) unblock(ctx context.Context) error {
	rec := p.State().Running()
	if rec == nil || p.strides.still(rec.Job) < p.cfg.StallAfter {
		return nil
	}
	why := p.blocked()
	if why == "" {
		return nil
	}
	reason := fmt.Sprintf("no progress for %v at the step %s, and %s; build again when 'kith doctor' finds nothing", p.cfg.StallAfter, PhaseName(rec.Job.Phase), why)
	p.cfg.Logger.Error("build is given up", "job", rec.Job.Id, "reason", reason)
	return p.failJob(ctx, rec.Job.Id, reason)
}

// blocked says what a build that does not go on has to do with, or "" if nothing speaks for giving it up.
func (p *placement) blocked() string {
	s, alive := p.State(), p.peers.Alive()
	for of, nodes := range s.Replicas {
		if !mostAnswer(alive, nodes) {
			return fmt.Sprintf("%d of the %d replicas of partition %d answer", answering(alive, nodes), len(nodes), of)
		}
	}
	if n := len(p.pending(s)); n > 0 {
		return fmt.Sprintf("moves of replicas wait for its end (%d)", n)
	}
	return ""
}

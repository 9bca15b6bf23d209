package coordinator

import (
	"testing"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestStrides(t *testing.T) {
	const (
		count   = kithv1.JobPhase_JOB_PHASE_COUNT
		compute = kithv1.JobPhase_JOB_PHASE_COMPUTE
	)
	now := time.Unix(1000, 0)
	s := &strides{now: func() time.Time { return now }}
	pass := func(step string, want time.Duration, j *kithv1.Job) {
		t.Helper()
		now = now.Add(time.Minute)
		if got := s.still(j); got != want {
			t.Errorf("%s: no progress for %v, want %v", step, got, want)
		}
	}
	counting := &kithv1.Job{Id: 7, Phase: count}
	pass("the first look", 0, counting)
	pass("nothing", time.Minute, counting)
	s.note(7, count, 3)
	pass("three partitions are counted", time.Minute, counting)
	s.note(7, count, 1)
	s.note(7, count, 2)
	s.note(7, count, 3)
	pass("the next attempt counts the same three", 2*time.Minute, counting)
	s.note(6, count, 9)
	pass("another build goes on", 3*time.Minute, counting)
	s.note(7, count, 4)
	pass("the fourth is counted", time.Minute, counting)
	computing := &kithv1.Job{Id: 7, Phase: compute, TasksDone: 5}
	pass("the log says that it computes", 0, computing)
	s.note(7, compute, 5)
	s.note(7, count, 4)
	pass("an attempt from the start", time.Minute, computing)
	pass("tasks of a lost node are to be done again", 0, &kithv1.Job{Id: 7, Phase: compute, TasksDone: 2})
	pass("the next build", 0, &kithv1.Job{Id: 8, Phase: compute, TasksDone: 2})
}

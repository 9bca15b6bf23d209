package coordinator

import (
	"testing"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestCovers(t *testing.T) {
	stored := []*kithv1.PartitionCut{{Index: 7}, {Index: 9}}
	for _, c := range []struct {
		cut  []uint64
		want bool
	}{
		{nil, false}, {[]uint64{7}, false}, {[]uint64{7, 8}, false}, {[]uint64{7, 9}, true}, {[]uint64{8, 10}, true},
	} {
		if got := covers(c.cut, stored); got != c.want {
			t.Errorf("covers(%d) = %v", c.cut, got)
		}
	}
}

func TestNextBuild(t *testing.T) {
	const every = time.Minute
	at := func(seconds int64) int64 { return seconds * 1000 }
	job := func(phase kithv1.JobPhase, began, ended int64) []*kithv1.JobRecord {
		return []*kithv1.JobRecord{
			{Job: &kithv1.Job{Id: 1, Phase: kithv1.JobPhase_JOB_PHASE_DONE, EndedUnixMs: at(1)}},
			{Job: &kithv1.Job{Id: 2, Phase: phase, CreatedUnixMs: at(began), EndedUnixMs: at(ended)}},
		}
	}
	for _, c := range []struct {
		name  string
		state State
		wait  time.Duration
		due   bool
	}{
		{"no partitions", State{}, 0, false},
		{"the first", State{Epoch: 1}, 0, true},
		{"one runs", State{Epoch: 1, Jobs: job(kithv1.JobPhase_JOB_PHASE_COMPUTE, 990, 0)}, 0, false},
		{"a short one", State{Epoch: 1, Jobs: job(kithv1.JobPhase_JOB_PHASE_DONE, 990, 992)}, 50 * time.Second, true},
		{"a long one", State{Epoch: 1, Jobs: job(kithv1.JobPhase_JOB_PHASE_DONE, 900, 990)}, 260 * time.Second, true},
		{"one that failed", State{Epoch: 1, Jobs: job(kithv1.JobPhase_JOB_PHASE_FAILED, 900, 901)}, -40 * time.Second, true},
	} {
		if wait, due := nextBuild(&c.state, every, time.UnixMilli(at(1000))); wait != c.wait || due != c.due {
			t.Errorf("%s: in %v, %v; want %v, %v", c.name, wait, due, c.wait, c.due)
		}
	}
}

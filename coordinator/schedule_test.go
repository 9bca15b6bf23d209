package coordinator

import (
	"slices"
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

// TestSpreadOut builds once a minute for a day, then once a day: there is always an old version, and of the young ones the last two.
func TestSpreadOut(t *testing.T) {
	var versions []*kithv1.VersionRecord
	build := func(minute int) (ages []int) {
		versions = spreadOut(append(versions, &kithv1.VersionRecord{Version: &kithv1.ModelVersion{Version: uint64(minute), CreatedUnixMs: int64(minute) * 60_000}}))
		for _, v := range versions {
			ages = append(ages, minute-int(v.Version.Version))
		}
		return ages
	}
	for minute := range 24 * 60 {
		ages := build(minute)
		if minute < 4 {
			continue
		}
		if len(ages) != 4 || !slices.Equal(ages[2:], []int{1, 0}) || ages[0] < min(minute, 60) || ages[0] > 122 {
			t.Fatalf("at minute %d there are versions of %d minutes", minute, ages)
		}
	}
	for day := 1; day <= 5; day++ {
		build((day + 1) * 24 * 60)
	}
	if ages := build(7 * 24 * 60); !slices.Equal(ages, []int{3 * 1440, 2 * 1440, 1440, 0}) {
		t.Errorf("after some builds a day apart there are versions of %d minutes", ages)
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
	canceled := job(kithv1.JobPhase_JOB_PHASE_FAILED, 900, 901)
	canceled[1].Job.Error = canceledBy + "somebody"
	versions := []*kithv1.VersionRecord{{Version: &kithv1.ModelVersion{Version: 1}}, {Version: &kithv1.ModelVersion{Version: 2}}}
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
		{"one that failed", State{Epoch: 1, Jobs: job(kithv1.JobPhase_JOB_PHASE_FAILED, 900, 901)}, 20 * time.Second, true},
		{"two that failed", State{Epoch: 1, Jobs: append(job(kithv1.JobPhase_JOB_PHASE_FAILED, 800, 801), job(kithv1.JobPhase_JOB_PHASE_FAILED, 900, 901)[1])}, 140 * time.Second, true},
		{"one that was canceled", State{Epoch: 1, Jobs: canceled}, -40 * time.Second, true},
		{"an older version is active", State{Epoch: 1, Jobs: job(kithv1.JobPhase_JOB_PHASE_DONE, 900, 901), Active: 1, Versions: versions}, 0, false},
		{"the last version is active", State{Epoch: 1, Jobs: job(kithv1.JobPhase_JOB_PHASE_DONE, 900, 901), Active: 2, Versions: versions}, -40 * time.Second, true},
	} {
		if wait, due := nextBuild(&c.state, every, time.UnixMilli(at(1000))); wait != c.wait || due != c.due {
			t.Errorf("%s: in %v, %v; want %v, %v", c.name, wait, due, c.wait, c.due)
		}
	}
}

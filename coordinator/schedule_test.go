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

// TestSuperseded publishes a version a minute, then one a day: besides the last two there is one of up to a day.
func TestSuperseded(t *testing.T) {
	s := &State{}
	publish := func(minute int) (ages []int) {
		now := int64(minute) * time.Minute.Milliseconds()
		if p := superseded(s, now); p != 0 {
			if err := s.dropVersion(p); err != nil {
				t.Fatal(err)
			}
		}
		s.Active = uint64(minute)
		if s.Versions = append(slices.Clone(s.Versions), &kithv1.VersionRecord{Version: &kithv1.ModelVersion{Version: s.Active, CreatedUnixMs: now}}); len(s.Versions) > keptVersions {
			s.Versions = s.Versions[1:]
		}
		for _, v := range s.Versions {
			ages = append(ages, minute-int(v.Version.Version))
		}
		return ages
	}
	for minute := 1; minute <= 3000; minute++ {
		ages := publish(minute)
		if minute < 3 {
			continue
		}
		if want := []int{(minute-3)%1438 + 2, 1, 0}; !slices.Equal(ages, want) {
			t.Fatalf("at minute %d there are versions of %d minutes, want %d", minute, ages, want)
		}
	}
	for day := 3; day <= 6; day++ {
		publish(day * 1440)
	}
	if ages := publish(7 * 1440); !slices.Equal(ages, []int{2 * 1440, 1440, 0}) {
		t.Errorf("of builds a day apart there are versions of %d minutes", ages)
	}
	s.Active = uint64(5 * 1440) // somebody has gone back
	if p := superseded(s, 7*1440*time.Minute.Milliseconds()); p != 0 {
		t.Errorf("version %d would be dropped, where the one before the last is active", p)
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

package server_test

import (
	"errors"
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// interruptions of one build.
const interruptions = 10

// TestBuildInterruptedTenTimes kills the coordinator ten times during one build, each time after it has come further. Its files are those of a build that nothing disturbed.
func TestBuildInterruptedTenTimes(t *testing.T) {
	if testing.Short() {
		t.Skip("ten restarts take long with the race detector")
	}
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, shopEvents(1000, 1500, 90, 14))
	spec := &kithv1.BuildSpec{Measure: "swing", K: 20, BlockItems: 16} // the measure that takes longest
	want := artifacts(t, c, c.Build(0, spec).ModelVersion)
	for attempt := 0; ; attempt++ {
		job, times := interrupted(t, c, spec)
		t.Logf("job %d was interrupted %d times", job, times)
		done := c.Wait(0, job)
		if d := gocmp.Diff(want, artifacts(t, c, done.ModelVersion), protocmp.Transform()); d != "" {
			t.Fatalf("a build that was interrupted %d times has other files (-undisturbed +disturbed):\n%s", times, d)
		}
		if times == interruptions {
			return
		}
		if attempt == 3 {
			t.Fatalf("builds end before they can be disturbed %d times", interruptions)
		}
	}
}

// interrupted starts a build and kills a member at each progress of it, and starts that again, until it has done so often enough
// or the build has ended.
func interrupted(t *testing.T, c *clustertest.Cluster, spec *kithv1.BuildSpec) (job uint64, times int) {
	t.Helper()
	resp, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	id := resp.Job.Id
	for done := -1; times < interruptions; {
		victim, over := c.Coordinator(), false
		c.Eventually(func() error {
			rec := c.Members[victim].Server.State().Job(id)
			switch {
			case rec == nil:
				return fmt.Errorf("member %d has not heard of job %d", victim, id)
			case rec.Job.Phase == kithv1.JobPhase_JOB_PHASE_DONE:
				over = true
			case !c.Members[victim].Server.IsCoordinator():
				victim = c.Coordinator()
				return errors.New("another member coordinates")
			case progress(rec.Job) <= done:
				return fmt.Errorf("no progress beyond %d", done)
			default:
				done = progress(rec.Job)
			}
			return nil
		})
		if over {
			break
		}
		c.Kill(victim)
		times++
		c.Run(victim)
	}
	c.Ready()
	return id, times
}

// progress grows with the phases and the tasks of a job.
func progress(j *kithv1.Job) int { return int(j.Phase)*1_000_000 + int(j.TasksDone) }

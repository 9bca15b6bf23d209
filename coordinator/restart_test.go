package coordinator

import (
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func restartJob(job uint64) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_RestartJob{RestartJob: &kithv1.RestartJob{Job: job}}}
}

// TestJobBeginsAgain: what a job had come to is gone with its old id, by which it is found, and changed by nobody, until it has begun again too often.
func TestJobBeginsAgain(t *testing.T) {
	spec := &kithv1.BuildSpec{Models: []*kithv1.ModelSpec{{Kind: "a", Name: "a"}}}
	create := &kithv1.ControlCommand{Command: &kithv1.ControlCommand_CreateJob{CreateJob: &kithv1.CreateJob{Spec: spec, RequestId: "r", CreatedUnixMs: 7}}}
	s, first := apply(t, &State{Epoch: 1, Replicas: [][]string{{"n"}}}, create)
	s, _ = apply(t, s, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_PlanJob{PlanJob: &kithv1.PlanJob{Job: first, Cut: []uint64{9}, Sides: 2, Nodes: 3, ReferenceUnixMs: 8}}},
		setPhase(first, kithv1.JobPhase_JOB_PHASE_TRAIN), startTraining(first, 0), finishTraining(first, 0, "a", "n"))
	s, id := apply(t, s, restartJob(first))
	want := &kithv1.JobRecord{RequestId: "r", Job: &kithv1.Job{
		Id: s.Applied, Spec: spec, Phase: kithv1.JobPhase_JOB_PHASE_CUT, CreatedUnixMs: 7, EarlierIds: []uint64{first},
	}}
	for _, by := range []uint64{first, id} {
		if d := gocmp.Diff(want, s.Job(by), protocmp.Transform()); d != "" {
			t.Errorf("job by id %d (-want +got):\n%s", by, d)
		}
	}
	if s.View().Job != id {
		t.Errorf("nodes keep job %d, want %d alone", s.View().Job, id)
	}
	if _, again := apply(t, s, restartJob(first)); again != id {
		t.Errorf("the same command again: %d, want %d", again, id)
	}
	if _, again := apply(t, s, create); again != id {
		t.Errorf("the same request again: %d, want %d", again, id)
	}
	if next, _, err := s.Apply(s.Applied+1, setPhase(first, kithv1.JobPhase_JOB_PHASE_FAILED)); !errors.Is(err, wire.ErrUnknownJob) || Ended(next.Job(id).Job) {
		t.Errorf("a late failure of the old id: error %v and %v, want ErrUnknownJob and a job that runs", err, next.Job(id))
	}
	ids := []uint64{first}
	for len(ids) < maxRestarts {
		ids = append(ids, id)
		s, id = apply(t, s, restartJob(id))
	}
	if got := s.Job(first).Job.EarlierIds; !slices.Equal(got, ids) {
		t.Errorf("earlier ids %v, want %v", got, ids)
	}
	if next, _, err := s.Apply(s.Applied+1, restartJob(id)); !errors.Is(err, wire.ErrErased) || next.Job(id).Job.Id != id {
		t.Errorf("one time too many: error %v and %v, want ErrErased and the job as it was", err, next.Job(id))
	}
	s, _ = apply(t, s, setPhase(id, kithv1.JobPhase_JOB_PHASE_FAILED))
	if _, again := apply(t, s, restartJob(id)); again != id {
		t.Errorf("a job that has ended begins again as %d", again)
	}
}

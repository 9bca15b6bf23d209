package coordinator

import (
	"errors"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// apply applies commands, and returns the result of the last.
func apply(t *testing.T, s *State, commands ...*kithv1.ControlCommand) (*State, uint64) {
	t.Helper()
	var id uint64
	for _, c := range commands {
		next, got, err := s.Apply(s.Applied+1, c)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		s, id = next, got
	}
	return s, id
}

func startTraining(job uint64, model uint32) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_StartTraining{StartTraining: &kithv1.StartTraining{Job: job, Model: model}}}
}

func noteTraining(job, training uint64, part float64) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_NoteTraining{NoteTraining: &kithv1.NoteTraining{Job: job, Training: training, Part: part}}}
}

func finishTraining(job uint64, model uint32, name, node string) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_FinishTraining{FinishTraining: &kithv1.FinishTraining{Job: job, Model: &kithv1.ModelRecord{
		Model: model, Node: node, Trained: &kithv1.TrainedModel{Spec: &kithv1.ModelSpec{Name: name}}, File: &kithv1.Artifact{Name: "model-" + name},
	}}}}
}

func setPhase(job uint64, phase kithv1.JobPhase) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetJobPhase{SetJobPhase: &kithv1.SetJobPhase{Job: job, Phase: phase}}}
}

// TestTrainingsInTheLog: trainings are counted, what an old one says changes nothing, a model is recorded once, and the phase TRAIN is between EXPORT and COMPUTE.
func TestTrainingsInTheLog(t *testing.T) {
	spec := &kithv1.BuildSpec{Models: []*kithv1.ModelSpec{{Kind: "a", Name: "a"}, {Kind: "b", Name: "b"}}}
	s, job := apply(t, &State{Epoch: 1, Replicas: [][]string{{"n"}}},
		&kithv1.ControlCommand{Command: &kithv1.ControlCommand_CreateJob{CreateJob: &kithv1.CreateJob{Spec: spec}}})
	if _, _, err := s.Apply(9, startTraining(job, 2)); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("a model that there is not: error %v, want one matching ErrInvalid", err)
	}
	s, _ = apply(t, s, setPhase(job, kithv1.JobPhase_JOB_PHASE_EXPORT), setPhase(job, kithv1.JobPhase_JOB_PHASE_TRAIN), setPhase(job, kithv1.JobPhase_JOB_PHASE_EXPORT))
	if got := s.Job(job).Job.Phase; got != kithv1.JobPhase_JOB_PHASE_TRAIN {
		t.Errorf("a repeated export: phase is %v, want TRAIN still", got)
	}
	s, first := apply(t, s, startTraining(job, 1))
	s, second := apply(t, s, startTraining(job, 1), noteTraining(job, 1, 0.9))
	if second != 0 { // the note has no result
		t.Errorf("a note has the result %d", second)
	}
	if j := s.Job(job); first != 1 || j.Trainings != 2 || j.Job.Training != "b" || j.Job.TrainingPart != 0 {
		t.Errorf("first training %d, then %v; want 1, 2 of b, and nothing of what the first one notes", first, j)
	}
	s, _ = apply(t, s, noteTraining(job, 2, 0.5))
	if got := s.Job(job).Job.TrainingPart; got != 0.5 {
		t.Errorf("part is %v, want 0.5", got)
	}
	s, _ = apply(t, s, finishTraining(job, 1, "b", "n1"), finishTraining(job, 0, "a", "n1"), finishTraining(job, 1, "b", "n2"))
	j := s.Job(job)
	if len(j.Models) != 2 || j.Models[0].Trained.Spec.Name != "a" || j.Models[1].Node != "n2" || len(j.Job.Models) != 2 || j.Job.Training != "" {
		t.Errorf("got %v, want a, then b of the second report", j)
	}
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	read, err := DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(j, read.Job(job), protocmp.Transform()); d != "" {
		t.Errorf("a snapshot has another record (-want +got):\n%s", d)
	}
	s, _ = apply(t, s, setPhase(job, kithv1.JobPhase_JOB_PHASE_COMPUTE), setPhase(job, kithv1.JobPhase_JOB_PHASE_TRAIN))
	if got := s.Job(job).Job.Phase; got != kithv1.JobPhase_JOB_PHASE_COMPUTE {
		t.Errorf("a repeated training: phase is %v, want COMPUTE still", got)
	}
	s, _ = apply(t, s, setPhase(job, kithv1.JobPhase_JOB_PHASE_FAILED))
	if j := s.Job(job); len(j.Models) != 0 || len(j.Job.Models) != 2 {
		t.Errorf("after the end: got %v, want no records of files", j)
	}
}

// TestModelsAreSpelledOut: equal builds have equal specs, whatever was left to defaults.
func TestModelsAreSpelledOut(t *testing.T) {
	short := &kithv1.BuildSpec{Models: []*kithv1.ModelSpec{{Kind: "covisit", Parameters: map[string]string{"window": "20.0"}}, {Kind: "svd++"}}}
	given := proto.Clone(short)
	full := Normalize(short)
	if err := completeModels(full, kinds.All); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(short, given) {
		t.Errorf("the spec of the caller was changed to %v", short)
	}
	again := Normalize(full)
	if err := completeModels(again, kinds.All); err != nil {
		t.Fatal(err)
	}
	m := full.Models[0]
	if m.Name != "covisit" || m.Parameters["window"] != "20" || m.Parameters["k"] != "50" || full.Models[1].Name != "svdpp" || !proto.Equal(full, again) {
		t.Errorf("got %v, then %v; want names and settings spelled out once", full, again)
	}
}

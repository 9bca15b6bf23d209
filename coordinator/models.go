package coordinator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

const (
	// maxModels bounds the models of a build.
	maxModels = 20
	// trainedBehaviors is what the events that models are trained on can tell apart.
	trainedBehaviors = 256
)

// completeModels checks the models of a spec and spells their names and settings out, so that equal builds have equal specs, and mean the same when defaults have
// changed. Errors match wire.ErrInvalid.
func completeModels(spec *kithv1.BuildSpec, kinds []*train.Kind) error {
	switch {
	case len(spec.Models) > maxModels:
		return fmt.Errorf("%w: %d models; want at most %d", wire.ErrInvalid, len(spec.Models), maxModels)
	case len(spec.Models) > 0 && len(spec.BehaviorWeights) > trainedBehaviors:
		return fmt.Errorf("%w: weights of %d behaviors; with models want at most %d", wire.ErrInvalid, len(spec.BehaviorWeights), trainedBehaviors)
	}
	names := map[string]bool{}
	for i, m := range spec.Models {
		full, settings, err := completeModel(m, kinds)
		if err == nil {
			err = checkBase(full, settings, spec.Models, i, kinds)
		}
		if err != nil {
			return fmt.Errorf("%w: models[%d]: %w", wire.ErrInvalid, i, err)
		}
		if names[full.Name] {
			return fmt.Errorf("%w: models[%d]: there are two models %s; give one of them another name, as in other:%s", wire.ErrInvalid, i, full.Name, full.Kind)
		}
		names[full.Name] = true
		spec.Models[i] = full
	}
	return nil
}

// CheckModels returns an error that matches wire.ErrInvalid unless a build can train the models.
func CheckModels(models []*kithv1.ModelSpec, kinds []*train.Kind) error {
	return completeModels(&kithv1.BuildSpec{Models: slices.Clone(models)}, kinds)
}

func completeModel(m *kithv1.ModelSpec, kinds []*train.Kind) (out *kithv1.ModelSpec, s model.Settings, err error) {
	kind, err := train.Find(kinds, m.GetKind())
	if err != nil {
		return nil, s, err
	}
	out = &kithv1.ModelSpec{Kind: kind.Name, Name: nameOf(m)}
	if !artifact.ValidModel(out.Name) {
		return nil, s, fmt.Errorf("name %.80q; want 1 to 32 small letters, digits and -, a letter first", out.Name)
	}
	if isMethod(out.Name) {
		return nil, s, fmt.Errorf("name %q is that of a way of scoring which is always there; want another", out.Name)
	}
	if s, err = kind.ParseSettings(m.Parameters); err != nil {
		return nil, s, fmt.Errorf("model %s: %w", out.Name, err)
	}
	for _, p := range kind.Parameters {
		text := s.Text(p.Name)
		if text == "" { // no names
			continue
		}
		if out.Parameters == nil {
			out.Parameters = map[string]string{}
		}
		out.Parameters[p.Name] = text
	}
	if kind.ReadCombination != nil {
		hybrid.ForBase(out.Parameters, len(s.Names(train.Base.Name)))
	}
	return out, s, nil
}

// nameOf returns what queries call a model: without a name of its own its kind, with p in the place of +, which stands between names.
func nameOf(m *kithv1.ModelSpec) string {
	return cmp.Or(m.GetName(), strings.ReplaceAll(m.GetKind(), "+", "p"))
}

// checkBase returns an error unless each name in the base of model number at, if it has one, is of what it may be made of: neighbor lists or popularity, which are always there, or a model
// before it that is not made of others itself.
func checkBase(m *kithv1.ModelSpec, s model.Settings, models []*kithv1.ModelSpec, at int, kinds []*train.Kind) error {
	name := m.Name
	for _, b := range s.Names(train.Base.Name) {
		i := slices.IndexFunc(models, func(m *kithv1.ModelSpec) bool { return nameOf(m) == b })
		switch {
		case baseMethod(b) != Trained:
		case i < 0:
			return fmt.Errorf("model %s: its base has %q, and the build has no model of that name; name it before %s, or one of %v, which are always there",
				name, b, name, baseMethods)
		case i >= at:
			return fmt.Errorf("model %s: its base has %q, which is not before it in the list; name %s behind it", name, b, name)
		default:
			if kind, err := train.Find(kinds, models[i].GetKind()); err == nil && kind.ReadCombination != nil {
				return fmt.Errorf("model %s: its base has %q, which is made of others itself; name those", name, b)
			}
		}
	}
	kind, err := train.Find(kinds, m.Kind)
	if err == nil {
		_, err = worker.OfBase(kinds, kind, s, models[:at], similarity.Options{})
	}
	if err != nil {
		return fmt.Errorf("model %s: %w", name, err)
	}
	return nil
}

// isMethod reports whether a name is that of a method.
func isMethod(name string) bool {
	for m := Hybrid; m < Trained; m++ {
		if m.String() == name {
			return true
		}
	}
	return false
}

// behaviorsOf returns the names of the behaviors of events that the models of a build see, ascending: those that have a weight, if it is 0.
func behaviorsOf(spec *kithv1.BuildSpec) []string {
	return slices.Sorted(maps.Keys(spec.BehaviorWeights))
}

// startTraining begins a training, and returns its number.
func (s *State) startTraining(c *kithv1.StartTraining) (number uint64, err error) {
	err = s.edit(c.Job, func(j *kithv1.JobRecord) error {
		if int(c.Model) >= len(j.Job.Spec.GetModels()) {
			return fmt.Errorf("%w: model %d of %d", errCommand, c.Model, len(j.Job.Spec.GetModels()))
		}
		j.Trainings++
		number = j.Trainings
		j.Job.Training, j.Job.TrainingPart = j.Job.Spec.Models[c.Model].Name, 0
		return nil
	})
	return number, err
}

func (s *State) noteTraining(c *kithv1.NoteTraining) error {
	return s.edit(c.Job, func(j *kithv1.JobRecord) error {
		if j.Trainings == c.Training && c.Part >= 0 && c.Part <= 1 {
			j.Job.TrainingPart = c.Part
		}
		return nil
	})
}

func (s *State) finishTraining(c *kithv1.FinishTraining) error {
	m := c.GetModel()
	return s.edit(c.Job, func(j *kithv1.JobRecord) error {
		if int(m.GetModel()) >= len(j.Job.Spec.GetModels()) || m.GetTrained() == nil || m.GetFile() == nil {
			return fmt.Errorf("%w: model %d of %d", errCommand, m.GetModel(), len(j.Job.Spec.GetModels()))
		}
		at, found := slices.BinarySearchFunc(j.Models, m.Model, func(r *kithv1.ModelRecord, n uint32) int { return int(r.Model) - int(n) })
		if found {
			j.Models[at] = proto.Clone(m).(*kithv1.ModelRecord)
		} else {
			j.Models = slices.Insert(j.Models, at, proto.Clone(m).(*kithv1.ModelRecord))
		}
		j.Job.Models = nil
		for _, r := range j.Models {
			j.Job.Models = append(j.Job.Models, r.Trained)
		}
		j.Job.Training, j.Job.TrainingPart = "", 0
		return nil
	})
}

// stage orders phases: TRAIN came later to the protocol, and comes earlier in a build.
func stage(p kithv1.JobPhase) int {
	if p == kithv1.JobPhase_JOB_PHASE_TRAIN {
		return 2*int(kithv1.JobPhase_JOB_PHASE_EXPORT) + 1
	}
	return 2 * int(p)
}

package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/experiment"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Bounds of scenes. All of them are in the state of every member, and in each snapshot of it.
const (
	maxScenes      = 200
	maxExperiments = 100
	maxVariants    = 20
	maxSceneBytes  = 256 << 10
	maxWeight      = 1e9
	maxWindow      = 90 * 24 * time.Hour
)

// DefaultWindow is how long before a purchase a click may be to have led to it.
const DefaultWindow = 7 * 24 * time.Hour

var sceneName = regexp.MustCompile(fmt.Sprintf(`^[a-z][a-z0-9_-]{0,%d}$`, experiment.MaxNameBytes-1))

// SceneError says what is wrong at a place of a set of scenes. It matches wire.ErrInvalid.
type SceneError struct {
	// Path names the place, such as scenes[0].name.
	Path string
	Err  error
}

// Error implements error.
func (e *SceneError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }

// Unwrap returns the causes.
func (e *SceneError) Unwrap() []error { return []error{e.Err, wire.ErrInvalid} }

// CheckScenes returns nil, or a *SceneError. It looks at names, experiments and what refers to what, not at the settings of scenes.
func CheckScenes(set *kithv1.SceneSet) error {
	switch size := proto.Size(set); {
	case len(set.GetScenes()) > maxScenes:
		return &SceneError{"scenes", fmt.Errorf("%d scenes; want at most %d", len(set.Scenes), maxScenes)}
	case len(set.GetExperiments()) > maxExperiments:
		return &SceneError{"experiments", fmt.Errorf("%d experiments; want at most %d: take out what ended long ago", len(set.Experiments), maxExperiments)}
	case size > maxSceneBytes:
		return &SceneError{"scenes", fmt.Errorf("%d bytes in all; want at most %d: shorten the lists of items", size, maxSceneBytes)}
	}
	scenes := map[string]bool{}
	for i, s := range set.GetScenes() {
		if err := checkName("scene", s.GetName(), scenes); err != nil {
			return &SceneError{fmt.Sprintf("scenes[%d].name", i), err}
		}
	}
	experiments := map[string]bool{}
	for i, e := range set.GetExperiments() {
		if at, err := checkExperiment(e, scenes, experiments); err != nil {
			return &SceneError{fmt.Sprintf("experiments[%d].%s", i, at), err}
		}
		for _, other := range set.Experiments[:i] {
			if other.Scene == e.Scene && other.StartUnixMs < e.EndUnixMs && e.StartUnixMs < other.EndUnixMs {
				err := fmt.Errorf("overlaps with experiment %s, on the same scene %s; a caller is in one at a time", other.Name, e.Scene)
				return &SceneError{fmt.Sprintf("experiments[%d].start", i), err}
			}
		}
	}
	return nil
}

// checkName checks a name and that it is not taken, and takes it.
func checkName(what, name string, taken map[string]bool) error {
	if !sceneName.MatchString(name) {
		return fmt.Errorf("%s %.80q; want a name of 1 to %d lower-case letters, digits, _ and -, a letter first", what, name, experiment.MaxNameBytes)
	}
	if taken[name] {
		return fmt.Errorf("there are two with the name %s", name)
	}
	taken[name] = true
	return nil
}

// checkExperiment returns what is wrong with an experiment, and where.
func checkExperiment(e *kithv1.Experiment, scenes, experiments map[string]bool) (at string, err error) {
	if err := checkName("experiment", e.GetName(), experiments); err != nil {
		return "name", err
	}
	known := func(scene string) error {
		if !scenes[scene] {
			return fmt.Errorf("there is no scene %.80q; want one of those of the set", scene)
		}
		return nil
	}
	window := time.Duration(min(e.WindowMs, math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
	switch err := known(e.Scene); {
	case err != nil:
		return "scene", err
	case len(e.Variants) < 2 || len(e.Variants) > maxVariants:
		return "variants", fmt.Errorf("%d variants; want 2 to %d", len(e.Variants), maxVariants)
	case e.StartUnixMs <= 0 || e.StartUnixMs > fusion.MaxTime:
		return "start", errors.New("want a time, such as 2026-12-01 or 2026-12-01T08:00:00Z")
	case e.EndUnixMs <= e.StartUnixMs || e.EndUnixMs > fusion.MaxTime:
		return "end", errors.New("want a time behind the start")
	case window > maxWindow:
		return "window", fmt.Errorf("%v; want at most %v", window, maxWindow)
	case len(e.Salt) > fusion.MaxKeyBytes || strings.ContainsRune(e.Salt, 0):
		return "salt", fmt.Errorf("want at most %d bytes, without NUL", fusion.MaxKeyBytes)
	}
	names := map[string]bool{}
	for i, v := range e.Variants {
		if err := checkName("variant", v.GetName(), names); err != nil {
			return fmt.Sprintf("variants[%d].name", i), err
		}
		if err := known(v.Scene); err != nil {
			return fmt.Sprintf("variants[%d].scene", i), err
		}
		if !(v.Weight >= 0 && v.Weight <= maxWeight) {
			return fmt.Sprintf("variants[%d].weight", i), fmt.Errorf("%v; want more than 0, up to %v", v.Weight, maxWeight)
		}
	}
	return "", nil
}

// setScenes replaces all scenes. What is in them was checked before it was proposed: a check here would have to stay as it is for ever.
func (s *State) setScenes(c *kithv1.SetScenes) error {
	set, present := c.GetSet(), s.Scenes.GetVersion()
	switch {
	case set.GetVersion() == present && proto.Equal(set, s.Scenes) && set != nil:
		return nil // repeated
	case set.GetVersion() != present+1:
		return fmt.Errorf("%w: version %d is there now, and the new one was made from %d", wire.ErrScenesChanged, present, max(set.GetVersion(), 1)-1)
	}
	s.Scenes = set
	return nil
}

// SetScenes replaces all scenes, if those that are there are of the version of the set, and returns the version of the new ones. This process and the
// majority have them when it returns. Errors match wire.ErrScenesChanged and wire.ErrInvalid.
func (c *Coordinator) SetScenes(ctx context.Context, set *kithv1.SceneSet) (uint64, error) {
	if err := CheckScenes(set); err != nil {
		return 0, err
	}
	if _, err := c.secrets(ctx); err != nil { // for ids of answers
		return 0, err
	}
	set = proto.Clone(set).(*kithv1.SceneSet)
	set.Version++
	_, err := c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetScenes{SetScenes: &kithv1.SetScenes{Set: set}}})
	if err != nil {
		return 0, err
	}
	return set.Version, nil
}

// Scene is the one that answers a caller. Nothing of it may be changed.
type Scene struct {
	// Asked is the name of the one that was asked for.
	Asked string
	*kithv1.Scene
	// Experiment that the caller is in, and the variant; nil and empty for none.
	Experiment *kithv1.Experiment
	Variant    string
}

// SceneOf returns the scene that answers a unit (a user, or a session; empty for neither) that asks for one by name at a time in Unix milliseconds. Errors
// match wire.ErrUnknownScene.
func (s *State) SceneOf(name, unit string, now int64) (Scene, error) {
	out := Scene{Asked: name, Scene: s.scene(name)}
	if out.Scene == nil {
		return out, fmt.Errorf("%w %.80q: %s", wire.ErrUnknownScene, name, s.sceneNames())
	}
	if unit == "" {
		return out, nil
	}
	for _, e := range s.Scenes.Experiments {
		if e.Scene != name || now < e.StartUnixMs || now >= e.EndUnixMs {
			continue
		}
		at := experiment.Assign(cmp.Or(e.Salt, e.Name), unit, Arms(e))
		if at < 0 {
			continue
		}
		v := e.Variants[at]
		if scene := s.scene(v.Scene); scene != nil {
			out.Scene, out.Experiment, out.Variant = scene, e, v.Name
		}
		break
	}
	return out, nil
}

// Arms returns the variants of an experiment.
func Arms(e *kithv1.Experiment) []experiment.Arm {
	out := make([]experiment.Arm, len(e.Variants))
	for i, v := range e.Variants {
		out[i] = experiment.Arm{Name: v.Name, Weight: v.Weight}
		if v.Weight == 0 {
			out[i].Weight = 1
		}
	}
	return out
}

func (s *State) scene(name string) *kithv1.Scene {
	at := slices.IndexFunc(s.Scenes.GetScenes(), func(x *kithv1.Scene) bool { return x.Name == name })
	if at < 0 {
		return nil
	}
	return s.Scenes.Scenes[at]
}

// sceneNames says which scenes there are.
func (s *State) sceneNames() string {
	var names []string
	for _, x := range s.Scenes.GetScenes() {
		names = append(names, x.Name)
	}
	if len(names) == 0 {
		return "there are none; make some with 'kith scenes apply'"
	}
	return "there are " + some(names)
}

// some lists names, not too many of them: errors go in headers.
func some(names []string) string {
	const most = 10
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// AnswerKey is the key of the ids of answers; nil while the cluster has no secrets.
func (s *State) AnswerKey() []byte {
	if s.Secrets == nil {
		return nil
	}
	return experiment.Key(s.Secrets.HashKey)
}

package coordinator_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func sceneSet(version uint64, names ...string) *kithv1.SceneSet {
	set := &kithv1.SceneSet{Version: version}
	for _, name := range names {
		set.Scenes = append(set.Scenes, &kithv1.Scene{Name: name})
	}
	return set
}

func setScenes(set *kithv1.SceneSet) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetScenes{SetScenes: &kithv1.SetScenes{Set: set}}}
}

// TestScenesAreReplacedByVersion: of two editors that began from one version the second is refused, and a command that is repeated does nothing.
func TestScenesAreReplacedByVersion(t *testing.T) {
	s := newScript(t)
	for _, bad := range []*kithv1.SceneSet{nil, sceneSet(0, "a"), sceneSet(2, "a")} {
		if _, err := s.try(setScenes(bad)); !errors.Is(err, wire.ErrScenesChanged) || s.state.Scenes != nil {
			t.Errorf("set %v: error %v and %v, want %v and none", bad, err, s.state.Scenes, wire.ErrScenesChanged)
		}
	}
	s.do(setScenes(sceneSet(1, "a")))
	s.do(setScenes(sceneSet(1, "a"))) // the outcome of the first was not known
	if _, err := s.try(setScenes(sceneSet(1, "b"))); !errors.Is(err, wire.ErrScenesChanged) || !strings.Contains(err.Error(), "version 1 is there now, and the new one was made from 0") {
		t.Errorf("another of the same version: %v", err)
	}
	s.do(setScenes(sceneSet(2, "b")))
	if _, err := s.try(setScenes(sceneSet(1, "a"))); !errors.Is(err, wire.ErrScenesChanged) {
		t.Errorf("an older version: %v", err)
	}
	b, err := s.state.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := coordinator.DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sceneSet(2, "b"), again.Scenes, protocmp.Transform()); diff != "" {
		t.Errorf("after a snapshot, -want +got:\n%s", diff)
	}
}

// TestSceneOf: an experiment counts from its start until before its end, for those who have a key, on the scene that it is about.
func TestSceneOf(t *testing.T) {
	set := sceneSet(1, "home", "trending", "other")
	set.Experiments = []*kithv1.Experiment{
		{Name: "late", Scene: "home", StartUnixMs: 300, EndUnixMs: 400, Variants: []*kithv1.Variant{{Name: "x", Scene: "other"}, {Name: "y", Scene: "other"}}},
		{Name: "e", Scene: "home", StartUnixMs: 100, EndUnixMs: 200, Variants: []*kithv1.Variant{{Name: "control", Scene: "home"}, {Name: "b", Scene: "trending"}}},
		{Name: "nested", Scene: "trending", StartUnixMs: 100, EndUnixMs: 200, Variants: []*kithv1.Variant{{Name: "x", Scene: "other"}, {Name: "y", Scene: "other"}}},
	}
	if err := coordinator.CheckScenes(set); err != nil {
		t.Fatal(err)
	}
	state := &coordinator.State{Scenes: set}
	met := map[string]bool{}
	for u := range 40 {
		unit := fmt.Sprint("u", u)
		got, err := state.SceneOf("home", unit, 100)
		if err != nil || got.Asked != "home" || got.Experiment.GetName() != "e" {
			t.Fatalf("%s: %+v, error %v, want one of experiment e", unit, got, err)
		}
		if want := map[string]string{"control": "home", "b": "trending"}[got.Variant]; got.Name != want {
			t.Errorf("%s: variant %s is answered by %s, want %s", unit, got.Variant, got.Name, want)
		}
		met[got.Variant] = true
		if last, err := state.SceneOf("home", unit, 199); err != nil || last.Variant != got.Variant {
			t.Errorf("%s: variant %s at first and %s at last, error %v", unit, got.Variant, last.Variant, err)
		}
		for _, now := range []int64{99, 200, 299, 400} {
			if got, err := state.SceneOf("home", unit, now); err != nil || got.Experiment != nil || got.Variant != "" || got.Name != "home" {
				t.Errorf("%s at %d: %+v, error %v, want no experiment", unit, now, got, err)
			}
		}
	}
	if len(met) != 2 {
		t.Errorf("met %v, want both variants", met)
	}
	if got, err := state.SceneOf("home", "", 150); err != nil || got.Experiment != nil {
		t.Errorf("nobody: %+v, error %v, want no experiment", got, err)
	}
	if _, err := state.SceneOf("hom", "u", 150); !errors.Is(err, wire.ErrUnknownScene) || !strings.Contains(err.Error(), "there are home, trending, other") {
		t.Errorf("unknown scene: %v", err)
	}
	if _, err := new(coordinator.State).SceneOf("hom", "u", 150); !errors.Is(err, wire.ErrUnknownScene) || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("no scenes: %v", err)
	}
}

func TestScenesAreBounded(t *testing.T) {
	many := sceneSet(1)
	for i := range 201 {
		many.Scenes = append(many.Scenes, &kithv1.Scene{Name: fmt.Sprint("s", i)})
	}
	large := sceneSet(1, "a")
	large.Scenes[0].Filter = &kithv1.Filter{Allow: []string{strings.Repeat("x", 300_000)}}
	variants := sceneSet(1, "a")
	variants.Experiments = []*kithv1.Experiment{{Name: "e", Scene: "a", StartUnixMs: 1, EndUnixMs: 2}}
	for i := range 21 {
		variants.Experiments[0].Variants = append(variants.Experiments[0].Variants, &kithv1.Variant{Name: fmt.Sprint("v", i), Scene: "a"})
	}
	salt := proto.Clone(variants).(*kithv1.SceneSet)
	salt.Experiments[0].Variants = salt.Experiments[0].Variants[:2]
	salt.Experiments[0].Salt = "a\x00b"
	for _, tt := range []struct {
		set        *kithv1.SceneSet
		path, part string
	}{
		{many, "scenes", "at most 200"},
		{large, "scenes", "at most 262144"},
		{variants, "experiments[0].variants", "21 variants; want 2 to 20"},
		{salt, "experiments[0].salt", "without NUL"},
		{sceneSet(1, strings.Repeat("a", 65)), "scenes[0].name", "1 to 64"},
	} {
		err := coordinator.CheckScenes(tt.set)
		at := (*coordinator.SceneError)(nil)
		if !errors.As(err, &at) || at.Path != tt.path || !strings.Contains(err.Error(), tt.part) || !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("error %v, want one at %s with %s", err, tt.path, tt.part)
		}
	}
}

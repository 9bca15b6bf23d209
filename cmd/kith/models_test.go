package main

import (
	"fmt"
	"strings"
	"testing"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// TestModels builds with models, shows and asks them, and goes through a file of scenes that names one.
func TestModels(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	addr := addrsOf(c)
	var events []*kithv1.Event
	for u := range 12 {
		for i := range 6 {
			events = append(events, &kithv1.Event{
				Id: fmt.Sprint(i), User: fmt.Sprint("u", u), Item: fmt.Sprint("i", (u+i)%9), Behavior: "view", TimeUnixMs: int64(1_700_000_000_000 + 60_000*i),
			})
		}
	}
	c.Append(0, events)
	if got := mustKith(t, "build", "--addr", addr, "--wait", "--models", "covisit(window=3,k=7),long:covisit"); !strings.Contains(got, "long") {
		t.Errorf("build says %q, want its models", got)
	}
	type version struct {
		Version uint64
		Spec    struct{ Models []string }
		Models  []struct {
			Name, Kind string
			Parameters map[string]string
			Bytes      uint64
		}
	}
	all := mustJSON[struct{ Versions []version }](t, "models", "--addr", addr, "-o", "json")
	v := all.Versions[0]
	if len(v.Models) != 2 || v.Models[0].Parameters["window"] != "3" || v.Models[1].Name != "long" || v.Models[1].Kind != "covisit" || v.Models[1].Bytes == 0 {
		t.Errorf("models are %+v", v.Models)
	}
	if got := v.Spec.Models; len(got) != 2 || !strings.Contains(got[0], "covisit(balance=0.5,events=200,half-life=7,k=7,memory=5,window=3)") {
		t.Errorf("the spec has the models %q", got)
	}
	if got := mustKith(t, "models", "show", "--addr", addr, fmt.Sprint(v.Version)); !strings.Contains(got, "window 3") || !strings.Contains(got, "MODEL") {
		t.Errorf("show says\n%s", got)
	}
	got := mustJSON[jsonRecommendation](t, "recommend", "--addr", addr, "u1", "-n", "3", "--model", "long", "--explain", "-o", "json")
	if got.Model != "long" || len(got.Items) != 3 || got.Items[0].Source != "long" || len(got.Items[0].Contributions) == 0 {
		t.Errorf("recommend says %+v", got)
	}
	if got := kith(t, nil, "recommend", "--addr", addr, "u1", "--model", "als"); got.code != exitError || !strings.Contains(got.err, "has covisit, long") {
		t.Errorf("a model that is not there: %+v", got)
	}
	if got := kith(t, nil, "build", "--addr", addr, "--models", "covisit(x=1)"); got.code == 0 || !strings.Contains(got.err, `unknown parameter "x"`) {
		t.Errorf("a setting that is not there: %+v", got)
	}
	path := writeFile(t, "scenes.yaml", "scenes:\n  - name: now\n    model-name: long\n")
	mustKith(t, "scenes", "apply", "--addr", addr, path)
	if got := mustKith(t, "scenes", "show", "--addr", addr); !strings.Contains(got, "model: trained") || !strings.Contains(got, "model-name: long") {
		t.Errorf("scenes are\n%s", got)
	}
	scene := mustJSON[jsonRecommendation](t, "recommend", "--addr", addr, "u1", "-n", "3", "--scene", "now", "-o", "json")
	if scene.Model != "long" || scene.Items[0].Item != got.Items[0].Item {
		t.Errorf("the scene says %+v, want the items of the model", scene)
	}
}

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/covisit"
	"github.com/kith-io/kith/model/train"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// TestModels builds with models, shows and asks them, and goes through a file of scenes that names one.
func TestModels(t *testing.T) {
	t.Parallel()
	meanwhile := make(chan func(), 1) // done while a model is in training, before it reads events
	kind := *covisit.Kind
	kind.NewDriver = func(shape train.Shape, s model.Settings) (train.Driver, error) {
		select {
		case do := <-meanwhile:
			do()
		default:
		}
		return covisit.Kind.NewDriver(shape, s)
	}
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: func(_ int, cfg *server.Config) { cfg.Kinds = []*train.Kind{&kind} }})
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

	said := make(chan outcome, 1)
	other := func(args ...string) func() {
		return func() { said <- kith(t, []string{"USER=ada"}, append(args, "--addr", addr)...) }
	}
	meanwhile <- other("erase", "u11")
	again := kith(t, nil, "build", "--addr", addr, "--wait", "--models", "covisit", "-o", "json")
	if again.code != exitOK || !strings.Contains(again.err, "begins again as") || !strings.Contains(again.out, `"earlier_ids"`) || !strings.Contains(again.out, `"users": 11`) {
		t.Errorf("a build that an erasure overtakes: %+v, want one that says so and has 11 users", again)
	}
	if got := <-said; got.code != exitOK {
		t.Errorf("erase: %+v", got)
	}
	meanwhile <- other("build", "cancel")
	canceled := kith(t, nil, "build", "--addr", addr, "--wait", "--models", "covisit(window=4)")
	if canceled.code != exitError || !strings.Contains(canceled.err, " was canceled by ada@") || strings.Contains(canceled.err, "failed") {
		t.Errorf("a build that is canceled: %+v, want who canceled it, and no failure", canceled)
	}
	if got := <-said; got.code != exitOK {
		t.Errorf("cancel: %+v", got)
	}
}

// earlierModels is a server with a program that does not know models of builds: it makes the build without them.
type earlierModels struct {
	kithv1.UnimplementedModelServiceServer
}

func (earlierModels) Build(_ context.Context, req *kithv1.BuildRequest) (*kithv1.BuildResponse, error) {
	return &kithv1.BuildResponse{Job: &kithv1.Job{Id: 7, Spec: req.Spec, Phase: kithv1.JobPhase_JOB_PHASE_CUT}}, nil
}

func (earlierModels) WatchJob(_ *kithv1.WatchJobRequest, stream grpc.ServerStreamingServer[kithv1.WatchJobResponse]) error {
	return stream.Send(&kithv1.WatchJobResponse{Job: &kithv1.Job{Id: 7, Phase: kithv1.JobPhase_JOB_PHASE_DONE, ModelVersion: 7}})
}

func (earlierModels) ListModels(context.Context, *kithv1.ListModelsRequest) (*kithv1.ListModelsResponse, error) {
	return &kithv1.ListModelsResponse{Versions: []*kithv1.ModelVersion{{Version: 7, Active: true}}}, nil
}

// TestModelsThatAreMissing: a build that a server with an earlier program has made without its models is no success.
func TestModelsThatAreMissing(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(s *grpc.Server) { kithv1.RegisterModelServiceServer(s, earlierModels{}) })
	got := kith(t, nil, "build", "--addr", addr, "--wait", "--models", "covisit")
	if got.code != exitError || !strings.Contains(got.err, "has 0 of the 1 models") || !strings.Contains(got.err, "upgrade all servers") {
		t.Errorf("got %+v, want what is missing and why", got)
	}
	mustKith(t, "build", "--addr", addr, "--wait")
}

package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/covisit"
	"github.com/kith-io/kith/model/train"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// gate is a kind like covisit whose workers wait, before they begin, while it is closed.
type gate struct {
	mu      sync.Mutex
	open    chan struct{}
	waiting chan struct{} // has room for one: some worker waits
	drivers atomic.Int64
}

func newGate() *gate {
	g := &gate{open: make(chan struct{}), waiting: make(chan struct{}, 1)}
	close(g.open)
	return g
}

// shut closes the gate, and returns what opens it.
func (g *gate) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed := make(chan struct{})
	g.open = closed
	return func() { close(closed) }
}

func (g *gate) kind() *train.Kind {
	k := *covisit.Kind
	k.Name = "gated"
	k.NewDriver = func(shape train.Shape, s model.Settings) (train.Driver, error) {
		g.drivers.Add(1)
		return covisit.Kind.NewDriver(shape, s)
	}
	k.NewWorker = func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
		w, err := covisit.Kind.NewWorker(d, s, threads)
		return gatedWorker{w, g}, err
	}
	return &k
}

type gatedWorker struct {
	train.Worker
	*gate
}

func (w gatedWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	select {
	case <-open:
	default:
		select {
		case w.waiting <- struct{}{}:
		default:
		}
		select {
		case <-open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return w.Worker.Do(ctx, step, peers)
}

// TestTrainingSurvivesLosses kills a member in the middle of a training: one that coordinates, and one that does not. The models are those of a build that nothing
// disturbed, and what was trained before is not trained again.
func TestTrainingSurvivesLosses(t *testing.T) {
	t.Parallel()
	first, second := newGate(), newGate()
	done := first.kind()
	done.Name = "done"
	c := clustertest.Start(t, clustertest.Options{Configure: withKinds(done, second.kind())})
	c.Append(0, shopEvents(60, 100, 30, 5))
	spec := models(t, "done", "gated(window=3)")
	want := artifacts(t, c, c.Build(0, spec).ModelVersion)
	for _, coordinates := range []bool{true, false} {
		victim := c.Coordinator()
		if !coordinates {
			victim = (victim + 1) % 3
		}
		other := (victim + 1) % 3
		open := second.shut()
		resp, err := c.Models(other).Build(t.Context(), &kithv1.BuildRequest{Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		<-second.waiting
		c.Eventually(func() error {
			j := c.Members[other].Server.State().Job(resp.Job.Id)
			if j.GetJob().GetPhase() != kithv1.JobPhase_JOB_PHASE_TRAIN || j.Job.Training != "gated" || len(j.Job.Models) != 1 {
				return fmt.Errorf("job is %v, want one that trains gated, behind done", j.GetJob())
			}
			return nil
		})
		before := first.drivers.Load()
		c.Kill(victim)
		open()
		version := c.Wait(other, resp.Job.Id).ModelVersion
		if d := gocmp.Diff(want, artifacts(t, c, version), protocmp.Transform()); d != "" {
			t.Errorf("disturbed build (coordinator: %v) has other files (-undisturbed +disturbed):\n%s", coordinates, d)
		}
		if n := first.drivers.Load() - before; n != 0 {
			t.Errorf("the model that was trained before was trained %d times again (coordinator: %v)", n, coordinates)
		}
		answer := recommend(t, c, other, ask("u001", "gated"))
		c.Run(victim)
		c.Ready()
		c.Eventually(func() error {
			got, err := c.Recommender(victim).Recommend(t.Context(), ask("u001", "gated"))
			if err != nil {
				return err
			}
			if d := gocmp.Diff(answer, got, protocmp.Transform()); d != "" {
				return fmt.Errorf("the member that came back answers otherwise:\n%s", d)
			}
			return nil
		})
	}
}

// TestTrainingFails: an error of a model ends the build at once, with its reason; so does one that keeps too much. A canceled build ends its training.
func TestTrainingFails(t *testing.T) {
	t.Parallel()
	var drivers atomic.Int64
	broken := *covisit.Kind
	broken.Name = "broken"
	broken.NewDriver = func(shape train.Shape, s model.Settings) (train.Driver, error) {
		drivers.Add(1)
		return covisit.Kind.NewDriver(shape, s)
	}
	broken.NewWorker = func(*train.Data, model.Settings, int) (train.Worker, error) { return nil, errors.New("no likelihood") }
	slow := newGate()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: func(i int, cfg *server.Config) {
		withKinds(&broken, probe, slow.kind())(i, cfg)
		cfg.ModelMemory = 1000
	}})
	c.Append(0, modelEvents())
	for name, want := range map[string]string{"broken": "no likelihood", "probe": "--model-memory-mib"} {
		resp, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: models(t, name)})
		if err != nil {
			t.Fatal(err)
		}
		if got := failed(t, c, resp.Job.Id); !strings.Contains(got, want) || !strings.Contains(got, "train: "+name) {
			t.Errorf("%s: failed with %q, want the step, the model and %q", name, got, want)
		}
	}
	if n := drivers.Load(); n != 1 {
		t.Errorf("the model that fails was tried %d times, want once", n)
	}
	defer slow.shut()()
	resp, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: models(t, "gated")})
	if err != nil {
		t.Fatal(err)
	}
	<-slow.waiting
	if _, err := c.Models(0).Cancel(t.Context(), &kithv1.CancelRequest{Id: resp.Job.Id, By: "ada"}); err != nil {
		t.Fatal(err)
	}
	if got := failed(t, c, resp.Job.Id); !strings.Contains(got, "canceled by ada") {
		t.Errorf("canceled in a training: %q", got)
	}
}

// failed waits until a job has failed, and returns why.
func failed(t *testing.T, c *clustertest.Cluster, job uint64) string {
	t.Helper()
	stream, err := c.Models(0).WatchJob(t.Context(), &kithv1.WatchJobRequest{Id: job})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		switch m.Job.Phase {
		case kithv1.JobPhase_JOB_PHASE_DONE:
			t.Fatalf("job %d is done, want it to fail", job)
		case kithv1.JobPhase_JOB_PHASE_FAILED:
			return m.Job.Error
		}
	}
}

package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// TestBuildEvery: the cluster builds by itself when events have come, with the settings of the version that is active, also under the next coordinator.
func TestBuildEvery(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Configure: func(_ int, cfg *server.Config) { cfg.BuildEvery = time.Second }})
	version := func(member int) *kithv1.ModelVersion {
		resp, err := c.Models(member).ListModels(t.Context(), &kithv1.ListModelsRequest{})
		if err != nil {
			return nil
		}
		for _, v := range resp.Versions {
			if v.Active {
				return v
			}
		}
		return nil
	}
	// await waits for a version of so many interactions, and returns its settings.
	await := func(member int, interactions uint64) (v *kithv1.ModelVersion) {
		t.Helper()
		c.Eventually(func() error {
			if v = version(member); v.GetInteractions() != interactions {
				return fmt.Errorf("the active version is %v; want one of %d interactions", v, interactions)
			}
			return nil
		})
		return v
	}
	event := func(user, item int) *kithv1.Event {
		return &kithv1.Event{User: fmt.Sprint("u", user), Item: fmt.Sprint("i", item), Behavior: "view", Id: fmt.Sprint(user, "-", item)}
	}
	c.Append(0, []*kithv1.Event{event(1, 1), event(1, 2), event(2, 1), event(2, 2)})
	await(1, 4)
	if job := c.Build(1, &kithv1.BuildSpec{K: 7}); job.Phase != kithv1.JobPhase_JOB_PHASE_DONE {
		t.Fatal(job)
	}
	c.Append(0, []*kithv1.Event{event(3, 1), event(3, 3)})
	v := await(1, 6)
	if v.Spec.K != 7 {
		t.Errorf("built with %v; want the settings of the version before", v.Spec)
	}
	// Who asks for a build gets one of all that is stored, whatever begins by itself meanwhile.
	stored := uint64(6)
	for i := range 5 {
		c.Append(0, []*kithv1.Event{event(10+i, 1)})
		stored++
		if job := c.Build(i%3, v.Spec); job.Phase != kithv1.JobPhase_JOB_PHASE_DONE {
			t.Fatal(job)
		} else if resp := version(i % 3); resp.GetVersion() < job.Id || resp.GetInteractions() != stored {
			t.Fatalf("after build %d of %d interactions the active version is %v", job.Id, stored, resp)
		}
	}
	coordinator := c.Coordinator()
	c.Kill(coordinator)
	other := (coordinator + 1) % 3
	c.Append(other, []*kithv1.Event{event(4, 1)})
	await(other, stored+1)
}

// TestBuildEveryTrains: builds that nobody asks for train the models that the server is told of.
func TestBuildEveryTrains(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: func(_ int, cfg *server.Config) {
		cfg.BuildEvery, cfg.Models = time.Second, []string{"covisit(window=3)"}
	}})
	c.Append(0, shopEvents(20, 30, 10, 8))
	c.Eventually(func() error {
		_, err := c.Recommender(0).Recommend(t.Context(), ask("u001", "covisit"))
		return err
	})
}

func TestModelsOfAServerAreChecked(t *testing.T) {
	for text, want := range map[string]string{"no-such": "unknown model", "covisit(": "parenthesis", "covisit(window=0)": "window is 0"} {
		cfg := server.DefaultConfig()
		cfg.Models = []string{text}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

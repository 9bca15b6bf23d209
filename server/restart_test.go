package server_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/covisit"
	"github.com/kith-io/kith/model/train"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// TestErasureDuringTraining erases a user each time that a training begins, before it reads events: the build begins again without the user, under the watch of who asked
// for it, until that happens too often.
func TestErasureDuringTraining(t *testing.T) {
	t.Parallel()
	var erase func()
	var times atomic.Int64 // that a user is still to be erased
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 2, Configure: func(_ int, cfg *server.Config) {
		kind := *covisit.Kind
		kind.NewDriver = func(shape train.Shape, s model.Settings) (train.Driver, error) {
			if times.Add(-1) >= 0 {
				erase()
			}
			return covisit.Kind.NewDriver(shape, s)
		}
		cfg.Kinds = []*train.Kind{&kind}
	}})
	const users = 20
	c.Append(0, alike(users))
	erased := 0
	erase = func() {
		if _, err := kithv1.NewErasureServiceClient(c.Conn(0)).EraseUser(t.Context(), &kithv1.EraseUserRequest{User: fmt.Sprint("u", erased)}); err != nil {
			t.Errorf("erase u%d: %v", erased, err)
		}
		erased++
	}
	spec := &kithv1.BuildSpec{Models: []*kithv1.ModelSpec{{Kind: "covisit"}}}

	times.Store(2)
	asked := startBuild(t, c, 0, spec)
	job := c.Wait(0, asked)
	if len(job.EarlierIds) != 2 || job.EarlierIds[0] != asked || job.Id <= asked || job.ModelVersion != job.Id {
		t.Errorf("job %v, want one that was %d, begun again two times", job, asked)
	}
	version := c.Members[0].Server.State().Version(job.ModelVersion).Version
	if version.Users != users-2 || len(version.Models) != 1 {
		t.Errorf("version of %d users with %d models, want %d users and one model", version.Users, len(version.Models), users-2)
	}
	if n := figure(t, c.Members[0].Server.Registry(), "kith_build_restarts_total"); n != 2 {
		t.Errorf("the metrics count %v restarts, want 2", n)
	}
	c.Eventually(func() error {
		if n := c.Members[0].Server.Jobs(); n > 0 {
			return fmt.Errorf("the server keeps something of %d jobs", n)
		}
		return nil
	})

	times.Store(100)
	asked = startBuild(t, c, 0, spec)
	c.Eventually(func() error {
		if job = c.Members[0].Server.State().Job(asked).Job; job.Phase != kithv1.JobPhase_JOB_PHASE_FAILED {
			return fmt.Errorf("job is in phase %v", job.Phase)
		}
		return nil
	})
	if len(job.EarlierIds) != 5 || !strings.Contains(job.Error, "has begun again 5 times") || !slices.Contains(job.EarlierIds, asked) {
		t.Errorf("job %v, want one that was given up after it had begun again five times", job)
	}
}

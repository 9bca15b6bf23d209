package coordinator

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// hanging are nodes that take the question for a cut and never answer.
type hanging struct{ asked chan struct{} }

func (hanging) Alive() []string          { return []string{"n1"} }
func (hanging) Addr(string) string       { return "" }
func (hanging) Changed() <-chan struct{} { return nil }

func (hanging) Conn(context.Context, string) (grpc.ClientConnInterface, error) {
	return nil, wire.ErrNotReady
}

func (h hanging) Cuts(ctx context.Context) ([]uint64, error) {
	h.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestCanceledBuildStops fails a job in the log while its Builder waits for a node that hangs.
func TestCanceledBuildStops(t *testing.T) {
	log := NewMemoryLog()
	propose := func(c *kithv1.ControlCommand) uint64 {
		t.Helper()
		id, err := log.Propose(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	propose(&kithv1.ControlCommand{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{ClusterId: "c", Partitions: 1, ReplicationFactor: 1}}})
	propose(&kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: &kithv1.SetShardMap{
		Epoch: 1, Partitions: []*kithv1.Replicas{{Nodes: []string{"n1"}}},
	}}})
	job := propose(&kithv1.ControlCommand{Command: &kithv1.ControlCommand_CreateJob{CreateJob: &kithv1.CreateJob{Spec: Normalize(nil)}}})
	nodes := hanging{make(chan struct{})}
	b := NewBuilder(BuilderConfig{Log: log, Nodes: nodes, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, job) }()
	<-nodes.asked
	propose(&kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetJobPhase{SetJobPhase: &kithv1.SetJobPhase{
		Job: job, Phase: kithv1.JobPhase_JOB_PHASE_FAILED, Error: "canceled by ada",
	}}})
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "canceled by ada") {
		t.Errorf("the build ended with %v, want what the log says", err)
	}
}

package server_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// checkRefusal fails the test unless err says RESOURCE_EXHAUSTED and when to come back, as any client of gRPC sees it.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != codes.ResourceExhausted {
		t.Errorf("refused with %v, want RESOURCE_EXHAUSTED", err)
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && info.RetryDelay.AsDuration() > 0 {
			return
		}
	}
	t.Errorf("refused without google.rpc.RetryInfo: %v", st)
}

// flood runs call from 32 goroutines, 4 times each, and again until some were refused. It returns how many were not.
func flood(t *testing.T, call func(worker, round int) error) int {
	t.Helper()
	var accepted, refused atomic.Int64
	var workers sync.WaitGroup
	for w := range 32 {
		workers.Go(func() {
			for round := 0; round < 4 || refused.Load() == 0 && round < 200; round++ {
				if err := call(w, round); err != nil {
					checkRefusal(t, err)
					refused.Add(1)
				} else {
					accepted.Add(1)
				}
			}
		})
	}
	workers.Wait()
	if accepted.Load() == 0 || refused.Load() == 0 {
		t.Fatalf("%d calls were accepted and %d refused; want some of both", accepted.Load(), refused.Load())
	}
	return int(accepted.Load())
}

// perCall is the number of events of a call.
const perCall = 600

// largeEvents returns the events of a call, each of about a KiB, for each worker and round others.
func largeEvents(worker, round int, user string) []*kithv1.Event {
	out := make([]*kithv1.Event, perCall)
	text := fmt.Sprintf("%01000d", 7)
	for i := range out {
		out[i] = &kithv1.Event{
			Id: fmt.Sprintf("%s-%d-%d-%d", user, worker, round, i), User: user, Item: "i", Behavior: "view",
			TimeUnixMs: 1, Context: map[string]string{"page": text},
		}
	}
	return out
}

// TestOverload sends a server several times as much as it may have under way, at both of its doors. What it takes stays
// within the bound, refusals say when to come back, everything accepted is there, and afterwards it works as before.
func TestOverload(t *testing.T) {
	const bound = 2 << 20
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: func(_ int, cfg *server.Config) { cfg.MaxInflightBytes = 2 * bound }})
	ctx := t.Context()
	plain, err := grpc.NewClient("passthrough:///"+c.Members[0].Server.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()

	calls := flood(t, func(w, round int) error {
		stream, err := kithv1.NewEventsServiceClient(plain).Append(ctx)
		if err != nil {
			return err
		}
		_ = stream.Send(&kithv1.AppendRequest{Events: largeEvents(w, round, "caller")}) // CloseAndRecv tells why
		_, err = stream.CloseAndRecv()
		return err
	})
	checkCount(t, c, "caller", calls*perCall)

	p := uint32(partition.Of("leader", len(c.Members[0].Server.State().Replicas)))
	epoch := c.Members[0].Server.State().Epoch
	other := make(chan error, 1)
	go func() { // a router has patience: it must get through beside the flood
		stream, err := c.Events(0).Append(ctx)
		if err == nil {
			_ = stream.Send(&kithv1.AppendRequest{Events: largeEvents(0, 0, "leader")})
			_, err = stream.CloseAndRecv()
		}
		other <- err
	}()
	batches := flood(t, func(w, round int) error {
		_, err := kithv1.NewPartitionServiceClient(plain).AppendBatch(ctx, &kithv1.AppendBatchRequest{
			Partition: p, Epoch: epoch, Events: largeEvents(w+1, round, "leader"),
		})
		return err
	})
	if err := <-other; err != nil {
		t.Errorf("append through the router beside the flood: %v", err)
	}
	checkCount(t, c, "leader", (batches+1)*perCall)

	atCalls, atPartitions := c.Members[0].Server.InflightPeak()
	if atCalls > bound || atPartitions > bound || atCalls == 0 || atPartitions == 0 {
		t.Errorf("peaks of %d and %d bytes under way, bound %d", atCalls, atPartitions, bound)
	}
	if got := c.Append(0, shopEvents(20, 30, 10, 5)); got.Appended == 0 || got.Rejected != 0 {
		t.Errorf("after the flood: %v", got)
	}
}

// checkCount fails the test unless a user has exactly n events.
func checkCount(t *testing.T, c *clustertest.Cluster, user string, n int) {
	t.Helper()
	events, err := list(t, c, 0, user)
	if err != nil || len(events) != n {
		t.Errorf("user %s has %d events, want the %d accepted: %v", user, len(events), n, err)
	}
}

package server_test

import (
	"context"
	"fmt"
	"testing"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// health asks a member.
func health(t *testing.T, c *clustertest.Cluster, member int, service string) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	resp, err := healthv1.NewHealthClient(c.Conn(member)).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status
}

// TestHealth loses a majority and gets it back: readiness follows, life does not.
func TestHealth(t *testing.T) {
	long(t)
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	becomes := func(member int, want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		c.Eventually(func() error {
			if got := health(t, c, member, server.ReadyService); got != want {
				return fmt.Errorf("member %d is %v, want %v", member, got, want)
			}
			return nil
		})
		if got := health(t, c, member, ""); got != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("life of member %d: got %v", member, got)
		}
	}
	for i := range c.Members {
		becomes(i, healthv1.HealthCheckResponse_SERVING)
	}
	c.Kill(1)
	c.Kill(2)
	becomes(0, healthv1.HealthCheckResponse_NOT_SERVING)
	c.Run(1)
	becomes(0, healthv1.HealthCheckResponse_SERVING)
	becomes(1, healthv1.HealthCheckResponse_SERVING)
	c.Run(2)
	becomes(2, healthv1.HealthCheckResponse_SERVING)
}

// TestStopTellsFirst stops a server that leads: who watches hears of it while the server still answers, and others lead when it
// is gone. A busy machine may make a new leader miss its first heartbeats, so one good stop of three is enough: without handing
// over the others would elect for some tenths of a second after each.
func TestStopTellsFirst(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	var err error
	for range 3 {
		leader := c.Coordinator()
		stopWatched(t, c, leader)
		if err = allLed(t, c, leader); err == nil {
			return
		}
		c.Run(leader)
		c.Ready()
	}
	t.Error(err)
}

// stopWatched stops a member, and returns when it is gone. A watch must hear that it is not ready before that.
func stopWatched(t *testing.T, c *clustertest.Cluster, member int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	c.Eventually(func() error {
		if got := health(t, c, member, server.ReadyService); got != healthv1.HealthCheckResponse_SERVING {
			return fmt.Errorf("member %d is %v", member, got)
		}
		return nil
	})
	watch, err := healthv1.NewHealthClient(c.Conn(member)).Watch(ctx, &healthv1.HealthCheckRequest{Service: server.ReadyService})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || m.Status != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("watch begins with %v %v", m, err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.Stop(member)
	}()
	m, err := watch.Recv()
	if err != nil {
		t.Fatalf("the watch broke before it said that the server stops: %v", err)
	}
	if m.Status != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("watch goes on with %v", m.Status)
	}
	cancel() // or the server waits for the watch to end
	<-stopped
}

// allLed returns nil if the cluster has a coordinator and leaders right now, a moment after a member stopped.
func allLed(t *testing.T, c *clustertest.Cluster, stopped int) error {
	t.Helper()
	coordinators := 0
	for _, m := range c.Alive() {
		if m.Server.IsCoordinator() {
			coordinators++
		}
	}
	s, err := kithv1.NewClusterServiceClient(c.Conn((stopped+1)%3)).Status(t.Context(), &kithv1.StatusRequest{})
	if err != nil {
		return err
	}
	if coordinators != 1 || !s.Ready {
		return fmt.Errorf("%d coordinators, status %v; want one, and a leader of each partition", coordinators, s)
	}
	return nil
}

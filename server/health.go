package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// ReadyService is the service of grpc.health.v1 that tells whether a server can do its part: it knows the decisions and the leader of the
// control group, and its replicas know the leaders of their partitions. The service "" is SERVING while the process runs.
const ReadyService = "ready"

const (
	// healthPause is how often readiness is looked at.
	healthPause = 200 * time.Millisecond
	// unreadyGrace is how long a server that was ready stays so while something is missing. An election is shorter: it concerns
	// several servers, and balancers must not turn away from all of them for it.
	unreadyGrace = 5 * time.Second
	// handOverTime bounds giving away leaderships when the process stops. It takes some milliseconds where others live.
	handOverTime = 3 * time.Second
)

// ready returns nil when this server can do its part. It waits some seconds for the decisions of the control group, once.
func (s *Server) ready(ctx context.Context) error {
	if _, ok := s.coordinator.Leader(); !ok {
		return fmt.Errorf("%w: no leader of the control group is known here", wire.ErrNotReady)
	}
	if err := s.coordinator.CatchUp(ctx); err != nil {
		return err
	}
	if s.coordinator.State().Epoch == 0 {
		return fmt.Errorf("%w: it has no shard map yet", wire.ErrNotReady)
	}
	return s.node.Ready()
}

// tellEvents tells health checks of the event service whether this process takes events, until ctx is done. The process as a
// whole is healthy with a full disk, too: it answers.
func (s *Server) tellEvents(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := s.disk.Changed()
		status := healthv1.HealthCheckResponse_SERVING
		if s.disk.Room() != nil {
			status = healthv1.HealthCheckResponse_NOT_SERVING
		}
		s.health.SetServingStatus(kithv1.EventsService_ServiceDesc.ServiceName, status)
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// tellReady keeps the status of ReadyService up to date until ctx is done, and leaves it at NOT_SERVING.
func (s *Server) tellReady(ctx context.Context) error {
	ticker := time.NewTicker(healthPause)
	defer ticker.Stop()
	defer s.health.SetServingStatus(ReadyService, healthv1.HealthCheckResponse_NOT_SERVING)
	serving := false
	var lastReady time.Time
	for {
		err := s.ready(ctx)
		now := time.Now()
		switch {
		case err == nil && !serving:
			serving = true
			s.watching.ready.Set(1)
			s.health.SetServingStatus(ReadyService, healthv1.HealthCheckResponse_SERVING)
			s.log.Info("ready")
		case err != nil && serving && now.Sub(lastReady) > unreadyGrace:
			serving = false
			s.watching.ready.Set(0)
			s.health.SetServingStatus(ReadyService, healthv1.HealthCheckResponse_NOT_SERVING)
			s.log.Warn("not ready any more", "reason", err)
		}
		if err == nil {
			lastReady = now
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// handOver gives away the leadership of the control group and of all partitions, for a while. What cannot be given away is
// elected anew when this process is gone.
func (s *Server) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOverTime)
	defer cancel()
	var control, partitions error
	var wg sync.WaitGroup
	wg.Go(func() { control = s.group.Resign(ctx) })
	wg.Go(func() { partitions = s.node.HandOver(ctx) })
	wg.Wait()
	if err := errors.Join(control, partitions); err != nil {
		s.log.Warn("leave without handing over all leaderships; others are elected", "err", err)
	}
}

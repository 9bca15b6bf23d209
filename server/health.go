package server

import (
	"context"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// reportHealth tells health checks of the event service whether this process takes events, until ctx is done. The process as a
// whole is healthy with a full disk, too: it answers.
func (s *Server) reportHealth(ctx context.Context) error {
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

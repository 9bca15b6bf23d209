package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// InflightPeak returns the most bytes of events that callers had under way at once, and the partitions led here.
func (s *Server) InflightPeak() (calls, partitions int64) {
	_, calls = s.inflight.Bytes()
	_, partitions = s.node.Inflight().Bytes()
	return calls, partitions
}

// SpeakAsEarlier makes a server say what a program of before levels of the control log says.
func SpeakAsEarlier(cfg *Config) { cfg.earlier = true }

// Write puts an entry into the log of the control group, which this process leads, whatever it says.
func (s *Server) Write(ctx context.Context, entry []byte) error {
	_, _, err := s.group.Propose(ctx, entry)
	return err
}

// Jobs returns the number of builds that this process keeps something of.
func (s *Server) Jobs() int { return s.node.Jobs() }

// Scrub reads all files of the process, has damage mended, and returns how much there was.
func (s *Server) Scrub(ctx context.Context) int { return s.node.Scrub(ctx) }

// Services returns the services of the gRPC server, as it describes them itself.
func (s *Server) Services() map[string]grpc.ServiceInfo { return s.grpc.GetServiceInfo() }

// Routes returns the patterns of the HTTP face, each with the method that it calls or "".
func (s *Server) Routes() (map[string]string, error) {
	routes, err := s.api.Routes()
	for pattern := range s.operatorRoutes() {
		routes[pattern] = ""
	}
	return routes, err
}

// Registry has the metrics of the process.
func (s *Server) Registry() *prometheus.Registry { return s.watching.registry }

package server

import "context"

// InflightPeak returns the most bytes of events that callers had under way at once, and the partitions led here.
func (s *Server) InflightPeak() (calls, partitions int64) {
	_, calls = s.inflight.Bytes()
	_, partitions = s.node.Inflight().Bytes()
	return calls, partitions
}

// Jobs returns the number of builds that this process keeps something of.
func (s *Server) Jobs() int { return s.node.Jobs() }

// Scrub reads all files of the process, has damage mended, and returns how much there was.
func (s *Server) Scrub(ctx context.Context) int { return s.node.Scrub(ctx) }

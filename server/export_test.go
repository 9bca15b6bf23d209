package server

// InflightPeak returns the most bytes of events that callers had under way at once, and the partitions led here.
func (s *Server) InflightPeak() (calls, partitions int64) {
	_, calls = s.inflight.Bytes()
	_, partitions = s.node.Inflight().Bytes()
	return calls, partitions
}

package server

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/telemetry"
)

// tracesTime is how long the last traces may take to be sent when the process stops.
const tracesTime = 3 * time.Second

// watching is what tells operators how a process does.
type watching struct {
	registry *prometheus.Registry
	tracer   *telemetry.Tracer
	calls    *telemetry.Calls
	http     *telemetry.HTTP
	queries  *telemetry.Queries
	events   *telemetry.Events
	ready    prometheus.Gauge
	refusals *prometheus.CounterVec
}

// openWatching makes what measures calls and requests.
func (s *Server) openWatching() (err error) {
	reg := telemetry.NewRegistry(s.id, s.cfg.Version)
	w := &s.watching
	if w.tracer, err = telemetry.NewTracer(context.TODO(), telemetry.TraceConfig{
		Endpoint: s.cfg.TraceEndpoint, Exporter: s.cfg.TraceExporter, Ratio: s.cfg.TraceRatio, Node: s.id, Version: s.cfg.Version, Log: s.log,
	}); err != nil {
		return err
	}
	w.registry, w.calls, w.http = reg, telemetry.NewCalls(reg, s.log), telemetry.NewHTTP(reg, w.tracer, s.log)
	w.queries, w.events = telemetry.NewQueries(reg, s.log, s.cfg.SlowQuery), telemetry.NewEvents(reg)
	w.ready = prometheus.NewGauge(prometheus.GaugeOpts{Name: "kith_ready", Help: "1 if this server can do its part: the service 'ready' of its health checks."})
	w.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kith_auth_refused_total", Help: "Calls that were turned away before they were looked at, by reason: unauthenticated, forbidden or rate_limited.",
	}, []string{"reason"})
	reg.MustRegister(w.ready, w.refusals)
	return nil
}

// refused counts a call that was turned away.
func (w *watching) refused(reason string) { w.refusals.WithLabelValues(strings.ToLower(reason)).Inc() }

// watchParts adds what the parts of the process tell.
func (s *Server) watchParts() error {
	parts := []prometheus.Collector{
		s.node, s.coordinator, s.gossip,
		consensus.NewCollector(func() []*consensus.Group { return append(s.node.Groups(), s.group) }),
		node.InflightCollector{"callers": s.inflight, "partitions": s.node.Inflight()},
	}
	if c := s.security.certs; c != nil {
		parts = append(parts, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kith_certificate_end_timestamp_seconds", Help: "When the certificate of this server ends; missing without one.",
		}, func() float64 { return float64(c.Expires().Unix()) }))
	}
	for _, p := range parts {
		if err := s.watching.registry.Register(p); err != nil {
			return err
		}
	}
	return nil
}

// stopTracing sends the last traces, for a while.
func (s *Server) stopTracing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesTime)
	defer cancel()
	if err := s.watching.tracer.Shutdown(ctx); err != nil {
		s.log.Warn("traces may be missing", "err", err)
	}
}

package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/node/wire"
)

// Calls measures the calls of gRPC that a process serves, and those with one answer that it makes, and gives each call of a client an id. It is
// safe for concurrent use after Know.
//
// Cost: no memory for a call between servers, unless it has an id, and the id and its header for calls of clients.
type Calls struct {
	log          *slog.Logger
	served, made direction
	methods      map[string]*method
	other        *method // stands for methods that are not known
}

// direction is the figures of calls that are served, or of those that are made.
type direction struct {
	handled  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
}

// method is a method with its figures.
type method struct {
	label string
	// internal methods are called by servers of the cluster alone.
	internal     bool
	served, made atomic.Pointer[series]
}

// series are the figures of a method in one direction. They are made at its first call, so that what is never called is not shown.
type series struct {
	of       *direction
	label    string
	ok       prometheus.Counter
	duration prometheus.Observer
	inFlight prometheus.Gauge
}

// newDirection returns the figures of a side, server or client, of calls of some kind.
func newDirection(side, calls string) direction {
	name := func(s string) string { return "kith_grpc_" + side + "_" + s }
	return direction{
		handled:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("handled_total"), Help: calls + " that have ended, by method and code."}, []string{"method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name("duration_seconds"), Help: calls + ": how long they took.", Buckets: buckets}, []string{"method"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("in_flight"), Help: calls + " under way."}, []string{"method"}),
	}
}

// NewCalls returns a Calls that knows no method. It logs calls that end with an error inside.
func NewCalls(reg prometheus.Registerer, log *slog.Logger) *Calls {
	c := &Calls{
		log: log, served: newDirection("server", "Calls of gRPC to this server"), made: newDirection("client", "Calls of gRPC by this server with one answer"),
		methods: map[string]*method{}, other: &method{label: "other"},
	}
	for _, d := range []*direction{&c.served, &c.made} {
		reg.MustRegister(d.handled, d.duration, d.inFlight)
	}
	return c
}

// Know tells the methods of the services that there are, before there are calls. Those that internal names are called by servers alone.
func (c *Calls) Know(services map[string]grpc.ServiceInfo, internal func(fullMethod string) bool) {
	for service, info := range services {
		for _, m := range info.Methods {
			full := "/" + service + "/" + m.Name
			c.methods[full] = &method{label: strings.TrimPrefix(service, "kith.v1.") + "/" + m.Name, internal: internal(full)}
		}
	}
}

func (c *Calls) method(full string) *method {
	if m := c.methods[full]; m != nil {
		return m
	}
	return c.other
}

// series returns the figures in a direction, where p keeps them.
func (m *method) series(p *atomic.Pointer[series], d *direction) *series {
	if s := p.Load(); s != nil {
		return s
	}
	s := &series{
		of: d, label: m.label, ok: d.handled.WithLabelValues(m.label, codes.OK.String()), duration: d.duration.WithLabelValues(m.label),
		inFlight: d.inFlight.WithLabelValues(m.label),
	}
	p.Store(s) // another that was stored meanwhile has the same figures
	return s
}

// done counts a call that has ended.
func (s *series) done(began time.Time, err error) {
	s.inFlight.Dec()
	s.duration.Observe(time.Since(began).Seconds())
	if err == nil {
		s.ok.Inc()
		return
	}
	s.of.handled.WithLabelValues(s.label, status.Code(err).String()).Inc()
}

// identify returns the context of a call with its id, and the header that tells it to the caller. Calls between servers have the id of the call
// that they are made for, if they are told, or none.
func (m *method) identify(ctx context.Context) (context.Context, metadata.MD) {
	given := metadata.ValueFromIncomingContext(ctx, requestHeader)
	if m.internal && len(given) == 0 {
		return ctx, nil
	}
	c := identify(ctx, given)
	if m.internal {
		return c, nil
	}
	return c, metadata.MD{requestHeader: {c.id}}
}

// failed logs a call that ended for a reason that is not the caller's. The text of the error may name a user, so it is for debugging alone.
func (c *Calls) failed(ctx context.Context, m *method, err error) {
	switch code := status.Code(wire.ToStatus(err)); code {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		c.log.ErrorContext(ctx, "call failed", "method", m.label, "code", code.String())
		c.log.DebugContext(ctx, "call failed", "method", m.label, "err", err)
	}
}

// Failed logs that a call which came in another way than by gRPC has failed inside.
func (c *Calls) Failed(ctx context.Context, fullMethod string, err error) {
	if err != nil {
		c.failed(ctx, c.method(fullMethod), err)
	}
}

// ServerOptions measure what a server serves, and convert the errors of its handlers as wire.UnaryServer does: two interceptors would cost memory for each
// call. They must come before other interceptors.
func (c *Calls) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(c.unary), grpc.ChainStreamInterceptor(c.stream)}
}

func (c *Calls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	m := c.method(info.FullMethod)
	s := m.series(&m.served, &c.served)
	began := time.Now()
	s.inFlight.Inc()
	ctx, header := m.identify(ctx)
	if header != nil {
		_ = grpc.SetHeader(ctx, header) // only without a stream of gRPC, as in tests
	}
	resp, err := handler(ctx, req)
	return resp, c.end(ctx, m, s, began, err)
}

func (c *Calls) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	m := c.method(info.FullMethod)
	s := m.series(&m.served, &c.served)
	began := time.Now()
	s.inFlight.Inc()
	ctx, header := m.identify(stream.Context())
	if header != nil {
		_ = stream.SetHeader(header) // as above
	}
	if ctx != stream.Context() {
		stream = &identified{stream, ctx}
	}
	return c.end(ctx, m, s, began, handler(srv, stream))
}

// end counts a call that was served, and returns its error as it is sent.
func (c *Calls) end(ctx context.Context, m *method, s *series, began time.Time, err error) error {
	err = wire.ToStatus(err)
	s.done(began, err)
	if err != nil {
		c.failed(ctx, m, err)
	}
	return err
}

// identified is a stream with the context of a request.
type identified struct {
	grpc.ServerStream
	ctx context.Context // as a stream has one
}

// Context implements grpc.ServerStream.
func (s *identified) Context() context.Context { return s.ctx }

// conn is a connection to a server whose calls are measured.
type conn struct {
	grpc.ClientConnInterface
	calls *Calls
}

// Conn returns a connection around one to a server of the cluster, whose calls are measured and have the id of the request that they are made for. Streams are
// not measured: to know their ends would cost memory for each.
func (c *Calls) Conn(to grpc.ClientConnInterface) grpc.ClientConnInterface { return &conn{to, c} }

// Invoke implements grpc.ClientConnInterface.
func (c *conn) Invoke(ctx context.Context, full string, args, reply any, opts ...grpc.CallOption) error {
	m := c.calls.method(full)
	s := m.series(&m.made, &c.calls.made)
	began := time.Now()
	s.inFlight.Inc()
	err := c.ClientConnInterface.Invoke(outgoing(ctx), full, args, reply, opts...)
	s.done(began, wire.ToStatus(err)) // as the error was sent
	return err
}

// NewStream implements grpc.ClientConnInterface.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, full string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.ClientConnInterface.NewStream(outgoing(ctx), desc, full, opts...)
}

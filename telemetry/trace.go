package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
)

// TraceConfig sets up a Tracer.
type TraceConfig struct {
	// Endpoint takes spans by OTLP over gRPC: http://host:4317, or https:// for TLS. Empty: no traces, unless there is an Exporter.
	Endpoint string
	// Exporter takes spans in the place of Endpoint.
	Exporter sdktrace.SpanExporter
	// Ratio is the share of the requests that are traced, 0 to 1, where the caller has not decided it by a traceparent.
	Ratio float64
	// Node and Version describe the process.
	Node, Version string
	// Log is told what cannot be sent.
	Log *slog.Logger
}

// Validate returns an error that says what is wrong.
func (c *TraceConfig) Validate() error {
	if !(c.Ratio >= 0 && c.Ratio <= 1) {
		return fmt.Errorf("share of traced requests (--trace-ratio) is %v; want 0 to 1", c.Ratio)
	}
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("endpoint of traces (--trace-endpoint) is %q; want http://host:4317, or https:// for TLS", c.Endpoint)
	}
	return nil
}

// Tracer makes spans of what a process serves and of what it asks of others. One that is off costs nothing.
type Tracer struct {
	provider   trace.TracerProvider
	propagator propagation.TextMapPropagator
	tracer     trace.Tracer
	// These are nil if it is off.
	sdk       *sdktrace.TracerProvider
	processor sdktrace.SpanProcessor
	sender    *sender
}

// NewTracer returns a Tracer, which is off without an endpoint and an exporter. It does not wait for the endpoint. The caller must Shutdown it.
func NewTracer(ctx context.Context, cfg TraceConfig) (*Tracer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t := &Tracer{provider: noop.NewTracerProvider(), propagator: propagation.TraceContext{}}
	exporter := cfg.Exporter
	if exporter == nil && cfg.Endpoint != "" {
		client, err := newOTLPClient(cfg.Endpoint)
		if err == nil {
			exporter, err = otlptrace.New(ctx, client)
		}
		if err != nil {
			return nil, fmt.Errorf("send traces to %s: %w", cfg.Endpoint, err)
		}
	}
	if exporter != nil {
		t.sender = newSender(ctx, exporter, cfg.Log)
		t.processor = sdktrace.NewBatchSpanProcessor(t.sender)
		t.sdk = sdktrace.NewTracerProvider(
			sdktrace.WithSpanProcessor(t.processor),
			sdktrace.WithSampler(sdktrace.ParentBased(entrances{sdktrace.TraceIDRatioBased(cfg.Ratio)})),
			sdktrace.WithResource(resource.NewSchemaless(
				attribute.String("service.name", "kith"), attribute.String("service.version", cfg.Version), attribute.String("service.instance.id", cfg.Node),
			)),
		)
		t.provider = t.sdk
	}
	t.tracer = t.provider.Tracer("github.com/kith-io/kith/telemetry")
	return t, nil
}

// Shutdown sends what is left, until ctx ends, and makes no spans any more. It returns after every goroutine has ended.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t.sdk == nil {
		return nil
	}
	err := t.processor.Shutdown(ctx) // the provider would not ask it if ctx has ended
	t.sender.giveUp()
	<-t.sender.ended
	if err := errors.Join(err, t.sdk.Shutdown(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// options are those of what makes spans for gRPC.
func (t *Tracer) options() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(t.propagator), otelgrpc.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelgrpc.WithFilter(filters.Not(filters.HealthCheck())),
	}
}

// ServerOptions make a span of each call that is served, and take the traceparent of callers.
func (t *Tracer) ServerOptions() []grpc.ServerOption {
	if t.sdk == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(t.options()...))}
}

// DialOptions make a span of each call to another server.
func (t *Tracer) DialOptions() []grpc.DialOption {
	if t.sdk == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(t.options()...))}
}

// entrances samples traces that begin with a request of a client. What servers ask each other by themselves, again and again, is none.
type entrances struct{ sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (e entrances) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if p.Kind != trace.SpanKindServer {
		return sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	}
	return e.Sampler.ShouldSample(p)
}

// sender sends spans without the texts of errors, as they may name users, and logs what cannot be sent: nobody waits for it.
type sender struct {
	exporter sdktrace.SpanExporter
	log      *slog.Logger
	// open ends by giveUp: the SDK goes on to send beyond the end of its Shutdown.
	open   context.Context
	giveUp context.CancelFunc
	// ended is closed when the SDK has sent its last.
	ended chan struct{}
}

func newSender(ctx context.Context, exporter sdktrace.SpanExporter, log *slog.Logger) *sender {
	s := &sender{exporter: exporter, log: log, ended: make(chan struct{})}
	s.open, s.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// ExportSpans implements sdktrace.SpanExporter.
func (s *sender) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.open, cancel)()
	quiet := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		quiet[i] = quietSpan{span}
	}
	if err := s.exporter.ExportSpans(ctx, quiet); err != nil {
		s.log.Warn("spans could not be sent", "spans", len(spans), "err", err)
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter. The SDK calls it once, when its own work has ended.
func (s *sender) Shutdown(ctx context.Context) error {
	defer close(s.ended)
	return s.exporter.Shutdown(ctx)
}

// quietSpan is a span whose status has no text.
type quietSpan struct{ sdktrace.ReadOnlySpan }

// Status implements sdktrace.ReadOnlySpan.
func (s quietSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

package telemetry

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// receiver takes spans by OTLP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu   sync.Mutex
	text string
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text += req.String()
	return &collector.ExportTraceServiceResponse{}, nil
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// TestSpansAreSent sends a span to a collector: it must be there when Shutdown has returned.
func TestSpansAreSent(t *testing.T) {
	ln, r, s := listen(t), &receiver{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, r)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) })
	defer serving.Wait()
	defer s.Stop()
	tracer := newTracer(t, TraceConfig{Endpoint: "http://" + ln.Addr().String(), Ratio: 1, Node: "n-7", Version: "v1.2.3"})
	_, span := tracer.tracer.Start(t.Context(), "request", trace.WithSpanKind(trace.SpanKindServer))
	span.End()
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, want := range []string{`"request"`, "n-7", "v1.2.3", "service.name"} {
		if !strings.Contains(r.text, want) {
			t.Errorf("%s is not in what was sent: %s", want, r.text)
		}
	}
}

// TestShutdownDoesNotHang has a collector that takes connections and says nothing, and one call without any time.
func TestShutdownDoesNotHang(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	if err := newTracer(t, TraceConfig{Exporter: &kept{}}).Shutdown(over); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("without any time: %v", err)
	}
	ln := listen(t)
	defer func() { _ = ln.Close() }()
	tracer := newTracer(t, TraceConfig{Endpoint: "http://" + ln.Addr().String(), Ratio: 1})
	_, span := tracer.tracer.Start(t.Context(), "request", trace.WithSpanKind(trace.SpanKindServer))
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err, took := tracer.Shutdown(ctx), time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
		t.Errorf("shutdown took %v: %v; want %v soon after the bound", took, err, context.DeadlineExceeded)
	}
}

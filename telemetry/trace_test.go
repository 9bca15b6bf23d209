package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
)

// receiver takes spans by OTLP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	answer *collector.ExportTraceServiceResponse

	mu   sync.Mutex // guards text
	text string
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text += req.String()
	return r.answer, nil
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// TestSpansAreSent sends a span to a collector, which refuses half of it in words: it must be there when Shutdown has returned.
func TestSpansAreSent(t *testing.T) {
	r := &receiver{answer: &collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too many"}}}
	ln, s := listen(t), grpc.NewServer()
	collector.RegisterTraceServiceServer(s, r)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) })
	defer serving.Wait()
	defer s.Stop()
	var text bytes.Buffer
	tracer := newTracer(t, TraceConfig{
		Endpoint: "http://" + ln.Addr().String(), Ratio: 1, Node: "n-7", Version: "v1.2.3", Log: slog.New(slog.NewTextHandler(&text, nil)),
	})
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
	if !strings.Contains(text.String(), "refused 1 spans: too many") {
		t.Errorf("logged %q; want what the collector said", text.String())
	}
}

// TestNoCompression holds what otlpClient is for: whatever registers a compressor with gRPC makes each call between servers carry a header more, and lets
// callers send compressed messages.
func TestNoCompression(t *testing.T) {
	for _, name := range []string{"gzip", "snappy", "zstd"} {
		if encoding.GetCompressor(name) != nil {
			t.Errorf("gRPC takes %s in this process", name)
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

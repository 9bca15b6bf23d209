package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// kept is an exporter that keeps spans.
type kept struct {
	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
	fails bool
	ended bool
}

func (k *kept) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails {
		return errors.New("nobody listens")
	}
	k.spans = append(k.spans, spans...)
	return nil
}

func (k *kept) Shutdown(context.Context) error { k.ended = true; return nil }

func newTracer(t *testing.T, cfg TraceConfig) *Tracer {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	tracer, err := NewTracer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func TestTraceConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  TraceConfig
		want string
	}{
		{TraceConfig{Ratio: 1}, ""},
		{TraceConfig{Endpoint: "http://localhost:4317", Ratio: 0.5}, ""},
		{TraceConfig{Endpoint: "https://traces.example.com", Ratio: 0}, ""},
		{TraceConfig{Endpoint: "localhost:4317"}, "--trace-endpoint"},
		{TraceConfig{Endpoint: "ftp://localhost"}, "--trace-endpoint"},
		{TraceConfig{Endpoint: "http://"}, "--trace-endpoint"},
		{TraceConfig{Ratio: 1.1}, "--trace-ratio"},
		{TraceConfig{Ratio: -0.1}, "--trace-ratio"},
	} {
		err := tt.cfg.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want an error with %q", tt.cfg, err, tt.want)
		}
	}
}

// TestRequests serves requests over HTTP with ids, figures, and spans that go on where the caller's trace is.
func TestRequests(t *testing.T) {
	reg, exporter := prometheus.NewRegistry(), &kept{}
	tracer := newTracer(t, TraceConfig{Exporter: exporter, Ratio: 0}) // the caller decides
	var text bytes.Buffer
	log := slog.New(LogHandler(slog.NewTextHandler(&text, nil)))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/users/{user}", func(w http.ResponseWriter, r *http.Request) {
		log.InfoContext(r.Context(), "seen")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /v1/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("GET /v1/failing", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "of anna", http.StatusInternalServerError) })
	mux.HandleFunc("GET /v1/panics", func(http.ResponseWriter, *http.Request) { panic("of anna") })
	h := NewHTTP(reg, tracer, log).Handler(mux)
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	ask := func(path, flags string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("X-Request-Id", "q7")
		r.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-"+flags)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := ask("/v1/users/anna", "01"); w.Header().Get("X-Request-Id") != "q7" {
		t.Errorf("headers %v; want the id of the request", w.Header())
	}
	ask("/v1/broken", "01")
	ask("/v1/failing", "01")
	func() {
		defer func() {
			if p := recover(); p != "of anna" {
				t.Errorf("the panic of a handler became %v", p)
			}
		}()
		ask("/v1/panics", "00")
	}()
	ask("/v1/users/otto", "00")
	ask("/secret/anna", "01")
	want := `
# HELP kith_http_requests_total Requests over HTTP that were served, by route and status.
# TYPE kith_http_requests_total counter
kith_http_requests_total{code="200",route="GET /v1/users/{user}"} 2
kith_http_requests_total{code="404",route="none"} 1
kith_http_requests_total{code="500",route="GET /v1/failing"} 1
kith_http_requests_total{code="500",route="GET /v1/panics"} 1
kith_http_requests_total{code="503",route="GET /v1/broken"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "kith_http_requests_total"); err != nil {
		t.Error(err)
	}
	if s := text.String(); !strings.Contains(s, "msg=seen request_id=q7 trace_id="+traceID) || !strings.Contains(s, `msg="request failed" route="GET /v1/failing" code=500 request_id=q7`) ||
		strings.Contains(s, "anna") || strings.Count(s, "request failed") != 1 {
		t.Errorf("logged %q; want the ids of request and trace, and no keys", s)
	}
	if err := tracer.Shutdown(t.Context()); err != nil || !exporter.ended {
		t.Errorf("shutdown: %v", err)
	}
	var names []string
	for _, s := range exporter.spans {
		names = append(names, s.Name())
		if s.SpanContext().TraceID().String() != traceID || s.SpanKind() != trace.SpanKindServer {
			t.Errorf("span %s is of trace %s and kind %v", s.Name(), s.SpanContext().TraceID(), s.SpanKind())
		}
	}
	if got := strings.Join(names, ", "); got != "GET /v1/users/{user}, GET /v1/broken, GET /v1/failing, none" {
		t.Errorf("spans %s", got)
	}
}

// TestTracesBeginAtEntrances makes spans without a parent: those of requests are kept, and those of what a server asks by itself are not.
// Texts of errors are not sent.
func TestTracesBeginAtEntrances(t *testing.T) {
	exporter := &kept{}
	tracer := newTracer(t, TraceConfig{Exporter: exporter, Ratio: 1, Node: "a"})
	ctx, own := tracer.tracer.Start(t.Context(), "own", trace.WithSpanKind(trace.SpanKindClient))
	_, below := tracer.tracer.Start(ctx, "below", trace.WithSpanKind(trace.SpanKindServer))
	ctx, request := tracer.tracer.Start(t.Context(), "request", trace.WithSpanKind(trace.SpanKindServer))
	_, child := tracer.tracer.Start(ctx, "child", trace.WithSpanKind(trace.SpanKindClient))
	child.SetStatus(codes.Error, "unknown user anna")
	for _, s := range []trace.Span{own, below, child, request} {
		s.End()
	}
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(exporter.spans) != 2 || exporter.spans[0].Name() != "child" || exporter.spans[1].Name() != "request" {
		t.Fatalf("spans %v; want those of the request", exporter.spans)
	}
	for _, s := range exporter.spans {
		if s.Status().Description != "" {
			t.Errorf("span %s says %q", s.Name(), s.Status().Description)
		}
		if !strings.Contains(s.Resource().String(), "service.instance.id=a") {
			t.Errorf("span %s is of %v; want the node", s.Name(), s.Resource())
		}
	}
}

// TestLostSpansAreLogged sends spans to nobody.
func TestLostSpansAreLogged(t *testing.T) {
	var text bytes.Buffer
	tracer := newTracer(t, TraceConfig{Exporter: &kept{fails: true}, Ratio: 1, Log: slog.New(slog.NewTextHandler(&text, nil))})
	_, span := tracer.tracer.Start(t.Context(), "request", trace.WithSpanKind(trace.SpanKindServer))
	span.End()
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v; want none, as it was logged", err)
	}
	if !strings.Contains(text.String(), "nobody listens") {
		t.Errorf("logged %q", text.String())
	}
}

// TestProfiles takes profiles, and none of the command line, which may have secrets.
func TestProfiles(t *testing.T) {
	mux := http.NewServeMux()
	for pattern, h := range Profiles() {
		mux.Handle(pattern, h)
	}
	for path, want := range map[string]int{
		"/debug/pprof/": http.StatusOK, "/debug/pprof/goroutine?debug=1": http.StatusOK, "/debug/pprof/heap": http.StatusOK,
		"/debug/pprof/profile?seconds=121": http.StatusBadRequest, "/debug/pprof/trace?seconds=NaN": http.StatusBadRequest, "/debug/pprof/allocs?seconds=999": http.StatusBadRequest,
		"/debug/pprof/cmdline": http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if body, _ := io.ReadAll(w.Body); w.Code != want {
			t.Errorf("%s: status %d, want %d: %.100s", path, w.Code, want, body)
		}
	}
}

package telemetry

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/kith-io/kith/node/wire"
)

// HTTP measures the requests over HTTP that a process serves, gives each an id, and traces some. It is safe for concurrent use.
type HTTP struct {
	tracer   *Tracer
	log      *slog.Logger
	handled  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	// ended has the figures of requests by how they ended, which are few: to look them up by labels costs as much as to count.
	ended atomic.Pointer[map[ending]*endingFigures]
	mu    sync.Mutex // held by who changes ended
}

// ending is how a request may end.
type ending struct {
	route string
	code  int
}

type endingFigures struct {
	handled  prometheus.Counter
	duration prometheus.Observer
}

func (h *HTTP) figures(e ending) *endingFigures {
	if f := (*h.ended.Load())[e]; f != nil {
		return f
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := maps.Clone(*h.ended.Load())
	f := &endingFigures{h.handled.WithLabelValues(e.route, strconv.Itoa(e.code)), h.duration.WithLabelValues(e.route)}
	ended[e] = f // another that was there has the same figures
	h.ended.Store(&ended)
	return f
}

// NewHTTP returns an HTTP. It logs requests that end with an error inside.
func NewHTTP(reg prometheus.Registerer, tracer *Tracer, log *slog.Logger) *HTTP {
	h := &HTTP{
		tracer: tracer, log: log,
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kith_http_requests_total", Help: "Requests over HTTP that were served, by route and status.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kith_http_request_duration_seconds", Help: "How long requests over HTTP took.", Buckets: buckets,
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kith_http_requests_in_flight", Help: "Requests over HTTP under way."}),
	}
	reg.MustRegister(h.handled, h.duration, h.inFlight)
	h.ended.Store(&map[ending]*endingFigures{})
	return h
}

// noSpan is the span of requests that nobody traces.
var noSpan = trace.SpanFromContext(context.Background())

// noRoute is the label of requests that fit no route. Their paths are anything.
const noRoute = "none"

// Handler returns next, which is an http.ServeMux or has one within, with all that. A route is a pattern of the mux; paths are seen by nobody.
func (h *HTTP) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		h.inFlight.Inc()
		defer h.inFlight.Dec()
		s := &serving{request: requestOf(r.Context(), r.Header[wire.RequestIDHeader]), answer: statusWriter{ResponseWriter: w}}
		s.header[0] = s.request.id
		w.Header()[wire.RequestIDHeader] = s.header[:]
		ctx, span := context.Context(&s.request), noSpan
		if h.tracer.sdk != nil || len(r.Header["Traceparent"]) > 0 {
			ctx, span = h.tracer.tracer.Start(h.tracer.propagator.Extract(ctx, propagation.HeaderCarrier(r.Header)), "HTTP", trace.WithSpanKind(trace.SpanKindServer))
			defer span.End()
		}
		r = r.WithContext(ctx)
		panicked := h.serve(next, &s.answer, r)
		route := r.Pattern
		if route == "" || route == "/" { // the mux of all
			route = noRoute
		}
		code := s.answer.code()
		f := h.figures(ending{route, code})
		f.duration.Observe(time.Since(began).Seconds())
		f.handled.Inc()
		switch {
		case panicked != nil:
			h.log.ErrorContext(ctx, "request panicked", "route", route)
		case code == http.StatusInternalServerError:
			h.log.ErrorContext(ctx, "request failed", "route", route, "code", code)
		}
		if span.IsRecording() {
			span.SetName(route)
			span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", code))
			if code >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, "")
			}
		}
		if panicked != nil {
			panic(panicked) // http.Server breaks the connection off, and logs where it was
		}
	})
}

// serving is what a request has while it is served, in one piece of memory.
type serving struct {
	request requestContext
	header  [1]string // of the answer, with the id
	answer  statusWriter
}

// serve runs a handler, and returns what it panicked with.
func (h *HTTP) serve(next http.Handler, w *statusWriter, r *http.Request) (panicked any) {
	defer func() {
		if panicked = recover(); panicked != nil && w.status == 0 {
			w.status = http.StatusInternalServerError // nothing is sent
		}
	}()
	next.ServeHTTP(w, r)
	return nil
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK { // those below go before the answer
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets an http.ResponseController reach what is beneath.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

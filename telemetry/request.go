package telemetry

import (
	"context"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

const (
	// requestHeader is the metadata of gRPC and, in other letters, the header of HTTP that has the id of a request.
	requestHeader = "x-request-id"
	// maxRequestID bounds an id that a caller gives: it is kept in logs.
	maxRequestID = 64
)

// requestContext is a context with the id of a request.
type requestContext struct {
	context.Context
	id string
	// given by the caller, and not made here.
	given bool
}

// requestKey is the key by which a requestContext is found.
type requestKey struct{}

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	if _, ok := key.(requestKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// identify returns a context of a request that has the id which its caller gave, or a new one if that is none that can be taken.
func identify(ctx context.Context, given []string) *requestContext {
	c := requestOf(ctx, given)
	return &c
}

func requestOf(ctx context.Context, given []string) requestContext {
	if id := requestIDOf(given); id != "" {
		return requestContext{ctx, id, true}
	}
	return requestContext{ctx, newRequestID(), false}
}

// RequestID returns the id of the request that a context belongs to, or "".
func RequestID(ctx context.Context) string {
	if c, ok := ctx.Value(requestKey{}).(*requestContext); ok {
		return c.id
	}
	return ""
}

// outgoing adds the id of a request to what is asked of another server for it, if its caller gave it. To send one that was made here as well would cost
// each query some 35 allocations, where servers pack, send and unpack it.
func outgoing(ctx context.Context) context.Context {
	if c, ok := ctx.Value(requestKey{}).(*requestContext); ok && c.given {
		return metadata.AppendToOutgoingContext(ctx, requestHeader, c.id)
	}
	return ctx
}

// newRequestID returns 32 hexadecimal digits. It need not be hard to guess.
func newRequestID() string {
	var b [16]byte
	for i, word := 0, uint64(0); i < len(b); i++ {
		if i%8 == 0 {
			word = rand.Uint64()
		}
		b[i] = byte(word >> (8 * (i % 8)))
	}
	return hex.EncodeToString(b[:])
}

// requestIDOf returns the id that a caller gave, if it gave one of letters, digits and - _ . : / + = alone, or "". Anything else could forge lines of logs.
func requestIDOf(values []string) string {
	if len(values) == 0 || len(values[0]) > maxRequestID {
		return ""
	}
	for _, c := range []byte(values[0]) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=':
		default:
			return ""
		}
	}
	return values[0]
}

// logHandler adds the ids of the request and of the trace that a line is about.
type logHandler struct{ slog.Handler }

// LogHandler returns a handler that adds request_id and trace_id to lines that are logged with the context of a request.
func LogHandler(h slog.Handler) slog.Handler { return logHandler{h} }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}

package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/node/wire"
)

const (
	publicMethod   = "/kith.v1.RecommenderService/Recommend"
	internalMethod = "/kith.v1.QueryService/ScoreItems"
)

// newCalls returns a Calls that knows two methods, with what it logs and measures.
func newCalls() (*Calls, *bytes.Buffer, *prometheus.Registry) {
	var text bytes.Buffer
	reg := prometheus.NewRegistry()
	c := NewCalls(reg, slog.New(LogHandler(slog.NewTextHandler(&text, nil))))
	c.Know(map[string]grpc.ServiceInfo{
		"kith.v1.RecommenderService": {Methods: []grpc.MethodInfo{{Name: "Recommend"}}},
		"kith.v1.QueryService":       {Methods: []grpc.MethodInfo{{Name: "ScoreItems"}}},
	}, func(full string) bool { return full == internalMethod })
	return c, &text, reg
}

// serverStream is what gRPC gives a handler, to take its headers.
type serverStream struct {
	method string
	header metadata.MD
}

func (s *serverStream) Method() string { return s.method }
func (s *serverStream) SetHeader(md metadata.MD) error {
	s.header = metadata.Join(s.header, md)
	return nil
}
func (s *serverStream) SendHeader(md metadata.MD) error { return s.SetHeader(md) }
func (s *serverStream) SetTrailer(metadata.MD) error    { return nil }

// serve calls a method with metadata, and returns the id that its handler saw and the one that the caller was told.
func serve(t *testing.T, c *Calls, method string, md metadata.MD, result error) (seen, told string) {
	t.Helper()
	stream := &serverStream{method: method}
	ctx := grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(t.Context(), md), stream)
	_, err := c.unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(ctx context.Context, _ any) (any, error) {
		seen = RequestID(ctx)
		return nil, result
	})
	if status.Code(err) != status.Code(wire.ToStatus(result)) {
		t.Fatalf("%s: got %v, want %v", method, err, result)
	}
	return seen, strings.Join(stream.header.Get(requestHeader), ",")
}

func TestRequestIDs(t *testing.T) {
	c, _, _ := newCalls()
	given := func(id string) metadata.MD { return metadata.Pairs(requestHeader, id) }
	for _, tt := range []struct {
		name, method string
		md           metadata.MD
		kept         bool
	}{
		{"a good one", publicMethod, given("web-1:4.a_B"), true},
		{"the longest", publicMethod, given(strings.Repeat("x", maxRequestID)), true},
		{"too long", publicMethod, given(strings.Repeat("x", maxRequestID+1)), false},
		{"a line of its own", publicMethod, given("a\nlevel=ERROR"), false},
		{"a space", publicMethod, given("a b"), false},
		{"empty", publicMethod, given(""), false},
		{"none", publicMethod, nil, false},
	} {
		seen, told := serve(t, c, tt.method, tt.md, nil)
		kept := len(tt.md) > 0 && seen == tt.md.Get(requestHeader)[0]
		if seen == "" || seen != told || kept != tt.kept || !kept && len(seen) != 32 {
			t.Errorf("%s: the handler saw %q, the caller was told %q; want the caller's: %t", tt.name, seen, told, tt.kept)
		}
	}
	if a, b := newRequestID(), newRequestID(); a == b {
		t.Errorf("two ids are %q", a)
	}
	if seen, told := serve(t, c, internalMethod, given("q7"), nil); seen != "q7" || told != "" {
		t.Errorf("between servers: the handler saw %q, the caller was told %q; want q7 and nothing", seen, told)
	}
	if seen, told := serve(t, c, internalMethod, nil, nil); seen != "" || told != "" {
		t.Errorf("between servers without one: %q and %q", seen, told)
	}
}

// other is a connection to another server, which answers all calls alike.
type other struct {
	grpc.ClientConnInterface
	sent metadata.MD // with the last call
	err  error
}

func (o *other) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	o.sent, _ = metadata.FromOutgoingContext(ctx)
	return o.err
}

func (o *other) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	o.sent, _ = metadata.FromOutgoingContext(ctx)
	return nil, o.err
}

// TestRequestIDsGoOn asks another server for requests whose callers gave an id, for others, and by itself.
func TestRequestIDsGoOn(t *testing.T) {
	c, _, _ := newCalls()
	to := &other{}
	conn := c.Conn(to)
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want string
	}{
		{"given", identify(t.Context(), []string{"q7"}), "q7"},
		{"made", identify(t.Context(), nil), ""},
		{"of none", t.Context(), ""},
	} {
		if err := conn.Invoke(tt.ctx, internalMethod, nil, nil); err != nil || strings.Join(to.sent.Get(requestHeader), ",") != tt.want {
			t.Errorf("%s: sent %v (%v), want %q", tt.name, to.sent, err, tt.want)
		}
		to.sent = nil
		if _, err := conn.NewStream(tt.ctx, nil, internalMethod); err != nil || strings.Join(to.sent.Get(requestHeader), ",") != tt.want {
			t.Errorf("%s: a stream sent %v (%v), want %q", tt.name, to.sent, err, tt.want)
		}
	}
}

// TestAskedCallsAreCounted counts calls to others by the codes that these sent, which are errors of another kind by then.
func TestAskedCallsAreCounted(t *testing.T) {
	c, _, reg := newCalls()
	to := &other{}
	for _, err := range []error{nil, nil, &wire.NotLeaderError{Leader: "b"}, status.Error(codes.Internal, "x")} {
		to.err = err
		if got := c.Conn(to).Invoke(t.Context(), internalMethod, nil, nil); !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
	}
	want := `
# HELP kith_grpc_client_handled_total Calls of gRPC by this server with one answer that have ended, by method and code.
# TYPE kith_grpc_client_handled_total counter
kith_grpc_client_handled_total{code="Internal",method="QueryService/ScoreItems"} 1
kith_grpc_client_handled_total{code="OK",method="QueryService/ScoreItems"} 2
kith_grpc_client_handled_total{code="Unavailable",method="QueryService/ScoreItems"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "kith_grpc_client_handled_total"); err != nil {
		t.Error(err)
	}
}

func TestCallsAreCounted(t *testing.T) {
	c, text, reg := newCalls()
	secret := `unknown user "anna@example.com"`
	serve(t, c, publicMethod, nil, nil)
	serve(t, c, publicMethod, nil, nil)
	serve(t, c, publicMethod, nil, fmt.Errorf("%w: %s", wire.ErrUnknownUser, secret))
	serve(t, c, publicMethod, metadata.Pairs(requestHeader, "q8"), status.Error(codes.Internal, secret))
	serve(t, c, internalMethod, nil, nil)
	serve(t, c, "/any.Thing/Else", nil, nil)
	want := `
# HELP kith_grpc_server_handled_total Calls of gRPC to this server that have ended, by method and code.
# TYPE kith_grpc_server_handled_total counter
kith_grpc_server_handled_total{code="OK",method="QueryService/ScoreItems"} 1
kith_grpc_server_handled_total{code="OK",method="RecommenderService/Recommend"} 2
kith_grpc_server_handled_total{code="NotFound",method="RecommenderService/Recommend"} 1
kith_grpc_server_handled_total{code="Internal",method="RecommenderService/Recommend"} 1
kith_grpc_server_handled_total{code="OK",method="other"} 1
# HELP kith_grpc_server_in_flight Calls of gRPC to this server under way.
# TYPE kith_grpc_server_in_flight gauge
kith_grpc_server_in_flight{method="QueryService/ScoreItems"} 0
kith_grpc_server_in_flight{method="RecommenderService/Recommend"} 0
kith_grpc_server_in_flight{method="other"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "kith_grpc_server_handled_total", "kith_grpc_server_in_flight"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "kith_grpc_server_duration_seconds"); err != nil || n != 3 {
		t.Errorf("%d histograms, %v; want one for each method", n, err)
	}
	log := text.String()
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "call failed") || !strings.Contains(log, "request_id=q8") || strings.Contains(log, "anna") {
		t.Errorf("logged %q; want one line about the internal error, with the id of its request and without its text", log)
	}
}

// silent is a connection that does nothing.
type silent struct{ grpc.ClientConnInterface }

func (silent) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

// TestCallsCostNoMemory holds the promise of the package about calls between servers, of which a query makes many.
func TestCallsCostNoMemory(t *testing.T) {
	c, _, _ := newCalls()
	info := &grpc.UnaryServerInfo{FullMethod: internalMethod}
	handler := func(context.Context, any) (any, error) { return nil, nil }
	conn := c.Conn(silent{})
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = c.unary(ctx, nil, info, handler) }); n != 0 {
		t.Errorf("serving allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = conn.Invoke(ctx, internalMethod, nil, nil) }); n != 0 {
		t.Errorf("asking allocates %v times", n)
	}
}

// BenchmarkCall compares a handler alone with what is measured around it: within the cluster, and for clients, who get an id.
func BenchmarkCall(b *testing.B) {
	c, _, _ := newCalls()
	handler := func(context.Context, any) (any, error) { return nil, nil }
	stream := &serverStream{}
	ctx := grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(b.Context(), metadata.MD{}), stream)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = handler(ctx, nil)
		}
	})
	for _, tt := range []struct{ name, method string }{{"internal", internalMethod}, {"public", publicMethod}} {
		info := &grpc.UnaryServerInfo{FullMethod: tt.method}
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stream.header = nil
				_, _ = c.unary(ctx, nil, info, handler)
			}
		})
	}
}

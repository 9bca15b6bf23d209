package rest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
)

// overloadPause is when to come back if there are too many requests.
const overloadPause = time.Second

// linesType is the content type of an answer of many messages.
const linesType = "application/x-ndjson"

// answer makes the call of a request and answers with what it returns.
func (h *handler) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	ctx = incoming(ctx, r)
	bind := func(in any) error {
		m, err := message(in)
		if err != nil {
			return err
		}
		return h.bind(w, r, m)
	}
	if h.unary != nil {
		out, err := h.unary.Handler(h.impl, ctx, bind, h.face.cfg.Unary)
		if err != nil {
			wire.WriteHTTP(w, err)
			return
		}
		m, err := message(out)
		if err != nil {
			wire.WriteHTTP(w, err)
			return
		}
		h.writeJSON(w, m.Interface())
		return
	}
	var out sink = &joined{h: h, w: w, whole: h.response.New().Interface()}
	if strings.Contains(r.Header.Get("Accept"), linesType) {
		out = &lines{h: h, w: w}
	}
	s := &stream{ctx: ctx, bind: bind, out: out}
	info := &grpc.StreamServerInfo{FullMethod: h.method, IsServerStream: true}
	out.end(h.face.cfg.Stream(h.impl, s, info, h.stream.Handler))
}

// caller is who calls, and its address.
type caller struct {
	peer peer.Peer
	addr remoteAddr
}

// incoming returns the context of a call: who calls from where and shows what, as for a call of gRPC.
func incoming(ctx context.Context, r *http.Request) context.Context {
	c := &caller{addr: remoteAddr(r.RemoteAddr)}
	c.peer.Addr = &c.addr
	if r.TLS != nil {
		c.peer.AuthInfo = credentials.TLSInfo{State: *r.TLS}
	}
	ctx = peer.NewContext(ctx, &c.peer)
	if shown := r.Header.Values("Authorization"); len(shown) > 0 {
		ctx = metadata.NewIncomingContext(ctx, metadata.MD{"authorization": shown})
	}
	return ctx
}

// remoteAddr is the address of a client, as a request has it.
type remoteAddr string

// Network implements net.Addr.
func (a remoteAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a remoteAddr) String() string { return string(a) }

// sink takes the messages of a stream.
type sink interface {
	// put takes the next one; it is the caller's again afterwards.
	put(m proto.Message) error
	// end completes the answer after the last message, or tells why there are no more.
	end(err error)
}

// stream is the server's side of a call whose one message is the request.
type stream struct {
	ctx   context.Context // that of the call, which grpc.ServerStream hands out
	bind  func(in any) error
	bound bool
	out   sink
}

var _ grpc.ServerStream = (*stream)(nil)

func (s *stream) Context() context.Context     { return s.ctx }
func (s *stream) SetHeader(metadata.MD) error  { return nil }
func (s *stream) SendHeader(metadata.MD) error { return nil }
func (s *stream) SetTrailer(metadata.MD)       {}

// RecvMsg returns the request, and then the end.
func (s *stream) RecvMsg(in any) error {
	if s.bound {
		return io.EOF
	}
	s.bound = true
	return s.bind(in)
}

// SendMsg implements grpc.ServerStream.
func (s *stream) SendMsg(out any) error {
	m, ok := out.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a message", out)
	}
	return s.out.put(m)
}

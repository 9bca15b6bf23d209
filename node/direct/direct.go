// Package direct calls the services of this process as those of any other node are called, without a network: what a query asks of its
// own node costs a copy of the messages instead of two trips through the stack of HTTP/2.
package direct

import (
	"context"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kith-io/kith/node/wire"
)

// Conn is a connection to services in the same process. It keeps what a connection of gRPC promises: messages are not shared between the two sides, unless
// they are lent (see Lend), a call returns when its context ends, whatever its handler does, and errors are those that would come over the network. There are
// no interceptors, no metadata and no options of calls; the context is that of the caller, with its values. It is safe for concurrent use.
type Conn struct {
	unary   map[string]unary
	streams map[string]streaming

	// idle hands work to a goroutine that has ended other work: its stack has grown already. Nobody waits in it with work.
	idle    chan func()
	room    chan struct{} // has a value for each goroutine that waits
	done    chan struct{} // closed by Close
	running sync.WaitGroup

	mu     sync.RWMutex // guards closed; held to read by those who begin work, who must not wait for each other
	closed bool
}

// maxIdle is how many goroutines wait for more work. More than calls are under way at a time are of no use.
const maxIdle = 64

type unary struct {
	impl    any
	handler grpc.MethodHandler
	give    giving
}

type streaming struct {
	impl any
	desc grpc.StreamDesc
	give giving
}

// giving is how a message comes to the other side: the result has what it had, and is the other's.
type giving func(proto.Message) proto.Message

// lend gives a message of its own, with fields that are shared.
func lend(m proto.Message) proto.Message {
	lent := m.ProtoReflect().New().Interface()
	move(lent, m)
	return lent
}

var (
	_ grpc.ClientConnInterface = (*Conn)(nil)
	_ grpc.ServiceRegistrar    = (*Conn)(nil)
)

// New returns a Conn without services. The caller must Close it.
func New() *Conn {
	return &Conn{unary: map[string]unary{}, streams: map[string]streaming{}, idle: make(chan func()), done: make(chan struct{}), room: make(chan struct{}, maxIdle)}
}

// RegisterService adds a service. It must not be called once there are calls.
func (c *Conn) RegisterService(desc *grpc.ServiceDesc, impl any) { c.register(desc, impl, proto.Clone) }

// Lend adds services as RegisterService does, but what is in the fields of their messages is not copied: neither side may change a slice, a map or a message in
// a message that it has given or got, at any time. A call costs its handler and about a microsecond then.
func (c *Conn) Lend() grpc.ServiceRegistrar { return lender{c} }

type lender struct{ conn *Conn }

func (l lender) RegisterService(desc *grpc.ServiceDesc, impl any) {
	l.conn.register(desc, impl, lend)
}

func (c *Conn) register(desc *grpc.ServiceDesc, impl any, give giving) {
	for _, m := range desc.Methods {
		c.unary["/"+desc.ServiceName+"/"+m.MethodName] = unary{impl, m.Handler, give}
	}
	for _, s := range desc.Streams {
		c.streams["/"+desc.ServiceName+"/"+s.StreamName] = streaming{impl, s, give}
	}
}

// Close refuses further calls, and returns when the handlers of all calls have.
func (c *Conn) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
	c.mu.Unlock()
	c.running.Wait()
}

// run runs the handler of a call, on a goroutine that Close waits for.
func (c *Conn) run(handle func()) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return status.Error(codes.Unavailable, "this process stops")
	}
	select {
	case c.idle <- handle:
	default:
		c.running.Go(func() { c.work(handle) })
	}
	return nil
}

// work runs a handler, and then others for as long as there is room among those that wait for them.
func (c *Conn) work(handle func()) {
	for {
		handle()
		select {
		case c.room <- struct{}{}:
		default:
			return
		}
		select {
		case handle = <-c.idle:
			<-c.room
		case <-c.done:
			return
		}
	}
}

// Invoke implements grpc.ClientConnInterface.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	m, ok := c.unary[method]
	if !ok {
		return unknown(method)
	}
	request := m.give(args.(proto.Message))
	response, err := Do(ctx, c, func() (any, error) {
		take := func(into any) error {
			move(into.(proto.Message), request)
			return nil
		}
		return m.handler(m.impl, ctx, take, nil)
	})
	if err != nil {
		return err
	}
	move(reply.(proto.Message), m.give(response.(proto.Message)))
	return nil
}

// Do runs f as the handler of a call of c: it returns when the context ends, though f may go on, and with the errors of a call.
func Do[T any](ctx context.Context, c *Conn, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	ended := make(chan outcome, 1)
	err := ctx.Err()
	if err == nil {
		err = c.run(func() {
			var o outcome
			o.value, o.err = f()
			ended <- o
		})
	}
	if err == nil {
		select {
		case o := <-ended:
			return o.value, failure(o.err)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	var none T
	return none, failure(err)
}

// NewStream implements grpc.ClientConnInterface.
func (c *Conn) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	s, ok := c.streams[method]
	if !ok {
		return nil, unknown(method)
	}
	if err := ctx.Err(); err != nil {
		return nil, failure(err)
	}
	caller := ctx
	ctx, cancel := context.WithCancel(ctx)
	p := &pipe{ctx: ctx, caller: caller, give: s.give, uploads: s.desc.ClientStreams, requests: make(chan proto.Message), responses: make(chan proto.Message), ended: make(chan struct{})}
	err := c.run(func() {
		defer cancel()
		p.err = s.desc.Handler(s.impl, serverSide{p})
		close(p.ended)
	})
	if err != nil {
		cancel()
		return nil, failure(err)
	}
	return &clientSide{pipe: p}, nil
}

// pipe is a stream between its two sides.
type pipe struct {
	ctx                 context.Context // ends with the call or the handler
	caller              context.Context // ends with the call
	give                giving
	uploads             bool // the client may send many messages
	requests, responses chan proto.Message
	ended               chan struct{} // closed when the handler has returned err
	err                 error
}

// send hands on a message; gone tells when nobody will take it.
func (p *pipe) send(to chan<- proto.Message, m any, gone <-chan struct{}) error {
	select {
	case to <- p.give(m.(proto.Message)):
		return nil
	case <-gone:
		return io.EOF
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// clientSide is used by one goroutine that sends and one that receives, as any stream.
type clientSide struct {
	*pipe
	closing sync.Once
}

func (s *clientSide) Context() context.Context     { return s.ctx }
func (s *clientSide) Header() (metadata.MD, error) { return nil, nil }
func (s *clientSide) Trailer() metadata.MD         { return nil }

// CloseSend implements grpc.ClientStream.
func (s *clientSide) CloseSend() error {
	s.closing.Do(func() { close(s.requests) })
	return nil
}

// SendMsg implements grpc.ClientStream. Where nobody takes the message it returns io.EOF, or nil if it is the only one; RecvMsg tells why.
func (s *clientSide) SendMsg(m any) error {
	if err := s.send(s.requests, m, s.ended); err != nil && s.uploads {
		return io.EOF
	}
	return nil
}

// RecvMsg implements grpc.ClientStream.
func (s *clientSide) RecvMsg(m any) error {
	select {
	case from := <-s.responses:
		move(m.(proto.Message), from)
		return nil
	case <-s.ended:
		switch {
		case s.err == nil:
			return io.EOF
		case s.caller.Err() != nil: // of which the error is a consequence, if not the same
			return failure(s.caller.Err())
		}
		return failure(s.err)
	case <-s.ctx.Done():
		select {
		case <-s.ended: // which ended the context
			return s.RecvMsg(m)
		default:
			return failure(s.ctx.Err())
		}
	}
}

// serverSide is what a handler sees.
type serverSide struct{ *pipe }

func (s serverSide) Context() context.Context     { return s.ctx }
func (s serverSide) SetHeader(metadata.MD) error  { return nil }
func (s serverSide) SendHeader(metadata.MD) error { return nil }
func (s serverSide) SetTrailer(metadata.MD)       {}

// SendMsg implements grpc.ServerStream.
func (s serverSide) SendMsg(m any) error { return s.send(s.responses, m, nil) }

// RecvMsg implements grpc.ServerStream.
func (s serverSide) RecvMsg(m any) error {
	select {
	case from, ok := <-s.requests:
		if !ok {
			return io.EOF
		}
		move(m.(proto.Message), from)
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// move puts what a message has into another: the two share what is in its fields.
func move(to, from proto.Message) {
	proto.Reset(to)
	dst := to.ProtoReflect()
	from.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		dst.Set(field, v)
		return true
	})
}

// failure returns an error as it would have come over the network.
func failure(err error) error { return wire.FromStatus(wire.ToStatus(err)) }

func unknown(method string) error {
	return failure(status.Error(codes.Unimplemented, fmt.Sprintf("this process has no method %s", method)))
}

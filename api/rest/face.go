package rest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kith-io/kith/api/rest/route"
	"github.com/kith-io/kith/node/wire"
)

// Config of a Face.
type Config struct {
	// Guard returns the context for the call of a method, or answers why there is none, before the body is read.
	Guard func(fullMethod string, w http.ResponseWriter, r *http.Request) (ctx context.Context, ok bool)
	// Unary and Stream stand before the implementations, as in a server of gRPC.
	Unary  grpc.UnaryServerInterceptor
	Stream grpc.StreamServerInterceptor
	// MaxRequests bounds the requests that are under way, and a quarter of it those that get a stream, which count by themselves; what is more is refused.
	MaxRequests int
}

// Face is a grpc.ServiceRegistrar that makes handlers of HTTP from services. Register all, then ask for Routes and Handlers.
type Face struct {
	cfg    Config
	routes map[string]*handler // by pattern
	// slots are for requests under way: those with one answer, and those with many, which may take long and should not keep the others out.
	slots, long chan struct{}
	// shapes are of the answers and of what is in them; scratch has the memory of answers that were sent, each a *[]byte.
	shapes  map[protoreflect.FullName]*shape
	scratch sync.Pool
	err     error
}

// New returns a Face without routes.
func New(cfg Config) *Face {
	return &Face{
		cfg: cfg, routes: map[string]*handler{}, shapes: map[protoreflect.FullName]*shape{},
		slots: make(chan struct{}, cfg.MaxRequests), long: make(chan struct{}, max(1, cfg.MaxRequests/4)),
	}
}

// handler answers the requests of one route by one method.
type handler struct {
	face  *Face
	route route.Route
	// method is its full name.
	method string
	// vars are what the path sets, and targets what the query may.
	vars    []target
	targets map[string]*target
	// impl and either unary or stream are what the generated code registers.
	impl   any
	unary  *grpc.MethodDesc
	stream *grpc.StreamDesc
	// response is an empty one, and shape how it becomes JSON.
	response protoreflect.Message
	shape    *shape
}

var _ grpc.ServiceRegistrar = (*Face)(nil)

// RegisterService takes the methods of a service that are annotated. The generated functions call it.
func (f *Face) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if err := f.register(desc, impl); err != nil {
		f.err = errors.Join(f.err, err)
	}
}

func (f *Face) register(desc *grpc.ServiceDesc, impl any) error {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(desc.ServiceName))
	if err != nil {
		return fmt.Errorf("service %s: %w", desc.ServiceName, err)
	}
	service, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return fmt.Errorf("%s is not a service", desc.ServiceName)
	}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		routes, err := route.Of(m)
		if err != nil {
			return err
		}
		for _, r := range routes {
			h := &handler{face: f, route: r, method: r.FullMethod(), impl: impl, targets: newTargets(&r)}
			for _, v := range r.Vars {
				h.vars = append(h.vars, newTarget(m.Input(), v))
			}
			response, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
			if err != nil {
				return fmt.Errorf("answer of %s: %w", m.FullName(), err)
			}
			h.response, h.shape = response.Zero(), newShape(response.Descriptor(), f.shapes)
			if at := slices.IndexFunc(desc.Methods, func(d grpc.MethodDesc) bool { return d.MethodName == string(m.Name()) }); at >= 0 {
				h.unary = &desc.Methods[at]
			}
			if at := slices.IndexFunc(desc.Streams, func(d grpc.StreamDesc) bool { return d.StreamName == string(m.Name()) }); at >= 0 {
				h.stream = &desc.Streams[at]
			}
			if (h.unary == nil) == (h.stream == nil) {
				return fmt.Errorf("the service %s that was registered is not that of the protocol: method %s", desc.ServiceName, m.Name())
			}
			if f.routes[r.Pattern()] != nil {
				return fmt.Errorf("%s is a route of %s and of another method", r.Pattern(), m.FullName())
			}
			f.routes[r.Pattern()] = h
		}
	}
	return nil
}

// Routes returns the full name of the method of each pattern, or what is wrong with the annotations.
func (f *Face) Routes() (map[string]string, error) {
	methods := map[string]string{}
	for pattern, h := range f.routes {
		methods[pattern] = h.method
	}
	return methods, f.err
}

// Register gives a mux the handlers of all routes.
func (f *Face) Register(mux *http.ServeMux) error {
	for _, pattern := range slices.Sorted(maps.Keys(f.routes)) {
		h := f.routes[pattern]
		mux.HandleFunc(pattern, h.serve)
	}
	return f.err
}

// serve answers a request.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	ctx, ok := h.face.cfg.Guard(h.method, w, r)
	if !ok {
		return
	}
	slots := h.face.slots
	if h.stream != nil {
		slots = h.face.long
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		wire.WriteHTTP(w, &wire.OverloadedError{RetryIn: overloadPause})
		return
	}
	h.answer(ctx, w, r)
}

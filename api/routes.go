package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/api/reference"
	"github.com/kith-io/kith/api/rest"
)

// maxRequests bounds the requests to methods that are under way.
const maxRequests = 256

// Guard decides who gets through to the HTTP face; auth.Guard is one.
type Guard interface {
	// Route stands before a route that is named by its pattern.
	Route(pattern string, h http.Handler) http.Handler
	// Method returns the context for the call of a method of gRPC, or answers why the request may not call it.
	Method(fullMethod string, w http.ResponseWriter, r *http.Request) (ctx context.Context, ok bool)
	// Unary and Stream stand before the implementations of methods.
	Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error)
	Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error
}

// routes returns the handlers of the routes that are not methods, by pattern.
func (a *API) routes() map[string]http.Handler {
	routes := reference.Routes()
	routes["POST /v1/events"] = newPush(a.store, a.events.Rejected, time.Now) // docs/guide.md describes it
	return routes
}

// Routes returns the patterns of the HTTP face, each with the full name of the method that it calls, or "" if it is none.
func (a *API) Routes() (map[string]string, error) {
	face := rest.New(rest.Config{})
	a.Register(face)
	patterns, err := face.Routes()
	for pattern := range a.routes() {
		patterns[pattern] = ""
	}
	return patterns, err
}

// Handler returns the HTTP face. It tells failed of each call that ends with an error. An error is one of the annotations of the protocol.
func (a *API) Handler(guard Guard, failed func(ctx context.Context, fullMethod string, err error)) (http.Handler, error) {
	face := rest.New(rest.Config{
		Guard: guard.Method,
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			resp, err := guard.Unary(ctx, req, info, handler)
			failed(ctx, info.FullMethod, err)
			return resp, err
		},
		Stream: func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			err := guard.Stream(srv, stream, info, handler)
			failed(stream.Context(), info.FullMethod, err)
			return err
		},
		MaxRequests: maxRequests,
	})
	a.Register(face)
	routes := a.routes()
	return newFront(func(mux *http.ServeMux) error {
		for pattern, h := range routes {
			mux.Handle(pattern, guard.Route(pattern, h))
		}
		if err := face.Register(mux); err != nil {
			return errors.Join(errors.New("the protocol has routes that cannot be served"), err)
		}
		return nil
	})
}

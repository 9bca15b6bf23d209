package api

import (
	"net/http"

	"github.com/kith-io/kith/node/wire"
)

// crossOrigin finds out whether a page of another site makes a browser ask: it would show a client certificate by itself.
var crossOrigin = http.NewCrossOriginProtection()

// noSniff and noStore are values of headers that all answers share; they must not be changed.
var noSniff, noStore = []string{"nosniff"}, []string{"no-store"}

// front stands before all routes: it refuses what pages of other sites ask, and answers what no route takes. Who serves it names requests
// (wire.RequestIDHeader of the answer) and logs them.
type front struct {
	all    *http.ServeMux // the routes, and noRoute for what they do not take
	routes *http.ServeMux // the routes alone, which know what a path takes
}

// newFront returns a front before routes that are registered with each mux it gives.
func newFront(register func(*http.ServeMux) error) (*front, error) {
	f := &front{http.NewServeMux(), http.NewServeMux()}
	if err := register(f.routes); err != nil {
		return nil, err
	}
	f.all.HandleFunc("/", f.noRoute)
	return f, register(f.all)
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["X-Content-Type-Options"], header["Cache-Control"] = noSniff, noStore
	if err := crossOrigin.Check(r); err != nil {
		wire.WriteHTTP(w, &wire.HTTPError{
			Status: http.StatusForbidden, Reason: "CROSS_ORIGIN", Message: "a page of another site may not ask for this; ask from the server's own pages or from a program",
		})
		return
	}
	f.all.ServeHTTP(w, r)
}

// noRoute answers why there is no route for a request.
func (f *front) noRoute(w http.ResponseWriter, r *http.Request) {
	told := &discard{header: http.Header{}}
	f.routes.ServeHTTP(told, r)
	if told.status == http.StatusMethodNotAllowed {
		allow := told.header.Get("Allow")
		w.Header().Set("Allow", allow)
		wire.WriteHTTP(w, &wire.HTTPError{Status: told.status, Reason: "BAD_METHOD", Message: r.Method + " is not for this path; it takes " + allow})
		return
	}
	wire.WriteHTTP(w, &wire.HTTPError{Status: http.StatusNotFound, Reason: "NO_ROUTE", Message: "there is no such path; GET /openapi.json describes those that there are"})
}

// discard is an answer that nobody gets.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

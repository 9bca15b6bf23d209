package api

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/kith-io/kith/node/wire"
)

// goodRequestID is what is taken over from a client: it stands in logs and headers.
var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,64}$`)

// crossOrigin finds out whether a page of another site makes a browser ask: it would show a client certificate by itself.
var crossOrigin = http.NewCrossOriginProtection()

// front stands before all routes: it names requests, logs them, and answers what no route takes.
type front struct {
	mux *http.ServeMux
	log *slog.Logger
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := r.Header.Get(wire.RequestIDHeader)
	if !goodRequestID.MatchString(id) {
		id = rand.Text()
	}
	header := w.Header()
	header.Set(wire.RequestIDHeader, id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	out := &watched{ResponseWriter: w}
	_, pattern := f.mux.Handler(r)
	switch err := crossOrigin.Check(r); {
	case err != nil:
		wire.WriteHTTP(out, &wire.HTTPError{
			Status: http.StatusForbidden, Reason: "CROSS_ORIGIN", Message: "a page of another site may not ask for this; ask from the server's own pages or from a program",
		})
	case pattern == "":
		wire.WriteHTTP(out, f.noRoute(header, r))
	default:
		f.mux.ServeHTTP(out, r)
	}
	level := slog.LevelDebug
	if out.status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	// The path is not logged, as it may name a user.
	f.log.Log(r.Context(), level, "request over HTTP", "request", id, "route", pattern, "status", out.status, "seconds", time.Since(began).Seconds())
}

// noRoute says why the mux has no route for a request.
func (f *front) noRoute(header http.Header, r *http.Request) error {
	told := &watched{ResponseWriter: &discard{header: http.Header{}}}
	f.mux.ServeHTTP(told, r)
	if told.status == http.StatusMethodNotAllowed {
		allow := told.Header().Get("Allow")
		header.Set("Allow", allow)
		return &wire.HTTPError{Status: told.status, Reason: "BAD_METHOD", Message: r.Method + " is not for this path; it takes " + allow}
	}
	return &wire.HTTPError{Status: http.StatusNotFound, Reason: "NO_ROUTE", Message: "there is no such path; GET /openapi.json describes those that there are"}
}

// watched keeps the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard is an answer that nobody gets.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

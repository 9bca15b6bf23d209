package api

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kith-io/kith/node/wire"
)

// TestRequestsAreLogged looks for what helps to find a request, and for what must not be in a log.
func TestRequestsAreLogged(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/users/{user}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("user") == "odd" {
			wire.WriteHTTP(w, errors.New("odd"))
		}
		_, _ = w.Write([]byte("x"))
	})
	for _, tt := range []struct{ path, want string }{
		{"/v1/users/ann", `level=DEBUG msg="request over HTTP" request=r-1 route="GET /v1/users/{user}" status=200 seconds=`},
		{"/v1/users/odd", `level=ERROR msg="request over HTTP" request=r-1 route="GET /v1/users/{user}" status=500 seconds=`},
		{"/v1/ann", `level=DEBUG msg="request over HTTP" request=r-1 route="" status=404 seconds=`},
	} {
		var log strings.Builder
		f := &front{mux: mux, log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody)
		r.Header.Set(wire.RequestIDHeader, "r-1")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if !strings.Contains(log.String(), tt.want) || strings.Contains(log.String(), "ann") || w.Header().Get(wire.RequestIDHeader) != "r-1" {
			t.Errorf("%s: log %q, header %v; want %q in the log", tt.path, log.String(), w.Header(), tt.want)
		}
	}
}

package telemetry

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
)

// maxProfileSeconds bounds profiles and traces of the runtime that are taken over time: they slow the process down.
const maxProfileSeconds = 120

// Profiles returns the handlers of the profiles of the Go runtime, by pattern, in the form of net/http/pprof. That of the command line is not among
// them, since that may have secrets. (The import gives all of them to http.DefaultServeMux, too, which nothing here serves.)
func Profiles() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /debug/pprof/":        bounded(pprof.Index), // all that the runtime knows by name
		"GET /debug/pprof/profile": bounded(pprof.Profile),
		"GET /debug/pprof/trace":   bounded(pprof.Trace),
		"GET /debug/pprof/symbol":  http.HandlerFunc(pprof.Symbol),
	}
}

// bounded refuses requests that would take too long.
func bounded(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := r.FormValue("seconds"); text != "" {
			if seconds, err := strconv.ParseFloat(text, 64); err != nil || !(seconds >= 0 && seconds <= maxProfileSeconds) {
				http.Error(w, fmt.Sprintf("seconds is %q; want 0 to %d", text, maxProfileSeconds), http.StatusBadRequest)
				return
			}
		}
		h(w, r)
	})
}

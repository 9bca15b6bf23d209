package api

import (
	"net/http"
	"time"
)

// routes returns the handlers of the HTTP face by pattern; docs/guide.md describes them.
func (a *API) routes() map[string]http.Handler {
	return map[string]http.Handler{
		"POST /v1/events": newPush(a.store, a.events.Rejected, time.Now),
	}
}

// Routes returns the patterns of the HTTP face.
func (a *API) Routes() (patterns []string) {
	for pattern := range a.routes() {
		patterns = append(patterns, pattern)
	}
	return patterns
}

// Handler returns the HTTP face. guard stands before the handler of each route, and decides who gets through.
func (a *API) Handler(guard func(pattern string, h http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range a.routes() {
		mux.Handle(pattern, guard(pattern, h))
	}
	return mux
}

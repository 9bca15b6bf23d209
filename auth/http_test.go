package auth

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/audit"
)

// newGuard returns a Guard of a cluster with a file of keys.
func newGuard(t *testing.T, keys string) *Guard {
	t.Helper()
	log, err := audit.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	g, err := New(Config{Cluster: "shop", KeysFile: keys, Node: "a", Audit: log, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRoute(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	writer, _ := newKey(t, path, time.Now(), NewKey{Roles: []Role{Write}, Rate: 0.5, Burst: 1})
	reader, _ := newKey(t, path, time.Now(), NewKey{Roles: []Role{Read}})
	g := newGuard(t, path)
	reached := 0
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })
	for _, tt := range []struct {
		name, pattern string
		authorization []string
		want          int
		reason        string
	}{
		{"good", "POST /v1/events", []string{"Bearer " + writer}, http.StatusOK, ""},
		{"too many", "POST /v1/events", []string{"bearer " + writer}, http.StatusTooManyRequests, "RATE_LIMITED"},
		{"another role", "POST /v1/events", []string{"Bearer " + reader}, http.StatusForbidden, "FORBIDDEN"},
		{"nothing", "POST /v1/events", nil, http.StatusUnauthorized, "UNAUTHENTICATED"},
		{"two", "POST /v1/events", []string{"Bearer " + writer, "Bearer " + reader}, http.StatusUnauthorized, "UNAUTHENTICATED"},
		{"a token where none is taken", "POST /v1/events", []string{"Bearer a.b.c"}, http.StatusUnauthorized, "UNAUTHENTICATED"},
		{"a route without a rule", "GET /v1/new", []string{"Bearer " + writer}, http.StatusForbidden, "FORBIDDEN"},
	} {
		before := reached
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("x"))
		for _, a := range tt.authorization {
			r.Header.Add("Authorization", a)
		}
		w := httptest.NewRecorder()
		g.Route(tt.pattern, handler).ServeHTTP(w, r)
		if w.Code != tt.want || (reached > before) != (tt.want == http.StatusOK) {
			t.Errorf("%s: status %d, handler called: %t; want %d", tt.name, w.Code, reached > before, tt.want)
		}
		if tt.want == http.StatusOK {
			continue
		}
		var out refusal
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Error.Reason != tt.reason || strings.Contains(w.Body.String(), writer) {
			t.Errorf("%s: %s, %v; want the reason %s", tt.name, w.Body, err, tt.reason)
		}
		if got := w.Header().Get("Retry-After"); (got == "2") != (tt.want == http.StatusTooManyRequests) {
			t.Errorf("%s: Retry-After is %q", tt.name, got)
		}
		if got := w.Header().Get("WWW-Authenticate"); (got == "Bearer") != (tt.want == http.StatusUnauthorized) {
			t.Errorf("%s: WWW-Authenticate is %q", tt.name, got)
		}
	}
}

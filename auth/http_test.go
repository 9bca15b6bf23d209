package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/audit"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
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
		var out struct{ Error wire.HTTPBody }
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Error.Code != tt.reason || strings.Contains(w.Body.String(), writer) {
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

// TestMethod makes calls within the process: they are let in and counted at the door, once, and what came of them is noted.
func TestMethod(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	writer, _ := newKey(t, path, time.Now(), NewKey{Name: "w", Roles: []Role{Write}, Rate: 0.5, Burst: 1})
	reader, _ := newKey(t, path, time.Now(), NewKey{Roles: []Role{Read}})
	second, _ := newKey(t, path, time.Now(), NewKey{Roles: []Role{Write}})
	g := newGuard(t, path)
	dir := t.TempDir()
	log, err := audit.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	g.cfg.Audit = log
	const method = kithv1.CatalogService_DeleteRecord_FullMethodName
	ask := func(secret, inner string) (int, error) {
		var inside error
		r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		if ctx, ok := g.Method(method, w, r); ok {
			_, inside = g.Unary(ctx, &kithv1.DeleteRecordRequest{}, &grpc.UnaryServerInfo{FullMethod: inner}, func(context.Context, any) (any, error) {
				return &kithv1.DeleteRecordResponse{}, nil
			})
		}
		return w.Code, inside
	}
	if code, err := ask(writer, method); code != http.StatusOK || err != nil {
		t.Errorf("the first call: %d, %v; it is counted twice if it was refused", code, err)
	}
	if code, _ := ask(writer, method); code != http.StatusTooManyRequests {
		t.Errorf("the second call: %d, want %d", code, http.StatusTooManyRequests)
	}
	if code, _ := ask(reader, method); code != http.StatusForbidden {
		t.Errorf("another role: %d, want %d", code, http.StatusForbidden)
	}
	// What was let in for one method is not let in for another.
	if _, err := ask(second, kithv1.ClusterService_Backup_FullMethodName); !errors.Is(err, wire.ErrUnauthenticated) {
		t.Errorf("another method within: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, audit.Name))
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	for line := range strings.Lines(string(b)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, e.Act+" "+e.Outcome)
	}
	want := []string{method + " OK", method + " RATE_LIMITED", method + " FORBIDDEN", kithv1.ClusterService_Backup_FullMethodName + " UNAUTHENTICATED"}
	if !slices.Equal(outcomes, want) {
		t.Errorf("the audit log has %q, want %q", outcomes, want)
	}
}

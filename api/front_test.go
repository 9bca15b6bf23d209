package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFront asks for what there is, in ways that are not for it, and from pages of other sites.
func TestFront(t *testing.T) {
	f, err := newFront(func(mux *http.ServeMux) error {
		mux.HandleFunc("GET /v1/users/{user}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) })
		mux.HandleFunc("POST /v1/users", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path, origin string
		status               int
		text                 string
	}{
		{"GET", "/v1/users/ann", "", 200, "x"},
		{"DELETE", "/v1/users/ann", "", 405, `"code":"BAD_METHOD"`},
		{"GET", "/v1/ann", "", 404, `"code":"NO_ROUTE"`},
		{"POST", "/v1/users", "", 200, "x"},
		{"POST", "/v1/users", "https://evil.example", 403, `"code":"CROSS_ORIGIN"`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, http.NoBody)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) || strings.Contains(w.Body.String(), "ann") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %d, %s, header %v; want %d with %q", tt.method, tt.path, w.Code, w.Body, w.Header(), tt.status, tt.text)
		}
	}
}

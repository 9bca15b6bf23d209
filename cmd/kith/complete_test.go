package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestProductsComplete(t *testing.T) {
	var requests atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.Header.Get("Authorization") != "Bearer k3y" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, `{"choices": [{"message": {"content": "{\"color\": \"red\", \"size\": \"huge\"}"}, "finish_reason": "stop"}]}`)
	}))
	defer endpoint.Close()
	products := writeFile(t, "products.jsonl", `{"key": "a", "version": 3, "attributes": {"title": "Red hat"}}`+"\n"+
		`{"key": "b", "version": 4, "attributes": {"color": "blue", "size": "S"}}`+"\n"+
		`{"key": "c", "version": 5, "attributes": {"title": "Hat"}}`+"\n")
	fields := writeFile(t, "fields.yaml", "color: {about: the main color, values: [red, blue]}\nsize: {values: [S, L]}\n")
	args := []string{"products", "complete", products, "--fields", fields, "--assist-url", endpoint.URL, "--assist-model", "m", "--assist-cache", filepath.Join(t.TempDir(), "c")}
	got := kith(t, nil, append(args, "--assist-requests", "1", "--assist-key-file", writeFile(t, "key", "k3y\n"))...)
	const want = `{"key":"a","version":4,"attributes":{"color":"red","inferred":["color"],"title":"Red hat"}}
{"key":"b","version":4,"attributes":{"color":"blue","size":"S"}}
{"key":"c","version":5,"attributes":{"title":"Hat"}}
`
	if got.code != exitOK || got.out != want || requests.Load() != 1 {
		t.Errorf("code %d after %d requests, output\n%s\nwant\n%s", got.code, requests.Load(), got.out, want)
	}
	for _, words := range []string{"1 product asked for, 1 had all, 1 left", "1 attribute filled in, 1 unknown", "not allowed", "over the budget of 1 requests", "1 request,"} {
		if !strings.Contains(got.err, words) {
			t.Errorf("standard error does not say %q: %s", words, got.err)
		}
	}
	// An endpoint that refuses leaves everything as it was.
	if got := kith(t, nil, append(args[:len(args)-2], "--assist-key-file", writeFile(t, "other", "x"))...); got.code != exitOK || !strings.Contains(got.err, "401") || strings.Contains(got.out, "inferred") {
		t.Errorf("code %d: %s%s", got.code, got.out, got.err)
	}
	for name, args := range map[string][]string{
		"--assist-url": {products},
		"no attribute": {products, "--assist-url", endpoint.URL, "--assist-model", "m", "--fields", writeFile(t, "empty.yaml", "{}")},
		"TLS":          {products, "--assist-url", "http://example.com", "--assist-model", "m", "--fields", fields},
	} {
		if got := kith(t, nil, append([]string{"products", "complete"}, args...)...); got.code != exitUsage || !strings.Contains(got.err, name) {
			t.Errorf("%s: code %d: %s", name, got.code, got.err)
		}
	}
}

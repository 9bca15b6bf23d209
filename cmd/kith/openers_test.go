package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestIngestFromServices checks that URLs reach their openers: that of an object store is read, the others say what is wrong without a password.
func TestIngestFromServices(t *testing.T) {
	const data = "user,item\nada,lamp\nbob,desk\n"
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list-type") != "" {
			_, _ = fmt.Fprintf(w, "<ListBucketResult><Contents><Key>views.csv</Key><ETag>1</ETag><Size>%d</Size></Contents></ListBucketResult>", len(data))
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
		_, _ = fmt.Fprint(w, data) // the client may have gone
	}))
	defer store.Close()
	t.Setenv("AWS_ENDPOINT_URL", store.URL)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	mapping := writeFile(t, "map.yaml", "sources:\n  - {name: views, path: 's3://shop/*.csv', region: eu}\n")
	for _, args := range [][]string{{"--mapping", mapping}, {"s3://shop/views.csv"}} {
		got := mustJSON[jsonIngest](t, append([]string{"ingest", "--dry-run", "--dead-letters", "none"}, args...)...)
		if len(got.Sources) != 1 || got.Sources[0].Kept != 2 {
			t.Errorf("ingest %q: %+v, want one source with two rows", args, got)
		}
	}
	for scheme, want := range map[string]string{"postgres": "neither table nor query", "mysql": "neither table nor query", "kafka": "message_fields", "ftp": "no source for ftp://"} {
		out := kith(t, nil, "ingest", "--dry-run", scheme+"://u:s3cret@localhost:1/x")
		if out.code == exitOK || !strings.Contains(out.err, want) || strings.Contains(out.err, "s3cret") {
			t.Errorf("%s: exit code %d, %s; want an error with %q and without the password", scheme, out.code, out.err, want)
		}
	}
}

package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// TestPushOverHTTP sends events to one server over HTTP, twice, reads them at another, and stops the first while a connection is open.
func TestPushOverHTTP(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Partitions: 4, Configure: func(_ int, cfg *server.Config) { cfg.HTTPAddr = "127.0.0.1:0" }})
	var body strings.Builder
	for i := range 40 {
		_, _ = fmt.Fprintf(&body, "{\"user\":\"u%d\",\"item\":\"i%d\",\"time\":\"2026-01-31T12:00:%02dZ\"}\n", i%4, i, i)
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for round := range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.Members[0].Server.HTTPAddr()+"/v1/events", strings.NewReader(body.String()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var out struct{ Appended, Duplicates, Rejected, Lines int }
		err = json.NewDecoder(resp.Body).Decode(&out)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || out.Lines != 40 || out.Appended != 40*(1-round) || out.Duplicates != 40*round {
			t.Fatalf("round %d: status %d, %+v, %v", round, resp.StatusCode, out, err)
		}
	}
	for u := range 4 {
		if events, err := list(t, c, 1, fmt.Sprint("u", u)); err != nil || len(events) != 10 {
			t.Errorf("user %d: %d events, %v; want 10", u, len(events), err)
		}
	}
	c.Stop(0)
}

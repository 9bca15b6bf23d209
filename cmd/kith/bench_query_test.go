package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

func TestBenchQueryErrors(t *testing.T) {
	keys := writeFile(t, "keys.txt", "u1\n")
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"no keys", nil, []string{"--keys"}},
		{"rate", []string{"--keys", keys, "--rate", "0"}, []string{"--rate is 0", "more than 0"}},
		{"no number", []string{"--keys", keys, "--rate", "NaN"}, []string{"--rate is NaN"}},
		{"both paces", []string{"--keys", keys, "--rate", "5", "--at-once", "2"}, []string{"--at-once", "--rate"}},
		{"at once", []string{"--keys", keys, "--at-once", "-1"}, []string{"--at-once is -1"}},
		{"duration", []string{"--keys", keys, "--duration", "-1s"}, []string{"--duration is -1s"}},
		{"n", []string{"--keys", keys, "-n", "0"}, []string{"-n is 0"}},
		{"model of similar", []string{"--keys", keys, "--ask", "similar", "--model", "popularity"}, []string{"--model", "recommend"}},
		{"address", []string{"--keys", keys, "--addr", "here"}, []string{"--addr", "host:port"}},
		{"url without a key", []string{"--keys", keys, "--url", "http://127.0.0.1:1/"}, []string{"--url", "{key}"}},
		{"url with two keys", []string{"--keys", keys, "--url", "http://127.0.0.1:1/{key}/{key}"}, []string{"--url", "once"}},
		{"url of another kind", []string{"--keys", keys, "--url", "redis://127.0.0.1:1/{key}"}, []string{"--url", "http://"}},
		{"model in the url", []string{"--keys", keys, "--url", "http://127.0.0.1:1/{key}", "--model", "item-knn"}, []string{"--model", "--url"}},
		{"secret in the clear", []string{"--keys", keys, "--url", "http://127.0.0.1:1/{key}", "--tls-ca", "system", "--api-key", "x"}, []string{"https"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkUsage(t, kith(t, nil, append([]string{"bench", "query"}, tt.args...)...), tt.want)
		})
	}
	for file, want := range map[string]string{filepath.Join(filepath.Dir(keys), "nope.txt"): "check the path", writeFile(t, "empty.txt", "\n\n"): "no keys"} {
		if got := kith(t, nil, "bench", "query", "--keys", file); got.code != exitError || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit code %d, %q; want %q", file, got.code, got.err, want)
		}
	}
}

// TestLatencyOf has 1,000 queries of 1 to 1,000 ms.
func TestLatencyOf(t *testing.T) {
	var took []time.Duration
	for i := range 1000 {
		took = append(took, time.Duration(i+1)*time.Millisecond)
	}
	slices.Reverse(took)
	got := latencyOf(100, 10*time.Second, took, 3, errors.New("late"))
	want := jsonLatency{Rate: 100, Seconds: 10, Requests: 1000, Errors: 3, P50: 500, P90: 900, P99: 990, P999: 999, Max: 1000, Error: "late"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := latencyOf(1, time.Second, nil, 0, nil); got != (jsonLatency{Rate: 1, Seconds: 1}) {
		t.Errorf("nothing asked: %+v", got)
	}
}

// TestBenchQuery asks three servers, alone and beside a build, and one that is not there.
func TestBenchQuery(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Partitions: 4, Configure: func(_ int, cfg *server.Config) { cfg.HTTPAddr = "127.0.0.1:0" }})
	var events []*kithv1.Event
	for u := range 50 {
		for i := range 10 {
			events = append(events, &kithv1.Event{
				User: "u" + string(rune('a'+u%26)) + string(rune('a'+u/26)), Item: "i" + string(rune('a'+(u+i*i)%26)), Behavior: "view", TimeUnixMs: int64(1000*u + i),
			})
		}
	}
	c.Append(0, events)
	c.Build(0, &kithv1.BuildSpec{K: 10})
	keys := writeFile(t, "users.txt", "uaa\r\nuba\n\nuzb\n")
	addrs := addrsOf(c)
	got := kith(t, nil, "bench", "query", "--addr", addrs, "--keys", keys, "--rate", "200", "--duration", "500ms", "--timeout", "30s",
		"--beside-build", "-k", "7", "-o", "json")
	if got.code != exitOK {
		t.Fatalf("exit code %d, %s", got.code, got.err)
	}
	var out jsonQueryBench
	if err := json.Unmarshal([]byte(got.out), &out); err != nil {
		t.Fatal(err)
	}
	// No more than the rate allows, and how many fewer is up to the machine.
	if most := int(out.Seconds*200) + 1; out.Requests < 1 || out.Requests > most || out.Errors != 0 || out.Keys != 3 || out.P50 <= 0 || out.P50 > out.P99 {
		t.Errorf("alone: %+v; want 1 to %d requests without an error", out, most)
	}
	if b := out.BesideBuild; b == nil || b.Requests < 1 || b.Errors != 0 {
		t.Errorf("beside a build: %+v", b)
	}
	text := kith(t, nil, "bench", "query", "--addr", addrs, "--keys", writeFile(t, "items.txt", "ia\n"), "--ask", "similar", "--rate", "50", "--duration", "100ms", "--timeout", "30s")
	if text.code != exitOK || !strings.Contains(text.out, "alone") || strings.Contains(text.out, "beside") {
		t.Errorf("similar: exit code %d, %q, %q", text.code, text.out, text.err)
	}
	rest := kith(t, nil, "bench", "query", "--url", "http://"+c.Members[0].Server.HTTPAddr()+"/v1/users/{key}/recommendations?n=10", "--keys", keys, "--rate", "50", "--duration", "100ms", "--timeout", "30s", "-o", "json")
	var whole jsonQueryBench
	if err := json.Unmarshal([]byte(rest.out), &whole); err != nil || whole.Requests < 1 || whole.Errors != 0 || whole.P50 <= 0 {
		t.Errorf("by REST: %v, %+v, %q", err, whole, rest.err)
	}
	paced := kith(t, nil, "bench", "query", "--addr", addrs, "--keys", keys, "--at-once", "3", "--duration", "200ms", "--timeout", "30s", "-o", "json")
	var most jsonQueryBench
	if err := json.Unmarshal([]byte(paced.out), &most); err != nil || most.Requests < 3 || most.Errors != 0 || most.P50 <= 0 || most.Rate > float64(most.Requests)/0.2 {
		t.Errorf("three at once: %v, %+v, %q", err, most, paced.err)
	}
	lost := kith(t, nil, "bench", "query", "--url", "http://"+c.Members[0].Server.HTTPAddr()+"/v1/nowhere/{key}", "--keys", keys, "--rate", "50", "--duration", "100ms", "--timeout", "30s", "-o", "json")
	if err := json.Unmarshal([]byte(lost.out), &whole); err != nil || whole.Errors != whole.Requests || !strings.Contains(whole.Error, "404") {
		t.Errorf("no such page: %v, %+v", err, whole)
	}
	away := kith(t, nil, "bench", "query", "--addr", "127.0.0.1:1", "--keys", keys, "--rate", "20", "--duration", "100ms", "-o", "json")
	var none jsonQueryBench
	if err := json.Unmarshal([]byte(away.out), &none); err != nil {
		t.Fatalf("%v: %q %q", err, away.out, away.err)
	}
	if none.Errors != none.Requests || none.Errors == 0 || none.P50 < 1000 || none.Error == "" {
		t.Errorf("no server: %+v; want errors that count as long as the timeout", none)
	}
}

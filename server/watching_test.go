package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// spans keeps what servers trace.
type spans struct {
	mu   sync.Mutex
	list []sdktrace.ReadOnlySpan
}

func (s *spans) ExportSpans(_ context.Context, list []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, list...)
	return nil
}

func (s *spans) Shutdown(context.Context) error { return nil }

// figure returns the sum of the values of a metric over its series that have some labels, given as name=value; those of histograms are their counts.
func figure(t *testing.T, reg *prometheus.Registry, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			fits := !slices.ContainsFunc(labels, func(want string) bool {
				return !slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName()+"="+l.GetValue() == want })
			})
			if fits {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// userKeys matches keys of the users of shopEvents.
var userKeys = regexp.MustCompile(`\bu\d{3}\b`)

// TestWatched looks at a cluster of three servers, with each partition on one of them, as operators do: by metrics, a trace of a query, and the log.
func TestWatched(t *testing.T) {
	const partitions = 12 // enough for some on each server
	traced, logs := &spans{}, &logBuffer{}
	c := clustertest.Start(t, clustertest.Options{Partitions: partitions, Configure: func(_ int, cfg *server.Config) {
		cfg.Replication, cfg.HTTPAddr, cfg.TraceExporter, cfg.TraceRatio, cfg.SlowQuery = 1, "127.0.0.1:0", traced, 0, time.Nanosecond
		cfg.Logger = slog.New(slog.NewJSONHandler(logs, nil))
	}})
	events := shopEvents(40, 50, 20, 1)
	appended := c.Append(0, events).Appended
	version := c.Build(0, nil).ModelVersion

	const traceID, callerSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "web-7", "traceparent", "00-"+traceID+"-"+callerSpan+"-01")
	var header metadata.MD
	resp, err := c.Recommender(1).Recommend(ctx, forUser("u007", 10), grpc.Header(&header))
	if err != nil || len(resp.Items) != 10 {
		t.Fatalf("recommend: %v, %v", resp, err)
	}
	if got := header.Get("x-request-id"); !slices.Equal(got, []string{"web-7"}) {
		t.Errorf("answered with the request ids %v, want web-7", got)
	}
	if _, err := c.Recommender(1).Recommend(t.Context(), &kithv1.RecommendRequest{
		Subject: &kithv1.RecommendRequest_User{User: "u999"}, N: 10, NoFallback: true,
	}, grpc.Header(&header)); err == nil || len(header.Get("x-request-id")[0]) != 32 {
		t.Errorf("an unknown user: %v with the request id %v; want an error, and an id", err, header.Get("x-request-id"))
	}
	checkFigures(t, c, partitions, float64(appended), float64(version))
	checkScrape(t, c.Members[2].Server.HTTPAddr())
	for i := range c.Members {
		c.Stop(i) // sends the last spans
	}
	checkTrace(t, traced.list, traceID, callerSpan)
	checkLog(t, logs.String(), traceID)
}

// checkFigures compares metrics with what has happened.
func checkFigures(t *testing.T, c *clustertest.Cluster, partitions, appended, version float64) {
	t.Helper()
	total := func(name string, labels ...string) (sum float64) {
		for _, m := range c.Members {
			sum += figure(t, m.Server.Registry(), name, labels...)
		}
		return sum
	}
	first, asked := c.Members[0].Server.Registry(), c.Members[1].Server.Registry()
	for _, tt := range []struct {
		what      string
		got, want float64
	}{
		{"events", figure(t, first, "kith_events_total", "outcome=appended"), appended},
		{"events in partitions", total("kith_partition_events"), appended},
		{"leaders of partitions", total("kith_partition_leader"), partitions},
		{"coordinators", total("kith_coordinator"), 1},
		{"replicas that lead", total("kith_replicas", "state=leader"), partitions},
		{"replicas of other states", total("kith_replicas") - total("kith_replicas", "state=leader"), 0},
		{"living members, thrice", total("kith_members", "state=alive"), 9},
		{"living members by gossip, thrice", total("kith_gossip_members", "state=alive"), 9},
		{"partitions with all replicas, thrice", total("kith_partitions", "replicas=all"), 3 * partitions},
		{"model versions, thrice", total("kith_model_version"), 3 * version},
		{"users of the model, thrice", total("kith_model_entries", "kind=users"), 3 * 40},
		{"builds that ended well", total("kith_build_duration_seconds", "outcome=done"), 1},
		{"builds that run", total("kith_build_running"), 0},
		{"queries", figure(t, asked, "kith_queries_total", "query=recommend", "outcome=ok"), 1},
		{"queries that failed", figure(t, asked, "kith_queries_total", "query=recommend", "outcome=unknown_user"), 1},
		{"times of queries", figure(t, asked, "kith_query_duration_seconds", "query=recommend"), 2},
		{"queries under way", total("kith_queries_in_flight"), 0},
		{"items", total("kith_query_items_total"), 10},
		{"calls with an answer", figure(t, asked, "kith_grpc_server_handled_total", "method=RecommenderService/Recommend", "code=OK"), 1},
		{"calls for an unknown user", figure(t, asked, "kith_grpc_server_handled_total", "method=RecommenderService/Recommend", "code=NotFound"), 1},
		{"ready", total("kith_ready"), 3},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	for _, name := range []string{
		"kith_routed_calls_total", "kith_raft_term", "kith_raft_commit_index", "kith_raft_applied_index", "kith_raft_leader_changes_total", "kith_store_memory_bytes",
		"kith_disk_free_bytes", "kith_disk_reserve_bytes", "kith_events_last_append_timestamp_seconds", "kith_model_created_timestamp_seconds", "kith_inflight_limit_bytes",
		"kith_build_last_end_timestamp_seconds", "kith_build_last_duration_seconds",
	} {
		if total(name) <= 0 {
			t.Errorf("%s is %v, want more than nothing", name, total(name))
		}
	}
}

// checkScrape scrapes a server as Prometheus does, and looks for keys of users.
func checkScrape(t *testing.T, addr string) {
	t.Helper()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Request-Id") == "" {
		t.Fatalf("scrape: %d, %v, headers %v", resp.StatusCode, err, resp.Header)
	}
	text := string(body)
	for _, want := range []string{"\nkith_info{node=", "\nkith_ready 1\n", "\ngo_goroutines ", "\nprocess_open_fds ", "\nkith_partition_leader{partition="} {
		if !strings.Contains(text, want) {
			t.Errorf("the scrape has no %q", want)
		}
	}
	if key := userKeys.FindString(text); key != "" {
		t.Errorf("the scrape has the key %s", key)
	}
	if lines := strings.Count(text, "\n"); lines > 5000 {
		t.Errorf("the scrape has %d lines, which is too much for a small cluster", lines)
	}
}

// checkTrace looks for one trace of the query, from the caller to all nodes.
func checkTrace(t *testing.T, list []sdktrace.ReadOnlySpan, traceID, callerSpan string) {
	t.Helper()
	nodes, ids, roots := map[string]int{}, map[string]bool{}, 0
	for _, s := range list {
		ids[s.SpanContext().SpanID().String()] = true
	}
	for _, s := range list {
		if got := s.SpanContext().TraceID().String(); got != traceID {
			t.Errorf("span %s is of the trace %s, that nobody asked for", s.Name(), got)
		}
		for _, a := range s.Resource().Attributes() {
			if a.Key == "service.instance.id" {
				nodes[a.Value.AsString()]++
			}
		}
		attributes := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status())
		if key := userKeys.FindString(attributes); key != "" {
			t.Errorf("span %s has the key %s: %s", s.Name(), key, attributes)
		}
		parent := s.Parent().SpanID().String()
		switch {
		case parent == callerSpan:
			roots++
			if !strings.HasSuffix(s.Name(), "RecommenderService/Recommend") || !strings.Contains(attributes, "kith.outcome") {
				t.Errorf("the caller's span has the child %s with %s", s.Name(), attributes)
			}
		case !ids[parent]:
			t.Errorf("span %s has a parent that is not there", s.Name())
		}
	}
	if roots != 1 || len(nodes) != 3 {
		t.Errorf("%d spans, by node %v, %d of them children of the caller's span; want those of one call on three nodes", len(list), nodes, roots)
	}
}

// checkLog looks for the lines about slow queries, and for keys of users anywhere.
func checkLog(t *testing.T, log, traceID string) {
	t.Helper()
	slow := 0
	for line := range strings.Lines(log) {
		var x struct {
			Msg, Query, Outcome string
			RequestID           string `json:"request_id"`
			TraceID             string `json:"trace_id"`
			Took                int64
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if x.Msg == "slow query" && x.RequestID == "web-7" {
			slow++
			if x.Query != "recommend" || x.Outcome != "ok" || x.TraceID != traceID || x.Took <= 0 {
				t.Errorf("line %s", line)
			}
		}
	}
	if slow != 1 {
		t.Errorf("%d lines about the query, want 1", slow)
	}
	if key := userKeys.FindString(log); key != "" {
		t.Errorf("the log has the key %s", key)
	}
}

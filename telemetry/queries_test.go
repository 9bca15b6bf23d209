package telemetry

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kith-io/kith/node/wire"
)

func TestQueriesAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	q := NewQueries(reg, slog.New(slog.DiscardHandler), 0)
	full := Answer{Asked: 3, Items: 3, Version: 7}
	full.Sources[Hybrid] = 3
	filled := Answer{Asked: 5, Items: 4, Version: 7, Partial: true, Stale: true, Fallback: true}
	filled.Sources[ItemKNN], filled.Sources[Popularity], filled.Sources[Pinned] = 1, 2, 1
	q.Begin(Recommend).End(t.Context(), full, nil)
	q.Begin(Recommend).End(t.Context(), filled, nil)
	q.Begin(Recommend).End(t.Context(), Answer{Asked: 5}, fmt.Errorf("%w %q", wire.ErrUnknownUser, "anna"))
	q.Begin(Trending).End(t.Context(), Answer{Asked: 5, Items: 5}, nil)
	q.Begin(Similar) // goes on
	want := `
# HELP kith_queries_total Queries that have ended, by kind and outcome: ok, or the reason of the error.
# TYPE kith_queries_total counter
kith_queries_total{outcome="ok",query="association_rules"} 0
kith_queries_total{outcome="ok",query="bought_together"} 0
kith_queries_total{outcome="ok",query="clusters"} 0
kith_queries_total{outcome="ok",query="export"} 0
kith_queries_total{outcome="ok",query="latest"} 0
kith_queries_total{outcome="ok",query="new_arrivals"} 0
kith_queries_total{outcome="ok",query="next_behavior"} 0
kith_queries_total{outcome="ok",query="recommend"} 2
kith_queries_total{outcome="ok",query="similar"} 0
kith_queries_total{outcome="ok",query="trending"} 1
kith_queries_total{outcome="unknown_user",query="recommend"} 1
# HELP kith_query_items_total Recommended items by what put them into the answer.
# TYPE kith_query_items_total counter
kith_query_items_total{source="bought_together"} 0
kith_query_items_total{source="categories"} 0
kith_query_items_total{source="explored"} 0
kith_query_items_total{source="hybrid"} 3
kith_query_items_total{source="item_knn"} 1
kith_query_items_total{source="newest"} 0
kith_query_items_total{source="pinned"} 1
kith_query_items_total{source="popularity"} 2
kith_query_items_total{source="similar"} 0
kith_query_items_total{source="trained"} 0
kith_query_items_total{source="trending"} 0
kith_query_items_total{source="user_knn"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "kith_queries_total", "kith_query_items_total"); err != nil {
		t.Error(err)
	}
	for i, mark := range markNames {
		if n := testutil.ToFloat64(q.kinds[Recommend].marks[i]); n != 1 {
			t.Errorf("%v answers are %s, want 1", n, mark)
		}
	}
	if n := testutil.ToFloat64(q.kinds[Similar].inFlight) - testutil.ToFloat64(q.kinds[Recommend].inFlight); n != 1 {
		t.Errorf("%v queries more are under way, want 1", n)
	}
}

// TestSlowQueriesAreLogged asks for lines about all that take a nanosecond, which all do.
func TestSlowQueriesAreLogged(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(LogHandler(slog.NewTextHandler(&text, nil)))
	q := NewQueries(prometheus.NewRegistry(), log, time.Nanosecond)
	ctx := identify(t.Context(), []string{"q7"})
	end := func(err error) {
		running := q.Begin(Recommend)
		running.began = running.began.Add(-time.Second)
		running.End(ctx, Answer{Asked: 10, Items: 4, Version: 3, Partial: true}, err)
	}
	end(nil)
	for _, want := range []string{"msg=\"slow query\"", "query=recommend", "took=1", "outcome=ok", "items=4", "asked=10", "model_version=3", "partial=true", "request_id=q7"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in %q", want, text.String())
		}
	}
	text.Reset()
	end(fmt.Errorf("%w %q", wire.ErrUnknownUser, "anna"))
	if s := text.String(); !strings.Contains(s, "outcome=unknown_user") || strings.Contains(s, "anna") {
		t.Errorf("logged %q; want the reason, and not the key of the user", s)
	}
	text.Reset()
	for range 10 * slowBurst {
		end(nil)
	}
	if n := strings.Count(text.String(), "\n"); n < slowBurst/2 || n > 2*slowBurst {
		t.Errorf("%d lines about %d slow queries, want about %d", n, 10*slowBurst, slowBurst)
	}
}

func TestQueriesCostNoMemory(t *testing.T) {
	q := NewQueries(prometheus.NewRegistry(), slog.New(slog.DiscardHandler), time.Hour)
	a := Answer{Asked: 10, Items: 9, Partial: true, Fallback: true}
	a.Sources[Hybrid], a.Sources[Popularity] = 5, 4
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { q.Begin(Recommend).End(ctx, a, nil) }); n != 0 {
		t.Errorf("a query allocates %v times", n)
	}
}

func BenchmarkQuery(b *testing.B) {
	q := NewQueries(prometheus.NewRegistry(), slog.New(slog.DiscardHandler), time.Hour)
	a := Answer{Asked: 10, Items: 9, Partial: true, Fallback: true}
	a.Sources[Hybrid], a.Sources[Popularity] = 5, 4
	b.ReportAllocs()
	for b.Loop() {
		q.Begin(Recommend).End(b.Context(), a, nil)
	}
}

package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/kith-io/kith/node/wire"
)

// Query is a kind of query.
type Query uint8

// Queries.
const (
	Recommend Query = iota
	Similar
	Trending
	BoughtTogether
	NewArrivals
	Latest
	// Export is the answer for one user of an export.
	Export
	NextBehavior
	AssociationRules
	Clusters
	numQueries
)

var queryNames = [numQueries]string{"recommend", "similar", "trending", "bought_together", "new_arrivals", "latest", "export", "next_behavior", "association_rules", "clusters"}

// String returns the name of the kind, as labels have it.
func (q Query) String() string { return queryNames[q] }

// Source is what put an item into an answer of Recommend or Export.
type Source uint8

// Sources. Popularity and Newest fill what a model leaves, unless they were asked for; those from FromCategories to FromTogether are of scenes alone.
const (
	Hybrid Source = iota
	ItemKNN
	UserKNN
	Popularity
	Newest
	Pinned
	FromCategories
	FromTrending
	FromSimilar
	FromTogether
	Trained
	Explored
	numSources
)

var sourceNames = [numSources]string{"hybrid", "item_knn", "user_knn", "popularity", "newest", "pinned", "categories", "trending", "similar", "bought_together", "trained", "explored"}

// Answer is how a query was answered.
type Answer struct {
	// Asked and Items are how many items were asked for, and how many there are.
	Asked, Items int
	// Sources counts the items by source, where they have one.
	Sources [numSources]int
	// Version of the model; 0 for none.
	Version uint64
	// Partial and Stale are as in the answers of the wire, and Fallback says that popularity or newness filled places.
	Partial, Stale, Fallback bool
}

// marks are what an answer may be besides complete, in the order of their counters.
var markNames = [...]string{"partial", "stale", "short", "fallback"}

func (a *Answer) marks() [len(markNames)]bool {
	return [...]bool{a.Partial, a.Stale, a.Items < a.Asked, a.Fallback}
}

// slowLines and slowBurst bound the lines about slow queries in a second, and those at once: when all are slow, a few say so.
const (
	slowLines = 5
	slowBurst = 20
)

// Queries measures queries, whichever way they come in. It is safe for concurrent use. Cost: no memory, but for lines of the log.
type Queries struct {
	log  *slog.Logger
	slow time.Duration
	// lines bounds what is logged.
	lines *rate.Limiter

	ended  *prometheus.CounterVec
	kinds  [numQueries]queryFigures
	source [numSources]prometheus.Counter
}

// queryFigures are those of a kind of query.
type queryFigures struct {
	ok       prometheus.Counter
	duration prometheus.Observer
	inFlight prometheus.Gauge
	marks    [len(markNames)]prometheus.Counter
}

// NewQueries returns a Queries that logs those that take slow or longer; 0 means none.
func NewQueries(reg prometheus.Registerer, log *slog.Logger, slow time.Duration) *Queries {
	q := &Queries{
		log: log, slow: slow, lines: rate.NewLimiter(slowLines, slowBurst),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kith_queries_total", Help: "Queries that have ended, by kind and outcome: ok, or the reason of the error.",
		}, []string{"query", "outcome"}),
	}
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kith_query_duration_seconds", Help: "How long queries took, those that failed too.", Buckets: buckets,
	}, []string{"query"})
	inFlight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kith_queries_in_flight", Help: "Queries under way."}, []string{"query"})
	marked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kith_query_marked_total", Help: "Answers that were partial, stale, shorter than asked for, or filled up by fallbacks.",
	}, []string{"query", "mark"})
	items := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kith_query_items_total", Help: "Recommended items by what put them into the answer.",
	}, []string{"source"})
	reg.MustRegister(q.ended, duration, inFlight, marked, items)
	for kind, name := range queryNames {
		q.kinds[kind] = queryFigures{ok: q.ended.WithLabelValues(name, "ok"), duration: duration.WithLabelValues(name), inFlight: inFlight.WithLabelValues(name)}
		for i, mark := range markNames {
			q.kinds[kind].marks[i] = marked.WithLabelValues(name, mark)
		}
	}
	for source, name := range sourceNames {
		q.source[source] = items.WithLabelValues(name)
	}
	return q
}

// Running is a query under way.
type Running struct {
	queries *Queries
	kind    Query
	began   time.Time
}

// Begin counts a query as under way until End of what it returns, which must be called once.
func (q *Queries) Begin(kind Query) Running {
	q.kinds[kind].inFlight.Inc()
	return Running{q, kind, time.Now()}
}

// End counts a query that has ended with an answer, or with an error.
func (r Running) End(ctx context.Context, a Answer, err error) {
	took := time.Since(r.began)
	q, f := r.queries, &r.queries.kinds[r.kind]
	f.inFlight.Dec()
	f.duration.Observe(took.Seconds())
	if err != nil {
		q.ended.WithLabelValues(r.kind.String(), wire.Outcome(err)).Inc()
	} else {
		f.ok.Inc()
		for i, marked := range a.marks() {
			if marked {
				f.marks[i].Inc()
			}
		}
		for source, n := range a.Sources {
			if n > 0 {
				q.source[source].Add(float64(n))
			}
		}
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		describe(span, &a, err)
	}
	if q.slow > 0 && took >= q.slow && q.lines.Allow() {
		q.tell(ctx, r.kind, took, &a, err)
	}
}

// describe says on the span of a query how it was answered.
func describe(span trace.Span, a *Answer, err error) {
	span.SetAttributes(attribute.String("kith.outcome", wire.Outcome(err)))
	if err != nil {
		return
	}
	span.SetAttributes(
		attribute.Int("kith.items", a.Items), attribute.Int64("kith.model_version", int64(a.Version)),
		attribute.Bool("kith.partial", a.Partial), attribute.Bool("kith.stale", a.Stale), attribute.Bool("kith.fallback", a.Fallback),
	)
}

// tell logs a slow query.
func (q *Queries) tell(ctx context.Context, kind Query, took time.Duration, a *Answer, err error) {
	q.log.WarnContext(ctx, "slow query", "query", kind.String(), "took", took.Round(time.Microsecond), "outcome", wire.Outcome(err),
		"items", a.Items, "asked", a.Asked, "model_version", a.Version, "partial", a.Partial, "stale", a.Stale, "fallback", a.Fallback)
}

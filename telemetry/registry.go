package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapesAtOnce bounds the scrapes that are under way; others get 503.
	scrapesAtOnce = 4
	// scrapeTime bounds one: a scraper does not wait longer by default.
	scrapeTime = 10 * time.Second
)

// buckets are the upper bounds of durations of calls, in seconds: a query takes a millisecond when all is well, and is given up after some.
var buckets = []float64{0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// NewRegistry returns a registry of a process with what the Go runtime and the system tell of it.
func NewRegistry(node, version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kith_info", Help: "1, with the id of this server and the version of its program.",
		ConstLabels: prometheus.Labels{"node": node, "version": version},
	})
	info.Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// Handler answers scrapes of a registry.
func Handler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTime})
}

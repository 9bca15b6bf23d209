package gossip

import "github.com/prometheus/client_golang/prometheus"

var (
	membersDesc = prometheus.NewDesc("kith_gossip_members", "Servers that gossip knows, by state: alive, dead or left.", []string{"state"}, nil)
	healthDesc  = prometheus.NewDesc("kith_gossip_health_score", "How late this server is with its own part in gossip: 0 is well, more means that it or its network is slow.", nil, nil)
)

var _ prometheus.Collector = (*Gossip)(nil)

// Describe implements prometheus.Collector.
func (g *Gossip) Describe(ch chan<- *prometheus.Desc) {
	ch <- membersDesc
	ch <- healthDesc
}

// Collect implements prometheus.Collector.
func (g *Gossip) Collect(ch chan<- prometheus.Metric) {
	var number [Left + 1]int
	for _, m := range g.Members() {
		number[m.State]++
	}
	for state, n := range number {
		ch <- prometheus.MustNewConstMetric(membersDesc, prometheus.GaugeValue, float64(n), State(state).String())
	}
	ch <- prometheus.MustNewConstMetric(healthDesc, prometheus.GaugeValue, float64(g.list.GetHealthScore()))
}

package consensus

import (
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// watchLeaders counts new leaders. The observer has no channel: its filter is asked at each observation, and takes none.
func (g *Group) watchLeaders() {
	g.raft.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if l, ok := o.Data.(raft.LeaderObservation); ok && l.LeaderID != "" {
			g.leaders.Add(1)
		}
		return false
	}))
}

// sinceContact returns how long ago this member has heard from the leader: 0 if it leads, and since it was opened if it never has.
func (g *Group) sinceContact() time.Duration {
	if g.IsLeader() {
		return 0
	}
	last := g.raft.LastContact()
	if last.Before(g.opened) {
		last = g.opened
	}
	return time.Since(last)
}

// figure is a metric of each group.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(g *Group) float64
}

func newFigure(name, help string, kind prometheus.ValueType, value func(g *Group) float64) figure {
	return figure{prometheus.NewDesc("kith_raft_"+name, help, []string{"group"}, nil), kind, value}
}

var figures = []figure{
	newFigure("term", "Term of the raft group.", prometheus.GaugeValue, func(g *Group) float64 { return float64(g.raft.CurrentTerm()) }),
	newFigure("last_index", "Index of the last entry in the log of the raft group.", prometheus.GaugeValue, func(g *Group) float64 { return float64(g.raft.LastIndex()) }),
	newFigure("commit_index", "Index of the last entry that is committed, as far as this server knows.", prometheus.GaugeValue,
		func(g *Group) float64 { return float64(g.raft.CommitIndex()) }),
	newFigure("applied_index", "Index of the last command that this server has applied. Entries of raft itself are no commands.", prometheus.GaugeValue,
		func(g *Group) float64 { return float64(g.AppliedIndex()) }),
	newFigure("last_contact_seconds", "Time since this server has heard from the leader of the raft group; 0 at the leader.", prometheus.GaugeValue,
		func(g *Group) float64 { return g.sinceContact().Seconds() }),
	newFigure("leaderless_seconds", "How long this server has known no leader of the raft group; 0 if it knows one.", prometheus.GaugeValue,
		func(g *Group) float64 { return g.Leaderless().Seconds() }),
	newFigure("leader_changes_total", "Times that this server has learned of a new leader of the raft group.", prometheus.CounterValue,
		func(g *Group) float64 { return float64(g.leaders.Load()) }),
	newFigure("snapshots_total", "Snapshots of the raft group that this server has begun.", prometheus.CounterValue,
		func(g *Group) float64 { return float64(g.machine.snapshots.Load()) }),
}

// collector tells the metrics of groups that come and go.
type collector struct{ groups func() []*Group }

// NewCollector returns a collector of the groups that a function returns, which is called at each scrape. The label group is the name of a group.
func NewCollector(groups func() []*Group) prometheus.Collector { return collector{groups} }

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range figures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, g := range c.groups() {
		for _, f := range figures {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(g), g.cfg.Group)
		}
	}
}

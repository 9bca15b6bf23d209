package node

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/store"
)

// figure is a metric of each replica, by partition.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(r *seen) float64
}

// seen is what a scrape sees of a replica.
type seen struct {
	leader bool
	counts store.Counts
	usage  store.Usage
}

func newFigure(name, help string, kind prometheus.ValueType, value func(r *seen) float64) figure {
	return figure{prometheus.NewDesc("kith_"+name, help, []string{"partition"}, nil), kind, value}
}

var figures = []figure{
	newFigure("partition_leader", "1 if this server leads the partition, otherwise 0.", prometheus.GaugeValue, func(r *seen) float64 {
		if r.leader {
			return 1
		}
		return 0
	}),
	newFigure("partition_events", "Events that the replica of the partition on this server has.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.counts.Events) }),
	newFigure("partition_users", "Users with events in the replica of the partition.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.counts.Users) }),
	newFigure("partition_products", "Records of products in the replica of the partition.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.counts.Products) }),
	newFigure("partition_profiles", "Records of users in the replica of the partition.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.counts.Profiles) }),
	newFigure("partition_erased_users", "Users whose erasure the replica of the partition remembers.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.counts.Erased) }),
	newFigure("store_disk_bytes", "Size of the files of the event store.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.usage.DiskBytes) }),
	newFigure("store_memory_bytes", "What the event store holds in memory and has not written yet.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.usage.MemoryBytes) }),
	newFigure("store_scratch_bytes", "Files without a name of what the event store keeps for windows of time and baskets.", prometheus.GaugeValue,
		func(r *seen) float64 { return float64(r.usage.ScratchBytes) }),
	newFigure("store_tables", "Files with tables of the event store.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.usage.Tables) }),
	newFigure("store_levels", "Sorted runs that a lookup in the event store may have to look into.", prometheus.GaugeValue, func(r *seen) float64 { return float64(r.usage.Levels) }),
	newFigure("store_compaction_debt_bytes", "About how many bytes of the event store wait for a compaction.", prometheus.GaugeValue,
		func(r *seen) float64 { return float64(r.usage.DebtBytes) }),
	newFigure("store_flushes_total", "Times that the event store has written out what was in memory.", prometheus.CounterValue,
		func(r *seen) float64 { return float64(r.usage.Flushes) }),
	newFigure("store_compactions_total", "Compactions of the event store.", prometheus.CounterValue, func(r *seen) float64 { return float64(r.usage.Compactions) }),
	newFigure("store_compacted_bytes_total", "Bytes that compactions of the event store have written.", prometheus.CounterValue,
		func(r *seen) float64 { return float64(r.usage.CompactedBytes) }),
	newFigure("store_compaction_seconds_total", "How long compactions of the event store have taken.", prometheus.CounterValue,
		func(r *seen) float64 { return r.usage.Compacting.Seconds() }),
}

// States of replicas on a server, for their metric.
const (
	stateLeads      = "leader"
	stateFollows    = "follower"
	stateLeaderless = "leaderless" // knows no leader
	stateArrives    = "arriving"   // not yet a full member
	stateRefused    = "refused"    // should be open and cannot
	stateCloses     = "closing"    // on its way out, or to be mended
)

var (
	replicasDesc      = prometheus.NewDesc("kith_replicas", "Replicas on this server, by state.", []string{"state"}, nil)
	lastAppendDesc    = prometheus.NewDesc("kith_events_last_append_timestamp_seconds", "When this server last stored a new event as the leader of a partition; missing if it has not.", nil, nil)
	diskFreeDesc      = prometheus.NewDesc("kith_disk_free_bytes", "Free space on the disk of the data folder.", nil, nil)
	diskSizeDesc      = prometheus.NewDesc("kith_disk_size_bytes", "Size of the disk of the data folder.", nil, nil)
	diskRefusedDesc   = prometheus.NewDesc("kith_disk_refused_total", "Commands of clients that partitions led here have refused as the disk was full.", nil, nil)
	diskReserveDesc   = prometheus.NewDesc("kith_disk_reserve_bytes", "Free space below which this server takes no new data.", nil, nil)
	cacheBytesDesc    = prometheus.NewDesc("kith_store_cache_bytes", "Size of what is in the block cache of the event stores.", nil, nil)
	cacheHitsDesc     = prometheus.NewDesc("kith_store_cache_hits_total", "Blocks of event stores that were found in the cache.", nil, nil)
	cacheMissesDesc   = prometheus.NewDesc("kith_store_cache_misses_total", "Blocks of event stores that had to be read.", nil, nil)
	historyMemoryDesc = prometheus.NewDesc("kith_histories_memory_total", "Histories of users that were in memory when they were asked for.", nil, nil)
	historyFilesDesc  = prometheus.NewDesc("kith_histories_files_total", "Histories of users that had to be read from the event stores.", nil, nil)
	jobsDesc          = prometheus.NewDesc("kith_worker_jobs", "Builds that this server keeps something of.", nil, nil)
)

var _ prometheus.Collector = (*Node)(nil)

// Describe implements prometheus.Collector.
func (n *Node) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range figures {
		ch <- f.desc
	}
	for _, d := range []*prometheus.Desc{
		replicasDesc, lastAppendDesc, diskFreeDesc, diskSizeDesc, diskReserveDesc, diskRefusedDesc, cacheBytesDesc, cacheHitsDesc, cacheMissesDesc, historyMemoryDesc, historyFilesDesc, jobsDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (n *Node) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, x float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, labels...)
	}
	counter := func(d *prometheus.Desc, x float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, x, labels...)
	}
	for _, r := range n.all() {
		h := seen{leader: r.group.IsLeader(), counts: r.store.Counts(), usage: r.store.Usage()}
		for _, f := range figures {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(&h), strconv.Itoa(int(r.id)))
		}
	}
	for state, number := range n.states() {
		gauge(replicasDesc, float64(number), state)
	}
	if ms := n.lastAppend.Load(); ms > 0 {
		gauge(lastAppendDesc, float64(ms)/1000)
	}
	free, size := n.disk.Sizes()
	gauge(diskFreeDesc, float64(free))
	gauge(diskSizeDesc, float64(size))
	gauge(diskReserveDesc, float64(n.disk.Reserve()))
	counter(diskRefusedDesc, float64(n.diskRefused.Load()))
	cache := n.cache.Metrics()
	gauge(cacheBytesDesc, float64(cache.Size))
	counter(cacheHitsDesc, float64(cache.Hits))
	counter(cacheMissesDesc, float64(cache.Misses))
	memory, files := n.histories.Reads()
	counter(historyMemoryDesc, float64(memory))
	counter(historyFilesDesc, float64(files))
	gauge(jobsDesc, float64(n.Jobs()))
}

// states counts the replicas of this node by state. All states are there.
func (n *Node) states() map[string]int {
	states := map[string]int{stateLeads: 0, stateFollows: 0, stateLeaderless: 0, stateArrives: 0}
	for _, r := range n.all() {
		_, led := r.group.Leader()
		switch {
		case r.group.OnProbation():
			states[stateArrives]++
		case r.group.IsLeader():
			states[stateLeads]++
		case led:
			states[stateFollows]++
		default:
			states[stateLeaderless]++
		}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	states[stateRefused], states[stateCloses] = len(n.refused), len(n.closing)
	return states
}

// Groups returns the raft groups of the replicas that are open.
func (n *Node) Groups() []*consensus.Group {
	replicas := n.all()
	groups := make([]*consensus.Group, len(replicas))
	for i, r := range replicas {
		groups[i] = r.group
	}
	return groups
}

var (
	inflightDesc = prometheus.NewDesc("kith_inflight_bytes", "Bytes of events under way: those that callers of this server wait for, or those in front of the partitions that it leads.",
		[]string{"of"}, nil)
	inflightLimitDesc   = prometheus.NewDesc("kith_inflight_limit_bytes", "Bytes of events that may be under way at most.", []string{"of"}, nil)
	inflightRefusedDesc = prometheus.NewDesc("kith_inflight_refused_total", "Calls that were refused as too many bytes of events were under way.", []string{"of"}, nil)
)

// InflightCollector collects what is under way, by what it waits for.
type InflightCollector map[string]*Inflight

// Describe implements prometheus.Collector.
func (InflightCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- inflightDesc
	ch <- inflightLimitDesc
	ch <- inflightRefusedDesc
}

// Collect implements prometheus.Collector.
func (c InflightCollector) Collect(ch chan<- prometheus.Metric) {
	for of, f := range c {
		held, refused := f.now()
		ch <- prometheus.MustNewConstMetric(inflightDesc, prometheus.GaugeValue, float64(held), of)
		ch <- prometheus.MustNewConstMetric(inflightLimitDesc, prometheus.GaugeValue, float64(f.limit), of)
		ch <- prometheus.MustNewConstMetric(inflightRefusedDesc, prometheus.CounterValue, float64(refused), of)
	}
}

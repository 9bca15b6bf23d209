package coordinator

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kith-io/kith/catalog/shelf"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// buildPhases are those that a build goes through.
var buildPhases = []kithv1.JobPhase{
	kithv1.JobPhase_JOB_PHASE_CUT, kithv1.JobPhase_JOB_PHASE_COUNT, kithv1.JobPhase_JOB_PHASE_EXPORT, kithv1.JobPhase_JOB_PHASE_TRAIN,
	kithv1.JobPhase_JOB_PHASE_COMPUTE,
	kithv1.JobPhase_JOB_PHASE_MERGE, kithv1.JobPhase_JOB_PHASE_PUBLISH,
}

var (
	leadsDesc      = prometheus.NewDesc("kith_coordinator", "1 if this server coordinates the cluster, otherwise 0.", nil, nil)
	epochDesc      = prometheus.NewDesc("kith_shard_map_epoch", "Epoch of the shard map; 0 before there is one.", nil, nil)
	membersDesc    = prometheus.NewDesc("kith_members", "Members of the cluster by what this server sees of them: alive or dead.", []string{"state"}, nil)
	partitionsDesc = prometheus.NewDesc("kith_partitions", "Partitions by how many of their replicas are on members that live: all, a majority, or fewer.", []string{"replicas"}, nil)
	movesDesc      = prometheus.NewDesc("kith_moves", "Moves of replicas: under way, or still to come.", []string{"state"}, nil)

	modelDesc        = prometheus.NewDesc("kith_model_version", "The active model version; 0 for none.", nil, nil)
	modelCreatedDesc = prometheus.NewDesc("kith_model_created_timestamp_seconds", "When the active model version was published; missing without one.", nil, nil)
	modelSizeDesc    = prometheus.NewDesc("kith_model_entries", "Users, items and interactions of the active model version.", []string{"kind"}, nil)
	modelsDesc       = prometheus.NewDesc("kith_model_versions", "Model versions that are kept.", nil, nil)

	runningDesc    = prometheus.NewDesc("kith_build_running", "1 while a build runs, by its phase.", []string{"phase"}, nil)
	tasksDesc      = prometheus.NewDesc("kith_build_tasks", "Tasks of the build that runs, by state: done or open.", []string{"state"}, nil)
	startedDesc    = prometheus.NewDesc("kith_build_started_timestamp_seconds", "When the build that runs was asked for; missing without one.", nil, nil)
	lastEndDesc    = prometheus.NewDesc("kith_build_last_end_timestamp_seconds", "When the last build ended so; missing if none has lately.", []string{"outcome"}, nil)
	lastTimeDesc   = prometheus.NewDesc("kith_build_last_duration_seconds", "How long that build took.", []string{"outcome"}, nil)
	productsDesc   = prometheus.NewDesc("kith_products_known", "Products that this server has in memory for filters, and those whose values did not fit.", []string{"state"}, nil)
	shelfBytesDesc = prometheus.NewDesc("kith_products_memory_bytes", "About how much memory the products for filters take.", nil, nil)
)

// newBuildTimes returns the times of builds that a process drives to their end.
func newBuildTimes() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kith_build_duration_seconds", Help: "How long builds took that ended while this server coordinated, by outcome: done, canceled or failed.",
		Buckets: []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600},
	}, []string{"outcome"})
}

// newRestarts returns the count of builds that a process made begin again.
func newRestarts() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kith_build_restarts_total",
		Help: "How often builds began again while this server coordinated, as an erasure had removed events that they needed.",
	})
}

// newTries returns the counts of the calls of a Router by outcome.
func newTries() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kith_routed_calls_total",
		Help: "Calls to servers, this one too, that queries and events needed, by outcome: ok, or why another replica was asked or the call given up.",
	}, []string{"outcome"})
}

// newRankingUses returns the count of rankings that a Router did not have to make.
func newRankingUses() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kith_rankings_memory_total",
		Help: "Queries for users whose ranking was in memory: they have done nothing since.",
	})
}

// newHedged returns the count of calls that a Router made a second time.
func newHedged() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kith_hedged_calls_total",
		Help: "Calls for scores that took long and were made at other replicas as well.",
	})
}

// jobOutcome is done, canceled or failed; empty while a job runs.
func jobOutcome(j *kithv1.Job) string {
	switch {
	case j.Phase == kithv1.JobPhase_JOB_PHASE_DONE:
		return "done"
	case Canceled(j):
		return "canceled"
	case j.Phase == kithv1.JobPhase_JOB_PHASE_FAILED:
		return "failed"
	}
	return ""
}

// buildTime is how long a job took that has ended.
func buildTime(j *kithv1.Job) time.Duration {
	return time.Duration(max(0, j.EndedUnixMs-j.CreatedUnixMs)) * time.Millisecond
}

var _ prometheus.Collector = (*Coordinator)(nil)

// Describe implements prometheus.Collector.
func (c *Coordinator) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		leadsDesc, epochDesc, membersDesc, partitionsDesc, movesDesc, modelDesc, modelCreatedDesc, modelSizeDesc, modelsDesc, runningDesc, tasksDesc, startedDesc,
		lastEndDesc, lastTimeDesc, productsDesc, shelfBytesDesc,
	} {
		ch <- d
	}
	c.buildTimes.Describe(ch)
	c.restarts.Describe(ch)
	c.router.tries.Describe(ch)
	c.router.hedged.Describe(ch)
	c.router.rankingUses.Describe(ch)
}

// sink sends gauges.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, x float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, labels...)
}

// Collect implements prometheus.Collector.
func (c *Coordinator) Collect(ch chan<- prometheus.Metric) {
	out, s := sink(ch), c.State()
	leads := 0.0
	if c.group.IsLeader() {
		leads = 1
	}
	out.gauge(leadsDesc, leads)
	out.gauge(epochDesc, float64(s.Epoch))
	s.collect(out, c.peers.Alive())
	s.collectBuilds(out)
	c.buildTimes.Collect(ch)
	c.restarts.Collect(ch)
	c.router.tries.Collect(ch)
	c.router.hedged.Collect(ch)
	c.router.rankingUses.Collect(ch)
	c.router.products.shelf.View(func(v *shelf.View) {
		out.gauge(productsDesc, float64(v.Products()), "known")
		out.gauge(productsDesc, float64(v.Omitted()), "omitted")
	})
	out.gauge(shelfBytesDesc, float64(c.router.products.shelf.Bytes()))
}

// collect tells of members, partitions and the model, where some nodes live.
func (s *State) collect(out sink, alive []string) {
	ids := make([]string, len(s.Members))
	for i, m := range s.Members {
		ids[i] = m.Id
	}
	live := answering(alive, ids)
	out.gauge(membersDesc, float64(live), "alive")
	out.gauge(membersDesc, float64(len(ids)-live), "dead")
	var all, most, few int
	for _, replicas := range s.Replicas {
		switch {
		case answering(alive, replicas) == len(replicas):
			all++
		case mostAnswer(alive, replicas):
			most++
		default:
			few++
		}
	}
	out.gauge(partitionsDesc, float64(all), "all")
	out.gauge(partitionsDesc, float64(most), "majority")
	out.gauge(partitionsDesc, float64(few), "minority")
	out.gauge(movesDesc, float64(len(s.Moves)), "running")
	out.gauge(movesDesc, float64(s.MovesLeft()), "left")

	out.gauge(modelDesc, float64(s.Active))
	out.gauge(modelsDesc, float64(len(s.Versions)))
	if v := s.Version(s.Active); v != nil {
		out.gauge(modelCreatedDesc, float64(v.Version.CreatedUnixMs)/1000)
		out.gauge(modelSizeDesc, float64(v.Version.Users), "users")
		out.gauge(modelSizeDesc, float64(v.Version.Items), "items")
		out.gauge(modelSizeDesc, float64(v.Version.Interactions), "interactions")
	}
}

// collectBuilds tells of the build that runs, and of those that ended last.
func (s *State) collectBuilds(out sink) {
	var running *kithv1.Job
	if rec := s.Running(); rec != nil {
		running = rec.Job
		out.gauge(startedDesc, float64(running.CreatedUnixMs)/1000)
		out.gauge(tasksDesc, float64(running.TasksDone), "done")
		out.gauge(tasksDesc, float64(max(running.TasksTotal, running.TasksDone)-running.TasksDone), "open")
	}
	for _, phase := range buildPhases {
		on := 0.0
		if running != nil && running.Phase == phase {
			on = 1
		}
		out.gauge(runningDesc, on, PhaseName(phase))
	}
	last := map[string]*kithv1.Job{}
	for _, rec := range s.Jobs {
		if Ended(rec.Job) {
			last[jobOutcome(rec.Job)] = rec.Job
		}
	}
	for outcome, j := range last {
		out.gauge(lastEndDesc, float64(j.EndedUnixMs)/1000, outcome)
		out.gauge(lastTimeDesc, buildTime(j).Seconds(), outcome)
	}
}

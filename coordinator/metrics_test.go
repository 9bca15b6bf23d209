package coordinator

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// collected is a collector of a state, where some nodes live.
type collected struct {
	*State
	alive []string
}

// Describe implements prometheus.Collector: nothing is checked before.
func (collected) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collected) Collect(ch chan<- prometheus.Metric) {
	c.collect(ch, c.alive)
	c.collectBuilds(ch)
}

// TestStateAsMetrics has a cluster of four members of which two live, with three partitions, and a build that runs after one that failed.
func TestStateAsMetrics(t *testing.T) {
	s := &State{
		Epoch: 3, Active: 7,
		Members:  []*kithv1.MemberRecord{{Id: "a"}, {Id: "b"}, {Id: "c"}, {Id: "d"}},
		Replicas: [][]string{{"a", "b"}, {"a", "b", "c"}, {"b", "c", "d"}},
		Moves:    []*kithv1.Move{{Partition: 1, Add: "d", Remove: "c"}},
		Versions: []*kithv1.VersionRecord{{Version: &kithv1.ModelVersion{Version: 7, Users: 20, Items: 30, Interactions: 400, CreatedUnixMs: 90_500}}},
		Jobs: []*kithv1.JobRecord{
			{Job: &kithv1.Job{Id: 7, Phase: kithv1.JobPhase_JOB_PHASE_DONE, CreatedUnixMs: 80_000, EndedUnixMs: 90_500}},
			{Job: &kithv1.Job{Id: 8, Phase: kithv1.JobPhase_JOB_PHASE_FAILED, CreatedUnixMs: 91_000, EndedUnixMs: 92_000}},
			{Job: &kithv1.Job{Id: 9, Phase: kithv1.JobPhase_JOB_PHASE_FAILED, CreatedUnixMs: 93_000, EndedUnixMs: 95_000}},
			{Job: &kithv1.Job{Id: 10, Phase: kithv1.JobPhase_JOB_PHASE_COMPUTE, CreatedUnixMs: 100_000, TasksTotal: 64, TasksDone: 20}},
		},
	}
	want := `
# HELP kith_build_last_duration_seconds How long that build took.
# TYPE kith_build_last_duration_seconds gauge
kith_build_last_duration_seconds{outcome="done"} 10.5
kith_build_last_duration_seconds{outcome="failed"} 2
# HELP kith_build_last_end_timestamp_seconds When the last build ended so; missing if none has lately.
# TYPE kith_build_last_end_timestamp_seconds gauge
kith_build_last_end_timestamp_seconds{outcome="done"} 90.5
kith_build_last_end_timestamp_seconds{outcome="failed"} 95
# HELP kith_build_running 1 while a build runs, by its phase.
# TYPE kith_build_running gauge
kith_build_running{phase="compute"} 1
kith_build_running{phase="count"} 0
kith_build_running{phase="cut"} 0
kith_build_running{phase="export"} 0
kith_build_running{phase="merge"} 0
kith_build_running{phase="publish"} 0
kith_build_running{phase="train"} 0
# HELP kith_build_started_timestamp_seconds When the build that runs was asked for; missing without one.
# TYPE kith_build_started_timestamp_seconds gauge
kith_build_started_timestamp_seconds 100
# HELP kith_build_tasks Tasks of the build that runs, by state: done or open.
# TYPE kith_build_tasks gauge
kith_build_tasks{state="done"} 20
kith_build_tasks{state="open"} 44
# HELP kith_members Members of the cluster by what this server sees of them: alive or dead.
# TYPE kith_members gauge
kith_members{state="alive"} 2
kith_members{state="dead"} 2
# HELP kith_model_created_timestamp_seconds When the active model version was published; missing without one.
# TYPE kith_model_created_timestamp_seconds gauge
kith_model_created_timestamp_seconds 90.5
# HELP kith_model_entries Users, items and interactions of the active model version.
# TYPE kith_model_entries gauge
kith_model_entries{kind="interactions"} 400
kith_model_entries{kind="items"} 30
kith_model_entries{kind="users"} 20
# HELP kith_model_version The active model version; 0 for none.
# TYPE kith_model_version gauge
kith_model_version 7
# HELP kith_model_versions Model versions that are kept.
# TYPE kith_model_versions gauge
kith_model_versions 1
# HELP kith_moves Moves of replicas: under way, or still to come.
# TYPE kith_moves gauge
kith_moves{state="left"} 0
kith_moves{state="running"} 1
# HELP kith_partitions Partitions by how many of their replicas are on members that live: all, a majority, or fewer.
# TYPE kith_partitions gauge
kith_partitions{replicas="all"} 1
kith_partitions{replicas="majority"} 1
kith_partitions{replicas="minority"} 1
`
	if err := testutil.CollectAndCompare(collected{s, []string{"a", "b"}}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	// Without a model and builds those that would tell of them are missing, and not zero.
	empty := `
# HELP kith_model_version The active model version; 0 for none.
# TYPE kith_model_version gauge
kith_model_version 0
`
	if err := testutil.CollectAndCompare(collected{&State{}, nil}, strings.NewReader(empty), "kith_model_version", "kith_model_created_timestamp_seconds",
		"kith_build_last_end_timestamp_seconds", "kith_build_started_timestamp_seconds", "kith_build_tasks"); err != nil {
		t.Error(err)
	}
}

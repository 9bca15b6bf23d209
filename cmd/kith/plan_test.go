package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// planSize is a plan that is made fast.
var planSize = []string{"plan", "--users", "3000", "--items", "1000", "--interactions", "40000", "--calibration", "10ms"}

func planned(more ...string) []string { return append(planSize[:len(planSize):len(planSize)], more...) }

func TestPlanErrors(t *testing.T) {
	good := writeFile(t, "good.csv", "user,item\na,1\nb,1\n")
	dir := filepath.Dir(good)
	for _, tt := range []struct {
		name string
		args []string
		want []string // parts of standard error
	}{
		{"nothing", []string{"plan"}, []string{"--users is missing", "--input"}},
		{"no items", []string{"plan", "--users", "3", "--interactions", "3"}, []string{"--items is missing"}},
		{"one user", []string{"plan", "--users", "1", "--items", "3", "--interactions", "3"}, []string{"users is 1; want 2 to"}},
		{"too many interactions", []string{"plan", "--users", "10", "--items", "10", "--interactions", "99"}, []string{"interactions is 99; want 1 to 90", "once"}},
		{"users of a file", []string{"plan", "--input", good, "--users", "3"}, []string{"--users", "--input", "leave out"}},
		{"kind of a file", []string{"plan", "--input", good, "--kind", "shop"}, []string{"--kind"}},
		{"kind", planned("--kind", "books"), []string{"movies, shop or small"}},
		{"nodes", planned("--nodes", "0"), []string{"--nodes is 0; want 1 to 4096"}},
		{"partitions", planned("--partitions", "0"), []string{"--partitions is 0"}},
		{"threads", planned("--threads", "-1"), []string{"--threads is -1"}},
		{"bandwidth", planned("--bandwidth", "0"), []string{"--bandwidth is 0", "Gbit/s"}},
		{"k", planned("-k", "1001"), []string{"-k is 1001", "1 to 1000"}},
		{"calibration", planned("--calibration", "1h"), []string{"--calibration is 1h"}},
		{"extension", planned("--report", filepath.Join(dir, "x.pdf")), []string{"--report", "x.pdf", ".html"}},
		{"no folder", planned("--report", filepath.Join(dir, "a", "x.html")), []string{"--report", "make it first"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkUsage(t, kith(t, nil, tt.args...), tt.want)
		})
	}
	if got := kith(t, nil, "plan", "--input", filepath.Join(dir, "nope.csv")); got.code != exitError || !strings.Contains(got.err, "check the path") {
		t.Errorf("missing file: exit code %d, %q", got.code, got.err)
	}
}

// TestPlanJSON checks that the result has every key of the contract.
func TestPlanJSON(t *testing.T) {
	got := mustJSON[map[string]any](t, planned("--nodes", "4", "--threads", "3", "--simulate")...)
	for key, want := range map[string]any{
		"kind": "shop", "interactions": 40000.0, "measure": "cosine", "k": 50.0, "nodes": 4.0, "threads": 3.0, "partitions": 16.0,
		"bandwidth_bytes_per_second": 1.25e8, "users": nil, "items": nil, "pair_updates": nil, "cost": nil,
	} {
		if x, ok := got[key]; !ok || want != nil && x != want {
			t.Errorf("%s is %v, want %v", key, x, want)
		}
	}
	p := got["prediction"].(map[string]any)
	for _, key := range []string{"blocks", "sides", "tasks", "balance", "balance_estimated", "balance_uncounted", "matrix_bytes", "dictionary_bytes", "seconds"} {
		if x, ok := p[key].(float64); !ok || x <= 0 {
			t.Errorf("prediction.%s is %v", key, p[key])
		}
	}
	nodes := p["per_node"].([]any)
	if len(nodes) != 4 {
		t.Fatalf("%d nodes, want 4", len(nodes))
	}
	for _, n := range nodes {
		for _, key := range []string{"tasks", "updates", "estimated_share", "matrix_share", "parts_in_bytes", "lists_in_bytes", "memory_bytes", "cpu_seconds", "seconds"} {
			if x, ok := n.(map[string]any)[key].(float64); !ok || x <= 0 {
				t.Errorf("per_node.%s is %v", key, x)
			}
		}
	}
	rows := got["simulation"].([]any)
	last := rows[len(rows)-1].(map[string]any)
	if rows[0].(map[string]any)["nodes"] != 1.0 || last["nodes"] != 1024.0 {
		t.Errorf("simulated %d clusters, the last of %v nodes; want 1 to 1024", len(rows), last["nodes"])
	}
	for _, key := range []string{"sides", "blocks", "tasks", "balance", "matrix_share", "parts_in_bytes", "bytes_of_two_over_root", "memory_bytes", "seconds", "speed_up"} {
		if x, ok := last[key].(float64); !ok || x <= 0 {
			t.Errorf("simulation.%s is %v", key, last[key])
		}
	}
}

// TestPlanOfFile checks that a file is counted, and that its work is what a build of it does.
func TestPlanOfFile(t *testing.T) {
	file := writeFile(t, "ratings.csv", randomRatings(rand.New(rand.NewPCG(9, 10)), 300, 60).csv())
	plan := mustJSON[jsonPlan](t, "plan", "--input", file, "--nodes", "2", "--calibration", "10ms")
	built := mustJSON[jsonNeighbors](t, "neighbors", "--input", file, "--nodes", "2")
	if uint64(plan.PairUpdates) != built.PairUpdates || int(plan.Users) != built.Users || int(plan.Items) != built.Items || int(plan.Interactions) != built.Interactions {
		t.Errorf("planned %+v, built %+v", plan, built)
	}
	var tasks uint64
	for _, n := range built.PerNode {
		tasks += n.Tasks
	}
	if plan.Kind != "" || uint64(plan.Prediction.Tasks) != tasks {
		t.Errorf("kind %q and %d tasks, want none and %d", plan.Kind, plan.Prediction.Tasks, tasks)
	}
}

func TestPlanTable(t *testing.T) {
	report := filepath.Join(t.TempDir(), "plan.html")
	got := mustKith(t, planned("--nodes", "9", "--kind", "movies", "--report", report)...)
	for _, part := range []string{
		"Law of movies: ", " 40,000 interactions", "cosine, K=50, 9 nodes with ", "3 sides", "PER NODE", "LEAST", "MOST", "parts received",
		"memory", "times as fast as one node", "SPEED-UP", "\n 1024 ", "The plots are in " + report,
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
	page, err := os.ReadFile(report)
	if err != nil || strings.Count(string(page), "<svg") != 2 {
		t.Errorf("the report has %d plots, want 2 (%v)", strings.Count(string(page), "<svg"), err)
	}
}

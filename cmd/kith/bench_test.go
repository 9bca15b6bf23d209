package main

import (
	"encoding/csv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

func TestBenchErrors(t *testing.T) {
	good := writeFile(t, "good.csv", "user,item\na,1\nb,1\n")
	dir := filepath.Dir(good)
	for _, tt := range []struct {
		name string
		args []string
		want []string // parts of standard error
	}{
		{"unknown subcommand", []string{"neighbor"}, []string{`unknown command "neighbor"`, "did you mean neighbors?"}},
		{"nothing", []string{"neighbors"}, []string{"--input", "--mapping", "--kind"}},
		{"two inputs", []string{"neighbors", "--kind", "small", "--input", good}, []string{"--input", "only one"}},
		{"file and mapping", []string{"neighbors", "--mapping", "map.yaml", "--input", good}, []string{"not both"}},
		{"kind", []string{"neighbors", "--kind", "books"}, []string{"movies, shop or small"}},
		{"path", []string{"neighbors", "--kind", "small", "--path", "gpu"}, []string{"build or kernel"}},
		{"scale too small", []string{"neighbors", "--kind", "small", "--scale", "0.001"}, []string{"--scale", "scale of small is 0.001", "0.016 to 100"}},
		{"scale of a file", []string{"neighbors", "--input", good, "--scale", "2"}, []string{"--scale", "--kind"}},
		{"writing a file", []string{"neighbors", "--input", good, "--write", filepath.Join(dir, "x.csv")}, []string{"--write", "--kind"}},
		{"extension", []string{"neighbors", "--kind", "small", "--write", filepath.Join(dir, "x.jsonl")}, []string{"--write", "x.jsonl", ".parquet or .csv"}},
		{"no folder", []string{"neighbors", "--kind", "small", "--write", filepath.Join(dir, "a", "x.csv")}, []string{"--write", "make it first"}},
		{"runs", []string{"neighbors", "--kind", "small", "--runs", "-1"}, []string{"--runs is -1", "1 to 1000"}},
		{"no runs", []string{"neighbors", "--kind", "small", "--runs", "0"}, []string{"--runs is 0", "--write"}},
		{"nodes", []string{"neighbors", "--kind", "small", "--nodes", "65"}, []string{"--nodes is 65", "1 to 64"}},
		{"nodes of the kernel", []string{"neighbors", "--kind", "small", "--nodes", "2", "--path", "kernel"}, []string{"--nodes is 2", "--path build"}},
		{"threads", []string{"neighbors", "--kind", "small", "--threads", "-1"}, []string{"--threads is -1"}},
		{"k", []string{"neighbors", "--kind", "small", "-k", "0"}, []string{"-k is 0", "1 to 1000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkUsage(t, kith(t, nil, append([]string{"bench"}, tt.args...)...), tt.want)
		})
	}
	if got := kith(t, nil, "bench", "neighbors", "--input", filepath.Join(dir, "nope.csv")); got.code != exitError || !strings.Contains(got.err, "check the path") {
		t.Errorf("missing file: exit code %d, %q", got.code, got.err)
	}
}

// TestBenchPathsAgree checks that all ways to compute lists give the same, for a file and for a matrix.
func TestBenchPathsAgree(t *testing.T) {
	file := writeFile(t, "ratings.csv", randomRatings(rand.New(rand.NewPCG(9, 10)), 300, 60).csv())
	for _, data := range [][]string{
		{"--kind", "small", "--scale", "0.05"},
		{"--kind", "shop", "--scale", "0.002", "-k", "7", "--shrinkage", "10"},
		{"--input", file, "--measure", "jaccard", "--min-support", "2"},
	} {
		want := ""
		for _, way := range [][]string{
			{"--path", "kernel"},
			{"--path", "kernel", "--threads", "1"},
			{"--path", "build"},
			{"--nodes", "2", "--threads", "1"},
		} {
			args := slices.Concat([]string{"bench", "neighbors", "--runs", "2"}, data, way)
			got := mustJSON[jsonBench](t, args...)
			if want == "" {
				want = got.Hash
			}
			for _, r := range got.Runs {
				if r.Hash != want {
					t.Errorf("kith %v: hash %s, want %s", args, r.Hash, want)
				}
			}
		}
	}
}

// TestBenchHash checks that the hash tells lists apart.
func TestBenchHash(t *testing.T) {
	hashes := map[string][]string{}
	for _, args := range [][]string{{}, {"--seed", "2"}, {"-k", "49"}, {"--measure", "jaccard"}, {"--scale", "0.06"}} {
		got := mustJSON[jsonBench](t, append([]string{"bench", "neighbors", "--kind", "small", "--scale", "0.05", "--runs", "1"}, args...)...)
		if other, ok := hashes[got.Hash]; ok {
			t.Errorf("the lists of %v and %v have the hash %s", args, other, got.Hash)
		}
		hashes[got.Hash] = args
	}
}

// TestBenchJSON checks that the result has every key of the contract.
func TestBenchJSON(t *testing.T) {
	got := mustJSON[map[string]any](t, "bench", "neighbors", "--kind", "small", "--scale", "0.05", "--runs", "2")
	for _, key := range []string{
		"users", "items", "interactions", "measure", "k", "shrinkage", "min_support", "path", "nodes", "threads",
		"pair_updates", "pair_updates_per_second", "peak_memory_bytes", "hash",
	} {
		if x, ok := got[key]; !ok || x == "" {
			t.Errorf("%s is %v", key, x)
		}
	}
	if d := cmp.Diff(map[string]any{"kind": "small", "scale": 0.05, "seed": 1.0}, got["matrix"]); d != "" {
		t.Errorf("matrix (-want +got):\n%s", d)
	}
	for _, key := range []string{"min", "median", "max", "spread"} {
		if x, ok := got["seconds"].(map[string]any)[key].(float64); !ok || x < 0 {
			t.Errorf("seconds.%s is %v", key, x)
		}
	}
	runs := got["runs"].([]any)
	if len(runs) != 2 {
		t.Fatalf("%d runs, want 2", len(runs))
	}
	for _, r := range runs {
		for _, key := range []string{"prepare_seconds", "compute_seconds", "merge_seconds", "total_seconds", "pair_updates"} {
			if x, ok := r.(map[string]any)[key].(float64); !ok || x < 0 {
				t.Errorf("%s is %v", key, x)
			}
		}
		if hash := r.(map[string]any)["hash"]; hash != got["hash"] {
			t.Errorf("hash of a run is %v, want %v", hash, got["hash"])
		}
	}
}

func TestBenchTable(t *testing.T) {
	got := mustKith(t, "bench", "neighbors", "--kind", "small", "--scale", "0.05", "--runs", "2", "--threads", "1", "--path", "kernel")
	for _, part := range []string{
		"small at scale 0.05, seed 1: ", " 250 items, 10,000 interactions\n", "cosine, K=50, path kernel, 1 node, 1 thread\n",
		"RUN", "TOTAL", "HASH", "\n  2  ", "median", "spread", "pair updates", "peak memory",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
}

// TestBenchWrite checks that written matrices are the same in all formats, and the one that is measured.
func TestBenchWrite(t *testing.T) {
	dir := t.TempDir()
	table, binary := filepath.Join(dir, "m.csv"), filepath.Join(dir, "m.parquet")
	matrix := []string{"bench", "neighbors", "--kind", "small", "--scale", "0.05", "--seed", "3"}
	want := mustJSON[jsonBench](t, append(matrix, "--write", table, "--runs", "1")...)
	if got := mustJSON[jsonBench](t, append(matrix, "--write", binary, "--runs", "0")...); got.Matrix == nil || got.Matrix.Out != binary || got.Hash != "" || len(got.Runs) > 0 {
		t.Errorf("without runs: %+v", got)
	}
	for _, path := range []string{table, binary} {
		got := mustJSON[jsonBench](t, "bench", "neighbors", "--input", path, "--runs", "1")
		if got.Hash != want.Hash || got.Users != want.Users || got.Items != want.Items || got.Interactions != want.Interactions {
			t.Errorf("%s gives %+v, want %+v", path, got, want)
		}
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := parquet.ReadFile[matrixRow](binary)
	if err != nil || len(rows) != len(lines)-1 {
		t.Fatalf("%d rows and %d lines with a header, %v", len(rows), len(lines), err)
	}
	for n, r := range rows {
		got := []string{strconv.Itoa(int(r.User)), strconv.Itoa(int(r.Item)), strconv.Itoa(int(r.Weight))}
		if !slices.Equal(got, lines[n+1]) {
			t.Fatalf("row %d is %v, line %v", n, got, lines[n+1])
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%d files in the folder, want 2: nothing temporary may stay (%v)", len(left), err)
	}
}

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		x    []float64
		want jsonSpread
	}{
		{[]float64{3}, jsonSpread{3, 3, 3, 0}},
		{[]float64{4, 1, 2}, jsonSpread{1, 2, 4, 1.5}},
		{[]float64{4, 1, 2, 8}, jsonSpread{1, 3, 8, 7.0 / 3}},
		{[]float64{0, 0}, jsonSpread{}},
	} {
		if d := cmp.Diff(&tt.want, spreadOf(tt.x)); d != "" {
			t.Errorf("%v (-want +got):\n%s", tt.x, d)
		}
	}
}

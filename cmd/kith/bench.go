package main

import (
	"context"
	endian "encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/spf13/cobra"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/synthetic"
)

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure how fast this machine is at the work of kith",
		Example: "  kith bench neighbors --kind small",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.benchNeighborsCommand(), a.benchQueryCommand())
	return cmd
}

// The ways to compute lists.
const (
	pathBuild  = "build"
	pathKernel = "kernel"
)

// fileFlags are the flags that say how to read and weigh events.
var fileFlags = []string{
	"columns", "behavior", "format", "sep", "no-header", "encoding", "skip", "dead-letters", "weight", "weight-cap", "half-life",
}

func (a *app) benchNeighborsCommand() *cobra.Command {
	var in input
	var s specFlags
	var b neighborBench
	kind := choice{"", synthetic.MatrixKinds()}
	path := choice{pathBuild, []string{pathBuild, pathKernel}}
	cmd := &cobra.Command{
		Use:   "neighbors",
		Short: "Measure exact neighbor lists of a file or of a generated matrix",
		Long: `Compute the same neighbor lists several times and tell what each run took, from the matrix
in memory to the lists. Reading and writing are not measured. The path build is that of
'kith neighbors' and of a cluster, on nodes within this process; kernel is the computation
alone, without nodes. Equal hashes mean equal lists, in every id and every bit of a score.
The two paths add up in another order of users, so their last bits may differ where sums
are rounded, as those of fractional weights are.

Generated matrices have numbers as keys, and whole weights:
  movies  138,000 users, 27,000 items, 19 million ratings: a dense head
  shop    1,000,000 users, 500,000 items, 20 million interactions: a long tail
  small   10,000 users, 5,000 items, 200,000 interactions
--scale multiplies users, items and interactions.`,
		Example: `  kith bench neighbors --kind small
  kith bench neighbors --kind shop --scale 0.1 --path kernel --threads 2 -o json
  kith bench neighbors --kind movies --scale 0.1 --write movies.parquet --runs 0
  kith bench neighbors --input ratings.csv --measure jaccard --nodes 2`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			b.kind, b.path = kind.value, path.value
			files := in.mapping != "" || len(in.files) > 0
			switch {
			case files == (b.kind != ""):
				return usagef("what to measure? Name a file with --input, a mapping with --mapping or a matrix with --kind, and only one")
			case files:
				for _, name := range []string{"scale", "seed", "write"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is for a generated matrix; choose one with --kind", name)
					}
				}
				if b.mappings, err = in.mappings("a file with --input"); err != nil {
					return err
				}
				b.dead = in.letters(".")
			default:
				for _, name := range fileFlags {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is for files; name one with --input, or leave it out with --kind", name)
					}
				}
				if b.write != "" {
					if err := checkPath("write", b.write, matrixExtensions); err != nil {
						return err
					}
				}
			}
			if b.spec, err = s.similarity(); err != nil {
				return err
			}
			b.weights = s.behaviors()
			return a.benchNeighbors(cmd.Context(), &b)
		},
	}
	in.register(cmd, true)
	s.register(cmd)
	f := cmd.Flags()
	f.Var(&kind, "kind", "matrix to generate in the place of files")
	f.Float64Var(&b.scale, "scale", 1, "factor on the size of a generated matrix")
	f.Uint64Var(&b.seed, "seed", 1, "chooses one of the matrices of that kind and scale")
	f.StringVar(&b.write, "write", "", "`file` for the generated matrix, .parquet or .csv, to measure others on it")
	f.Var(&path, "path", "what to measure")
	f.IntVar(&b.runs, "runs", 3, "runs, one after the other; 0 with --write only generates")
	f.IntVar(&b.nodes, "nodes", 1, "nodes that share the work, on the path build")
	f.IntVar(&b.threads, "threads", 0, "threads of each node (default: one for each processor)")
	return cmd
}

// neighborBench is what to measure.
type neighborBench struct {
	mappings       []fusion.Mapping
	weights        fusion.Weights
	dead           *fusion.DeadLetterWriter
	kind, write    string
	scale          float64
	seed           uint64
	spec           similarity.Options
	path           string
	runs           int
	nodes, threads int
}

// check refuses numbers that are out of range or do not fit each other.
func (b *neighborBench) check() error {
	switch {
	case b.runs < 0 || b.runs > 1000:
		return usagef("--runs is %d; want 1 to 1000, or 0 with --write", b.runs)
	case b.runs == 0 && b.write == "":
		return usagef("--runs is 0, so there is nothing to do; want 1 or more, or a file for the matrix with --write")
	case b.nodes < 1 || b.nodes > 64:
		return usagef("--nodes is %d; want 1 to 64", b.nodes)
	case b.nodes > 1 && b.path == pathKernel:
		return usagef("--nodes is %d, but the path kernel has no nodes; want 1, or --path build", b.nodes)
	}
	return checkThreads(b.threads)
}

// jsonBench is what was measured. Seconds are those of the runs in total.
type jsonBench struct {
	Matrix       *jsonMatrix    `json:"matrix,omitempty"`
	Users        int            `json:"users"`
	Items        int            `json:"items"`
	Interactions int            `json:"interactions"`
	Path         string         `json:"path"`
	Measure      string         `json:"measure"`
	K            int            `json:"k"`
	Shrinkage    float64        `json:"shrinkage"`
	MinSupport   int            `json:"min_support"`
	Nodes        int            `json:"nodes"`
	Threads      int            `json:"threads"`
	Runs         []jsonBenchRun `json:"runs"`
	Seconds      *jsonSpread    `json:"seconds,omitempty"`
	PairUpdates  uint64         `json:"pair_updates"`
	PerSecond    float64        `json:"pair_updates_per_second"`
	Hash         string         `json:"hash,omitempty"`
	PeakMemory   uint64         `json:"peak_memory_bytes"`
}

// jsonMatrix says which matrix was generated.
type jsonMatrix struct {
	Kind  string  `json:"kind"`
	Scale float64 `json:"scale"`
	Seed  uint64  `json:"seed"`
	Out   string  `json:"out,omitempty"`
}

// jsonBenchRun is one run. What the phases do not add up to in total is the start of the nodes.
type jsonBenchRun struct {
	Prepare     float64 `json:"prepare_seconds"`
	Compute     float64 `json:"compute_seconds"`
	Merge       float64 `json:"merge_seconds"`
	Total       float64 `json:"total_seconds"`
	PairUpdates uint64  `json:"pair_updates"`
	Hash        string  `json:"hash"`
}

// jsonSpread sums up several measurements. Spread is what lies between the least and the largest, as a part of the median.
type jsonSpread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Spread float64 `json:"spread"`
}

// spreadOf sums up one or more measurements.
func spreadOf(x []float64) *jsonSpread {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	s := &jsonSpread{Min: x[0], Median: (x[(n-1)/2] + x[n/2]) / 2, Max: x[n-1]}
	if s.Median > 0 {
		s.Spread = (s.Max - s.Min) / s.Median
	}
	return s
}

// errUnlike would be a defect of kith.
var errUnlike = errors.New("runs on the same data gave different lists, which must never happen; please report it with the command line and the data")

func (a *app) benchNeighbors(ctx context.Context, b *neighborBench) error {
	if err := b.check(); err != nil {
		return err
	}
	p := a.progress("bench")
	defer p.end()
	table, err := a.benchTable(ctx, b, p)
	if err != nil {
		return err
	}
	sum := &jsonBench{
		Users: len(table.Users), Items: len(table.Items), Interactions: len(table.Item),
		Path: b.path, Measure: b.spec.Measure.String(), K: b.spec.K, Shrinkage: b.spec.Shrinkage, MinSupport: b.spec.MinSupport,
		Nodes: b.nodes, Threads: b.threads, Runs: []jsonBenchRun{},
	}
	if b.kind != "" {
		sum.Matrix = &jsonMatrix{b.kind, b.scale, b.seed, b.write}
	}
	if sum.Threads == 0 {
		sum.Threads = runtime.GOMAXPROCS(0)
	}
	b.spec.Threads = b.threads
	measure := a.benchBuild
	if b.path == pathKernel {
		measure = benchKernel
	}
	var totals []float64
	for n := range b.runs {
		p.set("runs", int64(n), int64(b.runs))
		runtime.GC() // a run does not pay for what was left before it
		r, err := measure(ctx, b, table)
		if err != nil {
			return err
		}
		sum.Runs, totals = append(sum.Runs, r), append(totals, r.Total)
	}
	p.end()
	if b.runs > 0 {
		sum.Seconds, sum.PairUpdates, sum.Hash = spreadOf(totals), sum.Runs[0].PairUpdates, sum.Runs[0].Hash
		sum.PerSecond = float64(sum.PairUpdates) / sum.Seconds.Median
	}
	sum.PeakMemory = peakMemory()
	if a.json() {
		err = a.printJSON(sum)
	} else {
		err = a.printBench(sum)
	}
	if err == nil && slices.ContainsFunc(sum.Runs, func(r jsonBenchRun) bool { return r.Hash != sum.Hash }) {
		err = errUnlike
	}
	return err
}

// benchKernel measures similarity.BuildStats, and before it the numbering of items that it wants and a build has.
func benchKernel(ctx context.Context, b *neighborBench, t *fusion.Table) (jsonBenchRun, error) {
	began := time.Now()
	rows := byPopularity(t)
	prepared := time.Now()
	lists, stats, err := similarity.BuildStats(ctx, rows, b.spec)
	if err != nil {
		return jsonBenchRun{}, err
	}
	now := time.Now()
	return jsonBenchRun{
		Prepare: prepared.Sub(began).Seconds(), Compute: now.Sub(prepared).Seconds(), Total: now.Sub(began).Seconds(),
		PairUpdates: uint64(stats.PairUpdates), Hash: hashLists(len(t.Items), lists.List),
	}, nil
}

// benchBuild measures a build on embedded nodes.
func (a *app) benchBuild(ctx context.Context, b *neighborBench, t *fusion.Table) (r jsonBenchRun, err error) {
	dir, err := os.MkdirTemp("", "kith-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	result, err := server.Neighbors(ctx, server.LocalBuild{
		Table: t, Spec: b.spec, Nodes: b.nodes, Threads: b.threads, Dir: dir, Logger: a.logger("warn", "text"),
	})
	if err != nil {
		return r, err
	}
	r = jsonBenchRun{Prepare: result.Prepare, Compute: result.Compute, Merge: result.Merge, Total: time.Since(began).Seconds()}
	for _, u := range result.Usage {
		r.PairUpdates += u.PairUpdates
	}
	r.Hash = hashLists(len(result.Items), result.Lists)
	return r, result.Close()
}

// hashLists returns the xxhash64 of the lists of n items in order: of each its length, then ids and bits of scores.
func hashLists(n int, list func(id uint32) []similarity.Neighbor) string {
	h := xxhash.New()
	var buf []byte
	for id := range n {
		entries := list(uint32(id))
		buf = endian.LittleEndian.AppendUint32(buf[:0], uint32(len(entries)))
		for _, e := range entries {
			buf = endian.LittleEndian.AppendUint32(buf, e.ID)
			buf = endian.LittleEndian.AppendUint32(buf, math.Float32bits(e.Score))
		}
		_, _ = h.Write(buf) // never fails
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

func (a *app) printBench(s *jsonBench) error {
	what, out := "", ""
	if m := s.Matrix; m != nil {
		what = fmt.Sprintf("%s at scale %v, seed %d: ", m.Kind, m.Scale, m.Seed)
		if m.Out != "" {
			out = "; written to " + m.Out
		}
	}
	if err := a.printf("%s%s users, %s items, %s interactions%s\n", what, count(s.Users), count(s.Items), count(s.Interactions), out); err != nil {
		return err
	}
	if len(s.Runs) == 0 {
		return nil
	}
	if err := a.printf("%s, K=%d, path %s, %s, %s\n\n", s.Measure, s.K, s.Path, plural(s.Nodes, "node", "nodes"), plural(s.Threads, "thread", "threads")); err != nil {
		return err
	}
	var rows [][]any
	for n, r := range s.Runs {
		rows = append(rows, []any{n + 1, exact(r.Prepare), exact(r.Compute), exact(r.Merge), exact(r.Total), r.Hash})
	}
	if err := a.printTable("", columns{">run", ">prepare", ">compute", ">merge", ">total", "hash"}, rows); err != nil {
		return err
	}
	return a.printf("\nmin %s, median %s, spread %.1f%%; %s pair updates, %s/s; peak memory %s\n", exact(s.Seconds.Min), exact(s.Seconds.Median),
		100*s.Seconds.Spread, count(s.PairUpdates), count(uint64(s.PerSecond)), size(s.PeakMemory))
}

// exact writes a duration in seconds with all digits that mean something.
func exact(s float64) string { return fmt.Sprintf("%.3f s", s) }

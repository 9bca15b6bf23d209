package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/similarity"
)

func (a *app) neighborsCommand() *cobra.Command {
	var in input
	var s specFlags
	var run neighborRun
	var given vectorRun
	cmd := &cobra.Command{
		Use:   "neighbors",
		Short: "Compute exact neighbor lists of files, without a server",
		Long: `Compute for each item of a file the K most similar others, exactly, by the same code as a
build of a cluster, on nodes within this process. The result does not depend on the number
of nodes and threads, bit for bit.

The output has the columns item, neighbor, rank and score, by descending popularity of the
item (ties by key) and then by rank. The extension of --out chooses its format: .parquet,
.csv or .jsonl. Without --out the first lists are shown.

With --vectors the items are those of a file of vectors, of texts, pictures, sounds or whatever
gives them, and the others those whose vectors are the nearest: lines of JSON such as
{"item": "i1", "vector": [0.5, 1]}, or the columns item and vector of Parquet.`,
		Example: `  kith neighbors --input ratings.csv --measure cosine -k 50 --out lists.parquet
  kith neighbors --input u.data --sep tab --no-header --columns user,item,weight,time
  kith neighbors --input u.data --users --measure jaccard -k 20 --out users.csv -o json
  kith neighbors --vectors images.parquet --metric cosine -k 20 --out lists.parquet
  kith neighbors --vectors texts.jsonl --approximate --ef 200`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if given.file != "" {
				given.k, given.threads, given.out = s.k, run.threads, run.out
				if err := given.check(cmd); err != nil {
					return err
				}
				return a.vectorNeighbors(cmd.Context(), &given)
			}
			if given.approximate || given.ef != 0 || cmd.Flags().Changed("metric") {
				return usagef("--approximate, --ef and --metric are of --vectors; name a file with it")
			}
			if run.mappings, err = in.mappings("a file with --input"); err != nil {
				return err
			}
			if run.spec, err = s.similarity(); err != nil {
				return err
			}
			if run.nodes < 1 || run.nodes > 64 {
				return usagef("--nodes is %d; want 1 to 64", run.nodes)
			}
			if err := checkThreads(run.threads); err != nil {
				return err
			}
			letters := "."
			if run.out != "" {
				if err := checkPath("out", run.out, listExtensions); err != nil {
					return err
				}
				letters = filepath.Dir(run.out)
			}
			run.weights, run.dead = s.behaviors(), in.letters(letters)
			return a.neighbors(cmd.Context(), &run)
		},
	}
	in.register(cmd, true)
	s.register(cmd)
	f := cmd.Flags()
	given.register(f)
	f.BoolVar(&run.users, "users", false, "lists of users instead of items")
	f.IntVar(&run.nodes, "nodes", 1, "nodes that share the work; changes speed only")
	f.IntVar(&run.threads, "threads", 0, "threads of each node (default: one for each processor); changes speed only")
	f.Var(&run.memoryLimit, "memory-limit", "memory to keep to, such as 2GB: what does not fit waits in files in the folder for temporary files (default: no limit); changes speed only")
	f.StringVar(&run.out, "out", "", "`file` for the lists: .parquet, .csv or .jsonl")
	return cmd
}

// maxThreads is the largest number of threads of a node.
const maxThreads = 1024

func checkThreads(n int) error {
	if n < 0 || n > maxThreads {
		return usagef("--threads is %d; want 1 to %d, or 0 for all", n, maxThreads)
	}
	return nil
}

// similarity returns the settings of a local computation.
func (s *specFlags) similarity() (similarity.Options, error) {
	spec, err := s.spec()
	if err != nil {
		return similarity.Options{}, err
	}
	o, _, err := wire.ParseSpec(spec)
	return o, err
}

// neighborRun is one computation.
type neighborRun struct {
	mappings       []fusion.Mapping
	weights        fusion.Weights
	dead           *fusion.DeadLetterWriter
	spec           similarity.Options
	users          bool
	nodes, threads int
	memoryLimit    byteSize // 0 is none
	out            string
}

// jsonNeighbors is the summary of a computation.
type jsonNeighbors struct {
	Rows         int64            `json:"rows"`
	Rejected     int64            `json:"rejected"`
	Reasons      map[string]int64 `json:"reasons"`
	DeadLetters  string           `json:"dead_letters,omitempty"`
	Users        int              `json:"users"`
	Items        int              `json:"items"`
	Interactions int              `json:"interactions"`
	Of           string           `json:"of"`
	Measure      string           `json:"measure"`
	K            int              `json:"k"`
	Shrinkage    float64          `json:"shrinkage"`
	MinSupport   int              `json:"min_support"`
	Nodes        int              `json:"nodes"`
	Threads      int              `json:"threads"`
	Out          string           `json:"out,omitempty"`
	Seconds      jsonSeconds      `json:"seconds"`
	PairUpdates  uint64           `json:"pair_updates"`
	PeakMemory   uint64           `json:"peak_memory_bytes"`
	MemoryLimit  int64            `json:"memory_limit_bytes"`
	Spilled      uint64           `json:"spilled_bytes"`
	PerNode      []jsonUsage      `json:"per_node"`
}

type jsonSeconds struct {
	Read    float64 `json:"read"`
	Prepare float64 `json:"prepare"`
	Compute float64 `json:"compute"`
	Merge   float64 `json:"merge"`
	Write   float64 `json:"write"`
	Total   float64 `json:"total"`
}

func (a *app) neighbors(ctx context.Context, run *neighborRun) (err error) {
	began := time.Now()
	p := a.progress("neighbors")
	defer p.end()
	dir, err := os.MkdirTemp("", "kith-neighbors-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if run.memoryLimit > 0 {
		defer limitMemory(run.memoryLimit)()
	} else {
		defer spareMemory()()
	}
	p.set("reading", 0, 0)
	build := server.LocalBuild{
		Spec: run.spec, Nodes: run.nodes, Threads: run.threads, Dir: filepath.Join(dir, "build"), Logger: a.logger("warn", "text"),
		Progress: func(phase string, done, total int) { p.set(phase, int64(done), int64(total)) },
	}
	reports, err := run.read(ctx, &build, dir, began)
	if spill := build.Spill; spill != nil {
		defer func() { err = errors.Join(err, spill.Close()) }()
	}
	a.noteWeightless(reports)
	err = errors.Join(err, run.dead.Close())
	if err != nil {
		p.end()
		a.noteRejected(run.dead)
		return err
	}
	read := time.Since(began)
	sum := jsonNeighbors{
		Of: "item", Measure: run.spec.Measure.String(), K: run.spec.K, Shrinkage: run.spec.Shrinkage, MinSupport: run.spec.MinSupport,
		Nodes: run.nodes, Threads: run.threads, Out: run.out, DeadLetters: run.dead.Path(), MemoryLimit: int64(run.memoryLimit),
	}
	var all fusion.Report
	for _, r := range reports {
		all.Add(r)
	}
	sum.Rows, sum.Rejected, sum.Reasons = all.Read, all.Rejected, reasons(all.Reasons)
	if sum.Threads == 0 {
		sum.Threads = runtime.GOMAXPROCS(0)
	}
	if run.users {
		sum.Of = "user"
	}
	prepare := time.Now()
	result, err := server.Neighbors(ctx, build)
	if errors.Is(err, coordinator.ErrNoInteractions) {
		err = fusion.NothingLeft(reports)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	computed := time.Since(prepare).Seconds() - result.Compute - result.Merge
	sum.Users, sum.Items, sum.Interactions = result.Users, len(result.Items), int(result.Interactions)
	if run.users {
		sum.Users, sum.Items = sum.Items, sum.Users
	}
	if build.Spill != nil {
		sum.Spilled = uint64(build.Spill.DiskBytes())
		if err := build.Spill.Close(); err != nil {
			return err
		}
	}
	build.Table, build.Spill = nil, nil // their memory is for the writer
	write := time.Now()
	lists := &localLists{LocalResult: result}
	if run.out != "" {
		p.set("writing", 0, 0)
		if err := writeLists(run.out, sum.Of, lists); err != nil {
			return err
		}
	}
	p.end()
	now := time.Now()
	sum.Seconds = jsonSeconds{read.Seconds(), computed, result.Compute, result.Merge, now.Sub(write).Seconds(), now.Sub(began).Seconds()}
	sum.PeakMemory, sum.PerNode = peakMemory(), []jsonUsage{}
	for _, u := range result.Usage {
		sum.PairUpdates += u.PairUpdates
		sum.Spilled += u.SpilledBytes
		sum.PerNode = append(sum.PerNode, jsonUsage{u.Node, u.CPUSeconds, u.IdleSeconds, u.BytesIn, u.BytesOut, u.Tasks, u.PairUpdates, 0, 0, 0})
	}
	a.noteRejected(run.dead)
	if a.json() {
		return a.printJSON(sum)
	}
	if run.out == "" {
		if err := a.printLists(lists, sum.Of); err != nil {
			return err
		}
	}
	return a.printNeighborSummary(&sum)
}

// keyShare is the part of a memory limit, one in so many, that keys may take while a file is read, and bufferShare that of rows
// that wait to be written.
const (
	keyShare    = 2
	bufferShare = 32
)

// read reads the input of a build into memory or, with a memory limit, into files in dir.
func (run *neighborRun) read(ctx context.Context, build *server.LocalBuild, dir string, now time.Time) ([]fusion.Report, error) {
	if run.memoryLimit == 0 {
		table, reports, err := fusion.ReadTable(ctx, run.mappings, run.weights, now.UnixMilli(), run.dead)
		if err == nil && run.users {
			table = transpose(table)
		}
		build.Table = table
		return reports, err
	}
	rows := filepath.Join(dir, "rows")
	if err := os.Mkdir(rows, 0o700); err != nil {
		return nil, err
	}
	limit := int64(run.memoryLimit)
	spill, reports, err := fusion.ReadSpill(ctx, run.mappings, run.weights, now.UnixMilli(), run.dead, fusion.SpillConfig{
		Dir: rows, Partitions: server.LocalPartitions, Transposed: run.users, BufferBytes: limit / bufferShare, MaxKeyBytes: limit / keyShare,
		Of: func(user []byte) int { return int(partition.Of(string(user), server.LocalPartitions)) },
	})
	if errors.Is(err, fusion.ErrKeyMemory) {
		err = fmt.Errorf("%w; raise --memory-limit", err)
	}
	build.Spill, build.MemoryLimit = spill, limit
	return reports, err
}

// localLists names the lists of a local build.
type localLists struct {
	*server.LocalResult
	read atomic.Int64 // neighbors since memory was given back
}

// Keys implements namedLists.
func (l *localLists) Keys() []string { return l.Items }

// List implements namedLists.
func (l *localLists) List(id uint32) []similarity.Neighbor {
	list := l.Lists(id)
	if l.read.Add(int64(len(list))) >= releaseNeighbors {
		l.read.Store(0)
		_ = l.Release() // costs memory only
	}
	return list
}

// releaseNeighbors is how many neighbors are read before the memory of the files is given
// back: some 8 MB.
const releaseNeighbors = 1 << 20

// Bounds of what is shown of lists.
const (
	shownLists     = 5
	shownNeighbors = 5
)

// printLists shows the heads of the first lists.
func (a *app) printLists(lists namedLists, what string) error {
	var rows [][]any
	keys := lists.Keys()
	for id := range keys[:min(shownLists, len(keys))] {
		name := printable(keys[id])
		list := lists.List(uint32(id))
		for i, n := range list[:min(shownNeighbors, len(list))] {
			rows = append(rows, []any{name, i + 1, printable(keys[n.ID]), score(float64(n.Score))})
			name = ""
		}
	}
	if err := a.printTable("", columns{what, ">rank", "neighbor", ">score"}, rows); err != nil {
		return err
	}
	return a.printf("\nThese are the heads of the first lists; --out FILE writes all.\n")
}

func (a *app) printNeighborSummary(s *jsonNeighbors) error {
	to := ""
	if s.Out != "" {
		to = " to " + s.Out
	}
	if err := a.printf("%s %s lists of %s rows (%s users, %s items), K=%d%s, in %s.\n", s.Measure, s.Of, count(s.Rows),
		count(s.Users), count(s.Items), s.K, to, seconds(s.Seconds.Total)); err != nil || s.MemoryLimit == 0 {
		return err
	}
	return a.printf("Memory: %s at its peak, with a limit of %s; %s were written to files on the way.\n",
		size(s.PeakMemory), size(s.MemoryLimit), size(s.Spilled))
}

// transpose returns the table with users and items exchanged.
func transpose(t *fusion.Table) *fusion.Table {
	rows := similarity.Rows{NumItems: len(t.Items), Start: t.Start, Item: t.Item, Weight: t.Weight}
	out := rows.Transpose()
	return &fusion.Table{Users: t.Items, Items: t.Users, Start: out.Start, Item: out.Item, Weight: out.Weight}
}

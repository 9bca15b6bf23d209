package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model/dense"
	"github.com/kith-io/kith/similarity"
)

// vectorRun is a search for the nearest of vectors.
type vectorRun struct {
	file        string
	metric      choice
	approximate bool
	ef          int
	k, threads  int
	out         string
}

func (v *vectorRun) register(f *pflag.FlagSet) {
	v.metric = choice{dense.Cosine.String(), dense.Metrics}
	f.StringVar(&v.file, "vectors", "", "`file` of vectors of items instead of events: .jsonl or .parquet")
	f.Var(&v.metric, "metric", "with --vectors: when two are near: "+alternatives(dense.Metrics))
	f.BoolVar(&v.approximate, "approximate", false, "with --vectors: search a graph (HNSW), which finds most of the nearest and takes less time for many")
	f.IntVar(&v.ef, "ef", 0, "with --approximate: candidates of a search; more find more (default: 2k, at least 100)")
}

// vectorFlags are those that --vectors has a use for.
var vectorFlags = []string{"vectors", "metric", "approximate", "ef", "k", "threads", "out"}

// check returns an error of usage for flags that do not go together.
func (v *vectorRun) check(cmd *cobra.Command) error {
	if err := checkThreads(v.threads); err != nil {
		return err
	}
	var err error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if err == nil && f.Changed && !slices.Contains(vectorFlags, f.Name) {
			err = usagef("--%s is of events, and --vectors has none; leave one of them out", f.Name)
		}
	})
	switch {
	case err != nil:
		return err
	case v.k < 1 || v.k > 10_000:
		return usagef("-k is %d; want 1 to 10000", v.k)
	case v.ef != 0 && (!v.approximate || v.ef < v.k+1 || v.ef > 100_000):
		return usagef("--ef is %d; want k+1 to 100000, with --approximate", v.ef)
	case v.out != "":
		return checkPath("out", v.out, listExtensions)
	}
	return nil
}

// vectorLists names the lists of vectors.
type vectorLists struct {
	keys  []string
	lists [][]similarity.Neighbor
}

// Keys implements namedLists.
func (l *vectorLists) Keys() []string { return l.keys }

// List implements namedLists.
func (l *vectorLists) List(id uint32) []similarity.Neighbor { return l.lists[id] }

func (a *app) vectorNeighbors(ctx context.Context, v *vectorRun) error {
	began := time.Now()
	t, err := readVectors(ctx, v.file)
	if err != nil {
		return err
	}
	metric, err := dense.ParseMetric(v.metric.value)
	if err != nil {
		return err
	}
	vectors, err := dense.New(metric, t.dim, t.data)
	if err != nil {
		return fmt.Errorf("%s: %w", v.file, err)
	}
	if v.threads == 0 {
		v.threads = runtime.GOMAXPROCS(0)
	}
	out := struct {
		Items       int      `json:"items"`
		Dim         int      `json:"dim"`
		Metric      string   `json:"metric"`
		K           int      `json:"k"`
		Approximate bool     `json:"approximate"`
		Recall      *float64 `json:"recall,omitempty"`
		Out         string   `json:"out,omitempty"`
		Seconds     float64  `json:"seconds"`
	}{Items: len(t.items), Dim: t.dim, Metric: v.metric.value, K: v.k, Approximate: v.approximate, Out: v.out}
	lists := &vectorLists{keys: t.items}
	if v.approximate {
		var recall float64
		lists.lists, recall, err = v.graphLists(ctx, vectors, t)
		out.Recall = &recall
	} else {
		lists.lists, err = vectors.All(ctx, v.k, v.threads)
	}
	if err != nil {
		return err
	}
	if v.out != "" {
		if err := writeLists(v.out, "item", lists); err != nil {
			return err
		}
	}
	out.Seconds = time.Since(began).Seconds()
	if a.json() {
		return a.printJSON(out)
	}
	to := ""
	if v.out != "" {
		to = " to " + v.out
	} else if err := a.printLists(lists, "item"); err != nil {
		return err
	}
	how := "exact"
	if v.approximate {
		how = "approximate, with " + strings.TrimSpace(percentText(*out.Recall)) + " of the nearest of a sample"
	}
	return a.printf("%s lists of %s of %s numbers, K=%d%s, %s, in %s.\n", out.Metric, plural(out.Items, "vector", "vectors"), count(out.Dim), v.k, to, how, seconds(out.Seconds))
}

// recallSample is how many lists are compared with exact ones.
const recallSample = 100

// graphLists returns the lists that a graph finds, and the share of scores of a sample of items that are among the exact.
func (v *vectorRun) graphLists(ctx context.Context, vectors *dense.Vectors, t *vectorTable) (lists [][]similarity.Neighbor, recall float64, err error) {
	o := dense.DefaultIndexOptions()
	o.Threads = v.threads
	index, err := dense.NewIndex(ctx, vectors, o)
	if err != nil {
		return nil, 0, err
	}
	ef := v.ef
	if ef == 0 {
		ef = max(2*v.k, 100)
	}
	n := len(t.items)
	row := func(i int) []float32 { return t.data[i*t.dim : (i+1)*t.dim] }
	others := func(i int, list []similarity.Neighbor) []similarity.Neighbor {
		list = slices.DeleteFunc(list, func(x similarity.Neighbor) bool { return int(x.ID) == i })
		return list[:min(v.k, len(list))]
	}
	lists = make([][]similarity.Neighbor, n)
	group, working := errgroup.WithContext(ctx)
	for part := range v.threads {
		group.Go(func() error {
			for i := part; i < n; i += v.threads {
				if err := working.Err(); err != nil {
					return err
				}
				list, _, err := index.Nearest(row(i), v.k+1, max(ef, v.k+1))
				if err != nil {
					return err
				}
				lists[i] = others(i, list)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	sample := min(n, recallSample)
	var queries []float32
	for s := range sample {
		queries = append(queries, row(s*n/sample)...)
	}
	exact, err := vectors.Nearest(ctx, queries, v.k+1, v.threads)
	if err != nil {
		return nil, 0, err
	}
	found, want := 0, 0
	for s := range sample {
		i := s * n / sample
		best := others(i, exact[s])
		want += len(best)
		for _, x := range lists[i] {
			if len(best) > 0 && x.Score >= best[len(best)-1].Score { // one as near as the last of them is as good
				found++
			}
		}
	}
	if want == 0 {
		return lists, 1, nil
	}
	return lists, float64(found) / float64(want), nil
}

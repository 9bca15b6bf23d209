package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/partition"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/similarity"
)

// TestNeighborsDoNotDependOnSides builds on so many nodes that there are two sides, and three, and compares with one.
func TestNeighborsDoNotDependOnSides(t *testing.T) {
	const users, items = 300, 70
	rng := rand.New(rand.NewPCG(3, 5))
	table := &fusion.Table{Start: []int64{0}}
	for i := range items {
		table.Items = append(table.Items, fmt.Sprintf("i%02d", i))
	}
	for u := range users {
		table.Users = append(table.Users, fmt.Sprintf("u%03d", u))
		for i := range items {
			if rng.IntN(i/6+2) == 0 {
				table.Item, table.Weight = append(table.Item, uint32(i)), append(table.Weight, float32(1+rng.IntN(5)))
			}
		}
		table.Start = append(table.Start, int64(len(table.Item)))
	}
	var want [][]similarity.Neighbor
	for _, c := range []struct {
		nodes  int
		atMost uint64 // tasks, if there were a side less
	}{{1, 0}, {4, items}, {9, 2 * items}} {
		result, err := server.Neighbors(t.Context(), server.LocalBuild{
			Table: table, Spec: similarity.Options{Measure: similarity.Cosine, K: 8}, Nodes: c.nodes, Threads: 2,
			Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		var tasks uint64
		for _, u := range result.Usage {
			tasks += u.Tasks
			if u.IdleSeconds < 0 {
				t.Errorf("%d nodes: %s was idle for %v seconds", c.nodes, u.Node, u.IdleSeconds)
			}
		}
		if tasks <= c.atMost {
			t.Errorf("%d nodes: %d tasks of %d items, want more than %d: there is a side too few", c.nodes, tasks, items, c.atMost)
		}
		var got [][]similarity.Neighbor
		for id := range items {
			got = append(got, append([]similarity.Neighbor(nil), result.Lists(uint32(id))...))
		}
		if err := result.Close(); err != nil {
			t.Error(err)
		}
		if want == nil {
			want = got
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%d nodes: lists differ from those of one (-one +%d):\n%s", c.nodes, c.nodes, d)
		}
	}
}

// TestMemoryLimitMustBeEnough checks that a limit that cannot be kept to is refused with the least one that can, which works.
func TestMemoryLimitMustBeEnough(t *testing.T) {
	var text strings.Builder
	text.WriteString("user,item\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "u%d,i%d\n", i%90, i*i%97)
	}
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	spill, _, err := fusion.ReadSpill(t.Context(), []fusion.Mapping{{Path: path}}, fusion.DefaultWeights(), 0, nil, fusion.SpillConfig{
		Dir: t.TempDir(), Partitions: server.LocalPartitions,
		Of: func(user []byte) int { return int(partition.Of(string(user), server.LocalPartitions)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := spill.Close(); err != nil {
			t.Error(err)
		}
	}()
	build := func(limit int64, measure similarity.Measure) error {
		result, err := server.Neighbors(t.Context(), server.LocalBuild{
			Spill: spill, MemoryLimit: limit, Spec: similarity.Options{Measure: measure, K: 8}, Nodes: 2, Threads: 1,
			Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		return result.Close()
	}
	for _, measure := range []similarity.Measure{similarity.Cosine, similarity.Swing} {
		err := build(1<<20, measure)
		if !errors.Is(err, server.ErrMemoryLimit) {
			t.Fatalf("%s in 1 MiB: got %v, want %v", measure, err, server.ErrMemoryLimit)
		}
		var least int64
		if _, err := fmt.Sscanf(err.Error()[strings.Index(err.Error(), "at least"):], "at least %d MiB", &least); err != nil {
			t.Fatal(err)
		}
		if err := build(least<<20, measure); err != nil {
			t.Errorf("%s in the least limit: %v", measure, err)
		}
	}
	if _, err := server.Neighbors(t.Context(), server.LocalBuild{MemoryLimit: 1 << 30, Spec: similarity.Options{K: 1}, Nodes: 1, Table: &fusion.Table{}}); err == nil {
		t.Error("a limit of a table in memory: got no error")
	}
}

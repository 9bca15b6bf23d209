package server_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
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

package partition_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/partition"
)

// moved counts the replicas that are in after and were not in before.
func moved(before, after [][]string) int {
	n := 0
	for p := range after {
		for _, id := range after[p] {
			if !slices.Contains(before[p], id) {
				n++
			}
		}
	}
	return n
}

func named(n int) []partition.Member {
	var out []partition.Member
	for i := range n {
		out = append(out, partition.Member{ID: fmt.Sprintf("n%d", i)})
	}
	return out
}

// TestRebalanceMovesTheLeast: without zones, what members hold above their new share has to move, and nothing else.
func TestRebalanceMovesTheLeast(t *testing.T) {
	for _, partitions := range []int{4, 16, 64} {
		for nodes := 3; nodes <= 9; nodes++ {
			before := partition.Plan(named(nodes), partitions, 3)
			load, _ := count(before)
			most, above := ceil(partitions*3, nodes+1), 0
			for _, n := range load {
				above += max(0, n-most)
			}
			after := partition.Rebalance(before, named(nodes+1), 3)
			if got := moved(before, after); got != above {
				t.Errorf("%d partitions, %d nodes and one more: %d replicas moved, want %d", partitions, nodes, got, above)
			}
		}
	}
	before := partition.Plan(named(3), 16, 3)
	if got := moved(before, partition.Rebalance(before, named(4), 3)); got != 12 {
		t.Errorf("%d of 48 replicas moved to the fourth node, want 12", got)
	}
}

func TestRebalanceReplacesWhatIsLost(t *testing.T) {
	before := partition.Plan(named(5), 16, 3)
	lost := 0
	for _, nodes := range before {
		if slices.Contains(nodes, "n4") {
			lost++
		}
	}
	after := partition.Rebalance(before, named(4), 3)
	if got := moved(before, after); got != lost {
		t.Errorf("%d replicas were lost and %d made", lost, got)
	}
	for p, nodes := range after {
		if len(nodes) != 3 {
			t.Errorf("partition %d: %v, want three", p, nodes)
		}
		for at, id := range before[p] {
			if id != "n4" && nodes[at] != id {
				t.Errorf("partition %d: %v became %v: holders that stay keep their place", p, before[p], nodes)
			}
		}
	}
}

func TestRebalanceFollowsTheNumberOfMembers(t *testing.T) {
	at := partition.Plan(named(1), 8, 3)
	for _, nodes := range []int{2, 3, 5, 3, 2, 1} {
		at = partition.Rebalance(at, named(nodes), 3)
		load := map[string]int{}
		for p, hold := range at {
			if len(hold) != min(3, nodes) {
				t.Fatalf("%d nodes: partition %d on %v", nodes, p, hold)
			}
			for _, id := range hold {
				load[id]++
			}
		}
		for id, n := range load {
			if most := ceil(8*min(3, nodes), nodes); n > most {
				t.Errorf("%d nodes: %s holds %d, want at most %d", nodes, id, n, most)
			}
		}
	}
}

func TestRebalanceUsesNewZones(t *testing.T) {
	ms := []partition.Member{{ID: "a1", Zone: "a"}, {ID: "a2", Zone: "a"}, {ID: "a3", Zone: "a"}, {ID: "a4", Zone: "a"}}
	before := partition.Plan(ms, 16, 3)
	after := partition.Rebalance(before, append(ms, partition.Member{ID: "b1", Zone: "b"}), 3)
	for p, hold := range after {
		if !slices.Contains(hold, "b1") {
			t.Errorf("partition %d on %v: all in one zone", p, hold)
		}
	}
	if moved(before, after) != 16 {
		t.Errorf("%d replicas moved, want one of each of 16 partitions", moved(before, after))
	}
}

func TestRebalanceIsSpreadAndStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t, 1)
		rf := rapid.IntRange(1, 4).Draw(t, "rf")
		at := partition.Plan(members, rapid.IntRange(1, 12).Draw(t, "partitions"), rf)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			members = drawMembers(t, 1)
			before := at
			at = partition.Rebalance(at, members, rf)
			for _, hold := range at {
				checkSpread(t, hold, members, rf)
			}
			if again := partition.Rebalance(at, members, rf); moved(at, again) != 0 {
				t.Fatalf("from %v by %v: %v is not stable: %v", before, members, at, again)
			}
		}
	})
}

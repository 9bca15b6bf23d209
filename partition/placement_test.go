package partition_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/partition"
)

func drawMembers(t *rapid.T, least int) []partition.Member {
	ids := rapid.SliceOfNDistinct(rapid.StringMatching(`n[0-9]{1,3}`), least, 9, rapid.ID[string]).Draw(t, "ids")
	members := make([]partition.Member, len(ids))
	for i, id := range ids {
		members[i] = partition.Member{
			ID:     id,
			Zone:   rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone"),
			Weight: rapid.SampledFrom([]float64{0, 1, 1, 2, 0.5}).Draw(t, "weight"),
		}
	}
	return members
}

// checkSpread fails unless replicas are distinct, as many as there can be, and a zone
// has a replica more than another only if the other has no member left.
func checkSpread(t *rapid.T, replicas []string, members []partition.Member, rf int) {
	zoneOf, free := map[string]string{}, map[string]int{}
	for _, m := range members {
		zoneOf[m.ID] = m.Zone
		free[m.Zone]++
	}
	if len(replicas) != min(rf, len(members)) {
		t.Fatalf("%d replicas on %d members, want %d", len(replicas), len(members), min(rf, len(members)))
	}
	used, seen := map[string]int{}, map[string]bool{}
	for _, r := range replicas {
		if seen[r] {
			t.Fatalf("replica twice on %s: %v", r, replicas)
		}
		seen[r] = true
		used[zoneOf[r]]++
		free[zoneOf[r]]--
	}
	for z, n := range used {
		for other, left := range free {
			if left > 0 && n > used[other]+1 {
				t.Fatalf("zone %q has %d replicas, %q has %d and %d free members: %v", z, n, other, used[other], left, replicas)
			}
		}
	}
}

func TestReplicasMoveOnlyToTheNewMember(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t, 2)
		rf := rapid.IntRange(1, 5).Draw(t, "rf")
		p := partition.ID(rapid.Uint32().Draw(t, "partition"))
		after := partition.Replicas(p, members, rf)
		checkSpread(t, after, members, rf)
		shuffled := rapid.Permutation(members).Draw(t, "order")
		if diff := cmp.Diff(after, partition.Replicas(p, shuffled, rf)); diff != "" {
			t.Fatalf("order of members matters:\n%s", diff)
		}
		joined := members[0].ID
		before := partition.Replicas(p, members[1:], rf)
		checkSpread(t, before, members[1:], rf)
		for _, id := range after {
			if id != joined && !slices.Contains(before, id) {
				t.Fatalf("when %s joined, a replica moved to %s: %v -> %v", joined, id, before, after)
			}
		}
	})
}

func TestReplicasFollowWeights(t *testing.T) {
	members := []partition.Member{
		{ID: "a", Weight: 1},
		{ID: "b"},
		{ID: "c", Weight: 2},
		{ID: "never", Weight: -1},
		{ID: "nan", Weight: math.NaN()},
		{ID: "inf", Weight: math.Inf(1)},
		{ID: "a", Weight: 1},
	}
	const n = 40_000
	first := map[string]int{}
	for p := range partition.ID(n) {
		first[partition.Replicas(p, members, 1)[0]]++
	}
	for id, share := range map[string]float64{"a": 0.25, "b": 0.25, "c": 0.5} {
		if got := float64(first[id]) / n; math.Abs(got-share) > 0.0125 { // five standard deviations
			t.Errorf("member %s is first for %.4f of the partitions, want %.2f", id, got, share)
		}
	}
	if len(first) != 3 {
		t.Errorf("members without a share hold replicas: %v", first)
	}
	if got := partition.Replicas(0, nil, 3); len(got) != 0 {
		t.Errorf("no members give %v", got)
	}
}

func count(plan [][]string) (all, leaders map[string]int) {
	all, leaders = map[string]int{}, map[string]int{}
	for _, replicas := range plan {
		for n, id := range replicas {
			all[id]++
			if n == 0 {
				leaders[id]++
			}
		}
	}
	return all, leaders
}

func TestPlanIsSpreadAndLevel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t, 1)
		oneZone := rapid.Bool().Draw(t, "one zone")
		for i := range members {
			members[i].Weight = 1
			if oneZone {
				members[i].Zone = ""
			}
		}
		partitions, rf := rapid.IntRange(1, 40).Draw(t, "partitions"), rapid.IntRange(1, 4).Draw(t, "rf")
		plan := partition.Plan(members, partitions, rf)
		if len(plan) != partitions {
			t.Fatalf("plan of %d partitions, want %d", len(plan), partitions)
		}
		for _, replicas := range plan {
			checkSpread(t, replicas, members, rf)
		}
		if diff := cmp.Diff(plan, partition.Plan(rapid.Permutation(members).Draw(t, "order"), partitions, rf)); diff != "" {
			t.Fatalf("order of members matters:\n%s", diff)
		}
		if !oneZone {
			return // the spread may leave no choice
		}
		all, leaders := count(plan)
		rf = min(rf, len(members))
		most, mostLeaders := ceil(partitions*rf, len(members)), ceil(partitions, len(members))
		for _, m := range members {
			if all[m.ID] > most || leaders[m.ID] > mostLeaders {
				t.Fatalf("%s holds %d (at most %d) and leads %d (at most %d)", m.ID, all[m.ID], most, leaders[m.ID], mostLeaders)
			}
		}
	})
}

func ceil(a, b int) int { return (a + b - 1) / b }

func TestPlanFollowsWeights(t *testing.T) {
	for _, c := range []struct {
		name    string
		members []partition.Member
		rf      int
		most    map[string]int
	}{
		{"double", []partition.Member{{ID: "a"}, {ID: "b"}, {ID: "c", Weight: 2}}, 1, map[string]int{"a": 4, "b": 4, "c": 8}},
		{"more than all", []partition.Member{{ID: "a"}, {ID: "b"}, {ID: "c", Weight: 9}}, 2, map[string]int{"a": 8, "b": 8, "c": 16}},
		{
			"zones of equal size",
			[]partition.Member{{ID: "a", Zone: "x"}, {ID: "b", Zone: "x"}, {ID: "c", Zone: "y"}, {ID: "d", Zone: "y"}},
			2,
			map[string]int{"a": 8, "b": 8, "c": 8, "d": 8},
		},
		{
			"a zone of one member keeps the spread",
			[]partition.Member{{ID: "a", Zone: "x"}, {ID: "b", Zone: "y"}, {ID: "c", Zone: "y"}},
			2,
			map[string]int{"a": 16, "b": 11, "c": 11},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, _ := count(partition.Plan(c.members, 16, c.rf))
			for id, most := range c.most {
				if all[id] > most {
					t.Errorf("%s holds %d replicas, want at most %d: %v", id, all[id], most, all)
				}
			}
		})
	}
	if got := partition.Plan(nil, 2, 3); len(got) != 2 || len(got[0]) != 0 {
		t.Errorf("plan without members is %v", got)
	}
}

// TestPlanMovesLittle bounds the replicas that move when a member joins, against the
// least that any level plan must move: the new member's share.
func TestPlanMovesLittle(t *testing.T) {
	for _, c := range []struct {
		partitions, rf int
		bound          float64
	}{{16, 3, 1.7}, {64, 3, 1.4}, {256, 3, 1.2}, {64, 1, 1.5}} {
		var moved, least, leaders, grown int
		for n := 4; n < 12; n++ {
			var members []partition.Member
			for i := range n {
				members = append(members, partition.Member{ID: fmt.Sprintf("node%d", i)})
			}
			before := partition.Plan(members[:n-1], c.partitions, c.rf)
			after := partition.Plan(members, c.partitions, c.rf)
			for p := range after {
				for _, id := range after[p] {
					if !slices.Contains(before[p], id) {
						moved++
					}
				}
				if after[p][0] != before[p][0] {
					leaders++
				}
			}
			least += c.partitions * c.rf / n
			grown += c.partitions / n
		}
		ratio := float64(moved) / float64(least)
		t.Logf("%d partitions, rf %d: %d replicas moved, %.2f times the share of the joining member; %d leaders, %.2f times",
			c.partitions, c.rf, moved, ratio, leaders, float64(leaders)/float64(grown))
		if ratio > c.bound {
			t.Errorf("%d partitions, rf %d: moved %.2f times the least, want at most %.2f", c.partitions, c.rf, ratio, c.bound)
		}
	}
}

func ExampleReplicas() {
	members := []partition.Member{{ID: "n1", Zone: "east"}, {ID: "n2", Zone: "east"}, {ID: "n3", Zone: "west"}}
	p := partition.Of("user42", 16)
	fmt.Println(p, partition.Replicas(p, members, 2))
	// Output:
	// 12 [n3 n2]
}

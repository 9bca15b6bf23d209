package partition_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/partition"
)

func all(string) bool { return true }

func TestNextHandover(t *testing.T) {
	abc := []string{"a", "b", "c"}
	for _, tt := range []struct {
		name     string
		replicas [][]string
		leaders  []string
		able     func(string) bool
		want     string
	}{
		{"one leads all", [][]string{abc, abc, abc}, []string{"a", "a", "a"}, all, "0: a to b"},
		{"even", [][]string{abc, abc, abc}, []string{"c", "a", "b"}, all, ""},
		{"as even as can be", [][]string{abc, abc, abc, abc}, []string{"c", "a", "b", "b"}, all, ""},
		{"not to one that is not able", [][]string{abc, abc, abc}, []string{"a", "a", "a"}, func(n string) bool { return n != "b" }, "0: a to c"},
		{"only to holders", [][]string{{"a"}, {"a", "b"}, {"a", "b"}}, []string{"a", "a", "a"}, all, "1: a to b"},
		{"without a leader", [][]string{abc, abc, abc}, []string{"", "a", "a"}, all, "1: a to b"},
		{"in proportion", [][]string{{"a", "b"}, {"a"}, {"a"}, {"a", "b"}}, []string{"a", "a", "a", "b"}, all, ""},
		{"no partitions", nil, nil, all, ""},
	} {
		h, ok := partition.NextHandover(tt.replicas, tt.leaders, tt.able)
		got := ""
		if ok {
			got = fmt.Sprintf("%d: %s to %s", h.Partition, h.From, h.To)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestHandoversEnd follows the changes to their end: it comes, and where all hold all no member leads two more than another.
func TestHandoversEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.IntRange(1, 6).Draw(t, "members")
		n := rapid.IntRange(1, 40).Draw(t, "partitions")
		rf := rapid.IntRange(1, members).Draw(t, "rf")
		replicas, leaders := make([][]string, n), make([]string, n)
		for p := range replicas {
			ids := rapid.Permutation([]string{"a", "b", "c", "d", "e", "f"}[:members]).Draw(t, "ids")
			replicas[p], leaders[p] = ids[:rf], ids[0]
		}
		for steps := 0; ; steps++ {
			h, ok := partition.NextHandover(replicas, leaders, all)
			if !ok {
				break
			}
			if steps > n*members {
				t.Fatalf("no end after %d steps", steps)
			}
			if leaders[h.Partition] != h.From || !slices.Contains(replicas[h.Partition], h.To) {
				t.Fatalf("%+v of leader %s and holders %v", h, leaders[h.Partition], replicas[h.Partition])
			}
			leaders[h.Partition] = h.To
		}
		if rf < members {
			return
		}
		led := map[string]int{}
		for _, l := range leaders {
			led[l]++
		}
		least, most := math.MaxInt, 0
		for _, id := range replicas[0] {
			least, most = min(least, led[id]), max(most, led[id])
		}
		if most > least+1 {
			t.Fatalf("leaders %v", led)
		}
	})
}

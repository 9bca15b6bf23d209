package fusion

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestInterner compares it with a map.
func TestInterner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringMatching(`[ab]{0,12}`), 0, 3000).Draw(t, "keys")
		var n interner
		ids := map[string]uint32{}
		for _, key := range keys {
			id, fresh := n.add([]byte(key))
			want, known := ids[key]
			if !known {
				want = uint32(len(ids))
				ids[key] = want
			}
			if id != want || fresh == known {
				t.Fatalf("%q: got %d, fresh %t; want %d, fresh %t", key, id, fresh, want, !known)
			}
			if got := string(n.key(id)); got != key {
				t.Fatalf("key %d is %q, want %q", id, got, key)
			}
		}
		sorted, rank := n.sorted()
		want := make([]string, 0, len(ids))
		for key, id := range ids {
			want = append(want, key)
			if sorted[rank[id]] != key {
				t.Fatalf("rank of %q is %d, that of %q", key, rank[id], sorted[rank[id]])
			}
		}
		slices.Sort(want)
		if !cmp.Equal(sorted, want) && len(want) > 0 {
			t.Fatal(cmp.Diff(want, sorted))
		}
	})
}

func TestInternerGrows(t *testing.T) {
	var n interner
	const keys = 100_000
	for range 2 {
		for i := range keys {
			if id, _ := n.add(fmt.Appendf(nil, "key-%d", i)); int(id) != i {
				t.Fatalf("key-%d is %d", i, id)
			}
		}
	}
	if n.len() != keys {
		t.Errorf("%d keys, want %d", n.len(), keys)
	}
}

// TestSortedByBytes: prefixes, bytes above 127 and NUL in the order of strings.
func TestSortedByBytes(t *testing.T) {
	var n interner
	keys := []string{"b", "a", "", "ab", "a\x00", "abcdefgh", "abcdefgi", "abcdefgha", "é", "\xff", "abcdefgh\x00", "12345678", "123456789"}
	for _, key := range keys {
		n.add([]byte(key))
	}
	got, _ := n.sorted()
	slices.Sort(keys)
	if !cmp.Equal(got, keys) {
		t.Error(cmp.Diff(keys, got))
	}
}

func BenchmarkInterner(b *testing.B) {
	var n interner
	keys := make([][]byte, 1<<15)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "%d", i*7919)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n.add(keys[i*31&(len(keys)-1)])
	}
}

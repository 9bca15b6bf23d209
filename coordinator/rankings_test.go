package coordinator

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
)

// topOf returns n items that no other seed has.
func topOf(seed uint64, n int) (top []model.Scored) {
	for i := range n {
		top = append(top, model.Scored{Item: uint32(seed)*100 + uint32(i), Score: float64(seed)*1.5 - float64(i)/3})
	}
	return top
}

// keeps reports whether the n best items of a key are there. They must be the first of top.
func keeps(t *testing.T, h *rankings, k rankingKey, n int, top []model.Scored) bool {
	t.Helper()
	ids, items, ok := h.get(&k, n, []uint32{7})
	if !ok {
		return false
	}
	var got []model.Scored
	for i, x := range items {
		if x.Source != k.method || x.Item != "" || x.Contributions != nil {
			t.Fatalf("%+v has %+v, want what is in the ranking", k, x)
		}
		got = append(got, model.Scored{Item: ids[1+i], Score: x.Score})
	}
	if want := top[:min(n, len(top))]; !slices.Equal(got, want) || len(ids) != 1+len(want) || ids[0] != 7 {
		t.Fatalf("%+v has %v of ids %v, want %v behind 7", k, got, ids, want)
	}
	return true
}

// TestRankingsAreBounded fills them far beyond their bound. Each ranking is found as it was put or not at all, and the one that is asked for again and again stays.
func TestRankingsAreBounded(t *testing.T) {
	const bytes, n = 1 << 20, 7
	h := newRankings(bytes)
	key := func(stamp uint64) rankingKey { return rankingKey{stamp: stamp, version: 1, method: UserKNN} }
	check := func(stamp uint64) bool {
		t.Helper()
		return keeps(t, h, key(stamp), n, topOf(stamp, int(stamp%n)))
	}
	put := func(stamp uint64) {
		k := key(stamp)
		h.put(&k, n, topOf(stamp, int(stamp%n)))
	}
	const hot, all = 5, 100_000
	put(hot)
	for stamp := uint64(10); stamp < all; stamp++ {
		put(stamp)
		if !check(stamp) || !check(hot) {
			t.Fatalf("ranking %d or that of all is lost", stamp)
		}
	}
	words, kept := 0, 0
	for i := range h.shards {
		for _, g := range []*rankingGeneration{&h.shards[i].young, &h.shards[i].old} {
			words += cap(g.words) + rankingIndexWords*len(g.at)
		}
	}
	for stamp := uint64(10); stamp < all; stamp++ {
		if check(stamp) {
			kept++
		}
	}
	if 4*words > bytes || 4*words < bytes/2 || kept < bytes/4/60 {
		t.Errorf("%d rankings in %d bytes, want them to take up to %d", kept, 4*words, bytes)
	}
	k := key(1)
	h.put(&k, MaxN, topOf(1, MaxN))
	if _, _, ok := h.get(&k, 1, nil); ok {
		t.Error("a ranking that takes all of the room is kept")
	}
	newRankings(0).put(&k, 1, nil)
	if _, _, ok := newRankings(0).get(&k, 1, nil); ok {
		t.Error("without room there is a ranking")
	}
}

// TestRankingsOfKeys: a ranking is of what it was put for and of nothing that differs in any part of it, also where the index is the same.
func TestRankingsOfKeys(t *testing.T) {
	k := rankingKey{stamp: 3<<32 | 9, version: 3<<32 | 4, share: math.Float64bits(0.5), erasures: 5<<32 | 6, method: Hybrid}
	change := func(f func(*rankingKey)) rankingKey {
		other := k
		f(&other)
		return other
	}
	others := map[string]rankingKey{
		"version":              change(func(k *rankingKey) { k.version++ }),
		"upper half, version":  change(func(k *rankingKey) { k.version += 1 << 32 }),
		"share":                change(func(k *rankingKey) { k.share = math.Float64bits(math.Nextafter(0.5, 1)) }),
		"upper half, share":    change(func(k *rankingKey) { k.share = math.Float64bits(0.25) }),
		"erasures":             change(func(k *rankingKey) { k.erasures++ }),
		"upper half, erasures": change(func(k *rankingKey) { k.erasures += 1 << 32 }),
		"stamp":                change(func(k *rankingKey) { k.stamp += rankingShards }),
		"index of the stamp":   change(func(k *rankingKey) { k.stamp += 1 << 56 }),
		"method":               change(func(k *rankingKey) { k.method = UserKNN }),
		"index of both":        change(func(k *rankingKey) { k.stamp, k.method = k.stamp+1<<56, UserKNN }),
	}
	if other := others["index of the stamp"]; other.index() != k.index() || k.stamp == other.stamp {
		t.Fatalf("%+v and %+v have not the same index: the test looks at nothing", k, other)
	}
	for name, other := range others {
		h := newRankings(1 << 20)
		h.put(&k, 3, topOf(1, 3))
		if !keeps(t, h, k, 3, topOf(1, 3)) {
			t.Fatal("a ranking is lost")
		}
		if _, _, ok := h.get(&other, 3, nil); ok {
			t.Errorf("another %s: the ranking of %+v is that of %+v", name, other, k)
		}
		h.put(&other, 3, topOf(2, 3))
		if !keeps(t, h, other, 3, topOf(2, 3)) {
			t.Errorf("another %s: a ranking is lost", name)
		}
		if stays := keeps(t, h, k, 3, topOf(1, 3)); stays != (other.index() != k.index()) {
			t.Errorf("another %s: the first ranking stays: %v, want it to stand beside the other where the index is another one", name, stays)
		}
	}
}

// TestRankingsOfDepths: a ranking answers queries up to what it was asked for, and all if there was no more. A deeper one takes its place, and no shallower one does.
func TestRankingsOfDepths(t *testing.T) {
	k := rankingKey{stamp: 1, version: 1, method: ItemKNN}
	h := newRankings(1 << 20)
	is := func(most, there int) {
		t.Helper()
		for _, n := range []int{1, 4, 5, 6, 9, 10, 11, MaxN} {
			if ok := keeps(t, h, k, n, topOf(1, there)); ok != (n <= most) {
				t.Errorf("of %d items, %d at most: those for a query of %d are there: %v", there, most, n, ok)
			}
		}
	}
	h.put(&k, 5, topOf(1, 5))
	is(5, 5)
	h.put(&k, 10, topOf(1, 10))
	is(10, 10)
	h.put(&k, 4, topOf(1, 4))
	is(10, 10)
	h.put(&k, 11, topOf(1, 10))
	is(MaxN, 10)
	h = newRankings(1 << 20)
	h.put(&k, 5, nil)
	is(MaxN, 0)
}

// TestScoringElsewhere: where another node tells similar users, or none does, the scoring says so, and nobody keeps what comes of it.
func TestScoringElsewhere(t *testing.T) {
	for _, c := range []struct {
		name               string
		err                error
		elsewhere, partial bool
	}{
		{name: "another node", elsewhere: true},
		{name: "none", err: wire.ErrNoReplica, partial: true},
	} {
		answer := func(context.Context, any) error { return c.err }
		s := &scoring{r: routerOver(t, fakePeers{"a": answer}, "a"), m: &node.Version{VersionView: node.VersionView{Version: 1, Partitions: 1}}}
		if _, err := s.nearest(t.Context(), 3, false); err != nil || s.elsewhere != c.elsewhere || s.partial != c.partial {
			t.Errorf("%s tells: elsewhere %v, partial %v, error %v; want %v and %v", c.name, s.elsewhere, s.partial, err, c.elsewhere, c.partial)
		}
	}
}

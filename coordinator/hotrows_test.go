package coordinator

import (
	"slices"
	"testing"

	"github.com/kith-io/kith/node"
)

// rowOf returns a row that no other stamp has.
func rowOf(stamp uint64) (history []node.HistoryItem, excluded []uint32) {
	for i := range uint32(stamp % 7) {
		history = append(history, node.HistoryItem{Item: uint32(stamp)*10 + i, Partition: i, Weight: float32(stamp) + 0.5})
	}
	return history, []uint32{uint32(stamp), uint32(stamp) + 1}
}

// TestHotRowsAreBounded fills them far beyond their bound. Each row is found as it was put or not at all, and the one that is asked for again and again stays.
func TestHotRowsAreBounded(t *testing.T) {
	const bytes = 1 << 20
	h := newHotRows(bytes)
	check := func(stamp uint64) bool {
		t.Helper()
		history, excluded, ok := h.get(stamp, 1)
		wantHistory, wantExcluded := rowOf(stamp)
		if ok && (!slices.Equal(history, wantHistory) || !slices.Equal(excluded, wantExcluded)) {
			t.Fatalf("row %d is %v without %v, want %v without %v", stamp, history, excluded, wantHistory, wantExcluded)
		}
		return ok
	}
	put := func(stamp uint64) {
		history, excluded := rowOf(stamp)
		h.put(stamp, 1, history, excluded)
	}
	const hot, all = 5, 100_000
	put(hot)
	for stamp := uint64(10); stamp < all; stamp++ {
		put(stamp)
		if !check(stamp) || !check(hot) {
			t.Fatalf("row %d or that of all is lost", stamp)
		}
	}
	words, kept := 0, 0
	for i := range h.shards {
		for _, g := range []*rowGeneration{&h.shards[i].young, &h.shards[i].old} {
			words += len(g.words) + rowIndexWords*len(g.at)
		}
	}
	for stamp := uint64(10); stamp < all; stamp++ {
		if check(stamp) {
			kept++
		}
	}
	if 4*words > bytes || 4*words < bytes/2 || kept < bytes/4/50 {
		t.Errorf("%d rows in %d bytes, want them to take up to %d", kept, 4*words, bytes)
	}
}

// TestHotRowsOfVersions: a row is of one version, the last that it was put for, and a long one is not kept.
func TestHotRowsOfVersions(t *testing.T) {
	h := newHotRows(1 << 20)
	const large = 3<<32 | 4
	for _, version := range []uint64{1, 2, large} {
		h.put(1, version, []node.HistoryItem{{Item: uint32(version)}}, nil)
		if history, _, ok := h.get(1, version); !ok || history[0].Item != uint32(version) {
			t.Errorf("version %d has %v, %v", version, history, ok)
		}
		for _, other := range []uint64{3, 4, version - 1} {
			if _, _, ok := h.get(1, other); ok {
				t.Errorf("version %d has the row of %d", other, version)
			}
		}
	}
	h.put(2, 1, make([]node.HistoryItem, 1000), nil)
	if _, _, ok := h.get(2, 1); ok {
		t.Error("a row that takes all of the room is kept")
	}
	newHotRows(0).put(1, 1, nil, nil)
}

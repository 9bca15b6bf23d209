package store

import (
	"fmt"
	"testing"

	"github.com/kith-io/kith/fusion"
)

// TestCacheHoldsBlocks: the tables in memory of a store that is being filled leave the blocks of its files their room in the cache.
func TestCacheHoldsBlocks(t *testing.T) {
	if testing.Short() {
		t.Skip("fills some tables")
	}
	cache := NewCache(4<<20, 1)
	defer cache.Unref()
	s, err := Open(Options{Dir: t.TempDir(), Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const users = 2000
	index := uint64(0)
	for n := 0; s.cur.db.Metrics().Flush.Count < 4; n += users {
		events := make([]fusion.Event, users)
		for i := range events {
			events[i] = event(fmt.Sprint("user", i), fmt.Sprintf("%032d", n+i), fmt.Sprint("item", i%100), int64(n+i+1))
		}
		index++
		if _, err := s.Apply(index, EncodeBatch(nil, events)); err != nil {
			t.Fatal(err)
		}
	}
	m := s.cur.db.Metrics()
	if rate := float64(m.BlockCache.Hits) / float64(m.BlockCache.Hits+m.BlockCache.Misses); m.BlockCache.Size < 1<<20 || rate < 0.8 {
		t.Errorf("the cache holds %d bytes, and %.0f %% of looks into it found their block; want most", m.BlockCache.Size, 100*rate)
	}
}

package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTopFalls lowers counts of items and compares what is kept with all counts in order, wherever keeps says that no item outside can come in.
func TestTopFalls(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, items := range []int{topSize / 2, topSize + 200} {
		counts := map[string]uint64{}
		fresh := func() *top {
			x := newTop()
			for i := range items {
				if key := fmt.Sprintf("i%04d", i); counts[key] > 0 {
					x.set(key, counts[key])
				}
			}
			return x
		}
		for i := range items {
			counts[fmt.Sprintf("i%04d", i)] = 1 + rng.Uint64N(500)
		}
		x, kept, anew := fresh(), 0, 0
		for range 300 {
			changed := map[string]uint64{}
			for range 1 + rng.IntN(3) {
				key := fmt.Sprintf("i%04d", rng.IntN(items))
				changed[key] = counts[key] - rng.Uint64N(min(3, counts[key]+1))
			}
			keeps := x.keeps(changed)
			for key, n := range changed {
				if counts[key] = n; keeps && n > 0 {
					x.set(key, n)
				} else if keeps {
					x.remove(key)
				}
			}
			want := fresh()
			if !keeps {
				x, anew = want, anew+1
				continue
			}
			kept++
			if !slices.Equal(want.first(), x.first()) {
				t.Fatalf("%d items, after %v: got %v, want %v", items, changed, x.first(), want.first())
			}
		}
		if kept == 0 || items > topSize && anew == 0 {
			t.Errorf("%d items: kept %d times, counted anew %d times", items, kept, anew)
		}
	}
}

package similarity

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kith-io/kith/source/synthetic"
)

// BenchmarkTranspose turns matrices that do not fit into the caches: of -update.kind at -update.scale, or a small one.
func BenchmarkTranspose(b *testing.B) {
	r := syntheticRows(40_000, 40_000, 20, 20, false)
	if *updateScale > 0 {
		m, err := synthetic.DrawMatrix(b.Context(), *updateKind, *updateScale, 1)
		if err != nil {
			b.Fatal(err)
		}
		r = (&Rows{NumItems: m.NumItems, Start: m.Start, Item: m.Item, Weight: m.Weight}).ByPopularity()
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.transpose(threads)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*len(r.Item)), "ns/entry")
		})
	}
}

// TestColumnsInBuckets writes columns in buckets, with some entries at a time, as they are written in no order.
func TestColumnsInBuckets(t *testing.T) {
	for _, ones := range []bool{true, false} {
		r := syntheticRows(20_000, 40_009, 20, 20, ones)
		want := r.transpose(1)
		buckets := columnBuckets(want.Start)
		if buckets == nil {
			t.Fatalf("%d entries need no buckets, so this tests nothing", len(r.Item))
		}
		plain := columnWriter{users: make([]uint32, len(r.Item))}
		ordered := columnWriter{users: make([]uint32, len(r.Item)), bucket: buckets, most: 12_345}
		for _, w := range []*columnWriter{&plain, &ordered} {
			w.next = slices.Clone(want.Start[:r.NumItems])
			if !ones {
				w.weights = make([]float32, len(r.Item))
			}
			w.write(r, 0, 7_000, 0)
			w.write(r, 7_000, r.NumUsers(), 7_000)
			if !slices.Equal(w.users, want.Item) || !slices.Equal(w.weights, want.Weight) || !slices.Equal(w.next, want.Start[1:]) {
				t.Fatalf("ones %v, buckets %v: columns differ from those of a transposition", ones, w.bucket != nil)
			}
		}
	}
}

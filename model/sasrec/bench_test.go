package sasrec

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// BenchmarkTrain is one iteration over 2,000 users of 9 items each, of 2,000: about the lengths of Amazon Beauty.
func BenchmarkTrain(b *testing.B) {
	const users, items, length = 2000, 2000, 9
	rng := rand.New(rand.NewPCG(1, 1))
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	var times []int64
	for range users {
		row := map[uint32]bool{}
		for len(row) < length {
			row[uint32(rng.IntN(items))] = true
		}
		var ids []uint32
		for id := range row {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		rows.Item = append(rows.Item, ids...)
		for range ids {
			times = append(times, rng.Int64N(1000))
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	s, err := model.NewSettings(Kind.Parameters, map[string]float64{"iterations": 1})
	if err != nil {
		b.Fatal(err)
	}
	data := train.Split(rows, times, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := train.Run(b.Context(), Kind, s, data, train.Options{Workers: 1, Threads: 2}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(users*length), "ns/event")
}

package nais

import (
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// BenchmarkTrain is one iteration over 300 users of about 80 items each, of 1,600: about the density of MovieLens 100K.
func BenchmarkTrain(b *testing.B) {
	const users, items = 300, 1600
	rng := rand.New(rand.NewPCG(1, 1))
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	for range users {
		for id := range uint32(items) {
			if rng.IntN(items) < 80 {
				rows.Item = append(rows.Item, id)
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	s, err := model.NewSettings(Kind.Parameters, map[string]float64{"iterations": 1})
	if err != nil {
		b.Fatal(err)
	}
	data := train.Split(rows, nil, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := train.Run(b.Context(), Kind, s, data, train.Options{Workers: 1, Threads: 2}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows.Item)), "ns/event")
}

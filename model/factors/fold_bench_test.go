package factors

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/datatest"
)

// BenchmarkFoldBPR reports, for MovieLens 100K with a fifth of the ratings held back, the NDCG@10 of the factors that users have after training, and of those that are folded in
// from the same histories, for one worker and for three.
func BenchmarkFoldBPR(b *testing.B) {
	table, _, err := fusion.ReadTable(b.Context(), []fusion.Mapping{{Path: datatest.File(b, "ml-100k/u.data")}}, fusion.DefaultWeights(), 0, nil)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	rows := &similarity.Rows{NumItems: len(table.Items), Start: []int64{0}}
	test := make([][]uint32, len(table.Users))
	for u := range table.Users {
		for p := table.Start[u]; p < table.Start[u+1]; p++ {
			if rng.IntN(5) == 0 {
				test[u] = append(test[u], table.Item[p])
			} else {
				rows.Item = append(rows.Item, table.Item[p])
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	for _, workers := range []int{1, 3} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var made []*bprWorker
			k := *BPR
			k.NewWorker = func(d *train.Data, s model.Settings, _ int) (train.Worker, error) {
				w, err := newBPRWorker(d, s)
				made = append(made, w)
				return w, err
			}
			s, err := model.NewSettings(k.Parameters, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				made = nil
				file, err := train.Run(b.Context(), &k, s, train.Split(rows, nil, workers), train.Options{Threads: workers})
				if err != nil {
					b.Fatal(err)
				}
				m, err := ReadBPR(file)
				if err != nil {
					b.Fatal(err)
				}
				var trained, folded float64
				n := 0
				for _, w := range made {
					first := w.Shape.FirstUser[w.Worker]
					for u := range w.Rows.NumUsers() {
						right := test[first+u]
						if len(right) == 0 {
							continue
						}
						q := model.Query{User: first + u, Items: rows.Item[rows.Start[first+u]:rows.Start[first+u+1]], N: 10}
						trained += ndcg(m.answer(&q, w.users[u*w.width:][:w.width], false), right)
						folded += ndcg(m.answer(&q, m.fold(q.Items), false), right)
						n++
					}
				}
				b.ReportMetric(trained/float64(n), "ndcg-trained")
				b.ReportMetric(folded/float64(n), "ndcg-folded")
			}
		})
	}
}

func ndcg(answer []model.Scored, right []uint32) float64 {
	var sum, best float64
	for i, s := range answer {
		if slices.Contains(right, s.Item) {
			sum += 1 / math.Log2(float64(i+2))
		}
		if i < len(right) {
			best += 1 / math.Log2(float64(i+2))
		}
	}
	return sum / best
}

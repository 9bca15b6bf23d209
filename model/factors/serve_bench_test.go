package factors

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/model"
)

// BenchmarkRecommend answers from 500,000 items of 64 factors, for a history of 100 items.
func BenchmarkRecommend(b *testing.B) {
	const items, k = 500_000, 64
	rng := rand.New(rand.NewPCG(1, 1))
	f := &file{kind: fileALS, users: 1, factors: k, settings: [fileSettings]float64{1, 0.1, 1, 0}, counts: make([]uint32, items)}
	f.items, f.gram = make([]float32, items*k), make([]float32, k*k)
	for i := range f.items {
		f.items[i] = float32(rng.NormFloat64() / k)
	}
	for i := range f.counts {
		f.counts[i] = 1
	}
	gram := make([]float64, k*k)
	addGram(gram, f.items, k, 0, 1)
	mirror(gram, k)
	for i, x := range gram {
		f.gram[i] = float32(0.1 * x)
	}
	var buf bytes.Buffer
	if err := f.write(&buf); err != nil {
		b.Fatal(err)
	}
	m, err := ReadALS(buf.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	q := model.Query{User: -1, N: 20}
	for i := range uint32(100) {
		q.Items = append(q.Items, i*i)
	}
	for b.Loop() {
		if _, err := m.Recommend(q); err != nil {
			b.Fatal(err)
		}
	}
}

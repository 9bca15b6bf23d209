package modeltest

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Train trains a kind with some of its parameters given on rows that are divided among workers, and returns the file.
func Train(ctx context.Context, k *train.Kind, given map[string]float64, rows *similarity.Rows, workers, threads int) ([]byte, error) {
	s, err := model.NewSettings(k.Parameters, given)
	if err != nil {
		return nil, err
	}
	return train.Run(ctx, k, s, train.Split(rows, nil, workers), train.Options{Workers: workers, Threads: threads})
}

// OfKind returns what makes models of a kind for Run, with two workers.
func OfKind(ctx context.Context, k *train.Kind, given map[string]float64) NewModel {
	return func(rows *similarity.Rows) (Recommender, error) {
		file, err := Train(ctx, k, given, rows, 2, 2)
		if err != nil {
			return nil, err
		}
		return k.Read(file)
	}
}

// RunSameBytes tests that a kind makes the same file, bit for bit, of any number of workers and threads.
func RunSameBytes(t *testing.T, k *train.Kind, given map[string]float64) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		want, err := Train(t.Context(), k, given, rows, 1, 1)
		if err != nil {
			t.Fatalf("train with one worker: %v", err)
		}
		workers, threads := rapid.IntRange(1, 5).Draw(t, "workers"), rapid.IntRange(1, 9).Draw(t, "threads")
		got, err := Train(t.Context(), k, given, rows, workers, threads)
		if err != nil {
			t.Fatalf("train with %d workers: %v", workers, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d workers of %d threads make another file than one", workers, threads)
		}
	})
}

// RunDamaged tests that a kind reads no file that was cut or extended, and that what it reads of one with changed bytes answers without a panic, and no rating is NaN. Each pair of
// changed bytes is drawn by a seed of its own.
func RunDamaged(t *testing.T, k *train.Kind, given map[string]float64) {
	rows, _ := Blocks()
	file, err := Train(t.Context(), k, given, rows, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(file); n += 1 + n/64 {
		if _, err := k.Read(file[:n:n]); err == nil {
			t.Errorf("reads a file cut at %d of %d bytes", n, len(file))
		}
	}
	if _, err := k.Read(append(slices.Clone(file), 0)); err == nil {
		t.Error("reads a file with a byte more")
	}
	for seed := range uint64(2000) {
		Ask(t, k, Damage(file, seed))
	}
}

// Damage returns a file with two bytes changed, more often at its beginning than elsewhere.
func Damage(file []byte, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := slices.Clone(file)
	for range 2 {
		within := len(b)
		if r.IntN(2) == 0 {
			within = min(within, 256)
		}
		b[r.IntN(within)] ^= byte(1 + r.IntN(255))
	}
	return b
}

// Ask reads a file, which may be damaged, and asks the model, if there is one: a fuzz test calls it. A panic is what it finds, and an answer that is none.
func Ask(t testing.TB, k *train.Kind, file []byte) {
	t.Helper()
	m, err := k.Read(file)
	if err != nil {
		return
	}
	for _, q := range []model.Query{
		{User: -1, N: 5},
		{User: -1, N: 5, Items: []uint32{0}},
		{User: -1, N: 5, Items: []uint32{0, 2}, Ratings: []float32{float32(math.NaN()), 3}},
		{User: -1, N: 1000, Items: []uint32{0, 1, 5}, WithSeen: true},
	} {
		// Whether the catalog has these items is not known here, and an error as good an answer.
		if _, err := m.Recommend(q); err != nil {
			continue
		}
		if e, ok := m.(Explainer); ok {
			_, _ = e.Explain(q, 1)
		}
		if r, ok := m.(train.Rater); ok {
			items := []uint32{0, 1, 1 << 31}
			ratings := make([]float64, len(items))
			if err := r.Rate(q, items, ratings); err == nil && slices.ContainsFunc(ratings, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
				t.Errorf("ratings %v for %v", ratings, q.Items)
			}
		}
	}
}

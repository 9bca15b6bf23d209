package linear_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/ease"
	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

var _ modeltest.Explainer = (*linear.Model)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gramKind is a kind that makes the Gram matrix, and gives it to check.
func gramKind(limits linear.Limits, check func(plan linear.Plan, g []float64)) *train.Kind {
	return &train.Kind{
		Name: "gram",
		NewDriver: func(shape train.Shape, _ model.Settings) (train.Driver, error) {
			return linear.NewDriver(shape, limits, "gram", "gather"), nil
		},
		NewWorker: func(data *train.Data, _ model.Settings, threads int) (train.Worker, error) {
			return &gramWorker{linear.NewShard(data, threads, false), check}, nil
		},
		Write: ease.Kind.Write, // of a matrix without entries
	}
}

type gramWorker struct {
	linear.Shard
	check func(plan linear.Plan, g []float64)
}

func (w *gramWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	switch step.Name {
	case linear.StepCount:
		return w.Count(), w.PutRows(peers)
	case "gram":
		if err := w.TakePlan(step.Input); err != nil {
			return nil, err
		}
		return nil, w.Gram(ctx, peers)
	}
	if w.Data.Worker > 0 {
		return nil, w.PutMatrix(peers, nil)
	}
	g, err := w.Gathered(ctx, peers)
	w.check(w.Plan, g)
	return nil, errors.Join(err, w.PutMatrix(peers, nil))
}

func TestGram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := &similarity.Rows{NumItems: rapid.IntRange(0, 140).Draw(t, "items"), Start: []int64{0}}
		weighed := rapid.Bool().Draw(t, "weighed")
		for range rapid.IntRange(0, 12).Draw(t, "users") {
			step := rapid.IntRange(1, 9).Draw(t, "step")
			for id := step; id < rows.NumItems; id += step {
				rows.Item = append(rows.Item, uint32(id))
				if weighed {
					rows.Weight = append(rows.Weight, float32(1+id%4))
				}
			}
			rows.Start = append(rows.Start, int64(len(rows.Item)))
		}
		keep := rapid.IntRange(0, 150).Draw(t, "keep")
		workers := rapid.IntRange(1, 4).Draw(t, "workers")
		called := false
		k := gramKind(linear.Limits{Items: keep, Even: rapid.Bool().Draw(t, "even")}, func(plan linear.Plan, g []float64) {
			called = true
			n := len(plan.Kept)
			if want := rows.NumItems; n != want && (keep == 0 || n != min(keep, want)) {
				t.Fatalf("%d items are kept of %d, want %d", n, want, keep)
			}
			want := map[[2]uint32]float64{}
			for u := range rows.NumUsers() {
				for a := rows.Start[u]; a < rows.Start[u+1]; a++ {
					for b := rows.Start[u]; b < rows.Start[u+1]; b++ {
						x := 1.0
						if weighed {
							x = float64(rows.Weight[a] * rows.Weight[b])
						}
						want[[2]uint32{rows.Item[a], rows.Item[b]}] += x
					}
				}
			}
			for i := range n {
				for j := range n {
					if got, want := g[i*n+j], want[[2]uint32{plan.Kept[i], plan.Kept[j]}]; got != want {
						t.Fatalf("entry of items %d and %d is %v, want %v", plan.Kept[i], plan.Kept[j], got, want)
					}
				}
			}
			least := ^uint64(0)
			kept := map[uint32]bool{}
			for _, id := range plan.Kept {
				least = min(least, plan.Counts[id])
				kept[id] = true
			}
			for id, users := range plan.Counts {
				if !kept[uint32(id)] && users > least {
					t.Fatalf("item %d of %d users is not kept, and one of %d is", id, users, least)
				}
			}
		})
		s, err := model.NewSettings(ease.Kind.Parameters, nil)
		if err != nil {
			t.Fatal(err)
		}
		data := train.Split(rows, nil, workers)
		for _, d := range data { // where all weights are one, a worker of a build has none
			r := d.Rows
			if weighed && !slices.ContainsFunc(r.Weight[r.Start[0]:r.Start[r.NumUsers()]], func(x float32) bool { return x != 1 }) {
				r.Weight = nil
			}
		}
		if _, err := train.Run(t.Context(), k, s, data, train.Options{Threads: workers * 2}); err != nil {
			t.Fatal(err)
		}
		if !called {
			t.Fatal("there is no matrix")
		}
	})
}

// TestOwn: with the same work for all items each worker owns as many; where one item has nearly all of the work, its worker has no other work.
func TestOwn(t *testing.T) {
	rows, _ := modeltest.Blocks()
	got := ""
	for _, even := range []bool{true, false} {
		k := gramKind(linear.Limits{Even: even}, func(plan linear.Plan, _ []float64) { got += fmt.Sprint(plan.Ends) })
		s, err := model.NewSettings(ease.Kind.Parameters, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := train.Run(t.Context(), k, s, train.Split(rows, nil, 4), train.Options{}); err != nil {
			t.Fatal(err)
		}
		rows = &similarity.Rows{NumItems: 4, Start: []int64{0}}
		for u := range uint32(9) {
			rows.Item = append(rows.Item, 0)
			if u == 0 {
				rows.Item = append(rows.Item, 2, 3)
			}
			rows.Start = append(rows.Start, int64(len(rows.Item)))
		}
	}
	if want := "[12 24 36 48][0 0 2 4]"; got != want {
		t.Errorf("workers own items up to %s, want %s", got, want)
	}
}

func TestTooManyItems(t *testing.T) {
	rows, _ := modeltest.Blocks()
	_, err := modeltest.Train(t.Context(), ease.Kind, map[string]float64{"max-items": 47}, rows, 1, 1)
	if err == nil || !strings.Contains(err.Error(), "48 items") || !strings.Contains(err.Error(), "items=47") || !strings.Contains(err.Error(), "max-items=48") {
		t.Errorf("error %v, want one that names both remedies", err)
	}
	file, err := modeltest.Train(t.Context(), ease.Kind, map[string]float64{"max-items": 47, "items": 40}, rows, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := linear.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	order := popularity.New(rows).Order()
	for k, id := range order {
		if n := len(m.Row(id)); (k < 40) != (n > 0) {
			t.Errorf("item %d, place %d by popularity, has %d weights", id, k, n)
		}
		for _, to := range m.Row(id) {
			if slices.Contains(order[40:], to.ID) {
				t.Errorf("item %d has a weight to item %d, which is not kept", id, to.ID)
			}
		}
	}
}

// FuzzRead: no file makes it panic, nor a query to what it reads.
func FuzzRead(f *testing.F) {
	rows, _ := modeltest.Blocks()
	file, err := modeltest.Train(f.Context(), ease.Kind, map[string]float64{"items": 6}, rows, 1, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:40])
	f.Add(modeltest.Damage(file, 1))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := linear.Read(file); err != nil && !errors.Is(err, linear.ErrFile) {
			t.Errorf("error %v does not match ErrFile", err)
		}
		modeltest.Ask(t, ease.Kind, file)
	})
}

// BenchmarkRecommend asks for a history of 100 items, of a matrix with all weights and of one with 100 in a row.
func BenchmarkRecommend(b *testing.B) {
	const items, users = 2000, 1000
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	random := rand.New(rand.NewPCG(1, 1))
	for range users {
		first := random.IntN(20)
		for id := first; id < items; id += 1 + random.IntN(40) {
			rows.Item = append(rows.Item, uint32(id))
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	for _, keep := range []float64{0, 100} {
		b.Run(fmt.Sprintf("keep=%v", keep), func(b *testing.B) {
			file, err := modeltest.Train(b.Context(), ease.Kind, map[string]float64{"keep": keep}, rows, 1, 2)
			if err != nil {
				b.Fatal(err)
			}
			m, err := linear.Read(file)
			if err != nil {
				b.Fatal(err)
			}
			q := model.Query{User: 0, Items: rows.Item[:rows.Start[1]], N: 10}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Recommend(q); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(q.Items)), "history")
		})
	}
}

// earlier are peers of a program that had rows without the leading number, under another name.
type earlier struct{ train.Peers }

func (p earlier) Put(name string, b []byte) error {
	if name == "rows" {
		name, b = "users", b[1:]
	}
	return p.Peers.Put(name, b)
}

func (p earlier) Get(ctx context.Context, worker int, name string) ([]byte, error) {
	if name != "rows" {
		return p.Peers.Get(ctx, worker, name)
	}
	b, err := p.Peers.Get(ctx, worker, "users")
	if err != nil {
		return nil, err
	}
	return append([]byte{0}, b...), nil // so that the reader of today reads what that program could: rows of ones
}

type mixedWorker struct {
	train.Worker
	earlier bool
}

func (w mixedWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	if w.earlier {
		peers = earlier{peers}
	}
	return w.Worker.Do(ctx, step, peers)
}

// TestMixedPrograms: workers of this program and of an earlier one end with an error, rather than take the rows of the others for what they are not.
func TestMixedPrograms(t *testing.T) {
	rows, _ := modeltest.Blocks()
	for old := range 2 {
		k := *ease.Kind
		k.NewWorker = func(data *train.Data, s model.Settings, threads int) (train.Worker, error) {
			w, err := ease.Kind.NewWorker(data, s, threads)
			return mixedWorker{w, data.Worker == old}, err
		}
		if _, err := modeltest.Train(t.Context(), &k, nil, rows, 2, 2); err == nil || !strings.Contains(err.Error(), "has put nothing under") {
			t.Errorf("worker %d of an earlier program: error %v, want one that says what is missing", old, err)
		}
	}
}

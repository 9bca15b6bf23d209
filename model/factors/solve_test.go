package factors

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// newSide is what rows are solved from, given the factors of the other side.
func newSide(o objective, factors int, other []float32) *side {
	w := padded(factors)
	s := &side{objective: o, width: w, other: other, gram: make([]float32, w*w), all: len(other) / w}
	gram := make([]float64, w*w)
	for part := range 3 {
		addGram(gram, other, w, part, 3)
	}
	mirror(gram, w)
	for i, x := range gram {
		s.gram[i] = float32(o.unobserved * x)
	}
	return s
}

// TestHalfStep solves two items by hand. Users 0 and 1 have factors (1, 0) and (1, 1); user 0 has item 0, user 1 has both. With
// c = 2 for entries, 1 for others, and λ = 1:
//
//	item 0: A = (2 1; 1 1) + (2 1; 1 1) + I = (5 2; 2 3), b = 2·(2, 1), y = (8, 2)/11
//	item 1: A = (2 1; 1 1) + (1 1; 1 1) + I = (4 2; 2 3), b = 2·(1, 1), y = (2, 4)/8
//
// Their objectives are 2·(1 - 8/11)² + 2·(1 - 10/11)² + 68/121 and 1·(1/4)² + 2·(1 - 3/4)² + 5/16.
func TestHalfStep(t *testing.T) {
	users := make([]float32, 2*lanes)
	users[0], users[lanes], users[lanes+1] = 1, 1, 1
	s := newSolver(newSide(objective{alpha: 1, unobserved: 1, regularization: 1}, 2, users))
	for _, c := range []struct {
		ids       []uint32
		want      [2]float64
		objective float64
	}{
		{[]uint32{0, 1}, [2]float64{8. / 11, 2. / 11}, 2*9./121 + 2*1./121 + 68./121},
		{[]uint32{1}, [2]float64{0.25, 0.5}, 0.25*0.25 + 2*0.25*0.25 + 0.3125},
	} {
		for name, solve := range map[string]func(x []float32) float64{
			"gradients": func(x []float32) float64 { return s.gradients(x, c.ids, nil, 2) },
			"cholesky": func(x []float32) float64 {
				loss, ok := s.cholesky(x, c.ids, nil)
				if !ok {
					t.Fatal("not positive definite")
				}
				return loss
			},
		} {
			x := make([]float32, lanes)
			loss := solve(x)
			if math.Abs(float64(x[0])-c.want[0]) > 1e-6 || math.Abs(float64(x[1])-c.want[1]) > 1e-6 {
				t.Errorf("%s of an item of users %v: %v, want %v", name, c.ids, x[:2], c.want)
			}
			if math.Abs(loss-c.objective) > 1e-5 {
				t.Errorf("%s of an item of users %v: objective %v, want %v", name, c.ids, loss, c.objective)
			}
		}
	}
}

// TestObjective compares the objective that solving gives for free with its definition, at every number of steps, and for all kinds of settings; and checks that
// steps arrive at what Cholesky finds.
func TestObjective(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const factors, rows = 11, 150 // more rows than a tile
	w := padded(factors)
	other := make([]float32, rows*w)
	for i := range other {
		if i%w < factors {
			other[i] = float32(rng.NormFloat64()) / 3
		}
	}
	for _, o := range []objective{
		{alpha: 2, unobserved: 1, regularization: 0.5, weights: linear},
		{alpha: 1, unobserved: 0.1, regularization: 0.01, scaling: 1, weights: logarithmic},
		{alpha: 5, unobserved: 0, regularization: 0.1, scaling: 0.5, weights: ones},
	} {
		s := newSolver(newSide(o, factors, other))
		for _, n := range []int{1, 7, 140} {
			var ids []uint32
			var weights []float32
			for _, id := range rng.Perm(rows)[:n] {
				ids, weights = append(ids, uint32(id)), append(weights, float32(rng.IntN(5)))
			}
			direct := func(x []float32) float64 {
				extra := map[uint32]float64{}
				for i, id := range ids {
					extra[id] = float64(o.extra(weights[i]))
				}
				sum := o.penalty(n, rows) * float64(dot(x, x))
				for id := range uint32(rows) {
					p := float64(dot(x, other[int(id)*w:][:w]))
					if e, stored := extra[id]; stored {
						sum += (o.unobserved + e) * (1 - p) * (1 - p)
					} else {
						sum += o.unobserved * p * p
					}
				}
				return sum
			}
			exact := make([]float32, w)
			loss, ok := s.cholesky(exact, ids, weights)
			if want := direct(exact); !ok || math.Abs(loss-want) > 1e-4*(1+want) {
				t.Errorf("%+v, %d entries: objective of Cholesky %v, want %v", o, n, loss, want)
			}
			x := make([]float32, w)
			for j := range factors {
				x[j] = float32(rng.NormFloat64())
			}
			before := direct(x)
			for steps := range 4 {
				y := append([]float32{}, x...)
				loss := s.gradients(y, ids, weights, steps)
				want := direct(y)
				if math.Abs(loss-want) > 1e-4*(1+want) {
					t.Errorf("%+v, %d entries, %d steps: objective %v, want %v", o, n, steps, loss, want)
				}
				if want > before*(1+1e-6) {
					t.Errorf("%+v, %d entries: step %d brings the objective from %v to %v", o, n, steps, before, want)
				}
				before = want
			}
			s.gradients(x, ids, weights, 60)
			for j := range x {
				if math.Abs(float64(x[j]-exact[j])) > 2e-3 {
					t.Errorf("%+v, %d entries: factor %d is %v by gradients, %v by Cholesky", o, n, j, x[j], exact[j])
				}
			}
		}
	}
}

// TestNoAllocation: solving a row takes no memory once the solver has seen one as long.
func TestNoAllocation(t *testing.T) {
	other := make([]float32, 50*16)
	for i := range other {
		other[i] = float32(i%7) / 7
	}
	s := newSolver(newSide(objective{alpha: 1, unobserved: 1, regularization: 1}, 16, other))
	x, ids := make([]float32, 16), numbers[:40]
	s.gradients(x, ids, nil, 3)
	if n := testing.AllocsPerRun(20, func() { s.gradients(x, ids, nil, 3) }); n > 0 {
		t.Errorf("%v allocations for each row", n)
	}
}

// TestDealt: workers share the work, however few items most of the entries are of.
func TestDealt(t *testing.T) {
	const users, items, workers = 300, 90, 3
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	for u := range users {
		for i := range items {
			if u%(i+1) == 0 { // item i has users/(i+1) users
				rows.Item = append(rows.Item, uint32(i))
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	var made []*alsWorker
	k := *ALS
	k.NewWorker = func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
		w, err := newALSWorker(d, s, threads)
		made = append(made, w)
		return w, err
	}
	s, err := model.NewSettings(k.Parameters, map[string]float64{"factors": 4, "iterations": 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Run(t.Context(), &k, s, train.Split(rows, nil, workers), train.Options{Threads: workers}); err != nil {
		t.Fatal(err)
	}
	var sum int64
	const halves = 5 // with the start
	for i, w := range made {
		sum += w.solved
		if limit := int64(halves * len(rows.Item) / 2); w.solved > limit {
			t.Errorf("worker %d of %d has solved %d entries, want at most half of all, %d", i, workers, w.solved, limit)
		}
	}
	if want := int64(halves * len(rows.Item)); sum != want {
		t.Errorf("%d entries were solved, want %d", sum, want)
	}
}

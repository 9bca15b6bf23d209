package factors_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/factors"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func trained(t testing.TB, k *train.Kind, rows *similarity.Rows, workers, threads int, given map[string]float64) []byte {
	t.Helper()
	s, err := model.NewSettings(k.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	file, err := train.Run(t.Context(), k, s, train.Split(rows, nil, workers), train.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func newModel(k *train.Kind, workers int, given map[string]float64) modeltest.NewModel {
	return func(rows *similarity.Rows) (modeltest.Recommender, error) {
		s, err := model.NewSettings(k.Parameters, given)
		if err != nil {
			return nil, err
		}
		file, err := train.Run(context.Background(), k, s, train.Split(rows, nil, workers), train.Options{Threads: 2})
		if err != nil {
			return nil, err
		}
		return k.Read(file)
	}
}

func TestALSContract(t *testing.T) {
	for name, given := range map[string]map[string]float64{
		"default":  {"factors": 4},
		"hu 2008":  {"factors": 4, "unobserved": 1, "scaling": 0, "regularization": 0.1, "alpha": 10, "weights": 2, "solver": 1},
		"weighted": {"factors": 5, "weights": 1, "cg-steps": 1, "regularization": 0.1},
	} {
		workers := 1
		if name == "default" {
			workers = 3
		}
		t.Run(name, func(t *testing.T) { modeltest.Run(t, newModel(factors.ALS, workers, given)) })
	}
}

// TestALSWorkers: one worker and three give the same objective after each iteration, but for rounding, and it never rises.
func TestALSWorkers(t *testing.T) {
	rows, _ := modeltest.Blocks()
	for solver := range 2 {
		given := map[string]float64{"factors": 12, "solver": float64(solver), "cg-steps": 4, "iterations": 8}
		read := func(workers, threads int) []float64 {
			m, err := factors.ReadALS(trained(t, factors.ALS, rows, workers, threads, given))
			if err != nil {
				t.Fatal(err)
			}
			return m.Losses()
		}
		one, three := read(1, 2), read(3, 3)
		if len(one) != 8 {
			t.Fatalf("%d losses, want 8", len(one))
		}
		for i := range one {
			if math.Abs(one[i]-three[i]) > 1e-4*one[i] {
				t.Errorf("solver %v, iteration %d: objective %v of one worker, %v of three", solver, i+1, one[i], three[i])
			}
			if i > 0 && one[i] > one[i-1]*(1+1e-5) {
				t.Errorf("solver %v, iteration %d: objective rises from %v to %v", solver, i+1, one[i-1], one[i])
			}
		}
	}
}

// TestALSThreads: the bits depend on the seed, and not on the number of threads.
func TestALSThreads(t *testing.T) {
	few := func(seed float64) map[string]float64 { return map[string]float64{"iterations": 3, "seed": seed} }
	rows, _ := modeltest.Blocks()
	for _, workers := range []int{1, 2} {
		one := trained(t, factors.ALS, rows, workers, 1, few(1))
		if !bytes.Equal(one, trained(t, factors.ALS, rows, workers, 6, few(1))) {
			t.Errorf("%d workers: another model with other numbers of threads", workers)
		}
		if bytes.Equal(one, trained(t, factors.ALS, rows, workers, 1, few(2))) {
			t.Errorf("%d workers: the same model with another seed", workers)
		}
	}
}

// TestALSFold: what the user did a moment ago changes the answer, and more so with a larger weight.
func TestALSFold(t *testing.T) {
	rows, _ := modeltest.Blocks()
	m, err := factors.ReadALS(trained(t, factors.ALS, rows, 1, 2, map[string]float64{"factors": 4, "weights": 2}))
	if err != nil {
		t.Fatal(err)
	}
	score := func(q model.Query, item uint32) float64 {
		q.User, q.N = -1, rows.NumItems
		answer, err := m.Recommend(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range answer {
			if s.Item == item {
				return s.Score
			}
		}
		return math.NaN()
	}
	before := score(model.Query{Items: []uint32{0}}, 5) // of another taste
	after := score(model.Query{Items: []uint32{0, 1}}, 5)
	more := score(model.Query{Items: []uint32{0, 1}, Weights: []float32{1, 5}}, 5)
	if !(before < after && after < more) {
		t.Errorf("score of item 5 is %v, with item 1 %v, with more of it %v, want it to rise", before, after, more)
	}
}

// TestALSDiverges: settings that have no solution are an error that says what to do.
func TestALSDiverges(t *testing.T) {
	rows, _ := modeltest.Blocks()
	s, err := model.NewSettings(factors.ALS.Parameters, map[string]float64{"unobserved": 0, "regularization": 0, "solver": 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = train.Run(t.Context(), factors.ALS, s, train.Split(rows, nil, 1), train.Options{Threads: 1})
	if err == nil || !strings.Contains(err.Error(), "regularization above 0") {
		t.Errorf("error %v, want one that asks for a regularization above 0", err)
	}
}

func FuzzReadALS(f *testing.F) {
	rows, _ := modeltest.Blocks()
	file := trained(f, factors.ALS, rows, 1, 1, map[string]float64{"factors": 3, "iterations": 1})
	f.Add(file)
	f.Add(file[:len(file)-1])
	f.Add([]byte("kithfact"))
	nans := bytes.Clone(file)
	for i := 120; i+4 <= len(nans); i += 4 {
		binary.LittleEndian.PutUint32(nans[i:], math.Float32bits(float32(math.NaN())))
	}
	f.Add(nans)
	f.Fuzz(func(t *testing.T, b []byte) { checkRead(t, factors.ALS, b) })
}

// checkRead reads a file that may be damaged, and asks what comes of it.
func checkRead(t *testing.T, k *train.Kind, b []byte) {
	m, err := k.Read(b)
	if err != nil {
		return
	}
	q := model.Query{User: -1, Items: []uint32{0, 2}, N: 5}
	answer, err := m.Recommend(q)
	if err != nil {
		return
	}
	for _, s := range answer {
		if math.IsNaN(s.Score) || math.IsInf(s.Score, 0) {
			t.Errorf("score %v", s.Score)
		}
		if e, ok := m.(modeltest.Explainer); ok {
			if _, err := e.Explain(q, s.Item); err != nil {
				t.Error(err)
			}
		}
	}
}

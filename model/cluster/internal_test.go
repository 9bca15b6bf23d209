package cluster

import (
	"context"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
)

// TestLogOdds checks the z-score by hand: an item that 30 of 100 entries of a group have, and 10 of 300 of the others, with a prior of 4 of 40.
// (log(34/106) - log(14/326)) / sqrt(1/34 + 1/14) = 2.01076/0.31756.
func TestLogOdds(t *testing.T) {
	got := logOddsZ(30, 100, 10, 300, 4, 40)
	want := (math.Log(34.0/106) - math.Log(14.0/326)) / math.Sqrt(1.0/34+1.0/14)
	if math.Abs(got-want) > 1e-12 || math.Abs(want-6.3320) > 1e-3 {
		t.Errorf("z is %v, want %v", got, want)
	}
	if back := logOddsZ(10, 300, 30, 100, 4, 40); math.Abs(back+got) > 1e-12 {
		t.Errorf("of the others z is %v, want %v", back, -got)
	}
}

// TestSilhouette checks two groups on a line by hand: {0, 1} and {10, 12}.
func TestSilhouette(t *testing.T) {
	mean, of := silhouette([]float32{0, 1, 10, 12}, []float32{0.5, 11, 100}, 1)
	a, b := (10.0/11+9.0/10)/2, (7.5/9.5+9.5/11.5)/2
	if math.Abs(of[0]-a) > 1e-12 || math.Abs(of[1]-b) > 1e-12 || !math.IsNaN(of[2]) || math.Abs(mean-(a+b)/2) > 1e-12 {
		t.Errorf("silhouettes %v, mean %v; want %v, %v, NaN", of, mean, a, b)
	}
}

// spy notes the distances that each worker computes in the passes.
type spy struct {
	train.Worker
	distances *int64
}

func (s spy) Do(ctx context.Context, st train.Step, peers train.Peers) ([]byte, error) {
	said, err := s.Worker.Do(ctx, st, peers)
	if err == nil && st.Name == "cluster" {
		r, err := decodeReply(said)
		if err != nil {
			return nil, err
		}
		*s.distances += r.Distances
	}
	return said, err
}

// TestWorkIsShared: of three workers each computes about a third of the distances.
func TestWorkIsShared(t *testing.T) {
	rows, _ := modeltest.Blocks()
	s, err := model.NewSettings(Kind.Parameters, map[string]float64{"k": 12, "rank": 6})
	if err != nil {
		t.Fatal(err)
	}
	most := map[int]int64{}
	for _, workers := range []int{1, 3} {
		distances := make([]int64, workers)
		k := *Kind
		k.NewWorker = func(d *train.Data, s model.Settings, threads int) (train.Worker, error) {
			w, err := newWorker(d, s, threads)
			return spy{w, &distances[d.Worker]}, err
		}
		if _, err := train.Run(t.Context(), &k, s, train.Split(rows, nil, workers), train.Options{Threads: 1}); err != nil {
			t.Fatal(err)
		}
		for _, n := range distances {
			most[workers] = max(most[workers], n)
		}
	}
	// The distances between centers, which every worker computes, come on top of a third.
	if ratio := float64(most[3]) / float64(most[1]); ratio > 0.6 {
		t.Errorf("the busiest of three workers computes %.2f of what one does, want at most 0.6", ratio)
	}
}

// TestVectors compares the singular values and the vectors of items of the workers with a dense decomposition.
func TestVectors(t *testing.T) {
	rows, _ := modeltest.Blocks()
	const rank = 4
	s, err := model.NewSettings(Kind.Parameters, map[string]float64{"k": 4, "rank": rank, "power": 10, "discount": 0.5})
	if err != nil {
		t.Fatal(err)
	}
	var sigma []float64
	k := *Kind
	k.NewDriver = func(shape train.Shape, s model.Settings) (train.Driver, error) {
		d, err := newDriver(shape, s)
		return watched{d.(*driver), &sigma}, err
	}
	file, err := train.Run(t.Context(), &k, s, train.Split(rows, nil, 2), train.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	dense := mat.NewDense(rows.NumUsers(), rows.NumItems, nil)
	for u := range rows.NumUsers() {
		for _, id := range rows.Item[rows.Start[u]:rows.Start[u+1]] {
			dense.Set(u, int(id), float64(value(1, m.scale[id])))
		}
	}
	var svd mat.SVD
	if !svd.Factorize(dense, mat.SVDThin) {
		t.Fatal("no decomposition")
	}
	var v mat.Dense
	svd.VTo(&v)
	values := svd.Values(nil)
	for c := range rank {
		if math.Abs(sigma[c]-values[c]) > 1e-4*values[0] {
			t.Errorf("singular value %d is %v, want %v", c, sigma[c], values[c])
		}
	}
	// The four largest are of the four tastes and all equal, so that only the space of the vectors is determined: compare the projections on it.
	for i := range rows.NumItems {
		for j := range rows.NumItems {
			var got, want float64
			for c := range rank {
				got += float64(m.v[i*rank+c]) * float64(m.v[j*rank+c])
				want += v.At(i, c) * v.At(j, c)
			}
			if math.Abs(got-want) > 1e-3 {
				t.Fatalf("items %d and %d: projection %v, want %v", i, j, got, want)
			}
		}
	}
}

// watched is a driver whose singular values are noted.
type watched struct {
	*driver
	sigma *[]float64
}

func (w watched) Next(said [][]byte) (train.Step, bool, error) {
	st, done, err := w.driver.Next(said)
	*w.sigma = w.driver.sigma
	return st, done, err
}

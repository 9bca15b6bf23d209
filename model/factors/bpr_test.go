package factors

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func trainedBPR(rows *similarity.Rows, workers, threads int, given map[string]float64) ([]byte, error) {
	s, err := model.NewSettings(BPR.Parameters, given)
	if err != nil {
		return nil, err
	}
	return train.Run(context.Background(), BPR, s, train.Split(rows, nil, workers), train.Options{Threads: threads})
}

func TestBPRContract(t *testing.T) {
	for negatives, workers := range []int{3, 1} {
		t.Run(BPR.Parameters[4].Choices[negatives], func(t *testing.T) {
			given := map[string]float64{"factors": 8, "iterations": 30, "learning-rate": 0.1, "negatives": float64(negatives)}
			modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
				file, err := trainedBPR(rows, workers, 2, given)
				if err != nil {
					return nil, err
				}
				return ReadBPR(file)
			})
		})
	}
}

// TestBPRGradient compares a step with the gradient of the objective, taken numerically.
func TestBPRGradient(t *testing.T) {
	const factors, bias, h = 5, 5, 1e-4
	rng := rand.New(rand.NewPCG(5, 6))
	g := sgd{rate: 0.01, regularization: 0.3}
	for range 20 {
		var v [3][]float32 // user, item that is there, item that is not
		for i := range v {
			v[i] = make([]float32, lanes)
			for j := range factors + 1 {
				v[i][j] = float32(rng.NormFloat64())
			}
		}
		v[0][bias] = 1
		var at [3][]float64
		for i := range v {
			for _, x := range v[i] {
				at[i] = append(at[i], float64(x))
			}
		}
		objective := func() float64 {
			margin, squares := 0.0, 0.0
			for j := range factors {
				margin += at[0][j] * (at[1][j] - at[2][j])
				squares += at[0][j]*at[0][j] + at[1][j]*at[1][j] + at[2][j]*at[2][j]
			}
			margin += at[1][bias] - at[2][bias]
			squares += at[1][bias]*at[1][bias] + at[2][bias]*at[2][bias]
			return -math.Log1p(math.Exp(-margin)) - float64(g.regularization)/2*squares
		}
		after := [3][]float32{append([]float32{}, v[0]...), append([]float32{}, v[1]...), append([]float32{}, v[2]...)}
		g.step(after[0], after[1], after[2], bias)
		for i := range v {
			for j := range factors + 1 {
				x := at[i][j]
				at[i][j] = x + h
				up := objective()
				at[i][j] = x - h
				slope := (up - objective()) / (2 * h)
				at[i][j] = x
				if i == 0 && j == bias {
					slope = 0 // it is 1, and not learned
				}
				if moved := float64(after[i][j]-v[i][j]) / float64(g.rate); math.Abs(moved-slope) > 1e-3*(1+math.Abs(slope)) {
					t.Errorf("vector %d, factor %d: moved by %v times the rate, want %v", i, j, moved, slope)
				}
			}
		}
	}
}

// TestBPRLearns: the loss falls from ln 2, with one worker and with three, and the bits depend on the seed but not on the number of threads.
func TestBPRLearns(t *testing.T) {
	rows, _ := modeltest.Blocks()
	for _, workers := range []int{1, 3} {
		given := map[string]float64{"factors": 8, "iterations": 30, "learning-rate": 0.1}
		file, err := trainedBPR(rows, workers, 1, given)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadBPR(file)
		if err != nil {
			t.Fatal(err)
		}
		losses := m.Losses()
		if first := losses[0]; math.Abs(first-math.Ln2) > 0.05 {
			t.Errorf("%d workers: loss %v at first, want about ln 2", workers, first)
		}
		if last := losses[len(losses)-1]; last > 0.3 {
			t.Errorf("%d workers: loss %v at last, want below 0.3", workers, last)
		}
		again, err := trainedBPR(rows, workers, 6, given)
		if err != nil || !bytes.Equal(file, again) {
			t.Errorf("%d workers: another model with other numbers of threads (%v)", workers, err)
		}
		given["seed"] = 2
		if other, err := trainedBPR(rows, workers, 1, given); err != nil || bytes.Equal(file, other) {
			t.Errorf("%d workers: the same model with another seed (%v)", workers, err)
		}
	}
}

// TestBPRFold: what the user did a moment ago changes the answer.
func TestBPRFold(t *testing.T) {
	rows, _ := modeltest.Blocks()
	file, err := trainedBPR(rows, 1, 1, map[string]float64{"factors": 8, "iterations": 30, "learning-rate": 0.1})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadBPR(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after := m.fold([]uint32{0, 4}), m.fold([]uint32{0, 1, 4, 5})
	item := m.items[9*m.width():][:m.width()] // of the taste of 1 and 5
	if a, b := dot(before, item), dot(after, item); !(a < b) {
		t.Errorf("score of item 9 is %v, with items 1 and 5 %v, want it to rise", a, b)
	}
}

func FuzzReadBPR(f *testing.F) {
	rows, _ := modeltest.Blocks()
	file, err := trainedBPR(rows, 1, 1, map[string]float64{"factors": 3, "iterations": 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:100])
	nans := bytes.Clone(file)
	for i := fileHeader; i+4 <= len(nans); i += 4 {
		binary.LittleEndian.PutUint32(nans[i:], math.Float32bits(float32(math.NaN())))
	}
	f.Add(nans)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadBPR(b)
		if err != nil {
			return
		}
		answer, err := m.Recommend(model.Query{User: -1, Items: []uint32{0, 2}, N: 5})
		if err != nil {
			return
		}
		for _, s := range answer {
			if math.IsNaN(s.Score) || math.IsInf(s.Score, 0) {
				t.Errorf("score %v", s.Score)
			}
		}
	})
}

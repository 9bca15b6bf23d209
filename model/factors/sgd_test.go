package factors

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/similarity"
)

// ratings returns a matrix of random ratings of 1 to 5, with a user and an item without any.
func ratings(users, items int) *similarity.Rows {
	rng := rand.New(rand.NewPCG(7, 8))
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	for u := range users {
		for i := range items - 1 {
			if u > 0 && rng.IntN(3) > 0 {
				rows.Item, rows.Weight = append(rows.Item, uint32(i)), append(rows.Weight, float32(1+rng.IntN(5)))
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return rows
}

func sgdSettings(t *testing.T, p []model.Parameter, given map[string]float64) model.Settings {
	t.Helper()
	s, err := model.NewSettings(p, given)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSVDPPSGDTwin compares SVDPPSGD with the steps of the paper, each of which moves all y of the user.
func TestSVDPPSGDTwin(t *testing.T) {
	rows := ratings(12, 9)
	s := sgdSettings(t, SVDPPSGDParameters, map[string]float64{"factors": 5, "iterations": 6, "learning-rate": 0.03, "regularization": 0.1})
	got, err := SVDPPSGD(rows, s)
	if err != nil {
		t.Fatal(err)
	}
	m, err := start(rows, s)
	if err != nil {
		t.Fatal(err)
	}
	const k, rate, regularization = 5, 0.03, 0.1
	rng := rand.New(rand.NewPCG(1, 1))
	y := make([][k]float64, rows.NumItems)
	for i := range y {
		for j := range y[i] {
			y[i][j] = startDeviation * rng.NormFloat64()
		}
	}
	whole := func(u int) (p [k]float64, share float64) {
		copy(p[:], m.users[u*k:])
		items := rows.Item[rows.Start[u]:rows.Start[u+1]]
		share = 1 / math.Sqrt(float64(len(items)))
		for _, i := range items {
			for j := range p {
				p[j] += share * y[i][j]
			}
		}
		return p, share
	}
	for range 6 {
		for u := range rows.NumUsers() {
			for n := rows.Start[u]; n < rows.Start[u+1]; n++ {
				i := rows.Item[n]
				z, share := whole(u)
				p, q := m.users[u*k:][:k], m.items[int(i)*k:][:k]
				e := float64(rows.Weight[n]) - m.base.Mean - m.base.User[u] - m.base.Item[i]
				for j := range z {
					e -= z[j] * q[j]
				}
				m.base.User[u] += rate * (e - regularization*m.base.User[u])
				m.base.Item[i] += rate * (e - regularization*m.base.Item[i])
				for j := range z {
					old := q[j]
					q[j] += rate * (e*z[j] - regularization*q[j])
					p[j] += rate * (e*old - regularization*p[j])
					for _, other := range rows.Item[rows.Start[u]:rows.Start[u+1]] {
						y[other][j] += rate * (e*share*old - regularization*y[other][j])
					}
				}
			}
		}
	}
	for u := range uint32(rows.NumUsers()) {
		for i := range uint32(rows.NumItems) {
			want := m.base.At(u, i)
			if z, _ := whole(int(u)); rows.Start[u] < rows.Start[u+1] {
				want += dot64(z[:], m.items[int(i)*k:][:k])
			}
			var dst [1]float64
			got.Predict([]uint32{u}, []uint32{i}, dst[:])
			if want = m.base.Clip(want); math.Abs(dst[0]-want) > 1e-9 {
				t.Fatalf("user %d, item %d: %v, want %v", u, i, dst[0], want)
			}
		}
	}
}

// TestMFSGDSteps follows three ratings by hand: user 0 rates both items, 5 and 2, user 1 the first, 2. The mean is 3. Without factors, and with
// steps of a tenth without penalty, the first pass moves
//
//	b_u0 and b_i0 by 0.1·(5 - 3) = 0.2,
//	b_u0 and b_i1 by 0.1·(2 - 3 - 0.2) = -0.12,
//	b_u1 and b_i0 by 0.1·(2 - 3 - 0.2) = -0.12.
func TestMFSGDSteps(t *testing.T) {
	rows := &similarity.Rows{NumItems: 2, Start: []int64{0, 2, 3}, Item: []uint32{0, 1, 0}, Weight: []float32{5, 2, 2}}
	m, err := MFSGD(rows, sgdSettings(t, SGDParameters, map[string]float64{"factors": 0, "iterations": 1, "learning-rate": 0.1, "regularization": 0}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{3 + 0.08 + 0.08, 3 + 0.08 - 0.12, 3 - 0.12 + 0.08, 3 - 0.12 - 0.12, 3 + 0.08, 3} {
		var dst [1]float64
		m.Predict([]uint32{[]uint32{0, 0, 1, 1, 9, 9}[i]}, []uint32{[]uint32{0, 1, 0, 1, 0, 9}[i]}, dst[:])
		if math.Abs(dst[0]-want) > 1e-12 {
			t.Errorf("pair %d: %v, want %v", i, dst[0], want)
		}
	}
}

// TestMFSGDLearns: ratings that are a product of two vectors are learned, which biases alone cannot; a user or an item without ratings is left to the biases.
func TestMFSGDLearns(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	rows := ratings(60, 41)
	a, b := make([]float64, 60), make([]float64, 41)
	for u := range a {
		a[u] = rng.NormFloat64()
	}
	for i := range b {
		b[i] = rng.NormFloat64()
	}
	for u := range a {
		for n := rows.Start[u]; n < rows.Start[u+1]; n++ {
			rows.Weight[n] = float32(3 + a[u]*b[rows.Item[n]])
		}
	}
	for name, learn := range map[string]func(*similarity.Rows, model.Settings) (*Ratings, error){"mf-sgd": MFSGD, "svd++-sgd": SVDPPSGD} {
		rmse := func(factors float64) float64 {
			m, err := learn(rows, sgdSettings(t, SGDParameters, map[string]float64{"factors": factors, "iterations": 60, "learning-rate": 0.02, "regularization": 0.01}))
			if err != nil {
				t.Fatal(err)
			}
			var dst [2]float64
			m.Predict([]uint32{0, 5}, []uint32{3, 40}, dst[:]) // neither user 0 nor item 40 has ratings
			if want := m.base.Clip(m.base.Mean + m.base.Item[3]); dst[0] != want {
				t.Errorf("%s: user without ratings: %v, want %v", name, dst[0], want)
			}
			if want := m.base.Clip(m.base.Mean + m.base.User[5]); dst[1] != want {
				t.Errorf("%s: item without ratings: %v, want %v", name, dst[1], want)
			}
			var sum float64
			for u := range a {
				for n := rows.Start[u]; n < rows.Start[u+1]; n++ {
					m.Predict([]uint32{uint32(u)}, []uint32{rows.Item[n]}, dst[:1])
					e := dst[0] - float64(rows.Weight[n])
					sum += e * e
				}
			}
			return math.Sqrt(sum / float64(len(rows.Item)))
		}
		if biases, full := rmse(0), rmse(4); full > biases/5 {
			t.Errorf("%s: RMSE %v of 4 factors, %v of biases alone, want less than a fifth", name, full, biases)
		}
	}
}

func TestRatingErrors(t *testing.T) {
	for name, learn := range map[string]func(*similarity.Rows, model.Settings) (*Ratings, error){"mf-sgd": MFSGD, "svd++-sgd": SVDPPSGD} {
		if _, err := learn(&similarity.Rows{NumItems: 1, Start: []int64{0, 0}}, sgdSettings(t, SGDParameters, nil)); !errors.Is(err, baseline.ErrNoRatings) {
			t.Errorf("%s: error %v for no ratings, want baseline.ErrNoRatings", name, err)
		}
		s := sgdSettings(t, SGDParameters, map[string]float64{"learning-rate": 0.5, "iterations": 30})
		if _, err := learn(ratings(40, 40), s); !errors.Is(err, errDiverged) {
			t.Errorf("%s: error %v for a long step, want errDiverged", name, err)
		}
	}
}

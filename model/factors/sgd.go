package factors

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/baseline"
	"github.com/kith-io/kith/similarity"
)

// SGDParameters are the settings of MFSGD and SVDPPSGD. The defaults are those of the Surprise library for its SVD.
var SGDParameters = []model.Parameter{
	{Name: "factors", Doc: "length of the vectors", Default: 100, Low: 0, High: maxWidth, Whole: true, Search: [2]float64{10, 200}, Log: true},
	{Name: "iterations", Doc: "passes over the ratings", Default: 20, Low: 1, High: 1000, Whole: true, Search: [2]float64{10, 100}},
	{Name: "learning-rate", Doc: "length of a step as a share of the gradient", Default: 0.005, Low: 1e-6, High: 0.5, Search: [2]float64{0.002, 0.02}, Log: true},
	{
		Name: "regularization", Doc: "weight of the penalty on squared biases and factors",
		Default: 0.02, Low: 0, High: 1, Search: [2]float64{0.01, 0.2}, Log: true,
	},
	{Name: "seed", Doc: "of the random start", Default: 1, Low: 0, High: 1 << 52, Whole: true},
}

// SVDPPSGDParameters are SGDParameters with the defaults of Surprise for its SVD++.
var SVDPPSGDParameters = func() []model.Parameter {
	p := append([]model.Parameter{}, SGDParameters...)
	p[0].Default, p[2].Default = 20, 0.007
	return p
}()

// Ratings predicts a rating as
//
//	mu + b_u + b_i + q_i · (p_u + |N(u)|^(-1/2) sum of y_j over j in N(u)),
//
// N(u) being what the user has rated; y is 0 in MFSGD. It is not changed once made, and safe for concurrent use.
type Ratings struct {
	base         *baseline.Model // mu and the biases
	factors      int
	users, items []float64 // rows of factors; that of a user has the whole parenthesis
}

// Predict writes the rating that users[p] is expected to give items[p] to dst[p], within the range of the ratings. The three slices have one length. Of a user or an item that is
// not in the model, or has no ratings, the biases alone count. Cost: O(factors) for each.
func (m *Ratings) Predict(users, items []uint32, dst []float64) {
	k := m.factors
	for n, u := range users {
		i := items[n]
		x := m.base.At(u, i)
		if int64(u) < int64(len(m.base.User)) && int64(i) < int64(len(m.base.Item)) {
			x += dot64(m.users[int(u)*k:][:k], m.items[int(i)*k:][:k])
		}
		dst[n] = m.base.Clip(x)
	}
}

// dot64 returns x · y, added up in four sums.
func dot64(x, y []float64) float64 {
	y = y[:len(x)]
	var a, b, c, d float64
	j := 0
	for ; j+4 <= len(x); j += 4 {
		a += float64(x[j] * y[j])
		b += float64(x[j+1] * y[j+1])
		c += float64(x[j+2] * y[j+2])
		d += float64(x[j+3] * y[j+3])
	}
	for ; j < len(x); j++ {
		a += float64(x[j] * y[j])
	}
	return (a + b) + (c + d)
}

// start makes a model before the first step: factors of users and items drawn from N(0, 0.1), those of rows without ratings 0.
func start(rows *similarity.Rows, s model.Settings) (*Ratings, error) {
	base, err := baseline.Mean(rows)
	if err != nil {
		return nil, err
	}
	base.User, base.Item = make([]float64, rows.NumUsers()), make([]float64, rows.NumItems)
	k := s.Whole("factors")
	m := &Ratings{base: base, factors: k, users: make([]float64, rows.NumUsers()*k), items: make([]float64, rows.NumItems*k)}
	rng := rand.New(rand.NewPCG(uint64(s.Whole("seed")), 0))
	rated := make([]bool, rows.NumItems)
	for u := range rows.NumUsers() {
		for _, i := range rows.Item[rows.Start[u]:rows.Start[u+1]] {
			rated[i] = true
		}
		for j := range k {
			if x := rng.NormFloat64(); rows.Start[u+1] > rows.Start[u] {
				m.users[u*k+j] = startDeviation * x
			}
		}
	}
	for i := range rated {
		for j := range k {
			if x := rng.NormFloat64(); rated[i] {
				m.items[i*k+j] = startDeviation * x
			}
		}
	}
	return m, nil
}

// errDiverged is matched by the error of a training that has lost its way.
var errDiverged = errors.New("the factors have grown without bound: use a smaller learning-rate")

func (m *Ratings) check() error {
	for _, part := range [][]float64{m.base.User, m.base.Item, m.users, m.items} {
		for _, x := range part {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return errDiverged
			}
		}
	}
	return nil
}

// MFSGD learns biases and factors of ratings by stochastic gradient descent on the squared error with a penalty: the model that the Netflix prize made known as
// SVD, in the order and with the defaults of the Surprise library [hug2020]; Koren, ACM TKDD 4(1), 2010, section 2.2 [koren2010]. rows is users×items; its weights are
// the ratings. It returns an error matching similarity.ErrShape or baseline.ErrNoRatings, or one if the factors grow without bound.
// Cost: O(iterations·entries·factors), in one goroutine: every rating changes what the next one sees.
func MFSGD(rows *similarity.Rows, s model.Settings) (*Ratings, error) {
	m, err := start(rows, s)
	if err != nil {
		return nil, fmt.Errorf("mf-sgd: %w", err)
	}
	k, rate, regularization := m.factors, s.Number("learning-rate"), s.Number("regularization")
	for range s.Whole("iterations") {
		for u := range m.base.User {
			p := m.users[u*k:][:k]
			for n := rows.Start[u]; n < rows.Start[u+1]; n++ {
				i := int(rows.Item[n])
				q := m.items[i*k:][:k]
				bu, bi := &m.base.User[u], &m.base.Item[i]
				e := float64(rows.Weight[n]) - (m.base.Mean + *bu + *bi + dot64(p, q))
				*bu += rate * (e - regularization**bu)
				*bi += rate * (e - regularization**bi)
				for j, x := range p {
					y := q[j]
					p[j] = x + rate*(e*y-regularization*x)
					q[j] = y + rate*(e*x-regularization*y)
				}
			}
		}
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("mf-sgd: %w", err)
	}
	return m, nil
}

// SVDPPSGD is MFSGD with a second vector for each item, which says what having rated it at all says of a user: Koren, ACM TKDD 4(1), 2010, section 2.3 [koren2010]. Settings and errors are
// as of MFSGD.
//
// The paper moves all y of a user at each rating, at a cost of the square of the number of ratings. As these moves differ only in a factor that all y shrink by, it is enough to follow
// their sum, and to move each once when all ratings of the user have been seen: that gives the same but for rounding, and costs what MFSGD costs,
// O(iterations·entries·factors).
func SVDPPSGD(rows *similarity.Rows, s model.Settings) (*Ratings, error) {
	m, err := start(rows, s)
	if err != nil {
		return nil, fmt.Errorf("svd++-sgd: %w", err)
	}
	k, rate, regularization := m.factors, s.Number("learning-rate"), s.Number("regularization")
	rng := rand.New(rand.NewPCG(uint64(s.Whole("seed")), 1))
	implicit := make([]float64, len(m.items)) // the y
	for i := range implicit {
		implicit[i] = startDeviation * rng.NormFloat64()
	}
	sum, whole, before := make([]float64, k), make([]float64, k), make([]float64, k)
	parenthesis := func(u int) (share float64) { // makes sum
		items := rows.Item[rows.Start[u]:rows.Start[u+1]]
		clear(sum)
		for _, i := range items {
			for j, y := range implicit[int(i)*k:][:k] {
				sum[j] += y
			}
		}
		share = 1 / math.Sqrt(float64(len(items)))
		for j := range sum {
			sum[j] *= share
		}
		return share
	}
	for range s.Whole("iterations") {
		for u := range m.base.User {
			items := rows.Item[rows.Start[u]:rows.Start[u+1]]
			if len(items) == 0 {
				continue
			}
			share := parenthesis(u)
			copy(before, sum)
			p := m.users[u*k:][:k]
			for n := rows.Start[u]; n < rows.Start[u+1]; n++ {
				i := int(rows.Item[n])
				q := m.items[i*k:][:k]
				bu, bi := &m.base.User[u], &m.base.Item[i]
				for j, x := range p {
					whole[j] = x + sum[j]
				}
				e := float64(rows.Weight[n]) - (m.base.Mean + *bu + *bi + dot64(whole, q))
				*bu += rate * (e - regularization**bu)
				*bi += rate * (e - regularization**bi)
				for j, x := range p {
					y := q[j]
					p[j] = x + rate*(e*y-regularization*x)
					q[j] = y + rate*(e*whole[j]-regularization*y)
					// Each y_j moves by rate·(e·share·q - regularization·y), and there are share^-2 of them: their sum times share moves by this.
					sum[j] += rate * (e*y - regularization*sum[j])
				}
			}
			// After n steps each y_j is shrink·y_j and something that is the same for all, which follows from what the sum has become.
			shrink := math.Pow(1-rate*regularization, float64(len(items)))
			for j := range sum {
				before[j] = (sum[j] - shrink*before[j]) * share
			}
			for _, i := range items {
				y := implicit[int(i)*k:][:k]
				for j := range y {
					y[j] = shrink*y[j] + before[j]
				}
			}
		}
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("svd++-sgd: %w", err)
	}
	for u := range m.base.User {
		if rows.Start[u] == rows.Start[u+1] {
			continue
		}
		parenthesis(u)
		for j, x := range sum {
			m.users[u*k+j] += x
		}
	}
	return m, nil
}

package hybrid

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// drawn are examples of random features in groups, whose label depends on the product of two of them.
func drawn(groups, size, width int) *examples {
	rng := rand.New(rand.NewPCG(1, 2))
	e := &examples{width: width, start: []int{0}}
	for range groups {
		for range size {
			var row []float32
			for range width {
				row = append(row, float32(rng.NormFloat64()))
			}
			e.x = append(e.x, row...)
			e.label = append(e.label, rng.Float64() < sigmoid(3*float64(row[0]*row[1])-1))
		}
		e.start = append(e.start, e.len())
	}
	return e
}

// pairLoss is what lambdas are the derivatives of, with the discounts of given ranks: Σ |Δ NDCG| log(1+exp(s_j-s_i)) over pairs of a right i and a wrong j.
func pairLoss(e *examples, at, scores []float64) (loss float64) {
	for g := range e.groups() {
		lo, hi := e.start[g], e.start[g+1]
		discount, right := make([]float64, hi-lo), 0
		for rank, i := range ranked(at[lo:hi]) {
			discount[i] = 1 / math.Log2(float64(rank+2))
			if e.label[lo+i] {
				right++
			}
		}
		for i := lo; i < hi; i++ {
			for j := lo; j < hi; j++ {
				if e.label[i] && !e.label[j] {
					loss += math.Abs(discount[i-lo]-discount[j-lo]) / idealDCG(right) * math.Log1p(math.Exp(scores[j]-scores[i]))
				}
			}
		}
	}
	return loss
}

// TestDerivatives compares first derivatives with differences of the loss, and second derivatives of the odds with differences of the first.
func TestDerivatives(t *testing.T) {
	e := drawn(4, 9, 2)
	scores := make([]float64, e.len())
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range scores {
		scores[i] = rng.NormFloat64()
	}
	at := slices.Clone(scores)
	first, second := make([]float64, e.len()), make([]float64, e.len())
	for name, c := range map[string]struct {
		derive derivatives
		loss   func(scores []float64) float64
	}{
		"logistic": {logistic, func(s []float64) float64 { return logLoss(e, s) }},
		"lambdas":  {lambdas, func(s []float64) float64 { return pairLoss(e, at, s) }},
	} {
		c.derive(e, scores, first, second)
		for i := range scores {
			const h = 1e-4
			moved := slices.Clone(scores)
			moved[i] = scores[i] + h
			up := c.loss(moved)
			moved[i] = scores[i] - h
			down := c.loss(moved)
			if want := (up - down) / (2 * h); math.Abs(first[i]-want) > 1e-6 {
				t.Errorf("%s: first derivative %d is %v, want %v", name, i, first[i], want)
			}
			if want := (up + down - 2*c.loss(scores)) / (h * h); math.Abs(second[i]-want) > 1e-4 {
				t.Errorf("%s: second derivative %d is %v, want %v", name, i, second[i], want)
			}
		}
	}
}

// TestRegress: at the result the gradient of the loss is 0, and a known odds ratio is found. Of 40 examples with the feature 30 are right, of 60 without 20: the odds are 3 and 1/2, but for the
// penalty.
func TestRegress(t *testing.T) {
	e := &examples{width: 2, start: []int{0, 100}}
	for i := range 100 {
		x := float32(0)
		if i < 40 {
			x = 1
		}
		e.x = append(e.x, x, 7) // the second one says nothing
		e.label = append(e.label, i < 30 || i >= 80)
	}
	l, err := regress(e)
	if err != nil {
		t.Fatal(err)
	}
	if l.weights[1] != 0 {
		t.Errorf("a constant feature has weight %v, want 0", l.weights[1])
	}
	if want := math.Log(3 / 0.5); l.weights[0] > want || l.weights[0] < 0.9*want {
		t.Errorf("weight %v, want a little below %v", l.weights[0], want)
	}
	deviation := math.Sqrt(0.4 * 0.6)
	var base, weight float64
	for i := range 100 {
		p := sigmoid(l.predict(e.row(i)))
		if e.label[i] {
			p--
		}
		base += p
		weight += p * (float64(e.row(i)[0]) - 0.4) / deviation
	}
	weight += penalty * l.weights[0] * deviation
	if math.Abs(base) > 1e-4 || math.Abs(weight) > 1e-4 {
		t.Errorf("the gradient is %v and %v, want 0", base, weight)
	}
}

// TestGrow checks one tree by hand: 30 examples at 1 with gradient -1, 30 at 2 and 40 at 3 with gradient 1, all second derivatives 1. The best split is between 1 and 2; the leaves are
// 0.1·30/31 and -0.1·70/71, and no further split gains.
func TestGrow(t *testing.T) {
	e := &examples{width: 2, start: []int{0, 100}}
	first, second := make([]float64, 100), make([]float64, 100)
	for i := range 100 {
		first[i], second[i] = 1, 1
		x := float32(3)
		switch {
		case i < 30:
			x, first[i] = 1, -1
		case i < 60:
			x = 2
		}
		e.x, e.label = append(e.x, 0, x), append(e.label, false)
	}
	tr, err := newGrower(e, 2).grow(t.Context(), first, second)
	if err != nil {
		t.Fatal(err)
	}
	if tr.feature[0] != 1 || tr.threshold[0] != 1 {
		t.Fatalf("the first split is of feature %d at %v, want 1 at 1", tr.feature[0], tr.threshold[0])
	}
	for x, want := range map[float32]float64{1: 3.0 / 31, 2: -7.0 / 71, 3: -7.0 / 71} {
		if got := tr.predict([]float32{0, x}); math.Abs(got-want) > 1e-12 {
			t.Errorf("at %v the tree says %v, want %v", x, got, want)
		}
	}
}

// TestBoost: trees find the product that no line can, and both losses fall.
func TestBoost(t *testing.T) {
	e := drawn(120, 30, 4)
	zero := make([]float64, e.len())
	line, err := regress(e)
	if err != nil {
		t.Fatal(err)
	}
	scores := func(predict func(x []float32) float64) []float64 {
		out := make([]float64, e.len())
		for i := range out {
			out[i] = predict(e.row(i))
		}
		return out
	}
	straight := meanNDCG(e, scores(line.predict))
	for name, derive := range map[string]derivatives{"logistic": logistic, "lambdas": lambdas} {
		f, err := boost(t.Context(), e, derive, 60, 2)
		if err != nil {
			t.Fatal(err)
		}
		s := scores(f.predict)
		if got := meanNDCG(e, s); got < straight+0.1 {
			t.Errorf("%s: NDCG %.3f, of a line %.3f, want at least 0.1 more", name, got, straight)
		}
		if name == "logistic" && logLoss(e, s) > 0.9*logLoss(e, zero) {
			t.Errorf("loss %.0f, without trees %.0f", logLoss(e, s), logLoss(e, zero))
		}
		if name == "lambdas" && pairLoss(e, zero, s) > 0.9*pairLoss(e, zero, zero) {
			t.Errorf("loss of pairs %.1f, without trees %.1f", pairLoss(e, zero, s), pairLoss(e, zero, zero))
		}
	}
}

// TestNDCG checks by hand: the right ones of a group at ranks 1 and 3, none in another.
func TestNDCG(t *testing.T) {
	e := &examples{label: []bool{false, true, true, false}, start: []int{0, 3, 4}}
	got := meanNDCG(e, []float64{2, 1, 3, 0})
	want := (1 + 0.5) / (1 + 1/math.Log2(3)) / 2
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("mean NDCG %v, want %v", got, want)
	}
}

// TestNewProductsAreNoExamples: of what a model of content finds, the products behind the matrix are not learned from, as none of them can be right. Those of the matrix that have lost all users are.
func TestNewProductsAreNoExamples(t *testing.T) {
	rest := &similarity.Rows{NumItems: 3, Start: []int64{0, 1}, Item: []uint32{0}}
	found := Part{"content", findsAll{}}
	groups, err := exampleGroups(t.Context(), []Part{found}, NewCatalog(rest, nil), rest, nil, [][]uint32{{2}}, []int{0}, 0, LearnOptions{Depth: 5, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	g := groups[0]
	if !slices.Equal(g.label, []bool{false, true}) || len(g.x) != 2*g.width {
		t.Errorf("labels %v with %d numbers of %d, want those of items 1 and 2", g.label, len(g.x), g.width)
	}
}

// findsAll finds the items 1 to 4, whatever is asked.
type findsAll struct{}

func (findsAll) Recommend(model.Query) ([]model.Scored, error) {
	return []model.Scored{{Item: 4, Score: 4}, {Item: 2, Score: 3}, {Item: 3, Score: 2}, {Item: 1, Score: 1}}, nil
}

package ease_test

import (
	"math"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/ease"
	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/similarity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	modeltest.Run(t, modeltest.OfKind(t.Context(), ease.Kind, map[string]float64{"regularization": 10}))
	t.Run("stored weights", func(t *testing.T) {
		modeltest.Run(t, modeltest.OfKind(t.Context(), ease.Kind, map[string]float64{"regularization": 10, "weights": 1, "keep": 11}))
	})
}

func TestSameBytes(t *testing.T) {
	modeltest.RunSameBytes(t, ease.Kind, map[string]float64{"weights": 1, "keep": 7, "items": 20})
}

func TestDamaged(t *testing.T) { modeltest.RunDamaged(t, ease.Kind, nil) }

// hand is three users: two of items 0 and 1, one of items 0 and 2.
var hand = &similarity.Rows{NumItems: 3, Start: []int64{0, 2, 4, 6}, Item: []uint32{0, 1, 0, 1, 0, 2}}

// TestByHand: with regularization 1
//
//	    ⎡4 2 1⎤             ⎡ 6 −4 −3⎤           ⎡ 0    4/7  3/8⎤
//	A = ⎢2 3 0⎥,  A⁻¹ = 1/13⎢−4  7  2⎥,  so B is ⎢ 2/3  0   −1/4⎥
//	    ⎣1 0 2⎦             ⎣−3  2  8⎦           ⎣ 1/2 −2/7  0  ⎦
func TestByHand(t *testing.T) {
	want := [][]similarity.Neighbor{
		{{ID: 1, Score: 4. / 7}, {ID: 2, Score: 3. / 8}},
		{{ID: 0, Score: 2. / 3}, {ID: 2, Score: -1. / 4}},
		{{ID: 0, Score: 1. / 2}, {ID: 1, Score: -2. / 7}},
	}
	for keep := range 3 {
		file, err := modeltest.Train(t.Context(), ease.Kind, map[string]float64{"regularization": 1, "keep": float64(keep)}, hand, 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		m, err := linear.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		for id := range uint32(3) {
			want := want[id]
			if keep == 1 { // the largest of each row
				want = want[:1]
			}
			if got := m.Row(id); !slices.EqualFunc(got, want, func(a, b similarity.Neighbor) bool {
				return a.ID == b.ID && math.Abs(float64(a.Score-b.Score)) < 1e-6
			}) {
				t.Errorf("keep %d: row %d is %v, want %v", keep, id, got, want)
			}
		}
		// Of item 1: 2/3 for item 0, and nothing good about item 2.
		answer, err := m.Recommend(model.Query{User: -1, Items: []uint32{1}, N: 2})
		if err != nil || len(answer) != 2 || answer[0].Item != 0 || math.Abs(answer[0].Score-2./3) > 1e-6 || answer[1] != (model.Scored{Item: 2, Filled: true}) {
			t.Errorf("keep %d: Recommend = %+v, %v, want item 0 with 2/3, then item 2 filled in", keep, answer, err)
		}
	}
}

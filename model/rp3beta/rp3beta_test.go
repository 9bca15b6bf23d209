package rp3beta_test

import (
	"math"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/rp3beta"
	"github.com/kith-io/kith/similarity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	modeltest.Run(t, modeltest.OfKind(t.Context(), rp3beta.Kind, map[string]float64{"alpha": 0.7}))
}

func TestSameBytes(t *testing.T) {
	modeltest.RunSameBytes(t, rp3beta.Kind, map[string]float64{"alpha": 0.7, "k": 6})
}

func TestDamaged(t *testing.T) { modeltest.RunDamaged(t, rp3beta.Kind, nil) }

// TestByHand: one user has the items 0 and 1, another 0, 1 and 2. A walk from item 0 comes to either user with probability ½, and from there to item 1 with ½ or ⅓, to item 2 with ⅓: 5/12 and 1/6.
// Item 1 has as many users. From item 2 it comes to the second user, and then to either with ⅓. With beta 1 the weights to 0 and to 1 are divided by 2.
func TestByHand(t *testing.T) {
	rows := &similarity.Rows{NumItems: 3, Start: []int64{0, 2, 5}, Item: []uint32{0, 1, 0, 1, 2}}
	for _, c := range []struct {
		name  string
		given map[string]float64
		want  [3][3]float64
	}{
		// All times 2, that the largest is above ½.
		{"P3", map[string]float64{"alpha": 1, "beta": 0}, [3][3]float64{{0, 5. / 6, 1. / 3}, {5. / 6, 0, 1. / 3}, {2. / 3, 2. / 3, 0}}},
		// The same times 2, or all times 4, for the largest is 5/24.
		{"RP3beta", map[string]float64{"alpha": 1, "beta": 1}, [3][3]float64{{0, 5. / 6, 2. / 3}, {5. / 6, 0, 2. / 3}, {2. / 3, 2. / 3, 0}}},
		// Squares of the steps: 1/4·(1/4+1/9), 1/4·1/9 and 1/9; all times 8.
		{"P3alpha", map[string]float64{"alpha": 2, "beta": 0}, [3][3]float64{{0, 13. / 18, 2. / 9}, {13. / 18, 0, 2. / 9}, {8. / 9, 8. / 9, 0}}},
		// The best of each row.
		{"cut", map[string]float64{"alpha": 1, "beta": 0, "k": 1}, [3][3]float64{{0, 5. / 6, 0}, {5. / 6, 0, 0}, {2. / 3, 0, 0}}},
	} {
		file, err := modeltest.Train(t.Context(), rp3beta.Kind, c.given, rows, 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		m, err := linear.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			var got [3]float64
			for _, n := range m.Row(uint32(i)) {
				got[n.ID] = float64(n.Score)
			}
			for j := range got {
				if math.Abs(got[j]-want[j]) > 1e-6 {
					t.Errorf("%s: row %d is %v, want %v", c.name, i, got, want)
				}
			}
		}
	}
}

// TestFormula compares with the formula as it stands in the package comment, up to one factor for all.
func TestFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.IntRange(2, 12).Draw(t, "items")
		rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
		users := make([]float64, items)
		for range rapid.IntRange(1, 20).Draw(t, "users") {
			for id := range items {
				if rapid.IntRange(0, 2).Draw(t, "has") == 0 {
					rows.Item = append(rows.Item, uint32(id))
					users[id]++
				}
			}
			rows.Start = append(rows.Start, int64(len(rows.Item)))
		}
		alpha, beta := float64(rapid.IntRange(0, 20).Draw(t, "alpha"))/10, float64(rapid.IntRange(0, 20).Draw(t, "beta"))/10
		want := make([][]float64, items)
		largest := 0.0
		for i := range want {
			want[i] = make([]float64, items)
			for u := range rows.NumUsers() {
				row := rows.Item[rows.Start[u]:rows.Start[u+1]]
				has := map[uint32]bool{}
				for _, id := range row {
					has[id] = true
				}
				for _, j := range row {
					if has[uint32(i)] && int(j) != i {
						want[i][j] += math.Pow(1/users[i], alpha) * math.Pow(1/float64(len(row)), alpha) * math.Pow(users[j], -beta)
					}
				}
			}
			for _, x := range want[i] {
				largest = max(largest, x)
			}
		}
		file, err := modeltest.Train(t.Context(), rp3beta.Kind, map[string]float64{"alpha": alpha, "beta": beta}, rows, rapid.IntRange(1, 3).Draw(t, "workers"), 2)
		if err != nil {
			t.Fatal(err)
		}
		m, err := linear.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		got := make([][]float64, items)
		top := 0.0
		for i := range got {
			got[i] = make([]float64, items)
			for _, n := range m.Row(uint32(i)) {
				got[i][n.ID] = float64(n.Score)
				top = max(top, got[i][n.ID])
			}
		}
		if largest > 0 && (top < 0.5 || top > 1) {
			t.Fatalf("the largest weight is %v, want ½ to 1", top)
		}
		factor := 0.0
		if largest > 0 {
			factor = math.Exp2(math.Round(math.Log2(top / largest)))
		}
		for i := range want {
			for j, x := range want[i] {
				if math.Abs(got[i][j]-x*factor) > 1e-6 {
					t.Fatalf("weight of %d for %d is %v, want %v times %v", i, j, got[i][j], x, factor)
				}
			}
		}
	})
}

package slim

import (
	"math"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/linear"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/similarity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	modeltest.Run(t, modeltest.OfKind(t.Context(), Kind, map[string]float64{"l1": 0.1, "l2": 10, "tolerance": 1e-9, "iterations": 1000}))
	t.Run("fsSLIM, stored weights, any sign", func(t *testing.T) {
		modeltest.Run(t, modeltest.OfKind(t.Context(), Kind, map[string]float64{
			"l1": 0.1, "l2": 10, "tolerance": 1e-9, "iterations": 1000, "neighbors": 11, "weights": 1, "nonnegative": 1,
		}))
	})
}

func TestSameBytes(t *testing.T) {
	modeltest.RunSameBytes(t, Kind, map[string]float64{"weights": 1, "l1": 0.5, "l2": 3, "items": 20})
	modeltest.RunSameBytes(t, Kind, map[string]float64{"weights": 1, "l1": 0.5, "l2": 3, "neighbors": 4})
}

func TestDamaged(t *testing.T) {
	modeltest.RunDamaged(t, Kind, map[string]float64{"l1": 0.5, "l2": 3})
}

// TestByHand: two users have the items 0 and 1, one has 0 and 2, so that
//
//	    ⎡3 2 1⎤
//	G = ⎢2 2 0⎥
//	    ⎣1 0 1⎦
//
// With l1=0.5 and l2=1 the weights to item 0 do not depend on each other, for G_12 is 0: (2−0.5)/(2+1) of item 1, and (1−0.5)/(1+1) of item 2. To item 1 there is (2−0.5)/(3+1) of
// item 0, and nothing of item 2, which would be negative; with any sign it is S(0−0.375, 0.5) = 0 as well.
//
// With l1=0.1, l2=1 and any sign, those to item 1 are w0 = (2−w2−0.1)/4 and w2 = (−w0+0.1)/2: w0 = 37/70, w2 = −3/14.
func TestByHand(t *testing.T) {
	rows := &similarity.Rows{NumItems: 3, Start: []int64{0, 2, 4, 6}, Item: []uint32{0, 1, 0, 1, 0, 2}}
	for _, c := range []struct {
		name     string
		given    map[string]float64
		from, to uint32
		want     float64
	}{
		{"first of two", map[string]float64{"l1": 0.5, "l2": 1}, 1, 0, 0.5},
		{"second of two", map[string]float64{"l1": 0.5, "l2": 1}, 2, 0, 0.25},
		{"one alone", map[string]float64{"l1": 0.5, "l2": 1}, 0, 1, 0.375},
		{"below zero", map[string]float64{"l1": 0.5, "l2": 1}, 2, 1, 0},
		{"under the threshold", map[string]float64{"l1": 0.5, "l2": 1, "nonnegative": 1}, 2, 1, 0},
		{"any sign, above zero", map[string]float64{"l1": 0.1, "l2": 1, "nonnegative": 1}, 0, 1, 37. / 70},
		{"any sign, below zero", map[string]float64{"l1": 0.1, "l2": 1, "nonnegative": 1}, 2, 1, -3. / 14},
		{"not a neighbor", map[string]float64{"l1": 0.5, "l2": 1, "neighbors": 1}, 2, 0, 0},
		{"no penalty", map[string]float64{"l1": 0, "l2": 0, "neighbors": 1}, 1, 0, 1},
	} {
		c.given["tolerance"] = 1e-9
		file, err := modeltest.Train(t.Context(), Kind, c.given, rows, 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		m, err := linear.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		got := 0.0
		for _, n := range m.Row(c.from) {
			if n.ID == c.to {
				got = float64(n.Score)
			}
		}
		if math.Abs(got-c.want) > 1e-7 {
			t.Errorf("%s: the weight of item %d for item %d is %v, want %v", c.name, c.from, c.to, got, c.want)
		}
	}
}

// TestOptimal checks the conditions of Karush, Kuhn and Tucker, which the best weights and no others meet.
func TestOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "items")
		g := make([]float64, n*n)
		for range rapid.IntRange(0, 12).Draw(t, "users") {
			x := rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(t, "user")
			for i := range n {
				for j := range n {
					g[i*n+j] += float64(x[i] * x[j])
				}
			}
		}
		e := net{
			l1: float64(rapid.IntRange(0, 4).Draw(t, "l1")) / 2, l2: float64(rapid.IntRange(1, 6).Draw(t, "l2")),
			nonnegative: rapid.Bool().Draw(t, "nonnegative"), iterations: 100_000, tolerance: 1e-12,
		}
		j := rapid.IntRange(0, n-1).Draw(t, "item")
		var f fitter
		f.choose(g, n, j, 0)
		e.solve(&f)
		for i, w := range f.w {
			r := g[j*n+i] // what is left to explain by i
			for k, x := range f.w {
				r -= g[i*n+k] * x
			}
			const slack = 1e-8
			slope := r - e.l2*w
			switch {
			case i == j:
				if w != 0 {
					t.Fatalf("the item itself has weight %v", w)
				}
			case w > 0:
				if math.Abs(slope-e.l1) > slack {
					t.Fatalf("weight %d is %v, and the slope there %v, want l1 %v", i, w, slope, e.l1)
				}
			case w < 0:
				if e.nonnegative || math.Abs(slope+e.l1) > slack {
					t.Fatalf("weight %d is %v, and the slope there %v, want -l1 %v", i, w, slope, -e.l1)
				}
			case slope > e.l1+slack || !e.nonnegative && slope < -e.l1-slack:
				t.Fatalf("weight %d is zero, and the slope there %v, want within l1 %v", i, slope, e.l1)
			}
		}
	})
}

package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/kith-io/kith/fusion"
)

// shop is a table of ratings and times, of 80 users with 8 to 19 entries of 30 items.
func shop() *fusion.Table {
	t := &fusion.Table{Start: []int64{0}}
	rng := rand.New(rand.NewPCG(11, 0))
	for i := range 30 {
		t.Items = append(t.Items, fmt.Sprintf("i%02d", i))
	}
	for u := range 80 {
		t.Users = append(t.Users, fmt.Sprintf("u%02d", u))
		items := rng.Perm(30)[:8+u%12]
		slices.Sort(items)
		for _, i := range items {
			t.Item, t.Weight, t.Time = append(t.Item, uint32(i)), append(t.Weight, float32(1+(i+u)%2*3+rng.IntN(2))), append(t.Time, 1+rng.Int64N(1e9))
		}
		t.Start = append(t.Start, int64(len(t.Item)))
	}
	return t
}

// TestValidationFolds: no fold looks at the test data, none measures what another does, and each trains with all else, or with what is older.
func TestValidationFolds(t *testing.T) {
	const folds = 3
	for _, split := range append(Splits(), SplitGiven) {
		if split == SplitKFold {
			continue
		}
		e := Experiment{Data: shop(), Split: split, Seed: 5, Tuning: &Tuning{Trials: 2, Folds: folds}}.withDefaults()
		// An item of an entry is no name of it in the whole table, but with its user it is.
		key := func(t *fusion.Table, u int, p int64) string { return t.Users[u] + " " + t.Items[t.Item[p]] }
		outer, err := e.divide(e.Data, e.Ratio, e.Ratio, 0)
		if err != nil {
			t.Fatal(err)
		}
		training := map[string]bool{}
		for u := range e.Data.Users {
			for p := e.Data.Start[u]; p < e.Data.Start[u+1]; p++ {
				training[key(e.Data, u, p)] = outer.trains(p, 0)
			}
		}
		all, err := e.validation(outer)
		if err != nil || len(all) != folds {
			t.Fatalf("%s: %d folds, %v", split, len(all), err)
		}
		tests := map[string]int{}
		sizes := make([]int, folds)
		before := map[string]bool{} // what the fold before has trained with
		for k, v := range all {
			trains := map[string]bool{}
			newest, oldest := int64(0), int64(math.MaxInt64) // of training and of test data, where the split is by time
			for u := range v.table.Users {
				if split != SplitTime {
					newest, oldest = 0, math.MaxInt64
				}
				history := false
				for p := v.table.Start[u]; p < v.table.Start[u+1]; p++ {
					name := key(v.table, u, p)
					if !training[name] {
						t.Fatalf("%s: fold %d knows %s of the test data", split, k, name)
					}
					switch {
					case v.d.trains(p, 0):
						trains[name] = true
						newest = max(newest, v.table.Time[p])
					case v.d.TestOf[p] == 0:
						if other, twice := tests[name]; twice {
							t.Fatalf("%s: %s is measured in folds %d and %d", split, name, other, k)
						}
						tests[name] = k
						sizes[k]++
						oldest = min(oldest, v.table.Time[p])
					default:
						history = true
					}
				}
				if byTime(split, v.table) && newest > oldest {
					t.Fatalf("%s: fold %d trains with the future of what it measures", split, k)
				}
				if history != (split == SplitUserCold && oldest != math.MaxInt64) {
					t.Fatalf("%s: fold %d, user %d: history %v beside test data from %d on", split, k, u, history, oldest)
				}
			}
			if byTime(split, v.table) && k > 0 {
				for name := range trains {
					if !before[name] {
						t.Fatalf("%s: fold %d trains with %s, which fold %d had held back", split, k, name, k-1)
					}
				}
			}
			if !byTime(split, v.table) && len(v.table.Item) != len(all[0].table.Item) {
				t.Errorf("%s: fold %d is of %d entries, the first of %d", split, k, len(v.table.Item), len(all[0].table.Item))
			}
			before = trains
		}
		if low, high := slices.Min(sizes), slices.Max(sizes); low == 0 || float64(high) > 1.5*float64(low) {
			t.Errorf("%s: folds measure %v entries, want about the same number", split, sizes)
		}
	}
}

// TestTrialsOfFoldsByHand: a trial has the figure of the folds, each evaluated as a division that somebody else has made: the mean over what all folds say, with the
// interval of a ratio of sums of users (Cochran, section 6.4 [cochran1977]).
func TestTrialsOfFoldsByHand(t *testing.T) {
	for _, c := range []struct {
		split, model, metric string
	}{
		{SplitRatio, "itemknn(measure=cosine,k=5,shrinkage=0,min-support=0)", "ndcg@5"},
		{SplitTime, "popularity", "recall@5"},
		{SplitLeaveOneOut, "itemknn(k=4)", "mrr@5"},
		{SplitRatio, "baseline", metricRMSE},
	} {
		e := Experiment{Data: shop(), Split: c.split, Models: []string{c.model}, N: []int{5}, By: c.metric, Seed: 3, Tuning: &Tuning{Trials: 1, Folds: 4}}.withDefaults()
		outer, err := e.divide(e.Data, e.Ratio, e.Ratio, 0)
		if err != nil {
			t.Fatal(err)
		}
		all, err := e.validation(outer)
		if err != nil {
			t.Fatal(err)
		}
		sum, n := map[string]float64{}, map[string]float64{} // by user
		for _, v := range all {
			training, _ := part(v.table, func(_ int, p int64) bool { return v.d.trains(p, 0) })
			test, _ := part(v.table, func(_ int, p int64) bool { return v.d.TestOf[p] == 0 })
			r, err := Run(t.Context(), Experiment{Data: training, Test: test, Split: SplitGiven, Models: e.Models, N: e.N, By: e.By, Seed: e.Seed}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for u, x := range r.users[0][c.metric][0].x {
				if math.IsNaN(x) {
					continue
				}
				weight := 1.0
				if c.metric == metricRMSE {
					weight = float64(test.Start[u+1] - test.Start[u])
				}
				sum[test.Users[u]] += x
				n[test.Users[u]] += weight
			}
		}
		var x, y, squares float64
		for user := range sum {
			x, y = x+sum[user], y+n[user]
		}
		for user := range sum {
			residual := sum[user] - x/y*n[user]
			squares += residual * residual
		}
		users := float64(len(sum))
		half := distuv.StudentsT{Sigma: 1, Nu: users - 1}.Quantile(0.975) * math.Sqrt(users/(users-1)*squares) / y
		want := Estimate{x / y, x/y - half, x/y + half}
		if c.metric == metricRMSE {
			want = want.root()
		}
		trial, err := e.bench("", all).Try(t.Context(), c.model, 1, 2)
		if err != nil || trial.Failed != "" {
			t.Fatalf("%s: %v %s", c.model, err, trial.Failed)
		}
		got := trial.Figure
		if math.Abs(got.Mean-want.Mean) > 1e-9 || math.Abs(got.Low-want.Low) > 1e-9 || math.Abs(got.High-want.High) > 1e-9 || !(got.Low < got.Mean) {
			t.Errorf("%s of %s, split %s: %+v, by hand %+v", c.metric, c.model, c.split, got, want)
		}
	}
}

// TestTrialsNameTheFoldThatFails: where users have too few entries for all folds, the trial says which one has nobody.
func TestTrialsNameTheFoldThatFails(t *testing.T) {
	table := &fusion.Table{Users: []string{"u", "v"}, Items: []string{"a", "b", "c", "d"}, Start: []int64{0, 4, 8}, Item: []uint32{0, 1, 2, 3, 0, 1, 2, 3}}
	r, err := Run(t.Context(), Experiment{
		Data: table, Split: SplitLeaveRandomOut, Models: []string{"popularity", "itemknn"}, N: []int{2}, Tuning: &Tuning{Trials: 1, Folds: 3},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Models[1].Failed; !strings.Contains(got, "validation fold 3: no user has test data") {
		t.Errorf("failed: %q", got)
	}
}

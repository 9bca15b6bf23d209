package evaluate_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// divisionOf makes the division that Run makes.
func divisionOf(table *fusion.Table, e evaluate.Experiment) (*evaluate.Division, error) {
	switch e.Split {
	case evaluate.SplitLeaveOneOut:
		return evaluate.LeaveOneOut(table, seeded(e.Seed)), nil
	case evaluate.SplitLeaveRandomOut:
		return evaluate.LeaveRandomOut(table, seeded(e.Seed)), nil
	case evaluate.SplitRatio:
		return evaluate.HoldOut(table, e.Ratio, seeded(e.Seed)), nil
	case evaluate.SplitUserTime:
		return evaluate.HoldOutNewest(table, e.Ratio, seeded(e.Seed))
	case evaluate.SplitUserCold:
		return evaluate.HoldOutUsers(table, e.Ratio, e.Ratio, seeded(e.Seed)), nil
	case evaluate.SplitUserNew:
		return evaluate.HoldOutUsers(table, e.Ratio, 0, seeded(e.Seed)), nil
	case evaluate.SplitTime:
		return evaluate.CutTime(table, e.Ratio)
	default:
		return evaluate.KFold(table, e.Folds, seeded(e.Seed)), nil
	}
}

// slowFold evaluates popularity and the mean rating on one fold, by keys instead of ids. It returns nil if there is no test data
// for the metrics.
func slowFold(table *fusion.Table, d *evaluate.Division, fold, n int, threshold float64) (popularity, mean map[string]float64) {
	users, seen := map[string]int{}, map[[2]string]bool{}
	relevant, owners, histories := map[string]map[string]bool{}, map[string]map[string]bool{}, map[string][]string{}
	active := map[string]bool{}
	var train, test []float64
	for u, user := range table.Users {
		relevant[user] = map[string]bool{}
		for p := table.Start[u]; p < table.Start[u+1]; p++ {
			item, weight := table.Items[table.Item[p]], 1.0
			if table.Weight != nil {
				weight = float64(table.Weight[p])
			}
			if d.TestOf[p] != int32(fold) {
				seen[[2]string{user, item}] = true
				histories[user] = append(histories[user], item)
				if d.History != nil && d.History[p] {
					continue
				}
				if owners[item] == nil {
					owners[item] = map[string]bool{}
				}
				owners[item][user], active[user] = true, true
				users[item]++
				train = append(train, weight)
				continue
			}
			test = append(test, weight)
			if weight >= threshold {
				relevant[user][item] = true
			}
		}
	}
	catalog := slices.SortedFunc(maps.Keys(users), func(a, b string) int {
		return cmp.Or(cmp.Compare(users[b], users[a]), strings.Compare(a, b))
	})
	var sums map[string]float64
	count, covered := map[string]float64{}, map[string]bool{}
	shown := map[string]float64{}
	for _, user := range table.Users {
		if len(relevant[user]) == 0 {
			continue
		}
		var answer, whole, history []string
		for _, item := range catalog {
			switch {
			case seen[[2]string{user, item}]:
				history = append(history, item)
			default:
				whole = append(whole, item)
				if len(answer) < n {
					answer = append(answer, item)
					covered[item] = true
					shown[item]++
				}
			}
		}
		if sums == nil {
			sums = map[string]float64{}
		}
		metrics := slowMetrics(answer, relevant[user], n)
		slowBeyond(metrics, answer, whole, history, relevant[user], catalog, owners, len(active))
		for name, x := range metrics {
			sums[name] += x
			count[name]++
		}
	}
	if sums != nil {
		popularity = map[string]float64{fmt.Sprintf("coverage@%d", n): float64(len(covered)) / float64(len(catalog))}
		for name, x := range sums {
			key := fmt.Sprintf("%s@%d", name, n)
			if name == "auc" {
				key = name
			}
			popularity[key] = x / count[name]
		}
		if g := slowGini(catalog, shown); !math.IsNaN(g) {
			popularity[fmt.Sprintf("gini@%d", n)] = g
		}
	}
	if len(test) > 0 && len(train) > 0 && table.Weight != nil {
		var mu, squares, absolutes float64
		for _, r := range train {
			mu += r / float64(len(train))
		}
		for _, r := range test {
			squares += (r - mu) * (r - mu) / float64(len(test))
			absolutes += math.Abs(r-mu) / float64(len(test))
		}
		mean = map[string]float64{"rmse": math.Sqrt(squares), "mae": absolutes}
	}
	return popularity, mean
}

// The whole way of an experiment, with two models that are simple enough to be computed by keys.
func TestRunEqualsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		e := evaluate.Experiment{
			Data:     table,
			Split:    rapid.SampledFrom(evaluate.Splits()).Draw(t, "split"),
			Ratio:    rapid.Float64Range(0.1, 0.9).Draw(t, "ratio"),
			Folds:    rapid.IntRange(2, 4).Draw(t, "folds"),
			Seed:     rapid.Uint64().Draw(t, "seed"),
			Relevant: rapid.SampledFrom([]float64{0, 0, 2.5, 4}).Draw(t, "relevant"),
			N:        []int{rapid.IntRange(1, 10).Draw(t, "n")},
			Threads:  rapid.IntRange(1, 3).Draw(t, "threads"),
			Metrics:  []string{"auc"},
		}
		want := map[string]map[string]float64{"popularity": {}, "mean": {}}
		able, folds := map[string]bool{"popularity": true, "mean": true}, map[string]int{}
		d, divided := divisionOf(table, e)
		if divided == nil {
			for f := range d.Folds {
				popularity, mean := slowFold(table, d, f, e.N[0], e.Relevant)
				for metric := range popularity {
					folds[metric]++
				}
				for name, metrics := range map[string]map[string]float64{"popularity": popularity, "mean": mean} {
					able[name] = able[name] && metrics != nil
					for metric, x := range metrics {
						want[name][metric] += x
					}
				}
			}
		}
		for metric := range want["popularity"] {
			want["popularity"][metric] /= float64(folds[metric]) // a metric may say nothing of a fold
		}
		for metric := range want["mean"] {
			want["mean"][metric] /= float64(d.Folds)
		}
		for name := range want {
			e.Models = []string{name}
			r, err := evaluate.Run(t.Context(), e, nil)
			if divided != nil || !able[name] {
				if err == nil {
					t.Fatalf("%s: no error, though there is nothing to measure: %+v", name, r)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := map[string]float64{}
			for metric, x := range r.Models[0].Metrics {
				got[metric] = x.Mean
				if !(x.Low >= 0 && x.Low <= x.Mean && x.Mean <= x.High) {
					t.Fatalf("%s: %s is %+v, want low <= mean <= high", name, metric, x)
				}
			}
			near := gocmp.Comparer(func(x, y float64) bool { return math.Abs(x-y) < 1e-6 })
			if diff := gocmp.Diff(want[name], got, near); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", name, diff)
			}
			checkCounts(t, table, r)
		}
	})
}

func checkCounts(t *rapid.T, table *fusion.Table, r *evaluate.Result) {
	for i, c := range r.Folds {
		if c.TrainEntries+c.TestEntries+c.HistoryEntries+c.HiddenEntries != len(table.Item) || c.TestUsers+c.LeftOutUsers != len(table.Users) ||
			c.RelevantEntries > c.TestEntries || c.ColdUsers > c.TestUsers || c.ColdEntries > c.RelevantEntries {
			t.Fatalf("fold %d: counts %+v do not fit %d entries of %d users", i, c, len(table.Item), len(table.Users))
		}
	}
}

// tastes is a table of 60 users with ratings of 24 items of two kinds, and with times.
func tastes() *fusion.Table {
	t := &fusion.Table{Start: []int64{0}}
	for i := range 24 {
		t.Items = append(t.Items, fmt.Sprintf("i%02d", i))
	}
	rng := seeded(3)
	for u := range 60 {
		t.Users = append(t.Users, fmt.Sprintf("u%02d", u))
		for i := range 24 {
			like := i%2 == u%2
			if rng.Float64() < 0.2 || like && rng.Float64() < 0.6 {
				rating := float32(1 + rng.IntN(2))
				if like {
					rating += 3
				}
				t.Item, t.Weight, t.Time = append(t.Item, uint32(i)), append(t.Weight, rating), append(t.Time, rng.Int64N(1e9))
			}
		}
		t.Start = append(t.Start, int64(len(t.Item)))
	}
	return t
}

// kindsOfItems are products for the items of tastes, with the kind of each.
func kindsOfItems() map[string]train.Product {
	products := map[string]train.Product{}
	for i, key := range tastes().Items {
		products[key] = train.Product{Attributes: []train.Attribute{
			{Name: "kind", Texts: []string{fmt.Sprint(i % 2)}}, {Name: "place", Vector: []float32{float32(i % 2), float32(1 - i%2)}},
		}}
	}
	return products
}

// quickModels are all models, with little work for those that learn long.
func quickModels() []string {
	quick := map[string]string{
		"ncf":    "ncf(factors=4,iterations=1)",
		"nais":   "nais(factors=4,hidden=4,iterations=1)",
		"sasrec": "sasrec(factors=4,blocks=1,length=8,iterations=1)",
		"bpr":    "bpr(factors=4,iterations=3)",
		"warp":   "warp(factors=4,iterations=2)",
		"svd++":  "svd++(factors=4,iterations=3)",
		"mf":     "mf(factors=4,iterations=3)",

		"svd++-sgd": "svd++-sgd(factors=4,iterations=3)",
		"mf-sgd":    "mf-sgd(factors=4,iterations=3)",
	}
	names := evaluate.Models()
	for i, name := range names {
		names[i] = cmp.Or(quick[name], name)
	}
	return names
}

func TestRunIsTheSameForAnyThreads(t *testing.T) {
	splits, several := evaluate.Splits(), []int{0, 2, 5}
	if testing.Short() { // the same goroutines, whatever is divided
		splits, several = []string{evaluate.SplitRatio}, []int{5}
	}
	for _, split := range splits {
		run := func(threads int, seed uint64) *evaluate.Result {
			r, err := evaluate.Run(t.Context(), evaluate.Experiment{
				Data: tastes(), Products: kindsOfItems(), Models: quickModels(), Split: split, N: []int{5, 1}, Seed: seed, K: 8, Threads: threads, Samples: 300,
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range r.Models {
				r.Models[i].Seconds = 0
			}
			return r
		}
		one := run(1, 1)
		for _, threads := range several {
			if diff := gocmp.Diff(one, run(threads, 1), cmpopts.IgnoreUnexported(evaluate.Result{})); diff != "" {
				t.Errorf("%s: -1 thread +%d threads:\n%s", split, threads, diff)
			}
		}
		if split != evaluate.SplitTime && split != evaluate.SplitLeaveOneOut && gocmp.Equal(one.Models, run(1, 2).Models) {
			t.Errorf("%s: another seed gives the same figures", split)
		}
	}
}

func TestModelsBeatTheirBaselines(t *testing.T) {
	r, err := evaluate.Run(t.Context(), evaluate.Experiment{
		Data: tastes(), Products: kindsOfItems(), Models: quickModels(), Split: evaluate.SplitKFold, N: []int{5}, K: 8,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mean := map[string]map[string]evaluate.Estimate{}
	for _, m := range r.Models {
		mean[m.Name] = m.Metrics
	}
	for _, c := range []struct{ better, worse, metric string }{
		{"itemknn", "popularity", "ndcg@5"},
		{"userknn", "popularity", "ndcg@5"},
		{"hybrid", "popularity", "ndcg@5"},
		{"content", "popularity", "ndcg@5"},
		{"vectors", "popularity", "ndcg@5"},
		{"item-knn-baseline", "baseline", "rmse"},
		{"user-knn-baseline", "baseline", "rmse"},
	} {
		better, worse := mean[c.better][c.metric], mean[c.worse][c.metric]
		if c.metric == "rmse" {
			better, worse = worse, better
		}
		if better.Low <= worse.High {
			t.Errorf("%s of %s %+v and of %s %+v, want the first better beyond doubt", c.metric, c.better, mean[c.better][c.metric], c.worse, mean[c.worse][c.metric])
		}
	}
}

func TestValidate(t *testing.T) {
	valid := evaluate.Experiment{Models: []string{"popularity"}, Split: evaluate.SplitRatio}
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*evaluate.Experiment)
		want   []string // words of the error
	}{
		"no model":      {func(e *evaluate.Experiment) { e.Models = nil }, evaluate.Models()},
		"unknown model": {func(e *evaluate.Experiment) { e.Models = []string{"popularity", "magic"} }, append(evaluate.Models(), "magic")},
		"model twice":   {func(e *evaluate.Experiment) { e.Models = []string{"mean", "mean"} }, []string{"mean", "twice"}},
		"unknown split": {func(e *evaluate.Experiment) { e.Split = "half" }, append(evaluate.Splits(), "half")},
		"ratio":         {func(e *evaluate.Experiment) { e.Ratio = 1 }, []string{"ratio"}},
		"ratio is NaN":  {func(e *evaluate.Experiment) { e.Ratio = math.NaN() }, []string{"ratio"}},
		"folds":         {func(e *evaluate.Experiment) { e.Folds = 1 }, []string{"folds"}},
		"n":             {func(e *evaluate.Experiment) { e.N = []int{10, 0} }, []string{"n is"}},
		"relevant":      {func(e *evaluate.Experiment) { e.Relevant = math.Inf(1) }, []string{"relevant"}},
		"measure":       {func(e *evaluate.Experiment) { e.Measure = 99 }, []string{"Measure"}},
		"rating":        {func(e *evaluate.Experiment) { e.RatingMeasure = 99 }, []string{"Measure"}},
		"k":             {func(e *evaluate.Experiment) { e.K = -1 }, []string{"K is -1"}},
		"shrinkage":     {func(e *evaluate.Experiment) { e.Shrinkage = -1 }, []string{"Shrinkage"}},
		"support":       {func(e *evaluate.Experiment) { e.MinSupport = -1 }, []string{"MinSupport"}},
		"threads":       {func(e *evaluate.Experiment) { e.Threads = -1 }, []string{"threads"}},
	} {
		e := valid
		c.change(&e)
		err := e.Validate()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: error %q does not say %q", name, err, word)
			}
		}
	}
}

func TestRunRefuses(t *testing.T) {
	binary := tastes()
	binary.Weight, binary.Time = nil, nil
	single := &fusion.Table{Users: []string{"u"}, Items: []string{"i"}, Start: []int64{0, 1}, Item: []uint32{0}, Weight: []float32{2}}
	for name, e := range map[string]evaluate.Experiment{
		"no table":              {Models: []string{"popularity"}, Split: evaluate.SplitRatio},
		"empty table":           {Data: &fusion.Table{Start: []int64{0}}, Models: []string{"popularity"}, Split: evaluate.SplitRatio},
		"no ratings":            {Data: binary, Models: []string{"baseline"}, Split: evaluate.SplitRatio},
		"no times":              {Data: binary, Models: []string{"popularity"}, Split: evaluate.SplitTime},
		"one entry, top-N":      {Data: single, Models: []string{"popularity"}, Split: evaluate.SplitRatio},
		"one entry, ratings":    {Data: single, Models: []string{"mean"}, Split: evaluate.SplitLeaveOneOut},
		"no training data":      {Data: single, Models: []string{"item-knn-baseline"}, Split: evaluate.SplitKFold},
		"nothing is relevant":   {Data: tastes(), Models: []string{"popularity"}, Split: evaluate.SplitRatio, Relevant: 9},
		"settings out of range": {Data: tastes(), Models: []string{"popularity"}, Split: evaluate.SplitRatio, Ratio: 2},
	} {
		if r, err := evaluate.Run(t.Context(), e, nil); err == nil {
			t.Errorf("%s: %+v, want an error", name, r)
		}
	}
}

func TestRunIsCanceled(t *testing.T) {
	for _, models := range [][]string{{"popularity", "itemknn"}, {"baseline", "item-knn-means"}} {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		_, err := evaluate.Run(ctx, evaluate.Experiment{Data: tastes(), Models: models, Split: evaluate.SplitKFold}, func(int, int) {
			calls++
			cancel()
		})
		if !errors.Is(err, context.Canceled) || calls == 0 {
			t.Errorf("%v: error %v after %d calls of progress, want canceled", models, err, calls)
		}
	}
}

func TestProgress(t *testing.T) {
	last, end := 0, 0
	_, err := evaluate.Run(t.Context(), evaluate.Experiment{
		Data: tastes(), Models: []string{"popularity", "mean", "hybrid"}, Split: evaluate.SplitKFold, Folds: 3,
	}, func(done, total int) {
		if done <= last || done > total {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last, end = done, total
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != end || end == 0 {
		t.Errorf("progress ends at %d of %d", last, end)
	}
}

// What kith evaluate -o json promises.
func TestJSON(t *testing.T) {
	r, err := evaluate.Run(t.Context(), evaluate.Experiment{
		Data: tastes(), Models: []string{"popularity", "itemknn", "baseline"}, Split: evaluate.SplitRatio, N: []int{5, 10},
		Measure: similarity.Jaccard, K: 7,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Split  string
		Folds  []map[string]int
		Models []struct {
			Name       string
			Parameters map[string]any
			Seconds    *float64
			Metrics    map[string]map[string]float64
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Split != "ratio" || len(got.Models) != 3 || len(got.Folds) != 1 || got.Folds[0]["test_users"] == 0 {
		t.Fatalf("JSON %s", text)
	}
	for i, name := range []string{"popularity", "itemknn", "baseline"} {
		m := got.Models[i]
		if m.Name != name || m.Seconds == nil || m.Parameters == nil {
			t.Errorf("model %d is %+v, want %s with seconds and parameters", i, m, name)
		}
		metrics := []string{"rmse", "mae"}
		if name != "baseline" {
			metrics = nil
			for _, metric := range []string{"precision", "recall", "f1", "hitrate", "ndcg", "map", "mrr", "coverage", "diversity", "novelty", "serendipity", "calibration", "gini"} {
				metrics = append(metrics, metric+"@5", metric+"@10")
			}
		}
		slices.Sort(metrics)
		if keys := slices.Sorted(maps.Keys(m.Metrics)); !slices.Equal(keys, metrics) {
			t.Errorf("%s: metrics %v, want %v", name, keys, metrics)
		}
		for metric, x := range m.Metrics {
			if keys := slices.Sorted(maps.Keys(x)); !slices.Equal(keys, []string{"high", "low", "mean"}) {
				t.Errorf("%s: %s has %v, want mean, low, high", name, metric, keys)
			}
		}
	}
	if p := got.Models[1].Parameters; p["measure"] != "jaccard" || p["k"] != 7.0 {
		t.Errorf("parameters of itemknn are %v, want jaccard and 7", p)
	}
}

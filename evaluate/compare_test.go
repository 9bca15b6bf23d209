package evaluate_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
)

func run(t *testing.T, e evaluate.Experiment) *evaluate.Result {
	t.Helper()
	if e.Data == nil {
		e.Data = tastes()
	}
	r, err := evaluate.Run(t.Context(), e, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Among as many drawn items as there are, a single held-back item has the rank that it has among all.
func TestAllItemsDrawnIsTheWholeRanking(t *testing.T) {
	e := evaluate.Experiment{Models: []string{"popularity", "itemknn", "userknn"}, Split: evaluate.SplitLeaveRandomOut, N: []int{1, 3, 10}, Seed: 4}
	whole := run(t, e)
	e.Negatives = 1000
	drawn := run(t, e)
	if drawn.Candidates != "1+1000" || whole.Candidates != "all" {
		t.Errorf("candidates %q and %q", drawn.Candidates, whole.Candidates)
	}
	for i, m := range drawn.Models {
		if len(m.Metrics) != 7*3 {
			t.Errorf("%s has %d metrics, want those of hits alone", m.Name, len(m.Metrics))
		}
		for name, got := range m.Metrics {
			if want := whole.Models[i].Metrics[name]; math.Abs(got.Mean-want.Mean) > 1e-12 {
				t.Errorf("%s: %s is %v among drawn items, %v among all", m.Name, name, got.Mean, want.Mean)
			}
		}
	}
	e.Negatives = 3
	few := run(t, e)
	if few.Models[1].Metrics["hitrate@3"].Mean <= whole.Models[1].Metrics["hitrate@3"].Mean {
		t.Errorf("hit rate among 3 drawn items is %v, among all %v: want it higher", few.Models[1].Metrics["hitrate@3"], whole.Models[1].Metrics["hitrate@3"])
	}
	if again := run(t, e); !gocmp.Equal(few.Models[1].Metrics, again.Models[1].Metrics) {
		t.Error("the same seed draws other items")
	}
}

// Parameters in the name of a model are those of the experiment.
func TestParametersInNames(t *testing.T) {
	named := run(t, evaluate.Experiment{
		Models: []string{"itemknn(measure=jaccard,k=4,shrinkage=3,min-support=2)", "user-knn-means(k=7,measure=cosine)", "baseline(user-regularization=3)"}, Split: evaluate.SplitRatio,
	})
	flags := run(t, evaluate.Experiment{
		Models: []string{"itemknn"}, Split: evaluate.SplitRatio, Measure: 4, K: 4, Shrinkage: 3, MinSupport: 2,
	})
	if diff := gocmp.Diff(flags.Models[0].Metrics, named.Models[0].Metrics); diff != "" {
		t.Errorf("-settings of the experiment +in the name:\n%s", diff)
	}
	if diff := gocmp.Diff(flags.Models[0].Parameters, named.Models[0].Parameters); diff != "" {
		t.Errorf("parameters:\n%s", diff)
	}
	if p := named.Models[1].Parameters; p["k"] != 7 || p["measure"] != "cosine" {
		t.Errorf("parameters %v", p)
	}
	if p := named.Models[2].Parameters; p["user_regularization"] != 3.0 {
		t.Errorf("parameters %v", p)
	}
	for _, name := range []string{"itemknn(k=0)", "itemknn(measure=psychic)", "popularity(k=3)", "item-knn-basic(k=3,min-k=4)", "itemknn(k=3"} {
		if err := (evaluate.Experiment{Models: []string{name}, Split: evaluate.SplitRatio}).Validate(); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

func TestComparisons(t *testing.T) {
	e := evaluate.Experiment{Models: []string{"popularity", "itemknn", "userknn", "mean", "baseline", "user-knn-baseline"}, Split: evaluate.SplitKFold, N: []int{5}, K: 8, Samples: 1000}
	r := run(t, e)
	var references []string
	for _, m := range r.Models {
		if m.Against == nil {
			references = append(references, m.Name)
			continue
		}
		if m.Against.P <= 0 || m.Against.P > m.Against.PHolm || m.Against.PHolm > 1 {
			t.Errorf("%s: %+v", m.Name, m.Against)
		}
		if m.Against.Metric == "ndcg@5" && m.Against.Difference > 0 || m.Against.Metric == "rmse" && m.Against.Difference < 0 {
			t.Errorf("%s is better than the best: %+v", m.Name, m.Against)
		}
	}
	if len(references) != 2 {
		t.Errorf("compared with %v, want the best of each family", references)
	}
	if p := r.Models[0].Against; p == nil || p.PHolm > 0.01 {
		t.Errorf("popularity beside the best: %+v, want it worse beyond doubt", p)
	}
	e.Against, e.By = evaluate.AgainstFirst, "recall@5"
	if c := run(t, e).Models[1].Against; c == nil || c.With != "popularity" || c.Metric != "recall@5" || c.Difference <= 0 {
		t.Errorf("against the first: %+v", c)
	}
	e.Against = "userknn"
	if c := run(t, e).Models[0].Against; c == nil || c.With != "userknn" {
		t.Errorf("against userknn: %+v", c)
	}
}

func TestBootstrapInterval(t *testing.T) {
	e := evaluate.Experiment{Models: []string{"popularity", "itemknn", "baseline"}, Split: evaluate.SplitKFold, N: []int{5}, K: 8, Samples: 500}
	student := run(t, e)
	e.Interval = evaluate.IntervalBootstrap
	r := run(t, e)
	for i, m := range r.Models {
		for name, x := range m.Metrics {
			want := student.Models[i].Metrics[name]
			if math.Abs(x.Mean-want.Mean) > 1e-9 || x.Low > x.Mean || x.High < x.Mean {
				t.Errorf("%s: %s is %+v, with Student's t %+v", m.Name, name, x, want)
			}
		}
	}
	if x := r.Models[1].Metrics["ndcg@5"]; x.High-x.Low < 0.01 {
		t.Errorf("ndcg@5 is %+v, want an interval", x)
	}
}

func TestChoose(t *testing.T) {
	at := func(name string, mean, half, seconds float64) evaluate.ModelResult {
		return evaluate.ModelResult{Name: name, Seconds: seconds, Metrics: map[string]evaluate.Estimate{
			"ndcg@10": {Mean: mean, Low: mean - half, High: mean + half}, "calibration@10": {Mean: 1 - mean, Low: 1 - mean - half, High: 1 - mean + half},
		}}
	}
	for _, c := range []struct {
		name   string
		models []evaluate.ModelResult
		metric string
		want   string
		words  []string
	}{
		{"the best", []evaluate.ModelResult{at("a", 0.2, 0.01, 1), at("b", 0.3, 0.01, 9)}, "ndcg@10", "b", []string{"0.3000", "0.2000 of a", "worse"}},
		{"as good and cheaper", []evaluate.ModelResult{at("a", 0.29, 0.02, 1), at("b", 0.3, 0.02, 9)}, "ndcg@10", "a", []string{"0.2900", "0.3000 of b", "not significantly better", "9 s instead of 1 s"}},
		{"as good, not much cheaper", []evaluate.ModelResult{at("a", 0.29, 0.02, 5), at("b", 0.3, 0.02, 9)}, "ndcg@10", "b", []string{"5 s"}},
		{"alone", []evaluate.ModelResult{at("a", 0.29, 0.02, 5)}, "ndcg@10", "a", []string{"only"}},
		{"lower is better", []evaluate.ModelResult{at("a", 0.2, 0.01, 1), at("b", 0.3, 0.01, 9)}, "calibration@10", "b", []string{"0.7000", "0.8000"}},
	} {
		got, err := evaluate.Choose(&evaluate.Result{Models: c.models}, c.metric)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Model != c.want || got.Metric != c.metric {
			t.Errorf("%s: took %+v, want %s", c.name, got, c.want)
		}
		for _, word := range c.words {
			if !strings.Contains(got.Reason, word) {
				t.Errorf("%s: reason %q does not say %q", c.name, got.Reason, word)
			}
		}
	}
	if _, err := evaluate.Choose(&evaluate.Result{Models: []evaluate.ModelResult{at("a", 1, 0, 1)}}, "ndcg@3"); err == nil || !strings.Contains(err.Error(), "ndcg@10") {
		t.Errorf("unknown metric: %v, want the known ones named", err)
	}
	r := run(t, evaluate.Experiment{Models: []string{"popularity", "itemknn"}, Split: evaluate.SplitRatio, N: []int{5}, K: 8})
	got, err := evaluate.Choose(r, "ndcg@5")
	if err != nil || got.Model != "itemknn" || !strings.Contains(got.Reason, "p=") {
		t.Errorf("took %+v, %v, want itemknn by the paired test", got, err)
	}
}

// Tuning gives the same with any number of threads; what is known is not tried again; and the setting it takes is the best of its trials.
func TestTuning(t *testing.T) {
	for i, method := range evaluate.TuningMethods() {
		var kept []evaluate.Trial
		var mu sync.Mutex
		e := evaluate.Experiment{
			Models: []string{"popularity", "itemknn(min-support=1)", "baseline"}, Split: evaluate.SplitRatio, N: []int{5}, K: 3, Threads: 1,
			Samples: 200, Tuning: &evaluate.Tuning{Trials: 9, Method: method, Folds: 1 + i, Keep: func(x evaluate.Trial) error {
				mu.Lock()
				defer mu.Unlock()
				kept = append(kept, x)
				return nil
			}},
		}
		one := run(t, e)
		made := len(kept)
		ignore := []gocmp.Option{cmpopts.IgnoreUnexported(evaluate.Result{}), cmpopts.IgnoreFields(evaluate.ModelResult{}, "Seconds"), cmpopts.IgnoreFields(evaluate.Trial{}, "Seconds")}
		e.Threads = 3
		if diff := gocmp.Diff(one, run(t, e), ignore...); diff != "" {
			t.Errorf("%s: -1 thread +3 threads:\n%s", method, diff)
		}
		if len(kept) != 2*made || made == 0 {
			t.Errorf("%s: %d trials were kept the second time, %d the first", method, len(kept)-made, made)
		}
		e.Tuning.Known = slices.Concat(kept[:made/2], []evaluate.Trial{{Of: "other data", Name: kept[made-1].Name, Share: 1, Figure: evaluate.Estimate{Mean: 9}}})
		kept = nil
		if diff := gocmp.Diff(one, run(t, e), ignore...); diff != "" {
			t.Errorf("%s: -at once +interrupted:\n%s", method, diff)
		}
		if len(kept) != made-made/2 {
			t.Errorf("%s: %d trials after %d of %d were known", method, len(kept), made/2, made)
		}
		if len(one.Tuning) != 2 || one.Tuning[0].Model != "itemknn(min-support=1)" || one.Tuning[1].Metric != "rmse" {
			t.Fatalf("%s: tuned %+v", method, one.Tuning)
		}
		for _, tuned := range one.Tuning {
			best := tuned.Trials[slices.IndexFunc(tuned.Trials, func(x evaluate.Trial) bool { return x.Name == tuned.Best && x.Share == 1 })]
			for _, x := range tuned.Trials {
				if x.Share == 1 && (tuned.Metric == "rmse" && x.Figure.Mean < best.Figure.Mean || tuned.Metric != "rmse" && x.Figure.Mean > best.Figure.Mean) {
					t.Errorf("%s: %s has %v, better than %v of the best, %s", method, x.Name, x.Figure.Mean, best.Figure.Mean, tuned.Best)
				}
			}
		}
		if !strings.Contains(one.Models[1].Tuned, "min-support=1,measure=") || one.Models[1].Name != "itemknn(min-support=1)" || one.Models[0].Tuned != "" {
			t.Errorf("%s: names %q, tuned %q and %q", method, one.Models[1].Name, one.Models[1].Tuned, one.Models[0].Tuned)
		}
		other := e
		other.Tuning = &evaluate.Tuning{Trials: 9, Method: method, Folds: 4, Known: kept}
		for _, x := range run(t, other).Tuning[0].Trials {
			if x.Of == kept[0].Of {
				t.Fatalf("%s: a trial of other folds has the same fingerprint", method)
			}
		}
		plain := e
		plain.Tuning, plain.Validation, plain.Models = nil, 0, []string{one.Models[1].Tuned}
		if diff := gocmp.Diff(run(t, plain).Models[0].Metrics, one.Models[1].Metrics); diff != "" {
			t.Errorf("%s: -by the tuned name +after tuning:\n%s", method, diff)
		}
	}
}

// What is held back for the test has no part in tuning: with other test items of the same number, the trials are the same.
func TestTuningDoesNotSeeTheTest(t *testing.T) {
	e := evaluate.Experiment{Models: []string{"itemknn"}, Split: evaluate.SplitLeaveOneOut, N: []int{5}, Tuning: &evaluate.Tuning{Trials: 6}}
	table, other := tastes(), tastes()
	// The newest entry of each user is the test. Another rating of it is another test, and the same training data.
	for u := range table.Users {
		newest := other.Start[u]
		for p := other.Start[u]; p < other.Start[u+1]; p++ {
			if other.Time[p] > other.Time[newest] {
				newest = p
			}
		}
		other.Weight[newest] = 6 - other.Weight[newest]
		other.Time[newest]++
	}
	figures := func(table *fusion.Table) (out []float64) {
		e.Data = table
		for _, x := range run(t, e).Tuning[0].Trials {
			out = append(out, x.Figure.Mean)
		}
		return out
	}
	if a, b := figures(table), figures(other); !slices.Equal(a, b) || len(a) != 6 {
		t.Errorf("trials have %v, and %v with another test", a, b)
	}
}

// Validation data that are left out of the last training are in no answer.
func TestNoRefit(t *testing.T) {
	table := tastes()
	e := evaluate.Experiment{Data: table, Models: []string{"popularity", "itemknn"}, Split: evaluate.SplitRatio, Ratio: 0.8, N: []int{24}}
	whole := run(t, e)
	e.Validation, e.NoRefit = 0.2, true
	r := run(t, e)
	c := r.Folds[0]
	if c.HiddenEntries == 0 || c.TrainEntries+c.TestEntries+c.HiddenEntries != len(table.Item) || c.TestEntries != whole.Folds[0].TestEntries || r.Refit {
		t.Errorf("counts %+v, refit %v", c, r.Refit)
	}
	// All items that are left are in an answer of 24, so that every test item is found; and with as many candidates as before, none is worse placed by
	// what is hidden: precision has the same number of hits.
	for i := range r.Models {
		if got := r.Models[i].Metrics["recall@24"].Mean; got != 1 {
			t.Errorf("%s: recall of the whole answer is %v, want 1", r.Models[i].Name, got)
		}
	}
	e.Metrics, e.N = []string{"auc"}, []int{5}
	for _, m := range run(t, e).Models {
		if x := m.Metrics["auc"].Mean; !(x > 0.5 && x < 1) {
			t.Errorf("%s: auc %v, want better than chance", m.Name, x)
		}
	}
}

func TestSplitsOfUsers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		ratio := rapid.Float64Range(0.05, 0.95).Draw(t, "ratio")
		known := rapid.SampledFrom([]float64{0, ratio}).Draw(t, "known")
		d := evaluate.HoldOutUsers(table, ratio, known, seeded(rapid.Uint64().Draw(t, "seed")))
		able, cold, warm := 0, 0, 0
		for u := range table.Users {
			n, held, history := table.Start[u+1]-table.Start[u], 0, 0
			for p := table.Start[u]; p < table.Start[u+1]; p++ {
				if d.TestOf[p] == 0 {
					held++
				}
				if d.History[p] {
					history++
				}
				if d.TestOf[p] == 0 && d.History[p] {
					t.Fatalf("entry %d is in the query and in the test", p)
				}
			}
			if n > 1 {
				able++
			}
			switch {
			case held+history == 0:
				warm++
			case int64(held+history) != n || held == 0 || (history == 0) != (known == 0):
				t.Fatalf("user %d of %d entries has %d in the test and %d in queries", u, n, held, history)
			default:
				cold++
			}
		}
		want := min(able, len(table.Users)-1, max(1, int(math.Round((1-ratio)*float64(able)))))
		if cold != want || warm == 0 {
			t.Fatalf("%d of %d users are cold, want %d", cold, able, want)
		}
	})
}

func TestHoldOutNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		ratio := rapid.Float64Range(0.05, 0.95).Draw(t, "ratio")
		d, err := evaluate.HoldOutNewest(table, ratio, seeded(3))
		if table.Time == nil {
			if err == nil {
				t.Fatal("no error without times")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		same := evaluate.HoldOut(table, ratio, seeded(3))
		for u := range table.Users {
			held := heldOut(table, d, u)
			if len(held) != len(heldOut(table, same, u)) {
				t.Fatalf("user %d: %d entries, want as many as a random split", u, len(held))
			}
			for _, p := range held {
				for q := table.Start[u]; q < table.Start[u+1]; q++ {
					if d.TestOf[q] != 0 && table.Time[q] > table.Time[p] {
						t.Fatalf("user %d: entry %d is held back, entry %d is newer", u, p, q)
					}
				}
			}
		}
	})
}

func TestLeaveRandomOut(t *testing.T) {
	table := tastes()
	taken := map[int64]bool{}
	for seed := range uint64(200) {
		d := evaluate.LeaveRandomOut(table, seeded(seed))
		for u := range table.Users {
			held := heldOut(table, d, u)
			if len(held) != 1 {
				t.Fatalf("user %d: %d entries held back, want 1", u, len(held))
			}
			taken[held[0]] = true
		}
	}
	if len(taken) < len(table.Item)*99/100 { // a user has about 12 entries
		t.Errorf("200 seeds took %d of %d entries, want nearly all", len(taken), len(table.Item))
	}
}

// A result that has been to JSON and back still lets a model be chosen, by its intervals.
func TestChooseFromJSON(t *testing.T) {
	text, err := json.Marshal(run(t, evaluate.Experiment{Models: []string{"popularity", "itemknn"}, Split: evaluate.SplitRatio, N: []int{5}, K: 8}))
	if err != nil {
		t.Fatal(err)
	}
	var r evaluate.Result
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if c, err := evaluate.Choose(&r, "ndcg@5"); err != nil || c.Model != "itemknn" || !strings.Contains(c.Reason, "by the interval") {
		t.Errorf("took %+v, %v", c, err)
	}
}

func TestValidateMeasuring(t *testing.T) {
	valid := evaluate.Experiment{Models: []string{"popularity"}, Split: evaluate.SplitRatio}
	for name, c := range map[string]struct {
		change func(*evaluate.Experiment)
		want   string
	}{
		"negatives":               {func(e *evaluate.Experiment) { e.Negatives = -1 }, "negatives"},
		"metric":                  {func(e *evaluate.Experiment) { e.Metrics = []string{"luck"} }, "luck"},
		"auc of drawn items":      {func(e *evaluate.Experiment) { e.Metrics, e.Negatives = []string{"auc"}, 9 }, "auc"},
		"interval":                {func(e *evaluate.Experiment) { e.Interval = "wide" }, "bootstrap"},
		"samples":                 {func(e *evaluate.Experiment) { e.Samples = -1 }, "samples"},
		"against":                 {func(e *evaluate.Experiment) { e.Against = "itemknn" }, "popularity"},
		"by":                      {func(e *evaluate.Experiment) { e.By = "ndcg@9" }, "ndcg@10"},
		"by coverage":             {func(e *evaluate.Experiment) { e.By = "coverage@10" }, "ndcg@10"},
		"trials":                  {func(e *evaluate.Experiment) { e.Tuning = &evaluate.Tuning{} }, "trials"},
		"way of tuning":           {func(e *evaluate.Experiment) { e.Tuning = &evaluate.Tuning{Trials: 1, Method: "guess"} }, "halving"},
		"validation folds":        {func(e *evaluate.Experiment) { e.Tuning = &evaluate.Tuning{Trials: 1, Folds: 101} }, "1 to 100"},
		"more folds than data":    {func(e *evaluate.Experiment) { e.Tuning = &evaluate.Tuning{Trials: 1, Folds: 9} }, "at most 0.08889"},
		"folds without refit":     {func(e *evaluate.Experiment) { e.Tuning, e.NoRefit = &evaluate.Tuning{Trials: 1, Folds: 2}, true }, "refit"},
		"validation":              {func(e *evaluate.Experiment) { e.Validation = 0.8 }, "below"},
		"validation of folds":     {func(e *evaluate.Experiment) { e.Validation, e.Split = 0.1, evaluate.SplitKFold }, "k-fold"},
		"nothing to leave out":    {func(e *evaluate.Experiment) { e.NoRefit = true }, "validation"},
		"parameter out of bounds": {func(e *evaluate.Experiment) { e.Models = []string{"itemknn(k=-2)"} }, "k is -2"},
	} {
		e := valid
		c.change(&e)
		if err := e.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", name, err, c.want)
		}
	}
}

package page_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/evaluate/page"
)

// out keeps the pages of tests, to be looked at.
var out = flag.String("out", "", "folder to write the pages to")

func write(t *testing.T, name string, r *evaluate.Result, about page.About) string {
	t.Helper()
	var b strings.Builder
	if err := page.Write(&b, r, about); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, bad := range []string{"ZgotmplZ", "NaN", "<script", "http://", "https://", "url(", "@import", " src=", "<link", "<no value>", "%!"} {
		if strings.Contains(text, bad) {
			t.Errorf("%s: the page has %q", name, bad)
		}
	}
	if *out != "" {
		if err := os.WriteFile(filepath.Join(*out, name+".html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return text
}

func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
}

// ranking makes the figures of a model for top-N, whose NDCG is x.
func ranking(name string, x float64, against *evaluate.Comparison) evaluate.ModelResult {
	m := evaluate.ModelResult{Name: name, Seconds: 1, Parameters: map[string]any{}, Metrics: map[string]evaluate.Estimate{}, Against: against}
	for _, n := range []int{5, 10} {
		for _, kind := range evaluate.Metrics() {
			if kind != "auc" {
				m.Metrics[fmt.Sprintf("%s@%d", kind, n)] = evaluate.Estimate{Mean: x, Low: x - 0.01, High: x + 0.01}
			}
		}
	}
	return m
}

func result() *evaluate.Result {
	rating := func(name string, rmse float64) evaluate.ModelResult {
		return evaluate.ModelResult{Name: name, Seconds: 0.001, Metrics: map[string]evaluate.Estimate{"rmse": {Mean: rmse, Low: rmse, High: rmse}, "mae": {Mean: rmse / 2, Low: rmse / 2, High: rmse / 2}}}
	}
	return &evaluate.Result{
		Split: "ratio", Ratio: 0.8, Seed: 7, Validation: 0.1, ValidationFolds: 4, Refit: true, Interval: "student", Users: 943, Items: 1682, Entries: 100_000,
		Folds: []evaluate.FoldCounts{{TestUsers: 940, TestEntries: 20_000}},
		Models: []evaluate.ModelResult{
			ranking("popularity", 0.2, &evaluate.Comparison{With: "itemknn", Metric: "ndcg@5", Difference: -0.1, P: 0.0001, PHolm: 0.0001}),
			ranking("itemknn", 0.3, nil),
			rating("mean", 1.1),
			rating("baseline", 0.9),
			{Name: "rules", Failed: "too many <i>itemsets"},
		},
		Tuning: []evaluate.TunedModel{{
			Model: "itemknn", Best: "itemknn(k=20)", Method: "halving", Metric: "ndcg@5", Trials: []evaluate.Trial{
				{Name: "itemknn(k=50)", Share: 1.0 / 3, Figure: evaluate.Estimate{Mean: 0.2}, Seconds: 0.5},
				{Name: "itemknn(k=20)", Share: 1, Figure: evaluate.Estimate{Mean: 0.25}},
				{Name: "itemknn(k=1)", Share: 1, Failed: "too few <b>neighbors</b>"},
			},
		}, {
			Model: "rules", Failed: "no trial worked", Method: "halving", Metric: "ndcg@5", Trials: []evaluate.Trial{{Name: "rules(min-lift=2)", Share: 1, Failed: "too many"}},
		}},
	}
}

func TestPage(t *testing.T) {
	text := write(t, "models", result(), page.About{Data: "ratings.csv", Version: "1.2.3", Started: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)})
	contains(t, text,
		"ratings.csv", "1.2.3", "2026-03-01 09:30 UTC", "split ratio, 80% for training, seed 7", "Validation data: 10% in each of 4 folds", "100,000", "20,000 held back",
		"Take itemknn: ndcg@5 0.3000 against 0.2000 of popularity, which is worse", "Take baseline: rmse 0.9000",
		"Top 5, by ndcg@5", "Beyond hits", "-0.1000", "&lt;0.001", "<summary>Top 10, by ndcg@5</summary>",
		"ndcg@5 against coverage@5", "recall by the length of answers", "lower is better",
		"rules failed and has no figures: too many &lt;i&gt;itemsets.", "Nothing is taken: no trial worked", "rules(min-lift=2)",
		"ndcg@5 on validation data, halving", "too few &lt;b&gt;neighbors", "All 3 trials", "itemknn(k=20)", "33%",
	)
	if strings.Index(text, "<td class=\"t\">itemknn</td>") > strings.Index(text, "<td class=\"t\">popularity</td>") {
		t.Error("the better model is not first")
	}
	if strings.Index(text, "<td class=\"t\">baseline</td>") > strings.Index(text, "<td class=\"t\">mean</td>") {
		t.Error("the model with the smaller error is not first")
	}
}

func TestPageOfDrawnCandidates(t *testing.T) {
	r := result()
	r.Tuning, r.Validation, r.Negatives, r.Models = nil, 0, 99, r.Models[:2]
	for i := range r.Models {
		for name := range r.Models[i].Metrics {
			if kind := evaluate.Kind(name); kind != "ndcg" && kind != "hitrate" {
				delete(r.Models[i].Metrics, name)
			}
		}
	}
	text := write(t, "drawn", r, page.About{})
	contains(t, text, "among 99 drawn ones")
	for _, absent := range []string{"Beyond hits", "Accuracy is not all", "tuning has tried", "Ratings"} {
		if strings.Contains(text, absent) {
			t.Errorf("the page has %q", absent)
		}
	}
}

func TestPageEscapes(t *testing.T) {
	r := result()
	r.Models[0].Name, r.Models[1].Name = `<script>alert(1)</script>`, `"><img>`
	text := write(t, "hostile", r, page.About{Data: "<script>", Version: "<script>"})
	if strings.Contains(text, "<img") {
		t.Error("not escaped")
	}
}

package evaluate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kith-io/kith/evaluate"
)

// TestCombinations: combinations are made of the named models, know them in their settings, and rank better than the weakest of them.
func TestCombinations(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	table := movieLens(t)
	base := []string{"itemknn", "popularity"}
	combined := []string{"rrf", "blend(weight-2=0.2)", "switch(until-1=1000)", "ranker(held=random,learner=linear,depth=30,users=200)", "ranker(held=random,depth=30,users=200,trees=5)"}
	e := evaluate.Experiment{Data: table, Models: append(slices.Clone(base), combined...), Base: base, Split: evaluate.SplitRatio, Threads: 2}
	r, err := evaluate.Run(t.Context(), e, nil)
	if err != nil {
		t.Fatal(err)
	}
	weakest := r.Models[1].Metrics["ndcg@10"].Mean
	for _, m := range r.Models[len(base):] {
		if got, _ := m.Parameters["base"].([]string); !slices.Equal(got, base) {
			t.Errorf("%s: base %v, want %v", m.Name, m.Parameters["base"], base)
		}
		if _, more := m.Parameters["weight-3"]; more {
			t.Errorf("%s has a weight for a model that is not there: %v", m.Name, m.Parameters)
		}
		if got := m.Metrics["ndcg@10"].Mean; got < 1.1*weakest {
			t.Errorf("%s: NDCG@10 is %.3f, want a tenth more than the %.3f of popularity", m.Name, got, weakest)
		}
	}
	// All histories are shorter than 1000: the switch is the first model.
	if got, want := r.Models[4].Metrics["ndcg@10"], r.Models[0].Metrics["ndcg@10"]; got != want {
		t.Errorf("the switch has NDCG@10 %v, the model that it leads to %v", got, want)
	}
}

func TestBaseIsChecked(t *testing.T) {
	for base, want := range map[string]string{
		"baseline":          "top-N",
		"rrf":               "made of no others",
		"als(":              "closing",
		"nobody":            "unknown",
		"itemknn itemknn":   "twice",
		"clusters(k=0.5)":   "whole",
		"popularity(depth)": "parameter",
	} {
		e := evaluate.Experiment{Models: []string{"blend"}, Base: strings.Fields(base), Split: evaluate.SplitRatio}
		if err := e.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("base %q: error %v, want one with %q", base, err, want)
		}
	}
}

package evaluate_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/model/rules"
)

// TestFailureOfOneModel: the figures of the others are those that they have without it, with tuning and without; alone it is an error.
func TestFailureOfOneModel(t *testing.T) {
	e := evaluate.Experiment{Data: tastes(), Split: evaluate.SplitRatio, Seed: 1, Threads: 2}
	run := func(tuning *evaluate.Tuning, models ...string) (*evaluate.Result, error) {
		e.Models, e.Tuning = models, tuning
		return evaluate.Run(t.Context(), e, nil)
	}
	for _, tuning := range []*evaluate.Tuning{nil, {Trials: 3}, {Trials: 3, Method: evaluate.TuneTPE}, {Trials: 3, Method: evaluate.TuneHalving}} {
		want, err := run(tuning, "popularity", "itemknn")
		if err != nil {
			t.Fatal(err)
		}
		const fails = "rules(max-itemsets=1)"
		got, err := run(tuning, "popularity", fails, "itemknn")
		if err != nil {
			t.Fatal(err)
		}
		m := got.Models[1]
		if m.Name != fails || !strings.Contains(m.Failed, rules.ErrTooMany.Error()) || len(m.Metrics) != 0 || m.Against != nil {
			t.Errorf("tuning %+v: the model that fails is %+v", tuning, m)
		}
		others := []evaluate.ModelResult{got.Models[0], got.Models[2]}
		seconds := cmpopts.IgnoreFields(evaluate.ModelResult{}, "Seconds")
		if tuning == nil { // tuning draws other settings for a model in another place
			if d := gocmp.Diff(want.Models, others, seconds); d != "" {
				t.Errorf("the other models (-without it +with it):\n%s", d)
			}
		} else if at := len(got.Tuning) - 2; got.Tuning[at].Best != "" || got.Tuning[at].Failed == "" || others[1].Failed != "" || len(others[1].Metrics) == 0 {
			t.Errorf("tuning %+v: found %+v for %+v", tuning, got.Tuning, others)
		}
		if _, err := run(tuning, fails); err == nil || !strings.Contains(err.Error(), rules.ErrTooMany.Error()) {
			t.Errorf("tuning %+v: alone it is the error %v, want ErrTooMany", tuning, err)
		}
	}
	e.Against = "rules(max-itemsets=1)"
	if r, err := run(nil, "popularity", e.Against, "itemknn"); err != nil || !strings.Contains(r.Uncompared, e.Against) || r.Models[0].Against != nil || r.Models[2].Against != nil {
		t.Errorf("against a model that fails: %+v, %v; want that nothing is compared, and why", r, err)
	}
	e.Against = "popularity"
	if r, err := run(nil, "popularity", "rules(max-itemsets=1)", "itemknn"); err != nil || r.Uncompared != "" || r.Models[2].Against == nil {
		t.Errorf("against a model beside one that fails: %+v, %v", r, err)
	}
	e.Against = ""
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.Models, e.Tuning = []string{"popularity"}, nil
	if _, err := evaluate.Run(ctx, e, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that is stopped: %v, want that of the context", err)
	}
}

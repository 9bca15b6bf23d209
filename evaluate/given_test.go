package evaluate_test

import (
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
)

// tableOf returns the table of some entries of another one, with the users and items that have any, as reading a file of them does.
func tableOf(t *fusion.Table, keep func(p int64) bool) *fusion.Table {
	out := &fusion.Table{Start: []int64{0}}
	has := map[uint32]bool{}
	for p, id := range t.Item {
		has[id] = has[id] || keep(int64(p))
	}
	number := make([]uint32, len(t.Items))
	for id, key := range t.Items {
		if has[uint32(id)] {
			number[id] = uint32(len(out.Items))
			out.Items = append(out.Items, key)
		}
	}
	for u, key := range t.Users {
		for p := t.Start[u]; p < t.Start[u+1]; p++ {
			if keep(p) {
				out.Item = append(out.Item, number[t.Item[p]])
				out.Weight, out.Time = append(out.Weight, t.Weight[p]), append(out.Time, t.Time[p])
			}
		}
		if n := int64(len(out.Item)); n > out.Start[len(out.Start)-1] {
			out.Users, out.Start = append(out.Users, key), append(out.Start, n)
		}
	}
	return out
}

// TestGivenTestData: the parts of a division, given apart, lead to the figures of that division, also where users or items are in one of them only.
func TestGivenTestData(t *testing.T) {
	whole := tastes()
	for _, split := range []string{evaluate.SplitRatio, evaluate.SplitTime, evaluate.SplitLeaveOneOut} {
		e := evaluate.Experiment{Models: []string{"popularity", "itemknn", "baseline"}, Split: split, Ratio: 0.1, N: []int{5}, Seed: 4}
		d, err := divisionOf(whole, e)
		if err != nil {
			t.Fatal(err)
		}
		want := run(t, e)
		e.Data = tableOf(whole, func(p int64) bool { return d.TestOf[p] != 0 })
		e.Test = tableOf(whole, func(p int64) bool { return d.TestOf[p] == 0 })
		if split == evaluate.SplitTime && (len(e.Data.Users) == len(whole.Users) || len(e.Data.Items) == len(whole.Items)) {
			t.Fatalf("%d users and %d items have training data, want some without", len(e.Data.Users), len(e.Data.Items))
		}
		e.Split = evaluate.SplitGiven
		got := run(t, e)
		if got.Split != evaluate.SplitGiven || got.Repeated != 0 || got.Entries != want.Entries {
			t.Errorf("%s: %s, %d entries, %d repeated", split, got.Split, got.Entries, got.Repeated)
		}
		if diff := gocmp.Diff(want.Folds, got.Folds); diff != "" {
			t.Errorf("%s: -divided +given:\n%s", split, diff)
		}
		for i := range want.Models {
			if diff := gocmp.Diff(want.Models[i].Metrics, got.Models[i].Metrics); diff != "" {
				t.Errorf("%s, %s: -divided +given:\n%s", split, want.Models[i].Name, diff)
			}
		}
		e.Test = tableOf(whole, func(p int64) bool { return d.TestOf[p] == 0 || p%3 == 0 })
		again := run(t, e)
		if again.Repeated == 0 || !slices.Equal(again.Folds, got.Folds) {
			t.Errorf("%s: with entries of the training data too, %d repeated, %+v, want %+v", split, again.Repeated, again.Folds, got.Folds)
		}
	}
}

// TestGivenTestDataTunes: tuning looks at the training data only, and its trials are of one test set.
func TestGivenTestDataTunes(t *testing.T) {
	whole := tastes()
	held := func(p int64) bool { return p%4 == 0 }
	e := evaluate.Experiment{
		Data: tableOf(whole, func(p int64) bool { return !held(p) }), Test: tableOf(whole, held), Split: evaluate.SplitGiven, N: []int{5},
		Models: []string{"itemknn"}, Tuning: &evaluate.Tuning{Trials: 4}, Validation: 0.2,
	}
	first := run(t, e)
	n := len(e.Data.Item)
	if got := first.Folds[0].TrainEntries; got != n {
		t.Errorf("trained with %d entries, want all %d", got, n)
	}
	e.NoRefit = true
	if c := run(t, e).Folds[0]; c.HiddenEntries < n/6 || c.HiddenEntries > n/4 || c.TrainEntries != n-c.HiddenEntries {
		t.Errorf("held back for tuning %d of %d entries, want a fifth", c.HiddenEntries, n)
	}
	e.NoRefit, e.Test = false, tableOf(whole, func(p int64) bool { return p%8 == 0 })
	other := run(t, e)
	for i, x := range first.Tuning[0].Trials {
		y := other.Tuning[0].Trials[i]
		if x.Of == y.Of || x.Name != y.Name || x.Figure != y.Figure {
			t.Errorf("trial %d is %+v, with other test data %+v, want the same but for what it is of", i, x, y)
		}
	}
	e.Split = evaluate.SplitRatio
	if _, err := evaluate.Run(t.Context(), e, nil); err == nil || !strings.Contains(err.Error(), evaluate.SplitGiven) {
		t.Errorf("given test data and another split: %v", err)
	}
}

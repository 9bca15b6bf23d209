package popularity_test

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/similarity"
)

func TestConformance(t *testing.T) {
	modeltest.RunImpersonal(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
		return popularity.New(rows), nil
	})
}

func TestRecommendByHand(t *testing.T) {
	// Users of items 0 to 4: 1, 3, 2, 2, 0; weights do not count.
	rows := &similarity.Rows{
		NumItems: 5,
		Start:    []int64{0, 2, 5, 8},
		Item:     []uint32{0, 1, 1, 2, 3, 1, 2, 3},
		Weight:   []float32{100, 1, 1, 1, 9, 1, 1, 9},
	}
	m := popularity.New(rows)
	if got, want := m.Order(), []uint32{1, 2, 3, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("Order = %v, want %v", got, want)
	}
	answer, err := m.Recommend(model.Query{User: 0, Items: rows.Item[:2], N: 3})
	if err != nil {
		t.Fatalf("Recommend: %v", err)
	}
	want := []model.Scored{{Item: 2, Score: 2}, {Item: 3, Score: 2}, {Item: 4}}
	if diff := gocmp.Diff(want, answer); diff != "" {
		t.Errorf("Recommend (-want +got):\n%s", diff)
	}
}

func TestWindowOfLargerMatrix(t *testing.T) {
	rows := &similarity.Rows{NumItems: 2, Start: []int64{2, 3}, Item: []uint32{0, 1, 1, 0}}
	if got, want := popularity.Counts(rows), []int64{0, 1}; !slices.Equal(got, want) {
		t.Errorf("Counts of the window = %v, want %v", got, want)
	}
}

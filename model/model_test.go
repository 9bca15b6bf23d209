package model_test

import (
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/model"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name  string
		query model.Query
		valid bool
	}{
		{"empty", model.Query{User: -1}, true},
		{"last item, last user", model.Query{User: 1, Items: []uint32{0, 2}, N: 10}, true},
		{"weights", model.Query{User: -1, Items: []uint32{1}, Weights: []float32{2}}, true},
		{"item out of range", model.Query{User: -1, Items: []uint32{3}}, false},
		{"largest id", model.Query{User: -1, Items: []uint32{1<<32 - 1}}, false},
		{"user out of range", model.Query{User: 2}, false},
		{"item twice", model.Query{User: -1, Items: []uint32{1, 1}}, false},
		{"descending", model.Query{User: -1, Items: []uint32{1, 0}}, false},
		{"negative N", model.Query{User: -1, N: -1}, false},
		{"weight missing", model.Query{User: -1, Items: []uint32{1}, Weights: []float32{}}, false},
	} {
		err := c.query.Check(3, 2)
		if c.valid && err != nil || !c.valid && !errors.Is(err, model.ErrQuery) {
			t.Errorf("%s: Check = %v, want valid: %v", c.name, err, c.valid)
		}
	}
}

func TestFillByHand(t *testing.T) {
	order := []uint32{4, 2, 0, 1, 3}
	top := []model.Scored{{Item: 2, Score: 1.5}}
	for _, c := range []struct {
		name     string
		n        int
		excluded []uint32
		want     []model.Scored
	}{
		{"full already", 1, nil, top},
		{"more than asked is kept", 0, nil, top},
		{"in order", 3, nil, []model.Scored{top[0], {Item: 4, Filled: true}, {Item: 0, Filled: true}}},
		{"without excluded", 3, []uint32{0, 4}, []model.Scored{top[0], {Item: 1, Filled: true}, {Item: 3, Filled: true}}},
		{"catalog ends", 9, []uint32{0, 1, 4}, []model.Scored{top[0], {Item: 3, Filled: true}}},
	} {
		if diff := gocmp.Diff(c.want, model.Fill(slices.Clone(top), c.n, order, c.excluded)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestFillIsPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.Permutation([]uint32{0, 1, 2, 3, 4, 5, 6, 7}).Draw(t, "order")
		excluded := rapid.SliceOfDistinct(rapid.Uint32Range(0, 7), rapid.ID[uint32]).Draw(t, "excluded")
		slices.Sort(excluded)
		n := rapid.IntRange(0, 10).Draw(t, "n")
		m := rapid.IntRange(0, n).Draw(t, "m")
		long, short := model.Fill(nil, n, order, excluded), model.Fill(nil, m, order, excluded)
		if want := min(n, 8-len(excluded)); len(long) != want {
			t.Fatalf("%d items, want %d", len(long), want)
		}
		if !slices.Equal(short, long[:min(m, len(long))]) {
			t.Fatalf("for %d %v, want the first of %v", m, short, long)
		}
	})
}

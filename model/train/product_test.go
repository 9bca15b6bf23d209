package train_test

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/model/train"
)

func TestProductOf(t *testing.T) {
	const dayMs = 24 * 60 * 60 * 1000
	r := &catalog.Record{Key: "p", Attributes: []catalog.Attribute{
		{Name: "brand", Value: catalog.Value{Type: catalog.Text, Text: "Kith"}},
		{Name: "empty", Value: catalog.Value{Type: catalog.Texts}},
		{Name: "fragile", Value: catalog.Value{Type: catalog.Bool, Bool: true}},
		{Name: "price", Value: catalog.Value{Type: catalog.Number, Number: 9.5}},
		{Name: "since", Value: catalog.Value{Type: catalog.Time, Millis: 3 * dayMs / 2}},
		{Name: "tags", Value: catalog.Value{Type: catalog.Texts, Texts: []string{"a", "b"}}},
		{Name: "taste", Value: catalog.Value{Type: catalog.Text, Text: " [0.5, -1e-3,2] "}},
		{Name: "title", Value: catalog.Value{Type: catalog.Text, Text: "[1, 2, three]"}},
		{Name: "too large", Value: catalog.Value{Type: catalog.Text, Text: "[1, 1e99]"}},
		{Name: "year", Value: catalog.Value{Type: catalog.Text, Text: "[1999]"}},
	}}
	want := train.Product{Attributes: []train.Attribute{
		{Name: "brand", Texts: []string{"Kith"}},
		{Name: "fragile", Texts: []string{"true"}},
		{Name: "price", Number: 9.5},
		{Name: "since", Number: 1.5},
		{Name: "tags", Texts: []string{"a", "b"}},
		{Name: "taste", Vector: []float32{0.5, -0.001, 2}},
		{Name: "title", Texts: []string{"[1, 2, three]"}},
		{Name: "too large", Texts: []string{"[1, 1e99]"}},
		{Name: "year", Texts: []string{"[1999]"}},
	}}
	if d := gocmp.Diff(want, train.ProductOf(r)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := gocmp.Diff(want.Attributes[1:3], train.ProfileOf(r, []string{"fragile", "nobody", "price"})); d != "" {
		t.Errorf("profile -want +got:\n%s", d)
	}
}

func TestVectorIsReadAsWritten(t *testing.T) {
	for _, v := range [][]float32{{0, 1}, {-1e-30, 3.4e38, 1.0 / 3}} {
		if got := train.ParseVector(train.FormatVector(v)); !slices.Equal(got, v) {
			t.Errorf("%v is written as %s, and read as %v", v, train.FormatVector(v), got)
		}
	}
}

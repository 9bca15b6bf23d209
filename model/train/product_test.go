package train_test

import (
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
	}}
	want := train.Product{Attributes: []train.Attribute{
		{Name: "brand", Texts: []string{"Kith"}},
		{Name: "fragile", Texts: []string{"true"}},
		{Name: "price", Number: 9.5},
		{Name: "since", Number: 1.5},
		{Name: "tags", Texts: []string{"a", "b"}},
	}}
	if d := gocmp.Diff(want, train.ProductOf(r)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := gocmp.Diff(want.Attributes[1:3], train.ProfileOf(r, []string{"fragile", "nobody", "price"})); d != "" {
		t.Errorf("profile -want +got:\n%s", d)
	}
}

package wire_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestRecords(t *testing.T) {
	want := []catalog.Record{
		{Key: "gone", Version: 3, Deleted: true},
		{Key: "p", Version: 1, Places: []byte("here"), Attributes: []catalog.Attribute{
			{Name: "a", Value: catalog.Value{Type: catalog.Text, Text: ""}},
			{Name: "b", Value: catalog.Value{Type: catalog.Number, Number: -1.5}},
			{Name: "c", Value: catalog.Value{Type: catalog.Bool, Bool: true}},
			{Name: "d", Value: catalog.Value{Type: catalog.Time, Millis: 5}},
			{Name: "e", Value: catalog.Value{Type: catalog.Texts, Texts: []string{}}},
			{Name: "f", Value: catalog.Value{Type: catalog.Texts, Texts: []string{"x", "y"}}},
		}},
	}
	got, err := wire.RecordsFromProto(wire.RecordsToProto(want))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
	for _, kind := range catalog.Kinds {
		if back, err := wire.KindFromProto(wire.KindToProto(kind)); back != kind || err != nil {
			t.Errorf("%v became %v, error %v", kind, back, err)
		}
	}
	if _, err := wire.KindFromProto(0); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("no kind: %v", err)
	}
}

func TestRecordOutOfBounds(t *testing.T) {
	for name, m := range map[string]*kithv1.Record{
		"nothing":         nil,
		"attribute twice": {Key: "k", Attributes: []*kithv1.Attribute{{Name: "a", Value: &kithv1.Attribute_Truth{}}, {Name: "a", Value: &kithv1.Attribute_Truth{}}}},
		"no value":        {Key: "k", Attributes: []*kithv1.Attribute{{Name: "a"}}},
	} {
		if _, err := wire.RecordFromProto(m); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

package wire_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestFeatures(t *testing.T) {
	want := view.User{
		Events: map[fusion.Behavior]int{fusion.View: 3, "own": 1}, Items: 2, First: 3, Last: 9, LastOrder: 8, Orders: 4, Revenue: 1.5,
		Quantity: 5, Canceled: 6, Unpriced: 7, Sessions: view.Sessions{Count: 2, Events: 1.5, Seconds: 60, Converted: 0.5},
		Categories: []view.Share{{Name: "a", Share: 0.75}, {Name: "b", Share: 0.25}}, Prices: &view.Prices{Mean: 4, Low: 1, Median: 2, High: 3},
	}
	for _, want := range []view.User{want, {Events: map[fusion.Behavior]int{}, Categories: []view.Share{}}} {
		user, got := wire.UserFeaturesFromProto(wire.UserFeaturesToProto("u", &want))
		if diff := cmp.Diff(want, got); user != "u" || diff != "" {
			t.Errorf("user %q, -want +got:\n%s", user, diff)
		}
	}
	x := &view.Item{Events: map[fusion.Behavior]int{fusion.Purchase: 3}, Users: 2, Buyers: 1, Quantity: 3, Canceled: 4, Unpriced: 5, Revenue: 6, First: 7, Last: 8}
	item, got := wire.ProductFeaturesFromProto(wire.ProductFeaturesToProto("i", x))
	if diff := cmp.Diff(x, got); item != "i" || diff != "" {
		t.Errorf("item %q, -want +got:\n%s", item, diff)
	}
	rfm := view.RFM{Recency: 1, Frequency: 2, Monetary: 3}
	if back := wire.RFMFromProto(wire.RFMToProto(rfm)); *back != rfm || wire.RFMFromProto(nil) != nil {
		t.Errorf("classes %+v became %+v", rfm, back)
	}
}

func TestCompleteFeatures(t *testing.T) {
	got, err := wire.CompleteFeatures(nil, 77)
	want := &kithv1.FeatureOptions{NowUnixMs: 77, SessionGapMs: 1_800_000, CategoryAttribute: "category", PriceAttribute: "price"}
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("defaults %v, error %v, want %v", got, err, want)
	}
	want = &kithv1.FeatureOptions{NowUnixMs: 5, SessionGapMs: 6, CategoryAttribute: "c", PriceAttribute: "p"}
	if got, err = wire.CompleteFeatures(want, 77); err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, error %v, want %v", got, err, want)
	}
	if o := wire.FeaturesFromProto(got); o.Now != 5 || o.SessionGap != 6*time.Millisecond || len(o.Weights.Behavior) == 0 {
		t.Errorf("options %+v", o)
	}
	for name, m := range map[string]*kithv1.FeatureOptions{
		"now is -1":         {NowUnixMs: -1},
		"now is 9223":       {NowUnixMs: math.MaxInt64},
		"session gap is -1": {SessionGapMs: -1},
		"session gap is 92": {SessionGapMs: math.MaxInt64},
		"has 129 bytes":     {PriceAttribute: strings.Repeat("x", 129)},
	} {
		if _, err := wire.CompleteFeatures(m, 1); !errors.Is(err, wire.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestProductFromProto(t *testing.T) {
	o := &kithv1.FeatureOptions{CategoryAttribute: "group", PriceAttribute: "cost"}
	record := func(values ...any) *kithv1.Record {
		r := catalog.Record{Key: "p"}
		for i := 0; i < len(values); i += 2 {
			r.Attributes = append(r.Attributes, catalog.Attribute{Name: values[i].(string), Value: values[i+1].(catalog.Value)})
		}
		return wire.RecordToProto(&r)
	}
	text := catalog.Value{Type: catalog.Text, Text: "tea"}
	list := catalog.Value{Type: catalog.Texts, Texts: []string{"hot", "cold"}}
	number := catalog.Value{Type: catalog.Number, Number: 2.5}
	for _, c := range []struct {
		name   string
		record *kithv1.Record
		want   view.Product
	}{
		{"both", record("cost", number, "group", text), view.Product{Category: "tea", Price: 2.5}},
		{"first of a list", record("group", list), view.Product{Category: "hot"}},
		{"empty list", record("group", catalog.Value{Type: catalog.Texts, Texts: []string{}}), view.Product{}},
		{"wrong types", record("cost", text, "group", number), view.Product{}},
		{"other names", record("category", text, "price", number), view.Product{}},
		{"deleted", &kithv1.Record{Key: "p", Deleted: true}, view.Product{}},
	} {
		if got := wire.ProductFromProto(c.record, o); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestChunks: all rows come, in order, in messages that are not much larger than they may be.
func TestChunks(t *testing.T) {
	if got := wire.Chunks[*kithv1.Record](nil); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("no rows are cut into %v, want one empty message", got)
	}
	var rows, back []*kithv1.Record
	for i := range 100 {
		rows = append(rows, &kithv1.Record{Version: int64(i), Places: make([]byte, 50_000)})
	}
	chunks := wire.Chunks(rows)
	for _, chunk := range chunks {
		if n := proto.Size(&kithv1.GetRecordsResponse{Records: chunk}); n > 600_000 {
			t.Errorf("a message of %d bytes", n)
		}
		back = append(back, chunk...)
	}
	if len(chunks) < 9 || len(chunks) > 12 || len(back) != len(rows) {
		t.Errorf("%d messages of %d rows", len(chunks), len(back))
	}
	for i := range back {
		if back[i] != rows[i] {
			t.Fatalf("row %d is not in its place", i)
		}
	}
}

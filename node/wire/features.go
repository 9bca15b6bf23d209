package wire

import (
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Defaults of features.
const (
	DefaultCategoryAttribute = "category"
	DefaultPriceAttribute    = "price"
)

const (
	// chunkBytes is the size of a message of rows, but for its last one.
	chunkBytes = 512 << 10
	// rowOverhead is what a row takes besides its own bytes, so that small ones do not make a long message.
	rowOverhead = 64
	// itemsAtOnce is the number of items that are made messages of at once.
	itemsAtOnce = 500
)

// Chunks cuts rows into those of one message each; at least one, which may be empty.
func Chunks[M proto.Message](rows []M) (out [][]M) {
	from, size := 0, 0
	for i, m := range rows {
		if size >= chunkBytes {
			out = append(out, rows[from:i])
			from, size = i, 0
		}
		size += proto.Size(m) + rowOverhead
	}
	return append(out, rows[from:])
}

// SendItems sends the features of items, by key, in the messages of Chunks. It returns the last key, and whether there are items behind it. The
// caller may change nothing of the items any more.
func SendItems(items *view.Items, send func([]*kithv1.ProductFeatures) error) (last string, more bool, err error) {
	keys, more := items.Sorted()
	for some := range slices.Chunk(keys, itemsAtOnce) {
		rows := make([]*kithv1.ProductFeatures, len(some))
		for i, item := range some {
			rows[i] = ProductFeaturesToProto(item, items.Item(item))
		}
		for _, chunk := range Chunks(rows) {
			if err := send(chunk); err != nil {
				return last, more, err
			}
		}
		last = some[len(some)-1]
	}
	return last, more, nil
}

// CompleteFeatures returns the options of features with their defaults spelled out, as of a time in Unix milliseconds unless they have
// one. Errors match ErrInvalid and name the field and its bound.
func CompleteFeatures(m *kithv1.FeatureOptions, nowMs int64) (*kithv1.FeatureOptions, error) {
	o := &kithv1.FeatureOptions{
		NowUnixMs: m.GetNowUnixMs(), SessionGapMs: m.GetSessionGapMs(),
		CategoryAttribute: m.GetCategoryAttribute(), PriceAttribute: m.GetPriceAttribute(),
	}
	if o.NowUnixMs == 0 {
		o.NowUnixMs = nowMs
	}
	if o.SessionGapMs == 0 {
		o.SessionGapMs = view.DefaultSessionGap.Milliseconds()
	}
	if o.CategoryAttribute == "" {
		o.CategoryAttribute = DefaultCategoryAttribute
	}
	if o.PriceAttribute == "" {
		o.PriceAttribute = DefaultPriceAttribute
	}
	switch {
	case o.NowUnixMs < 0 || o.NowUnixMs > fusion.MaxTime:
		return nil, fmt.Errorf("%w: now is %d; want 0 to %d Unix milliseconds", ErrInvalid, o.NowUnixMs, int64(fusion.MaxTime))
	case o.SessionGapMs < 0 || o.SessionGapMs > math.MaxInt64/int64(time.Millisecond):
		return nil, fmt.Errorf("%w: session gap is %d ms; want 0 to %d", ErrInvalid, o.SessionGapMs, math.MaxInt64/int64(time.Millisecond))
	}
	for _, name := range []string{o.CategoryAttribute, o.PriceAttribute} {
		if len(name) > catalog.MaxNameBytes {
			return nil, fmt.Errorf("%w: attribute %.40q has %d bytes; want at most %d", ErrInvalid, name, len(name), catalog.MaxNameBytes)
		}
	}
	return o, nil
}

// FeaturesFromProto converts options that are complete.
func FeaturesFromProto(m *kithv1.FeatureOptions) view.Options {
	return view.Options{
		Now: m.GetNowUnixMs(), SessionGap: time.Duration(m.GetSessionGapMs()) * time.Millisecond, Weights: fusion.DefaultWeights(),
	}
}

// ProductFromProto returns what features need of a record. A deleted record, and an attribute that is not there or of another type, say
// nothing.
func ProductFromProto(m *kithv1.Record, o *kithv1.FeatureOptions) (p view.Product) {
	for _, a := range m.GetAttributes() {
		switch v := valueFromProto(a); {
		case a.GetName() == o.GetCategoryAttribute() && v.Type == catalog.Text:
			p.Category = v.Text
		case a.GetName() == o.GetCategoryAttribute() && v.Type == catalog.Texts && len(v.Texts) > 0:
			p.Category = v.Texts[0]
		case a.GetName() == o.GetPriceAttribute() && v.Type == catalog.Number:
			p.Price = v.Number
		}
	}
	return p
}

// UserFeaturesToProto converts the features of a user.
func UserFeaturesToProto(user string, u *view.User) *kithv1.UserFeatures {
	m := &kithv1.UserFeatures{
		User: user, Events: countsToProto(u.Events), Items: uint64(u.Items), FirstUnixMs: u.First, LastUnixMs: u.Last,
		LastOrderUnixMs: u.LastOrder, Orders: uint64(u.Orders), Revenue: u.Revenue,
		Quantity: u.Quantity, Canceled: u.Canceled, Unpriced: u.Unpriced,
		Sessions: &kithv1.SessionFeatures{
			Count: uint64(u.Sessions.Count), MeanEvents: u.Sessions.Events, MeanSeconds: u.Sessions.Seconds, Converted: u.Sessions.Converted,
		},
	}
	for _, c := range u.Categories {
		m.Categories = append(m.Categories, &kithv1.CategoryShare{Category: c.Name, Share: c.Share})
	}
	if p := u.Prices; p != nil {
		m.Prices = &kithv1.PriceAffinity{Mean: p.Mean, Low: p.Low, Median: p.Median, High: p.High}
	}
	return m
}

// UserFeaturesFromProto is the inverse of UserFeaturesToProto.
func UserFeaturesFromProto(m *kithv1.UserFeatures) (user string, u view.User) {
	u = view.User{
		Events: countsFromProto(m.GetEvents()), Items: int(m.GetItems()), First: m.GetFirstUnixMs(), Last: m.GetLastUnixMs(),
		LastOrder: m.GetLastOrderUnixMs(), Orders: int(m.GetOrders()), Revenue: m.GetRevenue(),
		Quantity: m.GetQuantity(), Canceled: m.GetCanceled(), Unpriced: m.GetUnpriced(),
		Sessions: view.Sessions{
			Count: int(m.GetSessions().GetCount()), Events: m.GetSessions().GetMeanEvents(), Seconds: m.GetSessions().GetMeanSeconds(),
			Converted: m.GetSessions().GetConverted(),
		},
		Categories: []view.Share{},
	}
	for _, c := range m.GetCategories() {
		u.Categories = append(u.Categories, view.Share{Name: c.GetCategory(), Share: c.GetShare()})
	}
	if p := m.GetPrices(); p != nil {
		u.Prices = &view.Prices{Mean: p.GetMean(), Low: p.GetLow(), Median: p.GetMedian(), High: p.GetHigh()}
	}
	return m.GetUser(), u
}

// RFMToProto converts classes.
func RFMToProto(r view.RFM) *kithv1.RfmClasses {
	return &kithv1.RfmClasses{Recency: uint32(r.Recency), Frequency: uint32(r.Frequency), Monetary: uint32(r.Monetary)}
}

// RFMFromProto converts classes; nil where there are none.
func RFMFromProto(m *kithv1.RfmClasses) *view.RFM {
	if m == nil {
		return nil
	}
	return &view.RFM{Recency: int(m.Recency), Frequency: int(m.Frequency), Monetary: int(m.Monetary)}
}

// ProductFeaturesToProto converts the features of an item.
func ProductFeaturesToProto(item string, x *view.Item) *kithv1.ProductFeatures {
	return &kithv1.ProductFeatures{
		Item: item, Events: countsToProto(x.Events), Users: uint64(x.Users), Buyers: uint64(x.Buyers),
		Quantity: x.Quantity, Canceled: x.Canceled, Unpriced: x.Unpriced, Revenue: x.Revenue, FirstUnixMs: x.First, LastUnixMs: x.Last,
	}
}

// ProductFeaturesFromProto is the inverse of ProductFeaturesToProto.
func ProductFeaturesFromProto(m *kithv1.ProductFeatures) (item string, x *view.Item) {
	return m.GetItem(), &view.Item{
		Events: countsFromProto(m.GetEvents()), Users: int(m.GetUsers()), Buyers: int(m.GetBuyers()),
		Quantity: m.GetQuantity(), Canceled: m.GetCanceled(), Unpriced: m.GetUnpriced(), Revenue: m.GetRevenue(),
		First: m.GetFirstUnixMs(), Last: m.GetLastUnixMs(),
	}
}

func countsToProto(counts map[fusion.Behavior]int) map[string]uint64 {
	out := make(map[string]uint64, len(counts))
	for b, n := range counts {
		out[string(b)] = uint64(n)
	}
	return out
}

func countsFromProto(counts map[string]uint64) map[fusion.Behavior]int {
	out := make(map[fusion.Behavior]int, len(counts))
	for b, n := range counts {
		out[fusion.Behavior(b)] = int(n)
	}
	return out
}

package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// featureShop is data with the features that it must have, computed here from all of it. Prices and values are multiples of powers of two, so
// that sums do not depend on their order.
type featureShop struct {
	events  []*kithv1.Event
	records []*kithv1.Record
	options *kithv1.FeatureOptions
}

// newFeatureShop returns events of some users, some with orders, prices and times and some without, and records of three items in four.
func newFeatureShop(users, items int) *featureShop {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &featureShop{options: &kithv1.FeatureOptions{
		NowUnixMs: 1_700_500_000_000, SessionGapMs: 600_000, CategoryAttribute: "group", PriceAttribute: "cost",
	}}
	behaviors := []string{"view", "view", "cart", "purchase", "purchase", "cancel", "wish"}
	for u := range users {
		for i := range 1 + rng.IntN(8) {
			value := float64(1 + rng.IntN(4))
			e := &kithv1.Event{
				Id: fmt.Sprint(i), User: fmt.Sprintf("u%05d", u), Item: fmt.Sprintf("i%04d", rng.IntN(items)), Behavior: behaviors[rng.IntN(len(behaviors))],
				Value: &value, TimeUnixMs: 1_700_000_000_000 + int64(rng.IntN(600))*1_000_000, Context: map[string]string{},
			}
			if rng.IntN(10) == 0 {
				e.TimeUnixMs = 0
			}
			if rng.IntN(2) == 0 {
				e.Context[view.ContextOrder] = fmt.Sprint(rng.IntN(3))
			}
			if rng.IntN(3) == 0 {
				e.Context[view.ContextPrice] = fmt.Sprint(float64(rng.IntN(100)) / 4)
			}
			s.events = append(s.events, e)
		}
	}
	for i := range items {
		if i%4 == 0 {
			continue
		}
		s.records = append(s.records, &kithv1.Record{Key: fmt.Sprintf("i%04d", i), Version: 1, Attributes: []*kithv1.Attribute{
			{Name: "cost", Value: &kithv1.Attribute_Number{Number: float64(i%50) / 2}},
			{Name: "group", Value: &kithv1.Attribute_Text{Text: fmt.Sprint("g", i%7)}},
			{Name: "price", Value: &kithv1.Attribute_Number{Number: 1e6}},
		}})
	}
	return s
}

// without leaves out the events of a user.
func (s *featureShop) without(user string) *featureShop {
	out := *s
	out.events = slices.DeleteFunc(slices.Clone(s.events), func(e *kithv1.Event) bool { return e.User == user })
	return &out
}

// want returns the features of all users and items.
func (s *featureShop) want() (users map[string]view.User, classes map[string]view.RFM, items map[string]*view.Item) {
	known := map[string]view.Product{}
	for _, r := range s.records {
		known[r.Key] = wire.ProductFromProto(r, s.options)
	}
	products := func(item string) (view.Product, bool) {
		p, ok := known[item]
		return p, ok
	}
	byUser := map[string][]fusion.Event{}
	for _, e := range wire.EventsFromProto(s.events) {
		byUser[e.User] = append(byUser[e.User], e)
	}
	users, classes, items = map[string]view.User{}, map[string]view.RFM{}, map[string]*view.Item{}
	o := wire.FeaturesFromProto(s.options)
	for user, events := range byUser {
		if u := view.OfUser(events, products, o); len(u.Events) > 0 {
			users[user] = u
		}
		for item, x := range view.OfItems(events, products, o) {
			if items[item] == nil {
				items[item] = &view.Item{}
			}
			items[item].Add(x)
		}
	}
	keys := slices.Sorted(maps.Keys(users))
	var all []view.User
	for _, key := range keys {
		all = append(all, users[key])
	}
	for i, rfm := range view.RFMOf(all) {
		classes[keys[i]] = rfm
	}
	return users, classes, items
}

// received returns all messages of a stream.
func received[M any](stream grpc.ServerStreamingClient[M], err error) (out []*M, _ error) {
	if err != nil {
		return nil, err
	}
	err = wire.Receive(stream, func(m *M) error {
		out = append(out, m)
		return nil
	})
	return out, err
}

// check compares what a member tells with what must be.
func (s *featureShop) check(t *testing.T, c *clustertest.Cluster, member int) {
	t.Helper()
	users, classes, items := s.want()
	client := kithv1.NewCatalogServiceClient(c.Conn(member))

	gotUsers, gotClasses := map[string]view.User{}, map[string]view.RFM{}
	take := func(rows []*kithv1.UserFeatures) {
		for _, m := range rows {
			user, u := wire.UserFeaturesFromProto(m)
			if _, twice := gotUsers[user]; twice {
				t.Errorf("member %d tells of %s twice", member, user)
			}
			gotUsers[user] = u
			if rfm := wire.RFMFromProto(m.Rfm); rfm != nil {
				gotClasses[user] = *rfm
			}
		}
	}
	same := func(what string, want, got any) {
		t.Helper()
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("member %d, %s: -want +got:\n%.3000s", member, what, diff)
		}
	}
	list, err := received(client.ListUserFeatures(t.Context(), &kithv1.ListUserFeaturesRequest{Options: s.options}))
	if err != nil {
		t.Fatal(err)
	}
	if len(list[0].Users) != 0 || list[0].NowUnixMs != s.options.NowUnixMs {
		t.Errorf("the first message has %d users as of %d", len(list[0].Users), list[0].NowUnixMs)
	}
	for _, m := range list {
		take(m.Users)
	}
	same("all users", users, gotUsers)
	same("classes", classes, gotClasses)

	some := []string{"nobody"}
	for user := range users {
		if strings.HasSuffix(user, "7") {
			some = append(some, user)
		}
	}
	clear(gotUsers)
	clear(gotClasses)
	get, err := received(client.GetUserFeatures(t.Context(), &kithv1.GetUserFeaturesRequest{Options: s.options, Users: some}))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range get {
		take(m.Users)
	}
	maps.DeleteFunc(users, func(user string, _ view.User) bool { return !strings.HasSuffix(user, "7") })
	same("some users", users, gotUsers)
	if len(gotClasses) > 0 {
		t.Errorf("some users have classes: %v", gotClasses)
	}

	gotItems := map[string]*view.Item{}
	products, err := received(client.ListProductFeatures(t.Context(), &kithv1.ListProductFeaturesRequest{Options: s.options}))
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, m := range products {
		for _, row := range m.Products {
			if row.Item <= last {
				t.Errorf("%s comes after %s", row.Item, last)
			}
			last = row.Item
			_, gotItems[row.Item] = wire.ProductFeaturesFromProto(row)
		}
	}
	same("all products", items, gotItems)
	named, err := received(client.GetProductFeatures(t.Context(), &kithv1.GetProductFeaturesRequest{Options: s.options, Items: []string{"i0004", "nothing", "i0001"}}))
	if err != nil {
		t.Fatal(err)
	}
	clear(gotItems)
	for _, m := range named {
		for _, row := range m.Products {
			_, gotItems[row.Item] = wire.ProductFeaturesFromProto(row)
		}
	}
	same("some products", map[string]*view.Item{"i0001": items["i0001"], "i0004": items["i0004"]}, gotItems)
}

// TestFeatures compares the features that each of three servers tells with those of the same events and products computed here, also after an
// erasure and without one of the servers.
func TestFeatures(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	size := 5000
	if testing.Short() {
		size = 1500
	}
	shop := newFeatureShop(size, 300)
	c.Append(0, shop.events)
	put(t, c, 1, products, shop.records...)
	for _, m := range c.Members {
		shop.check(t, c, m.Index)
	}
	const user = "u00007"
	cut, err := kithv1.NewPartitionServiceClient(c.Conn(leaderOf(t, c, int(partition.Of(user, 4))))).Cut(t.Context(), &kithv1.CutRequest{Partition: uint32(partition.Of(user, 4))})
	if err != nil {
		t.Fatal(err)
	}
	eraseUser(t, c, 1, &kithv1.EraseUserRequest{User: user})
	rest := shop.without(user)
	rest.check(t, c, 2)

	p := kithv1.NewPartitionServiceClient(c.Conn(leaderOf(t, c, int(partition.Of(user, 4)))))
	_, err = received(p.ScanUserFeatures(t.Context(), &kithv1.ScanUserFeaturesRequest{Partition: uint32(partition.Of(user, 4)), Options: shop.options, Cut: cut.Index}))
	if !errors.Is(err, wire.ErrErased) {
		t.Errorf("a table from before an erasure: got %v, want ErrErased", err)
	}

	c.Kill(0)
	rest.check(t, c, 1)
	rest.check(t, c, 2)
}

// TestFeaturesGoOn: a scan goes on behind any user, and pages of items join to the whole.
func TestFeaturesGoOn(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 1})
	shop := newFeatureShop(40, 30)
	c.Append(0, shop.events)
	put(t, c, 0, products, shop.records...)
	users, _, items := shop.want()
	p := kithv1.NewPartitionServiceClient(c.Conn(0))
	cut, err := p.Cut(t.Context(), &kithv1.CutRequest{})
	if err != nil {
		t.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(users))
	for i, after := range append([]string{""}, keys...) {
		got, err := received(p.ScanUserFeatures(t.Context(), &kithv1.ScanUserFeaturesRequest{Options: shop.options, Cut: cut.Index, AfterUser: after}))
		if err != nil {
			t.Fatal(err)
		}
		var rest []string
		for _, m := range got {
			for _, u := range m.Users {
				rest = append(rest, u.User)
			}
		}
		if !slices.Equal(rest, keys[i:]) {
			t.Fatalf("behind %q: got %v, want %v", after, rest, keys[i:])
		}
	}
	got := map[string]*view.Item{}
	for after, more := "", true; more; {
		page, err := received(p.ScanProductFeatures(t.Context(), &kithv1.ScanProductFeaturesRequest{Options: shop.options, Cut: cut.Index, AfterItem: after, N: 7}))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range page {
			for _, row := range m.Products {
				after, got[row.Item] = wire.ProductFeaturesFromProto(row)
				n++
			}
			more = m.More
		}
		if more && n != 7 || n > 7 {
			t.Fatalf("a page of %d items, more %t", n, more)
		}
	}
	if diff := gocmp.Diff(items, got); diff != "" {
		t.Errorf("pages of items: -want +got:\n%s", diff)
	}
	if _, err := received(p.ScanProductFeatures(t.Context(), &kithv1.ScanProductFeaturesRequest{Options: shop.options, Cut: cut.Index})); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("no n: got %v, want ErrInvalid", err)
	}
}

// TestFeaturesOfManyItems has more items than one pass adds up.
func TestFeaturesOfManyItems(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("stores 60,000 events")
	}
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	const items = 60_000
	var events []*kithv1.Event
	for i := range items {
		for _, user := range []string{fmt.Sprint("u", i%50), fmt.Sprint("v", i%3)}[:1+i%2] {
			events = append(events, &kithv1.Event{Id: fmt.Sprint(i), User: user, Item: fmt.Sprintf("i%05d", i), Behavior: "view", TimeUnixMs: 1 + int64(i)})
		}
	}
	c.Append(0, events)
	got, err := received(kithv1.NewCatalogServiceClient(c.Conn(0)).ListProductFeatures(t.Context(), &kithv1.ListProductFeaturesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range got {
		for _, row := range m.Products {
			want := &view.Item{Events: map[fusion.Behavior]int{fusion.View: 1 + n%2}, Users: 1 + n%2, First: 1 + int64(n), Last: 1 + int64(n)}
			item, x := wire.ProductFeaturesFromProto(row)
			if diff := gocmp.Diff(want, x); item != fmt.Sprintf("i%05d", n) || diff != "" {
				t.Fatalf("item %d is %s: -want +got:\n%s", n, item, diff)
			}
			n++
		}
	}
	if n != items {
		t.Errorf("%d items, want %d", n, items)
	}
}

// TestFeaturesOutliveAReplica kills the server that sends a partition which the caller's server does not hold, in the middle of it.
func TestFeaturesOutliveAReplica(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("moves replicas to a fourth server")
	}
	c := clustertest.Start(t, clustertest.Options{})
	c.Add()
	settled(t, c, 3)
	const p, partitions = 3, 4
	var events []*kithv1.Event
	for u := 0; len(events) < 50_000; u++ { // some 15 MiB of features, more than can be on their way
		if user := fmt.Sprintf("%s%06d", strings.Repeat("u", 200), u); partition.Of(user, partitions) == p {
			events = append(events, &kithv1.Event{Id: "1", User: user, Item: fmt.Sprint("i", u%100), Behavior: "purchase", TimeUnixMs: 1})
		}
	}
	for chunk := range slices.Chunk(events, 5000) {
		c.Eventually(func() error { // leaders may move still
			stream, err := c.Events(0).Append(t.Context())
			if err != nil {
				return err
			}
			if err := stream.Send(&kithv1.AppendRequest{Events: chunk}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err = stream.CloseAndRecv()
			return err
		})
	}
	replicas := c.Members[0].Server.State().Replicas[p]
	asked, lost := -1, -1
	for i, m := range c.Members {
		switch m.Server.ID() {
		case replicas[p%3]: // the first that is asked, see choices
			lost = i
		case replicas[0], replicas[1], replicas[2]:
		default:
			asked = i
		}
	}
	stream, err := kithv1.NewCatalogServiceClient(c.Conn(asked)).ListUserFeatures(t.Context(), &kithv1.ListUserFeaturesRequest{WithoutRfm: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = wire.Receive(stream, func(m *kithv1.ListUserFeaturesResponse) error {
		for _, u := range m.Users {
			if seen[u.User] || u.Orders != 1 {
				return fmt.Errorf("user %s with %d orders, seen before: %t", u.User[200:], u.Orders, seen[u.User])
			}
			seen[u.User] = true
		}
		if len(seen) > 0 {
			c.Members[lost].Server.Abort()
		}
		return nil
	})
	c.Kill(lost)
	if err != nil || len(seen) != len(events) {
		t.Errorf("%d users of %d, error %v", len(seen), len(events), err)
	}
}

// TestFeaturesRefused: requests out of their bounds, and a cluster that has lost its majority, are told at once and by name.
func TestFeaturesRefused(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{})
	client := kithv1.NewCatalogServiceClient(c.Conn(0))
	bad := &kithv1.FeatureOptions{NowUnixMs: -1}
	for name, call := range map[string]func(ctx context.Context) error{
		"options of some users": func(ctx context.Context) error {
			_, err := received(client.GetUserFeatures(ctx, &kithv1.GetUserFeaturesRequest{Options: bad, Users: []string{"u"}}))
			return err
		},
		"options of users": func(ctx context.Context) error {
			_, err := received(client.ListUserFeatures(ctx, &kithv1.ListUserFeaturesRequest{Options: bad}))
			return err
		},
		"options of products": func(ctx context.Context) error {
			_, err := received(client.ListProductFeatures(ctx, &kithv1.ListProductFeaturesRequest{Options: bad}))
			return err
		},
		"empty key": func(ctx context.Context) error {
			_, err := received(client.GetUserFeatures(ctx, &kithv1.GetUserFeaturesRequest{Users: []string{""}}))
			return err
		},
		"too many items": func(ctx context.Context) error {
			_, err := received(client.GetProductFeatures(ctx, &kithv1.GetProductFeaturesRequest{Items: slices.Repeat([]string{"i"}, 10_001)}))
			return err
		},
	} {
		if err := wire.FromStatus(call(t.Context())); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	shop := newFeatureShop(20, 5)
	c.Append(0, shop.events)
	put(t, c, 0, products, shop.records...)
	known, _, _ := shop.want()
	some := slices.Sorted(maps.Keys(known))[:1]
	stale := func() (n int, err error) {
		got, err := received(client.GetUserFeatures(t.Context(), &kithv1.GetUserFeaturesRequest{Options: shop.options, Users: some, Stale: true}))
		for _, m := range got {
			n += len(m.Users)
		}
		return n, err
	}
	c.Eventually(func() error { // a replica may have nothing yet
		if n, err := stale(); err != nil || n != 1 {
			return fmt.Errorf("stale: %d users, error %w", n, err)
		}
		return nil
	})
	c.Kill(1)
	c.Kill(2)
	if n, err := stale(); err != nil || n != 1 {
		t.Errorf("stale without a majority: %d users, error %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	_, err := received(client.ListUserFeatures(ctx, &kithv1.ListUserFeaturesRequest{}))
	if !wire.Retryable(err) || ctx.Err() != nil {
		t.Errorf("without a majority: got %v, want an error that names it", err)
	}
}

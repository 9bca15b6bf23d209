package client_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kith-io/kith/client"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// TestCluster makes all calls to three real servers, of which the client is told one, and loses that one.
func TestCluster(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Options{})
	ctx := t.Context()
	c, err := client.New(ctx, []string{cluster.Members[0].Server.GRPCAddr()}, client.WithRefresh(100*time.Millisecond), client.WithHedging(0.05))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	// Users of one half buy x and y, the others p and q; u0 has only x.
	now := time.Now().Truncate(time.Millisecond)
	var events []client.Event
	for u := range 12 {
		items := []string{"x", "y", "z"}
		if u%2 == 1 {
			items = []string{"p", "q"}
		}
		if u == 0 {
			items = []string{"x"}
		}
		for _, item := range items {
			events = append(events, client.Event{
				User: fmt.Sprint("u", u), Item: item, Behavior: client.Purchase, Time: now.Add(-time.Minute), Value: new(2.0),
				Context: map[string]string{"order": fmt.Sprint("o", u)},
			})
		}
	}
	if counts, err := c.Append(ctx, events); err != nil || counts.Stored != uint64(len(events)) {
		t.Fatalf("Append = %+v, %v", counts, err)
	}
	if counts, err := c.Append(ctx, events); err != nil || counts.Duplicates != uint64(len(events)) {
		t.Fatalf("Append of the same events = %+v, %v", counts, err)
	}
	counts, err := c.Append(ctx, []client.Event{{User: "", Item: "x", Behavior: client.View}})
	if err != nil || len(counts.Rejected) != 1 || counts.Rejected[0].Code != "no_user" {
		t.Errorf("Append without a user = %+v, %v", counts, err)
	}
	records := []client.Record{
		{Key: "y", Attributes: map[string]any{
			"category": "shoes", "price": 50.0, "tags": []string{"a", "b"}, "stock": 3.0, "sale": true, "since": now,
		}},
		{Key: "z", Attributes: map[string]any{"category": "hats", "price": 20, "since": now.Add(-time.Hour)}},
	}
	if counts, err := c.Put(ctx, client.Products, records); err != nil || counts.Changed != 2 || records[0].Version == 0 {
		t.Fatalf("Put = %+v, %v; the version is %d", counts, err, records[0].Version)
	}
	if _, err := c.Put(ctx, client.Products, []client.Record{{Key: "y", Attributes: map[string]any{"size": struct{}{}}}}); !errors.Is(err, client.Invalid) {
		t.Errorf("Put of an attribute that is no value: %v", err)
	}
	version := cluster.Build(0, &kithv1.BuildSpec{}).ModelVersion

	t.Run("recommend", func(t *testing.T) {
		got, err := c.Recommend(ctx, client.Query{User: "u0", N: 1, Model: client.ItemKNN, Explain: true, Rules: client.Rules{
			Filter: client.Filter{Conditions: []client.Condition{
				client.AnyOf("category", "shoes"), client.AllOf("tags", "a", "b"), client.NoneOf("tags", "c"),
				client.Between("price", 10, 50), client.AtLeast("price", 50), client.AtMost("price", 50), client.Available("stock"),
			}},
			Boosts:    []client.Boost{{Factor: 2}},
			Freshness: &client.Freshness{HalfLife: time.Hour},
			Diversity: &client.Diversity{MaxPerGroup: 1},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Items) != 1 || got.Items[0].Item != "y" || got.Items[0].Source != client.ItemKNN || got.Version != version || got.Fallback != "" {
			t.Fatalf("got %+v, want y of version %d", got, version)
		}
		if from := got.Items[0].Contributions; len(from) != 1 || from[0].Item != "x" {
			t.Errorf("contributions are %+v, want those of x", from)
		}
		got, err = c.Recommend(ctx, client.Query{Basket: []client.BasketItem{{Item: "p"}}, N: 1, Pins: []client.Pin{{Item: "z", Rank: 1}}})
		if err != nil || len(got.Items) != 1 || got.Items[0].Item != "z" || got.Items[0].Source != client.Pinned {
			t.Errorf("got %+v, %v; want z, which is pinned", got, err)
		}
		got, err = c.Recommend(ctx, client.Query{User: "u0", N: 5, ExcludeHistory: []client.HistoryRule{{Behaviors: []string{client.View}, Within: time.Hour}}})
		if err != nil || !slices.ContainsFunc(got.Items, func(r client.Recommendation) bool { return r.Item == "x" }) {
			t.Errorf("got %+v, %v; want x, which was bought and not viewed, among them", got, err)
		}
		if _, err := c.Recommend(ctx, client.Query{User: "nobody", NoFallback: true}); !errors.Is(err, client.UnknownUser) {
			t.Errorf("error %v, want %v", err, client.UnknownUser)
		}
		for _, n := range []int{-1, 1001, 1 << 40} {
			if _, err := c.Recommend(ctx, client.Query{User: "u0", N: n}); !errors.Is(err, client.Invalid) {
				t.Errorf("N of %d: error %v, want %v", n, err, client.Invalid)
			}
		}
	})
	t.Run("scenes", func(t *testing.T) {
		scenes := kithv1.NewSceneServiceClient(cluster.Conn(0))
		_, err := scenes.SetScenes(ctx, &kithv1.SetScenesRequest{Set: &kithv1.SceneSet{
			Scenes: []*kithv1.Scene{{Name: "home", Model: kithv1.Model_MODEL_POPULARITY}, {Name: "product", Model: kithv1.Model_MODEL_SIMILAR}},
			Experiments: []*kithv1.Experiment{{
				Name: "first", Scene: "home", StartUnixMs: 1, EndUnixMs: now.Add(time.Hour).UnixMilli(),
				Variants: []*kithv1.Variant{{Name: "a", Scene: "home"}, {Name: "b", Scene: "home"}},
			}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Recommend(ctx, client.Query{Scene: "home", Session: "s1", N: 1})
		if err != nil || len(got.Items) != 1 || got.Scene != "home" || got.Experiment != "first" || got.Variant == "" || got.ID == "" {
			t.Fatalf("got %+v, %v; want an answer of a variant with an id", got, err)
		}
		outcome := []client.Event{got.Impression("s1", got.Items[0].Item), got.Click("s1", got.Items[0].Item)}
		if counts, err := c.Append(ctx, outcome); err != nil || counts.Stored != 2 {
			t.Fatalf("Append of what became of it = %+v, %v", counts, err)
		}
		report, err := scenes.ReportExperiment(ctx, &kithv1.ReportExperimentRequest{Name: "first"})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range report.Variants {
			if want := map[bool]uint64{true: 1}[v.Name == got.Variant]; v.Counts.GetImpressions() != want || v.Counts.GetClicks() != want {
				t.Errorf("variant %s has %d impressions and %d clicks, want %d", v.Name, v.Counts.GetImpressions(), v.Counts.GetClicks(), want)
			}
		}
		all, err := scenes.ReportScenes(ctx, &kithv1.ReportScenesRequest{WithinMs: 3_600_000})
		if err != nil || len(all.Scenes) != 1 || all.Scenes[0].Name != "home" || all.Scenes[0].Counts.GetClicks() != 1 || len(all.Scenes[0].Models) != 1 {
			t.Errorf("report on scenes: %v, %v", all, err)
		}
		got, err = c.Recommend(ctx, client.Query{Scene: "product", Item: "y", N: 1})
		if err != nil || len(got.Items) != 1 || got.Items[0].Item != "z" || got.ID != "" {
			t.Errorf("got %+v, %v; want z, which is like y", got, err)
		}
	})
	t.Run("similar", func(t *testing.T) {
		got, err := c.SimilarItems(ctx, "y", 1, client.Rules{})
		if err != nil || len(got.Neighbors) != 1 || got.Neighbors[0].Key != "z" {
			t.Errorf("got %+v, %v; want z", got, err)
		}
		got, err = c.SimilarUsers(ctx, "u2", 1)
		if err != nil || len(got.Neighbors) != 1 || got.Neighbors[0].Score <= 0 {
			t.Errorf("got %+v, %v; want a user with a score", got, err)
		}
		if _, err := c.SimilarItems(ctx, "nothing", 1, client.Rules{}); !errors.Is(err, client.UnknownItem) {
			t.Errorf("error %v, want %v", err, client.UnknownItem)
		}
	})
	t.Run("lists", func(t *testing.T) {
		list, err := c.Trending(ctx, client.TrendingQuery{ListQuery: client.ListQuery{N: 1}, Within: time.Hour, Weights: map[string]float64{client.Purchase: 1}})
		if err != nil || len(list.Items) != 1 || list.Items[0].Score != 6 {
			t.Errorf("trending: %+v, %v; want an item with 6 purchases", list, err)
		}
		list, err = c.BoughtTogether(ctx, "x", client.ListQuery{N: 1})
		if err != nil || len(list.Items) != 1 || list.Items[0].Score != 5 || list.Baskets != 6 {
			t.Errorf("bought together: %+v, %v; want 5 of 6 baskets", list, err)
		}
		list, err = c.NewArrivals(ctx, client.ArrivalsQuery{N: 1, Filter: client.Filter{Deny: []string{"y"}}})
		if err != nil || len(list.Items) != 1 || list.Items[0].Item != "z" || !list.Items[0].Time.Equal(now.Add(-time.Hour)) {
			t.Errorf("new arrivals: %+v, %v; want z, of an hour ago", list, err)
		}
		list, err = c.Latest(ctx, client.LatestQuery{N: 1, Filter: client.Filter{Allow: []string{"q"}}})
		if err != nil || len(list.Items) != 1 || list.Items[0].Item != "q" || !list.Items[0].Time.Equal(now.Add(-time.Minute)) {
			t.Errorf("latest: %+v, %v; want q, of a minute ago", list, err)
		}
	})
	t.Run("events and records", func(t *testing.T) {
		got, err := c.Events(ctx, "u0", false)
		if err != nil || !reflect.DeepEqual(got, events[:1]) {
			t.Errorf("events %+v, %v; want %+v", got, err, events[:1])
		}
		read, err := c.Get(ctx, client.Products, []string{"y", "nothing"}, false)
		if err != nil || !reflect.DeepEqual(read, records[:1]) {
			t.Errorf("records %+v, %v; want %+v", read, err, records[:1])
		}
		if n, err := c.Delete(ctx, client.Products, []string{"z"}, 0); err != nil || n != 1 {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
	})

	// All nodes are known now, or soon; the one that the client was told goes, while others read and write.
	cluster.Eventually(func() error {
		s, err := c.Status(ctx)
		if err == nil && (len(s.Nodes) != 3 || !s.Ready || s.Version != version || s.ID == "") {
			err = fmt.Errorf("status is %+v", s)
		}
		return err
	})
	a, err := c.NewAppender(ctx, client.AppenderConfig{Interval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	work := func(f func(i int) error) {
		wg.Go(func() {
			for i := 0; ; i++ {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					if i > 100 { // some after the loss, too
						return
					}
				default:
				}
			}
		})
	}
	work(func(int) error {
		_, err := c.Recommend(ctx, client.Query{User: "u2"})
		return err
	})
	work(func(i int) error {
		return a.Add(ctx, client.Event{ID: fmt.Sprint(i), User: "busy", Item: "x", Behavior: client.View})
	})
	cluster.Kill(0)
	cluster.Coordinator()
	close(stop)
	wg.Wait()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
	stats := a.Stats()
	stored, err := c.Events(ctx, "busy", false)
	if err != nil || uint64(len(stored)) != stats.Added || stats.Stored+stats.Duplicates != stats.Added {
		t.Errorf("%d events are stored, error %v; want those that were added once each: %+v", len(stored), err, stats)
	}
}

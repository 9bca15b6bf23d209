package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/covisit"
	"github.com/kith-io/kith/model/factors"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
	"github.com/kith-io/kith/similarity"
)

// withKinds makes members know kinds of models beside those that there are.
func withKinds(more ...*train.Kind) func(int, *server.Config) {
	return func(_ int, cfg *server.Config) { cfg.Kinds = slices.Concat(kinds.All, more) }
}

// models is a spec of a build with models, as --models takes them.
func models(t *testing.T, texts ...string) *kithv1.BuildSpec {
	t.Helper()
	specs, err := wire.ParseModels(texts)
	if err != nil {
		t.Fatal(err)
	}
	return &kithv1.BuildSpec{K: 10, Models: specs}
}

// modelFile reads the file of a model at a member.
func modelFile(c *clustertest.Cluster, member int, version uint64, name string) ([]byte, error) {
	return os.ReadFile(modelPath(c, member, version, name))
}

func modelPath(c *clustertest.Cluster, member int, version uint64, name string) string {
	return filepath.Join(c.Dir(member), "models", fmt.Sprintf("%020d", version), "model-"+name)
}

// ask asks for the items of a model.
func ask(user, name string) *kithv1.RecommendRequest {
	req := forUser(user, 8)
	req.ModelName = name
	return req
}

// probe is a kind whose file says what its workers were given, and passes it on in all ways: a worker says a part, and puts another, which its neighbor gets.
var probe = &train.Kind{
	Name: "probe", Doc: "what workers are given", NeedsEvents: true,
	NewDriver: func(train.Shape, model.Settings) (train.Driver, error) { return &probeDriver{}, nil },
	NewWorker: func(d *train.Data, _ model.Settings, _ int) (train.Worker, error) { return &probeWorker{data: d}, nil },
	Write: func(ctx context.Context, shape train.Shape, _ model.Settings, get func(context.Context, int, string) ([]byte, error), w io.Writer) error {
		for worker := range shape.Workers() {
			for _, name := range []string{"all", "of the next"} {
				b, err := get(ctx, worker, name)
				if err == nil {
					_, err = w.Write(b)
				}
				if err != nil {
					return err
				}
			}
			if _, err := get(ctx, worker, "dropped"); err == nil {
				return errors.New("what was dropped is there")
			}
		}
		return nil
	},
	Read: func(file []byte) (train.Model, error) {
		if len(file) == 0 {
			return nil, errors.New("empty")
		}
		return silent{}, nil
	},
}

// silent is a model without an opinion.
type silent struct{}

func (silent) Recommend(model.Query) ([]model.Scored, error) { return nil, nil }

type probeDriver struct{ steps int }

func (d *probeDriver) Progress() float64 { return float64(d.steps) / 3 }
func (d *probeDriver) Next(said [][]byte) (train.Step, bool, error) {
	for w, s := range said {
		if want := large(w + d.steps); !bytes.Equal(s, want) {
			return train.Step{}, false, fmt.Errorf("worker %d said %d bytes, want %d", w, len(s), len(want))
		}
	}
	d.steps++
	return train.Step{Name: fmt.Sprint(d.steps), Input: large(d.steps)}, d.steps == 4, nil
}

// large returns more than a message holds.
func large(seed int) []byte { return bytes.Repeat([]byte{byte(seed), 1, 2}, 500_000+seed) }

type probeWorker struct{ data *train.Data }

func (w *probeWorker) Do(ctx context.Context, step train.Step, peers train.Peers) ([]byte, error) {
	d := w.data
	n := int(step.Name[0] - '0')
	if !bytes.Equal(step.Input, large(n)) {
		return nil, fmt.Errorf("input of %d bytes", len(step.Input))
	}
	next := (d.Worker + 1) % d.Shape.Workers()
	switch n {
	case 1:
		var all bytes.Buffer
		fmt.Fprintf(&all, "worker %d of %v, %d items, %v entries, %v\n", d.Worker, d.Shape.FirstUser, d.Shape.Items, d.Shape.Entries, d.Shape.Behaviors)
		fmt.Fprintln(&all, d.Rows.NumItems, d.Rows.Start, d.Rows.Item, d.Rows.Weight, d.Times)
		for range 2 { // it may be asked for more than once
			if err := d.Events(ctx, func(user int, events []train.Event) error {
				fmt.Fprintln(&all, user, numbered(events))
				return nil
			}); err != nil {
				return nil, err
			}
		}
		if err := errors.Join(peers.Put("all", all.Bytes()), peers.Put("step", []byte("1")), peers.Put("dropped", []byte("x"))); err != nil {
			return nil, err
		}
		if _, err := peers.Get(ctx, d.Worker, "all"); err == nil {
			return nil, errors.New("what was put in this step is there")
		}
	case 2:
		if err := peers.Put("step", []byte("2")); err != nil {
			return nil, err
		}
		if b, err := peers.Get(ctx, next, "step"); err != nil || string(b) != "1" {
			return nil, fmt.Errorf("got %q, %w, want what was put in the step before", b, err)
		}
		b, err := peers.Get(ctx, next, "all")
		if err != nil {
			return nil, err
		}
		if err := peers.Put("of the next", b); err != nil {
			return nil, err
		}
		peers.Drop("dropped")
	case 3:
		if b, err := peers.Get(ctx, next, "step"); err != nil || string(b) != "2" {
			return nil, fmt.Errorf("got %q, %w, want what was put in the step before", b, err)
		}
	}
	return large(d.Worker + n), nil
}

// numbered returns events with their baskets numbered as they come.
func numbered(events []train.Event) []train.Event {
	out := slices.Clone(events)
	var met []uint64
	for i := range out {
		if !slices.Contains(met, out[i].Basket) {
			met = append(met, out[i].Basket)
		}
		out[i].Basket = uint64(slices.Index(met, out[i].Basket))
	}
	return out
}

// probed returns what the file of a probe has to say of events.
func probed(events []*kithv1.Event, partitions int) string {
	events = withRows(events)
	users, items, rows := matrix(events, partitions)
	ids := map[string]uint32{}
	for i, item := range items {
		ids[item] = uint32(i)
	}
	behaviors := []string{"cancel", "cart", "purchase", "rating", "search", "view"}
	byUser := map[string][]fusion.Event{}
	for _, e := range wire.EventsFromProto(events) {
		byUser[e.User] = append(byUser[e.User], e)
	}
	first := make([]int, partitions+1)
	for _, u := range users {
		for p := int(partition.Of(u, partitions)) + 1; p <= partitions; p++ {
			first[p]++
		}
	}
	parts := make([]string, partitions)
	for p := range parts {
		var out bytes.Buffer
		fmt.Fprintf(&out, "worker %d of %v, %d items, %v entries, %v\n", p, first, len(items), len(rows.Item), behaviors)
		base := rows.Start[first[p]]
		var start, times []int64
		for u := first[p]; u <= first[p+1]; u++ {
			start = append(start, rows.Start[u]-base)
		}
		for u := first[p]; u < first[p+1]; u++ {
			for k := rows.Start[u]; k < rows.Start[u+1]; k++ {
				newest := int64(0)
				for _, e := range byUser[users[u]] {
					if e.Item == items[rows.Item[k]] && slices.Contains(behaviors, string(e.Behavior)) {
						newest = max(newest, e.Time)
					}
				}
				times = append(times, newest)
			}
		}
		end := rows.Start[first[p+1]]
		fmt.Fprintln(&out, len(items), start, rows.Item[base:end], rows.Weight[base:end], times)
		for range 2 {
			for u := first[p]; u < first[p+1]; u++ {
				own := byUser[users[u]]
				slices.SortFunc(own, func(a, b fusion.Event) int {
					if a.Time != b.Time {
						return int(a.Time - b.Time)
					}
					return strings.Compare(a.ID, b.ID)
				})
				seen, baskets := []train.Event{}, []string(nil)
				for _, e := range own {
					behavior := slices.Index(behaviors, string(e.Behavior))
					if behavior < 0 {
						continue
					}
					id, ok := ids[e.Item]
					if !ok {
						id = train.NoItem
					}
					basket := "alone " + e.ID
					switch {
					case e.Behavior == fusion.Purchase && e.Context["order"] != "":
						basket = "order " + e.Context["order"]
					case e.Time > 0:
						basket = fmt.Sprint(e.Behavior == fusion.Purchase, " day ", e.Time/(24*60*60*1000))
					}
					if !slices.Contains(baskets, basket) {
						baskets = append(baskets, basket)
					}
					seen = append(seen, train.Event{
						Item: id, Behavior: uint8(behavior), Value: float32(e.Value), Time: e.Time, Basket: uint64(slices.Index(baskets, basket)),
					})
				}
				fmt.Fprintln(&out, u, seen)
			}
		}
		parts[p] = out.String()
	}
	var all strings.Builder
	for p := range parts {
		all.WriteString(parts[p] + parts[(p+1)%partitions])
	}
	return all.String()
}

// modelEvents are events of a shop with all that models may meet: orders, feedback, behaviors without a weight, items that are in no row, and events without a time.
func modelEvents() []*kithv1.Event {
	events := shopEvents(40, 60, 25, 21)
	for i, e := range events {
		e.TimeUnixMs += int64(i%25) * 5 * 60 * 60 * 1000
		switch {
		case i%11 == 0:
			e.Behavior, e.Context = "purchase", map[string]string{"order": fmt.Sprint(i / 50)}
		case i%13 == 0:
			e.Behavior, e.Context = "impression", map[string]string{"answer": "x"}
		case i%17 == 0:
			e.Behavior, e.Item = "cancel", "never-bought"
		case i%19 == 0:
			e.Behavior = "wish"
		case i%23 == 0:
			e.TimeUnixMs = 0
		case i%3 == 0:
			e.Behavior, e.Value = "rating", new(float64(i%5+1))
		}
	}
	return append(events, &kithv1.Event{Id: "0", User: rowless, Item: "i0001", Behavior: "cancel", TimeUnixMs: 5})
}

// rowless is a user of modelEvents who has events and no row.
const rowless = "only-cancels"

// withRows returns the events of the others.
func withRows(events []*kithv1.Event) []*kithv1.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e *kithv1.Event) bool { return e.User == rowless })
}

// TestModels: a model is the same on one node and on three, its workers are given what the events say, each node answers by it, one that joins has it, and an
// older version is gone back to with its models.
func TestModels(t *testing.T) {
	t.Parallel()
	events := modelEvents()
	spec := models(t, "covisit(window=5)", "probe", "wide:covisit(half-life=30)",
		"rrf(base=covisit+wide+item-knn)", "mix:blend(base=hybrid+covisit,weight-2=3,depth=40)", "switch(base=popularity+user-knn,until-1=12)",
		"ranker(base=covisit+item-knn+wide+hybrid+popularity,depth=30,trees=4,held=random)",
		"mf(factors=3,iterations=3)", "svd++(factors=4,iterations=3)", "judge:ranker(base=covisit+svdpp,depth=30,trees=4,held=random)")
	one := clustertest.Start(t, clustertest.Options{Servers: 1, Threads: 3, Configure: withKinds(probe)})
	one.Append(0, events)
	alone := one.Build(0, spec).ModelVersion
	c := clustertest.Start(t, clustertest.Options{Configure: withKinds(probe)})
	c.Append(0, events)
	version := c.Build(1, spec).ModelVersion
	for i := range c.Members {
		for _, name := range []string{"covisit", "probe", "wide", "rrf", "mix", "switch", "ranker", "mf", "svdpp", "judge"} {
			want, err := modelFile(one, 0, alone, name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := modelFile(c, i, version, name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("member %d of three: %s has %d bytes, and on one node %d others", i, name, len(got), len(want))
			}
			if said := []byte(probed(events, 4)); name == "probe" && !bytes.Contains(got, said) {
				t.Errorf("workers were given (-want +got):\n%s", gocmp.Diff(strings.Split(string(said), "\n"), strings.Split(string(got[16:]), "\n")))
			}
		}
	}
	t.Run("listed", func(t *testing.T) { modelsAreListed(t, c, version) })
	t.Run("asked", func(t *testing.T) { modelsAreAsked(t, c, version) })
	t.Run("rated", func(t *testing.T) { ratingsArePredicted(t, c, version) })
	t.Run("combined", func(t *testing.T) { modelsAreCombined(t, c, version) })
	t.Run("refused", func(t *testing.T) { modelsAreRefused(t, c) })
	t.Run("joined", func(t *testing.T) {
		joined := c.Add()
		c.Ready()
		want := recommend(t, c, 0, ask("u007", "wide"))
		c.Eventually(func() error {
			got, err := c.Recommender(joined).Recommend(t.Context(), ask("u007", "wide"))
			if err != nil {
				return err
			}
			if d := gocmp.Diff(want, got, protocmp.Transform()); d != "" {
				return errors.New(d)
			}
			return nil
		})
	})
	t.Run("rolled back", func(t *testing.T) {
		want := recommend(t, c, 2, ask("u007", "covisit"))
		c.Build(0, &kithv1.BuildSpec{K: 10})
		if _, err := c.Recommender(2).Recommend(t.Context(), ask("u007", "covisit")); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "without models") {
			t.Errorf("a version without models: %v, want NotFound", err)
		}
		if _, err := c.Models(1).Activate(t.Context(), &kithv1.ActivateRequest{Version: version}); err != nil {
			t.Fatal(err)
		}
		c.Eventually(func() error { // this member may hear of it a moment later
			got, err := c.Recommender(2).Recommend(t.Context(), ask("u007", "covisit"))
			if err != nil {
				return err
			}
			if d := gocmp.Diff(want, got, protocmp.Transform()); d != "" {
				return fmt.Errorf("after the way back (-before +after):\n%s", d)
			}
			return nil
		})
	})
	t.Run("rebuilt after an erasure", func(t *testing.T) {
		if _, err := kithv1.NewErasureServiceClient(c.Conn(0)).EraseUser(t.Context(), &kithv1.EraseUserRequest{User: "u007"}); err != nil {
			t.Fatal(err)
		}
		after := c.Build(0, spec).ModelVersion
		got, err := modelFile(c, 1, after, "probe")
		if err != nil {
			t.Fatal(err)
		}
		left := slices.DeleteFunc(slices.Clone(events), func(e *kithv1.Event) bool { return e.User == "u007" })
		if !bytes.Contains(got, []byte(probed(left, 4))) {
			t.Error("workers were given something else than the events of the others")
		}
	})
}

func modelsAreListed(t *testing.T, c *clustertest.Cluster, version uint64) {
	resp, err := c.Models(2).ListModels(t.Context(), &kithv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range resp.Versions[0].Models {
		names = append(names, m.Spec.Name)
		if m.SizeBytes == 0 || m.Steps < 2 && m.Spec.Parameters["base"] == "" {
			t.Errorf("%s: %v; want a size, and steps unless it is made of others", m.Spec.Name, m)
		}
	}
	if d := gocmp.Diff([]string{"covisit", "probe", "wide", "rrf", "mix", "switch", "ranker", "mf", "svdpp", "judge"}, names); d != "" || resp.Versions[0].Version != version {
		t.Errorf("version %d has other models (-want +got):\n%s", resp.Versions[0].Version, d)
	}
	if p := resp.Versions[0].Models[0].Spec.Parameters; p["window"] != "5" || p["half-life"] != "7" {
		t.Errorf("parameters %v; want what was given, and the defaults", p)
	}
}

// history returns the query of a user of a matrix, and the items that the user knows, if only by events without a weight.
func history(events []*kithv1.Event, user string, items []string, rows *similarity.Rows, u int) (q model.Query, known map[string]bool) {
	q = model.Query{User: -1, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], Weights: rows.Weight[rows.Start[u]:rows.Start[u+1]]}
	var own []fusion.Event
	known = map[string]bool{}
	for _, e := range wire.EventsFromProto(events) {
		if e.User == user {
			own = append(own, e)
			known[e.Item] = known[e.Item] || !e.Feedback()
		}
	}
	times := map[string]int64{}
	for _, x := range fusion.Fuse(own, fusion.DefaultWeights(), 0) {
		times[x.Item] = x.Last
	}
	for _, id := range q.Items {
		q.Times = append(q.Times, times[items[id]])
	}
	return q, known
}

func modelsAreAsked(t *testing.T, c *clustertest.Cluster, version uint64) {
	events := withRows(modelEvents())
	users, items, rows := matrix(events, 4)
	file, err := modelFile(c, 0, version, "covisit")
	if err != nil {
		t.Fatal(err)
	}
	m, err := covisit.Kind.Read(file[16 : 16+len(file)-16-16])
	if err != nil {
		t.Fatal(err)
	}
	for u, key := range users {
		q, known := history(events, key, items, rows, u)
		q.N, q.WithSeen = len(items), true
		all, err := m.Recommend(q)
		if err != nil {
			t.Fatal(err)
		}
		req := ask(key, "covisit")
		req.Explain = true
		got := recommend(t, c, u%3, req)
		if got.Model != kithv1.Model_MODEL_TRAINED || got.ModelName != "covisit" || got.ModelVersion != version || got.Partial || len(got.Items) != 8 {
			t.Fatalf("%s: got %v, want 8 items of covisit", key, got)
		}
		at := 0
		for _, x := range all {
			if x.Filled || at == 8 {
				break
			}
			if known[items[x.Item]] {
				continue
			}
			g := got.Items[at]
			if g.Item != items[x.Item] || g.Score != x.Score || g.Source != kithv1.Model_MODEL_TRAINED {
				t.Fatalf("%s, rank %d: got %v, want %s %v", key, at+1, g, items[x.Item], x.Score)
			}
			sum := 0.0
			for _, part := range g.Contributions {
				sum += part.Score
			}
			if sum != g.Score {
				t.Fatalf("%s, rank %d: contributions %v add up to %v, want %v", key, at+1, g.Contributions, sum, g.Score)
			}
			at++
		}
	}
	// Rules hold for trained models as for all.
	first := recommend(t, c, 0, ask("u003", "covisit")).Items[:3]
	req := ask("u003", "covisit")
	req.Filter = &kithv1.Filter{Deny: []string{first[0].Item}}
	req.Boosts = []*kithv1.Boost{{Filter: &kithv1.Filter{Allow: []string{first[2].Item}}, Factor: 1000}}
	if got := recommend(t, c, 1, req).Items; got[0].Item != first[2].Item || got[0].Score != 1000*first[2].Score || got[1].Item != first[1].Item {
		t.Errorf("with rules: got %v, behind %v without", keys(got), keys(first))
	}
	basket := &kithv1.RecommendRequest{
		Subject: &kithv1.RecommendRequest_Basket{Basket: &kithv1.Basket{Items: []*kithv1.BasketItem{{Item: items[0]}}}}, N: 3, ModelName: "wide",
	}
	if got := recommend(t, c, 1, basket).Items; len(got) != 3 || got[0].Source != kithv1.Model_MODEL_TRAINED {
		t.Errorf("basket: got %v, want 3 items of the model", got)
	}
	// A model without an opinion leaves all places to the fallbacks.
	if got := recommend(t, c, 2, ask("u003", "probe")); len(got.Items) != 8 || got.Items[0].Source != kithv1.Model_MODEL_POPULARITY || got.FallbackReason == "" {
		t.Errorf("a model that ranks nothing: got %v, want what is popular, and why", got)
	}
	scenes := &kithv1.SceneSet{Scenes: []*kithv1.Scene{{Name: "now", ModelName: "covisit"}, {Name: "lost", ModelName: "no-such"}}}
	if _, err := kithv1.NewSceneServiceClient(c.Conn(0)).SetScenes(t.Context(), &kithv1.SetScenesRequest{Set: scenes}); err != nil {
		t.Fatal(err)
	}
	inScene := forUser("u003", 3)
	inScene.Scene = "now"
	if got := keys(recommend(t, c, 1, inScene).Items); !slices.Equal(got, keys(first)) {
		t.Errorf("scene: got %v, want %v", got, keys(first))
	}
	inScene.Scene = "lost"
	if got := recommend(t, c, 1, inScene); len(got.Items) != 3 || !strings.Contains(got.FallbackReason, "covisit") {
		t.Errorf("scene of a model that is not there: got %v, want what comes next, and a reason that names those there are", got)
	}
}

// ratingsArePredicted: models of ratings answer from the newest ratings of a user, weights aside, and predict those of items that are asked for.
func ratingsArePredicted(t *testing.T, c *clustertest.Cluster, version uint64) {
	events := withRows(modelEvents())
	users, items, rows := matrix(events, 4)
	for name, kind := range map[string]*train.Kind{"mf": factors.MF, "svdpp": factors.SVDPP} {
		file, err := modelFile(c, 0, version, name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := kind.Read(file[16 : 16+len(file)-16-16])
		if err != nil {
			t.Fatal(err)
		}
		for u, key := range users[:8] {
			q, known := history(events, key, items, rows, u)
			var own []fusion.Event
			for _, e := range wire.EventsFromProto(events) {
				if e.User == key {
					own = append(own, e)
				}
			}
			latest := fusion.LatestRatings(own)
			for _, id := range q.Items {
				rating, ok := latest[items[id]]
				if !ok {
					rating = math.NaN()
				}
				q.Ratings = append(q.Ratings, float32(rating))
			}
			q.N, q.WithSeen = len(items), true
			all, err := m.Recommend(q)
			if err != nil {
				t.Fatal(err)
			}
			all = slices.DeleteFunc(all, func(s model.Scored) bool { return s.Filled })
			unseen := slices.DeleteFunc(slices.Clone(all), func(s model.Scored) bool { return known[items[s.Item]] })
			for i, x := range recommend(t, c, u%3, ask(key, name)).Items {
				if want := unseen[i]; x.Item != items[want.Item] || x.Score != want.Score || x.Source != kithv1.Model_MODEL_TRAINED {
					t.Fatalf("%s of %s, rank %d: got %v, want %s %v", name, key, i+1, x, items[want.Item], want.Score)
				}
			}
			// A filter that allows items asks for the ratings of these.
			asked := []model.Scored{all[0], all[len(all)/2], all[len(all)-1]}
			req := ask(key, name)
			req.N, req.IncludeSeen, req.NoFallback = 3, true, true
			req.Filter = &kithv1.Filter{Allow: []string{items[asked[0].Item], items[asked[1].Item], items[asked[2].Item]}}
			got := recommend(t, c, u%3, req).Items
			if len(got) != 3 {
				t.Fatalf("%s of %s: %d of 3 items asked for", name, key, len(got))
			}
			for i, x := range got {
				if x.Item != items[asked[i].Item] || x.Score != asked[i].Score {
					t.Errorf("%s of %s, item asked for: got %v, want %s %v", name, key, x, items[asked[i].Item], asked[i].Score)
				}
			}
		}
	}
	// An item of a basket has a rating, or that which is its weight, and without either the greatest.
	rated := func(item *kithv1.BasketItem) string {
		req := ask("", "mf")
		item.Item = items[0]
		req.Subject = &kithv1.RecommendRequest_Basket{Basket: &kithv1.Basket{Items: []*kithv1.BasketItem{item}}}
		return fmt.Sprint(recommend(t, c, 0, req).Items)
	}
	basket := func(weight float32) string { return rated(&kithv1.BasketItem{Weight: weight}) }
	if none := rated(&kithv1.BasketItem{Weight: 5, Rating: proto.Float32(0)}); none != basket(1) {
		t.Errorf("a basket with a rating of 0, below all: got %s, want as with the least, %s", none, basket(1))
	}
	if without := basket(0); without != basket(5) || without == basket(1) {
		t.Errorf("a basket without weights: got %s, with 5 %s, with 1 %s; want the first two equal", without, basket(5), basket(1))
	}
	similar, err := c.Recommender(1).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: items[0]}, N: 3, ModelName: "mf"})
	if err != nil || len(similar.Neighbors) != 3 || !strings.Contains(basket(5), similar.Neighbors[0].Key) {
		t.Errorf("similar items: %v (%v), want those of a basket", similar, err)
	}
}

// unknown is a model that answers with what a user does not know.
type unknown struct {
	hybrid.Recommender
	items []string
	known map[string]bool
}

func (m unknown) Recommend(q model.Query) ([]model.Scored, error) {
	n := q.N
	q.N, q.WithSeen = len(m.items), true
	all, err := m.Recommender.Recommend(q)
	all = slices.DeleteFunc(all, func(s model.Scored) bool { return s.Filled || m.known[m.items[s.Item]] })
	return all[:min(n, len(all))], err
}

func modelsAreRefused(t *testing.T, c *clustertest.Cluster) {
	for name, req := range map[string]*kithv1.RecommendRequest{
		"both a model and a name": {Subject: forUser("u001", 1).Subject, Model: kithv1.Model_MODEL_HYBRID, ModelName: "covisit"},
		"no name":                 {Subject: forUser("u001", 1).Subject, Model: kithv1.Model_MODEL_TRAINED},
		"a name that none has":    {Subject: forUser("u001", 1).Subject, ModelName: "../dictionary"},
		"nobody":                  {ModelName: "covisit"},
	} {
		if _, err := c.Recommender(0).Recommend(t.Context(), req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: error %v, want InvalidArgument", name, err)
		}
	}
	_, err := c.Recommender(0).Recommend(t.Context(), ask("u001", "als"))
	if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "covisit, probe, wide, rrf, mix, switch, ranker") {
		t.Errorf("unknown model: error %v, want NotFound with the names that there are", err)
	}
	for text, want := range map[string]string{
		"no-such": "unknown model", "covisit(window=0)": "window is 0", "covisit(x=1)": "unknown parameter", "hybrid:covisit": "always there", "A:covisit": "small letters",
		"rrf": "no models to combine", "rrf(base=als+item-knn)": `"als", and the build has no model of that name`, "rrf(base=item-knn+item-knn)": "twice",
		"switch(base=item-knn+user-knn+hybrid,until-2=3)": "ascending", "ranker(base=als)": `"als", and the build has no model of that name`,
	} {
		_, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: models(t, text)})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("build of %s: error %v, want InvalidArgument with %q", text, err, want)
		}
	}
	for want, texts := range map[string][]string{
		"not before it in the list": {"rrf(base=covisit+hybrid)", "covisit"}, "made of others itself": {"rrf(base=hybrid)", "blend(base=hybrid+rrf)"},
	} {
		_, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: models(t, texts...)})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("build of %s: error %v, want InvalidArgument with %q", texts, err, want)
		}
	}
	if _, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: models(t, "covisit", "covisit")}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("two models of one name: error %v, want InvalidArgument", err)
	}
}

package server_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// sceneShop is a cluster with the events and products of the tests of rules.
type sceneShop struct {
	*clustertest.Cluster
	t      *testing.T
	ref    *reference
	events []*kithv1.Event
}

func newSceneShop(t *testing.T) *sceneShop {
	s := &sceneShop{Cluster: clustertest.Start(t, clustertest.Options{}), t: t, events: shopEvents(40, 60, 15, 7)}
	s.Append(0, s.events)
	s.Build(0, &kithv1.BuildSpec{Measure: "cosine", K: 10, BlockItems: 16})
	s.ref = newReference(s.events)
	changed := shopProducts(rand.New(rand.NewPCG(1, 3)), 1)
	for _, r := range changed {
		s.ref.products[r.Key] = r
	}
	for i := range s.Members { // each has acknowledged it then
		put(t, s.Cluster, i, products, changed...)
	}
	return s
}

func (s *sceneShop) scenes(member int) kithv1.SceneServiceClient {
	return kithv1.NewSceneServiceClient(s.Conn(member))
}

// set replaces the scenes through a member.
func (s *sceneShop) set(member int, set *kithv1.SceneSet) {
	s.t.Helper()
	present, err := s.scenes(member).GetScenes(s.t.Context(), &kithv1.GetScenesRequest{})
	if err == nil {
		set.Version = present.Set.Version
		_, err = s.scenes(member).SetScenes(s.t.Context(), &kithv1.SetScenesRequest{Set: set})
	}
	if err != nil {
		s.t.Fatalf("set scenes through member %d: %v", member, err)
	}
}

// ask returns the answer of a member.
func (s *sceneShop) ask(member int, req *kithv1.RecommendRequest) *kithv1.RecommendResponse {
	s.t.Helper()
	resp, err := s.Recommender(member).Recommend(s.t.Context(), req)
	if err != nil {
		s.t.Fatalf("member %d, %v: %v", member, req, err)
	}
	return resp
}

func listedOf(t *testing.T, resp interface{ GetItems() []*kithv1.ListedItem }, err error) (items []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range resp.GetItems() {
		items = append(items, x.Item)
	}
	return items
}

// TestScenes asks a cluster for scenes.
func TestScenes(t *testing.T) {
	t.Parallel()
	s := newSceneShop(t)
	t.Run("adds what the caller says", s.addsWhatTheCallerSays)
	t.Run("falls back in order", s.fallsBackInOrder)
	t.Run("explores", s.explores)
	t.Run("keeps what is similar apart", s.keepsApart)
	t.Run("counts exports", s.countsExports)
	t.Run("is one on all members", s.isOneOnAllMembers)
	t.Run("is tested by an experiment", s.isTestedByAnExperiment)
}

// explores: new products have their places in an answer, the model the others, on all members alike.
func (s *sceneShop) explores(t *testing.T) {
	s.t = t
	rapid.Check(t, func(rt *rapid.T) {
		req := drawRequest(rt)
		req.NoFallback = false
		req.Diversity = nil
		plain := s.ask(0, req)
		within := int64(rapid.SampledFrom([]int{1, 5, 14}).Draw(rt, "days")) * 86_400_000
		places := rapid.IntRange(1, 6).Draw(rt, "places")
		req.Explore = &kithv1.Explore{Places: uint32(places), WithinMs: uint64(within)}
		got := s.ask(rapid.IntRange(0, len(s.Members)-1).Draw(rt, "member"), req)
		excluded := s.ref.excluded(req)
		// Pins stay where they are. What is drawn from is new, allowed, and not in the answer without.
		pinned := map[string]bool{}
		for _, p := range req.Pins {
			pinned[p.Item] = true
		}
		natural := func(resp *kithv1.RecommendResponse) (items []*kithv1.RecommendedItem) {
			return slices.DeleteFunc(slices.Clone(resp.Items), func(x *kithv1.RecommendedItem) bool { return x.Source == kithv1.Model_MODEL_PINNED })
		}
		base, items := natural(plain), natural(got)
		fresh := map[string]bool{}
		for item, p := range s.ref.products {
			since, known := s.ref.attribute(item, "since").GetValue().(*kithv1.Attribute_TimeUnixMs)
			if !p.Deleted && known && since.TimeUnixMs <= shopNow && shopNow-since.TimeUnixMs <= within && !excluded[item] && !pinned[item] &&
				s.ref.passes(item, req.Filter) && !slices.Contains(keys(base), item) {
				fresh[item] = true
			}
		}
		room := int(req.N) - (len(plain.Items) - len(base))
		for _, p := range req.Pins { // beyond the end of a short answer, they have kept their place all the same
			if s.ref.passes(p.Item, req.Filter) && int(p.Rank) <= int(req.N) && !slices.Contains(keys(plain.Items), p.Item) {
				room--
			}
		}
		drawn := min(places, len(fresh), max(room, 0))
		length := min(max(room, 0), len(base)+drawn)
		want := base[:max(0, length-drawn)]
		if len(items) != length {
			rt.Fatalf("%v: %d items, want %d: %v", req, len(items), length, got)
		}
		used := 0
		for i, x := range items {
			if drawn > 0 && i+1 == (used+1)*length/drawn {
				if used++; x.Source != kithv1.Model_MODEL_EXPLORED || !fresh[x.Item] {
					rt.Fatalf("%v: place %d has %v; want one of %v", req, i+1, x, fresh)
				}
				delete(fresh, x.Item)
			} else if !proto.Equal(x, want[i-used]) {
				rt.Fatalf("%v: place %d has %v; want %v", req, i+1, x, want[i-used])
			}
		}
		if other := s.ask(0, req); !slices.Equal(keys(got.Items), keys(other.Items)) {
			rt.Fatalf("%v: %v, and member 0 says %v", req, got, other)
		}
	})
}

// countsExports: each user of an export is a query in the metrics.
func (s *sceneShop) countsExports(t *testing.T) {
	stream, err := s.Recommender(0).ExportRecommendations(t.Context(), &kithv1.ExportRecommendationsRequest{Request: &kithv1.RecommendRequest{N: 1}})
	if err != nil {
		t.Fatal(err)
	}
	users := 0
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		users += len(resp.Answers)
	}
	if n := figure(t, s.Members[0].Server.Registry(), "kith_queries_total", "query=export", "outcome=ok"); users == 0 || n < float64(users) {
		t.Errorf("%d users were exported, and %v counted", users, n)
	}
}

// keepsApart: a diversity by similarity is maximal marginal relevance by the neighbor lists, of what the model ranks.
func (s *sceneShop) keepsApart(t *testing.T) {
	s.t = t
	alike := map[[2]string]float64{}
	for _, item := range s.ref.order {
		resp, err := s.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: item}, N: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range resp.Neighbors {
			pair := [2]string{min(item, x.Key), max(item, x.Key)}
			alike[pair] = max(alike[pair], x.Score)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		req := drawRequest(rt)
		req.Subject, req.Pins, req.Diversity, req.NoFallback = forUser(rapid.SampledFrom([]string{"u000", "u002"}).Draw(rt, "who"), 0).Subject, nil, nil, true
		n := int(req.N)
		req.N = 200
		all := s.ask(0, req).Items
		largest := 0.0
		for i, a := range all {
			for _, b := range all[:i] {
				largest = max(largest, alike[[2]string{min(a.Item, b.Item), max(a.Item, b.Item)}])
			}
		}
		lambda := rapid.SampledFrom([]float64{0, 0.3, 0.7, 1}).Draw(rt, "apart")
		var want []string
		for left := all; len(want) < min(n, len(all)); {
			at, best := -1, math.Inf(-1)
			for i, x := range left {
				value, nearest := lambda*(x.Score/all[0].Score), 0.0
				for _, y := range want {
					nearest = max(nearest, alike[[2]string{min(x.Item, y), max(x.Item, y)}])
				}
				if largest > 0 {
					value -= (1 - lambda) * (nearest / largest)
				}
				if value > best {
					at, best = i, value
				}
			}
			want = append(want, left[at].Item)
			left = slices.Delete(slices.Clone(left), at, at+1)
		}
		req.N, req.Diversity = uint32(n), &kithv1.Diversity{Lambda: &lambda, BySimilarity: true}
		if got := keys(s.ask(rapid.IntRange(0, len(s.Members)-1).Draw(rt, "member"), req).Items); !slices.Equal(got, want) {
			rt.Fatalf("%v:\n%v, want\n%v", req, got, want)
		}
	})
	strange := forUser("u001", 3)
	strange.Filter = &kithv1.Filter{Conditions: []*kithv1.Condition{{Attribute: "stok", Test: &kithv1.Condition_Available{Available: &kithv1.Available{}}}}}
	if got := s.ask(1, strange); len(got.Items) > 0 || !strings.Contains(got.FallbackReason, `no product has the attribute "stok"`) {
		t.Errorf("a filter by what no product has: %v", got)
	}
	by := &kithv1.Diversity{Lambda: proto.Float64(0.5), BySimilarity: true}
	if _, err := s.Recommender(0).Trending(t.Context(), &kithv1.TrendingRequest{WithinMs: 1000, Diversity: by}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a list by similarity: %v", err)
	}
}

// drawn are scenes and requests that were made at random, and by one number the same again.
const drawn = 80

// addsWhatTheCallerSays: an answer by a scene and a request is that of one request with the rules of both.
func (s *sceneShop) addsWhatTheCallerSays(t *testing.T) {
	s.t = t
	type parts struct {
		scene        *kithv1.Scene
		caller, both *kithv1.RecommendRequest
	}
	var cases []parts
	set := &kithv1.SceneSet{}
	for i := range drawn {
		x := rapid.Custom(func(t *rapid.T) (x parts) {
			a, b := drawRequest(t), drawRequest(t)
			x.caller, x.both = a, proto.Clone(a).(*kithv1.RecommendRequest)
			x.scene = &kithv1.Scene{
				Name: fmt.Sprint("s", i), Model: a.Model, N: b.N, IncludeSeen: b.IncludeSeen, Filter: b.Filter, ExcludeHistory: b.ExcludeHistory,
				Boosts: b.Boosts, Freshness: b.Freshness, Diversity: b.Diversity, Pins: b.Pins,
			}
			a.Model, a.Scene = 0, x.scene.Name
			if rapid.Bool().Draw(t, "n of the scene") {
				a.N, x.both.N = 0, b.N
			}
			if x.both.Model != kithv1.Model_MODEL_POPULARITY && a.GetUser() != "nobody" && rapid.Bool().Draw(t, "no fallback of the scene") {
				x.scene.NoFallback, x.both.NoFallback = true, true
			}
			x.both.IncludeSeen = a.IncludeSeen || b.IncludeSeen
			x.both.ExcludeHistory = slices.Concat(a.ExcludeHistory, b.ExcludeHistory)
			x.both.Boosts = slices.Concat(a.Boosts, b.Boosts)
			x.both.Freshness, x.both.Diversity = cmp.Or(a.Freshness, b.Freshness), cmp.Or(a.Diversity, b.Diversity)
			f := x.both.Filter
			f.Conditions, f.Deny = slices.Concat(f.Conditions, b.Filter.Conditions), slices.Concat(f.Deny, b.Filter.Deny)
			f.OnlyProducts = f.OnlyProducts || b.Filter.OnlyProducts
			f.Allow = slices.Concat(f.Allow, b.Filter.Allow)
			if len(a.Filter.Allow) > 0 && len(b.Filter.Allow) > 0 {
				f.Allow = []string{"nothing"}
				for _, item := range a.Filter.Allow {
					if slices.Contains(b.Filter.Allow, item) {
						f.Allow = append(f.Allow, item)
					}
				}
			}
			for _, p := range b.Pins {
				if !slices.ContainsFunc(a.Pins, func(x *kithv1.Pin) bool { return x.Item == p.Item || x.Rank == p.Rank }) {
					x.both.Pins = append(x.both.Pins, p)
				}
			}
			return x
		}).Example(i)
		cases, set.Scenes = append(cases, x), append(set.Scenes, x.scene)
	}
	s.set(0, set)
	for i, x := range cases {
		got, want := s.ask(i%3, x.caller), s.ask(i%3, x.both)
		if got.Scene != x.scene.Name || got.Experiment != "" || got.AnswerId == "" {
			t.Fatalf("scene %q, experiment %q, answer %q", got.Scene, got.Experiment, got.AnswerId)
		}
		got.Scene, got.AnswerId = "", ""
		if x.scene.NoFallback { // unlike a caller who wants none, a scene without says why the answer is short
			got.FallbackReason = ""
		}
		if !proto.Equal(got, want) {
			t.Fatalf("by the scene\n%v\nby one request\n%v\nscene %v\ncaller %v", got, want, x.scene, x.caller)
		}
	}
}

// fallsBackInOrder: each model adds what it ranks and what is not there yet.
func (s *sceneShop) fallsBackInOrder(t *testing.T) {
	s.t = t
	ctx, member := t.Context(), 1
	filter := &kithv1.Filter{Conditions: []*kithv1.Condition{{Attribute: "price", Test: &kithv1.Condition_Range{Range: &kithv1.Range{Max: proto.Float64(80)}}}}}
	client := s.Recommender(member)
	const item, n = "i0003", 200
	trending, err := client.Trending(ctx, &kithv1.TrendingRequest{N: n, Filter: filter, WithinMs: 864_000_000, NowUnixMs: shopNow})
	lists := map[kithv1.Model][]string{kithv1.Model_MODEL_TRENDING: listedOf(t, trending, err)}
	together, err := client.FrequentlyBoughtTogether(ctx, &kithv1.FrequentlyBoughtTogetherRequest{Item: item, N: n, Filter: filter, NowUnixMs: shopNow})
	lists[kithv1.Model_MODEL_TOGETHER] = listedOf(t, together, err)
	similar, err := client.Similar(ctx, &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: item}, N: n, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range similar.Neighbors {
		lists[kithv1.Model_MODEL_SIMILAR] = append(lists[kithv1.Model_MODEL_SIMILAR], x.Key)
	}
	ask := func(user string, model kithv1.Model, filter *kithv1.Filter) (items []string) {
		req := forUser(user, n)
		req.Model, req.Filter, req.NowUnixMs = model, filter, shopNow
		for _, x := range s.ask(member, req).Items {
			if x.Source == model {
				items = append(items, x.Item)
			}
		}
		return items
	}
	const user = "u003"
	seen := map[string]bool{item: true}
	sums := map[string]float64{}
	weights := map[string]float64{"view": 1, "search": 1, "cart": 3, "purchase": 5, "cancel": -5, "rating": 1}
	for _, e := range s.ref.history[user] {
		seen[e.Item] = true
		sums[e.Item] += weights[e.Behavior]
	}
	byCategory := map[string]float64{}
	for x, sum := range sums {
		if category := texts(s.ref.attribute(x, "category")); sum > 0 && len(category) > 0 {
			byCategory[category[0]] += sum
		}
	}
	if category := texts(s.ref.attribute(item, "category")); len(category) > 0 {
		byCategory[category[0]]++
	}
	favorites := slices.SortedFunc(maps.Keys(byCategory), func(a, b string) int {
		return cmp.Or(cmp.Compare(byCategory[b], byCategory[a]), strings.Compare(a, b))
	})[:3]
	if len(byCategory) < 4 {
		t.Fatalf("categories %v; want more than three, so that there is one to leave out", byCategory)
	}
	inFavorites := proto.Clone(filter).(*kithv1.Filter)
	inFavorites.Conditions = append(inFavorites.Conditions, &kithv1.Condition{Attribute: "category", Test: &kithv1.Condition_AnyOf{AnyOf: &kithv1.TextList{Texts: favorites}}})
	for model, of := range map[kithv1.Model]*kithv1.Filter{
		kithv1.Model_MODEL_USER_KNN: filter, kithv1.Model_MODEL_ITEM_KNN: filter, kithv1.Model_MODEL_POPULARITY: filter, kithv1.Model_MODEL_CATEGORIES: inFavorites,
	} {
		source := model
		if model == kithv1.Model_MODEL_CATEGORIES {
			source = kithv1.Model_MODEL_POPULARITY
		}
		lists[model] = ask(user, source, of)
	}
	var newest []ranking
	for key, p := range s.ref.products {
		if !p.Deleted && s.ref.passes(key, filter) {
			newest = append(newest, ranking{key, float64(s.ref.attribute(key, "since").GetTimeUnixMs()), 0})
		}
	}
	slices.SortFunc(newest, func(a, b ranking) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.item, b.item)) })
	for _, x := range newest {
		lists[kithv1.Model_MODEL_NEWEST] = append(lists[kithv1.Model_MODEL_NEWEST], x.item)
	}

	fallbacks := []kithv1.Model{
		kithv1.Model_MODEL_USER_KNN, kithv1.Model_MODEL_CATEGORIES, kithv1.Model_MODEL_TRENDING, kithv1.Model_MODEL_POPULARITY, kithv1.Model_MODEL_NEWEST,
		kithv1.Model_MODEL_SIMILAR, kithv1.Model_MODEL_TOGETHER,
	}
	set := &kithv1.SceneSet{}
	for i := range drawn {
		set.Scenes = append(set.Scenes, rapid.Custom(func(t *rapid.T) *kithv1.Scene {
			scene := &kithv1.Scene{
				Name: fmt.Sprint("s", i), Filter: filter, N: uint32(rapid.IntRange(1, 100).Draw(t, "n")), WithinMs: 864_000_000,
				ExcludeHistory: []*kithv1.HistoryRule{{}}, Fallback: rapid.Permutation(fallbacks).Draw(t, "fallback")[:rapid.IntRange(0, 4).Draw(t, "fallbacks")],
			}
			scene.NoFallback = len(scene.Fallback) == 0
			scene.Model = rapid.SampledFrom(append([]kithv1.Model{kithv1.Model_MODEL_ITEM_KNN}, fallbacks...)).Draw(t, "model")
			if scene.Model == kithv1.Model_MODEL_NEWEST { // those of unknown age are left out there
				scene.Model = kithv1.Model_MODEL_TRENDING
			}
			return scene
		}).Example(i))
	}
	s.set(member, set)
	for _, scene := range set.Scenes {
		got := s.ask(member, &kithv1.RecommendRequest{Scene: scene.Name, Item: item, Subject: &kithv1.RecommendRequest_User{User: user}, NowUnixMs: shopNow})
		var want []string
		var sources []kithv1.Model
		for _, m := range append([]kithv1.Model{scene.Model}, scene.Fallback...) {
			for _, x := range lists[m] {
				if !seen[x] && !slices.Contains(want, x) && len(want) < int(scene.N) {
					want, sources = append(want, x), append(sources, m)
				}
			}
		}
		if !slices.Equal(keys(got.Items), want) {
			t.Fatalf("%v then %v:\n got %v\nwant %v", scene.Model, scene.Fallback, keys(got.Items), want)
		}
		for i, x := range got.Items {
			if x.Source != sources[i] {
				t.Fatalf("place %d of %v is of %v, want %v", i+1, scene, x.Source, sources[i])
			}
		}
	}
}

// isOneOnAllMembers: who changed a scene through one member gets it at the others, and of two who change it at a time one is refused.
func (s *sceneShop) isOneOnAllMembers(t *testing.T) {
	s.t = t
	for i := range 5 {
		name := fmt.Sprint("s", i)
		s.set(i%3, &kithv1.SceneSet{Scenes: []*kithv1.Scene{{Name: name}}})
		for member := range s.Members {
			if got := s.ask(member, &kithv1.RecommendRequest{Scene: name, Subject: &kithv1.RecommendRequest_User{User: "u001"}}); len(got.Items) != 10 {
				t.Errorf("member %d: %d items of scene %s, want 10", member, len(got.Items), name)
			}
		}
	}
	present, err := s.scenes(0).GetScenes(t.Context(), &kithv1.GetScenesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, len(s.Members))
	for member := range s.Members {
		go func() {
			_, err := s.scenes(member).SetScenes(t.Context(), &kithv1.SetScenesRequest{
				Set: &kithv1.SceneSet{Version: present.Set.Version, Scenes: []*kithv1.Scene{{Name: fmt.Sprint("of-", member)}}},
			})
			errs <- err
		}()
	}
	refused := 0
	for range s.Members {
		switch err := <-errs; {
		case err == nil:
		case status.Code(err) == codes.FailedPrecondition:
			refused++
		default:
			t.Error(err)
		}
	}
	if refused != len(s.Members)-1 {
		t.Errorf("%d of %d were refused, want all but one", refused, len(s.Members))
	}
	if _, err := s.Recommender(2).Recommend(t.Context(), &kithv1.RecommendRequest{Scene: "s0", Subject: &kithv1.RecommendRequest_User{User: "u"}}); status.Code(err) != codes.NotFound {
		t.Errorf("a scene that is gone: %v, want NOT_FOUND", err)
	}
}

// isTestedByAnExperiment goes the whole way: all members give a user the same variant, what is sent back of the answers is counted as a count by hand says, and does
// not change what is popular or known.
func (s *sceneShop) isTestedByAnExperiment(t *testing.T) {
	s.t = t
	const hour = 3_600_000
	s.set(0, &kithv1.SceneSet{
		Scenes: []*kithv1.Scene{
			{Name: "home", Model: kithv1.Model_MODEL_POPULARITY, N: 5},
			{Name: "by-items", Model: kithv1.Model_MODEL_ITEM_KNN, N: 4},
		},
		Experiments: []*kithv1.Experiment{{
			Name: "e", Scene: "home", StartUnixMs: shopNow - hour, EndUnixMs: shopNow + hour, WindowMs: 10 * hour,
			Variants: []*kithv1.Variant{{Name: "control", Scene: "home", Weight: 3}, {Name: "b", Scene: "by-items", Weight: 1}},
		}},
	})
	popular := func() *kithv1.RecommendResponse {
		return s.ask(1, &kithv1.RecommendRequest{Subject: forUser("u001", 0).Subject, N: 40, NowUnixMs: shopNow})
	}
	latest := func() []string {
		resp, err := s.Recommender(1).Latest(t.Context(), &kithv1.LatestRequest{N: 10, NowUnixMs: shopNow + 100*hour})
		return listedOf(t, resp, err)
	}
	before, latestBefore := popular(), latest()

	type variant struct {
		users, clicked, converted, impressions, clicks, purchases uint64
		revenue                                                   float64
	}
	want := map[string]*variant{"control": {}, "b": {}}
	refused := uint64(0)
	var events []*kithv1.Event
	rng := rand.New(rand.NewPCG(5, 6))
	for u := range 120 {
		user := fmt.Sprintf("u%03d", u) // 40 of them have a history
		req := &kithv1.RecommendRequest{Scene: "home", NowUnixMs: shopNow + int64(u)}
		switch u % 8 {
		case 7: // nobody who is known
			req.Session = user
		case 3:
			req.Session, req.Subject = user, &kithv1.RecommendRequest_Basket{Basket: &kithv1.Basket{Items: []*kithv1.BasketItem{{Item: "i0001"}}}}
		default:
			req.Subject = forUser(user, 0).Subject
		}
		resp := s.ask(0, req)
		for member := 1; member < len(s.Members); member++ {
			if other := s.ask(member, req); !proto.Equal(resp, other) {
				t.Fatalf("user %s: member 0 answers %v, member %d %v", user, resp, member, other)
			}
		}
		w := want[resp.Variant]
		if w == nil || resp.Scene != "home" || resp.Experiment != "e" || len(resp.Items) != map[string]int{"control": 5, "b": 4}[resp.Variant] {
			t.Fatalf("user %s: %v", user, resp)
		}
		send := func(behavior, item string, at int64, context map[string]string) {
			events = append(events, &kithv1.Event{Id: fmt.Sprint("f", len(events)), User: user, Item: item, Behavior: behavior, TimeUnixMs: at, Context: context})
		}
		about := map[string]string{"answer": resp.AnswerId}
		seen, clicked, converted := 0, false, false
		for i, x := range resp.Items {
			at := req.NowUnixMs + int64(i)*10
			if rng.IntN(3) > 0 {
				continue
			}
			seen++
			send("impression", x.Item, at, about)
			send("impression", x.Item, at+1, about) // twice, as pages do
			if rng.IntN(2) > 0 {
				continue
			}
			clicked = true
			w.clicks++
			send("click", x.Item, at+5, about)
			switch rng.IntN(4) {
			case 0:
				converted = true
				w.purchases, w.revenue = w.purchases+1, w.revenue+12
				send("purchase", x.Item, at+hour, map[string]string{"price": "12"})
			case 1: // too late
				send("purchase", x.Item, at+11*hour, map[string]string{"price": "1000"})
			case 2: // given back
				send("purchase", x.Item, at+hour, map[string]string{"price": "1000"})
				send("cancel", x.Item, at+2*hour, nil)
			}
		}
		send("impression", "i0059x", shopNow, about) // was not in the answer
		send("click", resp.Items[0].Item, shopNow, map[string]string{"answer": resp.AnswerId[:len(resp.AnswerId)-5] + "AAAAA"})
		refused += 2
		w.impressions += uint64(seen)
		if seen > 0 {
			w.users++
		}
		if clicked {
			w.clicked++
		}
		if converted {
			w.converted++
		}
	}
	onlyFeedback := slices.DeleteFunc(slices.Clone(events), func(e *kithv1.Event) bool { return e.Behavior == "purchase" || e.Behavior == "cancel" })
	s.Append(2, onlyFeedback)
	if after := popular(); !proto.Equal(before, after) {
		t.Errorf("impressions and clicks have changed an answer from\n%v\nto\n%v", before, after)
	}
	if after := latest(); !slices.Equal(latestBefore, after) {
		t.Errorf("impressions and clicks have changed the latest items from %v to %v", latestBefore, after)
	}
	s.Append(1, events)
	if want["b"].users == 0 || want["b"].users >= want["control"].users || want["control"].converted == 0 {
		t.Fatalf("%+v and %+v: the test shows nothing", want["control"], want["b"])
	}
	for member := range s.Members {
		r, err := s.scenes(member).ReportExperiment(t.Context(), &kithv1.ReportExperimentRequest{Name: "e"})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Variants) != 2 || r.Variants[0].Name != "control" || r.Variants[1].Scene != "by-items" || r.Refused != refused || r.Crossed != 0 || r.Others != 0 || r.SplitP < 0.05 {
			t.Errorf("member %d: %v, want %d refused", member, r, refused)
		}
		for _, v := range r.Variants {
			got := variant{v.Users, v.Clicked.Users, v.Converted.Users, v.Counts.Impressions, v.Counts.Clicks, v.Counts.Purchases, v.Counts.Revenue}
			if w := want[v.Name]; got != *w {
				t.Errorf("member %d, variant %s: %+v, want %+v", member, v.Name, got, *w)
			}
			if mean := float64(v.Converted.Users) / float64(v.Users); v.Converted.Mean != mean {
				t.Errorf("variant %s: mean %v, want %v", v.Name, v.Converted.Mean, mean)
			}
		}
		if p := r.Variants[1].Converted.P; !(p > 0 && p <= 1) {
			t.Errorf("p = %v", p)
		}
	}
	// Of the scene, all of that together; the rest of the test has no feedback.
	report, err := s.scenes(1).ReportScenes(t.Context(), &kithv1.ReportScenesRequest{WindowMs: 10 * hour})
	if err != nil || len(report.Scenes) != 1 {
		t.Fatalf("report on scenes: %v, %v", report, err)
	}
	models := proto.Clone(report.Scenes[0]).(*kithv1.SceneReport).Models
	x, y := want["control"], want["b"]
	whole := &kithv1.SceneReport{
		Name: "home", Users: x.users + y.users, Clicked: x.clicked + y.clicked, Converted: x.converted + y.converted, Models: models,
		Counts: &kithv1.AnswerCounts{Impressions: x.impressions + y.impressions, Clicks: x.clicks + y.clicks, Purchases: x.purchases + y.purchases, Revenue: x.revenue + y.revenue},
	}
	if !proto.Equal(whole, report.Scenes[0]) || report.Refused != refused || len(models) == 0 {
		t.Errorf("report on scenes: %v, want %v and %d refused", report, whole, refused)
	}
	if old, err := s.scenes(1).ReportScenes(t.Context(), &kithv1.ReportScenesRequest{WithinMs: hour}); err != nil || len(old.Scenes) != 0 {
		t.Errorf("report on the scenes of the last hour: %v, %v; the answers are older", old, err)
	}
	if _, err := s.scenes(1).ReportScenes(t.Context(), &kithv1.ReportScenesRequest{WindowMs: 91 * 24 * hour}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a window of 91 days: %v", err)
	}
	if _, err := s.scenes(0).ReportExperiment(t.Context(), &kithv1.ReportExperimentRequest{Name: "f"}); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "there are e") {
		t.Errorf("unknown experiment: %v", err)
	}
	// Who says so is not shown again what was shown.
	shown := s.ask(0, &kithv1.RecommendRequest{Subject: forUser("u000", 0).Subject, N: 100, ExcludeHistory: []*kithv1.HistoryRule{{Behaviors: []string{"impression"}}}})
	for _, e := range onlyFeedback {
		if e.User == "u000" && e.Behavior == "impression" && slices.Contains(keys(shown.Items), e.Item) {
			t.Errorf("%s was shown to u000, and is in an answer without what was", e.Item)
		}
	}
}

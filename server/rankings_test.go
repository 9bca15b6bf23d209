package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// rankingShop compares answers that may come of rankings in memory with those that events and neighbors make, which a query with explanations looks at.
type rankingShop struct {
	*clustertest.Cluster
	t          *testing.T
	member     int
	n          uint32
	noFallback bool
}

// used returns how many rankings have served.
func (s *rankingShop) used() float64 {
	return figure(s.t, s.Members[s.member].Server.Registry(), "kith_rankings_memory_total")
}

// ask returns the answer without what explains it.
func (s *rankingShop) ask(req *kithv1.RecommendRequest) *kithv1.RecommendResponse {
	s.t.Helper()
	resp := recommend(s.t, s.Cluster, s.member, req)
	resp.AnswerId = ""
	for _, x := range resp.Items {
		x.Contributions = nil
	}
	return resp
}

// both asks with and without explanations.
func (s *rankingShop) both(when string, req *kithv1.RecommendRequest) *kithv1.RecommendResponse {
	s.t.Helper()
	explained := proto.CloneOf(req)
	explained.Explain = true
	got, want := s.ask(req), s.ask(explained)
	if !proto.Equal(got, want) {
		s.t.Errorf("%s %v gets\n%v\nwant\n%v", when, req, got, want)
	}
	return got
}

var rankingModels = []kithv1.Model{kithv1.Model_MODEL_ITEM_KNN, kithv1.Model_MODEL_USER_KNN, kithv1.Model_MODEL_HYBRID}

// same asks each model twice for a user, and returns how many rankings served.
func (s *rankingShop) same(when, user string) float64 {
	s.t.Helper()
	before := s.used()
	for _, m := range rankingModels {
		for range 2 {
			req := forUser(user, s.n)
			req.Model, req.NoFallback = m, s.noFallback
			s.both(when, req)
		}
	}
	return s.used() - before
}

// serves is same where so many rankings must serve.
func (s *rankingShop) serves(when, user string, want float64) {
	s.t.Helper()
	if got := s.same(when, user); got != want {
		s.t.Errorf("%s rankings of %s have served %v of 6 queries, want %v", when, user, got, want)
	}
}

// warm is same of a user whose rankings serve, from the second query on at the latest.
func (s *rankingShop) warm(when, user string) {
	s.t.Helper()
	s.same(when, user)
	s.serves(when, user, 6)
}

// others asks for a user in ways that no ranking serves.
func (s *rankingShop) others(user string) {
	s.t.Helper()
	best := s.ask(forUser(user, 1)).Items[0].Item
	before := s.used()
	for _, change := range []func(*kithv1.RecommendRequest){
		func(r *kithv1.RecommendRequest) { r.IncludeSeen = true },
		func(r *kithv1.RecommendRequest) { r.Stale = true },
		func(r *kithv1.RecommendRequest) { r.Filter = &kithv1.Filter{Deny: []string{best}} },
		func(r *kithv1.RecommendRequest) {
			r.ExcludeHistory = []*kithv1.HistoryRule{{Behaviors: []string{"purchase"}}}
		},
	} {
		req := forUser(user, s.n)
		change(req)
		s.both("with rules", req)
	}
	if used := s.used() - before; used != 0 {
		s.t.Errorf("rankings have served %v queries with rules", used)
	}
}

// erased erases users until the answer by similar users to a query of another one changes, who has a ranking of it.
func (s *rankingShop) erased(user string, others ...string) {
	s.t.Helper()
	req := forUser(user, s.n)
	req.Model = kithv1.Model_MODEL_USER_KNN
	for _, other := range others {
		before := s.both("before an erasure", req)
		eraseUser(s.t, s.Cluster, s.member, &kithv1.EraseUserRequest{User: other})
		if after := s.both("after an erasure", req); !proto.Equal(before, after) {
			return
		}
	}
	s.t.Errorf("the answer for %s is the same after %v were erased: the test looks at nothing", user, others)
}

// TestRankingsInMemory: an answer by a ranking in memory is that which events and neighbors make, after whatever happens to the user, to others or to the model.
func TestRankingsInMemory(t *testing.T) {
	t.Parallel()
	const catalog, hour = 80, int64(time.Hour / time.Millisecond)
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	c.Append(0, shopEvents(60, catalog, 12, 3))
	s := &rankingShop{Cluster: c, t: t, n: 5}
	const user, other, third = "u001", "u002", "u003"
	activate := func(version uint64) {
		t.Helper()
		if _, err := c.Models(0).Activate(t.Context(), &kithv1.ActivateRequest{Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	s.same("without a model", user)
	first := c.Build(0, &kithv1.BuildSpec{K: 10}).ModelVersion
	s.warm("after a build", user)
	s.others(user)
	now := time.Now().UnixMilli()
	event := func(user, item, behavior string, at int64) *kithv1.Event {
		return &kithv1.Event{Id: fmt.Sprint(item, behavior, at), User: user, Item: item, Behavior: behavior, TimeUnixMs: at}
	}
	seen := recommend(t, c, 0, forUser(user, 2)).Items
	c.Append(0, []*kithv1.Event{event(user, seen[0].Item, "purchase", now-hour)})
	s.warm("after an event", user)
	if x := recommend(t, c, 0, forUser(user, 1)).Items[0]; x.Item == seen[0].Item {
		t.Errorf("%s is recommended after it was bought", x.Item)
	}
	c.Append(0, []*kithv1.Event{event(user, seen[0].Item, "cancel", now), event(user, seen[1].Item, "impression", now), event(user, "unheard-of", "view", now)})
	s.warm("after a cancellation, an impression and an item without lists", user)
	for _, d := range []struct {
		n      uint32
		serves float64
	}{{9, 3}, {5, 6}, {9, 6}, {1000, 3}, {3, 6}, {900, 6}} { // 1,000 are more than there are
		s.n = d.n
		s.serves(fmt.Sprintf("with n = %d", d.n), user, d.serves)
	}
	c.Append(0, []*kithv1.Event{event("newcomer", "unheard-of", "view", now)})
	s.lookUps("with nothing that the model knows", "newcomer", 1)
	s.noFallback = true
	s.warm("with less than was asked for", user)
	s.serves("with nothing that the model knows, and no fallback,", "newcomer", 0)
	s.n, s.noFallback = 5, false
	second := c.Build(0, &kithv1.BuildSpec{K: 20}).ModelVersion
	s.warm("with another version", user)
	activate(first)
	s.warm("with the first version again", user)
	activate(second)
	s.warm("with another version", other)
	s.warm("with another version", third)
	s.blends(third)
	joinOne(t, c, 0, other, user)
	s.warm("after a join", user)
	s.serves("as a key that is joined", other, 0)
	s.erased(user, "u006", "u011", "u016", "u021", "u026", "u031", "u036")
	s.warm("after an erasure of similar users", user)
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: "u004"})
	s.serves("after an erasure of somebody", user, 4) // those by items stay
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: user})
	s.serves("after the erasure", user, 0)
	c.Append(0, []*kithv1.Event{event(user, seen[1].Item, "purchase", now+hour)})
	s.warm("with events after the erasure", user)
	c.Build(0, &kithv1.BuildSpec{K: 10, HalfLifeMs: 1e5 * hour})
	s.serves("with weights that decay", third, 0)
}

// lookUps asks each model for a user without a ranking, and compares how often events are looked up.
func (s *rankingShop) lookUps(when, user string, want float64) {
	s.t.Helper()
	s.same(when, user)
	for _, m := range rankingModels {
		req := forUser(user, s.n)
		req.Model = m
		read := func() float64 {
			return figure(s.t, s.Members[s.member].Server.Registry(), "kith_histories_memory_total")
		}
		before := read()
		s.ask(req)
		if got := read() - before; got != want {
			s.t.Errorf("%s events of %s are looked up %v times by %v, want %v", when, user, got, m, want)
		}
	}
}

// blends asks for hybrids of several shares by turns.
func (s *rankingShop) blends(user string) {
	s.t.Helper()
	set, shares := &kithv1.SceneSet{}, []float64{0.1, 0.5, 0.9}
	for i, share := range shares {
		set.Scenes = append(set.Scenes, &kithv1.Scene{Name: fmt.Sprint("blend", i), Model: kithv1.Model_MODEL_HYBRID, Blend: &share})
	}
	if _, err := kithv1.NewSceneServiceClient(s.Conn(s.member)).SetScenes(s.t.Context(), &kithv1.SetScenesRequest{Set: set}); err != nil {
		s.t.Fatal(err)
	}
	before := s.used()
	var answers [][]*kithv1.RecommendedItem
	for range 2 {
		for _, scene := range set.Scenes {
			req := forUser(user, s.n)
			req.Scene = scene.Name
			for range 2 {
				answers = append(answers, s.both("by shares", req).Items)
			}
		}
	}
	if used := s.used() - before; used != 6 { // the last share of a user has the place
		s.t.Errorf("rankings have served %v hybrids of %d, want every other one", used, len(answers))
	}
	if slices.EqualFunc(answers[0], answers[5], func(a, b *kithv1.RecommendedItem) bool { return proto.Equal(a, b) }) {
		s.t.Errorf("shares of %v and %v give the same answer: the test looks at nothing", shares[0], shares[2])
	}
}

// TestRankingsOfPartitionsElsewhere: where others hold some partitions those by items are kept, and those by similar users are not, as others know who was erased.
func TestRankingsOfPartitionsElsewhere(t *testing.T) {
	t.Parallel()
	const user = "u001"
	c := clustertest.Start(t, clustertest.Options{Configure: func(_ int, cfg *server.Config) { cfg.Replication = 1 }})
	c.Append(0, shopEvents(60, 80, 12, 3))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	replicas := c.Members[0].Server.State().Replicas
	holds := func(m *clustertest.Member, key string) bool {
		return slices.Contains(replicas[partition.Of(key, len(replicas))], m.Server.ID())
	}
	s := &rankingShop{Cluster: c, t: t, n: 5}
	s.member = slices.IndexFunc(c.Members, func(m *clustertest.Member) bool { return holds(m, user) })
	s.same("at first", user)
	s.serves("again", user, 2)
	var others []string
	for u := 6; u < 60; u += 5 {
		if key := fmt.Sprintf("u%03d", u); !holds(c.Members[s.member], key) {
			others = append(others, key)
		}
	}
	s.erased(user, others...)
	s.serves("after an erasure elsewhere", user, 2)
}

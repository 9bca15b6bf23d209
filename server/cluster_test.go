package server_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/popularity"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
	"github.com/kith-io/kith/similarity"
)

// long skips a test in the run with the race detector that takes long there, where other tests have servers do the same at once.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long")
	}
}

// shopEvents returns events of users with a taste: user u likes items of the same remainder.
func shopEvents(users, items, perUser int, seed uint64) []*kithv1.Event {
	rng := rand.New(rand.NewPCG(seed, 1))
	behaviors := []string{"view", "view", "view", "cart", "purchase"}
	var out []*kithv1.Event
	for u := range users {
		for n := range perUser {
			item := min(rng.IntN(items), rng.IntN(items))
			if rng.IntN(4) > 0 {
				item = item/5*5 + u%5
			}
			out = append(out, &kithv1.Event{
				Id: fmt.Sprint(n), User: fmt.Sprintf("u%03d", u), Item: fmt.Sprintf("i%04d", item%items),
				Behavior: behaviors[rng.IntN(len(behaviors))], TimeUnixMs: int64(1_700_000_000_000 + n),
			})
		}
	}
	return out
}

// matrix fuses events as a build does: users by partition and key, items by descending number of users, then key.
func matrix(events []*kithv1.Event, partitions int) (users, items []string, rows *similarity.Rows) {
	byUser := map[string][]fusion.Event{}
	for _, e := range wire.EventsFromProto(events) {
		byUser[e.User] = append(byUser[e.User], e)
	}
	for u := range byUser {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b string) int {
		return cmp.Or(cmp.Compare(partition.Of(a, partitions), partition.Of(b, partitions)), cmp.Compare(a, b))
	})
	fused := make([][]fusion.Interaction, len(users))
	count := map[string]int{}
	for i, u := range users {
		fused[i] = fusion.Fuse(byUser[u], fusion.DefaultWeights(), 0)
		for _, x := range fused[i] {
			count[x.Item]++
		}
	}
	for item := range count {
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	id := map[string]uint32{}
	for i, item := range items {
		id[item] = uint32(i)
	}
	rows = &similarity.Rows{NumItems: len(items), Start: []int64{0}}
	for _, xs := range fused {
		slices.SortFunc(xs, func(a, b fusion.Interaction) int { return cmp.Compare(id[a.Item], id[b.Item]) })
		for _, x := range xs {
			rows.Item, rows.Weight = append(rows.Item, id[x.Item]), append(rows.Weight, x.Weight)
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return users, items, rows
}

// TestClusterEqualsOneMatrix is the central promise: what a cluster answers, from any node, is what the models say on
// the whole matrix in one memory.
func TestClusterEqualsOneMatrix(t *testing.T) {
	events := shopEvents(60, 80, 30, 1)
	c := clustertest.Start(t, clustertest.Options{})
	if got := c.Append(0, events); got.Appended != uint64(len(events)) || got.Rejected != 0 {
		t.Fatalf("append: got %v, want %d appended", got, len(events))
	}
	if got := c.Append(1, events); got.Appended != 0 || got.Duplicates != uint64(len(events)) {
		t.Fatalf("append again: got %v, want only duplicates", got)
	}
	users, items, rows := matrix(events, 4)
	measures := similarity.Measures()
	if testing.Short() {
		measures = measures[:2] // a cluster does the same for all
	}
	for _, measure := range measures {
		c.Build(1, &kithv1.BuildSpec{Measure: measure.String(), K: 20, BlockItems: 16})
		o := similarity.Options{Measure: measure, K: 20, Alpha: wire.DefaultAlpha, Threads: 1}
		popular := popularity.New(rows)
		byItem, err := neighborhood.NewItemKNN(t.Context(), rows, popular, o)
		if err != nil {
			t.Fatal(err)
		}
		byUser, err := neighborhood.NewUserKNN(rows, popular, o)
		if err != nil {
			t.Fatal(err)
		}
		lists, err := similarity.Build(t.Context(), rows, o)
		if err != nil {
			t.Fatal(err)
		}
		for id, key := range items {
			var want []*kithv1.SimilarEntry
			for _, x := range lists.List(uint32(id)) {
				want = append(want, &kithv1.SimilarEntry{Key: items[x.ID], Score: float64(x.Score)})
			}
			got, err := c.Recommender(id%3).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: key}, N: 20})
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(want, got.Neighbors, protocmp.Transform()); d != "" {
				t.Fatalf("%v: neighbors of %s at member %d (-want +got):\n%s", measure, key, id%3, d)
			}
		}
		models := map[kithv1.Model]interface {
			Recommend(q model.Query) ([]model.Scored, error)
		}{
			kithv1.Model_MODEL_ITEM_KNN: byItem, kithv1.Model_MODEL_USER_KNN: byUser,
			kithv1.Model_MODEL_HYBRID: neighborhood.NewHybridKNN(byItem, byUser),
		}
		for u, key := range users {
			lo, hi := rows.Start[u], rows.Start[u+1]
			for which, m := range models {
				want, err := m.Recommend(model.Query{User: u, Items: rows.Item[lo:hi], Weights: rows.Weight[lo:hi], N: 10})
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.Recommender(u%3).Recommend(t.Context(), &kithv1.RecommendRequest{
					Subject: &kithv1.RecommendRequest_User{User: key}, N: 10, Model: which,
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Items) != 10 || got.Partial {
					t.Fatalf("%v: %v for %s: got %v, want 10 items", measure, which, key, got)
				}
				for i, x := range want {
					if x.Filled {
						break // the cluster fills by events, the offline models by users
					}
					if g := got.Items[i]; g.Item != items[x.Item] || g.Score != x.Score || g.Source != which {
						t.Fatalf("%v: %v for %s, rank %d: got %v, want %s %v", measure, which, key, i+1, g, items[x.Item], x.Score)
					}
				}
			}
		}
	}
}

func recommend(t *testing.T, c *clustertest.Cluster, member int, req *kithv1.RecommendRequest) *kithv1.RecommendResponse {
	t.Helper()
	resp, err := c.Recommender(member).Recommend(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func forUser(user string, n uint32) *kithv1.RecommendRequest {
	return &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: user}, N: n}
}

func keys(items []*kithv1.RecommendedItem) []string {
	var out []string
	for _, x := range items {
		out = append(out, x.Item)
	}
	return out
}

// TestAnswersKeepTheirPromises holds what users of other systems miss: answers of full length without seen items, whose
// order does not depend on N, that know of feedback and of items from a moment ago.
func TestAnswersKeepTheirPromises(t *testing.T) {
	const catalog = 80
	events := shopEvents(40, catalog, 30, 2)
	c := clustertest.Start(t, clustertest.Options{})
	if resp := recommend(t, c, 0, forUser("u001", 5)); len(resp.Items) != 0 || resp.FallbackReason == "" {
		t.Errorf("empty cluster: got %v, want an empty answer with a reason", resp)
	}
	c.Append(0, events)

	t.Run("no model yet", func(t *testing.T) {
		resp := recommend(t, c, 1, forUser("u001", 5))
		if len(resp.Items) != 5 || resp.FallbackReason == "" || resp.Items[0].Source != kithv1.Model_MODEL_POPULARITY || resp.ModelVersion != 0 {
			t.Errorf("got %v, want 5 popular items and the reason", resp)
		}
		req := forUser("u001", 5)
		req.NoFallback = true
		if _, err := c.Recommender(1).Recommend(t.Context(), req); !errors.Is(err, wire.ErrNoModel) || status.Code(err) != codes.FailedPrecondition {
			t.Errorf("without fallback: got %v, want %v", err, wire.ErrNoModel)
		}
		_, err := c.Recommender(2).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: "i0001"}})
		if !errors.Is(err, wire.ErrNoModel) {
			t.Errorf("similar: got %v, want %v", err, wire.ErrNoModel)
		}
	})

	c.Build(0, &kithv1.BuildSpec{K: 10})
	seen := map[string]map[string]bool{}
	all := map[string]bool{}
	for _, e := range events {
		if seen[e.User] == nil {
			seen[e.User] = map[string]bool{}
		}
		seen[e.User][e.Item], all[e.Item] = true, true
	}

	t.Run("full length, unseen, order independent of N", func(t *testing.T) {
		for user, had := range seen {
			for _, m := range []kithv1.Model{kithv1.Model_MODEL_ITEM_KNN, kithv1.Model_MODEL_USER_KNN, kithv1.Model_MODEL_HYBRID, kithv1.Model_MODEL_POPULARITY} {
				req := forUser(user, catalog)
				req.Model = m
				long := keys(recommend(t, c, 0, req).Items)
				if len(long) != len(all)-len(had) {
					t.Fatalf("%v for %s: got %d items, want all %d that are unseen", m, user, len(long), len(all)-len(had))
				}
				for _, item := range long {
					if had[item] {
						t.Fatalf("%v for %s: %s was seen", m, user, item)
					}
				}
				for _, n := range []uint32{1, 3, 10} {
					req.N = n
					if short := keys(recommend(t, c, int(n)%3, req).Items); !slices.Equal(short, long[:n]) {
						t.Fatalf("%v for %s: the first %d are %v, want %v", m, user, n, short, long[:n])
					}
				}
			}
		}
	})

	t.Run("include seen", func(t *testing.T) {
		req := forUser("u001", catalog)
		req.IncludeSeen = true
		if got := keys(recommend(t, c, 0, req).Items); len(got) != len(all) {
			t.Errorf("got %d items, want the whole catalog of %d", len(got), len(all))
		}
	})

	t.Run("contributions add up", func(t *testing.T) {
		req := forUser("u002", 10)
		req.Explain = true
		for _, x := range recommend(t, c, 1, req).Items {
			sum := 0.0
			for _, share := range x.Contributions {
				sum += share.Score
			}
			if x.Source == kithv1.Model_MODEL_HYBRID && (sum < x.Score-1e-6 || sum > x.Score+1e-6) {
				t.Errorf("%s: contributions add up to %v, score is %v", x.Item, sum, x.Score)
			}
		}
	})

	t.Run("feedback counts at once", func(t *testing.T) {
		first := recommend(t, c, 0, forUser("u003", 1)).Items[0].Item
		c.Append(1, []*kithv1.Event{{Id: "live", User: "u003", Item: first, Behavior: "purchase"}})
		for member := range 3 {
			if got := keys(recommend(t, c, member, forUser("u003", catalog)).Items); slices.Contains(got, first) {
				t.Errorf("member %d still recommends %s right after its purchase", member, first)
			}
		}
		c.Append(2, []*kithv1.Event{{Id: "1", User: "stranger", Item: first, Behavior: "view"}})
		if got := recommend(t, c, 0, forUser("stranger", 3)); got.FallbackReason != "" || got.Items[0].Source != kithv1.Model_MODEL_HYBRID {
			t.Errorf("a user of one event ago: got %v, want a personal answer", got)
		}
	})

	t.Run("new item shows up", func(t *testing.T) {
		var flood []*kithv1.Event
		for i := range 500 {
			flood = append(flood, &kithv1.Event{Id: fmt.Sprint(i), User: fmt.Sprintf("crowd%d", i%50), Item: "brand-new", Behavior: "view"})
		}
		c.Append(0, flood)
		if got := recommend(t, c, 1, forUser("nobody", 3)); got.Items[0].Item != "brand-new" || got.FallbackReason == "" {
			t.Errorf("got %v, want the new item first", got)
		}
	})

	t.Run("unknown", func(t *testing.T) {
		req := forUser("nobody", 3)
		req.NoFallback = true
		if _, err := c.Recommender(0).Recommend(t.Context(), req); status.Code(err) != codes.NotFound || !errors.Is(err, wire.ErrUnknownUser) {
			t.Errorf("user: got %v, want %v", err, wire.ErrUnknownUser)
		}
		_, err := c.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: "nothing"}})
		if status.Code(err) != codes.NotFound || !errors.Is(err, wire.ErrUnknownItem) {
			t.Errorf("item: got %v, want %v", err, wire.ErrUnknownItem)
		}
		basket := func(item *kithv1.BasketItem) *kithv1.RecommendRequest {
			return &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_Basket{Basket: &kithv1.Basket{Items: []*kithv1.BasketItem{item}}}}
		}
		infinite := float32(math.Inf(1))
		for _, bad := range []*kithv1.RecommendRequest{{}, forUser("u001", 1001), basket(&kithv1.BasketItem{}), basket(&kithv1.BasketItem{Item: "i0005", Rating: &infinite})} {
			if _, err := c.Recommender(0).Recommend(t.Context(), bad); status.Code(err) != codes.InvalidArgument {
				t.Errorf("recommend %v: got %v, want InvalidArgument", bad, err)
			}
		}
	})

	t.Run("basket", func(t *testing.T) {
		req := &kithv1.RecommendRequest{N: 5, Subject: &kithv1.RecommendRequest_Basket{Basket: &kithv1.Basket{
			Items: []*kithv1.BasketItem{{Item: "i0005"}, {Item: "i0010"}, {Item: "not in any model"}},
		}}}
		got := recommend(t, c, 2, req)
		if len(got.Items) != 5 || slices.Contains(keys(got.Items), "i0005") || got.Items[0].Source != kithv1.Model_MODEL_HYBRID {
			t.Errorf("got %v, want 5 items like those of the basket and none of it", got)
		}
	})

	t.Run("rejected events", func(t *testing.T) {
		got := c.Append(0, []*kithv1.Event{
			{Id: "a", User: "", Item: "x", Behavior: "view"}, {Id: "b", User: "u", Item: "x", Behavior: "View!"}, {Id: "c", User: "u", Item: "x", Behavior: "view"},
		})
		want := &kithv1.AppendResponse{Appended: 1, Rejected: 2, Rejections: []*kithv1.RejectedEvent{
			{Index: 0, Reason: "no_user"}, {Index: 1, Reason: "bad_behavior"},
		}}
		if d := gocmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&kithv1.RejectedEvent{}, "detail")); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// artifacts returns the files of a version as the members agree on them.
func artifacts(t *testing.T, c *clustertest.Cluster, version uint64) []*kithv1.Artifact {
	t.Helper()
	var files []*kithv1.Artifact
	for _, m := range c.Alive() {
		rec := m.Server.State().Version(version)
		if rec == nil {
			t.Fatalf("member %d does not know version %d", m.Index, version)
		}
		if files == nil {
			files = rec.Artifacts
		}
		if d := gocmp.Diff(files, rec.Artifacts, protocmp.Transform()); d != "" {
			t.Fatalf("members disagree: %s", d)
		}
	}
	return files
}

// TestBuildSurvivesItsCoordinator kills the coordinator in the middle of a build. The next one ends it, with the same
// bytes as a build that nothing disturbed.
func TestBuildSurvivesItsCoordinator(t *testing.T) {
	t.Parallel()
	events := shopEvents(120, 600, 60, 3)
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, events)
	spec := &kithv1.BuildSpec{K: 20, BlockItems: 16}
	want := artifacts(t, c, c.Build(0, spec).ModelVersion)
	for attempt := 0; ; attempt++ {
		leader := c.Coordinator()
		other := (leader + 1) % 3
		forget(t, c) // or the build would follow, and have no tasks
		resp, err := c.Models(other).Build(t.Context(), &kithv1.BuildRequest{Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := c.Models(other).WatchJob(t.Context(), &kithv1.WatchJobRequest{Id: resp.Job.Id})
		if err != nil {
			t.Fatal(err)
		}
		var job *kithv1.Job
		for job.GetTasksDone() == 0 && job.GetPhase() < kithv1.JobPhase_JOB_PHASE_MERGE {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			job = m.Job
		}
		if job.TasksDone < job.TasksTotal && job.Phase == kithv1.JobPhase_JOB_PHASE_COMPUTE {
			c.Kill(leader)
			t.Logf("killed the coordinator with %d of %d tasks done", job.TasksDone, job.TasksTotal)
			done := c.Wait(other, resp.Job.Id)
			if d := gocmp.Diff(want, artifacts(t, c, done.ModelVersion), protocmp.Transform()); d != "" {
				t.Errorf("disturbed build has other files (-undisturbed +disturbed):\n%s", d)
			}
			// The cluster answers, and the node that comes back fetches what it missed and answers too.
			req := forUser("u001", 10)
			answer := recommend(t, c, other, req)
			c.Run(leader)
			c.Ready()
			c.Eventually(func() error {
				got, err := c.Recommender(leader).Recommend(t.Context(), req)
				if err != nil {
					return err
				}
				if d := gocmp.Diff(answer, got, protocmp.Transform()); d != "" {
					return fmt.Errorf("the node that came back answers otherwise: %s", d)
				}
				return nil
			})
			return
		}
		c.Wait(other, resp.Job.Id)
		if attempt == 5 {
			t.Fatal("builds end before they can be disturbed")
		}
	}
}

// list returns the events of a user.
func list(t *testing.T, c *clustertest.Cluster, member int, user string) ([]*kithv1.Event, error) {
	t.Helper()
	stream, err := c.Events(member).List(t.Context(), &kithv1.ListRequest{User: user})
	if err != nil {
		return nil, err
	}
	var out []*kithv1.Event
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, m.Events...)
	}
}

// TestRestartOfAll kills all members and starts them again, at new addresses: everything is there, and nothing twice.
func TestRestartOfAll(t *testing.T) {
	t.Parallel()
	events := shopEvents(30, 50, 20, 4)
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, events)
	c.Build(0, &kithv1.BuildSpec{K: 10})
	before := recommend(t, c, 0, forUser("u007", 10))
	for i := range c.Members {
		c.Kill(i)
	}
	for i := range c.Members {
		c.Run(i)
	}
	c.Ready()
	for u := range 30 {
		user := fmt.Sprintf("u%03d", u)
		got, err := list(t, c, u%3, user)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 20 {
			t.Errorf("%s has %d events, want 20", user, len(got))
		}
	}
	for i := range c.Members {
		if d := gocmp.Diff(before, recommend(t, c, i, forUser("u007", 10)), protocmp.Transform()); d != "" {
			t.Errorf("member %d answers otherwise after the restart (-before +after):\n%s", i, d)
		}
	}
}

// TestDamagedFilesAreReplaced flips a byte in every model file of one member, which was stopped. It answers as before, and
// has good files again.
func TestDamagedFilesAreReplaced(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, shopEvents(30, 50, 20, 6))
	version := c.Build(0, models(t, "covisit")).ModelVersion
	want, trained := recommend(t, c, 0, forUser("u007", 10)), recommend(t, c, 0, ask("u007", "covisit"))
	c.Stop(1)
	folder := filepath.Join(c.Dir(1), "models", fmt.Sprintf("%020d", version))
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Run(1)
	c.Ready()
	c.Eventually(func() error {
		got, err := c.Recommender(1).Recommend(t.Context(), forUser("u007", 10))
		if err != nil {
			return err
		}
		if d := gocmp.Diff(want, got, protocmp.Transform()); d != "" {
			return fmt.Errorf("(-want +got):\n%s", d)
		}
		if got, err = c.Recommender(1).Recommend(t.Context(), ask("u007", "covisit")); err != nil {
			return err
		}
		if d := gocmp.Diff(trained, got, protocmp.Transform()); d != "" {
			return fmt.Errorf("by a model (-want +got):\n%s", d)
		}
		return nil
	})
	damaged, err := filepath.Glob(filepath.Join(folder, "*.damaged"))
	if err != nil || len(damaged) == 0 {
		t.Errorf("damaged files %v, %v; want at least the dictionary", damaged, err)
	}
}

// TestSpecsAreBounded checks that no caller can ask for a build that never ends.
func TestSpecsAreBounded(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	c.Append(0, shopEvents(20, 600, 40, 7))
	for _, spec := range []*kithv1.BuildSpec{{K: 1001}, {HalfLifeMs: -1}, {HalfLifeMs: 1 << 62}, {Measure: "guess"}} {
		if _, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: spec}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("spec %v: got %v, want InvalidArgument", spec, err)
		}
	}
	if job := c.Build(0, &kithv1.BuildSpec{BlockItems: 1}); job.TasksTotal > 40_000 {
		t.Errorf("blocks of one item: %d tasks, want blocks to be wider", job.TasksTotal)
	}
}

// TestUnreadableModel damages the model of a server that has no other replica to ask: popularity answers and says why.
func TestUnreadableModel(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	c.Append(0, shopEvents(20, 30, 10, 8))
	version := c.Build(0, nil).ModelVersion
	c.Stop(0)
	if err := os.Remove(filepath.Join(c.Dir(0), "models", fmt.Sprintf("%020d", version), "dictionary")); err != nil {
		t.Fatal(err)
	}
	c.Run(0)
	c.Ready()
	got := recommend(t, c, 0, forUser("u001", 5))
	if len(got.Items) != 5 || !got.Partial || got.FallbackReason == "" || got.Items[0].Source != kithv1.Model_MODEL_POPULARITY {
		t.Errorf("got %v, want 5 popular items and the reason", got)
	}
	c.Build(0, nil)
	if got := recommend(t, c, 0, forUser("u001", 5)); got.FallbackReason != "" {
		t.Errorf("after another build: got %v, want a personal answer", got)
	}
}

// TestOneServerIsACluster checks the embedded default.
func TestOneServerIsACluster(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	c.Append(0, shopEvents(20, 30, 10, 5))
	c.Build(0, nil)
	if got := recommend(t, c, 0, forUser("u001", 5)); len(got.Items) != 5 || got.FallbackReason != "" {
		t.Errorf("got %v, want 5 personal items", got)
	}
}

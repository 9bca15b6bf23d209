package server_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/content"
	"github.com/kith-io/kith/model/hybrid"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/model/warp"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
	"github.com/kith-io/kith/similarity"
)

// ofTaste is the record of a product for users of a taste of shopEvents, who have a number with the same rest of 5.
func ofTaste(key string, taste int) *kithv1.Record {
	return &kithv1.Record{Key: key, Version: 1, Attributes: []*kithv1.Attribute{
		{Name: "kind", Value: &kithv1.Attribute_Text{Text: fmt.Sprintf("taste %d", taste)}},
		{Name: "place", Value: &kithv1.Attribute_Text{Text: fmt.Sprintf("[%v, %v]", math.Cos(float64(taste)), math.Sin(float64(taste)))}},
	}}
}

// TestModelsOfProducts: models that learn from records of products and users are those that package train makes of them, on one node and on three; each node recommends products without
// events by them, under the rules that hold for all, and answers users without events. Without records there is an error that says so. Who is erased is in no later model.
func TestModelsOfProducts(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			if testing.Short() && servers == 1 {
				t.Skip("three servers do all that one does")
			}
			t.Parallel()
			c := clustertest.Start(t, clustertest.Options{Servers: servers})
			events := shopEvents(20, 20, 12, 3)
			c.Append(0, events)
			resp, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: models(t, "content")})
			if err != nil {
				t.Fatal(err)
			}
			if got := failed(t, c, resp.Job.Id); !strings.Contains(got, "content") || !strings.Contains(got, "give records of products") {
				t.Errorf("without records: failed with %q, want the model and what it lacks", got)
			}
			var records []*kithv1.Record
			for i := range 20 {
				if i == 3 { // of which nothing is known but a vector of another length
					records = append(records, &kithv1.Record{Key: "i0003", Version: 1, Attributes: []*kithv1.Attribute{{Name: "place", Value: &kithv1.Attribute_Text{Text: "[1, 2, 3]"}}}})
				} else {
					records = append(records, ofTaste(fmt.Sprintf("i%04d", i), i%5))
				}
			}
			var cold []string
			for taste := range 5 {
				cold = append(cold, fmt.Sprintf("new-%d", taste))
				records = append(records, ofTaste(cold[taste], taste))
			}
			records = append(records, &kithv1.Record{Key: "gone", Version: 2, Deleted: true})
			put(t, c, 0, products, records...)
			people := members(20)
			put(t, c, 0, users, people...)

			const ofUsers = "warp(iterations=10,batches=5,user-attributes=age+club,least-users=3)"
			const ranker = "ranker(base=content+item-knn+people+user-knn+vectors,depth=8,trees=4)"
			spec := models(t, "content(k=7)", "warp(iterations=3)", "people:"+ofUsers, "vectors(k=6)", "rrf(base=content+vectors+item-knn)", ranker)
			version := c.Build(0, spec).ModelVersion
			list, err := c.Models(0).ListModels(t.Context(), &kithv1.ListModelsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list.Versions[len(list.Versions)-1].Models {
				if got := strings.Join(m.Notes, "; "); m.Spec.Name == "vectors" && !strings.HasSuffix(got, "have: 1") || m.Spec.Name != "vectors" && got != "" {
					t.Errorf("notes of %s: %q; want that of vectors about one product, and no other", m.Spec.Name, got)
				}
			}
			known := knowledge{events, records, people, cold}
			known.isIn(t, c, version, "content", content.Kind, "content(k=7)")
			known.isIn(t, c, version, "warp", warp.Kind, "warp(iterations=3)")
			known.isIn(t, c, version, "vectors", content.Vectors, "vectors(k=6)")
			known.isIn(t, c, version, "people", warp.Kind, ofUsers)
			known.isIn(t, c, version, "ranker", boundRanker(t, spec, ranker), ranker)
			for u := range 10 {
				for _, name := range []string{"content", "vectors", "rrf"} {
					newProductIsFound(t, c, u, name)
				}
			}
			for _, name := range []string{"content", "vectors", "rrf"} {
				got, err := c.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: "new-2"}, N: 3, ModelName: name})
				if err != nil {
					t.Fatalf("similar to a product without events by %s: %v", name, err)
				}
				for _, x := range got.Neighbors {
					if x.Key != "i0002" && x.Key != "i0007" && x.Key != "i0012" && x.Key != "i0017" {
						t.Errorf("similar to new-2 by %s: got %v, want those of its taste", name, got)
					}
				}
			}
			_, err = c.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: "new-2"}, ModelName: "warp"})
			if !errors.Is(wire.FromStatus(err), wire.ErrUnknownItem) {
				t.Errorf("similar to a product without events by warp: error %v, want one of an unknown item", err)
			}
			for _, name := range []string{"content", "vectors", "rrf"} {
				got, err := c.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: "i0007"}, N: 3, ModelName: name})
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range got.Neighbors {
					if x.Key != "i0002" && x.Key != "i0012" && x.Key != "i0017" && x.Key != "new-2" {
						t.Errorf("similar to i0007 by %s: got %v, want others of its taste", name, got)
					}
				}
				if len(got.Neighbors) != 3 || got.ModelVersion != version {
					t.Errorf("similar to i0007 by %s: got %v, want 3 of version %d", name, got, version)
				}
			}
			_, err = c.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_User{User: "u001"}, ModelName: "content"})
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("similar users by a model of products: error %v, want InvalidArgument", err)
			}
			rankerAnswers(t, c)
			newUserIsKnown(t, c)

			eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: "u000"})
			known.events, known.profiles = slices.DeleteFunc(events, func(e *kithv1.Event) bool { return e.User == "u000" }), people[1:]
			version = c.Build(0, models(t, "people:"+ofUsers)).ModelVersion
			known.isIn(t, c, version, "people", warp.Kind, ofUsers)
		})
	}
}

// rankerAnswers: all members rank alike by what was learned, of what all of the base has found.
func rankerAnswers(t *testing.T, c *clustertest.Cluster) {
	t.Helper()
	by := map[string]bool{}
	for u := range 10 {
		req := ask(fmt.Sprintf("u%03d", u), "ranker")
		req.Explain = true
		first := recommend(t, c, 0, req)
		for i := range c.Members {
			if d := gocmp.Diff(first, recommend(t, c, i, req), protocmp.Transform()); d != "" {
				t.Errorf("u%03d: member %d ranks otherwise:\n%s", u, i, d)
			}
		}
		for _, x := range first.Items {
			if x.Source != kithv1.Model_MODEL_TRAINED || len(x.Found) == 0 {
				t.Errorf("u%03d: got %v, want what its base has found", u, x)
			}
			for _, f := range x.Found {
				by[f.Model] = true
			}
		}
	}
	if got := slices.Sorted(maps.Keys(by)); !slices.Equal(got, []string{"content", "item-knn", "people", "user-knn", "vectors"}) {
		t.Errorf("items are found by %v, want all of the base", got)
	}
}

// boundRanker is the kind of a ranker for its base, which are models of a spec, or neighbor lists by it.
func boundRanker(t *testing.T, spec *kithv1.BuildSpec, text string) *train.Kind {
	t.Helper()
	_, given, err := model.ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := hybrid.LearnedRanker.ParseSettings(given)
	if err != nil {
		t.Fatal(err)
	}
	named := slices.Clone(spec.Models)
	for i, m := range named {
		named[i] = &kithv1.ModelSpec{Kind: m.Kind, Name: cmp.Or(m.Name, m.Kind), Parameters: m.Parameters}
	}
	k, err := worker.OfBase(kinds.All, hybrid.LearnedRanker, s, named, similarity.Options{Measure: similarity.Cosine, K: int(spec.K)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// members are records of users of shopEvents, with what tells their tastes, and of one without events. They have what few share, and what no model is told to look at.
func members(n int) (records []*kithv1.Record) {
	for u := range n {
		records = append(records, memberOf(fmt.Sprintf("u%03d", u), u%5, float64(20+u)))
	}
	records[7].Attributes[1].Value = &kithv1.Attribute_Text{Text: "a club of one"}
	return append(records, memberOf("no events", 0, 99))
}

func memberOf(key string, club int, age float64) *kithv1.Record {
	return &kithv1.Record{Key: key, Version: 1, Attributes: []*kithv1.Attribute{
		{Name: "age", Value: &kithv1.Attribute_Number{Number: age}},
		{Name: "club", Value: &kithv1.Attribute_Text{Text: fmt.Sprintf("Club %d", club)}},
		{Name: "mail", Value: &kithv1.Attribute_Text{Text: key + "@example.com"}},
	}}
}

// knowledge is what a cluster of four partitions learns from. cold are the products without events.
type knowledge struct {
	events             []*kithv1.Event
	products, profiles []*kithv1.Record
	cold               []string
}

// isIn: all members have the model of a version that package train makes, and nothing that only one user has.
func (k *knowledge) isIn(t *testing.T, c *clustertest.Cluster, version uint64, name string, kind *train.Kind, as string) {
	t.Helper()
	_, given, err := model.ParseName(as)
	if err != nil {
		t.Fatal(err)
	}
	s, err := model.ParseSettings(kind.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	people, items, rows := matrix(k.events, 4)
	products, profiles := learnedOf(t, k.products), learnedOf(t, k.profiles)
	var times []int64
	for u, key := range people {
		q, _ := history(k.events, key, items, rows, u)
		times = append(times, q.Times...)
	}
	data := train.Split(rows, times, 4)
	for w, d := range data {
		for _, key := range slices.Concat(items, k.cold) {
			d.Products = append(d.Products, products[key])
		}
		for _, key := range people[d.Shape.FirstUser[w]:d.Shape.FirstUser[w+1]] {
			d.Profiles = append(d.Profiles, profiles[key].Attributes)
		}
	}
	want, err := train.Run(t.Context(), kind, s, data, train.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Members {
		got, keys, err := modelOf(c, i, version, name)
		if err != nil {
			t.Fatal(err)
		}
		cold := k.cold
		if kind.ReadCombination != nil {
			cold = nil // which the models of its base have
		}
		if !bytes.Equal(got, want) || !slices.Equal(keys, cold) {
			t.Errorf("%s of member %d: %d bytes, %d that package train makes are others, or items %q, want %q", name, i, len(got), len(want), keys, cold)
		}
		if bytes.Contains(got, []byte("a club of one")) || bytes.Contains(got, []byte("example.com")) {
			t.Errorf("%s of member %d has what one user has", name, i)
		}
	}
}

// learnedOf is what models learn from records.
func learnedOf(t *testing.T, records []*kithv1.Record) map[string]train.Product {
	t.Helper()
	stored, err := wire.RecordsFromProto(records)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]train.Product{}
	for i := range stored {
		out[stored[i].Key] = train.ProductOf(&stored[i])
	}
	return out
}

// newUserIsKnown: a user without events gets what those with the same attributes have, by the record as it is now.
func newUserIsKnown(t *testing.T, c *clustertest.Cluster) {
	t.Helper()
	req := ask("newcomer", "people")
	req.NoFallback = true
	if _, err := c.Recommender(0).Recommend(t.Context(), req); !errors.Is(wire.FromStatus(err), wire.ErrUnknownUser) {
		t.Errorf("without a record: error %v, want one of an unknown user", err)
	}
	for club := range 5 {
		r := memberOf("newcomer", club, 30)
		r.Version = int64(club + 1)
		put(t, c, 0, users, r)
		for i := range c.Members {
			answer := recommend(t, c, i, req)
			right := 0
			for _, x := range answer.Items[:4] {
				if at, err := strconv.Atoi(x.Item[1:]); err == nil && at%5 == club && x.Source == kithv1.Model_MODEL_TRAINED {
					right++
				}
			}
			if right < 3 { // of four items of the taste; some users have others, too
				t.Errorf("member %d: newcomer of club %d gets %v, want items of its taste first", i, club, keys(answer.Items))
			}
		}
	}
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: "newcomer"})
	if _, err := c.Recommender(0).Recommend(t.Context(), req); !errors.Is(wire.FromStatus(err), wire.ErrUnknownUser) {
		t.Errorf("once erased: error %v, want one of an unknown user", err)
	}
}

// modelOf reads the model of a name at a member, and the keys of the items that are not in the dictionary.
func modelOf(c *clustertest.Cluster, member int, version uint64, name string) ([]byte, []string, error) {
	file, err := artifact.OpenModel(filepath.Join(c.Dir(member), "models", fmt.Sprintf("%020d", version), "model-"+name))
	if err != nil {
		return nil, nil, err
	}
	m := bytes.Clone(file.Content())
	var keys []string
	if name != "ranker" {
		m, keys, err = artifact.CutItems(m)
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	return m, keys, err
}

// newProductIsFound: the new product of a user's taste is before all other new ones, and filters and boosts look at it.
func newProductIsFound(t *testing.T, c *clustertest.Cluster, u int, name string) {
	t.Helper()
	req := ask(fmt.Sprintf("u%03d", u), name)
	req.N = 25
	req.Explain = true
	want := fmt.Sprintf("new-%d", u%5)
	member := u % len(c.Members)
	answer := recommend(t, c, member, req).Items
	at := slices.IndexFunc(answer, func(x *kithv1.RecommendedItem) bool { return strings.HasPrefix(x.Item, "new-") })
	if at < 0 || answer[at].Item != want || answer[at].Source != kithv1.Model_MODEL_TRAINED {
		t.Fatalf("u%03d, %s: got %v, want %s before other new products", u, name, keys(answer), want)
	}
	why := [][]*kithv1.Contribution{answer[at].Contributions}
	if name == "rrf" {
		why = nil
		for _, f := range answer[at].Found {
			why = append(why, f.Contributions)
		}
		if got := len(why); got != 2 {
			t.Errorf("u%03d: %s is found by %v, want content and vectors", u, want, answer[at].Found)
		}
	}
	for _, parts := range why {
		if len(parts) == 0 {
			t.Errorf("u%03d, %s: got %v, want the items of the history that it is like", u, name, answer[at])
		}
	}
	req.Boosts = []*kithv1.Boost{{Filter: &kithv1.Filter{Allow: []string{want}}, Factor: 1e6}}
	if got := recommend(t, c, member, req).Items; got[0].Item != want {
		t.Errorf("u%03d, %s: %s is boosted, got %v", u, name, want, keys(got))
	}
	req.Filter = &kithv1.Filter{Deny: []string{want}}
	if got := keys(recommend(t, c, member, req).Items); slices.Contains(got, want) {
		t.Errorf("u%03d, %s: %s is denied, got %v", u, name, want, got)
	}
}

package server_test

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/content"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/model/warp"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// ofTaste is the record of a product for users of a taste of shopEvents, who have a number with the same rest of 5.
func ofTaste(key string, taste int) *kithv1.Record {
	return &kithv1.Record{Key: key, Version: 1, Attributes: []*kithv1.Attribute{
		{Name: "kind", Value: &kithv1.Attribute_Text{Text: fmt.Sprintf("taste %d", taste)}},
		{Name: "place", Value: &kithv1.Attribute_Text{Text: fmt.Sprintf("[%v, %v]", math.Cos(float64(taste)), math.Sin(float64(taste)))}},
	}}
}

// TestModelsOfProducts: models that learn from records of products are those that package train makes of them, on one node and on three; each node recommends products without events
// by them, under the rules that hold for all. Without records there is an error that says so.
func TestModelsOfProducts(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
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
				if i != 3 { // of which nothing is known
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

			version := c.Build(0, models(t, "content(k=7)", "warp(iterations=3)", "vectors(k=6)", "rrf(base=content+vectors+item-knn)")).ModelVersion
			_, items, rows := matrix(events, 4)
			byKey := map[string]train.Product{}
			stored, err := wire.RecordsFromProto(records)
			if err != nil {
				t.Fatal(err)
			}
			for i := range stored {
				byKey[stored[i].Key] = train.ProductOf(&stored[i])
			}
			var known []train.Product
			for _, key := range slices.Concat(items, cold) {
				known = append(known, byKey[key])
			}
			for kind, given := range map[*train.Kind]map[string]float64{content.Kind: {"k": 7}, warp.Kind: {"iterations": 3}, content.Vectors: {"k": 6}} {
				s, err := model.NewSettings(kind.Parameters, given)
				if err != nil {
					t.Fatal(err)
				}
				data := train.Split(rows, nil, 4)
				for _, d := range data {
					d.Products = known
				}
				want, err := train.Run(t.Context(), kind, s, data, train.Options{Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				for i := range c.Members {
					got, keys, err := modelOf(c, i, version, kind.Name)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want) || !slices.Equal(keys, cold) {
						t.Errorf("%s of member %d: %d bytes, %d that package train makes are others, or items %q, want %q", kind.Name, i, len(got), len(want), keys, cold)
					}
				}
			}
			for u := range 10 {
				for _, name := range []string{"content", "vectors", "rrf"} {
					newProductIsFound(t, c, u, name)
				}
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
		})
	}
}

// modelOf reads the model of a name at a member, and the keys of the items that are not in the dictionary.
func modelOf(c *clustertest.Cluster, member int, version uint64, name string) ([]byte, []string, error) {
	file, err := artifact.OpenModel(filepath.Join(c.Dir(member), "models", fmt.Sprintf("%020d", version), "model-"+name))
	if err != nil {
		return nil, nil, err
	}
	m, keys, err := artifact.CutItems(bytes.Clone(file.Content()))
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

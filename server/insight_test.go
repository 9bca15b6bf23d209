package server_test

import (
	"fmt"
	"math"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// shopOfTwo has 40 users of two tastes. Those of the first view a, put it into the cart, and buy it together with b; every fourth leaves after the cart. The others buy p and q.
func shopOfTwo() (events []*kithv1.Event) {
	const begin = 1_700_000_000_000
	for u := range 40 {
		user := fmt.Sprintf("u%02d", u)
		step := 0
		add := func(item, behavior string) {
			e := &kithv1.Event{Id: fmt.Sprint(step), User: user, Item: item, Behavior: behavior, TimeUnixMs: begin + int64(step)*60_000}
			if behavior == "purchase" {
				e.Context = map[string]string{"order": "1"}
			}
			events = append(events, e)
			step++
		}
		if u >= 20 {
			add("p", "purchase")
			add("q", "purchase")
			continue
		}
		add("a", "view")
		add("a", "cart")
		if u%4 != 0 {
			add("a", "purchase")
			add("b", "purchase")
		}
	}
	return events
}

// TestInsights asks three servers what their models know, in all ways, and for what they do not know.
func TestInsights(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, shopOfTwo())
	spec := models(t, "markov", "rules(min-support=0.05,min-confidence=0.5)", "clusters(k=2)")
	if job := c.Build(0, spec); job.Error != "" {
		t.Fatal(job.Error)
	}
	for i := range c.Members {
		insight := kithv1.NewInsightServiceClient(c.Conn(i))
		t.Run(fmt.Sprintf("member %d", i), func(t *testing.T) {
			ctx := t.Context()
			next, err := insight.NextBehavior(ctx, &kithv1.NextBehaviorRequest{Events: []*kithv1.SessionEvent{{Item: "a", Behavior: "view"}, {Item: "a", Behavior: "cart"}}, N: 1})
			if err != nil {
				t.Fatal(err)
			}
			if next.Behaviors[0].Behavior != "purchase" || next.Items[0].Item != "b" || next.ModelName != "markov" {
				t.Errorf("after view and cart comes %v; want a purchase of b", next)
			}
			// After a cart 15 of 20 buy, the others end: by the first-order chain the chance is 15/20, and it takes one step.
			if math.Abs(next.GetGoalChance()-0.75) > 1e-9 || math.Abs(next.GetExpectedSteps()-1) > 1e-9 {
				t.Errorf("chance %v in %v steps, want 0.75 in 1", next.GetGoalChance(), next.GetExpectedSteps())
			}
			sum := 0.0
			for _, b := range next.Behaviors {
				sum += b.Probability
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Errorf("probabilities of behaviors sum to %v", sum)
			}
			of, err := insight.NextBehavior(ctx, &kithv1.NextBehaviorRequest{User: "u04"}) // who left after the cart
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(next.Behaviors, of.Behaviors, protocmp.Transform()); diff != "" {
				t.Errorf("the same session of a user: %s", diff)
			}

			got, err := insight.AssociationRules(ctx, &kithv1.AssociationRulesRequest{Item: "a"})
			if err != nil {
				t.Fatal(err)
			}
			// 35 baskets: 15 of a and b, 20 of p and q.
			want := &kithv1.AssociationRulesResponse{
				Rules: []*kithv1.AssociationRule{{
					Left: []string{"a"}, Right: "b", Count: 15, Support: 15.0 / 35, Confidence: 1, Lift: 35.0 / 15, Leverage: 15.0/35 - 15.0*15/35/35,
				}},
				Fitting: 1, Transactions: 35, ModelName: "rules", ModelVersion: got.ModelVersion,
			}
			if diff := gocmp.Diff(want, got, protocmp.Transform(), protocmp.FilterField(&kithv1.AssociationRule{}, "leverage", approximately)); diff != "" {
				t.Errorf("rules of a: %s", diff)
			}
			for _, q := range []*kithv1.AssociationRulesRequest{{Basket: []string{"a", "nothing"}}, {Item: "b", Right: true}, {MinLift: 2}} {
				rules, err := insight.AssociationRules(ctx, q)
				if err != nil || len(rules.Rules) == 0 || rules.Rules[0].GetRight() == "p" {
					t.Errorf("rules of %v are %v, %v", q, rules, err)
				}
			}

			groups, err := insight.ListClusters(ctx, &kithv1.ListClustersRequest{N: 1})
			if err != nil || len(groups.Clusters) != 2 {
				t.Fatalf("groups %v, %v; want two", groups, err)
			}
			mine, err := insight.AssignCluster(ctx, &kithv1.AssignClusterRequest{User: "u01"})
			if err != nil {
				t.Fatal(err)
			}
			if g := groups.Clusters[mine.GetCluster()]; g.Size != 20 || g.Marks[0].Item == "p" || g.Marks[0].Item == "q" || mine.Cluster == nil {
				t.Errorf("u01 is in %v; want the group of those who buy a and b", g)
			}
			basket := &kithv1.Basket{Items: []*kithv1.BasketItem{{Item: "p"}}}
			other, err := insight.AssignCluster(ctx, &kithv1.AssignClusterRequest{Basket: basket})
			if err != nil || other.GetCluster() == mine.GetCluster() || other.Cluster == nil {
				t.Errorf("a basket of p is in %v, %v; want the other group", other, err)
			}

			for name, f := range map[string]func() error{
				"NotFound, a user": func() error {
					_, err := insight.NextBehavior(ctx, &kithv1.NextBehaviorRequest{User: "nobody"})
					return err
				},
				"InvalidArgument, a behavior": func() error {
					_, err := insight.NextBehavior(ctx, &kithv1.NextBehaviorRequest{Events: []*kithv1.SessionEvent{{Item: "a", Behavior: "sneeze"}}})
					return err
				},
				"InvalidArgument, two subjects": func() error {
					_, err := insight.AssignCluster(ctx, &kithv1.AssignClusterRequest{User: "u01", Basket: basket})
					return err
				},
				"InvalidArgument, a model of another kind": func() error {
					_, err := insight.ListClusters(ctx, &kithv1.ListClustersRequest{ModelName: "rules"})
					return err
				},
				"InvalidArgument, a measure": func() error {
					_, err := insight.AssociationRules(ctx, &kithv1.AssociationRulesRequest{Sort: "beauty"})
					return err
				},
				"NotFound, an item": func() error {
					_, err := insight.AssociationRules(ctx, &kithv1.AssociationRulesRequest{Item: "nothing"})
					return err
				},
			} {
				var want codes.Code
				for _, code := range []codes.Code{codes.NotFound, codes.InvalidArgument} {
					if name[:4] == code.String()[:4] {
						want = code
					}
				}
				if err := f(); status.Code(err) != want {
					t.Errorf("%s: error %v", name, err)
				}
			}
		})
	}
	c.Build(0, models(t, "rules"))
	_, err := kithv1.NewInsightServiceClient(c.Conn(1)).ListClusters(t.Context(), &kithv1.ListClustersRequest{})
	if status.Code(err) != codes.NotFound {
		t.Errorf("without such a model: error %v, want %v", err, codes.NotFound)
	}
}

// approximately compares numbers up to the rounding of a few operations.
var approximately = gocmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })

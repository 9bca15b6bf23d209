package client

import (
	"context"
	"time"

	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Model is a way of scoring.
type Model int32

// The models. Newest, Pinned and Explored are only in answers.
const (
	Default    = Model(kithv1.Model_MODEL_UNSPECIFIED) // the server's: Hybrid
	ItemKNN    = Model(kithv1.Model_MODEL_ITEM_KNN)    // items similar to those of the user
	UserKNN    = Model(kithv1.Model_MODEL_USER_KNN)    // items of similar users
	Hybrid     = Model(kithv1.Model_MODEL_HYBRID)      // the average of both
	Popularity = Model(kithv1.Model_MODEL_POPULARITY)  // the items with the most users
	Newest     = Model(kithv1.Model_MODEL_NEWEST)      // products without events
	Pinned     = Model(kithv1.Model_MODEL_PINNED)      // items with a fixed place
	Explored   = Model(kithv1.Model_MODEL_EXPLORED)    // new products in places of Explore
	Trained    = Model(kithv1.Model_MODEL_TRAINED)     // the model of ModelName
)

// Query asks for the items that are best for a user or a basket.
type Query struct {
	// User is a key. One that is not known gets what is popular, unless NoFallback is set.
	User string
	// Basket, in the place of User, are items that are together now.
	Basket []BasketItem
	// N is the length of the answer, 1 to 1,000; 0 means 10.
	N     int
	Model Model
	// ModelName names a model that the active version was trained with; then Model is Default or Trained.
	ModelName string
	// IncludeSeen allows items that the user has interacted with.
	IncludeSeen bool
	// NoFallback makes unknown users and missing models errors; the answer may be shorter than N.
	NoFallback bool
	// Stale reads the history of any replica: the newest events may be missing.
	Stale bool
	// Explain asks for contributions.
	Explain bool
	Rules   Rules
	// ExcludeHistory stands in the place of IncludeSeen: items with such events of the user are left out. At most 32.
	ExcludeHistory []HistoryRule
	Pins           []Pin
	// Explore gives places to new products; nil gives none.
	Explore *Explore
	// Scene names a way to answer that the cluster keeps; then Model must be Default, and there need not be a User or a Basket.
	Scene string
	// Session is who asks where there is no User: with an experiment on the scene it decides which variant answers.
	Session string
	// Item is what a scene about similar items, or items bought together, is about.
	Item string
}

// BasketItem is one item of a basket.
type BasketItem struct {
	Item string
	// Weight of 0 means 1.
	Weight float32
	// Rating is for models of ratings; nil means the weight, and the greatest rating if that is 0 too.
	Rating *float32
}

// HistoryRule names items by events of the user.
type HistoryRule struct {
	// Behaviors are those that count; none means any.
	Behaviors []string
	// Within is the largest age of the events; 0 means any.
	Within time.Duration
}

// Explore gives places of an answer to products that came of late and that the model does not recommend yet.
type Explore struct {
	// Places is the most of them.
	Places int
	// Within is the age up to which a product is new; 0 means 14 days.
	Within time.Duration
	// Attribute is the time at which a product came; empty means since.
	Attribute string
}

// Pin gives an item a rank, from 1.
type Pin struct {
	Item string
	Rank int
}

// Recommendations is a ranked answer.
type Recommendations struct {
	Items []Recommendation
	Model Model
	// ModelName is that of the query, or of its scene.
	ModelName string
	// Version is that of the model; 0 when there is none yet.
	Version uint64
	// Fallback says why popularity filled some or all of the answer; empty when it did not.
	Fallback string
	// Partial says that some partition could not be asked; Stale that the newest events or products may be missing.
	Partial, Stale bool
	// Scene is the one that was asked for, Experiment and Variant what the caller is in; empty if there is none.
	Scene, Experiment, Variant string
	// ID stands for the answer of a scene; empty for other answers, and without a user and a session.
	ID string
}

// Impression is the event that an item of an answer of a scene was shown to a user, or to the session that asked. Append it so that it counts for
// the scene, the variant and the version of the model.
func (r *Recommendations) Impression(user, item string) Event {
	return r.outcome(Impression, user, item)
}

// Click is the event that such an item was clicked on. Purchases behind a click count by themselves.
func (r *Recommendations) Click(user, item string) Event { return r.outcome(Click, user, item) }

func (r *Recommendations) outcome(behavior, user, item string) Event {
	e := Event{User: user, Item: item, Behavior: behavior}
	if r.ID != "" {
		e.Context = map[string]string{"answer": r.ID}
	}
	return e
}

// Recommendation is one rank of an answer.
type Recommendation struct {
	Item string
	// Score is comparable only within the answer and its source.
	Score  float64
	Source Model
	// Contributions add up to the score. Only with Explain.
	Contributions []Contribution
}

// Contribution is the share of an item of the history in a score.
type Contribution struct {
	Item  string
	Score float64
}

// Recommend returns the N best items for a user or a basket.
func (c *Client) Recommend(ctx context.Context, q Query) (*Recommendations, error) {
	req := &kithv1.RecommendRequest{
		N: count(q.N), Model: kithv1.Model(q.Model), IncludeSeen: q.IncludeSeen, NoFallback: q.NoFallback, Stale: q.Stale, Explain: q.Explain,
		Filter: q.Rules.Filter.proto(), Boosts: q.Rules.boosts(), Freshness: q.Rules.freshness(), Diversity: q.Rules.Diversity.proto(),
		NowUnixMs: unixMilli(q.Rules.Now), Scene: q.Scene, Session: q.Session, Item: q.Item, ModelName: q.ModelName,
	}
	switch {
	case len(q.Basket) > 0:
		basket := &kithv1.Basket{}
		for _, b := range q.Basket {
			basket.Items = append(basket.Items, &kithv1.BasketItem{Item: b.Item, Weight: b.Weight, Rating: b.Rating})
		}
		req.Subject = &kithv1.RecommendRequest_Basket{Basket: basket}
	case q.User != "" || q.Scene == "":
		req.Subject = &kithv1.RecommendRequest_User{User: q.User}
	}
	for _, h := range q.ExcludeHistory {
		req.ExcludeHistory = append(req.ExcludeHistory, &kithv1.HistoryRule{Behaviors: h.Behaviors, WithinMs: milliseconds(h.Within)})
	}
	for _, p := range q.Pins {
		req.Pins = append(req.Pins, &kithv1.Pin{Item: p.Item, Rank: count(p.Rank)})
	}
	if x := q.Explore; x != nil {
		req.Explore = &kithv1.Explore{Places: count(x.Places), WithinMs: milliseconds(x.Within), Attribute: x.Attribute}
	}
	resp, err := ask(ctx, c, "recommend", kithv1.RecommenderService_Recommend_FullMethodName, req, kithv1.RecommenderServiceClient.Recommend)
	if err != nil {
		return nil, err
	}
	out := &Recommendations{
		Items: make([]Recommendation, len(resp.Items)), Model: Model(resp.Model), ModelName: resp.ModelName, Version: resp.ModelVersion,
		Fallback: resp.FallbackReason, Partial: resp.Partial, Stale: resp.Stale,
		Scene: resp.Scene, Experiment: resp.Experiment, Variant: resp.Variant, ID: resp.AnswerId,
	}
	for i, x := range resp.Items {
		out.Items[i] = Recommendation{Item: x.Item, Score: x.Score, Source: Model(x.Source)}
		for _, y := range x.Contributions {
			out.Items[i].Contributions = append(out.Items[i].Contributions, Contribution{Item: y.Item, Score: y.Score})
		}
	}
	return out, nil
}

// ask makes a call of the recommender.
func ask[Q, A any](
	ctx context.Context, c *Client, op, method string, req *Q,
	f func(kithv1.RecommenderServiceClient, context.Context, *Q, ...grpc.CallOption) (*A, error),
) (*A, error) {
	return call(ctx, c, c.read(op, method), func(ctx context.Context, conn *grpc.ClientConn) (*A, error) {
		return f(kithv1.NewRecommenderServiceClient(conn), ctx, req)
	})
}

// Neighbors are the items or users most similar to one, by score descending.
type Neighbors struct {
	Neighbors      []Neighbor
	Version        uint64
	Partial, Stale bool
}

// Neighbor is one of them.
type Neighbor struct {
	// Key is that of an item or a user.
	Key   string
	Score float64
}

// SimilarItems returns the n nearest neighbors of an item, at most the K of the model. n of 0 means 10.
func (c *Client) SimilarItems(ctx context.Context, item string, n int, rules Rules) (*Neighbors, error) {
	return c.similar(ctx, &kithv1.SimilarRequest{
		Subject: &kithv1.SimilarRequest_Item{Item: item}, N: count(n), Filter: rules.Filter.proto(), Boosts: rules.boosts(),
		Freshness: rules.freshness(), Diversity: rules.Diversity.proto(), NowUnixMs: unixMilli(rules.Now),
	})
}

// SimilarUsers returns the n users most similar to one. n of 0 means 10.
func (c *Client) SimilarUsers(ctx context.Context, user string, n int) (*Neighbors, error) {
	return c.similar(ctx, &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_User{User: user}, N: count(n)})
}

func (c *Client) similar(ctx context.Context, req *kithv1.SimilarRequest) (*Neighbors, error) {
	resp, err := ask(ctx, c, "similar", kithv1.RecommenderService_Similar_FullMethodName, req, kithv1.RecommenderServiceClient.Similar)
	if err != nil {
		return nil, err
	}
	out := &Neighbors{Neighbors: make([]Neighbor, len(resp.Neighbors)), Version: resp.ModelVersion, Partial: resp.Partial, Stale: resp.Stale}
	for i, x := range resp.Neighbors {
		out.Neighbors[i] = Neighbor{Key: x.Key, Score: x.Score}
	}
	return out, nil
}

// List is a ranked list of items.
type List struct {
	Items          []Listed
	Partial, Stale bool
	// Baskets is the number of those that have the item. Of BoughtTogether.
	Baskets uint64
}

// Listed is one rank of a list.
type Listed struct {
	Item string
	// Score is a sum of weights of events, or a number of baskets, with boosts. Of Trending and BoughtTogether.
	Score float64
	// Time is when the product came, or when the last event was. Of NewArrivals and Latest.
	Time time.Time
}

// ListQuery asks for a list.
type ListQuery struct {
	// N is 1 to 1,000; 0 means 10.
	N     int
	Rules Rules
	// Stale reads any replica: the newest events may be missing.
	Stale bool
}

// TrendingQuery asks for items by their events of late.
type TrendingQuery struct {
	ListQuery
	// Within is the largest age of the events; 0 means 7 days.
	Within time.Duration
	// Weights of behaviors; none means those of the server, in which a purchase counts as five views.
	Weights map[string]float64
}

// Trending returns the items with the most events of late, weighed by behavior.
func (c *Client) Trending(ctx context.Context, q TrendingQuery) (*List, error) {
	resp, err := ask(ctx, c, "trending", kithv1.RecommenderService_Trending_FullMethodName, &kithv1.TrendingRequest{
		N: count(q.N), WithinMs: milliseconds(q.Within), Weights: q.Weights, Filter: q.Rules.Filter.proto(), Boosts: q.Rules.boosts(),
		Freshness: q.Rules.freshness(), Diversity: q.Rules.Diversity.proto(), NowUnixMs: unixMilli(q.Rules.Now), Stale: q.Stale,
	}, kithv1.RecommenderServiceClient.Trending)
	if err != nil {
		return nil, err
	}
	return &List{Items: listed(resp.Items), Partial: resp.Partial, Stale: resp.Stale}, nil
}

// BoughtTogether returns the items that were in the most baskets with an item.
func (c *Client) BoughtTogether(ctx context.Context, item string, q ListQuery) (*List, error) {
	resp, err := ask(ctx, c, "bought together", kithv1.RecommenderService_FrequentlyBoughtTogether_FullMethodName, &kithv1.FrequentlyBoughtTogetherRequest{
		Item: item, N: count(q.N), Filter: q.Rules.Filter.proto(), Boosts: q.Rules.boosts(), Freshness: q.Rules.freshness(),
		Diversity: q.Rules.Diversity.proto(), NowUnixMs: unixMilli(q.Rules.Now), Stale: q.Stale,
	}, kithv1.RecommenderServiceClient.FrequentlyBoughtTogether)
	if err != nil {
		return nil, err
	}
	return &List{Items: listed(resp.Items), Partial: resp.Partial, Stale: resp.Stale, Baskets: resp.Baskets}, nil
}

// ArrivalsQuery asks for products by the time at which they came.
type ArrivalsQuery struct {
	// N is 1 to 1,000; 0 means 10.
	N int
	// Attribute is the time; empty means since.
	Attribute string
	Filter    Filter
	Diversity *Diversity
	// Now is as in Rules.
	Now   time.Time
	Stale bool
}

// NewArrivals returns the products that came last.
func (c *Client) NewArrivals(ctx context.Context, q ArrivalsQuery) (*List, error) {
	resp, err := ask(ctx, c, "new arrivals", kithv1.RecommenderService_NewArrivals_FullMethodName, &kithv1.NewArrivalsRequest{
		N: count(q.N), Attribute: q.Attribute, Filter: q.Filter.proto(), Diversity: q.Diversity.proto(), NowUnixMs: unixMilli(q.Now), Stale: q.Stale,
	}, kithv1.RecommenderServiceClient.NewArrivals)
	if err != nil {
		return nil, err
	}
	return &List{Items: listed(resp.Items), Partial: resp.Partial, Stale: resp.Stale}, nil
}

// LatestQuery asks for items by the time of their last event.
type LatestQuery struct {
	// N is 1 to 1,000; 0 means 10.
	N      int
	Filter Filter
	// Now is as in Rules.
	Now   time.Time
	Stale bool
}

// Latest returns the items with the latest events.
func (c *Client) Latest(ctx context.Context, q LatestQuery) (*List, error) {
	resp, err := ask(ctx, c, "latest", kithv1.RecommenderService_Latest_FullMethodName, &kithv1.LatestRequest{
		N: count(q.N), Filter: q.Filter.proto(), NowUnixMs: unixMilli(q.Now), Stale: q.Stale,
	}, kithv1.RecommenderServiceClient.Latest)
	if err != nil {
		return nil, err
	}
	return &List{Items: listed(resp.Items), Partial: resp.Partial, Stale: resp.Stale}, nil
}

func listed(items []*kithv1.ListedItem) []Listed {
	out := make([]Listed, len(items))
	for i, x := range items {
		out[i] = Listed{Item: x.Item, Score: x.Score, Time: fromUnixMilli(x.TimeUnixMs)}
	}
	return out
}

package api

import (
	"context"
	"fmt"
	"math"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

// methods are the models of the wire.
var methods = map[kithv1.Model]coordinator.Method{
	kithv1.Model_MODEL_UNSPECIFIED: coordinator.Hybrid,
	kithv1.Model_MODEL_ITEM_KNN:    coordinator.ItemKNN,
	kithv1.Model_MODEL_USER_KNN:    coordinator.UserKNN,
	kithv1.Model_MODEL_HYBRID:      coordinator.Hybrid,
	kithv1.Model_MODEL_POPULARITY:  coordinator.Popularity,
}

func model(m coordinator.Method) kithv1.Model {
	switch m {
	case coordinator.ItemKNN:
		return kithv1.Model_MODEL_ITEM_KNN
	case coordinator.UserKNN:
		return kithv1.Model_MODEL_USER_KNN
	case coordinator.Popularity:
		return kithv1.Model_MODEL_POPULARITY
	case coordinator.Newest:
		return kithv1.Model_MODEL_NEWEST
	case coordinator.Pinned:
		return kithv1.Model_MODEL_PINNED
	}
	return kithv1.Model_MODEL_HYBRID
}

// length returns the N of a request.
func length(n uint32) (int, error) {
	if n == 0 {
		return coordinator.DefaultN, nil
	}
	if n > coordinator.MaxN {
		return 0, fmt.Errorf("%w: n is %d; want at most %d", wire.ErrInvalid, n, coordinator.MaxN)
	}
	return int(n), nil
}

// Recommend implements kithv1.RecommenderServiceServer.
func (a *API) Recommend(ctx context.Context, req *kithv1.RecommendRequest) (resp *kithv1.RecommendResponse, err error) {
	running := a.queries.Begin(telemetry.Recommend)
	defer func() { running.End(ctx, recommended(req, resp), err) }()
	n, err := length(req.N)
	if err != nil {
		return nil, err
	}
	method, ok := methods[req.Model]
	if !ok {
		return nil, fmt.Errorf("%w: model %s is not one to ask for", wire.ErrInvalid, req.Model)
	}
	rules, err := rulesOf(req)
	if err != nil {
		return nil, err
	}
	rules.Exclude, rules.Pins = historyRules(req.ExcludeHistory), pins(req.Pins)
	q := coordinator.Query{
		User: req.GetUser(), N: n, Method: method, WithSeen: req.IncludeSeen, NoFallback: req.NoFallback,
		Stale: req.Stale, Explain: req.Explain, Rules: rules,
	}
	for _, b := range req.GetBasket().GetItems() {
		weight := b.GetWeight()
		if weight == 0 {
			weight = 1
		}
		if b.GetItem() == "" || weight < 0 || math.IsNaN(float64(weight)) || math.IsInf(float64(weight), 0) {
			return nil, fmt.Errorf("%w: basket item %q with weight %v; want a key and a weight above 0", wire.ErrInvalid, b.GetItem(), weight)
		}
		q.Basket = append(q.Basket, coordinator.BasketItem{Item: b.Item, Weight: weight})
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil && !q.Stale {
		return nil, err
	}
	answer, err := a.router.Recommend(ctx, q)
	if err != nil {
		return nil, err
	}
	resp = &kithv1.RecommendResponse{
		Model: model(method), ModelVersion: answer.Version, FallbackReason: answer.Fallback, Partial: answer.Partial,
		Stale: answer.Stale,
	}
	for _, x := range answer.Items {
		item := &kithv1.RecommendedItem{Item: x.Item, Score: x.Score, Source: model(x.Source)}
		for _, c := range x.Contributions {
			item.Contributions = append(item.Contributions, &kithv1.Contribution{Item: c.Item, Score: c.Score})
		}
		resp.Items = append(resp.Items, item)
	}
	return resp, nil
}

// Similar implements kithv1.RecommenderServiceServer.
func (a *API) Similar(ctx context.Context, req *kithv1.SimilarRequest) (resp *kithv1.SimilarResponse, err error) {
	running := a.queries.Begin(telemetry.Similar)
	defer func() { running.End(ctx, found(req.N, resp, len(resp.GetNeighbors())), err) }()
	n, err := length(req.N)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil {
		return nil, err
	}
	rules, err := rulesOf(req)
	if err != nil {
		return nil, err
	}
	var similar *coordinator.Similar
	switch {
	case req.GetItem() != "":
		similar, err = a.router.SimilarItems(ctx, req.GetItem(), n, rules)
	case req.GetUser() != "" && (req.Filter != nil || len(req.Boosts) > 0 || req.Freshness != nil || req.Diversity != nil):
		err = fmt.Errorf("%w: filters, boosts and diversity are about items; ask for users without", wire.ErrInvalid)
	case req.GetUser() != "":
		similar, err = a.router.SimilarUsers(ctx, req.GetUser(), n, false)
	default:
		err = fmt.Errorf("%w: want an item or a user", wire.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	resp = &kithv1.SimilarResponse{ModelVersion: similar.Version, Partial: similar.Partial, Stale: similar.Stale}
	for _, e := range similar.Entries {
		resp.Neighbors = append(resp.Neighbors, &kithv1.SimilarEntry{Key: e.Key, Score: e.Score})
	}
	return resp, nil
}

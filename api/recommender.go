package api

import (
	"context"
	"fmt"
	"math"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
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
func (a *API) Recommend(ctx context.Context, req *kithv1.RecommendRequest) (*kithv1.RecommendResponse, error) {
	n, err := length(req.N)
	if err != nil {
		return nil, err
	}
	method, ok := methods[req.Model]
	if !ok {
		return nil, fmt.Errorf("%w: model %d is not known", wire.ErrInvalid, req.Model)
	}
	q := coordinator.Query{
		User: req.GetUser(), N: n, Method: method, WithSeen: req.IncludeSeen, NoFallback: req.NoFallback,
		Stale: req.Stale, Explain: req.Explain,
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
	resp := &kithv1.RecommendResponse{
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
func (a *API) Similar(ctx context.Context, req *kithv1.SimilarRequest) (*kithv1.SimilarResponse, error) {
	n, err := length(req.N)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil {
		return nil, err
	}
	resp := &kithv1.SimilarResponse{}
	var entries []coordinator.SimilarEntry
	switch {
	case req.GetItem() != "":
		entries, resp.ModelVersion, err = a.router.SimilarItems(ctx, req.GetItem(), n)
	case req.GetUser() != "":
		entries, resp.ModelVersion, resp.Partial, err = a.router.SimilarUsers(ctx, req.GetUser(), n, false)
	default:
		err = fmt.Errorf("%w: want an item or a user", wire.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		resp.Neighbors = append(resp.Neighbors, &kithv1.SimilarEntry{Key: e.Key, Score: e.Score})
	}
	return resp, nil
}

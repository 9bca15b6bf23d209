package api

import (
	"context"

	"github.com/kith-io/kith/coordinator"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

// Trending implements kithv1.RecommenderServiceServer.
func (a *API) Trending(ctx context.Context, req *kithv1.TrendingRequest) (resp *kithv1.TrendingResponse, err error) {
	running := a.queries.Begin(telemetry.Trending)
	defer func() { running.End(ctx, found(req.N, resp, len(resp.GetItems())), err) }()
	q := coordinator.Listing{Within: coordinator.DefaultWithin, Stale: req.Stale}
	if q.Rules, err = rulesOf(req); err != nil {
		return nil, err
	}
	if req.WithinMs > 0 {
		if q.Within, err = duration("window", req.WithinMs); err != nil {
			return nil, err
		}
	}
	q.Weights = weightsOf(req.Weights)
	list, items, err := a.list(ctx, req.N, q, a.router.Trending)
	if err != nil {
		return nil, err
	}
	return &kithv1.TrendingResponse{Items: items, Partial: list.Partial, Stale: list.Stale}, nil
}

// NewArrivals implements kithv1.RecommenderServiceServer.
func (a *API) NewArrivals(ctx context.Context, req *kithv1.NewArrivalsRequest) (resp *kithv1.NewArrivalsResponse, err error) {
	running := a.queries.Begin(telemetry.NewArrivals)
	defer func() { running.End(ctx, found(req.N, resp, len(resp.GetItems())), err) }()
	rules, err := rulesOf(&kithv1.TrendingRequest{Filter: req.Filter, Diversity: req.Diversity, NowUnixMs: req.NowUnixMs})
	if err != nil {
		return nil, err
	}
	list, items, err := a.list(ctx, req.N, coordinator.Listing{Since: req.Attribute, Stale: req.Stale, Rules: rules}, a.router.NewArrivals)
	if err != nil {
		return nil, err
	}
	return &kithv1.NewArrivalsResponse{Items: items, Partial: list.Partial, Stale: list.Stale}, nil
}

// Latest implements kithv1.RecommenderServiceServer.
func (a *API) Latest(ctx context.Context, req *kithv1.LatestRequest) (resp *kithv1.LatestResponse, err error) {
	running := a.queries.Begin(telemetry.Latest)
	defer func() { running.End(ctx, found(req.N, resp, len(resp.GetItems())), err) }()
	rules, err := rulesOf(&kithv1.TrendingRequest{Filter: req.Filter, NowUnixMs: req.NowUnixMs})
	if err != nil {
		return nil, err
	}
	list, items, err := a.list(ctx, req.N, coordinator.Listing{Stale: req.Stale, Rules: rules}, a.router.Latest)
	if err != nil {
		return nil, err
	}
	return &kithv1.LatestResponse{Items: items, Partial: list.Partial, Stale: list.Stale}, nil
}

// list asks for a list of n items.
func (a *API) list(ctx context.Context, n uint32, q coordinator.Listing, ask func(context.Context, coordinator.Listing) (*coordinator.List, error)) (
	*coordinator.List, []*kithv1.ListedItem, error,
) {
	var err error
	if q.N, err = length(n); err != nil {
		return nil, nil, err
	}
	ctx, done, err := a.begin(ctx, q.Stale)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	list, err := ask(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	items := make([]*kithv1.ListedItem, len(list.Items))
	for i, x := range list.Items {
		items[i] = &kithv1.ListedItem{Item: x.Item, Score: x.Score, TimeUnixMs: x.Time}
	}
	return list, items, nil
}

// FrequentlyBoughtTogether implements kithv1.RecommenderServiceServer.
func (a *API) FrequentlyBoughtTogether(ctx context.Context, req *kithv1.FrequentlyBoughtTogetherRequest) (resp *kithv1.FrequentlyBoughtTogetherResponse, err error) {
	running := a.queries.Begin(telemetry.BoughtTogether)
	defer func() { running.End(ctx, found(req.N, resp, len(resp.GetItems())), err) }()
	rules, err := rulesOf(req)
	if err != nil {
		return nil, err
	}
	var baskets uint64
	list, items, err := a.list(ctx, req.N, coordinator.Listing{Stale: req.Stale, Rules: rules}, func(ctx context.Context, q coordinator.Listing) (list *coordinator.List, err error) {
		list, baskets, err = a.router.BoughtTogether(ctx, req.Item, q)
		return list, err
	})
	if err != nil {
		return nil, err
	}
	return &kithv1.FrequentlyBoughtTogetherResponse{Items: items, Partial: list.Partial, Stale: list.Stale, Baskets: baskets}, nil
}

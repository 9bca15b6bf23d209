package api

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

// NextBehavior implements InsightService.
func (a *API) NextBehavior(ctx context.Context, req *kithv1.NextBehaviorRequest) (resp *kithv1.NextBehaviorResponse, err error) {
	running := a.queries.Begin(telemetry.NextBehavior)
	defer func() { running.End(ctx, told(len(resp.GetItems()), resp.GetModelVersion(), resp.GetStale()), err) }()
	n, err := length(req.N)
	if err != nil {
		return nil, err
	}
	q := coordinator.NextQuery{User: req.User, N: n, Goals: req.Goals, Model: req.ModelName, Stale: req.Stale}
	before := int64(0)
	for i, e := range req.Events {
		if e.TimeUnixMs < before || e.TimeUnixMs > fusion.MaxTime {
			return nil, fmt.Errorf("%w: event %d has time %d; want the oldest first, in Unix milliseconds", wire.ErrInvalid, i, e.TimeUnixMs)
		}
		before = e.TimeUnixMs
		q.Events = append(q.Events, fusion.Event{Item: e.Item, Behavior: fusion.Behavior(e.Behavior), Time: e.TimeUnixMs})
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil {
		return nil, err
	}
	next, err := a.router.NextBehavior(ctx, q)
	if err != nil {
		return nil, err
	}
	resp = &kithv1.NextBehaviorResponse{
		GoalChance: known(next.Goal), ExpectedSteps: known(next.Steps), ModelName: next.Model, ModelVersion: next.Version, Stale: next.Stale,
	}
	for _, b := range next.Behaviors {
		resp.Behaviors = append(resp.Behaviors, &kithv1.BehaviorChance{Behavior: b.Behavior, Probability: b.Probability})
	}
	for _, i := range next.Items {
		resp.Items = append(resp.Items, &kithv1.ItemChance{Item: i.Key, Probability: i.Score})
	}
	return resp, nil
}

// known returns a number unless it is none.
func known(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// AssociationRules implements InsightService.
func (a *API) AssociationRules(ctx context.Context, req *kithv1.AssociationRulesRequest) (resp *kithv1.AssociationRulesResponse, err error) {
	running := a.queries.Begin(telemetry.AssociationRules)
	defer func() { running.End(ctx, told(len(resp.GetRules()), resp.GetModelVersion(), false), err) }()
	n, err := length(req.N)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil {
		return nil, err
	}
	found, err := a.router.AssociationRules(ctx, coordinator.RulesQuery{
		Item: req.Item, Right: req.Right, Basket: req.Basket, N: n, Sort: req.Sort,
		Support: req.MinSupport, Confidence: req.MinConfidence, Lift: req.MinLift, Model: req.ModelName,
	})
	if err != nil {
		return nil, err
	}
	resp = &kithv1.AssociationRulesResponse{Fitting: found.Fitting, Transactions: found.Transactions, ModelName: found.Model, ModelVersion: found.Version}
	for _, r := range found.Rules {
		resp.Rules = append(resp.Rules, &kithv1.AssociationRule{
			Left: r.Left, Right: r.Right, Count: r.Count, Support: r.Support, Confidence: r.Confidence, Lift: r.Lift, Leverage: r.Leverage,
			Conviction: known(r.Conviction),
		})
	}
	return resp, nil
}

// maxMarks is the most items that describe a group in an answer.
const maxMarks = 50

// ListClusters implements InsightService.
func (a *API) ListClusters(ctx context.Context, req *kithv1.ListClustersRequest) (resp *kithv1.ListClustersResponse, err error) {
	running := a.queries.Begin(telemetry.Clusters)
	defer func() { running.End(ctx, told(len(resp.GetClusters()), resp.GetModelVersion(), false), err) }()
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil {
		return nil, err
	}
	if req.N > maxMarks {
		return nil, fmt.Errorf("%w: n is %d; want at most %d", wire.ErrInvalid, req.N, maxMarks)
	}
	groups, source, err := a.router.Clusters(req.ModelName, int(cmp.Or(req.N, coordinator.DefaultN)))
	if err != nil {
		return nil, err
	}
	resp = &kithv1.ListClustersResponse{ModelName: source.Model, ModelVersion: source.Version}
	for i, g := range groups {
		c := &kithv1.Cluster{Number: uint32(i), Size: uint64(g.Size), Share: g.Share, Spread: g.Spread, Silhouette: known(g.Silhouette)}
		for k, m := range g.Marks {
			c.Marks = append(c.Marks, &kithv1.ClusterMark{Item: g.Items[k], Count: uint64(m.Count), Lift: m.Lift, Z: m.Z})
		}
		resp.Clusters = append(resp.Clusters, c)
	}
	return resp, nil
}

// AssignCluster implements InsightService.
func (a *API) AssignCluster(ctx context.Context, req *kithv1.AssignClusterRequest) (resp *kithv1.AssignClusterResponse, err error) {
	running := a.queries.Begin(telemetry.Clusters)
	defer func() { running.End(ctx, told(0, resp.GetModelVersion(), resp.GetStale()), err) }()
	q := coordinator.ClusterQuery{User: req.User, Item: req.Item, Model: req.ModelName, Stale: req.Stale}
	basket, err := basketOf(req.Basket)
	if err != nil {
		return nil, err
	}
	q.Basket = basket
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil {
		return nil, err
	}
	found, err := a.router.AssignCluster(ctx, q)
	if err != nil {
		return nil, err
	}
	resp = &kithv1.AssignClusterResponse{Distance: known(found.Distance), ModelName: found.Model, ModelVersion: found.Version, Stale: found.Stale}
	if found.Group >= 0 {
		resp.Cluster = new(uint32(found.Group))
	}
	return resp, nil
}

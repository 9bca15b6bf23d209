package api

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

const (
	// maxUsers bounds the users of one request.
	maxUsers = 100
	// usersAtOnce is the number of them that are answered at the same time: enough to hide the time of calls between nodes, and few beside other callers.
	usersAtOnce = 8
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
	q, err := queryOf(req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil && !q.Stale {
		return nil, err
	}
	return a.recommend(ctx, q)
}

// RecommendMany implements kithv1.RecommenderServiceServer. A user whose turn does not come within the deadline has an error as others have.
func (a *API) RecommendMany(ctx context.Context, req *kithv1.RecommendManyRequest) (*kithv1.RecommendManyResponse, error) {
	if n := len(req.Users); n == 0 || n > maxUsers {
		return nil, fmt.Errorf("%w: %d users; want 1 to %d", wire.ErrInvalid, n, maxUsers)
	}
	asked := map[string]bool{}
	for _, user := range req.Users {
		if user == "" || asked[user] {
			return nil, fmt.Errorf("%w: user %q is empty or there twice; name each once", wire.ErrInvalid, user)
		}
		asked[user] = true
	}
	if req.GetRequest().GetSubject() != nil {
		return nil, fmt.Errorf("%w: the request for all users has a user or a basket of its own; leave it out", wire.ErrInvalid)
	}
	q, err := queryOf(req.GetRequest())
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.CatchUp(ctx); err != nil && !q.Stale {
		return nil, err
	}
	resp := &kithv1.RecommendManyResponse{Answers: make([]*kithv1.UserRecommendations, len(req.Users))}
	var g errgroup.Group
	g.SetLimit(usersAtOnce)
	for i, user := range req.Users {
		g.Go(func() error {
			one := q
			one.User = user
			running := a.queries.Begin(telemetry.Recommend)
			answer, err := a.recommend(ctx, one)
			running.End(ctx, recommended(req.GetRequest(), answer), err)
			resp.Answers[i] = &kithv1.UserRecommendations{User: user, Response: answer}
			if err != nil {
				resp.Answers[i].Error = &kithv1.AnswerError{Reason: wire.Reason(err), Message: err.Error()}
			}
			return nil
		})
	}
	return resp, g.Wait()
}

// queryOf converts a request and checks it.
func queryOf(req *kithv1.RecommendRequest) (q coordinator.Query, err error) {
	n, err := length(req.GetN())
	if err != nil {
		return q, err
	}
	method, ok := methods[req.GetModel()]
	if !ok {
		return q, fmt.Errorf("%w: model %s is not one to ask for", wire.ErrInvalid, req.GetModel())
	}
	rules, err := rulesOf(req)
	if err != nil {
		return q, err
	}
	rules.Exclude, rules.Pins = historyRules(req.GetExcludeHistory()), pins(req.GetPins())
	q = coordinator.Query{
		User: req.GetUser(), N: n, Method: method, WithSeen: req.GetIncludeSeen(), NoFallback: req.GetNoFallback(),
		Stale: req.GetStale(), Explain: req.GetExplain(), Rules: rules,
	}
	for _, b := range req.GetBasket().GetItems() {
		weight := b.GetWeight()
		if weight == 0 {
			weight = 1
		}
		if b.GetItem() == "" || weight < 0 || math.IsNaN(float64(weight)) || math.IsInf(float64(weight), 0) {
			return q, fmt.Errorf("%w: basket item %q with weight %v; want a key and a weight above 0", wire.ErrInvalid, b.GetItem(), weight)
		}
		q.Basket = append(q.Basket, coordinator.BasketItem{Item: b.Item, Weight: weight})
	}
	return q, nil
}

// recommend asks the router.
func (a *API) recommend(ctx context.Context, q coordinator.Query) (*kithv1.RecommendResponse, error) {
	answer, err := a.router.Recommend(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &kithv1.RecommendResponse{
		Model: model(q.Method), ModelVersion: answer.Version, FallbackReason: answer.Fallback, Partial: answer.Partial,
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

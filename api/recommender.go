package api

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

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
	case coordinator.Categories:
		return kithv1.Model_MODEL_CATEGORIES
	case coordinator.Trending:
		return kithv1.Model_MODEL_TRENDING
	case coordinator.Neighbors:
		return kithv1.Model_MODEL_SIMILAR
	case coordinator.Together:
		return kithv1.Model_MODEL_TOGETHER
	case coordinator.Trained:
		return kithv1.Model_MODEL_TRAINED
	case coordinator.Explored:
		return kithv1.Model_MODEL_EXPLORED
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
	ctx, done, err := a.begin(ctx, req.Stale)
	if err != nil {
		return nil, err
	}
	defer done()
	return a.recommend(ctx, req)
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
	all := req.GetRequest()
	if all == nil {
		all = &kithv1.RecommendRequest{}
	}
	ctx, done, err := a.begin(ctx, all.Stale)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := a.checkForAll(ctx, all); err != nil {
		return nil, err
	}
	resp := &kithv1.RecommendManyResponse{Answers: make([]*kithv1.UserRecommendations, len(req.Users))}
	var g errgroup.Group
	g.SetLimit(usersAtOnce)
	for i, user := range req.Users {
		g.Go(func() error {
			running := a.queries.Begin(telemetry.Recommend)
			answer, err := a.recommendTo(ctx, user, all)
			running.End(ctx, recommended(all, answer.Response), err)
			resp.Answers[i] = answer
			return nil
		})
	}
	return resp, g.Wait()
}

// checkForAll returns what is wrong with a request that is for each of many users.
func (a *API) checkForAll(ctx context.Context, req *kithv1.RecommendRequest) error {
	if req.Subject != nil {
		return fmt.Errorf("%w: the request for all users has a user or a basket of its own; leave it out", wire.ErrInvalid)
	}
	_, _, err := a.query(ctx, req)
	return err
}

// recommendTo answers a request that is for each of many users for one of them. The answer says what went wrong as the error does.
func (a *API) recommendTo(ctx context.Context, user string, all *kithv1.RecommendRequest) (*kithv1.UserRecommendations, error) {
	req := proto.Clone(all).(*kithv1.RecommendRequest)
	req.Subject = &kithv1.RecommendRequest_User{User: user}
	resp, err := a.recommend(ctx, req)
	out := &kithv1.UserRecommendations{User: user, Response: resp}
	if err != nil {
		out.Error = &kithv1.AnswerError{Reason: wire.Reason(err), Message: err.Error(), Retryable: wire.Retryable(err)}
	}
	return out, err
}

// query returns the query of a request, with what its scene says, if it names one.
func (a *API) query(ctx context.Context, req *kithv1.RecommendRequest) (q coordinator.Query, scene *chosen, err error) {
	if req.Scene != "" {
		if scene, err = a.choose(ctx, req); err != nil {
			return q, nil, err
		}
		q, err = sceneQuery(scene.Scene.Scene, req)
		return q, scene, err
	}
	if q, err = queryOf(req); err == nil && req.Item != "" {
		err = fmt.Errorf("%w: an item, and no scene that is about items; name one, or leave the item out", wire.ErrInvalid)
	}
	return q, nil, err
}

// recommend answers a request.
func (a *API) recommend(ctx context.Context, req *kithv1.RecommendRequest) (*kithv1.RecommendResponse, error) {
	q, scene, err := a.query(ctx, req)
	if err != nil {
		return nil, err
	}
	answer, err := a.router.Recommend(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &kithv1.RecommendResponse{
		Model: model(q.Method), ModelVersion: answer.Version, FallbackReason: answer.Fallback, Partial: answer.Partial,
		Stale: answer.Stale, ModelName: q.Model,
	}
	items := make([]kithv1.RecommendedItem, len(answer.Items)) // in one piece
	resp.Items = make([]*kithv1.RecommendedItem, 0, len(items))
	for i, x := range answer.Items {
		item := &items[i]
		item.Item, item.Score, item.Source, item.Contributions = x.Item, x.Score, model(x.Source), contributions(x.Contributions)
		for _, f := range x.Found {
			item.Found = append(item.Found, &kithv1.Found{Model: f.Model, Rank: uint32(f.Rank), Score: f.Score, Contributions: contributions(f.Contributions)})
		}
		resp.Items = append(resp.Items, item)
	}
	if scene != nil {
		a.name(scene, resp)
	}
	return resp, nil
}

func contributions(parts []coordinator.Contribution) (out []*kithv1.Contribution) {
	for _, c := range parts {
		out = append(out, &kithv1.Contribution{Item: c.Item, Score: c.Score})
	}
	return out
}

// methodOf returns the method of a model, or of the name of a trained one.
func methodOf(m kithv1.Model, name string, methods map[kithv1.Model]coordinator.Method) (coordinator.Method, error) {
	method, ok := methods[m]
	switch {
	case m == kithv1.Model_MODEL_TRAINED || name != "" && m == kithv1.Model_MODEL_UNSPECIFIED:
		return coordinator.Trained, nil // whose name is checked with the query
	case name != "":
		return 0, fmt.Errorf("%w: model %s and the name %.80q of a trained model; want one of both", wire.ErrInvalid, m, name)
	case !ok:
		return 0, fmt.Errorf("%w: model %s is not one to ask for", wire.ErrInvalid, m)
	}
	return method, nil
}

// queryOf returns the query of a request, without what a scene says.
func queryOf(req *kithv1.RecommendRequest) (q coordinator.Query, err error) {
	n, err := length(req.N)
	if err != nil {
		return q, err
	}
	method, err := methodOf(req.Model, req.ModelName, methods)
	if err != nil {
		return q, err
	}
	rules, err := rulesOf(req)
	if err != nil {
		return q, err
	}
	rules.Exclude, rules.Pins = historyRules(req.ExcludeHistory), pins(req.Pins)
	explore, err := exploreOf(req.Explore)
	if err != nil {
		return q, err
	}
	q = coordinator.Query{
		User: req.GetUser(), Session: req.Session, Explore: explore, Item: req.Item, N: n, Method: method, Model: req.ModelName, WithSeen: req.IncludeSeen, NoFallback: req.NoFallback,
		Stale: req.Stale, Explain: req.Explain, Rules: rules,
	}
	q.Basket, err = basketOf(req.GetBasket())
	return q, err
}

// basketOf returns the items of a basket.
func basketOf(basket *kithv1.Basket) (out []coordinator.BasketItem, err error) {
	for _, b := range basket.GetItems() {
		weight, rating := b.GetWeight(), b.GetWeight()
		if weight == 0 {
			weight, rating = 1, coordinator.Liked
		}
		if b.GetItem() == "" || weight < 0 || math.IsNaN(float64(weight)) || math.IsInf(float64(weight), 0) {
			return nil, fmt.Errorf("%w: basket item %q with weight %v; want a key and a weight above 0", wire.ErrInvalid, b.GetItem(), weight)
		}
		if b.Rating != nil {
			if rating = b.GetRating(); math.IsNaN(float64(rating)) || math.IsInf(float64(rating), 0) {
				return nil, fmt.Errorf("%w: basket item %q with rating %v; want a finite number", wire.ErrInvalid, b.Item, rating)
			}
		}
		out = append(out, coordinator.BasketItem{Item: b.Item, Weight: weight, Rating: rating})
	}
	return out, nil
}

// Similar implements kithv1.RecommenderServiceServer.
func (a *API) Similar(ctx context.Context, req *kithv1.SimilarRequest) (resp *kithv1.SimilarResponse, err error) {
	running := a.queries.Begin(telemetry.Similar)
	defer func() { running.End(ctx, found(req.N, resp, len(resp.GetNeighbors())), err) }()
	n, err := length(req.N)
	if err != nil {
		return nil, err
	}
	ctx, done, err := a.begin(ctx, false)
	if err != nil {
		return nil, err
	}
	defer done()
	rules, err := rulesOf(req)
	if err != nil {
		return nil, err
	}
	var similar *coordinator.Similar
	switch {
	case req.GetItem() != "":
		similar, err = a.router.SimilarItems(ctx, req.GetItem(), n, req.ModelName, rules)
	case req.ModelName != "":
		err = fmt.Errorf("%w: the name of a model, and no item; want an item, or no model", wire.ErrInvalid)
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

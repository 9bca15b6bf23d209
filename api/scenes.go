package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/experiment"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// GetScenes implements kithv1.SceneServiceServer.
func (a *API) GetScenes(ctx context.Context, _ *kithv1.GetScenesRequest) (*kithv1.GetScenesResponse, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.Confirm(ctx); err != nil {
		return nil, err
	}
	set := a.coordinator.State().Scenes
	if set == nil {
		set = &kithv1.SceneSet{}
	}
	return &kithv1.GetScenesResponse{Set: set}, nil
}

// SetScenes implements kithv1.SceneServiceServer.
func (a *API) SetScenes(ctx context.Context, req *kithv1.SetScenesRequest) (*kithv1.SetScenesResponse, error) {
	if req.Set == nil {
		return nil, fmt.Errorf("%w: no set of scenes; to delete all, give one with none", wire.ErrInvalid)
	}
	if err := CheckScenes(req.Set); err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	version, err := a.coordinator.SetScenes(ctx, req.Set)
	if err != nil {
		return nil, err
	}
	a.tellAll(ctx)
	return &kithv1.SetScenesResponse{Version: version}, nil
}

const (
	// tellPatience is how long a change of scenes waits for members that answer and yet do not know it.
	tellPatience = 2 * time.Second
	tellPause    = 10 * time.Millisecond
)

// tellAll returns when all members that answer know what was decided before the call: they would answer by what was before. It gives up after a while.
func (a *API) tellAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	if a.coordinator.Confirm(ctx) != nil {
		return
	}
	known := a.coordinator.View().Applied
	for {
		behind := false
		for _, info := range a.infos(ctx, a.peers.Alive()) {
			behind = behind || info.ControlIndex < known
		}
		if !behind {
			return
		}
		select {
		case <-time.After(tellPause):
		case <-ctx.Done():
			return
		}
	}
}

// ReportExperiment implements kithv1.SceneServiceServer. It has no deadline of its own, as it reads all events.
func (a *API) ReportExperiment(ctx context.Context, req *kithv1.ReportExperimentRequest) (*kithv1.ReportExperimentResponse, error) {
	if err := a.coordinator.Confirm(ctx); err != nil {
		return nil, err
	}
	o, err := wire.CompleteFeatures(&kithv1.FeatureOptions{PriceAttribute: req.PriceAttribute}, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	return a.coordinator.ReportExperiment(ctx, req.Name, o)
}

// ReportScenes implements kithv1.SceneServiceServer. It has no deadline of its own, as it reads all events.
func (a *API) ReportScenes(ctx context.Context, req *kithv1.ReportScenesRequest) (*kithv1.ReportScenesResponse, error) {
	if err := a.coordinator.Confirm(ctx); err != nil {
		return nil, err
	}
	o, err := wire.CompleteFeatures(&kithv1.FeatureOptions{PriceAttribute: req.PriceAttribute}, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	return a.coordinator.ReportScenes(ctx, req, o)
}

// CheckScenes returns nil if all scenes of a set can answer, or a *coordinator.SceneError.
func CheckScenes(set *kithv1.SceneSet) error {
	if err := coordinator.CheckScenes(set); err != nil {
		return err
	}
	for i, s := range set.Scenes {
		q, err := sceneQuery(s, &kithv1.RecommendRequest{})
		if err == nil {
			err = q.CheckSettings()
		}
		if err == nil && s.Blend != nil && q.Method != coordinator.Hybrid {
			err = errors.New("blend is for the model hybrid alone; take it out, or choose that model")
		}
		if err != nil {
			text := strings.TrimPrefix(err.Error(), wire.ErrInvalid.Error()+": ")
			return &coordinator.SceneError{Path: fmt.Sprintf("scenes[%d]", i), Err: errors.New(text)}
		}
	}
	return nil
}

// sceneMethods are the models of scenes.
var sceneMethods = map[kithv1.Model]coordinator.Method{
	kithv1.Model_MODEL_UNSPECIFIED: coordinator.Hybrid,
	kithv1.Model_MODEL_ITEM_KNN:    coordinator.ItemKNN,
	kithv1.Model_MODEL_USER_KNN:    coordinator.UserKNN,
	kithv1.Model_MODEL_HYBRID:      coordinator.Hybrid,
	kithv1.Model_MODEL_POPULARITY:  coordinator.Popularity,
	kithv1.Model_MODEL_NEWEST:      coordinator.Newest,
	kithv1.Model_MODEL_CATEGORIES:  coordinator.Categories,
	kithv1.Model_MODEL_TRENDING:    coordinator.Trending,
	kithv1.Model_MODEL_SIMILAR:     coordinator.Neighbors,
	kithv1.Model_MODEL_TOGETHER:    coordinator.Together,
}

// sceneQuery returns the query of a request that a scene answers.
func sceneQuery(s *kithv1.Scene, req *kithv1.RecommendRequest) (coordinator.Query, error) {
	if req.Model != kithv1.Model_MODEL_UNSPECIFIED || req.ModelName != "" {
		return coordinator.Query{}, fmt.Errorf("%w: a scene and a model; the scene names the model, so leave one of them out", wire.ErrInvalid)
	}
	q, err := queryOf(underScene(s, req))
	if err != nil {
		return q, err
	}
	if q.Method, err = methodOf(s.Model, s.ModelName, sceneMethods); err != nil {
		return q, err
	}
	q.Model = s.ModelName
	switch {
	case s.NoFallback && len(s.Fallback) > 0:
		return q, fmt.Errorf("%w: fallbacks, and no fallback; want one of both", wire.ErrInvalid)
	case s.NoFallback:
		q.Fallback = []coordinator.Method{}
	}
	for _, m := range s.Fallback {
		method, ok := sceneMethods[m]
		if !ok || m == kithv1.Model_MODEL_UNSPECIFIED {
			return q, fmt.Errorf("%w: model %s cannot be a fallback", wire.ErrInvalid, m)
		}
		q.Fallback = append(q.Fallback, method)
	}
	if q.Within, err = duration("window", s.WithinMs); err != nil {
		return q, err
	}
	q.Weights = weightsOf(s.Weights)
	q.Anonymous = true
	q.Share, q.Category, q.Since = s.Blend, s.CategoryAttribute, s.SinceAttribute
	return q, nil
}

// underScene returns a request with what a scene says beside what it says itself, as RecommendRequest.scene describes. It shares messages with both.
func underScene(s *kithv1.Scene, req *kithv1.RecommendRequest) *kithv1.RecommendRequest {
	out := &kithv1.RecommendRequest{
		Subject: req.Subject, Item: req.Item, N: cmp.Or(req.N, s.N), IncludeSeen: req.IncludeSeen || s.IncludeSeen, NoFallback: req.NoFallback,
		Stale: req.Stale, Explain: req.Explain, NowUnixMs: req.NowUnixMs,
		Filter:         bothFilters(s.Filter, req.Filter),
		ExcludeHistory: slices.Concat(s.ExcludeHistory, req.ExcludeHistory), Boosts: slices.Concat(s.Boosts, req.Boosts),
		Freshness: cmp.Or(req.Freshness, s.Freshness), Diversity: cmp.Or(req.Diversity, s.Diversity), Pins: req.Pins,
		Explore: cmp.Or(req.Explore, s.Explore), Session: req.Session,
	}
	for _, p := range s.Pins {
		if !slices.ContainsFunc(req.Pins, func(x *kithv1.Pin) bool { return x.GetItem() == p.GetItem() || x.GetRank() == p.GetRank() }) {
			out.Pins = append(slices.Clone(out.Pins), p)
		}
	}
	return out
}

// bothFilters returns a filter that passes what both pass.
func bothFilters(a, b *kithv1.Filter) *kithv1.Filter {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	out := &kithv1.Filter{
		Conditions: slices.Concat(a.Conditions, b.Conditions), Allow: a.Allow, Deny: slices.Concat(a.Deny, b.Deny),
		OnlyProducts: a.OnlyProducts || b.OnlyProducts,
	}
	if len(a.Allow) == 0 {
		out.Allow = b.Allow
	} else if len(b.Allow) > 0 {
		allowed := map[string]bool{}
		for _, item := range b.Allow {
			allowed[item] = true
		}
		for _, item := range a.Allow {
			if !allowed[item] { // an empty list would allow all
				out.Deny = append(out.Deny, item)
			}
		}
	}
	return out
}

// chosen is the scene that answers a request, and for whom.
type chosen struct {
	coordinator.Scene
	unit string
	now  int64
}

// choose returns the scene that answers a request that names one.
func (a *API) choose(ctx context.Context, req *kithv1.RecommendRequest) (*chosen, error) {
	if len(req.Session) > fusion.MaxKeyBytes {
		return nil, fmt.Errorf("%w: a session of %d bytes; want at most %d", wire.ErrInvalid, len(req.Session), fusion.MaxKeyBytes)
	}
	c := &chosen{unit: cmp.Or(req.GetUser(), req.Session), now: cmp.Or(req.NowUnixMs, time.Now().UnixMilli())}
	var err error
	c.Scene, err = a.coordinator.State().SceneOf(req.Scene, c.unit, c.now)
	if errors.Is(err, wire.ErrUnknownScene) && !req.Stale { // it may be new, and known to others first
		if err := a.coordinator.Confirm(ctx); err != nil {
			return nil, err
		}
		c.Scene, err = a.coordinator.State().SceneOf(req.Scene, c.unit, c.now)
	}
	return c, err
}

// name writes into an answer who gave it, and makes its id if it is for somebody.
func (a *API) name(c *chosen, resp *kithv1.RecommendResponse) {
	resp.Scene, resp.Experiment, resp.Variant = c.Asked, c.Experiment.GetName(), c.Variant
	key := a.coordinator.State().AnswerKey()
	if c.unit == "" || key == nil {
		return
	}
	x := experiment.Answer{
		Unit: experiment.Unit(key, c.unit), Time: c.now, Version: resp.ModelVersion, Scene: c.Asked, Experiment: resp.Experiment, Variant: c.Variant,
	}
	for _, item := range resp.Items {
		x.Items = append(x.Items, experiment.Item(item.Item))
	}
	resp.AnswerId = x.ID(key)
}

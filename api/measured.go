package api

import (
	"cmp"

	"github.com/kith-io/kith/coordinator"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

// asked is the N that a request stands for.
func asked(n uint32) int { return int(cmp.Or(n, coordinator.DefaultN)) }

// recommended says how a query for recommendations was answered; with an error resp is nil.
func recommended(req *kithv1.RecommendRequest, resp *kithv1.RecommendResponse) telemetry.Answer {
	a := telemetry.Answer{
		Asked: asked(req.GetN()), Items: len(resp.GetItems()), Version: resp.GetModelVersion(), Partial: resp.GetPartial(), Stale: resp.GetStale(),
		Fallback: resp.GetFallbackReason() != "",
	}
	if req.GetScene() != "" && req.GetN() == 0 {
		a.Asked = a.Items // the scene says how many
	}
	for _, item := range resp.GetItems() {
		a.Sources[source(item.Source)]++
	}
	return a
}

func source(m kithv1.Model) telemetry.Source {
	switch m {
	case kithv1.Model_MODEL_ITEM_KNN:
		return telemetry.ItemKNN
	case kithv1.Model_MODEL_USER_KNN:
		return telemetry.UserKNN
	case kithv1.Model_MODEL_POPULARITY:
		return telemetry.Popularity
	case kithv1.Model_MODEL_NEWEST:
		return telemetry.Newest
	case kithv1.Model_MODEL_PINNED:
		return telemetry.Pinned
	case kithv1.Model_MODEL_CATEGORIES:
		return telemetry.FromCategories
	case kithv1.Model_MODEL_TRENDING:
		return telemetry.FromTrending
	case kithv1.Model_MODEL_SIMILAR:
		return telemetry.FromSimilar
	case kithv1.Model_MODEL_TOGETHER:
		return telemetry.FromTogether
	case kithv1.Model_MODEL_EXPLORED:
		return telemetry.Explored
	case kithv1.Model_MODEL_TRAINED:
		return telemetry.Trained
	}
	return telemetry.Hybrid
}

// told says how a question to what a model knows beside its scores was answered: with as much as there is.
func told(n int, version uint64, stale bool) telemetry.Answer {
	return telemetry.Answer{Asked: n, Items: n, Version: version, Stale: stale}
}

// marked is an answer that may be less than it could be; it may be nil.
type marked interface {
	GetPartial() bool
	GetStale() bool
}

// found says how a query for n items was answered with some.
func found(n uint32, resp marked, items int) telemetry.Answer {
	return telemetry.Answer{Asked: asked(n), Items: items, Partial: resp.GetPartial(), Stale: resp.GetStale()}
}

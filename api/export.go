package api

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// exportPatience is how long all of an export waits for answers that are not complete.
	exportPatience = 15 * time.Second
	exportPause    = 250 * time.Millisecond
)

// ExportRecommendations implements kithv1.RecommenderServiceServer. As many users are answered at a time as there are processors. Each has the time that a call
// without a deadline has. Those that get none, or a partial answer, are asked for again, for a while.
func (a *API) ExportRecommendations(req *kithv1.ExportRecommendationsRequest, stream grpc.ServerStreamingServer[kithv1.ExportRecommendationsResponse]) error {
	ctx := stream.Context()
	all := req.GetRequest()
	if all == nil {
		all = &kithv1.RecommendRequest{}
	}
	if err := a.know(ctx); err != nil && !all.Stale {
		return err
	}
	if err := a.checkForAll(ctx, all); err != nil {
		return err
	}
	patience := exportPatience
	return a.router.EachUsers(ctx, partition.ID(req.Partition), req.AfterUser, all.Stale, func(users []string) error {
		resp := &kithv1.ExportRecommendationsResponse{Answers: make([]*kithv1.UserRecommendations, len(users))}
		for {
			var g errgroup.Group
			g.SetLimit(runtime.GOMAXPROCS(0))
			for i, user := range users {
				if !incomplete(resp.Answers[i]) {
					continue
				}
				g.Go(func() error {
					ctx, cancel := withDeadline(ctx)
					defer cancel()
					resp.Answers[i], _ = a.recommendTo(ctx, user, all) // the answer has the error
					return nil
				})
			}
			if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
				return err
			}
			if patience <= 0 || !slices.ContainsFunc(resp.Answers, incomplete) {
				return stream.Send(resp)
			}
			select {
			case <-time.After(exportPause):
				patience -= exportPause
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// know returns when this node knows what was decided before the call, such as which model is active.
func (a *API) know(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return a.coordinator.Confirm(ctx)
}

// incomplete says whether a better answer may be had soon: there is none, or it is partial, as it is on a node that fetches the files of a new model.
func incomplete(a *kithv1.UserRecommendations) bool {
	return a == nil || a.Error != nil || a.Response.Partial
}

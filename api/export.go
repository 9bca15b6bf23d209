package api

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

const (
	// maxExports is the number of exports that a server makes at a time; others are told to come back.
	maxExports = 2
	// exportPatience is how long an export waits, in all, for answers that are not complete.
	exportPatience = 15 * time.Second
	exportPause    = 250 * time.Millisecond
)

// ExportRecommendations implements kithv1.RecommenderServiceServer. As many users are answered at a time as there are processors. Each has the time that a call
// without a deadline has. Those that get a partial answer, or none that another try could get, are asked for again, for a while.
func (a *API) ExportRecommendations(req *kithv1.ExportRecommendationsRequest, stream grpc.ServerStreamingServer[kithv1.ExportRecommendationsResponse]) error {
	ctx := stream.Context()
	all := req.GetRequest()
	if all == nil {
		all = &kithv1.RecommendRequest{}
	}
	if all.Explain {
		return fmt.Errorf("%w: an export has no explanations; leave explain out", wire.ErrInvalid)
	}
	select {
	case a.exports <- struct{}{}:
		defer func() { <-a.exports }()
	default:
		return fmt.Errorf("%d exports are under way here: %w", maxExports, &wire.OverloadedError{RetryIn: 5 * time.Second})
	}
	if err := a.know(ctx); err != nil && !all.Stale {
		return err
	}
	if err := a.checkForAll(ctx, all); err != nil {
		return err
	}
	var waited time.Duration
	return a.router.EachUsers(ctx, partition.ID(req.Partition), req.AfterUser, all.Stale, func(users []string) error {
		answers := make([]*kithv1.UserRecommendations, len(users))
		for {
			if err := a.recommendToEach(ctx, users, all, answers); err != nil {
				return err
			}
			if waited >= exportPatience || !slices.ContainsFunc(answers, incomplete) {
				return sendAnswers(stream, answers)
			}
			began := time.Now()
			select {
			case <-time.After(exportPause):
			case <-ctx.Done():
				return ctx.Err()
			}
			waited += time.Since(began)
		}
	})
}

// recommendToEach asks for those users whose answers are not complete.
func (a *API) recommendToEach(ctx context.Context, users []string, all *kithv1.RecommendRequest, answers []*kithv1.UserRecommendations) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, user := range users {
		if !incomplete(answers[i]) {
			continue
		}
		g.Go(func() error {
			ctx, cancel := withDeadline(ctx)
			defer cancel()
			running := a.queries.Begin(telemetry.Export)
			answer, err := a.recommendTo(ctx, user, all)
			running.End(ctx, recommended(all, answer.Response), err)
			answers[i] = answer // it has the error
			return nil
		})
	}
	return errors.Join(g.Wait(), ctx.Err())
}

// sendAnswers sends answers in messages of some size.
func sendAnswers(stream grpc.ServerStreamingServer[kithv1.ExportRecommendationsResponse], answers []*kithv1.UserRecommendations) error {
	for _, some := range wire.Chunks(answers) {
		if err := stream.Send(&kithv1.ExportRecommendationsResponse{Answers: some}); err != nil {
			return err
		}
	}
	return nil
}

// know returns when this node knows what was decided before the call, such as which model is active.
func (a *API) know(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return a.coordinator.Confirm(ctx)
}

// incomplete says whether a better answer may be had soon: there is none yet, or it is partial, as it is on a node that fetches the files of a new model.
func incomplete(a *kithv1.UserRecommendations) bool {
	return a == nil || a.Response.GetPartial() || a.Error.GetRetryable()
}

package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Build implements kithv1.ModelServiceServer.
func (a *API) Build(ctx context.Context, req *kithv1.BuildRequest) (*kithv1.BuildResponse, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	id, err := a.coordinator.Build(ctx, req.GetSpec())
	if err != nil {
		return nil, err
	}
	rec := a.coordinator.State().Job(id)
	if rec == nil {
		return nil, fmt.Errorf("%w: %d", wire.ErrUnknownJob, id)
	}
	return &kithv1.BuildResponse{Job: rec.Job}, nil
}

// maxBy bounds the name of who asks: it is kept in the log.
const maxBy = 100

// Cancel implements kithv1.ModelServiceServer.
func (a *API) Cancel(ctx context.Context, req *kithv1.CancelRequest) (*kithv1.CancelResponse, error) {
	by := req.By
	if len(by) > maxBy || !utf8.ValidString(by) || strings.ContainsFunc(by, unicode.IsControl) {
		return nil, fmt.Errorf("%w: by is %q; want a name of up to %d bytes that can be printed", wire.ErrInvalid, by, maxBy)
	}
	if caller, ok := peer.FromContext(ctx); by == "" && ok {
		by = caller.Addr.String()
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	job, canceled, err := a.coordinator.Cancel(ctx, req.Id, by)
	if err != nil {
		return nil, err
	}
	return &kithv1.CancelResponse{Job: job, Canceled: canceled}, nil
}

// WatchJob implements kithv1.ModelServiceServer. A watcher that is slow misses states between, never the last one.
func (a *API) WatchJob(req *kithv1.WatchJobRequest, stream grpc.ServerStreamingServer[kithv1.WatchJobResponse]) error {
	if err := a.coordinator.CatchUp(stream.Context()); err != nil {
		return err
	}
	var last *kithv1.Job
	for {
		changed := a.coordinator.Changed()
		rec := a.coordinator.State().Job(req.Id)
		if rec == nil {
			return fmt.Errorf("%w: %d", wire.ErrUnknownJob, req.Id)
		}
		if !proto.Equal(last, rec.Job) {
			last = rec.Job
			if err := stream.Send(&kithv1.WatchJobResponse{Job: last}); err != nil {
				return err
			}
		}
		if coordinator.Ended(last) {
			return nil
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// ListModels implements kithv1.ModelServiceServer.
func (a *API) ListModels(ctx context.Context, _ *kithv1.ListModelsRequest) (*kithv1.ListModelsResponse, error) {
	if err := a.coordinator.CatchUp(ctx); err != nil {
		return nil, err
	}
	s := a.coordinator.State()
	resp := &kithv1.ListModelsResponse{}
	for _, v := range slices.Backward(s.Versions) {
		m := proto.Clone(v.Version).(*kithv1.ModelVersion)
		m.Active = m.Version == s.Active
		resp.Versions = append(resp.Versions, m)
	}
	for _, j := range slices.Backward(s.Jobs) {
		resp.Jobs = append(resp.Jobs, j.Job)
	}
	return resp, nil
}

// Activate implements kithv1.ModelServiceServer.
func (a *API) Activate(ctx context.Context, req *kithv1.ActivateRequest) (*kithv1.ActivateResponse, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	previous, err := a.coordinator.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_ActivateVersion{
		ActivateVersion: &kithv1.ActivateVersion{Version: req.Version},
	}})
	if err != nil {
		return nil, err
	}
	return &kithv1.ActivateResponse{Previous: previous}, nil
}

package api

import (
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// usersChunk is the number of users whose features are read at once.
const usersChunk = 256

// GetUserFeatures implements kithv1.CatalogServiceServer.
func (a *API) GetUserFeatures(req *kithv1.GetUserFeaturesRequest, stream grpc.ServerStreamingServer[kithv1.GetUserFeaturesResponse]) error {
	if _, err := keysOf(kithv1.RecordKind_RECORD_KIND_USER, req.Users); err != nil {
		return err
	}
	o, err := wire.CompleteFeatures(req.Options, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	ctx, cancel := withDeadline(stream.Context())
	defer cancel()
	for users := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(req.Users))), usersChunk) {
		rows, err := a.router.UserFeatures(ctx, users, o, req.Stale)
		if err != nil {
			return err
		}
		for _, chunk := range wire.Chunks(rows) {
			if err := stream.Send(&kithv1.GetUserFeaturesResponse{NowUnixMs: o.NowUnixMs, Users: chunk}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ListUserFeatures implements kithv1.CatalogServiceServer. Like Backup it has no deadline of its own.
func (a *API) ListUserFeatures(req *kithv1.ListUserFeaturesRequest, stream grpc.ServerStreamingServer[kithv1.ListUserFeaturesResponse]) error {
	o, err := wire.CompleteFeatures(req.Options, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	return a.coordinator.ListUserFeatures(stream.Context(), o, !req.WithoutRfm, func(users []*kithv1.UserFeatures) error {
		return stream.Send(&kithv1.ListUserFeaturesResponse{NowUnixMs: o.NowUnixMs, Users: users})
	})
}

// GetProductFeatures implements kithv1.CatalogServiceServer. It has no deadline of its own, as it reads all events.
func (a *API) GetProductFeatures(req *kithv1.GetProductFeaturesRequest, stream grpc.ServerStreamingServer[kithv1.GetProductFeaturesResponse]) error {
	if _, err := keysOf(kithv1.RecordKind_RECORD_KIND_PRODUCT, req.Items); err != nil {
		return err
	}
	o, err := wire.CompleteFeatures(req.Options, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	send := func(products []*kithv1.ProductFeatures) error {
		return stream.Send(&kithv1.GetProductFeaturesResponse{NowUnixMs: o.NowUnixMs, Products: products})
	}
	if len(req.Items) == 0 {
		return send(nil)
	}
	return a.coordinator.ListProductFeatures(stream.Context(), o, req.Items, send)
}

// ListProductFeatures implements kithv1.CatalogServiceServer. Like Backup it has no deadline of its own.
func (a *API) ListProductFeatures(req *kithv1.ListProductFeaturesRequest, stream grpc.ServerStreamingServer[kithv1.ListProductFeaturesResponse]) error {
	o, err := wire.CompleteFeatures(req.Options, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	return a.coordinator.ListProductFeatures(stream.Context(), o, nil, func(products []*kithv1.ProductFeatures) error {
		return stream.Send(&kithv1.ListProductFeaturesResponse{NowUnixMs: o.NowUnixMs, Products: products})
	})
}

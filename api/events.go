package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Append implements kithv1.EventsServiceServer.
func (a *API) Append(stream grpc.ClientStreamingServer[kithv1.AppendRequest, kithv1.AppendResponse]) error {
	resp := &kithv1.AppendResponse{}
	var index uint64
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(resp)
		}
		if err != nil {
			return err
		}
		if len(req.Events) > maxBatch {
			return fmt.Errorf("%w: %d events in one message; send at most %d", wire.ErrInvalid, len(req.Events), maxBatch)
		}
		events := a.accept(req.Events, index, resp)
		index += uint64(len(req.Events))
		if len(events) == 0 {
			continue
		}
		counts, err := a.store(stream.Context(), events, int64(proto.Size(req)))
		if err != nil {
			return err
		}
		resp.Appended += counts.Appended
		resp.Duplicates += counts.Duplicates
		resp.Erased += counts.Erased
	}
}

// store stores the events of one message of some bytes, or refuses them at once if too much is under way already.
func (a *API) store(ctx context.Context, events []fusion.Event, bytes int64) (coordinator.AppendCounts, error) {
	free, err := a.inflight.Take(bytes)
	if err != nil {
		return coordinator.AppendCounts{}, err
	}
	defer free()
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	counts, err := a.router.Append(ctx, events)
	a.events.Stored(counts.Appended, counts.Duplicates, counts.Erased)
	return counts, err
}

// accept returns the valid events of a batch, with ids, and counts the others.
func (a *API) accept(batch []*kithv1.Event, first uint64, resp *kithv1.AppendResponse) []fusion.Event {
	events := wire.EventsFromProto(batch)
	kept := events[:0]
	for i := range events {
		if err := complete(&events[i]); err != nil {
			resp.Rejected++
			a.events.Rejected(fusion.Code(err))
			if len(resp.Rejections) < maxRejections {
				resp.Rejections = append(resp.Rejections, &kithv1.RejectedEvent{
					Index: first + uint64(i), Reason: fusion.Code(err), Detail: err.Error(),
				})
			}
			continue
		}
		kept = append(kept, events[i])
	}
	return kept
}

// complete gives a valid event an id if it has none, and returns what is wrong with another.
func complete(e *fusion.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if e.ID == "" {
		e.ID = fusion.ContentID(e)
	}
	return nil
}

// maxJoins bounds the joins of one call.
const maxJoins = 1000

// JoinUsers implements kithv1.EventsServiceServer.
func (a *API) JoinUsers(ctx context.Context, req *kithv1.JoinUsersRequest) (*kithv1.JoinUsersResponse, error) {
	if len(req.Joins) > maxJoins {
		return nil, fmt.Errorf("%w: %d joins; send at most %d", wire.ErrInvalid, len(req.Joins), maxJoins)
	}
	for i, j := range req.Joins {
		if err := cmp.Or(catalog.CheckKey(j.GetFrom()), catalog.CheckKey(j.GetTo())); err != nil {
			return nil, fmt.Errorf("%w: join %d: %w", wire.ErrInvalid, i, err)
		}
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := a.coordinator.RequireJoins(ctx); err != nil {
		return nil, err
	}
	counts, err := a.router.JoinUsers(ctx, req.Joins, req.OnlyStored)
	if err != nil {
		return nil, err
	}
	resp := &kithv1.JoinUsersResponse{Joined: counts.Joined, Events: counts.Events, Known: counts.Known, Absent: counts.Absent}
	for _, x := range counts.Refused {
		resp.Refused = append(resp.Refused, &kithv1.JoinRefusal{Join: &kithv1.UserJoin{From: x.From, To: x.To}, Detail: x.Reason.Error()})
	}
	return resp, nil
}

// List implements kithv1.EventsServiceServer.
func (a *API) List(req *kithv1.ListRequest, stream grpc.ServerStreamingServer[kithv1.ListResponse]) error {
	if req.User == "" {
		return fmt.Errorf("%w: no user", wire.ErrInvalid)
	}
	ctx, cancel := withDeadline(stream.Context())
	defer cancel()
	events, err := a.router.History(ctx, req.User, req.Stale)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(events, listChunk) {
		if err := stream.Send(&kithv1.ListResponse{Events: wire.EventsToProto(chunk)}); err != nil {
			return err
		}
	}
	return nil
}

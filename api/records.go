package api

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// defaultPage and maxPage bound the length of a page of records.
	defaultPage = 100
	maxPage     = 1000
	// keysChunk is the number of keys that are read at once.
	keysChunk = 256
	// recordsChunk is the number of records in a message: one has at most 64 KiB.
	recordsChunk = 64
)

// PutRecords implements kithv1.CatalogServiceServer.
func (a *API) PutRecords(ctx context.Context, req *kithv1.PutRecordsRequest) (*kithv1.PutRecordsResponse, error) {
	kind, err := kindOf(req.Kind, len(req.Records))
	if err != nil {
		return nil, err
	}
	resp := &kithv1.PutRecordsResponse{}
	var records []catalog.Record
	for i, m := range req.Records {
		r, err := wire.RecordFromProto(m)
		if err == nil {
			records = append(records, r)
			continue
		}
		resp.Rejected++
		if len(resp.Rejections) < maxRejections {
			resp.Rejections = append(resp.Rejections, &kithv1.RejectedRecord{Index: uint64(i), Detail: err.Error()})
		}
	}
	if len(records) == 0 {
		return resp, nil
	}
	ctx, done, err := a.admit(ctx, int64(proto.Size(req)))
	if err != nil {
		return nil, err
	}
	defer done()
	counts, err := a.router.PutRecords(ctx, kind, records)
	resp.Changed, resp.Unchanged, resp.Erased = counts.Changed, counts.Unchanged, counts.Erased
	return resp, err
}

// admit counts a call of some bytes as under way until done is called, and gives it a deadline.
func (a *API) admit(ctx context.Context, bytes int64) (_ context.Context, done func(), err error) {
	free, err := a.inflight.Take(bytes)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := withDeadline(ctx)
	return ctx, func() { cancel(); free() }, nil
}

// kindOf checks the kind and the number of records or keys of a request.
func kindOf(kind kithv1.RecordKind, n int) (catalog.Kind, error) {
	if n > maxBatch {
		return 0, fmt.Errorf("%w: %d records in one message; send at most %d", wire.ErrInvalid, n, maxBatch)
	}
	return wire.KindFromProto(kind)
}

// keysOf does the same for a request of keys, and checks each.
func keysOf(kind kithv1.RecordKind, keys []string) (catalog.Kind, error) {
	for _, key := range keys {
		if err := catalog.CheckKey(key); err != nil {
			return 0, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
		}
	}
	return kindOf(kind, len(keys))
}

// GetRecords implements kithv1.CatalogServiceServer.
func (a *API) GetRecords(req *kithv1.GetRecordsRequest, stream grpc.ServerStreamingServer[kithv1.GetRecordsResponse]) error {
	kind, err := keysOf(req.Kind, req.Keys)
	if err != nil {
		return err
	}
	ctx, cancel := withDeadline(stream.Context())
	defer cancel()
	for keys := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(req.Keys))), keysChunk) {
		records, err := a.router.Records(ctx, kind, keys, req.Stale)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(living(records), recordsChunk) {
			if err := stream.Send(&kithv1.GetRecordsResponse{Records: chunk}); err != nil {
				return err
			}
		}
	}
	return nil
}

// living returns the records that are not deleted.
func living(records []*kithv1.Record) []*kithv1.Record {
	return slices.DeleteFunc(records, func(r *kithv1.Record) bool { return r.Deleted })
}

// GetRecord implements kithv1.CatalogServiceServer.
func (a *API) GetRecord(ctx context.Context, req *kithv1.GetRecordRequest) (*kithv1.GetRecordResponse, error) {
	kind, err := keysOf(req.Kind, []string{req.Key})
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	records, err := a.router.Records(ctx, kind, []string{req.Key}, req.Stale)
	if err != nil {
		return nil, err
	}
	if records = living(records); len(records) == 0 {
		return nil, fmt.Errorf("%w %q", wire.ErrUnknownRecord, req.Key)
	}
	return &kithv1.GetRecordResponse{Record: records[0]}, nil
}

// PutRecord implements kithv1.CatalogServiceServer.
func (a *API) PutRecord(ctx context.Context, req *kithv1.PutRecordRequest) (*kithv1.PutRecordResponse, error) {
	if _, err := wire.RecordFromProto(req.Record); err != nil {
		return nil, err
	}
	put, err := a.PutRecords(ctx, &kithv1.PutRecordsRequest{Kind: req.Kind, Records: []*kithv1.Record{req.Record}})
	if err != nil {
		return nil, err
	}
	return &kithv1.PutRecordResponse{Changed: put.Changed > 0, Erased: put.Erased > 0}, nil
}

// DeleteRecord implements kithv1.CatalogServiceServer.
func (a *API) DeleteRecord(ctx context.Context, req *kithv1.DeleteRecordRequest) (*kithv1.DeleteRecordResponse, error) {
	gone, err := a.DeleteRecords(ctx, &kithv1.DeleteRecordsRequest{Kind: req.Kind, Keys: []string{req.Key}, Version: req.Version})
	if err != nil {
		return nil, err
	}
	return &kithv1.DeleteRecordResponse{Deleted: gone.Deleted > 0}, nil
}

// ListRecords implements kithv1.CatalogServiceServer.
func (a *API) ListRecords(ctx context.Context, req *kithv1.ListRecordsRequest) (*kithv1.ListRecordsResponse, error) {
	kind, err := kindOf(req.Kind, 0)
	if err != nil {
		return nil, err
	}
	n := int(req.N)
	if n == 0 {
		n = defaultPage
	}
	if n > maxPage {
		return nil, fmt.Errorf("%w: a page of %d records; ask for at most %d", wire.ErrInvalid, n, maxPage)
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	partitions, err := a.router.Partitions()
	if err != nil {
		return nil, err
	}
	records, more, err := a.router.ListRecords(ctx, partition.ID(req.Partition), kind, req.AfterKey, n, req.Stale)
	if err != nil {
		return nil, err
	}
	resp := &kithv1.ListRecordsResponse{Partitions: uint32(partitions)}
	if more {
		resp.AfterKey = records[len(records)-1].Key
	}
	resp.Records = living(records)
	return resp, nil
}

// DeleteRecords implements kithv1.CatalogServiceServer.
func (a *API) DeleteRecords(ctx context.Context, req *kithv1.DeleteRecordsRequest) (*kithv1.DeleteRecordsResponse, error) {
	kind, err := keysOf(req.Kind, req.Keys)
	if err != nil {
		return nil, err
	}
	version := int64(-1)
	if req.Version != nil {
		if version = req.GetVersion(); version < 0 {
			return nil, fmt.Errorf("%w: version %d; want at least 0", wire.ErrInvalid, version)
		}
	}
	ctx, done, err := a.admit(ctx, int64(proto.Size(req)))
	if err != nil {
		return nil, err
	}
	defer done()
	counts, err := a.router.DeleteRecords(ctx, kind, slices.Compact(slices.Sorted(slices.Values(req.Keys))), version)
	if err != nil {
		return nil, err
	}
	return deleted(counts), nil
}

func deleted(c coordinator.RecordCounts) *kithv1.DeleteRecordsResponse {
	return &kithv1.DeleteRecordsResponse{Deleted: c.Changed, Unchanged: c.Unchanged + c.Erased}
}

// EraseUser implements kithv1.ErasureServiceServer.
func (a *API) EraseUser(ctx context.Context, req *kithv1.EraseUserRequest) (*kithv1.EraseUserResponse, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return a.coordinator.EraseUser(ctx, req)
}

// PublicKey implements kithv1.ErasureServiceServer.
func (a *API) PublicKey(ctx context.Context, _ *kithv1.PublicKeyRequest) (*kithv1.PublicKeyResponse, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	key, err := a.coordinator.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	return &kithv1.PublicKeyResponse{PublicKey: key}, nil
}

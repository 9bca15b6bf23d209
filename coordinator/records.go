package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// RecordCounts is what became of records.
type RecordCounts struct{ Changed, Unchanged, Erased uint64 }

// PutRecords stores records that pass Check where they are newer than what there is. It returns when all are durable on a majority of
// their partitions' replicas. An error leaves open which of them are; to put them again is safe.
func (r *Router) PutRecords(ctx context.Context, kind catalog.Kind, records []catalog.Record) (counts RecordCounts, err error) {
	partitions, err := r.partitions()
	if err != nil {
		return counts, err
	}
	groups := make([][]catalog.Record, partitions)
	for i := range records {
		p := partition.Of(records[i].Key, partitions)
		groups[p] = append(groups[p], records[i])
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentCalls)
	for p, group := range groups {
		if len(group) == 0 {
			continue
		}
		g.Go(func() error {
			for _, batch := range recordBatches(group) {
				req := &kithv1.ApplyRecordsRequest{Partition: uint32(p), Kind: wire.KindToProto(kind), Records: wire.RecordsToProto(batch)}
				err := r.onPartition(ctx, partition.ID(p), false, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
					req.Epoch = epoch
					resp, err := c.ApplyRecords(ctx, req)
					if err != nil {
						return err
					}
					mu.Lock()
					defer mu.Unlock()
					counts.Changed += resp.Changed
					counts.Unchanged += resp.Unchanged
					counts.Erased += resp.Erased
					if kind == catalog.Product {
						r.products.expect(partition.ID(p), resp.Index)
					}
					return nil
				})
				if err != nil {
					return fmt.Errorf("put %d records: %w", len(batch), err)
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return counts, err
}

// recordBatches cuts records into batches within the bounds of a log entry.
func recordBatches(records []catalog.Record) (out [][]catalog.Record) {
	from, size := 0, 0
	var scratch []byte
	for i := range records {
		scratch = records[i].Append(scratch[:0])
		if i > from && (size+len(scratch) > batchBytes || i-from >= batchEvents) {
			out = append(out, records[from:i])
			from, size = i, 0
		}
		size += len(scratch)
	}
	return append(out, records[from:])
}

// readChunk bounds the records that are asked for at once of one partition.
const readChunk = 1000

// Records returns the records of some keys, those deleted included, ascending by key: with stale as some replica has them, otherwise
// all that was acknowledged before the call. Memory: the records.
func (r *Router) Records(ctx context.Context, kind catalog.Kind, keys []string, stale bool) ([]*kithv1.Record, error) {
	return gather(ctx, r, keys, readChunk, (*kithv1.Record).GetKey, func(ctx context.Context, p partition.ID, chunk []string) ([]*kithv1.Record, error) {
		some, err := r.readRecords(ctx, p, &kithv1.ReadRecordsRequest{Kind: wire.KindToProto(kind), Keys: chunk, Stale: stale})
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		return some, nil
	})
}

// gather reads rows of some keys from their partitions, size keys at a time, and returns them ascending by the key that a row has.
func gather[R any](ctx context.Context, r *Router, keys []string, size int, key func(R) string,
	read func(ctx context.Context, p partition.ID, keys []string) ([]R, error),
) ([]R, error) {
	partitions, err := r.partitions()
	if err != nil {
		return nil, err
	}
	groups := make([][]string, partitions)
	for _, key := range keys {
		p := partition.Of(key, partitions)
		groups[p] = append(groups[p], key)
	}
	found := make([][]R, partitions)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentCalls)
	for p, group := range groups {
		slices.Sort(group)
		group = slices.Compact(group)
		if len(group) == 0 {
			continue
		}
		g.Go(func() error {
			for chunk := range slices.Chunk(group, size) {
				some, err := read(ctx, partition.ID(p), chunk)
				if err != nil {
					return err
				}
				found[p] = append(found[p], some...)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b R) int { return cmp.Compare(key(a), key(b)) })
	return all, nil
}

func (r *Router) readRecords(ctx context.Context, p partition.ID, req *kithv1.ReadRecordsRequest) (records []*kithv1.Record, err error) {
	req.Partition = uint32(p)
	err = r.onPartition(ctx, p, req.Stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
		req.Epoch, records = epoch, nil // of a try that broke off
		stream, err := c.ReadRecords(ctx, req)
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.ReadRecordsResponse) error {
			records = append(records, m.Records...)
			return nil
		})
	})
	return records, err
}

// ListRecords returns the next records of a partition behind a key, those deleted included, and whether there are more.
func (r *Router) ListRecords(ctx context.Context, p partition.ID, kind catalog.Kind, after string, n int, stale bool) (records []*kithv1.Record, more bool, err error) {
	partitions, err := r.partitions()
	if err != nil {
		return nil, false, err
	}
	if int64(p) >= int64(partitions) {
		return nil, false, fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, partitions)
	}
	err = r.onPartition(ctx, p, stale, func(ctx context.Context, c kithv1.PartitionServiceClient, epoch uint64) error {
		resp, err := c.ScanRecords(ctx, &kithv1.ScanRecordsRequest{
			Partition: uint32(p), Epoch: epoch, Kind: wire.KindToProto(kind), AfterKey: after, N: uint32(n), Stale: stale,
		})
		records, more = resp.GetRecords(), resp.GetMore()
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list records: %w", err)
	}
	return records, more, nil
}

// DeleteRecords deletes what there is at some keys. A version below 0 stands for that of what there is: a newer one that comes
// meanwhile stays.
func (r *Router) DeleteRecords(ctx context.Context, kind catalog.Kind, keys []string, version int64) (RecordCounts, error) {
	var gone []catalog.Record
	if version >= 0 {
		for _, key := range keys {
			gone = append(gone, catalog.Record{Key: key, Version: version, Deleted: true})
		}
		return r.PutRecords(ctx, kind, gone)
	}
	there, err := r.Records(ctx, kind, keys, false)
	if err != nil {
		return RecordCounts{}, err
	}
	for _, x := range there {
		if !x.Deleted {
			gone = append(gone, catalog.Record{Key: x.Key, Version: x.Version, Deleted: true})
		}
	}
	counts := RecordCounts{}
	if len(gone) > 0 {
		counts, err = r.PutRecords(ctx, kind, gone)
	}
	counts.Unchanged += uint64(len(keys) - len(gone))
	return counts, err
}

// Partitions returns the number of partitions, or an error matching wire.ErrNotReady.
func (r *Router) Partitions() (int, error) { return r.partitions() }

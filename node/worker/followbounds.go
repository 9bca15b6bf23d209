package worker

import (
	"fmt"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// boundsChunk is the number of bounds in a message.
const boundsChunk = 1 << 16

// ListBounds implements kithv1.ComputeServiceServer.
func (w *Worker) ListBounds(req *kithv1.ListBoundsRequest, stream grpc.ServerStreamingServer[kithv1.PartitionBounds]) error {
	ctx, j, leave, err := w.enter(stream.Context(), req.Job, false)
	if err != nil {
		return err
	}
	defer leave()
	f, err := w.followed(j)
	if err != nil {
		return err
	}
	for _, p := range req.Partitions {
		rest, err := w.restOf(f, p)
		if err != nil {
			return cause(ctx, fmt.Errorf("partition %d: %w", p, err))
		}
		bounds := make([]float32, 0, boundsChunk)
		for at := range len(rest.Items()) {
			_, bound := rest.At(at)
			if bounds = append(bounds, bound); len(bounds) == boundsChunk || at == len(rest.Items())-1 {
				if err := stream.Send(&kithv1.PartitionBounds{Partition: p, Bounds: bounds}); err != nil {
					return err
				}
				bounds = make([]float32, 0, boundsChunk)
			}
		}
	}
	return nil
}

// TellBounds implements kithv1.ComputeServiceServer.
func (w *Worker) TellBounds(stream grpc.ClientStreamingServer[kithv1.TellBoundsRequest, kithv1.TellBoundsResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	ctx, j, leave, err := w.enter(stream.Context(), first.Job, false)
	if err != nil {
		return err
	}
	defer leave()
	f, err := w.followed(j)
	if err != nil {
		return err
	}
	parts := make([][]float32, len(f.head.FirstUser)-1)
	take := func(m *kithv1.TellBoundsRequest) error {
		p := m.GetBounds().GetPartition()
		if int64(p) >= int64(len(parts)) {
			return fmt.Errorf("%w: bounds of partition %d of %d", wire.ErrInvalid, p, len(parts))
		}
		parts[p] = append(parts[p], m.GetBounds().GetBounds()...)
		return nil
	}
	if err := take(first); err != nil {
		return err
	}
	if err := wire.Receive(stream, take); err != nil {
		return cause(ctx, err)
	}
	if err := f.knowBounds(parts); err != nil {
		return err
	}
	return stream.SendAndClose(&kithv1.TellBoundsResponse{})
}

// knowBounds takes the bounds of the lists of each partition.
func (f *following) knowBounds(parts [][]float32) error {
	bounds := make([]float32, f.dictionary.Len())
	for i := range bounds {
		part := &parts[f.owner[i]]
		if len(*part) == 0 {
			return fmt.Errorf("partition %d has more items than bounds: %w", f.owner[i], wire.ErrBuildLost)
		}
		bounds[i], *part = (*part)[0], (*part)[1:]
	}
	for p, part := range parts {
		if len(part) > 0 {
			return fmt.Errorf("partition %d has fewer items than bounds, by %d: %w", p, len(part), wire.ErrBuildLost)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.looked && f.bounded: // told before: the same bounds
		return nil
	case f.looked:
		return fmt.Errorf("lists were looked over before their bounds were told: %w", wire.ErrBuildLost)
	}
	f.bounded = true
	return f.step.KnowBounds(bounds)
}

// look notes that the lists are looked over, so that no bounds may come any more.
func (f *following) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = true
}

package worker

import (
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// boundsChunk is the number of bounds in a message.
const boundsChunk = 1 << 16

// ListBounds implements kithv1.ComputeServiceServer.
func (w *Worker) ListBounds(req *kithv1.ListBoundsRequest, stream grpc.ServerStreamingServer[kithv1.ListBoundsResponse]) error {
	ctx, j, f, leave, err := w.enterFollowing(stream.Context(), req.Job)
	if err != nil {
		return err
	}
	defer leave()
	bounds := make([][]float32, len(req.Partitions))
	err = w.eachPartition(ctx, j, req.Partitions, func(k int, p uint32) error {
		rest, err := w.restOf(f, p)
		if err != nil {
			return err
		}
		of := make([]float32, len(rest.Items()))
		for at := range of {
			_, of[at] = rest.At(at)
		}
		bounds[k] = of
		return nil
	})
	if err != nil {
		return cause(ctx, err)
	}
	for k, p := range req.Partitions {
		for chunk := range slices.Chunk(bounds[k], boundsChunk) {
			if err := stream.Send(&kithv1.ListBoundsResponse{Bounds: &kithv1.PartitionBounds{Partition: p, Bounds: chunk}}); err != nil {
				return err
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
	ctx, j, f, leave, err := w.enterFollowing(stream.Context(), first.Job)
	if err != nil {
		return err
	}
	defer leave()
	parts, room := make([][]float32, len(f.head.FirstUser)-1), f.dictionary.Len()
	take := func(m *kithv1.TellBoundsRequest) error {
		p := m.GetBounds().GetPartition()
		if int64(p) >= int64(len(parts)) {
			return fmt.Errorf("%w: bounds of partition %d of %d", wire.ErrInvalid, p, len(parts))
		}
		if room -= len(m.GetBounds().GetBounds()); room < 0 {
			return fmt.Errorf("%w: more bounds than the %d items of version %d", wire.ErrInvalid, f.dictionary.Len(), f.number)
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
	cpu, err := w.compute(ctx, func() error { return f.knowBounds(parts) })
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err != nil {
		return cause(ctx, err)
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
	case f.bounded: // told before: the same bounds
		return nil
	case f.looked:
		return fmt.Errorf("lists were looked over before their bounds were told: %w", wire.ErrBuildLost)
	}
	if err := f.step.KnowBounds(bounds); err != nil {
		return err
	}
	f.bounded = true
	return nil
}

// look notes that the lists are looked over, so that no bounds may come any more. It refuses to where this node was told of bounds and the others were not, as in an attempt of another coordinator before.
func (f *following) look(bounds bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bounded != bounds {
		return fmt.Errorf("bounds of lists are known here: %v, of all who look over lists: %v: %w", f.bounded, bounds, wire.ErrBuildLost)
	}
	f.looked, f.formed, f.sums = true, false, nil
	return nil
}

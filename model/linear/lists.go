package linear

import (
	"context"
	"fmt"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// blocksPerWorker is how many blocks a worker's items are cut into, for its threads to take one after the other.
const blocksPerWorker = 16

// ends returns the end of each block, those of all workers: blocksPerWorker for each.
func (s *Shard) ends() (ends []uint32) {
	for worker := range s.Data.Shape.Workers() {
		first, end := s.Plan.Own(worker)
		for b := range blocksPerWorker {
			ends = append(ends, uint32(first+(end-first)*(b+1)/blocksPerWorker))
		}
	}
	return ends
}

func partName(block int) string { return fmt.Sprintf("part %d", block) }

// PutParts puts the rows of this worker, as a measure weighs them, by blocks of items, for Lists. All items must be kept.
func (s *Shard) PutParts(peers train.Peers, weighed *similarity.Rows) error {
	for b, part := range similarity.Parts(weighed, uint32(s.Data.Shape.FirstUser[s.Data.Worker]), s.ends()) {
		if err := peers.Put(partName(b), part); err != nil {
			return err
		}
	}
	return nil
}

// DropParts forgets what this worker has put for Lists.
func (s *Shard) DropParts(peers train.Peers) {
	for b := range s.ends() {
		peers.Drop(partName(b))
	}
}

// Lists returns the neighbor lists of the items that this worker owns, of the parts that all have put: those of similarity.Build. Cost: the sum over users of row · the items of it that are owned;
// memory: that of a similarity.Side of all entries, which the workers of a process share.
func (s *Shard) Lists(ctx context.Context, peers train.Peers, o similarity.Options) (*similarity.Lists, error) {
	shape := &s.Data.Shape
	ends, users := s.ends(), uint32(shape.Users)
	parts := func(block int) (of [][]byte, err error) {
		for worker := range shape.Workers() {
			b, err := peers.Get(ctx, worker, partName(block))
			if err != nil {
				return nil, err
			}
			of = append(of, b)
		}
		return of, nil
	}
	made, err := peers.Share(ctx, "side", func() (any, error) { return similarity.ReadSide(0, ends, users, parts, o) })
	if err != nil {
		return nil, err
	}
	side := made.(*similarity.Side)
	first := s.Data.Worker * blocksPerWorker
	lists := make([]*similarity.Lists, blocksPerWorker)
	scratch := make([]similarity.Scratch, max(1, s.Threads))
	err = ForEach(ctx, s.Threads, blocksPerWorker, func(thread, b int) error {
		of, err := parts(first + b)
		if err != nil {
			return err
		}
		lo, hi := uint32(0), ends[first+b]
		if first+b > 0 {
			lo = ends[first+b-1]
		}
		lead, err := similarity.NewBlock(lo, hi, users, of)
		if err != nil {
			return err
		}
		best := similarity.NewCollector(lo, hi, max(1, min(o.K, shape.Items-1)))
		if _, err := similarity.Run(ctx, lead, side, best, o, &scratch[thread]); err != nil {
			return err
		}
		lists[b] = best.Lists()
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &similarity.Lists{Lo: lists[0].Lo, Start: []int64{0}}
	for _, l := range lists {
		at := int64(len(out.Entries))
		for _, end := range l.Start[1:] {
			out.Start = append(out.Start, at+end)
		}
		out.Entries = append(out.Entries, l.Entries...)
	}
	return out, nil
}

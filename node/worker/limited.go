package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// On a node with a memory limit a job holds one shard at a time, or as many as fit a part of the limit, one side, and of each
// thread a block and its lists. Parts and partial lists are in files.

// shardShare is the part of the memory limit, one in so many, that shards may take together.
const shardShare = 4

// Sized is a Source that knows the size of its shards. Without it a shard is taken to need all memory that there is for
// shards.
type Sized interface {
	// ShardBytes returns about how much memory Shard takes for a partition at its peak, the result included.
	ShardBytes(p partition.ID) int64
}

// admit waits until there is memory for the shard of a partition. The caller must call release, which frees it.
func (w *Worker) admit(ctx context.Context, p uint32) (release func(), err error) {
	if w.shards == nil {
		return func() {}, nil
	}
	most := w.cfg.MemoryLimit / shardShare
	n := most
	if s, ok := w.source.(Sized); ok {
		n = min(most, s.ShardBytes(partition.ID(p)))
	}
	if err := w.shards.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { w.shards.Release(n) }, nil
}

// partialFile is lists of a block in a file: for each partition the encoded lists of all items of the block, empty but for
// those of the partition.
type partialFile struct {
	*spoolFile
	// taken says that a task goes on from these lists, and will replace them.
	taken bool
}

// runLimited is the part of a task of a node with a memory limit that follows its claim.
func (w *Worker) runLimited(ctx context.Context, j *job, p *plan, at partition.Task, sources []*kithv1.PartSource) (updates uint64, err error) {
	side, err := p.tasks.turn.acquire(ctx, at.Side, func() (*similarity.Side, error) { return w.readSide(ctx, j, p, at.Side, sources) })
	if err != nil {
		return 0, err
	}
	defer p.tasks.turn.release()
	scratch, release, err := w.slot(ctx, j)
	if err != nil {
		return 0, err
	}
	defer release()
	parts, err := w.fetchParts(ctx, j, []uint32{uint32(at.Block)}, sources)
	if err != nil {
		return 0, err
	}
	var st similarity.Stats
	cpu, err := w.compute(ctx, func() error {
		r := p.blocks[at.Block]
		lead, err := similarity.NewBlock(r.Lo, r.Hi, p.head.Users, parts[0])
		if err != nil {
			return err
		}
		parts = nil
		return p.goOn(at.Block, j.spool, func(c *similarity.Collector) (err error) {
			// The task goes on when the call breaks off, as without a limit.
			st, err = similarity.Run(j.ctx, lead, side, c, p.options, scratch)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, Tasks: 1, PairUpdates: uint64(st.PairUpdates)})
	return uint64(st.PairUpdates), nil
}

// readSide makes a side from the parts of one block after the other.
func (w *Worker) readSide(ctx context.Context, j *job, p *plan, n int, sources []*kithv1.PartSource) (s *similarity.Side, err error) {
	lo, hi := p.sides[n].Lo, p.sides[n].Hi
	var ends []uint32
	for _, r := range p.blocks[lo:hi] {
		ends = append(ends, r.Hi)
	}
	cpu, err := w.apart(func() error {
		s, err = similarity.ReadSide(p.blocks[lo].Lo, ends, p.head.Users, func(b int) ([][]byte, error) {
			parts, err := w.fetchParts(ctx, j, []uint32{lo + uint32(b)}, sources)
			if err != nil {
				return nil, err
			}
			return parts[0], nil
		}, p.options)
		return err
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	return s, err
}

// goOn runs a task with a Collector of what was spilled of a block's lists, and spills what it holds then. If it fails, all is
// as before.
func (p *plan) goOn(block int, files *spool, run func(*similarity.Collector) error) (err error) {
	s := &p.tasks.blocks[block]
	old := s.claim()
	defer func() {
		if err != nil && old != nil {
			s.mu.Lock()
			old.taken = false
			s.mu.Unlock()
		}
	}()
	var c *similarity.Collector
	if old == nil {
		c = p.newCollector(block)
	} else {
		sections, err := old.read(0, old.sections())
		if err != nil {
			return err
		}
		lists, err := joinLists(p.keep(), sections)
		if err != nil {
			return err
		}
		c = similarity.CollectorOf(lists, p.keep())
	}
	if err := run(c); err != nil {
		return err
	}
	file, err := p.spill(files, p.blocks[block], c.Lists())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, f := range s.files {
		if f == old {
			s.files[n] = &partialFile{spoolFile: file}
			_ = old.remove() // the folder goes with the job; to run the task again would list its pairs twice
			return nil
		}
	}
	s.files = append(s.files, &partialFile{spoolFile: file})
	return nil
}

// claim returns spilled lists that no task goes on from, or nil.
func (s *blockState) claim() *partialFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if !f.taken {
			f.taken = true
			return f
		}
	}
	return nil
}

// spill writes the lists of a block to a file.
func (p *plan) spill(files *spool, r partition.Range, lists *similarity.Lists) (*spoolFile, error) {
	var buf []byte
	return files.write(func(add func([]byte) error) error {
		for id := range p.head.Partitions {
			buf = similarity.AppendLists(buf[:0], p.listsOf(id, r, lists))
			if err := add(buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// listsOf returns the lists of a block with those of items of other partitions empty.
func (p *plan) listsOf(id uint32, r partition.Range, lists *similarity.Lists) *similarity.Lists {
	out := &similarity.Lists{Lo: r.Lo, Start: make([]int64, 1, r.Len()+1)}
	for item := r.Lo; item < r.Hi; item++ {
		if uint32(p.owner[item]) == id {
			out.Entries = append(out.Entries, lists.List(item)...)
		}
		out.Start = append(out.Start, int64(len(out.Entries)))
	}
	return out
}

// spilledOf returns the spilled lists of a block for the items of a partition, nil if there are none.
func (s *blockState) spilledOf(k int, id uint32) (*similarity.Lists, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sections [][]byte
	for _, f := range s.files {
		section, err := f.read(int(id), int(id)+1)
		if err != nil {
			return nil, err
		}
		sections = append(sections, section...)
	}
	if len(sections) == 0 {
		return nil, nil
	}
	return joinLists(k, sections)
}

// joinLists decodes lists and merges them.
func joinLists(k int, sections [][]byte) (*similarity.Lists, error) {
	var lists []*similarity.Lists
	for _, b := range sections {
		l, err := similarity.DecodeLists(b)
		if err != nil {
			return nil, fmt.Errorf("spilled lists: %w", err)
		}
		lists = append(lists, l)
	}
	if len(lists) == 1 {
		return lists[0], nil
	}
	return similarity.Merge(k, lists...)
}

// spillParts moves the parts of a shard to a file.
func (s *shardState) spillParts(files *spool) error {
	file, err := files.write(func(add func([]byte) error) error {
		var errs []error
		for n, part := range s.parts {
			errs = append(errs, add(part))
			s.parts[n] = nil
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return err
	}
	s.parts, s.partFile = nil, file
	return nil
}

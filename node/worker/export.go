package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

const (
	// countChunk is the number of items in a message: keys have at most 256 bytes.
	countChunk = 2000
	// partChunk is the number of bytes in a message.
	partChunk = 512 << 10
)

// shardState is one partition of a job.
type shardState struct {
	// lock has room for one: who puts something in may make the shard or export it. A channel, so that waiting for it can end
	// with a context.
	lock chan struct{}
	// rows are dropped when they are exported, and with a memory limit after each use.
	rows *Shard
	// counts are kept to answer again; nil before the first count, with a memory limit after each, and with Recount from the export on.
	counts *shardCounts
	// parts of all blocks, nil before the export; with a memory limit they are in partFile.
	parts    [][]byte
	partFile *spoolFile
	exported *kithv1.ExportResponse
}

// shard returns the state of a partition, locked; the caller must call unlock.
func (j *job) shard(ctx context.Context, p uint32) (s *shardState, unlock func(), err error) {
	j.mu.Lock()
	s = j.shards[p]
	if s == nil {
		s = &shardState{lock: make(chan struct{}, 1)}
		j.shards[p] = s
	}
	j.mu.Unlock()
	select {
	case s.lock <- struct{}{}:
		return s, func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// shardCounts is what a count tells of a shard.
type shardCounts struct {
	users, interactions int
	items               []string
	// Of each item: its users, the updates that it leads, the sum of its weights where the measure needs it, and that of their squares
	// where the build can be followed.
	counts  []uint32
	updates []uint64
	sums    []similarity.Sum
	squares []float64
}

// load fetches the rows of a partition, if they are not here.
func (s *shardState) load(ctx context.Context, w *Worker, req *kithv1.CountRequest) error {
	if s.rows != nil {
		return nil
	}
	rows, err := w.shard(ctx, req)
	if err != nil {
		return err
	}
	if uint64(len(rows.Users)) > math.MaxUint32 {
		return fmt.Errorf("%w: partition %d has %d users", wire.ErrInvalid, req.Partition, len(rows.Users))
	}
	s.rows = rows
	return nil
}

// count loads the rows and counts them, and what is needed to follow the build.
func (s *shardState) count(ctx context.Context, w *Worker, req *kithv1.CountRequest) error {
	if err := s.load(ctx, w, req); err != nil {
		return err
	}
	options, weights, err := wire.ParseSpec(req.Spec)
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	rows := &similarity.Rows{NumItems: len(s.rows.Items), Start: s.rows.Start, Item: s.rows.Item, Weight: s.rows.Weight}
	c := &shardCounts{users: len(s.rows.Users), interactions: len(rows.Item), items: s.rows.Items}
	c.counts, c.updates = rows.Counts()
	if options.Measure.NeedsSums() {
		c.sums = similarity.SumsOf(rows)
	}
	if w.cfg.Follow && followable(req.Spec, &options, &weights) {
		weigher, err := similarity.NewWeigher(options.Measure, rows.NumItems, nil)
		if err != nil {
			return err
		}
		c.squares = weigher.Rows(rows).WholeSquares()
	}
	s.counts = c
	return nil
}

// send sends the counts of the items that have users, as columns or as items.
func (c *shardCounts) send(columns bool, send func(*kithv1.CountResponse) error) error {
	m := &kithv1.CountResponse{Users: uint32(c.users), Interactions: uint64(c.interactions)}
	var ids []uint32
	for id, n := range c.counts {
		if n > 0 {
			ids = append(ids, uint32(id))
		}
	}
	for {
		some := ids[:min(countChunk, len(ids))]
		if ids = ids[len(some):]; columns {
			m.Columns = c.columns(some)
		} else {
			m.Items = c.itemCounts(some)
		}
		if err := send(m); err != nil || len(ids) == 0 {
			return err
		}
		m = &kithv1.CountResponse{}
	}
}

func (c *shardCounts) columns(ids []uint32) *kithv1.ItemColumns {
	out := &kithv1.ItemColumns{}
	var keys strings.Builder
	for _, id := range ids {
		keys.WriteString(c.items[id])
		out.Lengths = append(out.Lengths, uint32(len(c.items[id])))
		out.Counts, out.Updates = append(out.Counts, uint64(c.counts[id])), append(out.Updates, c.updates[id])
		if c.sums != nil {
			out.WeightsHigh, out.WeightsLow = append(out.WeightsHigh, c.sums[id].High), append(out.WeightsLow, c.sums[id].Low)
		}
		if c.squares != nil {
			out.Squares = append(out.Squares, c.squares[id])
		}
	}
	out.Keys = keys.String()
	return out
}

func (c *shardCounts) itemCounts(ids []uint32) []*kithv1.ItemCount {
	out := make([]*kithv1.ItemCount, len(ids))
	for k, id := range ids {
		out[k] = &kithv1.ItemCount{Item: c.items[id], Count: uint64(c.counts[id]), Updates: c.updates[id]}
		if c.sums != nil {
			out[k].WeightHigh, out[k].WeightLow = c.sums[id].High, c.sums[id].Low
		}
		if c.squares != nil {
			out[k].Squares = c.squares[id]
		}
	}
	return out
}

// Count implements kithv1.ComputeServiceServer.
func (w *Worker) Count(req *kithv1.CountRequest, stream grpc.ServerStreamingServer[kithv1.CountResponse]) error {
	ctx, j, leave, err := w.enter(stream.Context(), req.Job, true)
	if err != nil {
		return err
	}
	defer leave()
	release, err := w.admit(ctx, req.Partition)
	if err != nil {
		return err
	}
	defer release()
	s, unlock, err := j.shard(ctx, req.Partition)
	if err != nil {
		return err
	}
	if s.counts == nil {
		var cpu float64
		cpu, err = w.compute(ctx, func() error { return s.count(ctx, w, req) })
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	}
	counts := s.counts
	if j.spool != nil || w.cfg.Recount && s.exported != nil {
		s.rows, s.counts = nil, nil
	}
	unlock()
	if err != nil {
		return cause(ctx, err)
	}
	return counts.send(req.Columns, stream.Send)
}

// plan is the dictionary of a job and what follows from it.
type plan struct {
	head    *kithv1.DictionaryHead
	options similarity.Options
	// follow says that what is needed to follow the build is kept.
	follow     bool
	weigher    *similarity.Weigher
	checksum   uint64
	file       artifact.Info
	dictionary *artifact.Dictionary
	blocks     []partition.Range
	// sides are runs of blocks.
	sides []partition.Range
	// owner is the partition of each item.
	owner []uint16
	tasks *tasks
}

// PutDictionary implements kithv1.ComputeServiceServer. The same dictionary twice changes nothing; another one, which no
// coordinator should send for the same job, is refused.
func (w *Worker) PutDictionary(stream grpc.ClientStreamingServer[kithv1.PutDictionaryRequest, kithv1.PutDictionaryResponse]) error {
	if err := w.cfg.Room(); err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head := first.GetHead()
	if head == nil {
		return fmt.Errorf("%w: dictionary without head", wire.ErrInvalid)
	}
	ctx, j, leave, err := w.enter(stream.Context(), head.Job, true)
	if err != nil {
		return err
	}
	defer leave()
	var keys []string
	var counts []uint64
	var sums []similarity.Sum
	var squares []float64
	for m := first; ; {
		for _, item := range m.Items {
			keys = append(keys, item.GetItem())
			counts = append(counts, item.GetCount())
			sums = append(sums, similarity.Sum{High: item.GetWeightHigh(), Low: item.GetWeightLow()})
			squares = append(squares, item.GetSquares())
		}
		if m, err = stream.Recv(); errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return cause(ctx, err)
		}
	}
	p, err := newPlan(head, keys, counts, sums, w.cfg.Follow)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.plan == nil:
		if err := p.writeNorms(w.artifacts, squares); err != nil {
			return err
		}
		if err := p.open(w.artifacts, keys, counts); err != nil {
			return err
		}
		if err := w.Background(func() error { w.written(head.Job, artifact.DictionaryName); return nil }); err != nil {
			return errors.Join(err, p.dictionary.Close())
		}
		j.plan = p
	case j.plan.checksum != p.checksum:
		return fmt.Errorf("%w: job %d has another dictionary on node %s", wire.ErrInvalid, j.id, w.cfg.NodeID)
	case errors.Is(j.plan.tasks.check(nil), wire.ErrBuildLost): // begin them anew
		p.dictionary, p.file = j.plan.dictionary, j.plan.file
		j.plan = p
	}
	return stream.SendAndClose(&kithv1.PutDictionaryResponse{Checksum: p.checksum, Dictionary: fileToProto(j.plan.file), Threads: uint32(w.cfg.Threads)})
}

// newPlan checks a dictionary. With follow what is needed to follow the build is kept, if it can be followed.
func newPlan(head *kithv1.DictionaryHead, keys []string, counts []uint64, sums []similarity.Sum, follow bool) (*plan, error) {
	if int(head.Items) != len(keys) || head.Partitions == 0 || head.Partitions > 1<<16 || len(head.FirstUser) != int(head.Partitions)+1 {
		return nil, fmt.Errorf("%w: dictionary of %d items (%d sent), %d partitions, %d user ranges",
			wire.ErrInvalid, head.Items, len(keys), head.Partitions, len(head.FirstUser))
	}
	p := &plan{head: head, owner: make([]uint16, len(keys))}
	var err error
	var weights fusion.Weights
	if p.options, weights, err = wire.ParseSpec(head.Spec); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	p.follow = follow && followable(head.Spec, &p.options, &weights)
	if p.weigher, err = similarity.NewWeigher(p.options.Measure, len(keys), sums); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if !slices.IsSorted(head.FirstUser) || head.FirstUser[head.Partitions] != head.Users {
		return nil, fmt.Errorf("%w: first users %v of %d", wire.ErrInvalid, head.FirstUser, head.Users)
	}
	lo := uint32(0)
	for _, end := range head.BlockEnds {
		if end <= lo || end-lo > similarity.MaxBlockItems {
			return nil, fmt.Errorf("%w: block [%d,%d)", wire.ErrInvalid, lo, end)
		}
		p.blocks = append(p.blocks, partition.Range{Lo: lo, Hi: end})
		lo = end
	}
	if lo != head.Items {
		return nil, fmt.Errorf("%w: blocks end at item %d of %d", wire.ErrInvalid, lo, head.Items)
	}
	if err := p.cutSides(head.SideEnds); err != nil {
		return nil, err
	}
	hash := xxhash.New()
	var number [8]byte
	add := func(x uint64) {
		binary.LittleEndian.PutUint64(number[:], x)
		_, _ = hash.Write(number[:]) // never fails
	}
	for _, x := range slices.Concat(head.BlockEnds, head.SideEnds, head.FirstUser) {
		add(uint64(x))
	}
	for i, key := range keys {
		add(counts[i])
		add(sums[i].High)
		add(sums[i].Low)
		add(uint64(len(key)))
		_, _ = hash.WriteString(key)
		p.owner[i] = uint16(partition.Of(key, int(head.Partitions)))
	}
	p.checksum = hash.Sum64()
	if p.options.Measure.WholeRows() && len(p.sides) > 1 {
		return nil, fmt.Errorf("%w: %s needs whole rows of users, and %d items with %d interactions are too many for that",
			wire.ErrInvalid, p.options.Measure, head.Items, head.Interactions)
	}
	p.tasks = newTasks(len(p.blocks), len(p.sides))
	return p, nil
}

// cutSides makes the sides that end at the given blocks; without ends all blocks are one.
func (p *plan) cutSides(ends []uint32) error {
	if len(ends) == 0 {
		ends = []uint32{uint32(len(p.blocks))}
	}
	lo := uint32(0)
	for _, hi := range ends {
		if hi <= lo || int(hi) > len(p.blocks) || p.blocks[hi-1].Hi-p.blocks[lo].Lo > similarity.MaxBlockItems {
			return fmt.Errorf("%w: side of blocks [%d,%d) of %d", wire.ErrInvalid, lo, hi, len(p.blocks))
		}
		p.sides = append(p.sides, partition.Range{Lo: lo, Hi: hi})
		lo = hi
	}
	if int(lo) != len(p.blocks) {
		return fmt.Errorf("%w: sides end at block %d of %d", wire.ErrInvalid, lo, len(p.blocks))
	}
	return nil
}

// checkPartition refuses a partition that there is not.
func (p *plan) checkPartition(id uint32) error {
	if id >= p.head.Partitions {
		return fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, id, p.head.Partitions)
	}
	return nil
}

// newCollector returns an empty Collector of the items of a block.
func (p *plan) newCollector(block int) *similarity.Collector {
	return similarity.NewCollector(p.blocks[block].Lo, p.blocks[block].Hi, p.keep())
}

// open writes the dictionary file and maps it.
func (p *plan) open(artifacts *artifact.Store, keys []string, counts []uint64) error {
	var err error
	if p.file, err = artifacts.WriteDictionary(p.head.Job, keys, counts); err != nil {
		if errors.Is(err, similarity.ErrShape) {
			err = fmt.Errorf("%w: %w", wire.ErrInvalid, err)
		}
		return err
	}
	p.dictionary, err = artifacts.OpenDictionary(p.head.Job)
	return err
}

// Export implements kithv1.ComputeServiceServer.
func (w *Worker) Export(ctx context.Context, req *kithv1.ExportRequest) (*kithv1.ExportResponse, error) {
	if err := w.cfg.Room(); err != nil {
		return nil, err
	}
	shard := req.GetShard()
	if shard == nil {
		return nil, fmt.Errorf("%w: no shard", wire.ErrInvalid)
	}
	ctx, j, leave, err := w.enter(ctx, shard.Job, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return nil, err
	}
	if err := p.checkPartition(shard.Partition); err != nil {
		return nil, err
	}
	release, err := w.admit(ctx, shard.Partition)
	if err != nil {
		return nil, err
	}
	defer release()
	s, unlock, err := j.shard(ctx, shard.Partition)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.exported != nil && (s.exported.Rows != nil || !req.WriteRows) {
		return s.exported, nil
	}
	cpu, err := w.compute(ctx, func() error {
		if err := s.load(ctx, w, shard); err != nil {
			return err
		}
		return w.export(ctx, p, s, req)
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err == nil && j.spool != nil {
		if err = s.spillParts(j.spool); err != nil {
			s.parts, s.partFile, s.exported = nil, nil, nil // some may be lost; the next call makes all anew
		}
	}
	if err != nil {
		return nil, cause(ctx, err)
	}
	return s.exported, nil
}

// export cuts the rows of a shard into parts.
func (w *Worker) export(ctx context.Context, p *plan, s *shardState, req *kithv1.ExportRequest) error {
	id := req.Shard.Partition
	rows, err := p.dense(s.rows)
	if err != nil {
		return fmt.Errorf("partition %d: %w", id, err)
	}
	first := p.head.FirstUser[id]
	if got, want := uint32(rows.NumUsers()), p.head.FirstUser[id+1]-first; got != want {
		return fmt.Errorf("partition %d has %d users, %d were counted: %w", id, got, want, wire.ErrBuildLost)
	}
	resp := &kithv1.ExportResponse{}
	if len(p.sides) > 1 {
		resp.TaskUpdates = p.taskUpdates(rows)
	}
	columns := rows.Columns()
	if byRow := p.weigher.ByRow(); req.WriteRows || byRow {
		rows = columns.Columns() // the items of each ascend
		if req.WriteRows {
			file, err := w.artifacts.WriteRows(req.Shard.Job, id, first, s.rows.Users, rows)
			if err != nil {
				return err
			}
			resp.Rows = fileToProto(file)
			w.written(req.Shard.Job, file.Name)
		}
		if byRow {
			columns = p.weigher.Rows(rows).Columns()
		}
	}
	if !p.weigher.ByRow() {
		columns = p.weigher.Rows(columns)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.parts, s.rows, s.exported = similarity.ColumnParts(columns, first, p.head.BlockEnds), nil, resp
	if w.cfg.Recount {
		s.counts = nil
	}
	return nil
}

// taskUpdates counts the updates of all tasks for the users of rows: the entries of the side that each entry of the block
// is multiplied with.
func (p *plan) taskUpdates(rows *similarity.Rows) []uint64 {
	blockOf, sideOf := make([]uint32, rows.NumItems), make([]uint32, len(p.blocks))
	for b, r := range p.blocks {
		for i := r.Lo; i < r.Hi; i++ {
			blockOf[i] = uint32(b)
		}
	}
	for s, r := range p.sides {
		for b := r.Lo; b < r.Hi; b++ {
			sideOf[b] = uint32(s)
		}
	}
	updates := make([]uint64, len(p.blocks)*len(p.sides))
	perSide := make([]uint64, len(p.sides)) // entries of a row
	for u := range rows.NumUsers() {
		row := rows.Item[rows.Start[u]:rows.Start[u+1]]
		clear(perSide)
		for _, i := range row {
			perSide[sideOf[blockOf[i]]]++
		}
		for _, i := range row {
			for s, n := range perSide {
				updates[s*len(p.blocks)+int(blockOf[i])] += n
			}
		}
	}
	return updates
}

// dense returns the rows with dense ids, in any order within each row.
func (p *plan) dense(s *Shard) (*similarity.Rows, error) {
	used := make([]bool, len(s.Items))
	for _, i := range s.Item {
		used[i] = true
	}
	ids := p.dictionary.IDs(s.Items)
	for i, id := range ids {
		if used[i] && id == artifact.NoID {
			return nil, fmt.Errorf("item %q is not in the dictionary: %w", s.Items[i], wire.ErrBuildLost)
		}
	}
	rows := &similarity.Rows{NumItems: p.dictionary.Len(), Start: s.Start, Item: make([]uint32, len(s.Item)), Weight: s.Weight}
	for k, i := range s.Item {
		rows.Item[k] = ids[i]
	}
	return rows, nil
}

// part returns a block part that was exported here.
func (j *job) part(ctx context.Context, partition, block uint32) ([]byte, error) {
	s, unlock, err := j.shard(ctx, partition)
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch {
	case s.exported != nil && int(block) < len(s.parts):
		return s.parts[block], nil
	case s.exported != nil && s.partFile != nil && int(block) < s.partFile.sections():
		parts, err := s.partFile.read(int(block), int(block)+1)
		if err != nil {
			return nil, err
		}
		return parts[0], nil
	}
	return nil, fmt.Errorf("partition %d was not exported here: %w", partition, wire.ErrBuildLost)
}

// FetchPart implements kithv1.ComputeServiceServer.
func (w *Worker) FetchPart(req *kithv1.FetchPartRequest, stream grpc.ServerStreamingServer[kithv1.FetchPartResponse]) error {
	ctx, j, leave, err := w.enter(stream.Context(), req.Job, false)
	if err != nil {
		return err
	}
	defer leave()
	partitions, blocks := req.Partitions, req.Blocks
	if len(partitions) == 0 {
		partitions, blocks = []uint32{req.Partition}, []uint32{req.Block}
	}
	for _, p := range partitions {
		for _, b := range blocks {
			part, err := j.part(ctx, p, b)
			if err != nil {
				return err
			}
			j.spend(&kithv1.NodeUsage{BytesOut: uint64(len(part))})
			for chunk := range slices.Chunk(part, partChunk) {
				if err := stream.Send(&kithv1.FetchPartResponse{Data: chunk, Partition: p, Block: b}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// Base is a version that a build follows, open on this node.
type Base interface {
	Dictionary() (*artifact.Dictionary, error)
	// Lists returns the lists of the items of a partition.
	Lists(p uint32) (*artifact.Lists, error)
	Release()
}

// ChangedSource is a Source that can tell what has changed lately.
type ChangedSource interface {
	// Changed returns the users of partition p, ascending, whose rows as of cut may be others than those as of the index after. known is false if it cannot tell who has changed.
	Changed(ctx context.Context, p partition.ID, after, cut uint64) (users []fusion.UserChange, known bool, err error)
	// RowsOf returns what Shard has of some users, ascending and each once; those who have no row have an empty one. ok is false if Shard would cost less.
	RowsOf(ctx context.Context, p partition.ID, cut uint64, users []string, w fusion.Weights, nowMs int64) (shard *Shard, ok bool, err error)
}

// errFull says why a build cannot follow a version.
var errFull = fmt.Errorf("%w; all pairs must be counted", similarity.ErrNotFollowed)

// following is what this node has of a build that follows a version. Each step leaves what the next ones need; who lacks it must build in full.
type following struct {
	base       Base
	number     uint64
	dictionary *artifact.Dictionary // of base

	mu sync.Mutex
	// told are the partitions of users whose changes were told here.
	told map[uint32]*changedShard
	// step is nil before all changes came, and what follows belongs to it.
	step *similarity.Step
	head *kithv1.FollowHead
	// firstChange is the place in the changes of the first of each partition.
	firstChange []int
	// owner is the partition of each item as it was numbered.
	owner []uint16
	rows  map[uint32]*similarity.Rows
	lists map[uint32]*similarity.Follower
	rest  map[uint32]*artifact.Rest // of base
	// bounded says that the bounds of all lists are known, and looked that lists have been looked over.
	bounded, looked bool
	// formed says that the lists of all partitions were looked over here alone, and the sums that they want formed: these.
	formed bool
	sums   []similarity.PairSums
	// opened are closed with the job.
	opened []io.Closer
	file   artifact.Info
}

// changedShard is one partition of users.
type changedShard struct {
	base *artifact.Rows
	// users have changed, ascending, and their rows as they were are at these places, -1 for none.
	users []string
	at    []int
	// kept are the changes if nobody else needs them, until the step is made of them.
	kept *changes
}

// close gives back the files.
func (f *following) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, c := range f.told {
		errs = append(errs, c.base.Close())
	}
	for _, file := range f.opened {
		errs = append(errs, file.Close())
	}
	f.base.Release()
	return errors.Join(errs...)
}

// follow returns what the job has of a build that follows a version; begin makes it if need be.
func (w *Worker) follow(j *job, base uint64, begin bool) (*following, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.following != nil && (base == 0 || base == j.following.number):
		return j.following, nil
	case j.following != nil || !begin:
		return nil, fmt.Errorf("job %d does not follow version %d here: %w", j.id, base, wire.ErrBuildLost)
	case w.cfg.Base == nil:
		return nil, fmt.Errorf("version %d %w", base, errFull)
	}
	b, err := w.cfg.Base(base)
	if err != nil {
		return nil, err
	}
	f := &following{base: b, number: base, told: map[uint32]*changedShard{}, rows: map[uint32]*similarity.Rows{}, lists: map[uint32]*similarity.Follower{}, rest: map[uint32]*artifact.Rest{}}
	if f.dictionary, err = b.Dictionary(); err != nil {
		b.Release()
		return nil, err
	}
	j.following = f
	return f, nil
}

// followed returns what the job has once all changes came.
func (w *Worker) followed(j *job) (*following, error) {
	f, err := w.follow(j, 0, false)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.step == nil {
		return nil, fmt.Errorf("job %d has no changes here: %w", j.id, wire.ErrBuildLost)
	}
	return f, nil
}

// enterFollowing is enter for a call of a job that has all changes; leave is to be called if there is no error.
func (w *Worker) enterFollowing(ctx context.Context, id uint64) (_ context.Context, j *job, f *following, leave func(), err error) {
	ctx, j, leave, err = w.enter(ctx, id, false)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if f, err = w.followed(j); err != nil {
		leave()
		return nil, nil, nil, nil, err
	}
	return ctx, j, f, leave, nil
}

// changeChunk is the number of entries of rows in a message.
const changeChunk = 20000

// Changes implements kithv1.ComputeServiceServer.
func (w *Worker) Changes(req *kithv1.ChangesRequest, stream grpc.ServerStreamingServer[kithv1.ChangesResponse]) error {
	options, weights, err := wire.ParseSpec(req.Spec)
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	source, ok := w.source.(ChangedSource)
	if !ok || !followable(req.Spec, &options, &weights) {
		return fmt.Errorf("version %d %w", req.Base, errFull)
	}
	ctx, j, leave, err := w.enter(stream.Context(), req.Job, true)
	if err != nil {
		return err
	}
	defer leave()
	if _, err := os.Stat(w.artifacts.Path(req.Base, artifact.NormsName)); err != nil {
		return fmt.Errorf("node %s was away when version %d was made, which %w", w.cfg.NodeID, req.Base, errFull) // another replica may follow
	}
	f, err := w.follow(j, req.Base, true)
	if err != nil {
		return err
	}
	var head *kithv1.ChangesResponse
	cpu, err := w.compute(ctx, func() (err error) {
		head, err = w.changes(ctx, f, source, weights, req)
		if err == nil {
			f.keepChanges(req.Partition, head, req.Alone)
		}
		return err
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err != nil {
		return cause(ctx, err)
	}
	m, rows, entries := head, head.Rows, 0
	head.Rows = nil
	for _, row := range rows {
		m.Rows = append(m.Rows, row)
		if entries += len(row.OldItems) + len(row.NewItems); entries >= changeChunk {
			if err := stream.Send(m); err != nil {
				return err
			}
			m, entries = &kithv1.ChangesResponse{}, 0
		}
	}
	return stream.Send(m)
}

// changes finds out what has changed in a partition.
func (w *Worker) changes(ctx context.Context, f *following, source ChangedSource, weights fusion.Weights, req *kithv1.ChangesRequest) (*kithv1.ChangesResponse, error) {
	base, err := w.artifacts.OpenRows(req.Base, req.Partition)
	if err != nil {
		return nil, err
	}
	changed, err := changedSince(ctx, source, base, f.dictionary, change{partition.ID(req.Partition), req.BaseCut, req.Cut, weights, 0})
	if err != nil {
		_ = base.Close() // only read
		if errors.Is(err, errUnknown) {
			err = fmt.Errorf("partition %d, since index %d: %w, so version %d %w", req.Partition, req.BaseCut, err, req.Base, errFull)
		}
		return nil, err
	}
	m := base.Matrix()
	c := &changedShard{base: base, users: make([]string, 0, len(changed.rows)), at: make([]int, 0, len(changed.rows))}
	out := &kithv1.ChangesResponse{Users: uint32(base.NumUsers()), Interactions: uint64(len(m.Item)), Added: changed.added}
	rows := make([]kithv1.ChangedRow, 0, len(changed.rows))
	// The file may be closed before it is sent.
	entries := 0
	for _, r := range changed.rows {
		if r.at >= 0 {
			entries += int(m.Start[r.at+1] - m.Start[r.at])
		}
	}
	oldItems, oldWeights := make([]uint32, 0, entries), make([]float32, 0, entries)
	for _, r := range changed.rows {
		from := len(oldItems)
		if r.at >= 0 {
			lo, hi := m.Start[r.at], m.Start[r.at+1]
			oldItems, oldWeights = append(oldItems, m.Item[lo:hi]...), appendWeights(oldWeights, m.Weight, lo, hi)
		}
		rows = append(rows, kithv1.ChangedRow{
			OldItems: oldItems[from:len(oldItems):len(oldItems)], OldWeights: oldWeights[from:len(oldItems):len(oldItems)],
			NewItems: changed.item[r.from:r.to:r.to], NewWeights: changed.weight[r.from:r.to:r.to],
		})
		row := &rows[len(rows)-1]
		if slices.Equal(row.OldItems, row.NewItems) && slices.Equal(row.OldWeights, row.NewWeights) {
			rows, oldItems, oldWeights = rows[:len(rows)-1], oldItems[:from], oldWeights[:from]
			continue
		}
		c.users, c.at = append(c.users, r.user), append(c.at, r.at)
		out.Rows = append(out.Rows, row)
		out.Interactions += uint64(len(row.NewItems)) - uint64(len(row.OldItems))
		if r.at < 0 {
			out.Users++
		}
		if len(row.NewItems) == 0 {
			out.Users--
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.told[req.Partition]; old != nil {
		_ = base.Close() // only read
		if !slices.Equal(old.users, c.users) {
			return nil, fmt.Errorf("partition %d changed between two calls: %w", req.Partition, wire.ErrBuildLost)
		}
		return out, nil
	}
	f.told[req.Partition] = c
	return out, nil
}

// keepChanges keeps the changes of a partition that are told of in m, and takes them out of it, if this node is alone; else it keeps none.
func (f *following) keepChanges(p uint32, m *kithv1.ChangesResponse, alone bool) {
	var kept *changes
	if alone {
		for _, row := range m.Rows {
			m.Pairs += wire.ChangedPairs(row)
		}
		kept = &changes{m.Added, m.Rows}
		m.Kept, m.Added, m.Rows = true, nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.step != nil { // it was made of the same
		kept = nil
	}
	f.told[p].kept = kept
}

// keptChanges hands out the changes of so many partitions. They are not kept any longer.
func (f *following) keptChanges(partitions int) ([]changes, error) {
	parts := make([]changes, partitions)
	for p := range parts {
		c := f.told[uint32(p)]
		if c == nil || c.kept == nil {
			return nil, fmt.Errorf("partition %d: its changes are not kept here: %w", p, wire.ErrBuildLost)
		}
		parts[p] = *c.kept
	}
	for _, c := range f.told {
		c.kept = nil
	}
	return parts, nil
}

// sortRow brings the entries of a row by ascending item. No weights stand for ones.
func sortRow(items []uint32, weights []float32) {
	if !slices.IsSorted(items) { // as most are
		sort.Sort(&rowOrder{items, weights})
	}
}

type rowOrder struct {
	items   []uint32
	weights []float32
}

func (r *rowOrder) Len() int           { return len(r.items) }
func (r *rowOrder) Less(i, j int) bool { return r.items[i] < r.items[j] }
func (r *rowOrder) Swap(i, j int) {
	r.items[i], r.items[j] = r.items[j], r.items[i]
	if len(r.weights) > 0 {
		r.weights[i], r.weights[j] = r.weights[j], r.weights[i]
	}
}

// Follow implements kithv1.ComputeServiceServer.
func (w *Worker) Follow(stream grpc.ClientStreamingServer[kithv1.FollowRequest, kithv1.FollowResponse]) error {
	if err := w.cfg.Room(); err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head := first.GetHead()
	if head == nil || len(head.FirstUser) < 2 {
		return fmt.Errorf("%w: changes without head", wire.ErrInvalid)
	}
	options, _, err := wire.ParseSpec(head.Spec)
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	ctx, j, leave, err := w.enter(stream.Context(), head.Job, true)
	if err != nil {
		return err
	}
	defer leave()
	f, err := w.follow(j, head.Base, true)
	if err != nil {
		return err
	}
	parts := make([]changes, len(head.FirstUser)-1)
	for m := first; ; {
		if int(m.Partition) >= len(parts) {
			return fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, m.Partition, len(parts))
		}
		part := &parts[m.Partition]
		if head.Kept && len(m.Added)+len(m.Rows) > 0 {
			return fmt.Errorf("%w: %d changes of partition %d beside those that are kept", wire.ErrInvalid, len(m.Rows), m.Partition)
		}
		part.added, part.rows = append(part.added, m.Added...), append(part.rows, m.Rows...)
		if m, err = stream.Recv(); errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return cause(ctx, err)
		}
	}
	cpu, err := w.compute(ctx, func() error { return w.takeChanges(f, head, options, parts) })
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err != nil {
		return err
	}
	resp := &kithv1.FollowResponse{Dictionary: fileToProto(f.file), Items: uint32(f.step.Len()), Columns: true}
	for p := range uint32(len(parts)) {
		if _, err := os.Stat(w.artifacts.Path(f.number, artifact.RestName(p))); err == nil {
			resp.Partitions = append(resp.Partitions, p)
		}
	}
	return stream.SendAndClose(resp)
}

// changes are those of a partition.
type changes struct {
	added []string
	rows  []*kithv1.ChangedRow
}

// takeChanges makes the step, and writes the dictionary and the norms.
func (w *Worker) takeChanges(f *following, head *kithv1.FollowHead, options similarity.Options, parts []changes) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.step != nil {
		return nil // told before: the same changes
	}
	if head.Kept {
		var err error
		if parts, err = f.keptChanges(len(parts)); err != nil {
			return err
		}
	}
	norms, err := artifact.OpenNorms(w.artifacts.Path(f.number, artifact.NormsName))
	if err != nil {
		return err
	}
	defer func() { _ = norms.Close() }() // only read
	if len(norms.Squares()) != f.dictionary.Len() {
		return fmt.Errorf("%w: norms of %d items for a dictionary of %d", wire.ErrInvalid, len(norms.Squares()), f.dictionary.Len())
	}
	added, rows, firstChange, err := f.join(parts)
	if err != nil {
		return err
	}
	users := make([]uint32, f.dictionary.Len())
	for i := range users {
		users[i] = uint32(f.dictionary.Count(uint32(i)))
	}
	was := f.dictionary.AllKeys()
	key := func(i uint32) string {
		if int(i) < len(was) {
			return was[i]
		}
		return added[int(i)-len(was)]
	}
	step, err := similarity.NewStep(options, users, norms.Squares(), len(added), key, rows)
	if err != nil {
		return err
	}
	if step.Len() == 0 {
		return fmt.Errorf("version %d %w: no item is left", f.number, errFull)
	}
	keys, counts, squares := make([]string, step.Len()), make([]uint64, step.Len()), make([]float64, step.Len())
	owner := make([]uint16, len(users)+len(added))
	for i := range owner {
		owner[i] = uint16(partition.Of(key(uint32(i)), len(parts)))
	}
	for id := range keys {
		item, n, s := step.Was(uint32(id))
		keys[id], counts[id], squares[id] = key(item), uint64(n), s
	}
	if f.file, err = w.artifacts.WriteDictionary(head.Job, keys, counts); err != nil {
		return err
	}
	w.written(head.Job, artifact.DictionaryName)
	if _, err := w.artifacts.WriteNorms(head.Job, squares); err != nil {
		return err
	}
	f.step, f.head, f.firstChange, f.owner = step, head, firstChange, owner
	return nil
}

// join makes one numbering of what the partitions have added, and puts their changes behind each other.
func (f *following) join(parts []changes) (added []string, rows []similarity.RowChange, first []int, err error) {
	for _, p := range parts {
		added = append(added, p.added...)
	}
	slices.Sort(added)
	added = slices.Compact(added)
	base := uint32(f.dictionary.Len())
	for _, p := range parts {
		first = append(first, len(rows))
		for _, r := range p.rows {
			if len(r.NewWeights) != 0 && len(r.NewWeights) != len(r.NewItems) {
				return nil, nil, nil, fmt.Errorf("%w: row of %d items with %d weights", wire.ErrInvalid, len(r.NewItems), len(r.NewWeights))
			}
			for k, i := range r.NewItems {
				if at := i - base; i >= base && int(at) < len(p.added) { // else the step refuses it
					place, _ := slices.BinarySearch(added, p.added[at])
					r.NewItems[k] = base + uint32(place)
				}
			}
			sortRow(r.NewItems, r.NewWeights)
			rows = append(rows, similarity.RowChange{
				Old: similarity.Row{Item: r.OldItems, Weight: r.OldWeights}, New: similarity.Row{Item: r.NewItems, Weight: r.NewWeights},
			})
		}
	}
	return added, rows, append(first, len(rows)), nil
}

// eachPartition runs f for partitions, the kth of which is p, side by side, as far as threads allow.
func (w *Worker) eachPartition(ctx context.Context, j *job, partitions []uint32, f func(k int, p uint32) error) error {
	return w.sideBySide(ctx, j, len(partitions), func(k int) error {
		if err := f(k, partitions[k]); err != nil {
			return fmt.Errorf("partition %d: %w", partitions[k], err)
		}
		return nil
	})
}

// sideBySide runs f for 0 to n-1 side by side, as far as threads allow.
func (w *Worker) sideBySide(ctx context.Context, j *job, n int, f func(k int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.cfg.Threads)
	for k := range n {
		g.Go(func() error {
			cpu, err := w.compute(ctx, func() error { return f(k) })
			j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
			return err
		})
	}
	return g.Wait()
}

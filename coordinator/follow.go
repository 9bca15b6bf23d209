package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// followMost bounds the pairs that change for a build to follow, in large shops: each node keeps the rows of them all, and all sums that are wanted. In others they may be as many as there are interactions: at that it takes a
// third of a build of all events, two thirds of one that counts all pairs of known rows.
const followMost = 15 << 20

// errMuch means that a full build is cheaper.
var errMuch = errors.New("too much has changed")

// followed makes the files of the build of those of the version before (ADR 0032), and publishes them. It reports whether it did: if not, all events must be read. The result is the same, so nothing of it is recorded.
func (a *attempt) followed(ctx context.Context) (bool, error) {
	base := a.base()
	if base == nil {
		return false, nil
	}
	quiet := &Builder{a.cfg} // what is far for one who follows is not for who reads all
	quiet.cfg.Progress = func(kithv1.JobPhase, int, int) {}
	f := &attempt{Builder: quiet, job: a.job, spec: a.spec, cut: a.cut, now: a.now, replicas: a.replicas, usage: map[string]*kithv1.NodeUsage{}, follows: base.Version.Version}
	err := f.follow(ctx, base)
	switch {
	case err == nil:
		return true, f.publish(ctx)
	case ctx.Err() != nil || errors.Is(err, wire.ErrNotLeader) || errors.Is(err, wire.ErrErased):
		return false, err
	}
	a.dropJob(ctx, a.job) // nothing but what it was to follow by
	a.cfg.Logger.Info("build counts all pairs", "job", a.job, "version", base.Version.Version, "why", err)
	return false, nil
}

// base returns the version that the build may follow, nil for none: the active one, if it was built by the same spec up to a cut that is known. A build that has read all events, or has tried to
// follow before, follows none.
func (a *attempt) base() *kithv1.VersionRecord {
	s := a.cfg.Log.State()
	v := s.Version(s.Active)
	if a.again || stage(s.Job(a.job).GetJob().GetPhase()) > stage(kithv1.JobPhase_JOB_PHASE_COUNT) || !a.cfg.Rows || v == nil || len(a.spec.Models) > 0 || !proto.Equal(v.Version.Spec, a.spec) || len(s.Job(s.Active).GetCut()) != len(a.cut) {
		return nil
	}
	return v
}

// baseOfRows returns the version that has rows of the same interactions but for what has come since, and its cut; 0 for none. It is the active one, whatever its measure and models, as rows depend on how events
// weigh alone.
func (a *attempt) baseOfRows() (version uint64, cut []uint64) {
	s := a.cfg.Log.State()
	v, cut := s.Version(s.Active), s.Job(s.Active).GetCut()
	if a.again || !a.cfg.Rows || v == nil || len(cut) != len(a.cut) {
		return 0, nil
	}
	_, was, err1 := wire.ParseSpec(v.Version.Spec)
	_, now, err2 := wire.ParseSpec(a.spec)
	if err1 != nil || err2 != nil || !was.SameRows(&now) {
		return 0, nil
	}
	return s.Active, cut
}

// follow makes the files. It records no phases, as those do not go back should it fail.
func (a *attempt) follow(ctx context.Context, base *kithv1.VersionRecord) error {
	changes, err := a.changes(ctx, base.Version)
	if err != nil {
		return err
	}
	if err := a.tellChanges(ctx, changes); err != nil {
		return err
	}
	a.rows = make([]*kithv1.Artifact, len(a.holder))
	err = a.forPartitions(ctx, kithv1.JobPhase_JOB_PHASE_EXPORT, func(ctx context.Context, p int) error {
		return a.call(ctx, a.holder[p], func(ctx context.Context, c kithv1.ComputeServiceClient) error {
			resp, err := c.FollowRows(ctx, &kithv1.FollowRowsRequest{Job: a.job, Partition: uint32(p)})
			a.rows[p] = resp.GetRows()
			a.note(resp.GetUsage())
			return err
		})
	})
	if err != nil {
		return err
	}
	sums, formed, err := a.sums(ctx)
	if err != nil {
		return err
	}
	if err := a.followLists(ctx, sums, formed); err != nil {
		return err
	}
	return a.forPartitions(ctx, kithv1.JobPhase_JOB_PHASE_PUBLISH, a.copies)
}

// changes asks one replica of each partition for what has changed. A node that has all partitions and is the only one keeps it, and tells how much it is.
func (a *attempt) changes(ctx context.Context, base *kithv1.ModelVersion) ([][]*kithv1.ChangesResponse, error) {
	n, alone := len(a.replicas), onlyNode(a.cfg.Nodes.Alive(), a.replicas)
	a.holder = make([]string, n)
	out := make([][]*kithv1.ChangesResponse, n)
	baseCut := a.cfg.Log.State().Job(base.Version).GetCut()
	if len(baseCut) != n {
		return nil, fmt.Errorf("the cut of version %d is not known any more", base.Version)
	}
	var pairs atomic.Uint64
	err := a.forPartitions(ctx, kithv1.JobPhase_JOB_PHASE_COUNT, func(ctx context.Context, p int) error {
		var err error
		for _, node := range a.replicas[p] {
			var chunks []*kithv1.ChangesResponse
			err = a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				stream, err := c.Changes(ctx, &kithv1.ChangesRequest{Job: a.job, Partition: uint32(p), Base: base.Version, BaseCut: baseCut[p], Cut: a.cut[p], Spec: a.spec, Alone: alone})
				if err != nil {
					return err
				}
				return wire.Receive(stream, func(m *kithv1.ChangesResponse) error {
					chunks = append(chunks, m)
					pairs.Add(m.Pairs)
					for _, row := range m.Rows {
						pairs.Add(wire.ChangedPairs(row))
					}
					if n := pairs.Load(); n > min(followMost, base.Interactions) {
						return fmt.Errorf("%w: %d pairs and more of %d interactions", errMuch, n, base.Interactions)
					}
					return nil
				})
			})
			if err == nil && len(chunks) > 0 {
				a.holder[p], out[p] = node, chunks
				return nil
			}
			if errors.Is(err, errMuch) {
				return err
			}
		}
		return cmp.Or(err, wire.ErrNotReady)
	})
	if err != nil {
		return nil, err
	}
	a.firstUser = make([]uint32, n+1)
	for p, chunks := range out {
		a.firstUser[p+1] = a.firstUser[p] + chunks[0].Users
		a.interactions += chunks[0].Interactions
	}
	if a.interactions == 0 {
		return nil, ErrNoInteractions
	}
	return out, nil
}

// onlyNode reports whether one node is alive, and none but that has replicas.
func onlyNode(alive []string, replicas [][]string) bool {
	return len(alive) == 1 && !slices.ContainsFunc(replicas, func(nodes []string) bool { return !slices.Equal(nodes, alive) })
}

// tellChanges hands all changes to all nodes, unless the one that has kept them is to take those.
func (a *attempt) tellChanges(ctx context.Context, changes [][]*kithv1.ChangesResponse) error {
	alive := a.cfg.Nodes.Alive()
	kept := slices.ContainsFunc(changes, func(chunks []*kithv1.ChangesResponse) bool { return chunks[0].Kept })
	if kept {
		alive = a.holder[:1] // whoever has come since
	}
	errs, resps := make([]error, len(alive)), make([]*kithv1.FollowResponse, len(alive))
	var g errgroup.Group
	g.SetLimit(concurrentCalls)
	for i, node := range alive {
		g.Go(func() error {
			errs[i] = a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) (err error) {
				resps[i], err = a.tellNode(ctx, c, changes, kept)
				return err
			})
			return nil
		})
	}
	_ = g.Wait() // errors are in errs: some nodes may fail
	a.owner, a.columns = make([]string, len(a.replicas)), true
	for i, node := range alive {
		if errs[i] != nil {
			continue
		}
		for _, p := range resps[i].Partitions {
			if int(p) < len(a.owner) && slices.Contains(a.replicas[p], node) {
				a.owner[p] = node
			}
		}
		if a.dictionary != nil && !proto.Equal(a.dictionary, resps[i].Dictionary) {
			return fmt.Errorf("node %s made another dictionary than node %s", node, a.workers[0])
		}
		a.workers, a.dictionary, a.numItems = append(a.workers, node), resps[i].Dictionary, int(resps[i].Items)
		a.columns = a.columns && resps[i].Columns
	}
	for _, node := range a.holder {
		if !slices.Contains(a.workers, node) {
			return errors.Join(append(errs, fmt.Errorf("node %s has no dictionary: %w", node, wire.ErrNotReady))...)
		}
	}
	return nil
}

func (a *attempt) tellNode(ctx context.Context, c kithv1.ComputeServiceClient, changes [][]*kithv1.ChangesResponse, kept bool) (*kithv1.FollowResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Follow(ctx)
	if err != nil {
		return nil, err
	}
	head := &kithv1.FollowHead{Job: a.job, Base: a.follows, Spec: a.spec, FirstUser: a.firstUser, Kept: kept}
	for p, chunks := range changes {
		for _, m := range chunks {
			if err := stream.Send(&kithv1.FollowRequest{Head: head, Partition: uint32(p), Added: m.Added, Rows: m.Rows}); err != nil {
				return stream.CloseAndRecv() // tells the reason
			}
			head = nil
		}
	}
	return stream.CloseAndRecv()
}

// byNode returns the partitions of each node.
func byNode(nodes []string) map[string][]uint32 {
	out := map[string][]uint32{}
	for p, node := range nodes {
		out[node] = append(out[node], uint32(p))
	}
	return out
}

// onNodes runs f for some nodes at once, each with its partitions.
func (a *attempt) onNodes(ctx context.Context, nodes []string, f func(ctx context.Context, c kithv1.ComputeServiceClient, partitions []uint32) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for node, partitions := range byNode(nodes) {
		g.Go(func() error {
			return a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				return f(ctx, c, partitions)
			})
		})
	}
	return g.Wait()
}

// alone reports whether one node has the lists and the rows of all partitions.
func (a *attempt) alone() bool {
	return !slices.ContainsFunc(slices.Concat(a.owner, a.holder), func(node string) bool { return node != a.owner[0] })
}

// sums finds out which sums lists do not tell, and has them formed. There are none to be handed on if the one node that wants them has formed and kept them.
func (a *attempt) sums(ctx context.Context) (total []similarity.PairSums, formed bool, err error) {
	if p := slices.Index(a.owner, ""); p >= 0 {
		return nil, false, fmt.Errorf("partition %d: none of its replicas has what is behind its lists: %w", p, wire.ErrBuildLost)
	}
	if err := a.tellBounds(ctx); err != nil {
		return nil, false, err
	}
	var mu sync.Mutex
	var wanted []similarity.PairSums
	alone := a.alone()
	err = a.onNodes(ctx, a.owner, func(ctx context.Context, c kithv1.ComputeServiceClient, partitions []uint32) error {
		stream, err := c.LookLists(ctx, &kithv1.LookListsRequest{Job: a.job, Partitions: partitions, Columns: true, Bounds: a.columns, Alone: alone})
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.LookListsResponse) (err error) {
			mu.Lock()
			defer mu.Unlock()
			formed = formed || m.Formed
			wanted, err = wire.TakePairSums(wanted, m.Wanted, m.Columns)
			return err
		})
	})
	switch {
	case err != nil:
		return nil, false, err
	case formed && alone:
		return nil, true, nil
	case formed:
		return nil, false, fmt.Errorf("a node of several has formed the sums for itself: %w", wire.ErrBuildLost)
	}
	if wanted, err = similarity.JoinWanted(wanted, a.numItems); err != nil {
		return nil, false, err
	}
	err = a.onNodes(ctx, a.holder, func(ctx context.Context, c kithv1.ComputeServiceClient, partitions []uint32) error {
		sums, err := a.sumsOf(ctx, c, partitions, wanted)
		if err == nil {
			err = similarity.FitPairSums(wanted, sums)
		}
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if total == nil {
			total = sums
			return nil
		}
		return errors.Join(similarity.AddPairSums(total, sums), similarity.FitPairSums(wanted, total))
	})
	return total, false, err
}

// tellBounds tells the nodes that look over lists the bounds of all, if each knows what to do with them.
func (a *attempt) tellBounds(ctx context.Context) error {
	if !a.columns {
		return nil
	}
	bounds := make([][]*kithv1.PartitionBounds, len(a.owner))
	err := a.onNodes(ctx, a.owner, func(ctx context.Context, c kithv1.ComputeServiceClient, partitions []uint32) error {
		stream, err := c.ListBounds(ctx, &kithv1.ListBoundsRequest{Job: a.job, Partitions: partitions})
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.ListBoundsResponse) error {
			p := m.GetBounds().GetPartition()
			if !slices.Contains(partitions, p) {
				return fmt.Errorf("bounds of partition %d came for %v: %w", p, partitions, wire.ErrBuildLost)
			}
			bounds[p] = append(bounds[p], m.Bounds)
			return nil
		})
	})
	if err != nil {
		return err
	}
	return a.onNodes(ctx, a.owner, func(ctx context.Context, c kithv1.ComputeServiceClient, _ []uint32) error {
		stream, err := c.TellBounds(ctx)
		if err != nil {
			return err
		}
		for _, m := range slices.Concat(bounds...) {
			if err := stream.Send(&kithv1.TellBoundsRequest{Job: a.job, Bounds: m}); err != nil {
				break // CloseAndRecv tells the reason
			}
		}
		_, err = stream.CloseAndRecv()
		return err
	})
}

// sumsOf has sums formed over the users of the partitions of a node.
func (a *attempt) sumsOf(ctx context.Context, c kithv1.ComputeServiceClient, partitions []uint32, wanted []similarity.PairSums) (sums []similarity.PairSums, err error) {
	stream, err := c.SumPairs(ctx)
	if err != nil {
		return nil, err
	}
	m := &kithv1.SumPairsRequest{Job: a.job, Partitions: partitions}
	for chunk := range wire.ChunkPairSums(wanted) {
		m.Wanted, m.Columns = wire.FormPairSums(chunk, a.columns)
		if err := stream.Send(m); err != nil {
			break // Recv tells the reason
		}
		m = &kithv1.SumPairsRequest{}
	}
	err = errors.Join(stream.CloseSend(), wire.Receive(stream, func(m *kithv1.SumPairsResponse) (err error) {
		sums, err = wire.TakePairSums(sums, m.Sums, m.Columns)
		return err
	}))
	return sums, err
}

// followLists has the lists written.
func (a *attempt) followLists(ctx context.Context, sums []similarity.PairSums, formed bool) error {
	a.lists = make([]*kithv1.Artifact, len(a.owner))
	return a.onNodes(ctx, a.owner, func(ctx context.Context, c kithv1.ComputeServiceClient, partitions []uint32) error {
		stream, err := c.FollowLists(ctx)
		if err != nil {
			return err
		}
		m := &kithv1.FollowListsRequest{Job: a.job, Partitions: partitions, Formed: formed}
		for chunk := range wire.ChunkPairSums(sums) {
			m.Sums, m.Columns = wire.FormPairSums(chunk, a.columns)
			if err := stream.Send(m); err != nil {
				break // CloseAndRecv tells the reason
			}
			m = &kithv1.FollowListsRequest{}
		}
		resp, err := stream.CloseAndRecv()
		if err != nil {
			return err
		}
		if len(resp.Lists) != len(partitions) {
			return fmt.Errorf("%d files of lists came of %d: %w", len(resp.Lists), len(partitions), wire.ErrBuildLost)
		}
		for k, p := range partitions {
			a.lists[p] = resp.Lists[k]
		}
		a.note(resp.Usage)
		return nil
	})
}

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// LocalPartitions is the number of partitions of a local build: it bounds the nodes that can share the reading. The order of
// users, and with it the last bits of sums that are not exact, depend on it.
const LocalPartitions = 16

// LocalBuild says what Neighbors computes, and on what.
type LocalBuild struct {
	// Table is the input. It is only read. Or the input is Spill, which must have LocalPartitions partitions.
	Table *fusion.Table
	Spill *fusion.Spill
	// MemoryLimit is the memory of the process in bytes that the build plans with, all of its nodes together, what is there
	// already included; 0 means no limit. It needs a Spill, and changes speed only.
	MemoryLimit int64
	// Spec is the measure with its options; its Threads is not used.
	Spec similarity.Options
	// BlockItems is the width of the blocks; 0 means the default. Changes speed only.
	BlockItems int
	// Nodes is the number of embedded nodes, 1 to 64, and Threads that of each; 0 means one for each processor. They change
	// speed only.
	Nodes, Threads int
	// Dir holds the artifacts until the result is closed, and what a MemoryLimit moves out of memory. It must be empty.
	Dir    string
	Logger *slog.Logger
	// Progress may be nil. It must not block.
	Progress func(phase string, done, total int)
}

// LocalResult holds the lists of a local build.
type LocalResult struct {
	// Items are the keys by dense id.
	Items []string
	// Usage is what each node spent.
	Usage []NodeUsage
	// Seconds by phase.
	Prepare, Compute, Merge float64
	// Users is the number of users with an interaction, Interactions that of their interactions.
	Users        int
	Interactions int64

	lists []*artifact.Lists
}

// NodeUsage is what one node spent.
type NodeUsage struct {
	Node       string
	CPUSeconds float64
	// IdleSeconds is the time of threads in which they worked on no task, from the node's first task to its last.
	IdleSeconds        float64
	BytesIn, BytesOut  uint64
	Tasks, PairUpdates uint64
	// SpilledBytes were written to files because of a memory limit.
	SpilledBytes uint64
}

// Neighbors computes exact neighbor lists of a table: the same steps by the same code as a build of a cluster, on
// embedded nodes that talk over loopback. The lists do not depend on Nodes, Threads and BlockItems. The caller must Close
// the result.
func Neighbors(ctx context.Context, b LocalBuild) (*LocalResult, error) {
	if b.Nodes < 1 || b.Nodes > 64 {
		return nil, fmt.Errorf("nodes is %d; want 1 to 64", b.Nodes)
	}
	if b.Threads < 0 {
		return nil, fmt.Errorf("threads is %d; want 0 or more", b.Threads)
	}
	if err := b.Spec.Validate(); err != nil {
		return nil, err
	}
	bounds, err := b.bounds()
	if err != nil {
		return nil, err
	}
	peers := node.NewPeers("", nil)
	source := b.source()
	var workers []*localWorker
	var running sync.WaitGroup
	defer func() {
		for _, w := range workers {
			w.grpc.Stop()
		}
		running.Wait()
		for _, w := range workers {
			w.worker.Close()
		}
		_ = peers.Close() // nobody is left to talk to
	}()
	var known []node.Peer
	for i := range b.Nodes {
		w, err := newLocalWorker(b, i, source, peers.Bulk())
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
		known = append(known, node.Peer{ID: w.id, GRPCAddr: w.ln.Addr().String(), Alive: true})
		running.Go(func() { _ = w.grpc.Serve(w.ln) }) // ends by Stop
	}
	peers.Update(known)

	log := coordinator.NewMemoryLog()
	job, err := openLocalJob(ctx, log, b, workers)
	if err != nil {
		return nil, err
	}
	clock := &phaseClock{began: time.Now(), report: b.Progress}
	builder := coordinator.NewBuilder(coordinator.BuilderConfig{
		Log: log, Nodes: localNodes{peers}, Bounds: bounds, Now: time.Now, Logger: b.Logger, Progress: clock.progress,
	})
	if err := builder.Run(ctx, job); err != nil {
		return nil, err
	}
	result := &LocalResult{}
	result.Prepare, result.Compute, result.Merge = clock.seconds()
	return result, result.open(log.State(), workers)
}

type localWorker struct {
	id        string
	ln        net.Listener
	grpc      *grpc.Server
	worker    *worker.Worker
	artifacts *artifact.Store
}

func newLocalWorker(b LocalBuild, i int, source worker.Source, peers worker.Peers) (*localWorker, error) {
	w := &localWorker{id: fmt.Sprintf("node-%02d", i+1)}
	var err error
	if w.artifacts, err = artifact.Open(filepath.Join(b.Dir, w.id)); err != nil {
		return nil, err
	}
	cfg := worker.Config{NodeID: w.id, Threads: b.Threads, Recount: true, Log: b.Logger}
	if b.MemoryLimit > 0 {
		cfg.MemoryLimit, cfg.SpillDir = b.MemoryLimit/int64(b.Nodes), filepath.Join(b.Dir, "spill", w.id)
	}
	w.worker, err = worker.New(cfg, source, peers, w.artifacts)
	if err != nil {
		return nil, err
	}
	if w.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		w.worker.Close()
		return nil, err
	}
	w.grpc = grpc.NewServer(node.ServerOptions()...)
	w.worker.Register(w.grpc)
	return w, nil
}

// openLocalJob writes the decisions that a cluster would have made before a build.
func openLocalJob(ctx context.Context, log *coordinator.MemoryLog, b LocalBuild, workers []*localWorker) (uint64, error) {
	var members []partition.Member
	for _, w := range workers {
		members = append(members, partition.Member{ID: w.id, Weight: 1})
	}
	shards := &kithv1.SetShardMap{Epoch: 1}
	for _, nodes := range partition.Plan(members, LocalPartitions, 1) {
		shards.Partitions = append(shards.Partitions, &kithv1.Replicas{Nodes: nodes})
	}
	spec := coordinator.Normalize(&kithv1.BuildSpec{
		Measure: b.Spec.Measure.String(), K: uint32(b.Spec.K), Shrinkage: b.Spec.Shrinkage,
		MinSupport: uint32(b.Spec.MinSupport), BlockItems: uint32(b.BlockItems), Alpha: &b.Spec.Alpha,
	})
	var job uint64
	for _, c := range []*kithv1.ControlCommand{
		{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{ClusterId: "local", Partitions: LocalPartitions, ReplicationFactor: 1}}},
		{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: shards}},
		{Command: &kithv1.ControlCommand_CreateJob{CreateJob: &kithv1.CreateJob{Spec: spec, CreatedUnixMs: time.Now().UnixMilli()}}},
	} {
		var err error
		if job, err = log.Propose(ctx, c); err != nil {
			return 0, err
		}
	}
	return job, nil
}

// localNodes fits the embedded workers to a Builder.
type localNodes struct{ *node.Peers }

// Conn implements coordinator.Nodes.
func (n localNodes) Conn(ctx context.Context, id string) (grpc.ClientConnInterface, error) {
	return n.Bulk().Conn(ctx, id, "")
}

// Cuts implements coordinator.Nodes: a table does not change.
func (n localNodes) Cuts(context.Context) ([]uint64, error) {
	return slices.Repeat([]uint64{1}, LocalPartitions), nil
}

// phaseClock measures when the phases of a build begin.
type phaseClock struct {
	began  time.Time
	report func(phase string, done, total int)

	mu             sync.Mutex
	compute, merge time.Time
}

func (c *phaseClock) progress(phase kithv1.JobPhase, done, total int) {
	now := time.Now()
	c.mu.Lock()
	if phase == kithv1.JobPhase_JOB_PHASE_EXPORT && done == total {
		c.compute = now
	}
	if phase == kithv1.JobPhase_JOB_PHASE_COMPUTE && done == total {
		c.merge = now
	}
	c.mu.Unlock()
	if c.report != nil {
		c.report(coordinator.PhaseName(phase), done, total)
	}
}

func (c *phaseClock) seconds() (prepare, compute, merge float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.compute.Sub(c.began).Seconds(), c.merge.Sub(c.compute).Seconds(), time.Since(c.merge).Seconds()
}

// open maps the artifacts of the build.
func (r *LocalResult) open(s *coordinator.State, workers []*localWorker) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	version := s.Version(s.Active)
	if version == nil {
		return fmt.Errorf("build published no version")
	}
	r.Users, r.Interactions = int(version.Version.Users), int64(version.Version.Interactions)
	for _, u := range version.Version.Usage {
		r.Usage = append(r.Usage, NodeUsage{u.Node, u.CpuSeconds, u.IdleSeconds, u.BytesIn, u.BytesOut, u.Tasks, u.PairUpdates, u.SpilledBytes})
	}
	byID := map[string]*artifact.Store{}
	for _, w := range workers {
		byID[w.id] = w.artifacts
	}
	dictionary, err := workers[0].artifacts.OpenDictionary(s.Active)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dictionary.Close()) }()
	r.Items = dictionary.AllKeys()
	for p, nodes := range s.Replicas {
		lists, err := byID[nodes[0]].OpenLists(s.Active, uint32(p))
		if err != nil {
			return err
		}
		r.lists = append(r.lists, lists)
		if err := lists.Release(); err != nil { // opening has read all of it
			return err
		}
	}
	return nil
}

// Release lets the system take back the memory of the lists that were read until now.
func (r *LocalResult) Release() error {
	for _, l := range r.lists {
		if err := l.Release(); err != nil {
			return err
		}
	}
	return nil
}

// Lists returns the neighbor list of an item by dense id, in rank order. It is valid until Close.
func (r *LocalResult) Lists(id uint32) []similarity.Neighbor {
	list, _ := r.lists[partition.Of(r.Items[id], len(r.lists))].List(id)
	return list
}

// Close frees the lists.
func (r *LocalResult) Close() error {
	var errs []error
	for _, l := range r.lists {
		errs = append(errs, l.Close())
	}
	r.lists = nil
	return errors.Join(errs...)
}

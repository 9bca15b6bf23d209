package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// Peers reaches other nodes.
type Peers interface {
	// Conn returns a connection for streams of data to a node, or to addr if the node is not known. The caller does not
	// close it.
	Conn(ctx context.Context, id, addr string) (grpc.ClientConnInterface, error)
}

// Config of a Worker.
type Config struct {
	// NodeID names the node in reports.
	NodeID string
	// Threads is the number of tasks that run at a time; 0 means one for each processor. Changes speed only.
	Threads int
	// MemoryLimit is about how much memory the builds of the node may take, in bytes; what they do not need now is then in
	// files, and steps wait for each other. The coordinator must bound sides and blocks to fit. 0 means no limit. Changes
	// speed only.
	MemoryLimit int64
	// SpillDir is the folder for files of jobs; it is made when the first needs it. Required with a MemoryLimit.
	SpillDir string
	// Background makes builds yield the processors to all else that the process does. Changes speed only.
	Background bool
	// Processors are raised while the worker computes in the background; nil leaves them as they are.
	Processors *Processors
	// Recount drops the counts of a partition once it is exported. Who asks for them then has its events read again: for builds of one process, which do not begin anew.
	Recount bool
	// Follow makes builds leave what the next one needs to follow them (docs/adr/0032), where it could.
	Follow bool
	// Kinds are the kinds of models that can be trained here.
	Kinds []*train.Kind
	// ModelMemory bounds what the models of a build that are in training put for each other on this node, in bytes; 0 means DefaultModelMemory.
	ModelMemory int64
	// Room returns an error while the disk is so full that a build should write no files; nil means that there is room.
	Room func() error
	// Written is told of each dictionary and each file of neighbor lists or rows that a build has put here, with the priority of the build; nil for nobody.
	Written func(version uint64, name string)
	// Base opens a version that is kept, for builds that follow it; who gets it must release it. nil builds everything in full.
	Base func(version uint64) (Base, error)
	Log  *slog.Logger
}

// Worker implements kithv1.ComputeServiceServer for one node. It is safe for concurrent use.
type Worker struct {
	kithv1.UnimplementedComputeServiceServer

	cfg       Config
	source    Source
	peers     Peers
	artifacts *artifact.Store
	// slots holds the working memory of each thread; who takes one may compute.
	slots chan *similarity.Scratch
	// fetches has room for the calls for parts that may be at work at a time; who puts something in may make one.
	fetches chan struct{}
	// turns bounds what computes at a time.
	turns chan struct{}
	// shards is memory for shards, nil without a limit.
	shards *semaphore.Weighted

	ctx  context.Context // ends with Close
	stop context.CancelFunc

	mu     sync.Mutex
	jobs   map[uint64]*job
	calls  sync.WaitGroup // calls at work; grows under mu only while not closed
	closed bool
}

var _ kithv1.ComputeServiceServer = (*Worker)(nil)

// New returns a Worker that takes rows from source and keeps artifacts in artifacts. The caller must Close it.
func New(cfg Config, source Source, peers Peers, artifacts *artifact.Store) (*Worker, error) {
	if cfg.Threads < 0 {
		return nil, fmt.Errorf("worker: Threads is %d; want 0 or more", cfg.Threads)
	}
	if cfg.MemoryLimit < 0 || cfg.MemoryLimit > 0 && cfg.SpillDir == "" {
		return nil, fmt.Errorf("worker: MemoryLimit is %d, SpillDir %q; want 0 or more, and a folder with a limit", cfg.MemoryLimit, cfg.SpillDir)
	}
	if cfg.Room == nil {
		cfg.Room = func() error { return nil }
	}
	if cfg.ModelMemory < 0 {
		return nil, fmt.Errorf("worker: ModelMemory is %d; want 0 or more", cfg.ModelMemory)
	}
	cfg.ModelMemory = cmp.Or(cfg.ModelMemory, DefaultModelMemory)
	if cfg.Threads == 0 {
		cfg.Threads = runtime.GOMAXPROCS(0)
	}
	w := &Worker{cfg: cfg, source: source, peers: peers, artifacts: artifacts, jobs: map[uint64]*job{}}
	w.ctx, w.stop = context.WithCancel(context.Background()) // the life of the jobs, which outlive the calls that make them
	w.slots = make(chan *similarity.Scratch, cfg.Threads)
	w.fetches = make(chan struct{}, concurrentFetches)
	w.turns = make(chan struct{}, cfg.Threads)
	if cfg.MemoryLimit > 0 {
		w.shards = semaphore.NewWeighted(max(1, cfg.MemoryLimit/shardShare))
	}
	for range cfg.Threads {
		w.slots <- new(similarity.Scratch)
	}
	return w, nil
}

// Register adds the service to a server.
func (w *Worker) Register(r grpc.ServiceRegistrar) { kithv1.RegisterComputeServiceServer(r, w) }

// Close ends all calls and drops all jobs. It returns when no call is at work.
func (w *Worker) Close() {
	w.mu.Lock()
	w.closed = true
	jobs := w.jobs
	w.jobs = map[uint64]*job{}
	w.mu.Unlock()
	w.stop()
	w.calls.Wait()
	for _, j := range jobs {
		j.close(w.cfg.Log)
	}
}

// Retain drops the jobs up to index applied of the control log, except the one that runs: all others have ended.
func (w *Worker) Retain(running, applied uint64) {
	w.mu.Lock()
	var ended []uint64
	for id := range maps.Keys(w.jobs) {
		if id != running && id <= applied {
			ended = append(ended, id)
		}
	}
	w.mu.Unlock()
	for _, id := range ended {
		w.drop(id)
	}
}

// Jobs returns the number of jobs that the node keeps something of.
func (w *Worker) Jobs() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.jobs)
}

// DropJob implements kithv1.ComputeServiceServer.
func (w *Worker) DropJob(_ context.Context, req *kithv1.DropJobRequest) (*kithv1.DropJobResponse, error) {
	w.drop(req.Job)
	return &kithv1.DropJobResponse{}, nil
}

func (w *Worker) drop(id uint64) {
	w.mu.Lock()
	j := w.jobs[id]
	delete(w.jobs, id)
	w.mu.Unlock()
	if j != nil {
		j.close(w.cfg.Log)
	}
}

// enter begins a call for a job. The context ends with that of the call, with the job and with the worker; leave ends
// the call. With create the job is made if it is not there; otherwise its absence is an error matching wire.ErrBuildLost.
func (w *Worker) enter(ctx context.Context, id uint64, create bool) (_ context.Context, j *job, leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, nil, nil, fmt.Errorf("node %s stops: %w", w.cfg.NodeID, wire.ErrNotReady)
	}
	j = w.jobs[id]
	if j == nil {
		if !create {
			return nil, nil, nil, fmt.Errorf("job %d on node %s: %w", id, w.cfg.NodeID, wire.ErrBuildLost)
		}
		j = newJob(w.ctx, id)
		if w.cfg.MemoryLimit > 0 {
			if j.spool, err = newSpool(filepath.Join(w.cfg.SpillDir, fmt.Sprintf("job-%d", id))); err != nil {
				return nil, nil, nil, err
			}
		}
		w.jobs[id] = j
	}
	w.calls.Add(1)
	j.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(j.ctx, func() {
		cancel(fmt.Errorf("job %d on node %s was dropped: %w", id, w.cfg.NodeID, wire.ErrBuildLost))
	})
	return ctx, j, func() {
		unlink()
		cancel(nil)
		j.calls.Done()
		w.calls.Done()
	}, nil
}

// job is what one build has on this node.
type job struct {
	id   uint64
	ctx  context.Context // ends when the job is dropped
	stop context.CancelFunc
	// calls are those at work for the job.
	calls sync.WaitGroup
	spool *spool // nil without a memory limit

	mu     sync.Mutex
	shards map[uint32]*shardState
	plan   *plan // nil before the dictionary came
	usage  kithv1.NodeUsage
	clock  idleClock
	// training is the one that is under way, nil for none, and data what workers of all trainings of the job learn from, by partition.
	training *training
	// following is nil unless the build follows a version.
	following *following
	data      map[uint32]*once[*trainingData]
}

func newJob(ctx context.Context, id uint64) *job {
	j := &job{id: id, shards: map[uint32]*shardState{}, data: map[uint32]*once[*trainingData]{}}
	j.ctx, j.stop = context.WithCancel(ctx)
	return j
}

// close frees the job after the calls that use it have ended.
func (j *job) close(log *slog.Logger) {
	j.stop()
	j.calls.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.training, j.data = nil, nil
	if j.following != nil {
		if err := j.following.close(); err != nil {
			log.Warn("close the files of a version that a job followed", "job", j.id, "err", err)
		}
		j.following = nil
	}
	if j.spool != nil {
		if err := j.spool.remove(); err != nil {
			log.Warn("remove files of a job", "job", j.id, "err", err)
		}
	}
	if j.plan == nil {
		return
	}
	if err := j.plan.dictionary.Close(); err != nil {
		log.Warn("close dictionary of a job", "job", j.id, "err", err)
	}
	j.plan = nil
}

// planned returns the plan of the job, or an error matching wire.ErrBuildLost.
func (j *job) planned() (*plan, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.plan == nil {
		return nil, fmt.Errorf("job %d has no dictionary here: %w", j.id, wire.ErrBuildLost)
	}
	return j.plan, nil
}

// spend adds to what the job has cost here.
func (j *job) spend(u *kithv1.NodeUsage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.usage.CpuSeconds += u.CpuSeconds
	j.usage.BytesIn += u.BytesIn
	j.usage.BytesOut += u.BytesOut
	j.usage.Tasks += u.Tasks
	j.usage.PairUpdates += u.PairUpdates
	j.usage.TrainSteps += u.TrainSteps
	j.usage.TrainBytesIn += u.TrainBytesIn
	j.usage.TrainBytesOut += u.TrainBytesOut
}

// callForTasks tells the job's clock that a call for tasks begins or ends.
func (j *job) callForTasks(begin bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.clock.call(time.Now(), begin)
}

// work tells the job's clock that n more threads are at work on tasks.
func (j *job) work(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.clock.work(time.Now(), n)
}

// report returns what the job has cost here until now.
func (w *Worker) report(j *job) *kithv1.NodeUsage {
	j.mu.Lock()
	defer j.mu.Unlock()
	var spilled uint64
	if j.spool != nil {
		spilled = uint64(j.spool.bytes.Load())
	}
	return &kithv1.NodeUsage{
		SpilledBytes: spilled,
		Node:         w.cfg.NodeID, CpuSeconds: j.usage.CpuSeconds, BytesIn: j.usage.BytesIn, BytesOut: j.usage.BytesOut,
		TrainSteps: j.usage.TrainSteps, TrainBytesIn: j.usage.TrainBytesIn, TrainBytesOut: j.usage.TrainBytesOut,
		Tasks: j.usage.Tasks, PairUpdates: j.usage.PairUpdates, IdleSeconds: j.clock.idle(time.Now(), w.cfg.Threads).Seconds(),
	}
}

// cause prefers the reason why ctx ended to err.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

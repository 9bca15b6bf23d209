package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

const (
	// maxFailures is how often in a row a build may fail for a reason that waiting does not obviously cure.
	maxFailures = 5
	// dropTimeout bounds the wait for one node to drop a job, which it does by itself later.
	dropTimeout = 2 * time.Second
	// retryDelay is the first pause before a build goes on after a loss; it doubles up to maxRetryDelay.
	retryDelay    = 100 * time.Millisecond
	maxRetryDelay = 5 * time.Second
	// dictionaryChunk is the number of items in a message: keys are at most 256 bytes.
	dictionaryChunk = 2000
	// concurrentCalls bounds the calls of one step that run at once.
	concurrentCalls = 16
)

// ErrNoInteractions means that there is nothing to learn from up to the cut.
var ErrNoInteractions = errors.New("no interactions to build from; ingest events with a positive weight first")

// Nodes are the processes that work on a build.
type Nodes interface {
	// Alive returns the ids of the nodes that can work now, ascending.
	Alive() []string
	// Addr returns the gRPC address of a node.
	Addr(node string) string
	// Conn returns a connection to a node; it is shared and not closed by the caller.
	Conn(ctx context.Context, node string) (grpc.ClientConnInterface, error)
	// Changed returns a channel that is closed when Alive changes next.
	Changed() <-chan struct{}
	// Cuts returns for each partition an index of its log that covers all that was acknowledged before the call, so that each event counts once.
	Cuts(ctx context.Context) ([]uint64, error)
}

// BuilderConfig says what a Builder works with. All fields but Progress are required.
type BuilderConfig struct {
	Log   Log
	Nodes Nodes
	// Bounds of what a node must hold at a time; they are recorded with the jobs. Changes speed only.
	Bounds Bounds
	// Kinds are the kinds of models that builds can train.
	Kinds []*train.Kind
	// Rows makes the nodes write the rows of the users as well, which user-based queries need.
	Rows bool
	// Now is the clock.
	Now    func() time.Time
	Logger *slog.Logger
	// Progress is told how far the phases are; it must not block. It may be nil.
	Progress func(phase kithv1.JobPhase, done, total int)
}

// Builder drives builds. It keeps nothing that the log and the nodes do not have: a job begun by one Builder may be ended
// by another.
type Builder struct{ cfg BuilderConfig }

// NewBuilder returns a Builder.
func NewBuilder(cfg BuilderConfig) *Builder {
	if cfg.Progress == nil {
		cfg.Progress = func(kithv1.JobPhase, int, int) {}
	}
	return &Builder{cfg}
}

// Run brings a job to its end. It goes through all steps again whenever a node is lost on the way; what is done already
// costs little then. It returns nil when the job is published, the reason when it failed for good or was canceled, and ctx's
// error when it was stopped: the job then stays open for the next coordinator. So it does when an erasure has overtaken its cut: the error matches
// wire.ErrErased, and the job must begin again or fail.
func (b *Builder) Run(ctx context.Context, job uint64) error {
	err := b.whileOpen(ctx, job, func(ctx context.Context) error { return b.run(ctx, job) })
	if ctx.Err() != nil {
		return err
	}
	rec := b.cfg.Log.State().Job(job)
	if rec != nil && Ended(rec.Job) {
		b.dropJob(ctx, job)
	}
	if canceled := failure(rec); canceled != nil && errors.Is(err, context.Canceled) {
		return canceled
	}
	return err
}

// run is Run until the job ends, by whatever.
func (b *Builder) run(ctx context.Context, job uint64) error {
	delay, failures := retryDelay, 0
	for again := false; ; again = true {
		rec := b.cfg.Log.State().Job(job)
		switch {
		case rec == nil:
			return fmt.Errorf("build: %w: %d", wire.ErrUnknownJob, job)
		case rec.Job.Phase == kithv1.JobPhase_JOB_PHASE_DONE:
			return nil
		case Ended(rec.Job):
			return failure(rec)
		}
		changed := b.cfg.Nodes.Changed()
		before := rec.Job.TasksDone
		run := &attempt{Builder: b, job: job, spec: rec.Job.Spec, again: again, usage: map[string]*kithv1.NodeUsage{}}
		err := run.all(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, wire.ErrNotLeader) || errors.Is(err, wire.ErrErased) {
			return err // another coordinator goes on, or another cut must be taken
		}
		rec = b.cfg.Log.State().Job(job)
		if rec != nil && rec.Job.TasksDone > before {
			delay, failures = retryDelay, 0
		}
		if !curable(err) {
			failures++
		}
		if failures >= maxFailures || final(err) {
			return b.fail(ctx, job, err)
		}
		b.cfg.Logger.Warn("build goes on after a loss", "job", job, "err", err, "delay", delay)
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
		delay = min(2*delay, maxRetryDelay)
	}
}

// curable reports whether waiting for nodes may cure an error.
func curable(err error) bool {
	return passing(err) || errors.Is(err, wire.ErrBuildLost)
}

// final reports whether repeating cannot help.
func final(err error) bool {
	return errors.Is(err, ErrNoInteractions) || errors.Is(err, wire.ErrDiskFull) || errors.Is(err, wire.ErrInvalid) || errors.Is(err, wire.ErrTraining) || status.Code(err) == codes.InvalidArgument
}

func (b *Builder) fail(ctx context.Context, job uint64, cause error) error {
	_, err := b.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetJobPhase{SetJobPhase: &kithv1.SetJobPhase{
		Job: job, Phase: kithv1.JobPhase_JOB_PHASE_FAILED, Error: cause.Error(), NowUnixMs: b.cfg.Now().UnixMilli(),
	}}})
	if err != nil {
		return errors.Join(cause, fmt.Errorf("record the failure of build %d: %w", job, err))
	}
	return fmt.Errorf("build %d: %w", job, cause)
}

// call calls a node; the error names it.
func (b *Builder) call(ctx context.Context, node string, f func(context.Context, kithv1.ComputeServiceClient) error) error {
	conn, err := b.cfg.Nodes.Conn(ctx, node)
	if err == nil {
		err = f(ctx, kithv1.NewComputeServiceClient(conn))
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", node, err)
	}
	return nil
}

// attempt is one walk through the steps of a build.
type attempt struct {
	*Builder
	job  uint64
	spec *kithv1.BuildSpec
	cut  []uint64
	now  int64
	// planFor is what was recorded with the cut.
	planFor planRecord
	// replicas of each partition that are alive.
	replicas [][]string
	// holder is the replica that has the shard of each partition.
	holder       []string
	firstUser    []uint32
	interactions uint64
	items        []*kithv1.ItemCount // by dense id; dropped when the nodes have the dictionary
	numItems     int
	plan         *Plan
	rows         []*kithv1.Artifact
	lists        []*kithv1.Artifact
	owner        []string
	models       []*kithv1.ModelRecord // by place in the spec
	// workers have the dictionary, ascending.
	workers []string
	// threads of each worker.
	threads    []int
	dictionary *kithv1.Artifact

	// columns says that all workers know sums of pairs in columns, and bounds of lists.
	columns bool
	// follows is the version that the build follows, 0 for none; again that it was tried before.
	follows uint64
	again   bool
	// rowsOf is the version whose rows, with those of who has changed since, are those of the build, and rowsCut up to where each partition counted for it; 0 for none.
	rowsOf  uint64
	rowsCut []uint64

	mu sync.Mutex
	// usage is the last report of each node.
	usage map[string]*kithv1.NodeUsage
}

func (a *attempt) all(ctx context.Context) error {
	steps := []struct {
		phase kithv1.JobPhase
		run   func(context.Context) error
	}{
		{kithv1.JobPhase_JOB_PHASE_CUT, a.takeCut},
		{kithv1.JobPhase_JOB_PHASE_COUNT, a.count},
		{kithv1.JobPhase_JOB_PHASE_EXPORT, a.export},
		{kithv1.JobPhase_JOB_PHASE_TRAIN, a.train},
		{kithv1.JobPhase_JOB_PHASE_COMPUTE, a.compute},
		{kithv1.JobPhase_JOB_PHASE_MERGE, a.merge},
		{kithv1.JobPhase_JOB_PHASE_PUBLISH, a.publish},
	}
	for _, s := range steps {
		if s.phase == kithv1.JobPhase_JOB_PHASE_TRAIN && len(a.spec.Models) == 0 {
			continue
		}
		if stage(s.phase) > stage(kithv1.JobPhase_JOB_PHASE_COUNT) { // planning moves the job to the count
			if err := a.propose(ctx, &kithv1.SetJobPhase{Phase: s.phase, TasksTotal: uint32(a.plan.NumTasks())}); err != nil {
				return err
			}
		}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", PhaseName(s.phase), err)
		}
		if s.phase == kithv1.JobPhase_JOB_PHASE_CUT {
			if done, err := a.followed(ctx); done || err != nil {
				return err
			}
		}
	}
	return nil
}

// PhaseName returns the name of a phase for people.
func PhaseName(p kithv1.JobPhase) string {
	switch p {
	case kithv1.JobPhase_JOB_PHASE_CUT:
		return "cut"
	case kithv1.JobPhase_JOB_PHASE_COUNT:
		return "count"
	case kithv1.JobPhase_JOB_PHASE_EXPORT:
		return "export"
	case kithv1.JobPhase_JOB_PHASE_TRAIN:
		return "train"
	case kithv1.JobPhase_JOB_PHASE_COMPUTE:
		return "compute"
	case kithv1.JobPhase_JOB_PHASE_MERGE:
		return "merge"
	}
	return "publish"
}

func (a *attempt) propose(ctx context.Context, p *kithv1.SetJobPhase) error {
	p.Job, p.NowUnixMs = a.job, a.cfg.Now().UnixMilli()
	_, err := a.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetJobPhase{SetJobPhase: p}})
	return err
}

// forPartitions runs f for all partitions, some at a time, and reports progress.
func (a *attempt) forPartitions(ctx context.Context, phase kithv1.JobPhase, f func(ctx context.Context, p int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentCalls)
	var mu sync.Mutex
	done, total := 0, len(a.replicas)
	for p := range a.replicas {
		g.Go(func() error {
			if err := f(ctx, p); err != nil {
				return fmt.Errorf("partition %d: %w", p, err)
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			a.cfg.Progress(phase, done, total)
			return nil
		})
	}
	return g.Wait()
}

// takeCut records where the build ends, once, and finds the replicas that are alive.
func (a *attempt) takeCut(ctx context.Context) error {
	s := a.cfg.Log.State()
	alive := a.cfg.Nodes.Alive()
	a.replicas = make([][]string, len(s.Replicas))
	for p, nodes := range s.Replicas {
		for _, n := range nodes {
			if _, ok := slices.BinarySearch(alive, n); ok {
				a.replicas[p] = append(a.replicas[p], n)
			}
		}
		if len(a.replicas[p]) == 0 {
			return fmt.Errorf("partition %d: none of its replicas %v answers: %w", p, nodes, wire.ErrNotReady)
		}
	}
	if len(s.Job(a.job).GetCut()) == 0 {
		cut, err := a.cfg.Nodes.Cuts(ctx)
		if err != nil {
			return err
		}
		a.cfg.Progress(kithv1.JobPhase_JOB_PHASE_CUT, len(cut), len(cut))
		if _, err := a.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_PlanJob{PlanJob: &kithv1.PlanJob{
			Job: a.job, Cut: cut, ReferenceUnixMs: a.cfg.Now().UnixMilli(),
			Sides: WantedSides(a.spec.Measure, len(alive)), Nodes: uint32(len(alive)), Bounds: a.cfg.Bounds.record(),
		}}}); err != nil {
			return err
		}
	}
	rec := a.cfg.Log.State().Job(a.job)
	if rec == nil || len(rec.Cut) != len(a.replicas) {
		return fmt.Errorf("job %d has no cut: %w", a.job, wire.ErrNotReady)
	}
	a.cut, a.now = rec.Cut, rec.ReferenceUnixMs
	a.planFor = planRecord{rec.Sides, rec.Nodes, rec.Bounds}
	a.rowsOf, a.rowsCut = a.baseOfRows()
	return nil
}

func (a *attempt) countRequest(p int) *kithv1.CountRequest {
	req := &kithv1.CountRequest{Job: a.job, Partition: uint32(p), Cut: a.cut[p], Spec: a.spec, ReferenceUnixMs: a.now, Base: a.rowsOf, Columns: true}
	if a.rowsOf != 0 {
		req.BaseCut = a.rowsCut[p]
	}
	return req
}

// count collects the users and the updates of each item from one replica of each partition and makes the dictionary and
// the plan: functions of the data, the spec and the record of the job.
func (a *attempt) count(ctx context.Context) error {
	n := len(a.replicas)
	a.holder = make([]string, n)
	users := make([]uint32, n)
	interactions := make([]uint64, n)
	totals := map[string]*kithv1.ItemCount{}
	var mu sync.Mutex
	err := a.forPartitions(ctx, kithv1.JobPhase_JOB_PHASE_COUNT, func(ctx context.Context, p int) error {
		var err error
		for _, node := range a.replicas[p] {
			var counts []*kithv1.CountResponse
			if counts, users[p], interactions[p], err = a.countOn(ctx, node, p); err != nil {
				continue // the next replica has the same events
			}
			a.holder[p] = node
			mu.Lock()
			defer mu.Unlock()
			for _, c := range counts {
				addCounts(totals, c)
			}
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(totals) == 0 {
		return ErrNoInteractions
	}
	a.items = slices.SortedFunc(maps.Values(totals), func(x, y *kithv1.ItemCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Item, y.Item))
	})
	a.firstUser = make([]uint32, n+1)
	for p := range users {
		a.firstUser[p+1] = a.firstUser[p] + users[p]
		a.interactions += interactions[p]
	}
	a.numItems = len(a.items)
	a.plan = newBuildPlan(a.items, a.spec, a.planFor)
	return nil
}

// addCounts adds what a partition counted to the totals.
func addCounts(totals map[string]*kithv1.ItemCount, m *kithv1.CountResponse) {
	for _, c := range m.Items {
		addCount(totals, c.Item, tally{c.Count, c.Updates, similarity.Sum{High: c.WeightHigh, Low: c.WeightLow}, c.Squares})
	}
	keys, c := m.Columns.GetKeys(), m.Columns
	for i, n := range c.GetLengths() {
		t := tally{count: c.Counts[i], updates: c.Updates[i]}
		if c.WeightsHigh != nil {
			t.sum = similarity.Sum{High: c.WeightsHigh[i], Low: c.WeightsLow[i]}
		}
		if c.Squares != nil {
			t.squares = c.Squares[i]
		}
		addCount(totals, keys[:n], t)
		keys = keys[n:]
	}
}

// checkColumns checks that all columns are of the same items.
func checkColumns(c *kithv1.ItemColumns) error {
	n, bytes := len(c.GetLengths()), 0
	for _, l := range c.GetLengths() {
		bytes += int(l)
	}
	fits := func(n2 int, may bool) bool { return n2 == n || may && n2 == 0 }
	if bytes != len(c.GetKeys()) || !fits(len(c.GetCounts()), false) || !fits(len(c.GetUpdates()), false) ||
		!fits(len(c.GetWeightsHigh()), true) || len(c.GetWeightsLow()) != len(c.GetWeightsHigh()) || !fits(len(c.GetSquares()), true) {
		return fmt.Errorf("%w: counts of %d items in columns that do not fit", wire.ErrInvalid, n)
	}
	return nil
}

// tally is what is counted of an item.
type tally struct {
	count, updates uint64
	sum            similarity.Sum
	squares        float64
}

// addCount adds what a partition counted of an item to the totals. Squares that one has not counted are not known of all.
func addCount(totals map[string]*kithv1.ItemCount, item string, c tally) {
	t := totals[item]
	if t == nil {
		item = strings.Clone(item) // of many that came together
		totals[item] = &kithv1.ItemCount{Item: item, Count: c.count, Updates: c.updates, WeightHigh: c.sum.High, WeightLow: c.sum.Low, Squares: c.squares}
		return
	}
	sum := similarity.Sum{High: t.WeightHigh, Low: t.WeightLow}
	sum.Merge(c.sum)
	t.Count, t.WeightHigh, t.WeightLow, t.Updates = t.Count+c.count, sum.High, sum.Low, t.Updates+c.updates
	if t.Squares > 0 && c.squares > 0 {
		t.Squares += c.squares
	} else {
		t.Squares = 0
	}
}

func (a *attempt) countOn(ctx context.Context, node string, p int) (counts []*kithv1.CountResponse, users uint32, interactions uint64, err error) {
	err = a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.Count(ctx, a.countRequest(p))
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.CountResponse) error {
			users, interactions = users+m.Users, interactions+m.Interactions
			counts = append(counts, m)
			return checkColumns(m.Columns)
		})
	})
	return counts, users, interactions, err
}

// export gives the dictionary to all nodes and makes the holders cut their shards into block parts.
func (a *attempt) export(ctx context.Context) error {
	alive := a.cfg.Nodes.Alive()
	errs := make([]error, len(alive))
	resps := make([]*kithv1.PutDictionaryResponse, len(alive))
	g := errgroup.Group{}
	g.SetLimit(concurrentCalls)
	for i, node := range alive {
		g.Go(func() error {
			resps[i], errs[i] = a.putDictionary(ctx, node)
			return nil
		})
	}
	_ = g.Wait() // errors are in errs: some nodes may fail
	a.items = nil
	for i, node := range alive {
		if errs[i] == nil {
			a.workers = append(a.workers, node)
			a.threads = append(a.threads, int(max(1, resps[i].Threads)))
			a.dictionary = resps[i].Dictionary
		}
	}
	for _, node := range a.holder {
		if !slices.Contains(a.workers, node) {
			return errors.Join(append(errs, fmt.Errorf("node %s has no dictionary: %w", node, wire.ErrNotReady))...)
		}
	}
	a.rows = make([]*kithv1.Artifact, len(a.holder))
	updates := make([][]uint64, len(a.holder))
	err := a.forPartitions(ctx, kithv1.JobPhase_JOB_PHASE_EXPORT, func(ctx context.Context, p int) error {
		return a.call(ctx, a.holder[p], func(ctx context.Context, c kithv1.ComputeServiceClient) error {
			resp, err := c.Export(ctx, &kithv1.ExportRequest{Shard: a.countRequest(p), WriteRows: a.cfg.Rows})
			a.rows[p], updates[p] = resp.GetRows(), resp.GetTaskUpdates()
			return err
		})
	})
	a.plan.count(updates)
	return err
}

func (a *attempt) putDictionary(ctx context.Context, node string) (resp *kithv1.PutDictionaryResponse, err error) {
	err = a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.PutDictionary(ctx)
		if err != nil {
			return err
		}
		head := &kithv1.DictionaryHead{
			Job: a.job, Items: uint32(a.numItems), Users: a.firstUser[len(a.firstUser)-1], Interactions: a.interactions,
			FirstUser: a.firstUser, Partitions: uint32(len(a.replicas)), Spec: a.spec, Squares: true,
		}
		for _, r := range a.plan.Blocks {
			head.BlockEnds = append(head.BlockEnds, r.Hi)
		}
		for _, r := range a.plan.Sides {
			head.SideEnds = append(head.SideEnds, r.Hi)
		}
		m := &kithv1.PutDictionaryRequest{Head: head}
		for chunk := range slices.Chunk(a.items, dictionaryChunk) {
			m.Items = chunk
			if err := stream.Send(m); err != nil {
				break // CloseAndRecv tells the reason
			}
			m = &kithv1.PutDictionaryRequest{}
		}
		resp, err = stream.CloseAndRecv()
		return err
	})
	return resp, err
}

// merge makes the first living replica of each partition merge the lists of the partition's items, and the others copy
// what they will serve.
func (a *attempt) merge(ctx context.Context) error {
	sources := []*kithv1.PartialSource{}
	for _, f := range a.cfg.Log.State().Job(a.job).GetFinished() {
		sources = append(sources, &kithv1.PartialSource{Node: f.Node, GrpcAddr: a.cfg.Nodes.Addr(f.Node), Tasks: f.Tasks})
	}
	a.lists, a.owner = make([]*kithv1.Artifact, len(a.replicas)), make([]string, len(a.replicas))
	err := a.forPartitions(ctx, kithv1.JobPhase_JOB_PHASE_MERGE, func(ctx context.Context, p int) error {
		var err error
		for _, node := range a.replicas[p] {
			if !slices.Contains(a.workers, node) {
				continue
			}
			if err = a.mergeOn(ctx, node, p, sources); err == nil {
				return nil
			}
		}
		return cmp.Or(err, wire.ErrNotReady)
	})
	if err != nil {
		return errors.Join(err, a.reopenLost(ctx, sources))
	}
	return a.forPartitions(ctx, kithv1.JobPhase_JOB_PHASE_PUBLISH, a.copies)
}

func (a *attempt) mergeOn(ctx context.Context, node string, p int, sources []*kithv1.PartialSource) error {
	return a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
		resp, err := c.MergeLists(ctx, &kithv1.MergeListsRequest{Job: a.job, Partition: uint32(p), Sources: sources})
		if err != nil {
			return err
		}
		a.lists[p], a.owner[p] = resp.Artifact, node
		a.note(resp.Usage)
		return nil
	})
}

// reopenLost asks every node that finished tasks whether it still has their results, and reopens those of the nodes that
// do not. It is called when a merge failed.
func (a *attempt) reopenLost(ctx context.Context, sources []*kithv1.PartialSource) error {
	for _, s := range sources {
		err := a.call(ctx, s.Node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := c.FetchPartials(ctx, &kithv1.FetchPartialsRequest{Job: a.job, Tasks: s.Tasks})
			if err != nil {
				return err
			}
			if _, err = stream.Recv(); errors.Is(err, io.EOF) {
				return nil
			}
			return err
		})
		if err == nil || ctx.Err() != nil {
			continue
		}
		a.cfg.Logger.Warn("results of a node are lost; its tasks run again", "job", a.job, "node", s.Node, "tasks", len(s.Tasks), "err", err)
		if err := a.reopen(ctx, s.Node); err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) reopen(ctx context.Context, node string) error {
	_, err := a.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_ReopenTasks{ReopenTasks: &kithv1.ReopenTasks{Job: a.job, Node: node}}})
	return err
}

// copies brings the files of a partition to all its living replicas.
func (a *attempt) copies(ctx context.Context, p int) error {
	for _, node := range a.replicas[p] {
		for _, c := range []struct {
			file *kithv1.Artifact
			from string
		}{{a.lists[p], a.owner[p]}, {a.rows[p], a.holder[p]}} {
			if c.file == nil || c.from == node {
				continue
			}
			err := a.call(ctx, node, func(ctx context.Context, client kithv1.ComputeServiceClient) error {
				_, err := client.CopyArtifact(ctx, &kithv1.CopyArtifactRequest{
					Version: a.job, Artifacts: []*kithv1.Artifact{c.file}, Node: c.from, GrpcAddr: a.cfg.Nodes.Addr(c.from),
				})
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// note keeps the last report of a node's usage.
func (a *attempt) note(u *kithv1.NodeUsage) {
	if u == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.usage[u.Node]; old == nil || old.CpuSeconds <= u.CpuSeconds {
		a.usage[u.Node] = u
	}
}

func (a *attempt) publish(ctx context.Context) error {
	now := a.cfg.Now().UnixMilli()
	record := &kithv1.VersionRecord{Version: &kithv1.ModelVersion{
		Version: a.job, Spec: a.spec, Users: uint64(a.firstUser[len(a.firstUser)-1]), Items: uint64(a.numItems),
		Interactions: a.interactions, CreatedUnixMs: now, Followed: a.follows,
	}}
	for _, node := range slices.Sorted(maps.Keys(a.usage)) {
		record.Version.Usage = append(record.Version.Usage, a.usage[node])
	}
	if a.dictionary == nil || a.dictionary.Name != artifact.DictionaryName {
		return fmt.Errorf("dictionary is %v: %w", a.dictionary, wire.ErrNotReady)
	}
	record.Artifacts = append(record.Artifacts, a.dictionary)
	for p := range a.lists {
		record.Artifacts = append(record.Artifacts, a.lists[p])
		if a.rows[p] != nil {
			record.Artifacts = append(record.Artifacts, a.rows[p])
		}
	}
	for _, m := range a.models {
		record.Artifacts = append(record.Artifacts, m.File)
		record.Version.Models = append(record.Version.Models, m.Trained)
	}
	if p := superseded(a.cfg.Log.State(), now); p != 0 {
		if _, err := a.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_DropVersion{DropVersion: &kithv1.DropVersion{Version: p}}}); err != nil {
			return err
		}
	}
	_, err := a.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_Publish{Publish: &kithv1.Publish{
		Job: a.job, Record: record, NowUnixMs: now,
	}}})
	return err
}

// oldVersion is the age up to which the oldest version is kept to go back to, however often builds are made.
const oldVersion = 24 * time.Hour

// superseded returns the version that the next one takes the place of, or 0 for the oldest: the one before the last, so that of versions made fast one is left that is old.
func superseded(s *State, now int64) uint64 {
	kept := s.Versions
	if len(kept) < keptVersions || now-kept[0].Version.CreatedUnixMs >= oldVersion.Milliseconds() {
		return 0
	}
	if p := kept[len(kept)-2].Version.Version; p != s.Active && kept[len(kept)-1].Version.Version == s.Active {
		return p
	}
	return 0
}

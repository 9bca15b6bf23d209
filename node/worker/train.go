package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/methods"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// DefaultModelMemory is enough for the factors of some millions of users, and for the sums of large catalogs.
const DefaultModelMemory = 2 << 30

// training is one training of one model on this node.
type training struct {
	id   uint64
	ctx  context.Context // ends with the training or the job
	stop context.CancelFunc
	// calls are those at work for it; they grow under the lock of the job, while it is the training of the job.
	calls sync.WaitGroup
	board *board
	// sources say where the worker of each partition is.
	sources []*kithv1.PartSource

	mu      sync.Mutex
	workers map[uint32]*trainee
	// fetched is what was got from other nodes in a step, which all workers here share.
	step    uint32
	fetched map[putKey]*once[[]byte]
	// got is how many bytes of it there are, bounded as what is put.
	got atomic.Int64
	// shares is what the workers here share in a step.
	shares train.Shares
	// products are those of all partitions, for kinds that learn from them.
	products once[*knownProducts]
}

// putKey names what a worker has put.
type putKey struct {
	worker int
	name   string
}

// trainee is the worker of a partition.
type trainee struct {
	// worker is nil until ProductsStep for a kind that learns from products; unborn is what it is made of then.
	worker train.Worker
	unborn *newborn
	model  string
	// lock has room for one: the step that runs.
	lock chan struct{}
	step uint32
	origin
}

// origin keeps the first error of what a kind of model reads, which need not tell it: its own errors are for good, those may pass.
type origin struct {
	mu  sync.Mutex
	err error
}

func (o *origin) note(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	return err
}

// cause returns why a call of a kind of model ended with err.
func (o *origin) cause(ctx context.Context, model string, err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case o.err != nil:
		return fmt.Errorf("model %s: %w", model, o.err)
	}
	return fmt.Errorf("%w model %s: %w", wire.ErrTraining, model, err)
}

// enterTraining begins a call for a training, as enter does for a job. With create, which describes it, it is made if it is newer than the one that is there, which ends.
func (w *Worker) enterTraining(ctx context.Context, job, id uint64, create *kithv1.Training) (_ context.Context, j *job, t *training, leave func(), err error) {
	ctx, j, leaveJob, err := w.enter(ctx, job, false)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	j.mu.Lock()
	old := j.training
	if create != nil && (old == nil || old.id < id) {
		t = &training{
			id: id, sources: create.Workers, board: newBoard(w.cfg.ModelMemory), workers: map[uint32]*trainee{}, fetched: map[putKey]*once[[]byte]{},
			products: newOnce[*knownProducts](),
		}
		t.ctx, t.stop = context.WithCancel(j.ctx)
		j.training = t
	} else if old != nil && old.id == id {
		t, old = old, nil
	} else {
		j.mu.Unlock()
		leaveJob()
		return nil, nil, nil, nil, fmt.Errorf("training %d of job %d is not, or no longer, on node %s: %w", id, job, w.cfg.NodeID, wire.ErrBuildLost)
	}
	t.calls.Add(1)
	j.mu.Unlock()
	if old != nil {
		old.end()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(t.ctx, func() {
		cancel(fmt.Errorf("training %d of job %d on node %s has ended: %w", id, job, w.cfg.NodeID, wire.ErrBuildLost))
	})
	return ctx, j, t, func() {
		unlink()
		cancel(nil)
		t.calls.Done()
		leaveJob()
	}, nil
}

// end ends a training that is no longer that of its job.
func (t *training) end() {
	t.stop()
	t.calls.Wait()
}

// EndTraining implements kithv1.ComputeServiceServer.
func (w *Worker) EndTraining(ctx context.Context, req *kithv1.EndTrainingRequest) (*kithv1.EndTrainingResponse, error) {
	_, j, leave, err := w.enter(ctx, req.Job, false)
	if errors.Is(err, wire.ErrBuildLost) {
		return &kithv1.EndTrainingResponse{}, nil // nothing is kept
	}
	if err != nil {
		return nil, err
	}
	defer leave()
	j.mu.Lock()
	t := j.training
	j.training, j.data = nil, map[uint32]*once[*trainingData]{}
	j.mu.Unlock()
	if t != nil {
		t.end()
	}
	return &kithv1.EndTrainingResponse{}, nil
}

// kindOf returns the kind of a model and its settings.
func (w *Worker) kindOf(m *kithv1.ModelSpec) (*train.Kind, model.Settings, error) {
	kind, err := train.Find(w.cfg.Kinds, m.GetKind())
	if err != nil {
		return nil, model.Settings{}, fmt.Errorf("%w: node %s: %w", wire.ErrInvalid, w.cfg.NodeID, err)
	}
	s, err := kind.ParseSettings(m.GetParameters())
	if err != nil {
		return nil, s, fmt.Errorf("%w: model %s: %w", wire.ErrInvalid, m.GetName(), err)
	}
	return kind, s, nil
}

// OfBase returns a kind for the base that settings name: models of a build, or methods by neighbor lists that are made by o.
func OfBase(kinds []*train.Kind, kind *train.Kind, s model.Settings, models []*kithv1.ModelSpec, o similarity.Options) (*train.Kind, error) {
	if kind.OfBase == nil {
		return kind, nil
	}
	var base []train.BaseModel
	always := methods.Kinds(o)
	for _, name := range s.Names(train.Base.Name) {
		if at := slices.IndexFunc(always, func(k *train.Kind) bool { return k.Name == name }); at >= 0 {
			base = append(base, train.BaseModel{Name: name, Kind: always[at]})
			continue
		}
		at := slices.IndexFunc(models, func(m *kithv1.ModelSpec) bool { return m.GetName() == name })
		if at < 0 {
			return nil, fmt.Errorf("the base of %s has %q, which is none of the models of the build", kind.Name, name)
		}
		of, err := train.Find(kinds, models[at].Kind)
		if err != nil {
			return nil, err
		}
		settings, err := of.ParseSettings(models[at].Parameters)
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", name, err)
		}
		base = append(base, train.BaseModel{Name: name, Kind: of, Settings: settings})
	}
	return kind.Of(base)
}

// shapeOf returns the shape of the data of a training, after a check against the dictionary.
func shapeOf(t *kithv1.Training, p *plan) (train.Shape, error) {
	h := p.head
	if t.Users != h.Users || t.Items != h.Items || t.Entries != h.Interactions || !slices.Equal(t.FirstUser, h.FirstUser) || len(t.Workers) != int(h.Partitions) {
		return train.Shape{}, fmt.Errorf("%w: training %d is of %d users, %d items, %d entries on %d workers, and the dictionary of %d, %d, %d in %d partitions",
			wire.ErrInvalid, t.Training, t.Users, t.Items, t.Entries, len(t.Workers), h.Users, h.Items, h.Interactions, h.Partitions)
	}
	shape := train.Shape{Users: int(t.Users), Items: int(t.Items), Entries: int64(t.Entries), Behaviors: t.Behaviors}
	for _, first := range t.FirstUser {
		shape.FirstUser = append(shape.FirstUser, int(first))
	}
	return shape, nil
}

// BeginTraining implements kithv1.ComputeServiceServer.
func (w *Worker) BeginTraining(ctx context.Context, req *kithv1.BeginTrainingRequest) (*kithv1.BeginTrainingResponse, error) {
	of, shard := req.GetTraining(), req.GetShard()
	if of == nil || shard == nil {
		return nil, fmt.Errorf("%w: no training or no shard", wire.ErrInvalid)
	}
	kind, settings, err := w.kindOf(of.Model)
	if err != nil {
		return nil, err
	}
	options, _, err := wire.ParseSpec(shard.Spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if kind, err = OfBase(w.cfg.Kinds, kind, settings, shard.Spec.GetModels(), options); err != nil {
		return nil, fmt.Errorf("%w: node %s: model %s: %w", wire.ErrInvalid, w.cfg.NodeID, of.Model.Name, err)
	}
	ctx, j, t, leave, err := w.enterTraining(ctx, of.Job, of.Training, of)
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
	shape, err := shapeOf(of, p)
	if err != nil {
		return nil, err
	}
	x := &trainee{model: of.Model.Name, lock: make(chan struct{}, 1)}
	data, err := w.dataOf(ctx, j, p, shard, shape, kind.AttributesOf(settings), &x.origin)
	if err != nil {
		return nil, cause(ctx, err)
	}
	threads := max(1, w.cfg.Threads/int(max(1, req.WorkersHere)))
	if kind.LearnsFromProducts() {
		x.unborn = &newborn{kind, settings, data, threads}
		err = cause(ctx, w.putProductsOf(ctx, j, t, shard))
	} else {
		var cpu float64
		cpu, err = w.compute(ctx, func() (err error) {
			x.worker, err = kind.NewWorker(data, settings, threads)
			return x.cause(ctx, x.model, err)
		})
		j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	}
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.workers[shard.Partition] = x
	return &kithv1.BeginTrainingResponse{}, nil
}

// TrainStep implements kithv1.ComputeServiceServer.
func (w *Worker) TrainStep(stream grpc.BidiStreamingServer[kithv1.TrainStepRequest, kithv1.TrainStepResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head, input := first.GetHead(), slices.Clip(first.GetInput()) // which may be that of others, too
	if head == nil {
		return fmt.Errorf("%w: step without head", wire.ErrInvalid)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		input = append(input, m.Input...)
	}
	ctx, j, t, leave, err := w.enterTraining(stream.Context(), head.Job, head.Training, nil)
	if err != nil {
		return err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return err
	}
	x, unlock, err := t.begin(ctx, head)
	if err != nil {
		return err
	}
	defer unlock()
	var said []byte
	cpu, err := w.compute(ctx, func() (err error) {
		if x.unborn != nil {
			return cause(ctx, w.learnProducts(ctx, j, t, p, x, head))
		}
		peers := &trainPeer{w: w, j: j, t: t, plan: p, self: int(head.Partition), step: head.Step, origin: &x.origin}
		said, err = x.worker.Do(ctx, train.Step{Name: head.Name, Input: input}, peers)
		return x.cause(ctx, x.model, err)
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu, TrainSteps: 1})
	if err != nil {
		return fmt.Errorf("step %s: %w", head.Name, err)
	}
	for chunk := range slices.Chunk(said, partChunk) {
		if err := stream.Send(&kithv1.TrainStepResponse{Said: chunk}); err != nil {
			return err
		}
	}
	return stream.Send(&kithv1.TrainStepResponse{Usage: w.report(j)})
}

// begin claims the next step of a worker. The caller must call unlock.
func (t *training) begin(ctx context.Context, head *kithv1.TrainStepHead) (x *trainee, unlock func(), err error) {
	t.mu.Lock()
	x = t.workers[head.Partition]
	if head.Step > t.step {
		t.step = head.Step
		clear(t.fetched)
		t.shares.Clear()
		t.got.Store(0)
	}
	t.mu.Unlock()
	if x == nil {
		return nil, nil, fmt.Errorf("training %d has no worker of partition %d here: %w", t.id, head.Partition, wire.ErrBuildLost)
	}
	select {
	case x.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	if head.Step != x.step+1 {
		<-x.lock
		return nil, nil, fmt.Errorf("training %d, partition %d: step %d behind step %d: %w", t.id, head.Partition, head.Step, x.step, wire.ErrBuildLost)
	}
	x.step = head.Step
	t.board.settle(head.Partition, head.Step)
	return x, func() { <-x.lock }, nil
}

// trainPeer is how the worker of a partition sees the others in a step.
type trainPeer struct {
	w    *Worker
	j    *job
	t    *training
	plan *plan
	// self is its own number.
	self   int
	step   uint32
	origin *origin
}

// Put implements train.Peers.
func (p *trainPeer) Put(name string, b []byte) error {
	if err := p.t.board.put(uint32(p.self), p.step, name, b); err != nil {
		return fmt.Errorf("node %s, partition %d: %w", p.w.cfg.NodeID, p.self, err)
	}
	return nil
}

// Drop implements train.Peers.
func (p *trainPeer) Drop(name string) { p.t.board.drop(uint32(p.self), p.step, name) }

// Get implements train.Peers.
func (p *trainPeer) Get(ctx context.Context, worker int, name string) ([]byte, error) {
	if worker < 0 || worker >= int(p.plan.head.Partitions) {
		return nil, fmt.Errorf("no worker %d of %d", worker, p.plan.head.Partitions)
	}
	from := p.t.source(worker)
	if from.GetNode() == p.w.cfg.NodeID {
		return p.t.board.get(uint32(worker), p.step, name)
	}
	b, err := p.t.share(worker, name).get(ctx, func() ([]byte, error) { return p.w.fetchPut(ctx, p.j, p.t, from, p.step, name) })
	if err != nil {
		return nil, p.origin.note(fmt.Errorf("%q of partition %d from node %s: %w", name, worker, from.GetNode(), err))
	}
	return b, nil
}

// Share implements train.Peers.
func (p *trainPeer) Share(ctx context.Context, name string, f func() (any, error)) (any, error) {
	return p.t.shares.Share(ctx, name, f)
}

// source returns where a worker is; nil for one that there is not.
func (t *training) source(worker int) *kithv1.PartSource {
	if worker >= len(t.sources) {
		return nil
	}
	return t.sources[worker]
}

// share returns what all workers here get together in the present step.
func (t *training) share(worker int, name string) *once[[]byte] {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := putKey{worker, name}
	o := t.fetched[key]
	if o == nil {
		made := newOnce[[]byte]()
		o = &made
		t.fetched[key] = o
	}
	return o
}

// fetchPut fetches what the worker of another node has put.
func (w *Worker) fetchPut(ctx context.Context, j *job, t *training, from *kithv1.PartSource, step uint32, name string) (b []byte, err error) {
	if from == nil {
		return nil, fmt.Errorf("%w: no source", wire.ErrInvalid)
	}
	conn, err := w.peers.Conn(ctx, from.Node, from.GrpcAddr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := kithv1.NewComputeServiceClient(conn).FetchPut(ctx, &kithv1.FetchPutRequest{
		Job: j.id, Training: t.id, Partition: from.Partition, Name: name, Step: step,
	})
	if err != nil {
		return nil, err
	}
	err = wire.Receive(stream, func(m *kithv1.FetchPutResponse) error {
		if b == nil && m.SizeBytes > 0 && m.SizeBytes <= uint64(w.cfg.ModelMemory) {
			b = make([]byte, 0, m.SizeBytes)
		}
		if total := t.got.Add(int64(len(m.Data))); total > w.cfg.ModelMemory {
			return fmt.Errorf("%w: %q: what workers get from other nodes in one step takes %d bytes or more on node %s, with a limit of %d; "+
				"choose smaller settings for the model, or raise the limit (--model-memory-mib)", wire.ErrTraining, name, total, w.cfg.NodeID, w.cfg.ModelMemory)
		}
		b = append(b, m.Data...)
		return nil
	})
	if err != nil {
		t.got.Add(-int64(len(b)))
	}
	j.spend(&kithv1.NodeUsage{BytesIn: uint64(len(b)), TrainBytesIn: uint64(len(b))})
	return b, err
}

// FetchPut implements kithv1.ComputeServiceServer.
func (w *Worker) FetchPut(req *kithv1.FetchPutRequest, stream grpc.ServerStreamingServer[kithv1.FetchPutResponse]) error {
	_, j, t, leave, err := w.enterTraining(stream.Context(), req.Job, req.Training, nil)
	if err != nil {
		return err
	}
	defer leave()
	b, err := t.board.get(req.Partition, req.Step, req.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrTraining, err)
	}
	j.spend(&kithv1.NodeUsage{BytesOut: uint64(len(b)), TrainBytesOut: uint64(len(b))})
	for chunk := range slices.Chunk(b, partChunk) {
		if err := stream.Send(&kithv1.FetchPutResponse{Data: chunk, SizeBytes: uint64(len(b))}); err != nil {
			return err
		}
	}
	return nil
}

// WriteModel implements kithv1.ComputeServiceServer.
func (w *Worker) WriteModel(ctx context.Context, req *kithv1.WriteModelRequest) (*kithv1.WriteModelResponse, error) {
	if err := w.cfg.Room(); err != nil {
		return nil, err
	}
	of := req.GetTraining()
	if !artifact.ValidModel(of.GetModel().GetName()) {
		return nil, fmt.Errorf("%w: name of a model %.80q", wire.ErrInvalid, of.GetModel().GetName())
	}
	kind, settings, err := w.kindOf(of.Model)
	if err != nil {
		return nil, err
	}
	ctx, j, t, leave, err := w.enterTraining(ctx, of.Job, of.Training, nil)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := j.planned()
	if err != nil {
		return nil, err
	}
	shape, err := shapeOf(of, p)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	clear(t.fetched) // of the last step
	t.got.Store(0)
	t.mu.Unlock()
	var file artifact.Info
	cpu, err := w.compute(ctx, func() (err error) {
		var from origin
		peers := &trainPeer{w: w, j: j, t: t, plan: p, step: req.Steps + 1, origin: &from}
		file, err = w.artifacts.WriteModel(of.Job, of.Model.Name, func(out io.Writer) error {
			to := writer{out, &from}
			err := kind.Write(ctx, shape, settings, peers.Get, to)
			if err == nil && kind.LearnsFromProducts() {
				var cold []byte
				if cold, err = peers.Get(ctx, 0, putCold); err == nil {
					_, err = to.Write(cold)
				}
			}
			return from.cause(ctx, of.Model.Name, err)
		})
		if err != nil {
			return err
		}
		return w.checkModel(of.Job, of.Model.Name, kind)
	})
	j.spend(&kithv1.NodeUsage{CpuSeconds: cpu})
	if err != nil {
		return nil, err
	}
	return &kithv1.WriteModelResponse{Artifact: fileToProto(file), Usage: w.report(j)}, nil
}

// writer notes errors of the file.
type writer struct {
	io.Writer
	from *origin
}

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = w.from.note(err)
	}
	return n, err
}

// checkModel reads a model as those who answer queries will.
func (w *Worker) checkModel(version uint64, name string, kind *train.Kind) (err error) {
	file, err := artifact.OpenModel(w.artifacts.Path(version, artifact.ModelName(name)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := ReadModel(kind, file.Content()); err != nil {
		return fmt.Errorf("%w model %s: what was written cannot be read: %w", wire.ErrTraining, name, err)
	}
	return nil
}

// Trained is what the file of a model has: a model or, of a kind whose models are made of others, a combination.
type Trained struct {
	train.Model
	Combination train.Combination
	// Items are the keys of the items that the model knows beyond those of the dictionary, whose ids go on behind it: products that had no events.
	Items []string
}

// ReadModel reads what WriteModel wrote.
func ReadModel(kind *train.Kind, content []byte) (t Trained, err error) {
	if kind.LearnsFromProducts() {
		if content, t.Items, err = artifact.CutItems(content); err != nil {
			return t, err
		}
	}
	if kind.ReadCombination != nil {
		t.Combination, err = kind.ReadCombination(content)
	} else {
		t.Model, err = kind.Read(content)
	}
	return t, err
}

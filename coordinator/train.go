package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// trainChunk is the number of bytes of the input of a step in a message.
	trainChunk = 512 << 10
	// notePause is the least time between two notes in the log of how far a training is.
	notePause = 2 * time.Second
)

// train trains the models of the spec, one after the other, and brings the file of each to all nodes. Worker i of a training is partition i, on the node that has
// its shard, so a model does not depend on the nodes. What is trained is recorded, and not trained again by another attempt.
func (a *attempt) train(ctx context.Context) error {
	a.models = make([]*kithv1.ModelRecord, len(a.spec.Models))
	for i, m := range a.spec.Models {
		var err error
		if a.models[i], err = a.trained(ctx, i); err == nil && a.models[i] == nil {
			a.models[i], err = a.trainModel(ctx, i)
			if err == nil {
				_, err = a.spread(ctx, a.models[i])
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	a.endTraining(ctx)
	return nil
}

// trained returns the record of a model that was trained in an earlier attempt, or nil if there is none, or no node has its file any more.
func (a *attempt) trained(ctx context.Context, i int) (*kithv1.ModelRecord, error) {
	records := a.cfg.Log.State().Job(a.job).GetModels()
	at := slices.IndexFunc(records, func(r *kithv1.ModelRecord) bool { return int(r.Model) == i })
	if at < 0 {
		return nil, nil
	}
	there, err := a.spread(ctx, records[at])
	switch {
	case err == nil:
		return records[at], nil
	case there || ctx.Err() != nil:
		return nil, err
	}
	a.cfg.Logger.Warn("file of a model is lost; it is trained again", "job", a.job, "file", records[at].File.GetName(), "err", err)
	return nil, nil
}

// endTraining frees what the nodes keep for trainings. Those that do not hear it free it with the job.
func (a *attempt) endTraining(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(concurrentCalls)
	for _, node := range a.workers {
		g.Go(func() error {
			if err := a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
				ctx, cancel := context.WithTimeout(ctx, dropTimeout)
				defer cancel()
				_, err := c.EndTraining(ctx, &kithv1.EndTrainingRequest{Job: a.job})
				return err
			}); err != nil {
				a.cfg.Logger.Debug("end training", "job", a.job, "node", node, "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // errors are logged
}

// training is one training of one model, as the driver sees it.
type training struct {
	*attempt
	index   int
	of      *kithv1.Training
	kind    *train.Kind
	driver  train.Driver
	began   time.Time
	noted   time.Time
	steps   uint32
	perNode map[string]uint32
}

// trainModel trains a model, and records its file.
func (a *attempt) trainModel(ctx context.Context, i int) (*kithv1.ModelRecord, error) {
	m := a.spec.Models[i]
	kind, err := train.Find(a.cfg.Kinds, m.Kind)
	if err != nil {
		return nil, fmt.Errorf("%w: node of the coordinator: %w", wire.ErrInvalid, err)
	}
	settings, err := kind.ParseSettings(m.Parameters)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	options, _, err := wire.ParseSpec(a.spec)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	if kind, err = worker.OfBase(a.cfg.Kinds, kind, settings, a.spec.Models, options); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	number, err := a.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_StartTraining{
		StartTraining: &kithv1.StartTraining{Job: a.job, Model: uint32(i)},
	}})
	if err != nil {
		return nil, err
	}
	t := &training{
		attempt: a, index: i, kind: kind, began: a.cfg.Now(), noted: a.cfg.Now(), perNode: map[string]uint32{},
		of: &kithv1.Training{
			Job: a.job, Training: number, Model: m, Users: a.firstUser[len(a.firstUser)-1], Items: uint32(a.numItems), Entries: a.interactions,
			FirstUser: a.firstUser, Behaviors: behaviorsOf(a.spec), Workers: a.sources(),
		},
	}
	for _, node := range a.holder {
		t.perNode[node]++
	}
	if t.driver, err = kind.NewDriver(t.shape(), settings); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrTraining, err)
	}
	if err := t.onAll(ctx, t.begin); err != nil {
		return nil, err
	}
	if err := t.drive(ctx); err != nil {
		return nil, err
	}
	return t.write(ctx)
}

// sources returns where the shard of each partition is.
func (a *attempt) sources() []*kithv1.PartSource {
	sources := make([]*kithv1.PartSource, len(a.holder))
	for p, node := range a.holder {
		sources[p] = &kithv1.PartSource{Partition: uint32(p), Node: node, GrpcAddr: a.cfg.Nodes.Addr(node)}
	}
	return sources
}

func (t *training) shape() train.Shape {
	s := train.Shape{Users: int(t.of.Users), Items: int(t.of.Items), Entries: int64(t.of.Entries), Behaviors: t.of.Behaviors}
	for _, first := range t.of.FirstUser {
		s.FirstUser = append(s.FirstUser, int(first))
	}
	return s
}

// onAll calls the nodes of all partitions at once: a worker may wait for what others put, though not for others to go on.
func (t *training) onAll(ctx context.Context, f func(ctx context.Context, c kithv1.ComputeServiceClient, p int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for p, node := range t.holder {
		g.Go(func() error {
			err := t.whileAlive(ctx, node, func(ctx context.Context) error {
				return t.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error { return f(ctx, c, p) })
			})
			if err != nil {
				return fmt.Errorf("partition %d: %w", p, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (t *training) begin(ctx context.Context, c kithv1.ComputeServiceClient, p int) error {
	_, err := c.BeginTraining(ctx, &kithv1.BeginTrainingRequest{Training: t.of, Shard: t.countRequest(p), WorkersHere: t.perNode[t.holder[p]]})
	return err
}

// drive does one step after the other.
func (t *training) drive(ctx context.Context) error {
	if t.kind.LearnsFromProducts() {
		t.steps++
		if err := t.onAll(ctx, func(ctx context.Context, c kithv1.ComputeServiceClient, p int) error {
			_, err := t.step(ctx, c, p, train.Step{Name: worker.ProductsStep})
			return err
		}); err != nil {
			return err
		}
	}
	var said [][]byte
	for {
		step, done, err := t.driver.Next(said)
		if err != nil {
			return fmt.Errorf("%w: behind step %d: %w", wire.ErrTraining, t.steps, err)
		}
		if done {
			return nil
		}
		if err := t.tell(ctx); err != nil {
			return err
		}
		t.steps++
		said = make([][]byte, len(t.holder))
		if err := t.onAll(ctx, func(ctx context.Context, c kithv1.ComputeServiceClient, p int) (err error) {
			said[p], err = t.step(ctx, c, p, step)
			return err
		}); err != nil {
			return err
		}
	}
}

// tell tells how far the training is.
func (t *training) tell(ctx context.Context) error {
	t.cfg.Progress(kithv1.JobPhase_JOB_PHASE_TRAIN, t.index<<32|int(t.steps), len(t.spec.Models)<<32)
	now := t.cfg.Now()
	if now.Sub(t.noted) < notePause {
		return nil
	}
	t.noted = now
	_, err := t.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_NoteTraining{NoteTraining: &kithv1.NoteTraining{
		Job: t.job, Training: t.of.Training, Part: max(0, min(1, t.driver.Progress())),
	}}})
	if err != nil && ctx.Err() == nil && !errors.Is(err, wire.ErrNotLeader) {
		t.cfg.Logger.Warn("progress of a training is not noted", "job", t.job, "err", err)
		return nil
	}
	return err
}

// step makes the worker of a partition do a step.
func (t *training) step(ctx context.Context, c kithv1.ComputeServiceClient, p int, step train.Step) (said []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.TrainStep(ctx)
	if err != nil {
		return nil, err
	}
	m := &kithv1.TrainStepRequest{Head: &kithv1.TrainStepHead{
		Job: t.job, Training: t.of.Training, Partition: uint32(p), Step: t.steps, Name: step.Name,
	}}
	for rest := step.Input; ; {
		n := min(len(rest), trainChunk)
		m.Input, rest = rest[:n:n], rest[n:] // messages to this process are not copied
		if stream.Send(m) != nil || len(rest) == 0 {
			break // Recv tells the reason
		}
		m = &kithv1.TrainStepRequest{}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return said, nil
		}
		if err != nil {
			return nil, err
		}
		said = append(said, m.Said...)
		t.note(m.Usage)
	}
}

// write makes the node of the first partition write the file, and records it.
func (t *training) write(ctx context.Context) (*kithv1.ModelRecord, error) {
	node := t.holder[0]
	r := &kithv1.ModelRecord{Model: uint32(t.index), Node: node}
	err := t.whileAlive(ctx, node, func(ctx context.Context) error {
		return t.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
			resp, err := c.WriteModel(ctx, &kithv1.WriteModelRequest{Training: t.of, Steps: t.steps})
			if err != nil {
				return err
			}
			r.File = resp.Artifact
			t.note(resp.Usage)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	r.Trained = &kithv1.TrainedModel{
		Spec: t.of.Model, SizeBytes: r.File.GetSizeBytes(), Steps: t.steps, Seconds: t.cfg.Now().Sub(t.began).Seconds(),
	}
	if n, ok := t.driver.(train.Noter); ok {
		r.Trained.Notes = n.Notes()
	}
	_, err = t.cfg.Log.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_FinishTraining{
		FinishTraining: &kithv1.FinishTraining{Job: t.job, Model: r},
	}})
	return r, err
}

// spread brings the file of a model to all nodes that live, of which one has it: that which wrote it, or one that it was brought to before. A node that dies
// meanwhile, and those that come later, fetch it as they fetch all files of a version. With an error it says whether any node has the file.
func (a *attempt) spread(ctx context.Context, r *kithv1.ModelRecord) (there bool, err error) {
	alive := a.cfg.Nodes.Alive()
	sources := slices.DeleteFunc(slices.Clone(alive), func(node string) bool { return node == r.Node })
	if len(sources) < len(alive) {
		sources = slices.Insert(sources, 0, r.Node)
	}
	var g errgroup.Group
	g.SetLimit(concurrentCalls)
	var have atomic.Bool
	for _, node := range alive {
		g.Go(func() (err error) {
			for _, from := range sources {
				err = a.whileAlive(ctx, node, func(ctx context.Context) error { return a.copyModel(ctx, node, from, r.File) })
				if err == nil {
					have.Store(true)
				}
				if err == nil || ctx.Err() != nil {
					return err
				}
			}
			if !slices.Contains(a.cfg.Nodes.Alive(), node) && !slices.Contains(a.holder, node) {
				return nil
			}
			return fmt.Errorf("file %s: %w", r.File.Name, err)
		})
	}
	err = g.Wait()
	return have.Load(), err
}

func (a *attempt) copyModel(ctx context.Context, node, from string, file *kithv1.Artifact) error {
	return a.call(ctx, node, func(ctx context.Context, c kithv1.ComputeServiceClient) error {
		_, err := c.CopyArtifact(ctx, &kithv1.CopyArtifactRequest{
			Version: a.job, Artifacts: []*kithv1.Artifact{file}, Node: from, GrpcAddr: a.cfg.Nodes.Addr(from),
		})
		return err
	})
}

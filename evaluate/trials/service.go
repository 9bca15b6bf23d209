package trials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// DefaultMemory is enough for ten million interactions in one division.
const DefaultMemory = 1 << 30

// Config of a Service.
type Config struct {
	// Node names the server in errors, Version is that of the program.
	Node, Version string
	// Threads is how many trials are made at a time, with a thread each; 0 means one for each processor.
	Threads int
	// Memory bounds what the data of all experiments take, in bytes, but not what the models take that are tried; 0 means DefaultMemory.
	Memory int64
	// Background runs work that lasts, with less priority than queries have; nil runs it as it is.
	Background func(work func() error) error
}

// Service implements kithv1.TrialServiceServer for one server. It is safe for concurrent use.
type Service struct {
	kithv1.UnimplementedTrialServiceServer

	cfg    Config
	memory *semaphore.Weighted
	turns  *semaphore.Weighted // of trials
	ctx    context.Context     // ends with Stop
	stop   context.CancelFunc
}

// NewService returns a Service.
func NewService(cfg Config) *Service {
	cfg.Threads = cmp.Or(cfg.Threads, runtime.GOMAXPROCS(0))
	cfg.Memory = cmp.Or(cfg.Memory, DefaultMemory)
	if cfg.Background == nil {
		cfg.Background = func(work func() error) error { return work() }
	}
	s := &Service{cfg: cfg, memory: semaphore.NewWeighted(cfg.Memory), turns: semaphore.NewWeighted(int64(cfg.Threads))}
	s.ctx, s.stop = context.WithCancel(context.Background()) // the life of the service, of which calls are told
	return s
}

// Register adds the service to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) { kithv1.RegisterTrialServiceServer(r, s) }

// Stop breaks all calls off, and does not wait for them.
func (s *Service) Stop() { s.stop() }

// need is how much memory the data of an experiment take, about, in bytes: a table has 16 bytes an entry where the wire has 12, and each division 20. Both grow alike with
// keys and attributes.
func need(sizeBytes uint64, divisions uint32) uint64 { return sizeBytes * (2 + 2*uint64(divisions)) }

// maxExperimentBytes is far more than memory, and keeps need from overflowing.
const (
	maxExperimentBytes = 1 << 40
	maxDivisions       = 1 << 10
)

// reserve takes memory for an experiment, before any of it has come.
func (s *Service) reserve(of *kithv1.TrialExperiment) (free func(), err error) {
	switch {
	case of == nil || of.SizeBytes > maxExperimentBytes || of.Divisions < 1 || of.Divisions > maxDivisions:
		return nil, fmt.Errorf("%w: the first message is about no experiment that can be", wire.ErrInvalid)
	case of.Version != s.cfg.Version:
		return nil, fmt.Errorf("%w: node %s runs version %q of the program, and the experiment is of version %q; trials of two versions do not compare: use the same one",
			wire.ErrInvalid, s.cfg.Node, s.cfg.Version, of.Version)
	}
	n := need(of.SizeBytes, of.Divisions)
	switch {
	case n > uint64(s.cfg.Memory):
		return nil, fmt.Errorf("%w: node %s: the experiment takes about %d MiB in %d divisions, and all experiments here may take %d MiB; use fewer validation folds or users, "+
			"or raise the limit (--trial-memory-mib)", wire.ErrInvalid, s.cfg.Node, n>>20, of.Divisions, s.cfg.Memory>>20)
	case !s.memory.TryAcquire(int64(n)):
		return nil, fmt.Errorf("%w: node %s: the experiment takes about %d MiB in %d divisions, and others have most of the %d MiB (--trial-memory-mib); wait until they have ended",
			wire.ErrOverloaded, s.cfg.Node, n>>20, of.Divisions, s.cfg.Memory>>20)
	}
	return func() { s.memory.Release(int64(n)) }, nil
}

// Try implements kithv1.TrialServiceServer.
func (s *Service) Try(stream grpc.BidiStreamingServer[kithv1.TryRequest, kithv1.TryResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(fmt.Errorf("%w: node %s stops", wire.ErrNotReady, s.cfg.Node)) })()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	free, err := s.reserve(first.GetExperiment())
	if err != nil {
		return err
	}
	defer free()
	bench, err := s.bench(ctx, stream, first.GetExperiment())
	if err != nil {
		return err
	}
	ready := &kithv1.TrialsReady{Of: bench.Of(), AtATime: uint32(s.cfg.Threads)}
	if err := stream.Send(&kithv1.TryResponse{Step: &kithv1.TryResponse_Ready{Ready: ready}}); err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(s.cfg.Threads)
	var sending sync.Mutex
	for setting, err := range settings(ctx, stream) {
		if err != nil {
			cancel(err)
			break
		}
		work.Go(func() error {
			result, err := s.trial(ctx, bench, setting)
			if err != nil {
				return err
			}
			sending.Lock()
			defer sending.Unlock()
			return stream.Send(&kithv1.TryResponse{Step: &kithv1.TryResponse_Result{Result: result}})
		})
	}
	err = work.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // says more
	}
	return err
}

// sendTime is how long the parts of an experiment may take: others wait for the memory.
const sendTime = 10 * time.Minute

// maxLengths bounds the lengths of lists that a trial measures: each takes some figures for every user.
const maxLengths = 100

// bench receives an experiment, and divides its data.
func (s *Service) bench(ctx context.Context, stream grpc.BidiStreamingServer[kithv1.TryRequest, kithv1.TryResponse], of *kithv1.TrialExperiment) (b *evaluate.Bench, err error) {
	type decoded struct {
		e   evaluate.Experiment
		err error
	}
	come := make(chan decoded, 1)
	go func() { // ends with the stream at the latest, that is when the handler has returned
		e, err := decode(&parts{stream: stream, open: of.SizeBytes})
		come <- decoded{e, err}
	}()
	timer := time.NewTimer(sendTime)
	defer timer.Stop()
	var e evaluate.Experiment
	select {
	case d := <-come:
		if d.err != nil {
			return nil, d.err
		}
		e = d.e
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
		return nil, fmt.Errorf("%w: the experiment has not come in %v", wire.ErrInvalid, sendTime)
	}
	if len(e.N) > maxLengths {
		return nil, fmt.Errorf("%w: %d lengths of lists, want %d at most", wire.ErrInvalid, len(e.N), maxLengths)
	}
	if e.Tuning.Trials < 1 || e.Divisions() > int(of.Divisions) {
		return nil, fmt.Errorf("%w: an experiment of %d trials in %d divisions, and the first message has %d", wire.ErrInvalid, e.Tuning.Trials, e.Divisions(), of.Divisions)
	}
	err = s.cfg.Background(func() error {
		if b, err = evaluate.NewBench(e); err != nil {
			return fmt.Errorf("%w: %w", wire.ErrInvalid, err)
		}
		return nil
	})
	return b, err
}

// settings yields what is to be tried until the caller closes its side, ctx is done, or there is an error. What waits for the next one ends with the stream at the latest, that is when
// the handler has returned: nothing else breaks it off.
func settings(ctx context.Context, stream grpc.BidiStreamingServer[kithv1.TryRequest, kithv1.TryResponse]) func(yield func(*kithv1.TrialSetting, error) bool) {
	type message struct {
		setting *kithv1.TrialSetting
		err     error
	}
	next := make(chan message)
	go func() {
		defer close(next)
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && m.GetSetting() == nil {
				err = fmt.Errorf("%w: a message without a setting", wire.ErrInvalid)
			}
			select {
			case next <- message{m.GetSetting(), err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return func(yield func(*kithv1.TrialSetting, error) bool) {
		for {
			select {
			case m, ok := <-next:
				if !ok || !yield(m.setting, m.err) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// trial makes one trial when it is its turn among all of the server.
func (s *Service) trial(ctx context.Context, b *evaluate.Bench, x *kithv1.TrialSetting) (*kithv1.TrialResult, error) {
	if err := s.turns.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.turns.Release(1)
	var t evaluate.Trial
	err := s.cfg.Background(func() (err error) {
		t, err = b.Try(ctx, x.Model, x.Share, 1)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: %w", wire.ErrInvalid, err)
	}
	return &kithv1.TrialResult{Number: x.Number, Mean: t.Figure.Mean, Low: t.Figure.Low, High: t.Figure.High, Failed: t.Failed, Seconds: t.Seconds}, nil
}

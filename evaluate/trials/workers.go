package trials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Server is one that makes trials.
type Server struct {
	Addr string // in errors
	Conn grpc.ClientConnInterface
}

// Workers makes the trials of an experiment on servers: each has as many as it makes at a time. A server whose stream breaks is asked anew if it has made a trial since
// it was asked last; else it is lost, and others make its trials. Without any it is an error. A trial that cost two servers has failed. Workers implements evaluate.Maker.
type Workers struct {
	// Patience is how long a server that was lost may take to come back, or to notice that an earlier stream is broken; it is asked every second. NewWorkers sets 30 s.
	Patience time.Duration

	head *kithv1.TrialExperiment
	data []byte
	note func(addr string, err error)

	ctx     context.Context // the life of the streams, from NewWorkers to Close
	stop    context.CancelFunc
	streams sync.WaitGroup

	servers []*server
	// free has a server for each trial that may be given to it now.
	free chan *server
	// none is closed when all servers are lost.
	none chan struct{}

	of string // fingerprint of the experiment, from Start on

	mu    sync.Mutex // guards what follows
	lost  int
	cause error // of the last loss
}

var _ evaluate.Maker = (*Workers)(nil)

// server is one with its stream.
type server struct {
	Server

	mu   sync.Mutex // held while a stream is opened; guards what follows
	line *line
	lost bool
}

// line is one stream to a server.
type line struct {
	stream grpc.BidiStreamingClient[kithv1.TryRequest, kithv1.TryResponse]
	// atATime is how many trials the server makes.
	atATime int
	cancel  context.CancelFunc

	mu      sync.Mutex // guards what follows, and sending
	pending map[uint64]chan<- *kithv1.TrialResult
	last    uint64 // number of a setting
	made    int
	broken  error
}

// NewWorkers returns Workers for an experiment with tuning, the same that evaluate.Run gets, by a program of a version. It calls no server yet. note is told of
// servers that are lost, and why, by any goroutine. The caller must Close it.
func NewWorkers(ctx context.Context, e evaluate.Experiment, version string, servers []Server, note func(addr string, err error)) (*Workers, error) {
	if e.Tuning == nil || len(servers) == 0 {
		return nil, errors.New("trials: no tuning, or no server that makes them")
	}
	data, err := encode(e)
	if err != nil {
		return nil, fmt.Errorf("trials: %w", err)
	}
	w := &Workers{
		Patience: 30 * time.Second,
		head:     &kithv1.TrialExperiment{Version: version, SizeBytes: uint64(len(data)), Divisions: uint32(e.Divisions())}, data: data, note: note,
		none: make(chan struct{}),
	}
	for _, s := range servers {
		w.servers = append(w.servers, &server{Server: s})
	}
	w.ctx, w.stop = context.WithCancel(ctx)
	return w, nil
}

// goodbyeTime is how long servers may take to end streams in which nothing is under way.
const goodbyeTime = 2 * time.Second

// Close ends all streams, and breaks off what is under way there. It returns when they have ended. Nobody may call Start or Try any more.
func (w *Workers) Close() {
	for _, s := range w.servers {
		if s.line != nil {
			s.line.close()
		}
	}
	timer := time.AfterFunc(goodbyeTime, w.stop)
	defer timer.Stop()
	w.streams.Wait()
	w.stop()
}

// close says goodbye to the server, or breaks off what is under way.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) > 0 || l.stream.CloseSend() != nil {
		l.cancel()
	}
}

// Start implements evaluate.Maker: it sends the experiment to all servers, and passes over those that do not answer. A server that refuses it is an error.
func (w *Workers) Start(ctx context.Context, of string) (parallel int, err error) {
	if w.of != "" {
		return 0, errors.New("trials: workers are for one tuning")
	}
	w.of = of
	defer context.AfterFunc(ctx, w.stop)()
	var g errgroup.Group
	for _, s := range w.servers {
		g.Go(func() error {
			l, err := w.open(s)
			switch {
			case err == nil:
				s.line = l
			case wire.Retryable(err):
				w.lose(s, err)
			default:
				return fmt.Errorf("trials: server %s: %w", s.Addr, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	var free []*server
	for _, s := range w.servers {
		if s.line != nil {
			free = append(free, slices.Repeat([]*server{s}, s.line.atATime)...)
		}
	}
	w.free = make(chan *server, len(free))
	for _, s := range free {
		w.free <- s
	}
	if len(free) == 0 {
		return 0, w.left()
	}
	return len(free), nil
}

// lose notes that a server is lost.
func (w *Workers) lose(s *server, err error) {
	s.lost = true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cause = fmt.Errorf("server %s: %w", s.Addr, err)
	if w.ctx.Err() == nil {
		w.note(s.Addr, err)
	}
	if w.lost++; w.lost == len(w.servers) {
		close(w.none)
	}
}

// left is the error of having lost all servers.
func (w *Workers) left() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Errorf("trials: no server is left to make them; the last was lost by: %w", w.cause)
}

// open sends the experiment to a server, and returns when it is ready.
func (w *Workers) open(s *server) (_ *line, err error) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	stream, err := kithv1.NewTrialServiceClient(s.Conn).Try(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&kithv1.TryRequest{Step: &kithv1.TryRequest_Experiment{Experiment: w.head}})
	for part := range slices.Chunk(w.data, partBytes) {
		if err == nil {
			err = stream.Send(&kithv1.TryRequest{Step: &kithv1.TryRequest_Part{Part: part}})
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // whose cause Recv has
		return nil, err
	}
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	ready := m.GetReady()
	if ready.GetOf() != w.of || ready.GetAtATime() < 1 {
		return nil, fmt.Errorf("it finds the fingerprint %q of the experiment, and here it is %q; the programs differ: use the same one", ready.GetOf(), w.of)
	}
	l := &line{stream: stream, atATime: int(ready.AtATime), cancel: cancel, pending: map[uint64]chan<- *kithv1.TrialResult{}}
	w.streams.Go(l.receive)
	return l, nil
}

// receive hands results to who waits for them until the stream ends.
func (l *line) receive() {
	defer l.cancel()
	for {
		m, err := l.stream.Recv()
		l.mu.Lock()
		if err != nil {
			l.broken = err
			for _, c := range l.pending {
				close(c)
			}
			clear(l.pending)
			l.mu.Unlock()
			return
		}
		number := m.GetResult().GetNumber()
		if c := l.pending[number]; c != nil {
			delete(l.pending, number)
			l.made++
			c <- m.GetResult()
		}
		l.mu.Unlock()
	}
}

// state returns how many trials the stream has made, and why it is broken, if it is.
func (l *line) state() (made int, broken error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made, l.broken
}

// try makes a trial; nil if the stream is broken.
func (l *line) try(ctx context.Context, name string, share float64) (*kithv1.TrialResult, error) {
	result := make(chan *kithv1.TrialResult, 1)
	l.mu.Lock()
	if l.broken != nil {
		l.mu.Unlock()
		return nil, nil
	}
	l.last++
	l.pending[l.last] = result
	// The server has room for it, and an error is one of receive too.
	_ = l.stream.Send(&kithv1.TryRequest{Step: &kithv1.TryRequest_Setting{Setting: &kithv1.TrialSetting{Number: l.last, Model: name, Share: share}}})
	l.mu.Unlock()
	select {
	case r := <-result:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lineOf returns the stream of a server, a new one if it was broken; nil if the server is lost, or ctx done.
func (w *Workers) lineOf(ctx context.Context, s *server) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		return nil
	}
	made, broken := s.line.state()
	if broken == nil {
		return s.line
	}
	var err error
	for began := time.Now(); made > 0; {
		var l *line
		if l, err = w.open(s); err == nil {
			s.line = l
			return l
		}
		if !wire.Retryable(err) || time.Since(began) >= w.Patience {
			break
		}
		select {
		case <-time.After(min(askPause, w.Patience)):
		case <-ctx.Done():
			return nil // the tuning ends
		}
	}
	w.lose(s, errors.Join(broken, err))
	return nil
}

// askPause is the time between two tries to reach a server that was lost.
const askPause = time.Second

// lostWith is how many servers a trial may cost: what takes the second one down takes the next, too.
const lostWith = 2

// Try implements evaluate.Maker.
func (w *Workers) Try(ctx context.Context, name string, share float64) (evaluate.Trial, error) {
	lost := map[*server]bool{} // while they made it
	for len(lost) < lostWith {
		var s *server
		select {
		case s = <-w.free:
		case <-w.none:
		case <-ctx.Done():
		}
		switch {
		case ctx.Err() != nil:
			return evaluate.Trial{}, ctx.Err()
		case s == nil:
			return evaluate.Trial{}, w.left()
		}
		l := w.lineOf(ctx, s)
		if l == nil {
			continue // one place less
		}
		r, err := l.try(ctx, name, share)
		w.free <- s
		if err != nil {
			return evaluate.Trial{}, err
		}
		if r != nil {
			figure := evaluate.Estimate{Mean: r.Mean, Low: r.Low, High: r.High}
			return evaluate.Trial{Of: w.of, Name: name, Share: share, Figure: figure, Failed: r.Failed, Seconds: r.Seconds}, nil
		}
		lost[s] = true
	}
	failed := fmt.Sprintf("%d servers, one after the other, broke off while they made it: perhaps it takes more memory than they have", lostWith)
	return evaluate.Trial{Of: w.of, Name: name, Share: share, Failed: failed}, nil
}

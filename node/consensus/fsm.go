package consensus

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// FSM is the state machine of a group. Every member applies the same commands in
// the same order and must come to the same state. Apply, Snapshot and Restore
// are called by one goroutine at a time; Restore may replace the state of a
// running member.
type FSM interface {
	// Apply executes the command at index of the log. It blocks the group while
	// it runs. It must not keep data. An error is a result like any other: it goes to the
	// proposer, is the same on all members, and the command counts as applied. Only after one that
	// matches ErrTooNew it does not, and nothing is called any more. After a
	// restart a persistent FSM is given commands again from its last snapshot
	// on, and must skip those with index <= Applied().
	Apply(index uint64, data []byte) (any, error)
	// Snapshot returns at once with a view of the state that does not change,
	// or that may move on if Apply skips what a restored state holds already.
	Snapshot() (Snapshot, error)
	// Restore replaces the whole state by that of the stream r. The FSM reads
	// r to its end, and keeps the old state if r ends with an error.
	Restore(r io.Reader) error
	// Applied returns the index up to which the state of the FSM has come by
	// itself: what it found on disk or took from a snapshot. An FSM that lives in memory
	// returns 0. It is called after opening and after Restore.
	Applied() uint64
}

// Snapshot is the state of an FSM at one moment. WriteTo is called at most once, by
// another goroutine than the methods of the FSM; ctx ends when the group shuts
// down. A persistent FSM must have everything up to the snapshot durable by itself before WriteTo
// returns. Release is called once at the end in any case.
//
// It is an alias so that packages that do not import this one can satisfy FSM.
type Snapshot = interface {
	WriteTo(ctx context.Context, w io.Writer) error
	Release()
}

// outcome is what Apply returned, on its way through raft to the proposer.
type outcome struct {
	value any
	err   error
}

// machine fits an FSM to raft.FSM and knows what was applied.
type machine struct {
	fsm FSM
	ctx context.Context // ends snapshots when the group shuts down

	applied   atomic.Uint64
	snapshots atomic.Uint64 // that were begun
	waiting   atomic.Int32  // goroutines in wait, so that Apply without them takes no lock

	// why is the error of the FSM that halted the member; it is set by the goroutine of the FSM, before halted is closed.
	why    error
	halted chan struct{}

	mu      sync.Mutex    // guards changed
	changed chan struct{} // closed and replaced when applied grows
}

var _ raft.FSM = (*machine)(nil)

func newMachine(ctx context.Context, fsm FSM) *machine {
	m := &machine{fsm: fsm, ctx: ctx, halted: make(chan struct{}), changed: make(chan struct{})}
	m.applied.Store(fsm.Applied())
	return m
}

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) any {
	if m.why != nil {
		return outcome{nil, m.why}
	}
	value, err := m.fsm.Apply(l.Index, l.Data)
	if m.halts(err) {
		return outcome{nil, err}
	}
	m.advance(l.Index)
	return outcome{value, err}
}

// halts reports whether an error of the FSM halts the member, and halts it then: no command is applied, no snapshot taken or restored any more.
func (m *machine) halts(err error) bool {
	if !errors.Is(err, ErrTooNew) {
		return false
	}
	m.why = err
	close(m.halted)
	return true
}

// advance raises the applied index to index and wakes who waits for it.
func (m *machine) advance(index uint64) {
	if index <= m.applied.Load() {
		return // a replay of what a persistent FSM holds
	}
	m.applied.Store(index)
	if m.waiting.Load() > 0 {
		m.mu.Lock()
		close(m.changed)
		m.changed = make(chan struct{})
		m.mu.Unlock()
	}
}

// wait returns when index is applied, or with an error when ctx or done end.
func (m *machine) wait(ctx context.Context, done <-chan struct{}, index uint64) error {
	if m.applied.Load() >= index {
		return nil
	}
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if m.applied.Load() >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-done:
			return ErrClosed
		}
	}
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.why != nil {
		return nil, m.why // raft counts entries behind the last one applied as applied, too
	}
	s, err := m.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	m.snapshots.Add(1)
	return &snapshot{ctx: m.ctx, state: s, applied: m.applied.Load()}, nil
}

// Restore implements raft.FSM.
func (m *machine) Restore(rc io.ReadCloser) error {
	if m.why != nil {
		return m.why
	}
	r, applied, err := newFrameReader(rc)
	if err != nil {
		return err
	}
	if err := m.fsm.Restore(r); err != nil {
		m.halts(err)
		return err
	}
	// What the FSM did not read must be undamaged, too.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	m.advance(max(applied, m.fsm.Applied()))
	return nil
}

// snapshot fits a Snapshot to raft.FSMSnapshot.
type snapshot struct {
	ctx     context.Context
	state   Snapshot
	applied uint64
}

// Persist implements raft.FSMSnapshot; raft cancels the sink after an error.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	w, err := newFrameWriter(sink, s.applied)
	if err != nil {
		return err
	}
	if err := s.state.WriteTo(s.ctx, w); err != nil {
		return err
	}
	return w.finish()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() { s.state.Release() }

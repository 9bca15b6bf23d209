package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Log is where decisions go and where they are seen. A control group is one; MemoryLog is another.
type Log interface {
	// Propose returns after the command has been applied, with the id that it made or found, or with the reason why it
	// was refused. wire.ErrNotLeader and wire.ErrUnknownOutcome are matched where they apply; every command may be repeated.
	Propose(ctx context.Context, c *kithv1.ControlCommand) (id uint64, err error)
	// State returns the state as this process knows it.
	State() *State
	// Changed returns a channel that is closed when the state changes next. Take it before State to miss nothing.
	Changed() <-chan struct{}
}

// Machine holds the present State and applies the log to it.
type Machine struct {
	// present is replaced as a whole, and read by every query: without a lock, since those who wait for a lock on a busy machine hand it on one by one.
	present atomic.Pointer[present]
}

// present is what holds until the next change.
type present struct {
	state   *State
	view    node.View
	changed chan struct{} // closed when it is replaced
}

var _ consensus.FSM = (*Machine)(nil)

// NewMachine returns a Machine with an empty state.
func NewMachine() *Machine {
	m := &Machine{}
	m.present.Store(&present{state: &State{}, changed: make(chan struct{})})
	return m
}

// State implements Log.
func (m *Machine) State() *State { return m.present.Load().state }

// Changed implements Log.
func (m *Machine) Changed() <-chan struct{} { return m.present.Load().changed }

// View returns what a node has to know of the state.
func (m *Machine) View() node.View { return m.present.Load().view }

func (m *Machine) set(s *State) {
	old := m.present.Swap(&present{state: s, view: s.View(), changed: make(chan struct{})})
	close(old.changed)
}

// Apply decodes and applies one entry of the log. The result is the id (uint64) that the command made or found.
func (m *Machine) Apply(index uint64, data []byte) (any, error) {
	c := &kithv1.ControlCommand{}
	if err := proto.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("control entry %d: %w: %w", index, wire.ErrCorrupt, err)
	}
	next, id, err := m.State().Apply(index, c)
	if errors.Is(err, consensus.ErrTooNew) {
		return nil, err // the group halts
	}
	m.set(next)
	return id, err
}

// Applied is 0: the state lives in memory, and the log and its snapshots bring it back.
func (m *Machine) Applied() uint64 { return 0 }

// Snapshot returns a view of the present state: states do not change, so it costs nothing.
func (m *Machine) Snapshot() (consensus.Snapshot, error) { return snapshot{m.State()}, nil }

type snapshot struct{ state *State }

// WriteTo writes the encoded state.
func (s snapshot) WriteTo(_ context.Context, w io.Writer) error {
	b, err := s.state.Encode()
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// Release has nothing to free.
func (s snapshot) Release() {}

// Restore replaces the state by a snapshot.
func (m *Machine) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read control snapshot: %w", err)
	}
	s, err := DecodeState(b)
	if err != nil {
		return err
	}
	m.set(s)
	return nil
}

// MemoryLog is a Log of one process that keeps nothing: for builds over a file, where there is no cluster.
type MemoryLog struct {
	*Machine
	mu    sync.Mutex // orders proposals
	index uint64
}

// NewMemoryLog returns an empty MemoryLog.
func NewMemoryLog() *MemoryLog { return &MemoryLog{Machine: NewMachine()} }

// Propose implements Log.
func (l *MemoryLog) Propose(ctx context.Context, c *kithv1.ControlCommand) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	next, id, err := l.State().Apply(l.index, c)
	l.set(next)
	return id, err
}

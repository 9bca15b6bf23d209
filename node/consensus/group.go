package consensus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/kith-io/kith/durable"
)

// Server is a member to be: its id, and the raft address that it has now.
type Server struct{ ID, Addr string }

// Member is a member of a group. Addr is the address at which it was added; it
// may have moved since.
type Member struct {
	ID, Addr string
	Voter    bool
}

// Group is this process's member of one raft group. Its methods are safe for
// concurrent use. Those that take a context return when it ends, whatever raft is doing.
type Group struct {
	cfg     Config
	log     *slog.Logger
	machine *machine
	layer   *layer
	trans   *raft.NetworkTransport
	wal     *logStore
	snaps   snapshotStore
	raft    *raft.Raft

	followers followers
	opened    time.Time
	leaders   atomic.Uint64 // that this member has heard of, one after the other

	cancel context.CancelFunc // ends snapshots being written
	done   chan struct{}      // closed when Shutdown begins

	// readyTerm is the last term in which a barrier showed that this leader has
	// applied everything that was acknowledged before the term.
	readyTerm atomic.Uint64
	// probation says that votes are withheld, by the goroutine that withholding waits for.
	probation   atomic.Bool
	withholding sync.WaitGroup
	admission   sync.Mutex // one Admit at a time

	mu      sync.Mutex // guards what follows
	closing bool
	calls   sync.WaitGroup // calls that wait for raft; Add under mu while not closing
	// next is the round of heartbeats that calls of VerifyLeader wait for, and confirming says that a goroutine is there to run it.
	next       *round
	confirming bool
	shutdown   func() error // ends everything once
}

// Open starts this process's member of the group cfg.Group on mux, from the
// files in cfg.Dir if there are any. A new member has no part in the group until it is
// bootstrapped or added. The caller must Shutdown the Group before it stops mux and closes fsm.
func Open(cfg Config, mux *Mux, fsm FSM) (_ *Group, err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Group{
		cfg:     cfg,
		log:     cfg.Log.With("group", cfg.Group),
		machine: newMachine(ctx, fsm),
		opened:  time.Now(),
		cancel:  cancel,
		done:    make(chan struct{}),
	}
	g.shutdown = sync.OnceValue(g.stop)
	defer func() {
		if err != nil {
			err = fmt.Errorf("open group %s: %w", cfg.Group, err)
			if errors.Is(err, ErrCorrupt) {
				err = fmt.Errorf("%w; %s", err, remedy)
			}
			_ = g.Shutdown()
		}
	}()
	if err := g.start(mux); err != nil {
		return nil, err
	}
	return g, nil
}

// start opens the files and the transport and starts raft.
func (g *Group) start(mux *Mux) error {
	conf := g.cfg.raftConfig()
	conf.Logger = newHCLogger(g.log)

	if g.cfg.Probation {
		on, err := enterProbation(g.cfg.Dir)
		if err != nil {
			return err
		}
		if g.probation.Store(on); on {
			conf.HeartbeatTimeout, conf.ElectionTimeout = never, never
		}
	}
	if err := makeDir(filepath.Join(g.cfg.Dir, "wal")); err != nil {
		return err
	}
	var err error
	if g.wal, err = openLog(g.cfg.Dir, g.cfg.Room, g.log, g.done); err != nil {
		return err
	}
	retain := 2 // one to fall back on
	if g.cfg.NoRestoreOnStart {
		retain = 1 // the FSM has its own copy; the snapshot is for others
	}
	if err := removeUnfinished(filepath.Join(g.cfg.Dir, "snapshots"), g.log); err != nil {
		return err
	}
	onDisk, err := raft.NewFileSnapshotStoreWithLogger(g.cfg.Dir, retain, conf.Logger)
	if err != nil {
		return err
	}
	files := raft.SnapshotStore(onDisk)
	var started atomic.Bool // g.raft is set
	if g.cfg.SnapshotLimit != nil {
		files = &limitedSnapshots{files, g.machine.ctx, g.cfg.SnapshotLimit, func() bool { return started.Load() && g.IsLeader() }}
	}
	g.snaps = snapshotStore{SnapshotStore: files, dir: filepath.Join(g.cfg.Dir, "snapshots"), room: g.wal.room, log: g.log}
	if conf.NoSnapshotRestoreOnStart, err = g.inspect(); err != nil {
		return err
	}

	if g.layer, err = mux.layer(g.cfg.Group, g.cfg.NodeID); err != nil {
		return err
	}
	transConf := &raft.NetworkTransportConfig{
		Stream:                  g.layer,
		MaxPool:                 maxPool,
		Timeout:                 transportTimeout,
		Logger:                  conf.Logger,
		MsgpackUseNewTimeFormat: true,
	}
	g.trans = raft.NewNetworkTransportWithConfig(transConf)
	calls := g.trans.Consumer()
	if g.OnProbation() {
		calls = g.withhold(calls)
	}
	g.wal.started = true
	g.wal.disk.patience = patienceElections * g.cfg.ElectionTimeout
	if g.raft, err = raft.NewRaft(conf, g.machine, g.wal, g.wal, g.snaps, transport{g.trans, g.cfg.Resolve, calls, &g.wal.disk, &g.followers}); err != nil {
		if g.machine.why != nil {
			err = g.machine.why // raft says only that no snapshot could be restored
		}
		return err
	}
	started.Store(true)
	g.watchLeaders()
	return nil
}

// makeDir makes a directory and those above it, durably: a log whose directory
// is gone after a crash of the machine has forgotten what it acknowledged.
func makeDir(path string) error {
	var missing []string
	for p := path; ; p = filepath.Dir(p) {
		_, err := os.Stat(p)
		if err == nil || filepath.Dir(p) == p {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, p)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, p := range missing {
		if err := durable.SyncDir(filepath.Dir(p)); err != nil {
			return fmt.Errorf("sync %s: %w", filepath.Dir(p), err)
		}
	}
	return nil
}

// Shutdown stops this member and returns after every goroutine of it has ended
// and its log is closed. It does not leave the group, nor hand on
// leadership: see TransferLeadership. Calls in flight end first. A second call returns what the first did.
func (g *Group) Shutdown() error { return g.shutdown() }

func (g *Group) stop() error {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	close(g.done)
	g.cancel()

	var errs []error
	if g.raft != nil {
		// raft forgets the futures that are queued when it stops, so let them end before.
		ended := make(chan struct{})
		go func() { g.calls.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(drainTimeout):
			errs = append(errs, errors.New("calls in flight did not end"))
		}
	}
	var stopped raft.Future
	if g.raft != nil {
		stopped = g.raft.Shutdown()
	}
	if g.trans != nil {
		_ = g.trans.Close()
		g.trans.CloseStreams()
	}
	if g.layer != nil {
		_ = g.layer.Close() // so that no goroutine of raft waits for a silent member
	}
	g.withholding.Wait()
	if stopped != nil {
		if err := stopped.Error(); err != nil {
			errs = append(errs, err)
		}
	}
	if g.trans != nil {
		g.trans.CloseStreams() // what was returned to the pool meanwhile
		g.layer.wait()
	}
	if g.wal != nil {
		if err := g.wal.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close log: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("shut down group %s: %w", g.cfg.Group, err)
	}
	return nil
}

// await runs call, which waits for raft, and returns its error, or early when ctx
// ends. abandoned says that call goes on unobserved. Every call ends: a leader answers or steps down,
// which answers everything it had taken; others refuse at once.
func (g *Group) await(ctx context.Context, call func() error) (abandoned bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		return false, ErrClosed
	}
	g.calls.Add(1)
	g.mu.Unlock()

	result := make(chan error, 1) // so that an abandoned call can end
	go func() {
		defer g.calls.Done()
		result <- call()
	}()
	select {
	case err := <-result:
		return false, err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// enqueueTimeout returns how long raft may take to accept a command: until ctx
// ends, but at least a moment, as raft takes zero for forever.
func enqueueTimeout(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return drainTimeout / 2 // so that no abandoned call outlasts Shutdown
	}
	return min(max(time.Until(deadline), time.Millisecond), drainTimeout/2)
}

// translate turns the errors of raft into those of this package.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrNotVoter), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader // raft answers so before it touches the log
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, ErrClosed)
	case errors.Is(err, errUnwritten) && !errors.Is(err, syscall.ENOSPC): // this member leads no more
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("group is too busy: %w", context.DeadlineExceeded)
	case errors.Is(err, raft.ErrCantBootstrap):
		return ErrHasState
	}
	return err
}

// Propose puts data into the log of the group and waits until it is applied
// here. It returns the index of the entry and what FSM.Apply returned, value and error.
// data must not be changed afterwards. An error that is not of FSM.Apply
// matches ErrNotLeader, ErrClosed or, alone of all these, leaves it open whether the
// command happens: ErrUnknownOutcome. A context that ends before raft took
// the command gives its error alone. Cost: one write and sync of the log on a majority,
// shared by concurrent proposals.
func (g *Group) Propose(ctx context.Context, data []byte) (index uint64, result any, err error) {
	return g.ProposeHeld(ctx, data, func() {})
}

// ProposeHeld is Propose for a caller that counts the memory of its proposals: it calls free once, when the group no longer
// holds data. That may be after the return, as the group goes on with a proposal whose context has ended.
func (g *Group) ProposeHeld(ctx context.Context, data []byte, free func()) (index uint64, result any, err error) {
	free = sync.OnceFunc(free)
	type answer struct {
		index uint64
		out   outcome
	}
	answers := make(chan answer, 1)
	abandoned, err := g.await(ctx, func() error {
		defer free()
		f := g.raft.Apply(data, enqueueTimeout(ctx))
		if err := f.Error(); err != nil {
			return translate(err)
		}
		out, ok := f.Response().(outcome)
		if !ok {
			return fmt.Errorf("group %s: apply answered %T", g.cfg.Group, f.Response())
		}
		answers <- answer{f.Index(), out}
		return nil
	})
	if abandoned {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	free() // where raft was never asked
	if err != nil {
		return 0, nil, err
	}
	a := <-answers
	return a.index, a.out.value, a.out.err
}

// Barrier returns when everything that was in the log before is applied here.
// Only the leader can do that. Cost: as Propose.
func (g *Group) Barrier(ctx context.Context) error {
	_, err := g.await(ctx, func() error { return translate(g.raft.Barrier(enqueueTimeout(ctx)).Error()) })
	return err
}

// VerifyLeader returns nil if a majority of the group confirmed, after the
// call began, that this member leads it, and ErrNotLeader if not. Cost: one round
// of heartbeats, shared by the calls that come while another round is under way; none for the only voter of a group.
func (g *Group) VerifyLeader(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.IsLeader() && g.onlyVoter() {
		return nil // there can be no other: to add one it must have added it
	}
	r, err := g.nextRound()
	if err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onlyVoter reports whether this member is the only voter of the group.
func (g *Group) onlyVoter() bool {
	voters, self := 0, false
	for _, s := range g.raft.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters++
			self = self || string(s.ID) == g.cfg.NodeID
		}
	}
	return self && voters == 1
}

// round is one round of heartbeats that confirms leadership.
type round struct {
	done chan struct{} // closed when err is set
	err  error
}

// nextRound returns a round that has not begun yet. It begins when the one that is under way has ended.
func (g *Group) nextRound() (*round, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return nil, ErrClosed
	}
	if g.next == nil {
		g.next = &round{done: make(chan struct{})}
		if !g.confirming {
			g.confirming = true
			g.calls.Go(g.confirm)
		}
	}
	return g.next, nil
}

// confirm runs rounds until nobody waits for one.
func (g *Group) confirm() {
	for {
		g.mu.Lock()
		r := g.next
		g.next, g.confirming = nil, r != nil
		g.mu.Unlock()
		if r == nil {
			return
		}
		r.err = translate(g.raft.VerifyLeader().Error())
		if errors.Is(r.err, ErrUnknownOutcome) && !errors.Is(r.err, ErrClosed) {
			r.err = ErrNotLeader // nothing was proposed
		}
		close(r.done)
	}
}

// ReadIndex confirms that this member leads the group, and returns an index
// that is applied here and not below that of any proposal acknowledged before the
// call, by whatever leader: the state of the FSM is at least that new. It returns ErrNotLeader on other
// members. Cost: a round of heartbeats; once in each term, a barrier.
func (g *Group) ReadIndex(ctx context.Context) (uint64, error) {
	term := g.raft.CurrentTerm()
	if g.readyTerm.Load() != term {
		// What earlier leaders acknowledged is in our log, but perhaps not yet applied.
		if !g.IsLeader() {
			return 0, ErrNotLeader
		}
		if err := g.Barrier(ctx); err != nil {
			return 0, err
		}
		if g.raft.CurrentTerm() != term {
			return 0, ErrNotLeader // the barrier may be of either term: ask again
		}
		g.readyTerm.Store(term)
	}
	// What we acknowledged in this term ourselves is applied: Propose waits for it.
	index := g.machine.applied.Load()
	if err := g.VerifyLeader(ctx); err != nil {
		return 0, err
	}
	if g.raft.CurrentTerm() != term {
		return 0, ErrNotLeader // confirmed for a term whose barrier is not known
	}
	select {
	case <-g.machine.halted:
		return 0, ErrNotLeader // what the barrier passed was not applied
	default:
	}
	return index, nil
}

// LeadsAlone reports whether ReadIndex would confirm this member at once: as the only voter of the group, that has applied all of earlier terms.
func (g *Group) LeadsAlone() bool {
	term := g.raft.CurrentTerm()
	if g.readyTerm.Load() != term || !g.IsLeader() || !g.onlyVoter() || g.raft.CurrentTerm() != term {
		return false
	}
	select {
	case <-g.machine.halted:
		return false
	default:
		return true
	}
}

// IsLeader reports whether this member believes that it leads. It may be wrong
// for up to the heartbeat timeout: see VerifyLeader.
func (g *Group) IsLeader() bool { return g.raft.State() == raft.Leader }

// Leader returns the id of the leader as far as this member knows.
func (g *Group) Leader() (id string, ok bool) {
	_, leader := g.raft.LeaderWithID()
	return string(leader), leader != ""
}

// Leaderless returns how long this member has known no leader of the group, and 0 while it knows one.
func (g *Group) Leaderless() time.Duration {
	if _, ok := g.Leader(); ok {
		return 0
	}
	since := g.raft.LastContact() // also set when this member ceases to lead
	if since.Before(g.opened) {
		since = g.opened
	}
	return time.Since(since)
}

// LeadershipChanges returns a channel that says when this member gains (true) or loses leadership. It
// holds only the latest change and is meant for one receiver: a hint to look at IsLeader. It is
// never closed.
func (g *Group) LeadershipChanges() <-chan bool { return g.raft.LeaderCh() }

// AppliedIndex returns the index of the last command that the FSM of this member has taken.
// Entries of raft itself do not count.
func (g *Group) AppliedIndex() uint64 { return g.machine.applied.Load() }

// WaitApplied returns when the FSM of this member has taken the command at
// index, which came from Propose, ReadIndex or AppliedIndex of any member.
func (g *Group) WaitApplied(ctx context.Context, index uint64) error {
	return g.machine.wait(ctx, g.done, index)
}

// Halt waits until the FSM of this member has met what it does not know, and returns its error, which matches ErrTooNew. Other
// members may know it, so this one applies nothing any more, and takes no snapshot: a newer program goes on at the same entry. It
// follows the log and votes until it is shut down, which its owner should do. It returns nil when ctx is done before.
func (g *Group) Halt(ctx context.Context) error {
	select {
	case <-g.machine.halted:
		return fmt.Errorf("group %s: behind entry %d: %w", g.cfg.Group, g.machine.applied.Load(), g.machine.why)
	case <-ctx.Done():
		return nil
	}
}

// HasState reports whether this member has a term, a log or a snapshot: it was
// bootstrapped, or a leader has called on it.
func (g *Group) HasState() bool {
	// raft reads all three from disk when it opens, and keeps these up to date.
	return g.raft.CurrentTerm() > 0 || g.raft.LastIndex() > 0
}

// Bootstrap makes a new group of voters. It is called once in the life of a group: on one
// of the voters, or on all of them with the same list. It returns ErrHasState if this
// member has any state.
func (g *Group) Bootstrap(voters []Server) error {
	if g.HasState() {
		return ErrHasState
	}
	var conf raft.Configuration
	for _, v := range voters {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(v.ID), Address: raft.ServerAddress(v.Addr)})
	}
	if err := translate(g.raft.BootstrapCluster(conf).Error()); err != nil {
		return fmt.Errorf("bootstrap group %s: %w", g.cfg.Group, err)
	}
	return g.Admit()
}

// Members returns the latest configuration of the group that this member has
// seen, in the order in which members were added. It may not be committed yet.
func (g *Group) Members() ([]Member, error) {
	members, _, err := g.Configuration()
	return members, err
}

// Configuration is Members with the index of the log that the configuration has.
func (g *Group) Configuration() (_ []Member, index uint64, _ error) {
	f := g.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, 0, fmt.Errorf("members of group %s: %w", g.cfg.Group, translate(err))
	}
	servers := f.Configuration().Servers
	members := make([]Member, len(servers))
	for i, s := range servers {
		members[i] = Member{ID: string(s.ID), Addr: string(s.Address), Voter: s.Suffrage == raft.Voter}
	}
	return members, f.Index(), nil
}

// AddVoter adds a member with a vote, or gives a vote to one without. Like the other changes of membership it is for the leader, and
// waits until the change is committed. A new member should be added without a vote first
// and catch up (WaitApplied on it), lest the group waits for it. The change is refused if the configuration is not that of index
// after any more; 0 fits all.
func (g *Group) AddVoter(ctx context.Context, id, addr string, after uint64) error {
	at, err := g.addressOf(id, addr)
	if err != nil {
		return err
	}
	return g.change(ctx, "add voter", id, func(d time.Duration) raft.Future {
		return g.raft.AddVoter(raft.ServerID(id), at, after, d)
	})
}

// AddNonvoter adds a member that follows the log but has no vote. For after see AddVoter.
func (g *Group) AddNonvoter(ctx context.Context, id, addr string, after uint64) error {
	at, err := g.addressOf(id, addr)
	if err != nil {
		return err
	}
	return g.change(ctx, "add non-voter", id, func(d time.Duration) raft.Future {
		return g.raft.AddNonvoter(raft.ServerID(id), at, after, d)
	})
}

// addressOf returns the address under which a member is in the group, or comes into it: one that is there keeps its own, since raft changes it while
// others read it. Members are looked up by id.
func (g *Group) addressOf(id, addr string) (raft.ServerAddress, error) {
	members, err := g.Members()
	if err != nil {
		return "", err
	}
	for _, m := range members {
		if m.ID == id {
			return raft.ServerAddress(m.Addr), nil
		}
	}
	if slices.ContainsFunc(members, func(m Member) bool { return m.Addr == addr }) {
		addr = id // who had the address is gone, and raft wants each once
	}
	return raft.ServerAddress(addr), nil
}

// DemoteVoter takes the vote of a member, which goes on to follow the log. A leader must not demote itself: let it transfer its
// leadership first.
func (g *Group) DemoteVoter(ctx context.Context, id string) error {
	return g.change(ctx, "demote", id, func(d time.Duration) raft.Future {
		return g.raft.DemoteVoter(raft.ServerID(id), 0, d)
	})
}

// Remove takes a member out of the group. A leader that removes itself steps
// down: let it transfer its leadership first. For after see AddVoter.
func (g *Group) Remove(ctx context.Context, id string, after uint64) error {
	return g.change(ctx, "remove", id, func(d time.Duration) raft.Future {
		return g.raft.RemoveServer(raft.ServerID(id), after, d)
	})
}

func (g *Group) change(ctx context.Context, what, id string, start func(time.Duration) raft.Future) error {
	abandoned, err := g.await(ctx, func() error { return translate(start(enqueueTimeout(ctx)).Error()) })
	if abandoned {
		err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	if err != nil {
		return fmt.Errorf("group %s: %s %s: %w", g.cfg.Group, what, id, err)
	}
	return nil
}

// Snapshot takes a snapshot now and cuts the log, as happens by itself every
// SnapshotThreshold entries. It does nothing if the FSM has not applied anything yet.
func (g *Group) Snapshot(ctx context.Context) error {
	_, err := g.await(ctx, func() error {
		err := g.raft.Snapshot().Error()
		if errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return nil
		}
		return translate(err)
	})
	if err != nil {
		return fmt.Errorf("group %s: snapshot: %w", g.cfg.Group, err)
	}
	return nil
}

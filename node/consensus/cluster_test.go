package consensus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-io/kith/node/consensus"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// timeout bounds every wait of the tests; nothing comes near it on a healthy run.
const timeout = 20 * time.Second

// list is a state machine that keeps all commands. With keep set it survives its member, like a store on disk.
type list struct {
	mu      sync.Mutex
	entries []string
	applied uint64
	keep    bool
	knows   bool // the command "new"
	skipped int  // commands applied again
	restore int  // calls of Restore
}

var errRefused = errors.New("refused by the state machine")

func (l *list) Apply(index uint64, data []byte) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keep && index <= l.applied {
		l.skipped++
		return nil, nil
	}
	if string(data) == "new" && !l.knows {
		return nil, consensus.ErrTooNew
	}
	l.applied = index
	if string(data) == "bad" {
		return nil, errRefused
	}
	l.entries = append(l.entries, string(data))
	return len(l.entries), nil
}

type listState struct {
	Entries []string
	Applied uint64
}

func (l *list) Snapshot() (consensus.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return listState{slices.Clone(l.entries), l.applied}, nil
}

func (s listState) WriteTo(_ context.Context, w io.Writer) error { return json.NewEncoder(w).Encode(s) }
func (listState) Release()                                       {}

func (l *list) Restore(r io.Reader) error {
	var s listState
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(s.Entries, "new") && !l.knows {
		return consensus.ErrTooNew
	}
	l.entries, l.applied = s.Entries, s.Applied
	l.restore++
	return nil
}

func (l *list) Applied() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.keep {
		return 0
	}
	return l.applied
}

func (l *list) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// process is what one node of a cluster runs: a mux and members of groups.
type process struct {
	id     string
	dir    string
	mux    *consensus.Mux
	cancel context.CancelFunc
	ended  chan error
	groups map[string]*consensus.Group
	fsms   map[string]*list // they outlive a stop if keep is set
}

// cluster runs processes that find each other by id, as gossip would tell them.
type cluster struct {
	t     *testing.T
	keep  bool
	knows bool // what programs do not that are older
	tune  func(*consensus.Config)
	procs map[string]*process
	addrs sync.Map // id -> address of the running process
	log   *slog.Logger
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, procs: make(map[string]*process), log: slog.New(slog.NewTextHandler(testWriter{t}, nil)), tune: func(*consensus.Config) {}}
	t.Cleanup(func() {
		for id := range c.procs {
			c.stop(id)
		}
	})
	return c
}

// testWriter writes logs to a test while it runs.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

// start runs the process id on a new port.
func (c *cluster) start(id string) *process {
	c.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	p := c.procs[id]
	if p == nil {
		p = &process{id: id, dir: c.t.TempDir(), fsms: make(map[string]*list)}
		c.procs[id] = p
	}
	p.groups = make(map[string]*consensus.Group)
	p.mux = consensus.NewMux(ln, "", c.log)
	c.addrs.Store(id, p.mux.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.ended = cancel, make(chan error, 1)
	go func() { p.ended <- p.mux.Run(ctx) }()
	return p
}

// open opens a group in a running process.
func (c *cluster) open(p *process, group string) *consensus.Group {
	c.t.Helper()
	g, err := c.tryOpen(p, group)
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

func (c *cluster) tryOpen(p *process, group string) (*consensus.Group, error) {
	if p.fsms[group] == nil || !c.keep {
		p.fsms[group] = &list{keep: c.keep, knows: c.knows}
	}
	cfg := consensus.Config{
		Group:            group,
		NodeID:           p.id,
		Dir:              filepath.Join(p.dir, group),
		HeartbeatTimeout: 150 * time.Millisecond,
		SnapshotInterval: time.Hour, // by hand only
		NoRestoreOnStart: c.keep,
		Resolve: func(id string) (string, bool) {
			a, ok := c.addrs.Load(id)
			if !ok {
				return "", false
			}
			return a.(string), true
		},
		Log: c.log,
	}
	c.tune(&cfg)
	g, err := consensus.Open(cfg, p.mux, p.fsms[group])
	if err == nil {
		p.groups[group] = g
	}
	return g, err
}

// stop ends a process without any goodbye, as far as others can see.
func (c *cluster) stop(id string) {
	c.t.Helper()
	p := c.procs[id]
	if p.cancel == nil {
		return
	}
	for _, g := range p.groups {
		if err := g.Shutdown(); err != nil {
			c.t.Errorf("shut down %s: %v", id, err)
		}
	}
	p.cancel()
	if err := <-p.ended; err != nil {
		c.t.Errorf("mux of %s: %v", id, err)
	}
	p.cancel = nil
	c.addrs.Delete(id)
}

// three starts and bootstraps a group of three.
func three(t *testing.T) *cluster {
	c := newCluster(t)
	c.three()
	return c
}

var ids = []string{"a", "b", "c"}

func (c *cluster) three() { c.found(ids...) }

// found starts and bootstraps a group.
func (c *cluster) found(ids ...string) {
	c.t.Helper()
	var servers []consensus.Server
	for _, id := range ids {
		p := c.start(id)
		servers = append(servers, consensus.Server{ID: id, Addr: p.mux.Addr().String()})
	}
	for _, id := range ids { // each, with the same list
		if err := c.open(c.procs[id], "g").Bootstrap(servers); err != nil && !errors.Is(err, consensus.ErrHasState) {
			c.t.Fatal(err)
		}
	}
}

// eventually waits until f returns nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.After(timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %v", timeout, err)
		}
	}
}

func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// leader waits for a leader of a group that a majority confirms.
func (c *cluster) leader(group string) *process {
	c.t.Helper()
	var leader *process
	eventually(c.t, func() error {
		for _, p := range c.procs {
			if p.cancel != nil && p.groups[group] != nil && p.groups[group].VerifyLeader(withTimeout(c.t)) == nil {
				leader = p
				return nil
			}
		}
		return errors.New("no leader")
	})
	return leader
}

// asLeader runs f with the leader of group g, again if it fails: leadership may move at any time.
func (c *cluster) asLeader(f func(ctx context.Context, leader *consensus.Group) error) {
	c.t.Helper()
	eventually(c.t, func() error { return f(withTimeout(c.t), c.leader("g").groups["g"]) })
}

// propose sends commands, each other than all before it, to whoever leads, again if need be, and returns the last index. A command whose
// outcome nobody knows is not sent again where who leads next has it: what was committed of it is there once a read may be answered.
func (c *cluster) propose(group string, commands ...string) (index uint64) {
	c.t.Helper()
	for _, cmd := range commands {
		unknown := false
		eventually(c.t, func() (err error) {
			p := c.leader(group)
			g := p.groups[group]
			if unknown {
				if index, err = g.ReadIndex(withTimeout(c.t)); err != nil {
					return err
				}
				if slices.Contains(p.fsms[group].all(), cmd) {
					return nil
				}
			}
			index, _, err = g.Propose(withTimeout(c.t), []byte(cmd))
			unknown = unknown || errors.Is(err, consensus.ErrUnknownOutcome)
			return err
		})
	}
	return index
}

// same waits until the given processes have applied exactly want.
func (c *cluster) same(group string, want []string, ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		eventually(c.t, func() error {
			if got := c.procs[id].fsms[group].all(); !slices.Equal(got, want) {
				return fmt.Errorf("%s has %d entries %.100q, want %d", id, len(got), got, len(want))
			}
			return nil
		})
	}
}

func TestProposeEverywhere(t *testing.T) {
	c := three(t)
	leader := c.leader("g").groups["g"]
	ctx := withTimeout(t)
	i1, r1, err := leader.Propose(ctx, []byte("one"))
	if err != nil || r1 != 1 {
		t.Fatalf("Propose: %v, %v", r1, err)
	}
	i2, r2, err := leader.Propose(ctx, []byte("bad"))
	if !errors.Is(err, errRefused) || r2 != nil || i2 <= i1 {
		t.Fatalf("Propose of what the state machine refuses: index %d after %d, %v, %v", i2, i1, r2, err)
	}
	i3, _, err := leader.Propose(ctx, []byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	c.same("g", []string{"one", "two"}, ids...)
	for _, id := range ids {
		g := c.procs[id].groups["g"]
		if err := g.WaitApplied(ctx, i3); err != nil || g.AppliedIndex() != i3 {
			t.Errorf("%s: applied %d, want %d, %v", id, g.AppliedIndex(), i3, err)
		}
		if l, ok := g.Leader(); !ok || l != c.leader("g").id {
			t.Errorf("%s: leader %q, %t", id, l, ok)
		}
		if !g.HasState() {
			t.Errorf("%s: no state", id)
		}
		if err := g.Bootstrap([]consensus.Server{{ID: id, Addr: "127.0.0.1:1"}}); !errors.Is(err, consensus.ErrHasState) {
			t.Errorf("%s: second bootstrap: %v, want ErrHasState", id, err)
		}
		members, err := g.Members()
		if err != nil || len(members) != 3 || !members[0].Voter || members[0].ID != "a" {
			t.Errorf("%s: members %+v, %v", id, members, err)
		}
		if g == leader {
			continue
		}
		if _, _, err := g.Propose(ctx, []byte("x")); !errors.Is(err, consensus.ErrNotLeader) || errors.Is(err, consensus.ErrUnknownOutcome) {
			t.Errorf("Propose at follower %s: %v, want ErrNotLeader", id, err)
		}
		if _, err := g.ReadIndex(ctx); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("ReadIndex at follower %s: %v, want ErrNotLeader", id, err)
		}
		if err := g.Barrier(ctx); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("Barrier at follower %s: %v, want ErrNotLeader", id, err)
		}
		if err := g.TransferLeadership(ctx); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("TransferLeadership at follower %s: %v, want ErrNotLeader", id, err)
		}
	}
}

// TestLeaderLoss stops the leader while proposals stream in: what was
// acknowledged stays, in its order, and a read at the new leader sees it.
func TestLeaderLoss(t *testing.T) {
	c := three(t)
	c.leader("g")
	for round := range 2 {
		old := c.leader("g")
		var acked []string
		var stopping atomic.Bool
		for i := 0; ; i++ {
			cmd := fmt.Sprintf("%d-%d", round, i)
			_, _, err := old.groups["g"].Propose(withTimeout(t), []byte(cmd))
			if err != nil {
				if !errors.Is(err, consensus.ErrUnknownOutcome) && !errors.Is(err, consensus.ErrNotLeader) && !errors.Is(err, consensus.ErrClosed) {
					t.Fatalf("propose to a leader that goes: %v", err)
				}
				break
			}
			acked = append(acked, cmd)
			if i == 20 && stopping.CompareAndSwap(false, true) {
				go c.procs[old.id].groups["g"].Shutdown() //nolint:errcheck // stop below reports it
			}
		}
		c.stop(old.id)
		next := c.leader("g")
		index, err := next.groups["g"].ReadIndex(withTimeout(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := next.groups["g"].AppliedIndex(); got < index {
			t.Fatalf("applied %d below read index %d", got, index)
		}
		got := next.fsms["g"].all()
		at := 0
		for _, cmd := range acked {
			i := slices.Index(got[at:], cmd)
			if i < 0 {
				t.Fatalf("acknowledged %s is not at the new leader, or not in order: %q", cmd, got)
			}
			at += i + 1
		}
		c.open(c.start(old.id), "g") // on another port
		c.same("g", got, old.id)
	}
}

// TestRestartAll stops all and starts them on other ports: a leader must be found (weaviate issue 5830), and nothing be lost.
func TestRestartAll(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep=%t", keep), func(t *testing.T) {
			c := newCluster(t)
			c.keep = keep
			c.three()
			want := []string{"one", "two", "three"}
			c.propose("g", want...)
			c.same("g", want, ids...)
			for _, id := range ids {
				c.stop(id)
			}
			for _, id := range ids {
				g := c.open(c.start(id), "g")
				if !g.HasState() {
					t.Errorf("%s has lost its state", id)
				}
			}
			leader := c.leader("g")
			if _, err := leader.groups["g"].ReadIndex(withTimeout(t)); err != nil {
				t.Fatal(err)
			}
			if got := leader.fsms["g"].all(); !slices.Equal(got, want) {
				t.Errorf("after ReadIndex the leader has %q, want %q", got, want)
			}
			if keep && leader.fsms["g"].skipped != len(want) {
				t.Errorf("the state machine was given %d old commands, want %d", leader.fsms["g"].skipped, len(want))
			}
			c.propose("g", "four")
			c.same("g", append(want, "four"), ids...)
		})
	}
}

// TestMajorityLost checks that nothing is acknowledged without a majority, and
// that the group goes on when it is back.
func TestMajorityLost(t *testing.T) {
	c := three(t)
	c.propose("g", "one")
	leader := c.leader("g")
	g := leader.groups["g"]
	for _, id := range ids {
		if id != leader.id {
			c.stop(id)
		}
	}
	_, _, err := g.Propose(withTimeout(t), []byte("two"))
	if !errors.Is(err, consensus.ErrUnknownOutcome) && !errors.Is(err, consensus.ErrNotLeader) {
		t.Fatalf("propose without a majority: %v", err)
	}
	eventually(t, func() error {
		if g.IsLeader() {
			return errors.New("still leads")
		}
		return nil
	})
	if _, err := g.ReadIndex(withTimeout(t)); !errors.Is(err, consensus.ErrNotLeader) {
		t.Fatalf("ReadIndex without a majority: %v", err)
	}
	for _, id := range ids {
		if id != leader.id {
			c.open(c.start(id), "g")
		}
	}
	c.propose("g", "three")
	got := c.leader("g").fsms["g"].all() // the others may be behind
	if got[0] != "one" || got[len(got)-1] != "three" {
		t.Errorf("entries %q", got)
	}
	c.same("g", got, ids...)
}

// TestContext gives up on a call; the group goes on.
func TestContext(t *testing.T) {
	c := three(t)
	leader := c.leader("g")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := leader.groups["g"].Propose(ctx, []byte("x")); !errors.Is(err, context.Canceled) || errors.Is(err, consensus.ErrUnknownOutcome) {
		t.Errorf("propose with an ended context: %v", err)
	}
	if err := leader.groups["g"].WaitApplied(ctx, 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with an ended context: %v", err)
	}
	c.propose("g", "one")
	c.same("g", []string{"one"}, ids...)
}

// TestShutdownWakes checks that calls end with their group.
func TestShutdownWakes(t *testing.T) {
	c := three(t)
	leader := c.leader("g")
	g := leader.groups["g"]
	errs := make(chan error)
	go func() { errs <- g.WaitApplied(t.Context(), 1<<40) }()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if _, _, err := g.Propose(t.Context(), []byte("x")); err != nil {
					return
				}
			}
		})
	}
	if err := g.WaitApplied(withTimeout(t), 20); err != nil {
		t.Fatal(err)
	}
	if err := g.Shutdown(); err != nil {
		t.Error(err)
	}
	if err := <-errs; !errors.Is(err, consensus.ErrClosed) {
		t.Errorf("WaitApplied: %v, want ErrClosed", err)
	}
	wg.Wait()
	if _, _, err := g.Propose(t.Context(), []byte("x")); !errors.Is(err, consensus.ErrClosed) {
		t.Errorf("Propose after Shutdown: %v, want ErrClosed", err)
	}
	if err := g.Bootstrap(nil); !errors.Is(err, consensus.ErrHasState) {
		t.Errorf("Bootstrap after Shutdown: %v", err)
	}
	if g.IsLeader() {
		t.Error("leads after Shutdown")
	}
}

// TestLateFollower lets a member join that needs a snapshot: its log begins behind.
func TestLateFollower(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep=%t", keep), func(t *testing.T) {
			c := newCluster(t)
			c.keep = keep
			c.tune = func(cfg *consensus.Config) { cfg.TrailingLogs = 1 }
			c.three()
			// Two segments and more: the log still gives out entries that were dropped from its last one.
			var want []string
			for i := range 36 {
				want = append(want, fmt.Sprint(i, strings.Repeat(".", 256<<10)))
			}
			c.propose("g", want...)
			for _, id := range ids { // whoever will lead, its log begins behind
				c.same("g", want, id)
				if err := c.procs[id].groups["g"].Snapshot(withTimeout(t)); err != nil {
					t.Fatal(err)
				}
			}
			d := c.start("d")
			g := c.open(d, "g")
			if g.HasState() {
				t.Error("a new member has state")
			}
			c.asLeader(func(ctx context.Context, leader *consensus.Group) error {
				return leader.AddNonvoter(ctx, "d", d.mux.Addr().String(), 0)
			})
			c.asLeader(func(ctx context.Context, leader *consensus.Group) error {
				index, err := leader.ReadIndex(ctx)
				if err != nil {
					return err
				}
				return g.WaitApplied(ctx, index) // the index comes with the snapshot
			})
			c.same("g", want, "d")
			if n := d.fsms["g"].restore; n != 1 {
				t.Errorf("late member was restored %d times, want 1", n)
			}
			members, err := c.leader("g").groups["g"].Members()
			if err != nil || len(members) != 4 || members[3].Voter {
				t.Fatalf("members %+v, %v", members, err)
			}
			c.asLeader(func(ctx context.Context, leader *consensus.Group) error {
				return leader.AddVoter(ctx, "d", d.mux.Addr().String(), 0)
			})
			if members, err = c.leader("g").groups["g"].Members(); err != nil || !members[3].Voter {
				t.Fatalf("members %+v, %v", members, err)
			}

			// Restart from the snapshot, and with the files of the state machine lost.
			c.propose("g", "after")
			want = append(want, "after")
			c.same("g", want, "d")
			c.stop("d")
			d.fsms["g"] = &list{keep: keep}
			c.open(c.start("d"), "g")
			c.same("g", want, "d")
			if n := d.fsms["g"].restore; n != 1 {
				t.Errorf("restarted member was restored %d times, want 1", n)
			}
			if keep {
				c.stop("d")
				d.fsms["g"].restore = 0
				c.open(c.start("d"), "g")
				c.propose("g", "last")
				c.same("g", append(want, "last"), "d")
				if n := d.fsms["g"].restore; n != 0 {
					t.Errorf("member with its own state was restored %d times", n)
				}
			}

			c.asLeader(func(ctx context.Context, leader *consensus.Group) error { return leader.Remove(ctx, "d", 0) })
			if members, err = c.leader("g").groups["g"].Members(); err != nil || len(members) != 3 {
				t.Fatalf("members %+v, %v", members, err)
			}
		})
	}
}

func TestTransferLeadership(t *testing.T) {
	c := three(t)
	old := c.leader("g")
	eventually(t, func() error { return old.groups["g"].TransferLeadership(withTimeout(t)) })
	next := c.leader("g")
	if next == old {
		t.Errorf("%s leads still", old.id)
	}
	for _, p := range []*process{old, next} {
		eventually(t, func() error {
			select {
			case <-p.groups["g"].LeadershipChanges():
				return nil
			default:
				return fmt.Errorf("%s heard of no change", p.id)
			}
		})
	}
}

// TestManyGroups runs groups of all three processes over one listener each, with proposals in parallel.
func TestManyGroups(t *testing.T) {
	c := newCluster(t)
	var servers []consensus.Server
	for _, id := range ids {
		p := c.start(id)
		servers = append(servers, consensus.Server{ID: id, Addr: p.mux.Addr().String()})
	}
	const groups = 12
	for i := range groups {
		for _, id := range ids {
			g := c.open(c.procs[id], fmt.Sprint("g", i))
			if id == "b" {
				if err := g.Bootstrap(servers); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i := range groups {
		name := fmt.Sprint("g", i)
		want := []string{name + "-1", name + "-2"}
		c.propose(name, want...)
		c.same(name, want, ids...)
	}
	if _, err := consensus.Open(consensus.Config{Group: "g0", NodeID: "x", Dir: t.TempDir()}, c.procs["a"].mux, &list{}); err == nil {
		t.Error("the same group opened twice on a mux")
	}
}

// TestReadIndexSeesAcknowledged reads at the leader after each proposal, across changes of leadership.
func TestReadIndexSeesAcknowledged(t *testing.T) {
	c := three(t)
	for i := range 12 {
		cmd := fmt.Sprint(i)
		index := c.propose("g", cmd)
		if i%4 == 3 {
			// A transfer may time out on a busy machine; then the same leader answers.
			if err := c.leader("g").groups["g"].TransferLeadership(withTimeout(t)); err != nil {
				t.Logf("transfer: %v", err)
			}
		}
		eventually(t, func() error {
			p := c.leader("g")
			read, err := p.groups["g"].ReadIndex(withTimeout(t))
			if err != nil {
				return err
			}
			if read < index {
				t.Fatalf("read index %d is below %d, which was acknowledged", read, index)
			}
			if got := p.fsms["g"].all(); !slices.Contains(got, cmd) {
				t.Fatalf("leader %s lacks %s: %q", p.id, cmd, got)
			}
			return nil
		})
	}
}

// TestLeadsAlone: the only voter answers without asking anybody once it has read all that was before its term; with another voter it does not.
func TestLeadsAlone(t *testing.T) {
	c := newCluster(t)
	c.found("a")
	index := c.propose("g", "1")
	a := c.leader("g").groups["g"]
	if a.LeadsAlone() {
		t.Error("it leads alone before it knows that all of earlier terms is applied")
	}
	if read, err := a.ReadIndex(withTimeout(t)); err != nil || read < index {
		t.Fatalf("read index %d, %v; want %d or more", read, err, index)
	}
	if !a.LeadsAlone() {
		t.Error("it does not lead alone after it has read")
	}
	three := three(t)
	leader := three.leader("g").groups["g"]
	if _, err := leader.ReadIndex(withTimeout(t)); err != nil {
		t.Fatal(err)
	}
	if leader.LeadsAlone() {
		t.Error("one of three leads alone")
	}
}

func TestConfig(t *testing.T) {
	c := newCluster(t)
	p := c.start("a")
	good := consensus.Config{Group: "g", NodeID: "a", Dir: t.TempDir()}
	for name, change := range map[string]func(*consensus.Config){
		"no group":            func(c *consensus.Config) { c.Group = "" },
		"long group":          func(c *consensus.Config) { c.Group = string(make([]byte, 256)) },
		"no id":               func(c *consensus.Config) { c.NodeID = "" },
		"no dir":              func(c *consensus.Config) { c.Dir = "" },
		"election too short":  func(c *consensus.Config) { c.ElectionTimeout = time.Millisecond },
		"heartbeat too short": func(c *consensus.Config) { c.HeartbeatTimeout = time.Microsecond },
	} {
		cfg := good
		change(&cfg)
		if g, err := consensus.Open(cfg, p.mux, &list{}); err == nil {
			t.Errorf("%s: no error", name)
			_ = g.Shutdown()
		}
	}
	// The failures left nothing open behind.
	g, err := consensus.Open(good, p.mux, &list{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Shutdown(); err != nil {
		t.Error(err)
	}
}

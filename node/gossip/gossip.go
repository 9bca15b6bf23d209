// Package gossip knows which nodes there are, by hashicorp/memberlist.
//
// What it says is a hint and may differ between nodes for seconds: it tells
// where a node is reached and whether it seems to live, and never decides who owns data.
//
// Two things are added to memberlist. First, nodes that lost each other find each
// other again: memberlist forgets the dead, so after a long cut both halves would
// live on apart (its issue 222). Run tries again and again every address that was
// configured, or at which a node once lived, and that has no living node now. Addresses
// outlive the process in a file. Second, nodes of different clusters refuse each other.
package gossip

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// State is how a member seems to be.
type State int

const (
	// Alive is a member that answers, or is not yet found not to.
	Alive State = iota
	// Dead is a member that does not answer.
	Dead
	// Left is a member that said goodbye.
	Left
)

// String returns the name of the state in lower case.
func (s State) String() string {
	switch s {
	case Alive:
		return "alive"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return "state " + strconv.Itoa(int(s))
}

// Member is a node as this one sees it.
type Member struct {
	Meta
	// Addr is the gossip address of the node.
	Addr  string
	State State
}

// Preset is a set of timings. It changes how fast failures and news are noticed, and the
// traffic, nothing else.
type Preset int

const (
	// LAN suits one data center: a failure is noticed in two to five seconds.
	LAN Preset = iota
	// Local suits nodes on one machine, and tests: about a second.
	Local
)

const (
	// updateTimeout bounds the wait for new metadata to go out. They spread later in any case.
	updateTimeout = time.Second
	// firstRetry is the pause after the first round of joining that found
	// nobody; it doubles up to the rejoin interval.
	firstRetry = 250 * time.Millisecond
	// joinsAtOnce bounds the addresses that are tried at the same time.
	joinsAtOnce = 8
)

// Config sets up a Gossip.
type Config struct {
	// BindAddr is the host:port to listen on with TCP and UDP. Port 0 picks one. An
	// empty host means all interfaces.
	BindAddr string
	// AdvertiseAddr is the host:port that others use; empty means what is bound.
	// Without a port, the one that is bound.
	AdvertiseAddr string
	// Join are gossip addresses of other nodes, host:port; one that answers is enough.
	// Names are looked up again at each try.
	Join []string
	// RejoinInterval is the mean time between tries of addresses without a
	// living node; each pause is drawn from 0.8 to 1.2 of it. Default 15s.
	RejoinInterval time.Duration
	// Keys encrypt all gossip with AES if there are any: 16, 24 or 32 bytes each. The first encrypts; what others of them
	// encrypted is understood, too.
	Keys [][]byte
	// PeersFile remembers addresses of members over restarts, if not empty.
	PeersFile string
	// Preset is LAN by default.
	Preset Preset
	// Log may be nil.
	Log *slog.Logger
}

// Gossip is this process's part in the membership. Its methods are safe for
// concurrent use.
type Gossip struct {
	cfg     Config
	log     *slog.Logger
	list    *memberlist.Memberlist
	addr    string              // as advertised
	changes chan struct{}       // of size 1: a hint that waits
	keyring *memberlist.Keyring // nil without encryption
	peers   []peer              // remembered from earlier; belongs to Run after New
	// retransmits is how often memberlist sends news, times a logarithm of the number of members.
	retransmits int

	closeOnce sync.Once
	// closed is closed when the end begins; closing is held while memberlist says goodbye or ends.
	closed  chan struct{}
	closing sync.Mutex
	keysMu  sync.Mutex // held while the keys are replaced

	mu      sync.Mutex // guards what follows; memberlist is never called under it
	self    Meta
	encoded []byte // of self
	members map[string]Member
	// strangers are nodes of other clusters that were told of, with their cluster.
	strangers map[string]string
	goodbye   goodbye
}

// New starts to listen, as a cluster of one node, until Run joins others. The
// caller must call Run or Close.
func New(cfg Config, meta Meta) (*Gossip, error) {
	if cfg.RejoinInterval == 0 {
		cfg.RejoinInterval = 15 * time.Second
	}
	if cfg.RejoinInterval < 0 {
		return nil, fmt.Errorf("gossip config: RejoinInterval %v: must not be negative", cfg.RejoinInterval)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	encoded, err := meta.encode()
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		cfg:     cfg,
		log:     cfg.Log,
		changes: make(chan struct{}, 1),
		closed:  make(chan struct{}),
		self:    meta,
		encoded: encoded,
		members: make(map[string]Member), strangers: make(map[string]string),
	}
	if cfg.PeersFile != "" {
		if g.peers, err = loadPeers(cfg.PeersFile); err != nil {
			g.log.Warn("forget remembered peers", "err", err) // the file is only a hint
		}
	}
	conf, err := g.memberlistConfig()
	if err != nil {
		return nil, err
	}
	g.retransmits = conf.RetransmitMult
	if g.list, err = memberlist.Create(conf); err != nil {
		return nil, fmt.Errorf("gossip on %s: %w", cfg.BindAddr, err)
	}
	g.addr = g.list.LocalNode().Address()
	return g, nil
}

func (g *Gossip) memberlistConfig() (*memberlist.Config, error) {
	conf := memberlist.DefaultLANConfig()
	// A dead server is noticed in two to five seconds. To be wrong costs little: nothing moves for minutes.
	conf.ProbeInterval = 500 * time.Millisecond
	conf.ProbeTimeout = 300 * time.Millisecond
	conf.SuspicionMaxTimeoutMult = 2
	// Each address of a rejoin round is tried for so long at most.
	conf.TCPTimeout = 5 * time.Second
	if g.cfg.Preset == Local {
		conf = memberlist.DefaultLocalConfig()
		conf.ProbeInterval = 200 * time.Millisecond
		conf.ProbeTimeout = 100 * time.Millisecond
		conf.GossipInterval = 20 * time.Millisecond
		conf.PushPullInterval = 2 * time.Second
	}
	conf.Name = g.self.ID
	// An id belongs to one node: a dead one at another address has restarted
	// there. (Until it counts as dead, the new address is refused.)
	conf.DeadNodeReclaimTime = time.Nanosecond
	conf.LogOutput = logWriter{g.log}
	conf.Delegate, conf.Events, conf.Alive, conf.Conflict = delegate{g}, events{g}, events{g}, events{g}
	if len(g.cfg.Keys) > 0 {
		var err error
		if g.keyring, err = memberlist.NewKeyring(g.cfg.Keys, g.cfg.Keys[0]); err != nil {
			return nil, fmt.Errorf("gossip config: Keys: %w", err)
		}
		conf.Keyring = g.keyring
	}

	host, port, err := splitHostPort(g.cfg.BindAddr)
	if err != nil {
		return nil, fmt.Errorf("gossip config: BindAddr: %w", err)
	}
	conf.BindAddr, conf.BindPort, conf.AdvertisePort = host, port, port
	if host == "" {
		conf.BindAddr = "0.0.0.0"
	}
	if a := g.cfg.AdvertiseAddr; a != "" {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), strconv.Itoa(port)) // no port
		}
		host, port, err := splitHostPort(a)
		if err != nil {
			return nil, fmt.Errorf("gossip config: AdvertiseAddr: %w", err)
		}
		ip, err := net.ResolveIPAddr("ip", host)
		if err != nil {
			return nil, fmt.Errorf("gossip config: AdvertiseAddr: %w", err)
		}
		conf.AdvertiseAddr, conf.AdvertisePort = ip.String(), port
	}
	return conf, nil
}

func splitHostPort(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port of %s: %w", addr, err)
	}
	return host, int(n), nil
}

// Run joins the others and keeps finding them again until ctx is done; then it
// says goodbye and returns after every goroutine has ended. It returns nil if the stop was asked for.
func (g *Gossip) Run(ctx context.Context) error {
	defer g.Close()
	wait := pauses{g.cfg.RejoinInterval, min(firstRetry, g.cfg.RejoinInterval)}
	for {
		g.rejoin(ctx)
		g.remember()
		timer := time.NewTimer(wait.next(g.alone()))
		select {
		case <-timer.C:
		case <-g.closed:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			g.remember()
			g.leave()
			return nil
		}
	}
}

// pauses are those between rounds of joining.
type pauses struct{ interval, retry time.Duration }

// next returns 0.8 to 1.2 of the interval, or a shorter pause that doubles each time while nobody is found.
func (p *pauses) next(alone bool) time.Duration {
	pause := time.Duration(float64(p.interval) * (0.8 + 0.4*rand.Float64()))
	if alone && p.retry < pause { // which bounds it
		pause, p.retry = p.retry, 2*p.retry
	}
	return pause
}

// Close stops without a goodbye: to others the node has failed. Run does it at its end.
func (g *Gossip) Close() {
	g.closeOnce.Do(func() {
		close(g.closed)
		g.closing.Lock()
		defer g.closing.Unlock()
		if err := g.list.Shutdown(); err != nil {
			g.log.Warn("shut down gossip", "err", err)
		}
	})
}

// alone reports whether no other member is alive.
func (g *Gossip) alone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.aloneLocked()
}

func (g *Gossip) aloneLocked() bool {
	for id, m := range g.members {
		if m.State == Alive && id != g.self.ID {
			return false
		}
	}
	return true
}

// rejoin tries the addresses that have no living member.
func (g *Gossip) rejoin(ctx context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, joinsAtOnce)
	for _, addr := range g.missing(ctx) {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			if _, err := g.list.Join([]string{addr}); err != nil {
				g.log.Debug("join", "addr", addr, "err", err)
			}
		})
	}
	wg.Wait()
}

// missing returns the addresses that are configured, remembered or of members that were seen,
// and at which nobody lives now, in a random order. Those who left are not asked back.
func (g *Gossip) missing(ctx context.Context) []string {
	alive := map[string]bool{g.Addr(): true}
	var want []string
	g.mu.Lock()
	for _, p := range g.peers {
		if m, ok := g.members[p.ID]; !ok || m.State == Dead {
			want = append(want, p.Addr)
		}
	}
	for _, m := range g.members {
		switch m.State {
		case Alive:
			alive[m.Addr] = true
		case Dead:
			want = append(want, m.Addr)
		case Left:
		}
	}
	g.mu.Unlock()
	for _, addr := range g.cfg.Join {
		found, err := resolve(ctx, addr)
		if err != nil {
			g.log.Info("address to join", "addr", addr, "err", err)
			continue
		}
		want = append(want, found...)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	want = slices.DeleteFunc(want, func(a string) bool { return alive[a] })
	rand.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	return want
}

// resolve returns the ip:port of the hosts behind host:port.
func resolve(ctx context.Context, addr string) ([]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	for i, ip := range ips {
		ips[i] = net.JoinHostPort(ip, port)
	}
	return ips, nil
}

// remember writes the addresses of the members to the peers file, if they changed.
func (g *Gossip) remember() {
	if g.cfg.PeersFile == "" {
		return
	}
	var seen []peer
	g.mu.Lock()
	before := slices.DeleteFunc(slices.Clone(g.peers), func(p peer) bool { return g.members[p.ID].State == Left })
	for id, m := range g.members {
		if id != g.self.ID && m.State != Left {
			seen = append(seen, peer{id, m.Addr})
		}
	}
	g.mu.Unlock()
	now := mergePeers(seen, before)
	if slices.Equal(now, g.peers) {
		return
	}
	if err := savePeers(g.cfg.PeersFile, now); err != nil {
		g.log.Warn("remember peers", "err", err) // tried again next time
		return
	}
	g.peers = now
}

// Addr returns the host:port by which other nodes reach this one's gossip.
func (g *Gossip) Addr() string { return g.addr }

// Members returns all nodes that this one has seen since it started, dead ones and itself
// included, sorted by id.
func (g *Gossip) Members() []Member {
	g.mu.Lock()
	members := make([]Member, 0, len(g.members))
	for _, m := range g.members {
		members = append(members, m)
	}
	g.mu.Unlock()
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

// Member returns the node with an id, if it was seen.
func (g *Gossip) Member(id string) (Member, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, ok := g.members[id]
	return m, ok
}

// Changes returns a channel that says that Members may have changed since it was last
// received from. It is for one receiver and is never closed.
func (g *Gossip) Changes() <-chan struct{} { return g.changes }

// changed leaves a hint, unless one waits already.
func (g *Gossip) changed() {
	select {
	case g.changes <- struct{}{}:
	default:
	}
}

// UpdateMeta replaces what this node says about itself. The ID must stay. It
// waits until the news went out to as many nodes as gossip tells directly, but for a second at most.
func (g *Gossip) UpdateMeta(meta Meta) error {
	encoded, err := meta.encode()
	if err != nil {
		return err
	}
	g.mu.Lock()
	if meta.ID != g.self.ID {
		id := g.self.ID
		g.mu.Unlock()
		return fmt.Errorf("node metadata: ID must stay %s, got %s", id, meta.ID)
	}
	g.self, g.encoded = meta, encoded
	g.mu.Unlock()
	if err := g.list.UpdateNode(updateTimeout); err != nil {
		g.log.Debug("spread metadata", "err", err)
	}
	return nil
}

// delegate gives memberlist the metadata of this node. Nothing else is gossiped.
type delegate struct{ g *Gossip }

var _ memberlist.Delegate = delegate{}

// NodeMeta implements memberlist.Delegate.
func (d delegate) NodeMeta(int) []byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return slices.Clone(d.g.encoded)
}

// NotifyMsg implements memberlist.Delegate.
func (delegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate. It is called for each member that news go to.
func (d delegate) GetBroadcasts(int, int) [][]byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	d.g.told(1)
	return nil
}

// LocalState implements memberlist.Delegate.
func (delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (delegate) MergeRemoteState([]byte, bool) {}

// events keeps Gossip.members up to date. memberlist calls it under its own
// lock: it copies what it needs and calls nothing of memberlist.
type events struct{ g *Gossip }

var (
	_ memberlist.EventDelegate    = events{}
	_ memberlist.AliveDelegate    = events{}
	_ memberlist.ConflictDelegate = events{}
)

// NotifyJoin implements memberlist.EventDelegate.
func (e events) NotifyJoin(n *memberlist.Node) { e.set(n, Alive) }

// NotifyUpdate implements memberlist.EventDelegate.
func (e events) NotifyUpdate(n *memberlist.Node) { e.set(n, Alive) }

// NotifyLeave implements memberlist.EventDelegate.
func (e events) NotifyLeave(n *memberlist.Node) {
	if isLeaving(n.Meta) {
		e.set(n, Left)
		return
	}
	e.set(n, Dead)
}

func (e events) set(n *memberlist.Node, state State) {
	meta, err := decodeMeta(n.Meta)
	e.g.mu.Lock()
	if err != nil {
		meta = e.g.members[n.Name].Meta // NotifyAlive let none in that cannot be read
		meta.ID = n.Name
	}
	e.g.members[n.Name] = Member{Meta: meta, Addr: n.Address(), State: state}
	e.g.told(0)
	e.g.mu.Unlock()
	e.g.changed()
}

// NotifyAlive implements memberlist.AliveDelegate: an error keeps the node out.
func (e events) NotifyAlive(n *memberlist.Node) error {
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return err
	}
	if meta.ID != n.Name {
		return fmt.Errorf("node %s says it is %s", n.Name, meta.ID)
	}
	e.g.mu.Lock()
	own := e.g.self.ClusterID
	other := own != "" && meta.ClusterID != "" && own != meta.ClusterID
	said := e.g.strangers[n.Name] == meta.ClusterID
	if other && !said && len(e.g.strangers) < maxStrangers {
		e.g.strangers[n.Name] = meta.ClusterID
	}
	e.g.mu.Unlock()
	if !other {
		return nil
	}
	err = fmt.Errorf("node %s at %s is of cluster %s, this one of %s", n.Name, n.Address(), meta.ClusterID, own)
	if !said {
		e.g.log.Warn("refuse a node of another cluster; check the addresses to join", "err", err)
	}
	return err
}

// maxStrangers bounds the nodes of other clusters that are remembered, to be told of once.
const maxStrangers = 1000

// NotifyConflict implements memberlist.ConflictDelegate.
func (e events) NotifyConflict(existing, other *memberlist.Node) {
	e.g.log.Warn("two nodes claim one id, or it has just moved", "id", existing.Name, "known", existing.Address(), "new", other.Address())
}

// logWriter passes the lines of memberlist on to slog, one level lower: it
// reports every failed probe as an error.
type logWriter struct{ log *slog.Logger }

var _ io.Writer = logWriter{}

// Write implements io.Writer for the log package, which calls it once for each line.
func (w logWriter) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	level := slog.LevelDebug
	for mark, l := range logLevels {
		if _, rest, ok := strings.Cut(line, mark); ok {
			level, line = l, strings.TrimPrefix(strings.TrimSpace(rest), "memberlist: ")
			break
		}
	}
	w.log.Log(context.Background(), level, "memberlist", "text", line)
	return len(p), nil
}

// logLevels maps memberlist's marks to our levels.
var logLevels = map[string]slog.Level{
	"[ERR]":   slog.LevelInfo,
	"[ERROR]": slog.LevelInfo,
	"[WARN]":  slog.LevelDebug,
	"[INFO]":  slog.LevelDebug,
	"[DEBUG]": slog.LevelDebug - 4,
}

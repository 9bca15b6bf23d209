package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/kith-io/kith/node/wire"
)

// Peer is a process of the cluster as membership knows it.
type Peer struct {
	ID, GRPCAddr, RaftAddr, Zone, Version string
	// Folder is the id of its data folder, as far as it tells.
	Folder string
	// Level is the highest level of the control log that it knows.
	Level  uint32
	Weight float64
	Alive  bool
}

// Peers knows where the other nodes are and keeps connections to them. Membership feeds it: addresses change, ids do
// not. It is safe for concurrent use.
type Peers struct {
	self string
	// options are those of connections, besides DialOptions.
	options []grpc.DialOption
	wrap    func(grpc.ClientConnInterface) grpc.ClientConnInterface
	// local is how this node calls itself; nil for the network.
	local grpc.ClientConnInterface

	mu    sync.RWMutex // guards what follows; held to change it only where something is new
	known map[string]Peer
	// alive are the ids of those that answer, ascending. It is replaced and not changed.
	alive   []string
	conns   map[connKey]peerConn
	changed signal
	closed  bool
}

type connKey struct {
	addr string
	bulk bool // block parts and files must not hold up queries
}

// peerConn is a connection, and what stands before it.
type peerConn struct {
	*grpc.ClientConn
	wrapped grpc.ClientConnInterface
}

// NewPeers returns a Peers that knows nobody. Its connections have some options besides DialOptions, such as credentials. wrap is called once for each, and
// returns what calls go through, to measure them; it may be nil. The caller must Close it.
func NewPeers(self string, wrap func(grpc.ClientConnInterface) grpc.ClientConnInterface, options ...grpc.DialOption) *Peers {
	if wrap == nil {
		wrap = func(c grpc.ClientConnInterface) grpc.ClientConnInterface { return c }
	}
	return &Peers{self: self, options: options, wrap: wrap, known: map[string]Peer{}, conns: map[connKey]peerConn{}}
}

// CallSelfBy makes small calls to this node itself go by a connection that the caller keeps open, and not over the network. It must not be called
// once there are calls.
func (p *Peers) CallSelfBy(local grpc.ClientConnInterface) { p.local = local }

// Self returns the id of this node.
func (p *Peers) Self() string { return p.self }

// Update replaces what is known. Peers that are not named any more stay, as dead ones. Connections to addresses that
// nobody has are closed.
func (p *Peers) Update(peers []Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[string]Peer{}
	for id, old := range p.known {
		old.Alive = false
		known[id] = old
	}
	for _, peer := range peers {
		known[peer.ID] = peer
	}
	same := len(known) == len(p.known)
	addrs := map[string]bool{}
	for id, peer := range known {
		same = same && p.known[id] == peer
		addrs[peer.GRPCAddr] = true
	}
	if same {
		return
	}
	p.known, p.alive = known, nil
	for id, peer := range known {
		if peer.Alive {
			p.alive = append(p.alive, id)
		}
	}
	slices.Sort(p.alive)
	for key, conn := range p.conns {
		if !addrs[key.addr] {
			_ = conn.Close() // nobody is there
			delete(p.conns, key)
		}
	}
	p.changed.wake()
}

// Changed returns a channel that is closed at the next change.
func (p *Peers) Changed() <-chan struct{} { return p.changed.next() }

// All returns all peers ever seen, by id.
func (p *Peers) All() []Peer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.SortedFunc(maps.Values(p.known), func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
}

// Alive returns the ids of the peers that answer, this node among them, ascending. The slice must not be changed.
func (p *Peers) Alive() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.alive
}

// Lookup returns a peer by id.
func (p *Peers) Lookup(id string) (Peer, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	peer, ok := p.known[id]
	return peer, ok
}

// Addr returns the gRPC address of a node, or "".
func (p *Peers) Addr(id string) string {
	peer, _ := p.Lookup(id)
	return peer.GRPCAddr
}

// RaftAddr returns the address of a node's raft listener.
func (p *Peers) RaftAddr(id string) (string, bool) {
	peer, ok := p.Lookup(id)
	return peer.RaftAddr, ok && peer.RaftAddr != ""
}

// Conn returns a connection for small calls to a node. It matches wire.ErrNotReady if the node is not known.
func (p *Peers) Conn(_ context.Context, id string) (grpc.ClientConnInterface, error) {
	return p.conn(id, "", false)
}

// Bulk returns Peers in the shape that the work of a build needs: connections for streams of data, by id or, for nodes
// not known yet, by address.
func (p *Peers) Bulk() BulkPeers { return BulkPeers{p} }

// BulkPeers gives connections apart from those of queries.
type BulkPeers struct{ peers *Peers }

// Conn returns a connection to a node, or to addr if the node is not known.
func (b BulkPeers) Conn(_ context.Context, id, addr string) (grpc.ClientConnInterface, error) {
	return b.peers.conn(id, addr, true)
}

func (p *Peers) conn(id, addr string, bulk bool) (grpc.ClientConnInterface, error) {
	p.mu.RLock()
	conn, _, err := p.there(id, addr, bulk)
	p.mu.RUnlock()
	if conn != nil || err != nil {
		return conn, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	conn, key, err := p.there(id, addr, bulk)
	if conn != nil || err != nil {
		return conn, err
	}
	c, err := grpc.NewClient("passthrough:///"+key.addr, DialOptions(p.options...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to node %s: %w", id, err)
	}
	p.conns[key] = peerConn{c, p.wrap(c)}
	return p.conns[key].wrapped, nil
}

// there returns a connection, or, if there is none yet, where it would lead.
func (p *Peers) there(id, addr string, bulk bool) (grpc.ClientConnInterface, connKey, error) {
	if p.closed {
		return nil, connKey{}, fmt.Errorf("connect to node %s: closed: %w", id, wire.ErrNotReady)
	}
	if id == p.self && p.local != nil && !bulk {
		return p.local, connKey{}, nil
	}
	if peer, ok := p.known[id]; ok && peer.GRPCAddr != "" {
		addr = peer.GRPCAddr
	}
	if addr == "" {
		return nil, connKey{}, fmt.Errorf("connect to node %s: address not known: %w", id, wire.ErrNotReady)
	}
	key := connKey{addr, bulk}
	if c, ok := p.conns[key]; ok {
		return c.wrapped, key, nil
	}
	return nil, key, nil
}

// DialOptions are those of every connection to a kith server. Those that are given count for more: without credentials among them
// the connection is not encrypted.
func DialOptions(more ...grpc.DialOption) []grpc.DialOption {
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(wire.UnaryClient),
		grpc.WithChainStreamInterceptor(wire.StreamClient),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		// A server that was restarted may lead again at once, and calls have a second or so: gRPC would wait up to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Windows that keep a fast link full for streams of data.
		grpc.WithInitialWindowSize(4 << 20),
		grpc.WithInitialConnWindowSize(8 << 20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes), grpc.ForceCodecV2(wire.TrustingCodec())),
	}, more...)
}

// maxMessageBytes is the largest message: bulk data comes in chunks under 1 MiB, but an answer of 1,000 items with
// their contributions may be larger.
const maxMessageBytes = 16 << 20

// maxStreams is the number of calls that one connection may have under way; a client waits with more. A message that is not
// asked for yet waits in the window of its call, so it also bounds what a client can make a server keep for it.
const maxStreams = 1000

// ServerOptions are those of a kith server that needs no others.
func ServerOptions() []grpc.ServerOption {
	return append(TransportOptions(), grpc.UnaryInterceptor(wire.UnaryServer), grpc.StreamInterceptor(wire.StreamServer))
}

// TransportOptions are those of every kith server. It must also convert the errors of its handlers, as ServerOptions do.
func TransportOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		KeepAlive(0),
		grpc.InitialWindowSize(4 << 20),
		grpc.InitialConnWindowSize(8 << 20),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.ForceServerCodecV2(wire.Codec()),
	}
}

// KeepAlive has a server notice connections that are dead, and ask for others in the place of those that are older than maxAge, if that is
// not 0. Calls that are under way end on the old one.
func KeepAlive(maxAge time.Duration) grpc.ServerOption {
	return grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second, MaxConnectionAge: maxAge})
}

// Close closes all connections.
func (p *Peers) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.Close())
	}
	clear(p.conns)
	return errors.Join(errs...)
}

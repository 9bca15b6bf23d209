package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

const (
	// firstAside and longestAside bound how long a node is left alone after a fault; each further one doubles it.
	firstAside   = 500 * time.Millisecond
	longestAside = 30 * time.Second
	// slowFactor times the median of all nodes is a slow answer, if it is also more than slowLeast; slowRun of them in a row are a fault.
	slowFactor = 8
	slowLeast  = 20 * time.Millisecond
	slowRun    = 3
	// refreshGap is the least time between two looks at the nodes of the cluster, however many faults there are.
	refreshGap = 2 * time.Second
)

// node is a server, or what stands at an address before servers.
type node struct {
	addr string
	conn *grpc.ClientConn
	// seed is an address that the caller gave. It is used where no member can be.
	seed bool

	// Guarded by nodes.mu.
	member bool // the cluster named it
	calls  int  // under way
	faults int  // in a row
	slow   int  // answers in a row
	until  time.Time
}

// nodes are the servers of a cluster, as far as they are known. It is safe for concurrent use.
type nodes struct {
	dial []grpc.DialOption
	// faulty is told that a node failed, so that it may be time to look which there are.
	faulty chan struct{}

	mu      sync.Mutex // guards all below
	all     []*node
	next    int
	learned bool // the members are known
	closed  bool
}

func newNodes(seeds []string, dial []grpc.DialOption) (*nodes, error) {
	p := &nodes{dial: dial, faulty: make(chan struct{}, 1)} // one word is enough
	for _, addr := range seeds {
		if slices.ContainsFunc(p.all, func(n *node) bool { return n.addr == addr }) {
			continue
		}
		n, err := p.connect(addr)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		n.seed = true
		p.all = append(p.all, n)
	}
	return p, nil
}

// connect begins to connect to an address.
func (p *nodes) connect(addr string) (*node, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, p.dial...)
	if err != nil {
		return nil, fmt.Errorf("client: address %q: %w", addr, err)
	}
	conn.Connect()
	return &node{addr: addr, conn: conn}, nil
}

// update makes the members those that the cluster named. Calls to others that are under way go on.
func (p *nodes) update(members []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	known := map[string]bool{}
	for _, n := range p.all {
		n.member = slices.Contains(members, n.addr)
		known[n.addr] = true
	}
	for _, addr := range members {
		if known[addr] {
			continue
		}
		n, err := p.connect(addr)
		if err != nil {
			return err
		}
		n.member, known[addr] = true, true
		p.all = append(p.all, n)
	}
	p.learned = true
	p.all = slices.DeleteFunc(p.all, func(n *node) bool {
		gone := !n.member && !n.seed
		if gone && n.calls == 0 {
			_ = n.conn.Close() // nothing is under way
		}
		return gone
	})
	return nil
}

// pick returns the next node for an attempt, if it can be one that was not tried. The caller must release it. It returns nil after close.
//
// Of all nodes those of the best standing take turns: not left alone, connected, not tried, and named by the cluster, in this order.
func (p *nodes) pick(tried []*node) *node {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	n, _ := p.best(tried)
	n.calls++
	return n
}

// another is as pick, and returns nil instead of a node that was tried, or does not stand well.
func (p *nodes) another(tried []*node) *node {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	n, standing := p.best(tried)
	if standing > notMember {
		return nil
	}
	n.calls++
	return n
}

// several reports whether there is another node to ask.
func (p *nodes) several() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all) > 1
}

// best returns the next of those that stand best, of which there is one. The caller holds mu.
func (p *nodes) best(tried []*node) (best *node, standing int) {
	now := time.Now()
	for i := range p.all {
		n := p.all[(p.next+i)%len(p.all)]
		if s := p.standing(n, tried, now); best == nil || s < standing {
			best, standing = n, s
		}
	}
	p.next = slices.Index(p.all, best) + 1
	return best, standing
}

// What speaks against a node. Each counts for more than those before together.
const (
	notMember = 1 << iota
	triedNow
	notConnected
	leftAlone
)

// standing is lower for better nodes. One that is not connected is told to connect.
func (p *nodes) standing(n *node, tried []*node, now time.Time) (s int) {
	if p.learned && !n.member {
		s += notMember
	}
	if slices.Contains(tried, n) {
		s += triedNow
	}
	switch n.conn.GetState() {
	case connectivity.Ready:
	case connectivity.Idle:
		n.conn.Connect()
		fallthrough
	default:
		s += notConnected
	}
	if now.Before(n.until) {
		s += leftAlone
	}
	return s
}

// verdict is what an attempt says about its node.
type verdict int

const (
	unknown verdict = iota
	good
	slow
	bad
)

// release ends an attempt.
func (p *nodes) release(n *node, v verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n.calls--
	if n.calls == 0 && !slices.Contains(p.all, n) {
		_ = n.conn.Close() // it left meanwhile, and nothing is under way any more
	}
	switch v {
	case unknown:
		return
	case good:
		n.faults, n.slow = 0, 0
		return
	case slow:
		if n.slow++; n.slow < slowRun {
			return
		}
	}
	n.slow = 0
	aside := min(longestAside, firstAside<<min(n.faults, 10))
	n.faults++
	n.until = time.Now().Add(aside/2 + rand.N(aside/2))
	select {
	case p.faulty <- struct{}{}:
	default:
	}
}

// close closes all connections.
func (p *nodes) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, n := range p.all {
		errs = append(errs, n.conn.Close())
	}
	p.all = nil
	return errors.Join(errs...)
}

// follow asks the cluster for its nodes, at first, now and then, and after faults, until ctx is done.
func (c *Client) follow(ctx context.Context) {
	for {
		pause := c.cfg.refresh
		if members, err := c.members(ctx); err == nil {
			if c.nodes.update(members) != nil {
				return // closed
			}
		} else {
			pause = min(pause, refreshGap)
		}
		gap := time.NewTimer(min(refreshGap, pause))
		select {
		case <-gap.C:
		case <-ctx.Done():
			gap.Stop()
			return
		}
		due := time.NewTimer(pause/2 + rand.N(pause)) // clients that began together part
		select {
		case <-due.C:
		case <-c.nodes.faulty:
		case <-ctx.Done():
		}
		due.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

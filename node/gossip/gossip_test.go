package gossip_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-io/kith/node/gossip"
)

func TestMain(m *testing.M) {
	// Shutdown of memberlist does not wait for the probe that is under way, which ends by its own timeouts.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// patience bounds the wait for a state that must come.
const patience = 30 * time.Second

// peer is a running Gossip. It ends with the test.
type peer struct {
	*gossip.Gossip
	stop func()
}

func start(t *testing.T, id string, edit func(*gossip.Config, *gossip.Meta)) *peer {
	t.Helper()
	cfg := gossip.Config{BindAddr: "127.0.0.1:0", RejoinInterval: 300 * time.Millisecond, Preset: gossip.Local}
	meta := gossip.Meta{ID: id, GRPCAddr: "127.0.0.1:1", RaftAddr: "127.0.0.1:2", Version: "test", Weight: 1}
	if edit != nil {
		edit(&cfg, &meta)
	}
	g, err := gossip.New(cfg, meta)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }() // received by stop
	p := &peer{Gossip: g, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", id, err)
		}
	})}
	t.Cleanup(p.stop)
	return p
}

func join(p *peer) func(*gossip.Config, *gossip.Meta) {
	return func(c *gossip.Config, _ *gossip.Meta) { c.Join = []string{p.Addr()} }
}

// sees waits until p sees the member id in a state.
func (p *peer) sees(t *testing.T, id string, want gossip.State) gossip.Member {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		seen := "nobody"
		for _, m := range p.Members() {
			if m.ID == id {
				if m.State == want {
					return m
				}
				seen = m.State.String()
			}
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %v: sees %s as %s, want %s", patience, id, seen, want)
		}
	}
}

// relay stands before a peer, so that the way to it can be cut.
type relay struct {
	udp *net.UDPConn
	tcp net.Listener

	mu     sync.Mutex
	target string
	cut    bool
	conns  map[net.Conn]bool
	work   sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	for range 20 { // one port for both protocols
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(ln.Addr().(*net.TCPAddr).AddrPort()))
		if err != nil {
			_ = ln.Close() // the port is taken for UDP
			continue
		}
		r := &relay{udp: udp, tcp: ln, conns: map[net.Conn]bool{}}
		r.work.Go(r.packets)
		r.work.Go(r.streams)
		t.Cleanup(func() {
			r.set(true)
			if err := errors.Join(udp.Close(), ln.Close()); err != nil {
				t.Error(err)
			}
			r.work.Wait()
		})
		return r
	}
	t.Fatal("no port is free for TCP and UDP")
	return nil
}

// set cuts the way or opens it again.
func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if cut {
		for c := range r.conns {
			_ = c.Close() // whoever uses it sees the error
		}
	}
}

func (r *relay) to(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = addr
}

// open returns the target, or "" while the way is cut.
func (r *relay) open() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return ""
	}
	return r.target
}

func (r *relay) packets() {
	buf := make([]byte, 1<<16)
	for {
		n, err := r.udp.Read(buf)
		if err != nil {
			return
		}
		if addr, err := net.ResolveUDPAddr("udp", r.open()); err == nil && addr.Port > 0 {
			_, _ = r.udp.WriteToUDP(buf[:n], addr) // packets may be lost
		}
	}
}

func (r *relay) streams() {
	for {
		in, err := r.tcp.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() {
			defer in.Close() //nolint:errcheck // the way may have been cut
			addr := r.open()
			if addr == "" {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			r.hold(in, out)
			var both sync.WaitGroup
			both.Go(func() { r.pipe(out, in) })
			r.pipe(in, out)
			both.Wait()
			r.drop(in, out)
		})
	}
}

func (r *relay) pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // ends when either side does
	_ = errors.Join(to.Close(), from.Close())
}

func (r *relay) hold(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
		if r.cut {
			_ = c.Close()
		}
	}
}

func (r *relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// TestHalvesFindEachOther cuts two members apart for so long that each takes the other for dead, and heals the network:
// both must join again by themselves (memberlist issue 222).
func TestHalvesFindEachOther(t *testing.T) {
	ways := []*relay{newRelay(t), newRelay(t)}
	var peers []*peer
	for i, way := range ways {
		peers = append(peers, start(t, fmt.Sprint("n", i), func(c *gossip.Config, _ *gossip.Meta) {
			c.AdvertiseAddr = way.tcp.Addr().String()
			if i == 1 {
				c.Join = []string{ways[0].tcp.Addr().String()} // n0 was told of nobody
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0") // a port to bind, known before
			if err != nil {
				t.Fatal(err)
			}
			c.BindAddr = ln.Addr().String()
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			way.to(c.BindAddr)
		}))
	}
	peers[0].sees(t, "n1", gossip.Alive)
	peers[1].sees(t, "n0", gossip.Alive)
	for round := range 2 {
		for _, way := range ways {
			way.set(true)
		}
		peers[0].sees(t, "n1", gossip.Dead)
		peers[1].sees(t, "n0", gossip.Dead)
		for _, way := range ways {
			way.set(false)
		}
		peers[0].sees(t, "n1", gossip.Alive)
		peers[1].sees(t, "n0", gossip.Alive)
		t.Logf("round %d: together again", round)
	}
}

func TestGoodbyeIsNoDeath(t *testing.T) {
	a := start(t, "a", nil)
	b := start(t, "b", join(a))
	c := start(t, "c", join(a))
	a.sees(t, "b", gossip.Alive)
	a.sees(t, "c", gossip.Alive)
	b.stop()
	a.sees(t, "b", gossip.Left)
	c.Close() // like the end of its process
	a.sees(t, "c", gossip.Dead)
}

// TestAllLeaveAtOnce: nobody waits to tell those that are gone, neither that it leaves nor that it has left, which takes a second and two.
func TestAllLeaveAtOnce(t *testing.T) {
	for apart := range 8 { // so that one has just begun when the others are gone
		slow := 0
		for range 4 {
			took := leaveAtOnce(t, time.Duration(apart)*15*time.Millisecond)
			if took < time.Second {
				break
			}
			t.Logf("%d: all left after %v", apart, took)
			slow++ // or the machine was held up, but not once and again
		}
		if slow > 1 {
			t.Errorf("%d: somebody waited for those that were gone", apart)
		}
	}
}

// leaveAtOnce tells how long it takes three peers to leave, each some time after the one before.
func leaveAtOnce(t *testing.T, apart time.Duration) time.Duration {
	t.Helper()
	a := start(t, "a", nil)
	peers := []*peer{a, start(t, "b", join(a)), start(t, "c", join(a))}
	for _, p := range peers {
		for _, id := range []string{"a", "b", "c"} {
			p.sees(t, id, gossip.Alive)
		}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			<-time.After(time.Duration(i) * apart)
			p.stop()
		})
	}
	wg.Wait()
	return time.Since(began)
}

// TestRestartAtAnotherAddress lets a member come back elsewhere, with nothing but what it remembers.
func TestRestartAtAnotherAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers")
	a := start(t, "a", nil)
	b := start(t, "b", func(c *gossip.Config, _ *gossip.Meta) { c.Join, c.PeersFile = []string{a.Addr()}, file })
	was := a.sees(t, "b", gossip.Alive).Addr
	b.stop()
	a.sees(t, "b", gossip.Left)
	b = start(t, "b", func(c *gossip.Config, m *gossip.Meta) { c.PeersFile, m.GRPCAddr = file, "127.0.0.1:3" })
	if now := a.sees(t, "b", gossip.Alive); now.Addr == was || now.GRPCAddr != "127.0.0.1:3" {
		t.Errorf("came back as %+v, want a new address", now)
	}
	b.sees(t, "a", gossip.Alive)
}

func TestClustersStayApart(t *testing.T) {
	of := func(cluster string, others ...*peer) func(*gossip.Config, *gossip.Meta) {
		return func(c *gossip.Config, m *gossip.Meta) {
			m.ClusterID = cluster
			for _, o := range others {
				c.Join = append(c.Join, o.Addr())
			}
		}
	}
	a := start(t, "a", of("one"))
	x := start(t, "x", of("two", a))
	b := start(t, "b", of("one", a, x))
	a.sees(t, "b", gossip.Alive)
	b.sees(t, "a", gossip.Alive)
	for _, p := range []*peer{a, b} {
		for _, m := range p.Members() {
			if m.ID == "x" && m.State == gossip.Alive {
				t.Errorf("a member of another cluster is taken in: %+v", m)
			}
		}
	}
}

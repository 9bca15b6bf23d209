// Package clustertest starts real kith processes within a test: raft, gossip and gRPC over loopback, data in a
// temporary folder.
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
)

// watchPause is the pause before a build is watched again.
const watchPause = 100 * time.Millisecond

// Patience is how long a test waits for a state that must come.
const Patience = 60 * time.Second

// Options of a Cluster.
type Options struct {
	// Servers is the number of processes; 0 means 3.
	Servers int
	// Partitions of the cluster; 0 means 4, so that tests start fast.
	Partitions int
	// Threads of a build on each node; 0 means 1.
	Threads int
	// DeadAfter is how long a member may be away; 0 means the default of a server.
	DeadAfter time.Duration
	// Configure may change the settings of a member each time that it starts; nil leaves them.
	Configure func(member int, cfg *server.Config)
	// Dial are options of the connections to members, such as credentials.
	Dial []grpc.DialOption
}

// Cluster is a number of servers that form a cluster. Its methods fail the test.
type Cluster struct {
	t       testing.TB
	opts    Options
	dir     string
	log     *slog.Logger
	Members []*Member
}

// Member is one server, running or not.
type Member struct {
	Index  int
	Server *server.Server // nil while it does not run
	late   bool           // came after the cluster was made
	grpc   string
	gossip string
	conn   *grpc.ClientConn
	stop   context.CancelFunc
	done   chan error
}

// Start starts a cluster and waits until it is ready. Everything ends with the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Servers == 0 {
		o.Servers = 3
	}
	if o.Partitions == 0 {
		o.Partitions = 4
	}
	if o.Threads == 0 {
		o.Threads = 1
	}
	c := &Cluster{t: t, opts: o, dir: t.TempDir(), log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for i := range o.Servers {
		c.Members = append(c.Members, &Member{Index: i})
	}
	t.Cleanup(c.close)
	for i := range c.Members {
		c.Run(i)
	}
	c.Ready()
	return c
}

// testWriter writes log lines to the test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// Run starts member i, at the addresses and with the data that it had before, if it ran.
func (c *Cluster) Run(i int) {
	c.t.Helper()
	m := c.Members[i]
	cfg := server.DefaultConfig()
	cfg.DataDir = c.Dir(i)
	cfg.GRPCAddr, cfg.RaftAddr, cfg.GossipAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.BootstrapExpect, cfg.Partitions, cfg.Threads = c.opts.Servers, c.opts.Partitions, c.opts.Threads
	switch {
	case m.late:
		cfg.BootstrapExpect = 0
	case cfg.BootstrapExpect == 2:
		cfg.BootstrapExpect = 1
	}
	cfg.DeadAfter = c.opts.DeadAfter
	cfg.Local, cfg.CacheBytes, cfg.Logger = true, 8<<20, c.log.With("member", i)
	for _, other := range c.Members {
		if other.gossip != "" && other != m {
			cfg.Join = append(cfg.Join, other.gossip)
		}
	}
	if c.opts.Configure != nil {
		c.opts.Configure(i, &cfg)
	}
	s, err := server.New(cfg)
	if err != nil {
		c.t.Fatalf("member %d: %v", i, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.Server, m.grpc, m.gossip, m.stop, m.done = s, s.GRPCAddr(), s.GossipAddr(), stop, make(chan error, 1)
	go func() { m.done <- s.Run(ctx) }() // received by end
	if m.conn, err = grpc.NewClient("passthrough:///"+m.grpc, node.DialOptions(c.opts.Dial...)...); err != nil {
		c.t.Fatal(err)
	}
}

// Add starts one more member, which joins the others, and returns its index.
func (c *Cluster) Add() int {
	c.t.Helper()
	i := len(c.Members)
	c.Members = append(c.Members, &Member{Index: i, late: true})
	c.Run(i)
	return i
}

// Left waits until member i, which was told to leave, has stopped by itself.
func (c *Cluster) Left(i int) {
	c.t.Helper()
	if err := c.Ended(i); !errors.Is(err, server.ErrLeft) {
		c.t.Errorf("member %d left with %v, want %v", i, err, server.ErrLeft)
	}
}

// Ended waits until member i has stopped by itself, and returns why.
func (c *Cluster) Ended(i int) error {
	c.t.Helper()
	m := c.Members[i]
	var why error
	select {
	case why = <-m.done:
		m.done <- nil
	case <-time.After(Patience):
		c.t.Fatalf("member %d still runs after %v", i, Patience)
	}
	c.end(m)
	return why
}

// Cluster returns a client of member i.
func (c *Cluster) Cluster(i int) kithv1.ClusterServiceClient {
	return kithv1.NewClusterServiceClient(c.Conn(i))
}

// end waits for a member that was told to stop.
func (c *Cluster) end(m *Member) {
	err := <-m.done
	m.stop()
	if err != nil {
		c.t.Errorf("member %d: %v", m.Index, err)
	}
	_ = m.conn.Close()
	m.Server = nil
}

// Stop stops member i as an operator does.
func (c *Cluster) Stop(i int) {
	c.Members[i].stop()
	c.end(c.Members[i])
}

// Kill stops member i without goodbye.
func (c *Cluster) Kill(i int) {
	c.Members[i].Server.Abort()
	c.end(c.Members[i])
}

func (c *Cluster) close() {
	var wg sync.WaitGroup
	for i, m := range c.Members {
		if m.Server != nil {
			wg.Go(func() { c.Stop(i) })
		}
	}
	wg.Wait()
}

// Alive returns the members that run.
func (c *Cluster) Alive() []*Member {
	return slices.DeleteFunc(slices.Clone(c.Members), func(m *Member) bool { return m.Server == nil })
}

// Ready waits until all running members see a cluster that is ready.
func (c *Cluster) Ready() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), Patience)
	defer cancel()
	for _, m := range c.Alive() {
		if err := m.Server.Ready(ctx); err != nil {
			c.t.Fatalf("member %d: %v", m.Index, err)
		}
	}
}

// Coordinator waits until a running member coordinates, and returns its index.
func (c *Cluster) Coordinator() int {
	c.t.Helper()
	at := -1
	c.Eventually(func() error {
		for _, m := range c.Alive() {
			if m.Server.IsCoordinator() {
				at = m.Index
				return nil
			}
		}
		return fmt.Errorf("no member coordinates")
	})
	return at
}

// Eventually waits until f returns nil; it fails the test with the last error when that takes too long.
func (c *Cluster) Eventually(f func() error) {
	c.t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			c.t.Fatalf("after %v: %v", Patience, err)
		}
	}
}

// Dir returns the data folder of member i.
func (c *Cluster) Dir(i int) string { return filepath.Join(c.dir, fmt.Sprint(i)) }

// Conn returns a connection to member i.
func (c *Cluster) Conn(i int) *grpc.ClientConn { return c.Members[i].conn }

// Events returns a client of member i.
func (c *Cluster) Events(i int) kithv1.EventsServiceClient {
	return kithv1.NewEventsServiceClient(c.Conn(i))
}

// Recommender returns a client of member i.
func (c *Cluster) Recommender(i int) kithv1.RecommenderServiceClient {
	return kithv1.NewRecommenderServiceClient(c.Conn(i))
}

// Models returns a client of member i.
func (c *Cluster) Models(i int) kithv1.ModelServiceClient {
	return kithv1.NewModelServiceClient(c.Conn(i))
}

// Append stores events through member i, in messages of 1,000. Events that all have ids are sent again, as clients do, while the
// cluster says that this may help, as in elections: the answer then counts what had come before as duplicates.
func (c *Cluster) Append(i int, events []*kithv1.Event) (resp *kithv1.AppendResponse) {
	c.t.Helper()
	unnamed := slices.ContainsFunc(events, func(e *kithv1.Event) bool { return e.Id == "" })
	c.Repeat(fmt.Sprintf("append %d events through member %d", len(events), i), func() (again bool, err error) {
		resp, err = c.append(i, events)
		return !unnamed, err
	})
	return resp
}

// Repeat calls f until there is no error, as long as the cluster says that this may help and f says that it may be called again. It fails the test with other errors.
func (c *Cluster) Repeat(what string, f func() (again bool, err error)) {
	c.t.Helper()
	c.Eventually(func() error {
		again, err := f()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", what, wire.FromStatus(err))
		if !again || !wire.Answered(err) {
			c.t.Fatal(err)
		}
		c.t.Logf("once more: %v", err)
		return err
	})
}

func (c *Cluster) append(i int, events []*kithv1.Event) (*kithv1.AppendResponse, error) {
	stream, err := c.Events(i).Append(c.t.Context())
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(events, 1000) {
		if err := stream.Send(&kithv1.AppendRequest{Events: chunk}); err != nil {
			break // CloseAndRecv tells why
		}
	}
	return stream.CloseAndRecv()
}

// Build starts a build through member i and waits for it.
func (c *Cluster) Build(i int, spec *kithv1.BuildSpec) *kithv1.Job {
	c.t.Helper()
	var resp *kithv1.BuildResponse
	c.Repeat(fmt.Sprintf("build through member %d", i), func() (again bool, err error) {
		resp, err = c.Models(i).Build(c.t.Context(), &kithv1.BuildRequest{Spec: spec})
		return !errors.Is(wire.FromStatus(err), wire.ErrUnknownOutcome), err // else a second build may begin
	})
	return c.Wait(i, resp.Job.Id)
}

// Wait waits until a job has ended well, as member i sees it, and until all running members know what it published.
func (c *Cluster) Wait(i int, job uint64) *kithv1.Job {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*Patience)
	defer cancel()
	stream, err := c.Models(i).WatchJob(ctx, &kithv1.WatchJobRequest{Id: job})
	for {
		var m *kithv1.WatchJobResponse
		if err == nil {
			m, err = stream.Recv()
		}
		if err != nil {
			if !wire.Retryable(wire.FromStatus(err)) || ctx.Err() != nil {
				c.t.Fatalf("watch job %d at member %d: %v", job, i, err)
			}
			time.Sleep(watchPause) // as any client waits before it asks again
			stream, err = c.Models(i).WatchJob(ctx, &kithv1.WatchJobRequest{Id: job})
			continue
		}
		switch m.Job.Phase {
		case kithv1.JobPhase_JOB_PHASE_DONE:
			c.Eventually(func() error {
				for _, other := range c.Alive() {
					if other.Server.State().Version(m.Job.ModelVersion) == nil {
						return fmt.Errorf("member %d has not heard of version %d", other.Index, m.Job.ModelVersion)
					}
				}
				return nil
			})
			return m.Job
		case kithv1.JobPhase_JOB_PHASE_FAILED:
			c.t.Fatalf("job %d failed: %s", job, m.Job.Error)
		}
	}
}

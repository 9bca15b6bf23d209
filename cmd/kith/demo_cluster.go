package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kith-io/kith/server"
)

// demoCluster is a cluster of real servers within this process, on free ports of the loopback interface.
type demoCluster struct {
	dir   string
	nodes []*demoNode
}

// demoNode is one server, running or not.
type demoNode struct {
	name   string
	server *server.Server // nil while it does not run
	stop   context.CancelFunc
	done   chan error
}

// startDemo starts a cluster of n servers and waits until it is ready. The caller must close it, also after an error.
func startDemo(ctx context.Context, dir string, n int) (*demoCluster, error) {
	c := &demoCluster{dir: dir}
	for i := range n {
		c.nodes = append(c.nodes, &demoNode{name: fmt.Sprintf("node-%d", i+1)})
	}
	for i := range c.nodes {
		if err := c.run(ctx, i); err != nil {
			return c, err
		}
	}
	return c, c.ready(ctx)
}

// run starts node i, with the data that it had if it ran before.
func (c *demoCluster) run(ctx context.Context, i int) error {
	node := c.nodes[i]
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.NodeID = filepath.Join(c.dir, node.name), node.name
	cfg.GRPCAddr, cfg.RaftAddr, cfg.GossipAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.BootstrapExpect = len(c.nodes)
	cfg.Partitions = 8       // enough to show how data spreads; each costs a file to sync
	cfg.CacheBytes = 8 << 20 // the shop is small
	cfg.Local, cfg.Version, cfg.Logger = true, thisBuild().Version, slog.New(slog.DiscardHandler)
	for _, other := range c.nodes {
		if other.server != nil {
			cfg.Join = append(cfg.Join, other.server.GossipAddr())
		}
	}
	s, err := server.New(cfg)
	if err != nil {
		return fmt.Errorf("start %s: %w", node.name, err)
	}
	// Its own context, so that servers end one after the other and not at the first signal.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	node.server, node.stop, node.done = s, stop, make(chan error, 1)
	go func() { node.done <- s.Run(running) }() // received by end
	return nil
}

// end waits for a node that was told to stop.
func (n *demoNode) end() error {
	err := <-n.done
	n.stop()
	n.server = nil
	return err
}

// kill ends node i without goodbye.
func (c *demoCluster) kill(i int) error {
	c.nodes[i].server.Abort()
	return c.nodes[i].end()
}

// alive returns the nodes that run.
func (c *demoCluster) alive() []*demoNode {
	var out []*demoNode
	for _, n := range c.nodes {
		if n.server != nil {
			out = append(out, n)
		}
	}
	return out
}

// ready waits until all nodes that run see a cluster that is ready.
func (c *demoCluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	for _, n := range c.alive() {
		if err := n.server.Ready(ctx); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// index returns the position of a node, or -1.
func (c *demoCluster) index(name string) int {
	return slices.IndexFunc(c.nodes, func(n *demoNode) bool { return n.name == name })
}

// client returns a client of all nodes that run. The caller must close it.
func (c *demoCluster) client() (*client, error) {
	r := remote{timeout: demoTimeout}
	for _, n := range c.alive() {
		r.addrs = append(r.addrs, n.server.GRPCAddr())
	}
	return r.open()
}

// close stops all nodes in order.
func (c *demoCluster) close() error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for _, n := range c.alive() {
		n.stop()
		wg.Go(func() {
			err := n.end()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

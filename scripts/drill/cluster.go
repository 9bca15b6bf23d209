//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	// askTimeout bounds a question to one server. A status takes up to a second where members do not answer.
	askTimeout = 3 * time.Second
	// lookPause is the pause between two looks at a state that is waited for.
	lookPause = 50 * time.Millisecond
	// smallDiskBytes is the size of the disk that can be filled. A server with 8 partitions keeps some 50 MB.
	smallDiskBytes = 512 << 20
)

// cluster is the servers of a drill, as the nemesis and the checks see them.
type cluster struct {
	cfg     config
	net     *network
	servers []*process
	conns   []*grpc.ClientConn // of the servers, from the clients' host
	// free is where the next server joins, and joined the number of those that have.
	free   seat
	joined int
	// smallDisk is the server whose data folder is on a disk that can be filled, or nil.
	smallDisk *process
	rng       *rand.Rand // of the nemesis
	// acknowledged says, of each event that was sent so far, whether it was acknowledged.
	acknowledged func() map[event]bool
	// waited is what the nemesis waited for last.
	waited error
}

// startCluster starts the servers and waits until they are ready. The caller must stop the cluster.
func startCluster(ctx context.Context, cfg config) (_ *cluster, err error) {
	c := &cluster{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.seed, 1))}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop(ctx))
		}
	}()
	// Some hosts more: for the server that checks compare with, and for a cluster that a backup is restored to; and one where another joins.
	if c.net, err = newNetwork(cfg.namespaces, cfg.disks, cfg.servers+restoredMost+1, rand.New(rand.NewPCG(cfg.seed, 2))); err != nil {
		return nil, err
	}
	if err := c.add(c.net.hosts[:cfg.servers], false); err != nil {
		return nil, err
	}
	c.free.host = c.spare(restoredMost)
	if c.free.conn, err = c.connect(c.free.host); err != nil {
		return nil, err
	}
	if cfg.namespaces {
		c.smallDisk = c.servers[len(c.servers)-1]
		if err := c.smallDisk.host.do(func() error {
			return unix.Mount("drill", c.smallDisk.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", smallDiskBytes))
		}); err != nil {
			return nil, fmt.Errorf("mount a small disk at %s: %w", c.smallDisk.dir, err)
		}
	}
	for _, p := range c.servers {
		if err := p.start(); err != nil {
			return nil, err
		}
	}
	ready, cancel := context.WithTimeout(ctx, cfg.patience)
	defer cancel()
	return c, c.awaitReady(ready)
}

// add prepares servers that make a cluster, with empty folders if they are to be cleared. It does not start them.
func (c *cluster) add(hosts []*host, empty bool) error {
	var join []string
	for _, h := range hosts {
		join = append(join, h.at(gossipPort))
	}
	for _, h := range hosts {
		var more []string
		if len(hosts) > 1 {
			more = []string{"--join", strings.Join(join, ","), "--bootstrap-expect", fmt.Sprint(len(hosts)), "--replication", fmt.Sprint(c.cfg.replication)}
		}
		p, err := c.newProcess(h, h.name, more...)
		if err == nil && empty {
			err = p.clear()
		}
		if err != nil {
			return err
		}
		c.servers = append(c.servers, p)
		conn, err := c.connect(h)
		if err != nil {
			return err
		}
		c.conns = append(c.conns, conn)
	}
	return nil
}

// newProcess prepares a server on a host.
func (c *cluster) newProcess(h *host, id string, more ...string) (*process, error) {
	p := &process{host: h, id: id, dir: filepath.Join(c.cfg.dir, id), log: filepath.Join(c.cfg.dir, id+".log"), bin: c.cfg.kith}
	p.args = append([]string{
		"server", "--data-dir", p.dir, "--node-id", p.id, "--grpc-addr", h.at(grpcPort), "--raft-addr", h.at(raftPort),
		"--gossip-addr", h.at(gossipPort), "--partitions", fmt.Sprint(c.cfg.partitions), "--cache-mib", "16", "--build-every", "0",
	}, more...)
	if c.cfg.local {
		p.args = append(p.args, "--local")
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil || !c.cfg.overlay {
		return p, err
	}
	p.clock = filepath.Join(c.cfg.dir, id+".clock")
	return p, p.setClock(0)
}

// connect returns a connection from the clients' host. It connects when it is first used, and looks again every second.
func (c *cluster) connect(h *host) (*grpc.ClientConn, error) {
	clients := c.net.hosts[len(c.net.hosts)-1]
	again := backoff.DefaultConfig
	again.MaxDelay = time.Second
	return grpc.NewClient("passthrough:///"+h.at(grpcPort),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(wire.UnaryClient), grpc.WithChainStreamInterceptor(wire.StreamClient),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: time.Second}),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return clients.dial(ctx, addr) }))
}

// stop kills what runs and takes everything down but the folder, also when ctx is done.
func (c *cluster) stop(ctx context.Context) error {
	err := c.end(ctx)
	if c.net != nil {
		err = errors.Join(err, c.net.close())
	}
	return err
}

// end kills the servers, also when ctx is done. Their hosts stay.
func (c *cluster) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	if c.free.conn != nil {
		errs = append(errs, c.free.conn.Close())
	}
	for _, p := range c.servers {
		errs = append(errs, p.end(ctx, syscall.SIGKILL))
	}
	return errors.Join(errs...)
}

// index returns the position of a server.
func (c *cluster) index(p *process) int {
	for i, s := range c.servers {
		if s == p {
			return i
		}
	}
	return -1
}

// status asks one server.
func (c *cluster) status(ctx context.Context, i int) (*kithv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return kithv1.NewClusterServiceClient(c.conns[i]).Status(ctx, &kithv1.StatusRequest{})
}

// infos returns what each server says of its replicas: by server, then by partition.
func (c *cluster) infos(ctx context.Context) ([]map[uint32]*kithv1.ReplicaInfo, error) {
	out := make([]map[uint32]*kithv1.ReplicaInfo, len(c.servers))
	errs := make([]error, len(c.servers))
	var wg sync.WaitGroup
	for i := range c.servers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			info, err := kithv1.NewPartitionServiceClient(c.conns[i]).Info(ctx, &kithv1.InfoRequest{})
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", c.servers[i].id, err)
				return
			}
			out[i] = map[uint32]*kithv1.ReplicaInfo{}
			for _, r := range info.Replicas {
				out[i][r.Partition] = r
			}
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// final is an error that waiting does not change.
type final struct{ error }

// Unwrap returns the error.
func (f final) Unwrap() error { return f.error }

// eventually calls f until it returns nil or a final error, or ctx is done, and then returns what f said last. It ends
// early when a server has ended by itself.
func (c *cluster) eventually(ctx context.Context, f func(ctx context.Context) error) error {
	return c.patiently(ctx, func(ctx context.Context) error {
		err := f(ctx)
		if err == nil {
			return nil
		}
		for _, p := range c.servers {
			if died := p.died(); died != nil {
				return final{died}
			}
		}
		return err
	})
}

// patiently is eventually where a server may end by itself.
func (c *cluster) patiently(ctx context.Context, f func(ctx context.Context) error) error {
	ticker := time.NewTicker(lookPause)
	defer ticker.Stop()
	for {
		err := f(ctx)
		if errors.As(err, &final{}) || err == nil {
			return err
		}
		c.waited = err
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		}
	}
}

// awaitReady waits until every server sees a cluster that is ready, with all members alive and all replicas where they should be.
func (c *cluster) awaitReady(ctx context.Context) error {
	return c.eventually(ctx, func(ctx context.Context) error {
		for i, p := range c.servers {
			s, err := c.status(ctx, i)
			if err != nil {
				return fmt.Errorf("%s: %w", p.id, err)
			}
			alive := 0
			for _, m := range s.Members {
				if m.State == kithv1.MemberState_MEMBER_STATE_ALIVE {
					alive++
				}
			}
			if !s.Ready || alive != len(c.servers) {
				return fmt.Errorf("%s: ready %t, %d of %d members alive, coordinator %q", p.id, s.Ready, alive, len(c.servers), s.Coordinator)
			}
			if len(s.Moves) > 0 {
				return fmt.Errorf("%s: %d replicas move", p.id, len(s.Moves))
			}
			for _, x := range s.Partitions {
				if len(x.Replicas) != c.cfg.replication {
					return fmt.Errorf("%s: partition %d is on %v", p.id, x.Partition, x.Replicas)
				}
			}
		}
		return nil
	})
}

// awaitCaughtUp waits until every partition has all its replicas, and every one has applied what had been applied by any at the call.
func (c *cluster) awaitCaughtUp(ctx context.Context) error {
	goal := map[uint32]uint64{}
	return c.eventually(ctx, func(ctx context.Context) error {
		infos, err := c.infos(ctx)
		if err != nil {
			return err
		}
		if len(goal) == 0 {
			for _, info := range infos {
				for p, r := range info {
					goal[p] = max(goal[p], r.AppliedIndex)
				}
			}
		}
		copies := map[uint32]int{}
		for i, info := range infos {
			for p, r := range info {
				copies[p]++
				if r.AppliedIndex < goal[p] {
					return fmt.Errorf("%s has applied %d of %d entries of partition %d", c.servers[i].id, r.AppliedIndex, goal[p], p)
				}
			}
		}
		for p := range uint32(c.cfg.partitions) {
			if copies[p] != c.cfg.replication {
				return fmt.Errorf("%d replicas of partition %d are open, want %d", copies[p], p, c.cfg.replication)
			}
		}
		return nil
	})
}

// coordinator returns the server that says that it is the coordinator, or nil where there is none. Two may say so for a
// moment; then the one that comes first.
func (c *cluster) coordinator(ctx context.Context) *process {
	says := make([]bool, len(c.servers))
	var wg sync.WaitGroup
	for i, p := range c.servers {
		wg.Go(func() {
			s, err := c.status(ctx, i)
			says[i] = err == nil && s.Coordinator == p.id
		})
	}
	wg.Wait()
	for i, p := range c.servers {
		if says[i] {
			return p
		}
	}
	return nil
}

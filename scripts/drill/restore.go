//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// restoredMost is the largest cluster that a backup is restored to.
const restoredMost = 3

// restored is no fault of the cluster: a backup of it, which works meanwhile, is restored to another cluster of another size, of which
// a server dies in the middle.
type restored struct {
	servers int
	saved   *saved
}

func (f *restored) kind() string     { return fmt.Sprintf("restore to a cluster of %d", f.servers) }
func (f *restored) survivable() bool { return true }

func (f *restored) inject(ctx context.Context, c *cluster) (_ []*process, err error) {
	f.saved, err = c.takeBackup(ctx, "backup.kith")
	return nil, err
}

func (f *restored) heal(ctx context.Context, c *cluster) (note string, err error) {
	if f.saved == nil {
		return "", nil // there is no backup, and the error was told
	}
	to, note, err := c.restore(ctx, f.saved, f.servers)
	if to != nil {
		err = errors.Join(err, to.end(ctx))
	}
	return note, err
}

// restore starts another cluster, restores a backup to it, during which one of its servers dies, and checks what it has. The caller
// must end the cluster, also after an error.
func (c *cluster) restore(ctx context.Context, s *saved, servers int) (to *cluster, note string, err error) {
	cfg := c.cfg
	cfg.servers, cfg.replication = servers, min(servers, 3)
	to = &cluster{cfg: cfg, net: c.net, rng: c.rng}
	hosts := c.net.hosts[c.cfg.servers:][:servers]
	if err := to.add(hosts, true); err != nil {
		return to, "", err
	}
	if err := errors.Join(each(to.servers, (*process).start), to.awaitReady(ctx)); err != nil {
		return to, "", fmt.Errorf("start a cluster to restore to: %w", err)
	}
	args := []string{"cluster", "restore", "--addr", to.addresses(), s.path}
	run, err := c.kith(ctx, c.net.hosts[len(c.net.hosts)-1], args...)
	if err != nil {
		return to, "", err
	}
	had, err := to.killInRestore(ctx, run)
	if err != nil {
		return to, "", errors.Join(err, run.wait())
	}
	note = fmt.Sprintf("a server was killed when %d of %d events were restored", had, s.events)
	if failed := run.wait(); failed != nil {
		// As the guide says.
		note += ", and the restore was repeated with --merge"
		if err = to.awaitReady(ctx); err == nil { // who repeats it has seen that the server is back
			run, err = c.kith(ctx, c.net.hosts[len(c.net.hosts)-1], append(args, "--merge")...)
		}
		if err == nil {
			err = run.wait()
		}
		if err != nil {
			return to, "", errors.Join(err, failed)
		}
	}
	if err := to.awaitReady(ctx); err != nil {
		return to, note, err
	}
	return to, note, to.has(ctx, s)
}

// killInRestore kills a server, and half of the time the restore too, when the cluster has events, at the latest when the restore
// ends. It starts the server again, and returns how many events there were.
func (c *cluster) killInRestore(ctx context.Context, run *cliRun) (had uint64, err error) {
	victim := c.servers[c.rng.IntN(len(c.servers))]
	for _, p := range c.servers { // slow disks give time for it
		if p.host.disk != nil {
			p.host.disk.slow(slowLeast, slowMost)
			defer p.host.disk.mend()
		}
	}
	err = c.eventually(ctx, func(ctx context.Context) error {
		infos, err := c.infos(ctx)
		if err != nil {
			return err
		}
		had = 0
		for _, info := range infos {
			for _, r := range info {
				if r.Leader {
					had += r.Events
				}
			}
		}
		select {
		case <-run.ended:
			return nil
		default:
		}
		if had == 0 {
			return errors.New("nothing is restored yet")
		}
		return nil
	})
	if c.rng.IntN(2) == 0 {
		run.kill()
	}
	return had, errors.Join(err, victim.end(ctx, syscall.SIGKILL), victim.start())
}

// has checks that the cluster has the events of a backup, each once, on every replica, and no others.
func (c *cluster) has(ctx context.Context, s *saved) error {
	if err := c.converged(ctx); err != nil {
		return fmt.Errorf("restored: %w", err)
	}
	stored, wrong, err := c.compareHistories(ctx, s.acked, &figures{})
	if err != nil {
		return fmt.Errorf("read what was restored: %w", err)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("restored: %d wrong, the first: %s", len(wrong), wrong[0])
	}
	infos, err := c.infos(ctx)
	if err != nil {
		return err
	}
	var all uint64
	for _, info := range infos {
		for _, r := range info {
			if r.Leader {
				all += r.Events
			}
		}
	}
	if len(stored) != s.events || all != uint64(s.events) {
		return fmt.Errorf("of a backup with %d events, %d are restored, %d of them of users to whom events were sent", s.events, all, len(stored))
	}
	return nil
}

// compareRestored makes a backup of the cluster, which nobody writes to, restores it to one of another size, builds a model there and
// compares its neighbor lists with those of the cluster, of a build of the same settings.
func (c *cluster) compareRestored(ctx context.Context, spec *kithv1.BuildSpec, out *figures) (broken []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*c.cfg.patience)
	defer cancel()
	s, err := c.takeBackup(ctx, "backup.kith")
	if err != nil {
		return []string{err.Error()}, nil
	}
	to, _, err := c.restore(ctx, s, restoredSize(c.cfg))
	if to != nil {
		defer func() { err = errors.Join(err, to.end(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return []string{"restore of the last backup: " + err.Error()}, nil
	}
	out.Restored = s.events
	items := map[string]bool{}
	for e, acknowledged := range s.acked {
		if acknowledged { // what was sent besides may have been stored nowhere, and be all that there is of an item
			items[e.message().Item] = true
		}
	}
	job, err := (&client{conns: to.conns}).build(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("build on the restored cluster: %w", err)
	}
	if !succeeded(job) {
		return []string{"the build on the restored cluster failed: " + job.Error}, nil
	}
	for _, conn := range to.conns {
		if err := awaitVersion(ctx, conn, job.ModelVersion, anyOf(items)); err != nil {
			return []string{"the build on the restored cluster is not used: " + err.Error()}, nil
		}
	}
	for item := range items {
		differ, err := to.compareAnswers(ctx, c.conns[0], similarTo(item))
		if err != nil {
			return broken, fmt.Errorf("neighbors of %s: %w", item, err)
		}
		out.RestoredLists += len(to.conns)
		for _, text := range differ {
			broken = append(broken, fmt.Sprintf("restored: neighbors of %s %s", item, text))
		}
	}
	return broken, nil
}

// restoredSize is the number of servers of the cluster to which the last backup is restored.
func restoredSize(cfg config) int {
	if cfg.servers > restoredMost {
		return restoredMost
	}
	return 1
}

func anyOf(items map[string]bool) (item string) {
	for item = range items {
		break
	}
	return item
}

// similarTo asks for the neighbors of an item.
func similarTo(item string) func(context.Context, *grpc.ClientConn) (proto.Message, error) {
	return func(ctx context.Context, conn *grpc.ClientConn) (proto.Message, error) {
		resp, err := kithv1.NewRecommenderServiceClient(conn).Similar(ctx, &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: item}, N: 25})
		if resp != nil {
			resp.ModelVersion = 0
		}
		return resp, err
	}
}

// clear empties the folder of a process that does not run.
func (p *process) clear() error {
	if err := os.RemoveAll(p.dir); err != nil {
		return err
	}
	return os.MkdirAll(p.dir, 0o700)
}

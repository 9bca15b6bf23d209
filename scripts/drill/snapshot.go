//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// snapshotLook is the pause between two looks for a snapshot that is being written. They take some ms, or longer on a slow disk.
	snapshotLook = 2 * time.Millisecond
	// unfinished ends the name of the folder of a snapshot that is being written.
	unfinished = ".tmp"
)

// killedInSnapshot is the fault of a process that dies while one of its raft groups writes a snapshot.
type killedInSnapshot struct {
	killed
	path string // of the snapshot, as seen on the host
}

func (f *killedInSnapshot) kind() string { return "kill in a snapshot: " + string(f.role) }

func (f *killedInSnapshot) inject(ctx context.Context, c *cluster) (_ []*process, err error) {
	f.who = c.pick(ctx, f.role)
	// A slow disk gives time for it.
	if d := f.who[0].host.disk; d != nil {
		d.slow(slowLeast, slowMost)
		defer d.mend()
	}
	f.path, err = c.killInSnapshot(ctx, f.who[0], func(string) *process { return f.who[0] })
	return f.who, err
}

func (f *killedInSnapshot) heal(ctx context.Context, c *cluster) (string, error) {
	if f.path == "" {
		return f.killed.heal(ctx, c)
	}
	note, err := leftover(f.who[0], f.path)
	return note, errors.Join(err, each(f.who, (*process).start), c.awaitGone(ctx, f.who[0], f.path))
}

// killInSnapshot kills a process as soon as writer writes a snapshot of a partition, of which it returns the path. victim tells which
// process, given the path.
func (c *cluster) killInSnapshot(ctx context.Context, writer *process, victim func(path string) *process) (path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	err = writer.host.do(func() error {
		for {
			found, err := filepath.Glob(filepath.Join(writer.dir, "partitions/*/raft/snapshots/*"+unfinished))
			if err == nil && len(found) > 0 {
				path = found[0]
				return victim(path).signal(syscall.SIGKILL)
			}
			if err = errors.Join(err, pause(ctx, snapshotLook)); err != nil {
				return fmt.Errorf("wait for %s to write a snapshot: %w", writer.id, err)
			}
		}
	})
	if path == "" {
		return "", err
	}
	return path, errors.Join(err, victim(path).end(ctx, syscall.SIGKILL))
}

// leftover tells whether the process was killed while it wrote the snapshot.
func leftover(p *process, path string) (note string, err error) {
	err = p.host.do(func() error { _, err := os.Stat(path); return err })
	short := strings.TrimPrefix(path, p.dir+"/")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return short + " was complete before the kill", nil
	case err != nil:
		return "", err
	}
	return short + " was cut short", nil
}

// awaitGone waits until nothing is left of a snapshot that was cut short.
func (c *cluster) awaitGone(ctx context.Context, p *process, path string) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	return c.eventually(ctx, func(context.Context) error {
		err := p.host.do(func() error { _, err := os.Stat(path); return err })
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("%s keeps %s, which was cut short", p.id, path))
	})
}

// killedInInstall is the fault of a follower that was away so long that the others have no more of the entries that it lacks, so that it
// is sent a snapshot, and dies while it writes that; or, with sender, the leader that sends it dies.
type killedInInstall struct {
	killedInSnapshot
	sender   bool
	follower *process
}

func (f *killedInInstall) kind() string {
	if f.sender {
		return "kill a leader that sends a snapshot"
	}
	return "kill a follower that is sent a snapshot"
}

// survivable implements fault. Without the leader there is no majority that has all entries until the follower has them.
func (f *killedInInstall) survivable() bool { return !f.sender }

func (f *killedInInstall) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.follower = c.pick(ctx, follower)[0]
	return []*process{f.follower}, f.follower.end(ctx, syscall.SIGKILL)
}

func (f *killedInInstall) heal(ctx context.Context, c *cluster) (string, error) {
	if err := f.awaitCut(ctx, c); err != nil {
		return "", errors.Join(err, f.follower.start())
	}
	infos, _ := c.infos(ctx) // the follower does not answer
	f.who = []*process{f.follower}
	victim := func(path string) *process {
		for i, info := range infos {
			for partition, r := range info {
				if f.sender && r.Leader && strings.HasPrefix(path, filepath.Join(f.follower.dir, partitionDir(partition))) {
					f.who = []*process{c.servers[i]}
				}
			}
		}
		return f.who[0]
	}
	if err := f.follower.start(); err != nil {
		return "", err
	}
	var err error
	if f.path, err = c.killInSnapshot(ctx, f.follower, victim); err != nil {
		return "", errors.Join(err, each(f.who, func(p *process) error { return errors.Join(p.end(ctx, syscall.SIGKILL), p.start()) }))
	}
	note := "killed while " + strings.TrimPrefix(f.path, f.follower.dir+"/") + " was sent"
	if f.sender {
		note = fmt.Sprintf("%s was %s", f.who[0].id, note)
	}
	// Where the sender is killed the follower goes on, and deletes what it was sent.
	return note, errors.Join(each(f.who, (*process).start), c.awaitGone(ctx, f.follower, f.path))
}

// awaitCut waits until no other server has all entries of some partition that the follower lacks.
func (f *killedInInstall) awaitCut(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	has := map[uint32]uint64{} // entries that the follower had: no more than others have now
	return c.eventually(ctx, func(ctx context.Context) error {
		if len(has) == 0 {
			infos, _ := c.infos(ctx) // the follower does not answer
			for _, info := range infos {
				for p, r := range info {
					has[p] = max(has[p], r.AppliedIndex)
				}
			}
		}
		for p, index := range has {
			holders, cut := 0, 0
			for _, s := range c.servers {
				newest, ok, err := newestSnapshot(s, p)
				if err != nil {
					return err
				}
				if s == f.follower || !ok {
					continue
				}
				holders++
				if newest > index+keptEntries {
					cut++
				}
			}
			if holders > 0 && cut == holders {
				return nil
			}
		}
		return fmt.Errorf("the others still have the entries that %s lacks", f.follower.id)
	})
}

func partitionDir(p uint32) string { return fmt.Sprintf("partitions/%05d", p) }

// newestSnapshot returns the index of the newest snapshot of a partition that a server has, if it has one.
func newestSnapshot(s *process, partition uint32) (index uint64, ok bool, err error) {
	var found []string
	err = s.host.do(func() (err error) {
		found, err = filepath.Glob(filepath.Join(s.dir, partitionDir(partition), "raft/snapshots/*-*-*"))
		return err
	})
	for _, path := range found {
		name := strings.Split(filepath.Base(path), "-") // term, index, time
		if strings.HasSuffix(path, unfinished) || len(name) != 3 {
			continue
		}
		if n, err := strconv.ParseUint(name[1], 10, 64); err == nil {
			index, ok = max(index, n), true
		}
	}
	return index, ok, err
}

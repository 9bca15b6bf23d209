//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/node/wire"
)

// cliRun is a run of kith that is no server.
type cliRun struct {
	what  string
	kill  context.CancelFunc
	ended chan struct{}
	out   bytes.Buffer // what it said; to be read when it has ended
	err   error
}

// kith starts a command on a host. It is killed when ctx is done.
func (c *cluster) kith(ctx context.Context, h *host, args ...string) (*cliRun, error) {
	ctx, kill := context.WithCancel(ctx)
	run := &cliRun{what: "kith " + strings.Join(args, " "), kill: kill, ended: make(chan struct{})}
	cmd := exec.CommandContext(ctx, c.cfg.kith, args...)
	cmd.Stdout, cmd.Stderr = &run.out, &run.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := h.do(cmd.Start); err != nil {
		kill()
		return nil, fmt.Errorf("%s: %w", run.what, err)
	}
	go func() { // ends with the command
		run.err = cmd.Wait()
		kill()
		close(run.ended)
	}()
	return run, nil
}

// wait waits for the end of the command. An error has what it said.
func (r *cliRun) wait() error {
	<-r.ended
	if r.err != nil {
		return fmt.Errorf("%s: %w: %s", r.what, r.err, strings.TrimSpace(r.out.String()))
	}
	return nil
}

// spare returns a host that no server of the cluster is on: that of the server that checks compare with, or one behind it.
func (c *cluster) spare(n int) *host { return c.net.hosts[c.cfg.servers+n] }

// addresses returns those of all servers, as kith takes them.
func (c *cluster) addresses() string {
	var out []string
	for _, p := range c.servers {
		out = append(out, p.host.at(grpcPort))
	}
	return strings.Join(out, ",")
}

// saved is a backup, and what had been acknowledged when it began.
type saved struct {
	path string
	// acked says of each event that had been sent when the backup had ended whether it was acknowledged before the backup began.
	acked map[event]bool
	// events is the number of those in the file.
	events int
}

// startBackup starts a backup of the cluster to a file, which must not exist.
func (c *cluster) startBackup(ctx context.Context, name string) (*cliRun, *saved, error) {
	s := &saved{path: filepath.Join(c.cfg.dir, name), acked: map[event]bool{}}
	for e, known := range c.acknowledged() {
		if known {
			s.acked[e] = true
		}
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	run, err := c.kith(ctx, c.spare(0), "cluster", "backup", "--addr", c.addresses(), s.path)
	return run, s, err
}

// takeBackup makes a backup of the cluster, and checks that it has what it must.
func (c *cluster) takeBackup(ctx context.Context, name string) (*saved, error) {
	run, s, err := c.startBackup(ctx, name)
	if err == nil {
		err = run.wait()
	}
	if err == nil {
		err = s.check(c.acknowledged())
	}
	return s, err
}

// check reads the backup in full: every event that had been acknowledged when it began must be there once, and nothing that was
// not sent. It takes over what had been sent since.
func (s *saved) check(sent map[event]bool) error {
	for e := range sent {
		if _, known := s.acked[e]; !known {
			s.acked[e] = false
		}
	}
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	r, err := backup.NewReader(bufio.NewReader(file))
	if err != nil {
		return fmt.Errorf("backup %s: %w", s.path, err)
	}
	defer r.Close()
	got := histories{}
	for {
		_, events, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("backup %s: %w", s.path, err)
		}
		s.events += len(events)
		for _, e := range wire.EventsToProto(events) {
			got[e.User] = append(got[e.User], e)
		}
	}
	var wrong []string
	want := byUser(s.acked)
	for user, events := range got {
		if want[user] == nil {
			wrong = append(wrong, fmt.Sprintf("user %q with %d events, of whom nothing was sent", user, len(events)))
		}
	}
	for user, events := range want {
		texts, _ := compareHistory(user, events, got[user], &figures{})
		wrong = append(wrong, texts...)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("backup %s: %d wrong, the first: %s", s.path, len(wrong), wrong[0])
	}
	return nil
}

const (
	// backupLag makes every packet from and to the host of a backup that late, so that there is time to kill a server in the middle.
	backupLag = 50 * time.Millisecond
	// backupBegun is how long a backup runs before the kill: a connection, the cut and the first events, with backupLag.
	backupBegun = 400 * time.Millisecond
)

// killedInBackup is the fault of a process that dies while a backup is made. The backup may fail; it may not be wrong.
type killedInBackup struct {
	killed
	run   *cliRun
	saved *saved
	after bool // the backup had ended before the kill
}

func (f *killedInBackup) kind() string { return "kill in a backup: " + string(f.role) }

func (f *killedInBackup) inject(ctx context.Context, c *cluster) (_ []*process, err error) {
	c.net.lag(c.spare(0), backupLag)
	f.who = c.pick(ctx, f.role)
	if f.run, f.saved, err = c.startBackup(ctx, "backup-killed.kith"); err != nil {
		return nil, err
	}
	select {
	case <-f.run.ended:
		f.after = true
	case <-time.After(backupBegun):
	}
	return f.who, each(f.who, func(p *process) error { return p.end(ctx, syscall.SIGKILL) })
}

func (f *killedInBackup) heal(ctx context.Context, c *cluster) (note string, err error) {
	defer c.net.lag(c.spare(0), 0)
	err = each(f.who, (*process).start)
	if f.run == nil {
		return "", err
	}
	what := "went on"
	if f.after {
		what = "had ended before the kill"
	}
	if failed := f.run.wait(); failed != nil {
		note = "the backup failed: " + failed.Error()
		if _, there := os.Stat(f.saved.path); !errors.Is(there, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("the backup failed and left %s: %w", f.saved.path, failed))
		}
	} else {
		err = errors.Join(err, f.saved.check(c.acknowledged()))
		note = fmt.Sprintf("the backup %s and has %d events", what, f.saved.events)
	}
	again, second := c.takeBackup(ctx, "backup-after.kith")
	if second != nil {
		return note, errors.Join(err, fmt.Errorf("the backup after it: %w", second))
	}
	return fmt.Sprintf("%s; one after it %d", note, again.events), err
}

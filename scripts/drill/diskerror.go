//go:build linux

package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"syscall"
)

// fileKind are files that a disk returns errors for.
type fileKind string

const (
	allFiles   fileKind = "all files"
	logFiles   fileKind = "the raft logs"
	storeFiles fileKind = "the event stores"
)

// paths matches the paths of files.
var paths = map[fileKind]*regexp.Regexp{
	allFiles:   regexp.MustCompile(`^/`),
	logFiles:   regexp.MustCompile(`/wal(/|$)`),
	storeFiles: regexp.MustCompile(`/events(/|$)`),
}

// diskError is the fault of a disk that returns errors. A server may refuse what it cannot store and go on when the disk is well
// again, or end with an error that says why: then it is started once the disk is well.
type diskError struct {
	role   role
	spoilt fileKind
	who    []*process
}

func (f *diskError) kind() string     { return fmt.Sprintf("disk errors in %s: %s", f.spoilt, f.role) }
func (f *diskError) survivable() bool { return f.role.survivable() }

func (f *diskError) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, f.role)
	for _, p := range f.who {
		p.host.disk.fail(paths[f.spoilt])
	}
	return f.who, nil
}

// ioError is how the system calls EIO.
var ioError = syscall.EIO.Error()

func (f *diskError) heal(ctx context.Context, _ *cluster) (string, error) {
	note := ""
	for _, p := range f.who {
		note += fmt.Sprintf("%d calls failed", p.host.disk.mend())
		why := p.died()
		if why == nil {
			continue
		}
		if !strings.Contains(why.Error(), ioError) {
			return note, fmt.Errorf("after errors of the disk, and without a word about it: %w", why)
		}
		note += fmt.Sprintf("; %s ended: %v", p.id, p.lastError())
		if err := p.end(ctx, syscall.SIGKILL); err != nil {
			return note, err
		}
		if err := p.start(); err != nil {
			return note, err
		}
	}
	return note, nil
}

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/kith-io/kith/node/wire"
)

// What of a raft group is damaged: its files, below the folder of the group.
var raftFiles = map[string][]string{
	"a raft log":      {"wal/*.wal"},
	"a raft term":     {"wal/meta-*", "tail"}, // and the vote, the segments, and where the log ended
	"a raft snapshot": {"snapshots/*-*-*/*"},
}

// corruptedRaft is the fault of a disk that gives back other bytes than were written to the files of a raft group, of a partition or the
// control group. The server may repair them. If it cannot, it must say so and name the folder, and do without the replica, or, for the
// control group, not start: a member that has forgotten what it promised would be a danger to the others. Then the folder is put
// back, as the error says.
type corruptedRaft struct {
	what  string
	who   *process
	group string // folder of the group, as seen on the host; empty where there was nothing to damage
	path  string
	from  int // of the bad bytes in the file
	bad   []byte
	good  []byte
	copy  string // of the group's folder, before
	log   int64  // length of the server's log, before it was started
}

func (f *corruptedRaft) kind() string     { return "damage " + f.what }
func (f *corruptedRaft) survivable() bool { return true }

func (f *corruptedRaft) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, anyServer)[0]
	if err := f.who.quit(ctx); err != nil {
		return nil, err
	}
	f.copy = filepath.Join(c.cfg.dir, "raft-before")
	if err := f.who.host.do(func() error { return f.damage(c.rng) }); err != nil {
		return nil, err
	}
	log, err := os.Stat(f.who.log)
	if err != nil {
		return nil, err
	}
	f.log = log.Size()
	return []*process{f.who}, f.who.start()
}

// damage inverts 16 bytes of a file, near the end half of the time, and keeps a copy of the folder of its group. It runs on the host.
func (f *corruptedRaft) damage(rng *rand.Rand) error {
	groups, err := filepath.Glob(filepath.Join(f.who.dir, "partitions/*/raft"))
	if err != nil {
		return err
	}
	group := append(groups, filepath.Join(f.who.dir, "control"))[rng.IntN(len(groups)+1)]
	var found []string
	for _, pattern := range raftFiles[f.what] {
		more, err := filepath.Glob(filepath.Join(group, pattern))
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	path := found[rng.IntN(len(found))]
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	used := len(bytes.TrimRight(b, "\x00")) // segments are longer than what is in them
	if used == 0 {
		return nil
	}
	if err := errors.Join(os.RemoveAll(f.copy), os.CopyFS(f.copy, os.DirFS(group))); err != nil {
		return err
	}
	const width, near = 16, 2048
	f.from = rng.IntN(used)
	if rng.IntN(2) == 0 {
		f.from = max(0, used-1-rng.IntN(near))
	}
	f.group, f.path = group, path
	f.good = bytes.Clone(b[f.from:min(f.from+width, used)])
	f.bad = bytes.Clone(f.good)
	for i := range f.bad {
		f.bad[i] ^= 0xff
	}
	return f.put(f.bad)
}

// put writes bytes to where the file is damaged. It runs on the host.
func (f *corruptedRaft) put(b []byte) error {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, int64(f.from))
	return errors.Join(err, file.Close())
}

// damaged reports whether the bad bytes are still there. It runs on the host.
func (f *corruptedRaft) damaged() (bool, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && len(b) >= f.from+len(f.bad) && bytes.Equal(b[f.from:][:len(f.bad)], f.bad), err
}

func (f *corruptedRaft) heal(ctx context.Context, c *cluster) (string, error) {
	if f.group == "" {
		return "there was no file to damage", nil
	}
	name := strings.TrimPrefix(f.path, f.who.dir+"/")
	refusal, err := f.outcome(ctx, c)
	if err != nil {
		return "", err
	}
	if refusal != "" {
		if !strings.Contains(refusal, f.group) {
			err = fmt.Errorf("with %s damaged, want an error that names %s: %s", f.path, f.group, refusal)
		}
		err = errors.Join(err, f.who.end(ctx, syscall.SIGKILL), f.who.host.do(f.putBack), f.who.start())
		if _, why, ok := strings.Cut(refusal, "err="); ok {
			refusal = strings.Trim(why, `"`)
		}
		refusal, _, _ = strings.Cut(refusal, "; ") // the remedy
		return fmt.Sprintf("refused with %s damaged, and the folder was put back: %s", name, refusal), err
	}
	if err := c.readAll(ctx, c.index(f.who), func(err error) bool { return errors.Is(err, wire.ErrCorrupt) }); err != nil {
		return "", fmt.Errorf("with %s damaged: %w", f.path, err)
	}
	var left bool
	if err := f.who.host.do(func() (err error) { left, err = f.damaged(); return err }); err != nil {
		return "", err
	}
	if !left {
		return "the server repaired " + name, nil
	}
	// It would be met in the middle of another fault. The server is asked to stop, as it may have written to the same file.
	err = errors.Join(f.who.quit(ctx), f.who.host.do(func() error {
		if err := f.put(f.good); !errors.Is(err, os.ErrNotExist) { // or a snapshot has taken the place of the file meanwhile
			return err
		}
		return nil
	}), f.who.start())
	return "the server needs nothing of the damaged part of " + name, err
}

// outcome waits until the group has started, or the server has ended or says that the group does not start, and returns what it says.
func (f *corruptedRaft) outcome(ctx context.Context, c *cluster) (refusal string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	err = c.eventually(ctx, func(ctx context.Context) error {
		refusal = f.refused()
		if refusal != "" {
			return nil
		}
		infos, _ := c.infos(ctx) // of those that answer
		info := infos[c.index(f.who)]
		if info == nil {
			return fmt.Errorf("%s does not answer", f.who.id)
		}
		if filepath.Base(f.group) == "control" {
			return nil // it would not answer if it had not started
		}
		for p := range info {
			if strings.HasPrefix(f.group, filepath.Join(f.who.dir, partitionDir(p))+"/") {
				return nil
			}
		}
		return fmt.Errorf("%s has not opened the replica in %s", f.who.id, f.group)
	})
	if died := f.who.died(); died != nil {
		return died.Error(), nil
	}
	return refusal, err
}

// refused returns what the server has said since its start about a replica that does not start, or "".
func (f *corruptedRaft) refused() string {
	b, err := os.ReadFile(f.who.log)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b[f.log:])) {
		if strings.Contains(line, "replica does not start") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// putBack replaces the folder of the group by its copy: nothing was promised since. It runs on the host.
func (f *corruptedRaft) putBack() error {
	return errors.Join(os.RemoveAll(f.group), os.CopyFS(f.group, os.DirFS(f.copy)), os.RemoveAll(f.copy))
}

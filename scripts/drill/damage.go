//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// What of a server is damaged.
const (
	storeFile = "an event store"
	modelFile = "a model"
)

// corrupted is the fault of a disk that gives back other bytes than were written. A server that finds out may end and
// name the file, set it aside, or have it from another server; what it may not do is to use it.
type corrupted struct {
	what string
	who  *process
	path string // as seen on the host; empty where there was nothing to damage
	good []byte
	bad  []byte
}

func (f *corrupted) kind() string     { return "damage " + f.what }
func (f *corrupted) survivable() bool { return true }

func (f *corrupted) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, anyServer)[0]
	// A server that is asked to stop writes to files what its event stores have in memory.
	if err := f.who.quit(ctx); err != nil {
		return nil, err
	}
	if err := f.who.host.do(func() error { return f.damage(c.rng) }); err != nil {
		return nil, err
	}
	return []*process{f.who}, f.who.start()
}

// damage flips some bytes of a file, if there is one of the sort. It runs on the host.
func (f *corrupted) damage(rng *rand.Rand) error {
	found, err := files(f.who.dir, f.what)
	if err != nil || len(found) == 0 {
		return err
	}
	f.path = found[rng.IntN(len(found))]
	if f.good, err = os.ReadFile(f.path); err != nil {
		return err
	}
	f.bad = flip(f.good, rng)
	return replace(f.path, f.bad)
}

// replace makes a new file in the place of an old one. Servers map files to memory, where those of another life may still be.
func replace(path string, content []byte) error {
	next := path + ".drill"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// flip returns b with 16 bytes in a row inverted.
func flip(b []byte, rng *rand.Rand) []byte {
	out := bytes.Clone(b)
	from := rng.IntN(max(1, len(out)-16))
	for i := from; i < min(from+16, len(out)); i++ {
		out[i] ^= 0xff
	}
	return out
}

// files returns the files of a sort in a data folder, in order, those that are empty left out, and of models only those of the
// newest.
func files(dir, what string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		in := func(folder string) bool {
			return strings.Contains(path, string(filepath.Separator)+folder+string(filepath.Separator))
		}
		if what == storeFile && !(in("events") && strings.HasSuffix(path, ".sst")) || what == modelFile && !in("models") {
			return nil
		}
		info, err := d.Info()
		if err == nil && info.Size() > 0 && info.Mode().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	slices.Sort(out)
	if what == modelFile && len(out) > 0 {
		newest := filepath.Dir(out[len(out)-1])
		out = slices.DeleteFunc(out, func(path string) bool { return filepath.Dir(path) != newest })
	}
	return out, err
}

// heal reads all that the server has, so that it meets the damage if it has not before, and sees what became of it. What is
// still damaged then is put back, so that it is not met in the middle of another fault.
func (f *corrupted) heal(ctx context.Context, c *cluster) (string, error) {
	if f.path == "" {
		return "there was no file to damage", nil
	}
	found := f.who.died()
	if found == nil {
		found = c.readAll(ctx, c.index(f.who), f.named)
	}
	died := f.who.died()
	if died != nil {
		found = died
	}
	note, damaged, err := f.became(found)
	if died == nil && !damaged {
		return note, err
	}
	return note, errors.Join(err, f.who.end(ctx, syscall.SIGKILL), f.who.host.do(f.restore), f.who.start())
}

// became says what became of the damaged file, going by the error that the server gave, if any, and whether it is as
// damaged as it was and may yet be met.
func (f *corrupted) became(found error) (note string, damaged bool, err error) {
	var now []byte
	err = f.who.host.do(func() (err error) { now, err = os.ReadFile(f.path); return err })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", true, err
	}
	name := filepath.Base(f.path)
	damaged = bytes.Equal(now, f.bad)
	switch {
	case found != nil && f.named(found):
		return fmt.Sprintf("the damage was found and %s put back: %v", name, found), damaged, nil
	case found != nil:
		return "", damaged, fmt.Errorf("with %s damaged, want an error that names it or its store: %w", f.path, found)
	case err != nil:
		return name + " is gone, and nothing is missing", false, nil
	case bytes.Equal(now, f.good):
		return "the server repaired " + name, false, nil
	case !damaged:
		return "the server replaced " + name, false, nil
	case f.what == modelFile:
		return name + " is not in use", false, nil // and is looked at when it is
	}
	return "nothing that was read is in the damaged part of " + name, true, nil
}

// named reports whether an error tells of damage and names the file or, as a store is replaced as a whole, the folder of
// its store.
func (f *corrupted) named(err error) bool {
	if errors.Is(err, wire.ErrCorrupt) {
		return true
	}
	const store = "/events"
	if at := strings.Index(f.path, store+"/"); at >= 0 && strings.Contains(err.Error(), f.path[:at+len(store)]) {
		return true
	}
	name := filepath.Base(f.path)
	return strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "file "+strings.TrimSuffix(name, ".sst")+":") // as Pebble says it
}

// restore puts the good bytes back, unless the server has put something else in the place of the bad ones. It runs on
// the host.
func (f *corrupted) restore() error {
	now, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(now, f.bad) {
		return nil
	}
	if err != nil {
		return err
	}
	return replace(f.path, f.good)
}

// readAll reads, at one server, the histories of all users of its replicas from the replica itself, as it is. An error
// that is enough is returned at once; others may pass.
func (c *cluster) readAll(ctx context.Context, i int, enough func(error) bool) error {
	return c.eventually(ctx, func(ctx context.Context) error {
		status, err := c.status(ctx, i)
		if err != nil || status.Epoch == 0 {
			return errors.Join(err, fmt.Errorf("%s: %w", c.servers[i].id, wire.ErrNotReady))
		}
		for n := range bulkUsers {
			_, err := c.history(ctx, i, status.Epoch, fmt.Sprintf("b%d", n))
			switch {
			case err == nil || errors.Is(err, wire.ErrNoReplica):
			case enough(err):
				return final{err}
			default:
				return err
			}
		}
		return nil
	})
}

// diskFull is the fault of a disk without room: a file of the drill takes all there is, and is removed again. Logs have some
// room of their own, so a build comes too, whose files have none; or the server is started anew.
type diskFull struct {
	restart bool
	who     *process
	job     uint64
}

func (f *diskFull) kind() string {
	if f.restart {
		return "disk full at a start"
	}
	return "disk full in a build"
}
func (f *diskFull) survivable() bool { return true }

func (f *diskFull) filler() string { return filepath.Join(f.who.dir, "filled-by-drill") }

func (f *diskFull) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, smallDisk)[0]
	struck := []*process{f.who}
	if err := f.who.host.do(f.fill); err != nil {
		return struck, err
	}
	if f.restart {
		return struck, errors.Join(f.who.end(ctx, syscall.SIGKILL), f.who.start())
	}
	// The same as those of the clients, so that it may be one of theirs.
	var err error
	f.job, err = (&client{conns: slices.Clone(c.conns)}).startBuild(ctx, buildSpec(clientsK))
	return struck, err
}

// fill takes what room there is. It runs on the host.
func (f *diskFull) fill() error {
	file, err := os.OpenFile(f.filler(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for zeros := make([]byte, 1<<20); err == nil; {
		_, err = file.Write(zeros)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("fill the disk: %w", err), file.Close())
	}
	return file.Close()
}

func (f *diskFull) heal(ctx context.Context, c *cluster) (string, error) {
	if err := f.who.host.do(func() error { return os.Remove(f.filler()) }); err != nil {
		return "", err
	}
	note := "the server lived on"
	if died := f.who.died(); died != nil {
		note = "the server ended and was started again: " + died.Error()
		if err := f.who.end(ctx, syscall.SIGKILL); err != nil {
			return "", err
		}
		if err := f.who.start(); err != nil {
			return "", err
		}
	}
	if f.restart || f.job == 0 {
		return note, nil
	}
	job, err := (&client{conns: slices.Clone(c.conns)}).watch(ctx, f.job, ended)
	if err != nil {
		return "", fmt.Errorf("watch the build with a full disk: %w", err)
	}
	return note + "; the build is " + jobEnd(job), nil // it may fail: it needs the room
}

// killedInBuild is the fault of a process that dies while a build is under way. The build must be finished by the others.
type killedInBuild struct {
	killed
	job   uint64
	spec  *kithv1.BuildSpec
	ended bool // before the kill
}

func (f *killedInBuild) kind() string { return "kill in a build: " + string(f.role) }

func (f *killedInBuild) inject(ctx context.Context, c *cluster) ([]*process, error) {
	api := &client{conns: slices.Clone(c.conns)}
	f.spec = buildSpec(30 + c.rng.Uint32N(10))
	f.who = c.pick(ctx, f.role)
	var err error
	if f.job, err = api.startBuild(ctx, f.spec); err != nil {
		return nil, fmt.Errorf("start a build: %w", err)
	}
	job, err := api.watch(ctx, f.job, computing)
	if err != nil {
		return nil, fmt.Errorf("watch build %d: %w", f.job, err)
	}
	f.ended = ended(job)
	return f.who, each(f.who, func(p *process) error { return p.end(ctx, syscall.SIGKILL) })
}

func (f *killedInBuild) heal(ctx context.Context, c *cluster) (string, error) {
	var conns []*grpc.ClientConn
	for i, p := range c.servers {
		if !slices.Contains(f.who, p) {
			conns = append(conns, c.conns[i])
		}
	}
	job, err := (&client{conns: conns}).watch(ctx, f.job, ended)
	if err != nil {
		return "", errors.Join(fmt.Errorf("watch build %d after %s died: %w", f.job, f.who[0].id, err), each(f.who, (*process).start))
	}
	note := "the build went on and is " + jobEnd(job)
	switch {
	case f.ended:
		note = "the build ended before the kill"
	case job.Phase == kithv1.JobPhase_JOB_PHASE_FAILED:
		err = fmt.Errorf("build %d failed after %s died: %s", f.job, f.who[0].id, job.Error)
	}
	return note, errors.Join(err, each(f.who, (*process).start))
}

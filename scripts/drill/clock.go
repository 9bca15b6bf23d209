//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// setClock sets the wall clock of a process off, in this life and later ones, by whole seconds. It is safe for concurrent use.
func (p *process) setClock(off time.Duration) error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(int64(off/time.Second)))
	// Written in place and at once: the process has it mapped.
	file, err := os.OpenFile(p.clock, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("set the clock of %s: %w", p.id, err)
	}
	if _, err := file.WriteAt(b[:], 0); err != nil {
		_ = file.Close() // the other error says more
		return fmt.Errorf("set the clock of %s: %w", p.id, err)
	}
	return file.Close()
}

// clockJump is the fault of a wall clock that is set: it jumps, and jumps back in the end. With every it jumps to and fro all the
// time. The clock of the machine, and those of the other servers, are left alone.
type clockJump struct {
	role  role
	how   string // it jumps, in words
	by    time.Duration
	every time.Duration
	who   []*process
	stop  context.CancelFunc
	ended chan error
}

func (f *clockJump) kind() string {
	return fmt.Sprintf("clock %s: %s", f.how, f.role)
}
func (f *clockJump) survivable() bool { return true }

// set sets the clocks of all that are struck.
func (f *clockJump) set(off time.Duration) error {
	return each(f.who, func(p *process) error { return p.setClock(off) })
}

func (f *clockJump) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, f.role)
	ctx, f.stop = context.WithCancel(ctx)
	f.ended = make(chan error, 1)
	err := f.set(f.by)
	if f.every == 0 {
		f.ended <- nil
		return f.who, errors.Join(err, f.check(ctx, c))
	}
	go func() { // ends by heal
		off := f.by
		for pause(ctx, f.every) == nil {
			off = f.by - off
			if err := f.set(off); err != nil {
				f.ended <- err
				return
			}
		}
		f.ended <- nil
	}()
	return f.who, err
}

// check asks the servers for their time, which must be off as it should be.
func (f *clockJump) check(ctx context.Context, c *cluster) error {
	const slack = time.Minute // that the question may take, by far
	for _, p := range f.who {
		try, cancel := context.WithTimeout(ctx, askTimeout)
		info, err := kithv1.NewPartitionServiceClient(c.conns[c.index(p)]).Info(try, &kithv1.InfoRequest{})
		cancel()
		if err != nil {
			return fmt.Errorf("ask %s for its time: %w", p.id, err)
		}
		if off := time.Until(time.UnixMilli(info.NowUnixMs)); (off - f.by).Abs() > slack {
			return fmt.Errorf("the clock of %s is off by %v; want %v", p.id, off.Round(time.Second), f.by)
		}
	}
	return nil
}

func (f *clockJump) heal(context.Context, *cluster) (string, error) {
	f.stop()
	if err := <-f.ended; err != nil {
		return "", err
	}
	return "", f.set(0)
}

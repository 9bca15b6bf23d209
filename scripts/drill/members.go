//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// drained is no fault by itself: a server is emptied, and then taken into use again, so that its replicas go elsewhere or away and are
// copied to it. With kill the coordinator, or a leader, dies while replicas move.
type drained struct {
	kill   role
	server *process
	killed []*process
}

func (f *drained) kind() string {
	if f.kill == "" {
		return "drain a server"
	}
	return "kill " + string(f.kill) + " while a server is drained"
}

// survivable implements fault. Of three servers two are left with replicas, so none of them may be killed.
func (f *drained) survivable() bool { return f.kill == "" }

func (f *drained) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.server = c.pick(ctx, anyServer)[0]
	if err := c.intend(ctx, f.server, kithv1.MemberIntent_MEMBER_INTENT_DRAIN); err != nil {
		return nil, err
	}
	if f.kill == "" {
		return nil, nil
	}
	if err := c.awaitMoves(ctx, f.server); err != nil {
		return nil, err
	}
	f.killed = c.pick(ctx, f.kill)
	return f.killed, each(f.killed, func(p *process) error { return p.end(ctx, syscall.SIGKILL) })
}

func (f *drained) heal(ctx context.Context, c *cluster) (string, error) {
	if err := each(f.killed, (*process).start); err != nil {
		return "", err
	}
	left := f.holds(ctx, c)
	err := c.intend(ctx, f.server, kithv1.MemberIntent_MEMBER_INTENT_UNSPECIFIED)
	return fmt.Sprintf("%s held %d of %d replicas when it was taken into use again", f.server.id, left, c.cfg.partitions), err
}

// holds returns the number of partitions that are on the drained server, as far as somebody says so.
func (f *drained) holds(ctx context.Context, c *cluster) int {
	n := 0
	for i := range c.servers {
		if s, err := c.status(ctx, i); err == nil {
			for _, m := range s.Members {
				if m.Id == f.server.id {
					n = int(m.Replicas)
				}
			}
			break
		}
	}
	return n
}

// intend decides what becomes of a server, through whichever answers.
func (c *cluster) intend(ctx context.Context, p *process, intent kithv1.MemberIntent) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	return c.eventually(ctx, func(ctx context.Context) error {
		var errs []error
		for i := range c.servers {
			try, cancel := context.WithTimeout(ctx, askTimeout)
			_, err := kithv1.NewClusterServiceClient(c.conns[i]).SetIntent(try, &kithv1.SetIntentRequest{Member: p.id, Intent: intent})
			cancel()
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// awaitMoves waits until replicas of a server move, or all have.
func (c *cluster) awaitMoves(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	return c.eventually(ctx, func(ctx context.Context) error {
		s, err := c.status(ctx, c.index(p))
		if err != nil {
			return err
		}
		for _, m := range s.Members {
			if m.Id == p.id && len(s.Moves) == 0 && m.Replicas > 0 {
				return fmt.Errorf("%s holds %d replicas and none moves", p.id, m.Replicas)
			}
		}
		return nil
	})
}

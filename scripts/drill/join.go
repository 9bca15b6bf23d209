//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// seat is a host that has no server of the cluster now, and the clients' connection to it: they go on asking there, as clients do that
// have an old list of addresses.
type seat struct {
	host *host
	conn *grpc.ClientConn
}

// changed is no fault by itself: the cluster gets another server in the place of one. The new one joins and gets a share of the
// replicas, so that there is one more for a time; then the other leaves for good, or has died before.
type changed struct {
	// dead says that the other has died, and that the new one replaces it.
	dead bool
	// kill says what the coordinator is killed in: a join, a leave, or the replacement of a dead server.
	kill moment

	comes, goes *process
	told        bool // goes was told to leave
	killed      []*process
}

// moment is a part of a change of the members.
type moment string

const (
	never   moment = ""
	joining moment = "a server joins"
	leaving moment = "a server leaves"
)

func (f *changed) kind() string {
	what := "a server joins and another leaves"
	if f.dead {
		what = "a dead server is replaced"
	}
	switch {
	case f.kill == never:
		return what
	case f.dead:
		return "kill the coordinator while " + what
	}
	return "kill the coordinator while " + string(f.kill)
}

// survivable implements fault. With a dead server there may be nobody left who can be killed.
func (f *changed) survivable() bool { return !f.dead || f.kill == never }

func (f *changed) inject(ctx context.Context, c *cluster) (struck []*process, err error) {
	f.goes = c.pick(ctx, anyServer)[0]
	for f.goes == c.smallDisk { // whose disk stays
		f.goes = c.pick(ctx, anyServer)[0]
	}
	if f.dead {
		if err := f.goes.end(ctx, syscall.SIGKILL); err != nil {
			return nil, err
		}
		struck = append(struck, f.goes)
	}
	if f.comes, err = c.join(); err != nil {
		return struck, err
	}
	moves := f.comes
	switch {
	case f.kill == never:
		return struck, nil
	case f.kill == leaving:
		moves = f.goes
		if err := c.awaitShare(ctx, f.comes); err != nil {
			return struck, err
		}
		fallthrough
	case f.dead:
		if err := f.leave(ctx, c); err != nil {
			return struck, err
		}
	}
	if err := c.awaitMoving(ctx, moves); err != nil {
		return struck, err
	}
	if boss := c.coordinator(ctx); boss != nil && boss != f.comes {
		f.killed = []*process{boss}
	}
	return append(struck, f.killed...), each(f.killed, func(p *process) error { return p.end(ctx, syscall.SIGKILL) })
}

// leave tells the server that goes to do so.
func (f *changed) leave(ctx context.Context, c *cluster) error {
	if f.told {
		return nil
	}
	f.told = true
	return c.intend(ctx, f.goes, kithv1.MemberIntent_MEMBER_INTENT_LEAVE)
}

func (f *changed) heal(ctx context.Context, c *cluster) (string, error) {
	if f.comes == nil {
		return "", nil
	}
	if err := each(f.killed, (*process).start); err != nil {
		return "", err
	}
	if !f.told && !f.dead {
		if err := c.awaitShare(ctx, f.comes); err != nil {
			return "", err
		}
	}
	if err := f.leave(ctx, c); err != nil {
		return "", err
	}
	if err := c.awaitForgotten(ctx, f.goes); err != nil {
		return "", err
	}
	if f.dead { // it comes back, and is told
		if err := f.goes.start(); err != nil {
			return "", err
		}
	}
	if err := f.goes.awaitFarewell(ctx); err != nil {
		return "", err
	}
	c.vacate(f.goes)
	return fmt.Sprintf("%s is in the place of %s", f.comes.id, f.goes.id), nil
}

// join starts a new server at the free seat, which knows the others.
func (c *cluster) join() (*process, error) {
	var known []string
	for _, p := range c.servers {
		known = append(known, p.host.at(gossipPort))
	}
	c.joined++
	p, err := c.newProcess(c.free.host, fmt.Sprintf("j%d", c.joined), "--join", strings.Join(known, ","))
	if err == nil {
		err = p.start()
	}
	if err != nil {
		return nil, err
	}
	c.servers, c.conns = append(slices.Clone(c.servers), p), append(slices.Clone(c.conns), c.free.conn)
	c.free = seat{}
	return p, nil
}

// vacate takes a server that has ended out of the cluster.
func (c *cluster) vacate(p *process) {
	i := c.index(p)
	c.free = seat{p.host, c.conns[i]}
	c.servers = slices.Delete(slices.Clone(c.servers), i, i+1)
	c.conns = slices.Delete(slices.Clone(c.conns), i, i+1)
}

// awaitFarewell waits until the process has ended by itself because it has left the cluster.
func (p *process) awaitFarewell(ctx context.Context) error {
	r := p.current()
	select {
	case <-r.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s has left the cluster, and does not end", p.id)
	}
	if why := p.lastError(); !strings.Contains(why.Error(), "has left") {
		return fmt.Errorf("%s has left the cluster, and ended (%v) with %w", p.id, r.cmd.ProcessState, why)
	}
	return p.end(ctx, syscall.SIGKILL)
}

// member returns what some server says of a member; nil if the cluster does not know it.
func (c *cluster) member(ctx context.Context, id string) (*kithv1.Member, *kithv1.StatusResponse, error) {
	var errs []error
	for i := range c.servers {
		s, err := c.status(ctx, i)
		if err != nil || s.Coordinator == "" {
			errs = append(errs, err)
			continue
		}
		for _, m := range s.Members {
			if m.Id == id {
				return m, s, nil
			}
		}
		return nil, s, nil
	}
	return nil, nil, fmt.Errorf("no server knows a coordinator: %w", errors.Join(errs...))
}

// awaitMember waits until what the cluster says of a member is as it should be.
func (c *cluster) awaitMember(ctx context.Context, p *process, as func(*kithv1.Member, *kithv1.StatusResponse) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.patience)
	defer cancel()
	return c.patiently(ctx, func(ctx context.Context) error {
		m, s, err := c.member(ctx, p.id)
		if err != nil {
			return err
		}
		return as(m, s)
	})
}

// awaitShare waits until a new server has its replicas, and nothing moves.
func (c *cluster) awaitShare(ctx context.Context, p *process) error {
	return c.awaitMember(ctx, p, func(m *kithv1.Member, s *kithv1.StatusResponse) error {
		if m == nil || m.Replicas == 0 || len(s.Moves) > 0 || s.MovesLeft > 0 {
			return fmt.Errorf("%s has not got its share: %v, %d replicas move, %d are to move", p.id, m, len(s.Moves), s.MovesLeft)
		}
		return nil
	})
}

// awaitMoving waits until replicas move to or from a server.
func (c *cluster) awaitMoving(ctx context.Context, p *process) error {
	return c.awaitMember(ctx, p, func(_ *kithv1.Member, s *kithv1.StatusResponse) error {
		if slices.ContainsFunc(s.Moves, func(m *kithv1.Move) bool { return m.Add == p.id || m.Remove == p.id }) {
			return nil
		}
		return fmt.Errorf("no replica moves to or from %s", p.id)
	})
}

// awaitForgotten waits until the cluster has forgotten a server.
func (c *cluster) awaitForgotten(ctx context.Context, p *process) error {
	return c.awaitMember(ctx, p, func(m *kithv1.Member, _ *kithv1.StatusResponse) error {
		if m != nil {
			return fmt.Errorf("%s is told to leave, and is a member: %v", p.id, m)
		}
		return nil
	})
}

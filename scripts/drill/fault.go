//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// role says which servers a fault strikes, by what they are when it strikes.
type role string

const (
	anyServer   role = "a server"
	coordinator role = "the coordinator"
	follower    role = "a follower" // of the control group
	leader      role = "a leader"   // of a partition
	minority    role = "a minority" // as many as may be away: one of three, two of five
	majority    role = "a majority" // one more: nothing can be decided until they return
	everyServer role = "all servers"
	smallDisk   role = "the small disk" // the server on it
)

// survivable reports whether the cluster must work on while those servers are away.
func (r role) survivable() bool { return r != majority && r != everyServer }

// pick returns the servers of a role now. Where a role has nobody, as before an election, it is some server.
func (c *cluster) pick(ctx context.Context, r role) []*process {
	order := c.rng.Perm(len(c.servers))
	some := func(n int) (out []*process) {
		for _, i := range order[:n] {
			out = append(out, c.servers[i])
		}
		return out
	}
	switch r {
	case coordinator:
		if p := c.coordinator(ctx); p != nil {
			return []*process{p}
		}
	case follower:
		boss := c.coordinator(ctx)
		for _, i := range order {
			if c.servers[i] != boss {
				return []*process{c.servers[i]}
			}
		}
	case leader:
		infos, _ := c.infos(ctx) // of those that answer
		for _, i := range order {
			if r := infos[i][uint32(c.rng.IntN(c.cfg.partitions))]; r != nil && r.Leader {
				return []*process{c.servers[i]}
			}
		}
	case minority:
		return some((len(c.servers) - 1) / 2)
	case majority:
		return some(len(c.servers)/2 + 1)
	case everyServer:
		return c.servers
	case smallDisk:
		return []*process{c.smallDisk}
	}
	return some(1)
}

// fault is something that goes wrong. inject and heal are called once each, by one goroutine.
type fault interface {
	// kind names the fault and whom it strikes: the same for the same seed.
	kind() string
	// survivable reports whether the cluster must work on while it lasts.
	survivable() bool
	// inject makes it happen, and returns the servers that it struck.
	inject(ctx context.Context, c *cluster) ([]*process, error)
	// heal takes it away. It returns a note for the report, or "".
	heal(ctx context.Context, c *cluster) (note string, err error)
}

// smooth is a fault during which no query may fail, where it comes without another.
type smooth interface{ failsNoQuery() }

// lasting is a fault that may last another time than the seed gives, if lasts is not 0.
type lasting interface{ lasts() time.Duration }

// killed is the fault of processes that die and are started again. With asked they are told to stop, as for an upgrade.
type killed struct {
	role  role
	asked bool
	who   []*process
}

func (f *killed) kind() string {
	if f.asked {
		return "stop " + string(f.role)
	}
	return "kill " + string(f.role)
}
func (f *killed) survivable() bool { return f.role.survivable() }

func (f *killed) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, f.role)
	return f.who, each(f.who, func(p *process) error {
		if f.asked {
			return p.quit(ctx)
		}
		return p.end(ctx, syscall.SIGKILL)
	})
}

func (f *killed) heal(context.Context, *cluster) (string, error) {
	return "", each(f.who, (*process).start)
}

// each calls f for all processes at the same time.
func each(who []*process, f func(*process) error) error {
	errs := make([]error, len(who))
	var wg sync.WaitGroup
	for i, p := range who {
		wg.Go(func() { errs[i] = f(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// paused is the fault of processes that stand still, as under a debugger, a live migration or memory pressure. Their
// connections stay open.
type paused struct {
	role role
	// long is how long it lasts, or 0: as other faults.
	long time.Duration
	who  []*process
}

func (f *paused) kind() string {
	if f.long > 0 {
		return fmt.Sprintf("pause %s for %v", f.role, f.long)
	}
	return "pause " + string(f.role)
}
func (f *paused) survivable() bool { return f.role.survivable() }

// lasts implements lasting.
func (f *paused) lasts() time.Duration { return f.long }

func (f *paused) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, f.role)
	return f.who, each(f.who, func(p *process) error { return p.signal(syscall.SIGSTOP) })
}

func (f *paused) heal(context.Context, *cluster) (string, error) {
	return "", each(f.who, func(p *process) error { return p.signal(syscall.SIGCONT) })
}

// direction says which packets of a cut server are lost.
type direction string

const (
	bothWays direction = "cut off" // neither way
	outward  direction = "mute"    // what it sends
	inward   direction = "deaf"    // what it is sent
)

// cutOff is the fault of servers that the others, and with clients also the clients, cannot reach. The servers that are
// struck reach each other.
type cutOff struct {
	role      role
	direction direction
	clients   bool
	links     []pair
}

func (f *cutOff) kind() string {
	if f.clients {
		return string(f.direction) + ", for clients too: " + string(f.role)
	}
	return string(f.direction) + ": " + string(f.role)
}
func (f *cutOff) survivable() bool { return f.role.survivable() }

func (f *cutOff) inject(ctx context.Context, c *cluster) ([]*process, error) {
	who := c.pick(ctx, f.role)
	f.links = linksAround(c, who, f.direction, f.clients)
	c.net.cut(f.links)
	return who, nil
}

func (f *cutOff) heal(_ context.Context, c *cluster) (string, error) {
	c.net.mend(f.links)
	return "", nil
}

// linksAround returns the links between those servers and the other hosts.
func linksAround(c *cluster, who []*process, d direction, clients bool) []pair {
	within := map[*host]bool{}
	for _, p := range who {
		within[p.host] = true
	}
	var out []pair
	for _, p := range who {
		for _, other := range c.net.hosts {
			if within[other] || other.client && !clients {
				continue
			}
			if d != inward {
				out = append(out, pair{p.host, other})
			}
			if d != outward {
				out = append(out, pair{other, p.host})
			}
		}
	}
	return out
}

// shattered is the fault of servers that all lose each other, so that none has a majority.
type shattered struct{ links []pair }

func (f *shattered) kind() string     { return "all cut off from each other" }
func (f *shattered) survivable() bool { return false }

func (f *shattered) inject(_ context.Context, c *cluster) ([]*process, error) {
	for _, a := range c.servers {
		for _, b := range c.servers {
			if a != b {
				f.links = append(f.links, pair{a.host, b.host})
			}
		}
	}
	c.net.cut(f.links)
	return c.servers, nil
}

func (f *shattered) heal(_ context.Context, c *cluster) (string, error) {
	c.net.mend(f.links)
	return "", nil
}

// bridged is the fault of two servers, the coordinator one of them, that lose each other while both reach all others.
type bridged struct{ links []pair }

func (f *bridged) kind() string     { return "link lost between the coordinator and a server" }
func (f *bridged) survivable() bool { return true }

func (f *bridged) inject(ctx context.Context, c *cluster) ([]*process, error) {
	a := c.pick(ctx, coordinator)[0]
	b := c.servers[(c.index(a)+1+c.rng.IntN(len(c.servers)-1))%len(c.servers)]
	f.links = []pair{{a.host, b.host}, {b.host, a.host}}
	c.net.cut(f.links)
	return []*process{a, b}, nil
}

func (f *bridged) heal(_ context.Context, c *cluster) (string, error) {
	c.net.mend(f.links)
	return "", nil
}

// flapping is the fault of a server whose network comes and goes.
type flapping struct {
	role   role
	period time.Duration
	stop   context.CancelFunc
	ended  chan struct{}
}

func (f *flapping) kind() string     { return "flapping: " + string(f.role) }
func (f *flapping) survivable() bool { return true }

func (f *flapping) inject(ctx context.Context, c *cluster) ([]*process, error) {
	who := c.pick(ctx, f.role)
	links := linksAround(c, who, bothWays, true)
	ctx, f.stop = context.WithCancel(ctx)
	f.ended = make(chan struct{})
	go func() { // ends by heal
		defer close(f.ended)
		for ctx.Err() == nil {
			c.net.cut(links)
			_ = pause(ctx, f.period) // then it is mended
			c.net.mend(links)
			_ = pause(ctx, f.period)
		}
	}()
	return who, nil
}

func (f *flapping) heal(context.Context, *cluster) (string, error) {
	f.stop()
	<-f.ended
	return "", nil
}

// spoiled is the fault of a network between servers that is slow, or loses packets.
type spoiled struct {
	delay time.Duration // one way
	loss  float64
}

func (f *spoiled) kind() string {
	switch {
	case f.loss > 0 && f.delay > 0:
		return fmt.Sprintf("packets %v late and %.0f%% lost", f.delay, 100*f.loss)
	case f.loss > 0:
		return fmt.Sprintf("%.0f%% of packets lost", 100*f.loss)
	}
	return fmt.Sprintf("packets %v late", f.delay)
}
func (f *spoiled) survivable() bool { return true }

func (f *spoiled) inject(_ context.Context, c *cluster) ([]*process, error) {
	c.net.spoil(f.delay, f.loss)
	return nil, nil
}

func (f *spoiled) heal(_ context.Context, c *cluster) (string, error) {
	c.net.spoil(0, 0)
	return "", nil
}

// deck returns a fault of each sort that the setting allows.
func deck(cfg config) []func(*rand.Rand) fault {
	var out []func(*rand.Rand) fault
	add := func(f func(rng *rand.Rand) fault) { out = append(out, f) }
	for _, r := range []role{anyServer, coordinator, leader, minority, majority, everyServer} {
		if r == minority && cfg.servers == 3 {
			continue // a server
		}
		add(func(*rand.Rand) fault { return &killed{role: r} })
		add(func(*rand.Rand) fault { return &paused{role: r} })
	}
	for _, r := range []role{follower, leader, coordinator, minority} {
		if cfg.longPause > 0 && (r != minority || cfg.servers > 3) {
			add(func(*rand.Rand) fault { return &paused{role: r, long: cfg.longPause} })
		}
	}
	for _, r := range []role{anyServer, coordinator} {
		add(func(*rand.Rand) fault { return &killed{role: r, asked: true} })
	}
	for _, r := range []role{coordinator, follower} {
		add(func(*rand.Rand) fault { return &killedInBuild{killed: killed{role: r}} })
	}
	for _, r := range []role{"", coordinator, leader} {
		add(func(*rand.Rand) fault { return &drained{kill: r} })
	}
	for _, kill := range []moment{never, joining, leaving} {
		add(func(*rand.Rand) fault { return &changed{kill: kill} })
	}
	for _, kill := range []moment{never, joining} {
		add(func(*rand.Rand) fault { return &changed{dead: true, kill: kill} })
	}
	for _, what := range []string{storeFile, modelFile} {
		add(func(*rand.Rand) fault { return &corrupted{what: what} })
	}
	for _, what := range slices.Sorted(maps.Keys(raftFiles)) {
		add(func(*rand.Rand) fault { return &corruptedRaft{what: what} })
	}
	for _, r := range []role{coordinator, leader} {
		add(func(*rand.Rand) fault { return &killedInBackup{killed: killed{role: r}} })
	}
	add(func(*rand.Rand) fault { return &restored{servers: 1} })
	if cfg.other != "" {
		add(func(*rand.Rand) fault { return &upgraded{} })
	}
	if cfg.disks {
		for _, r := range []role{coordinator, leader, everyServer} {
			add(func(*rand.Rand) fault { return &slowDisk{role: r} })
		}
		for _, r := range []role{anyServer, coordinator, leader} {
			add(func(*rand.Rand) fault { return &slowDisk{role: r, stall: true} })
			for _, what := range []fileKind{allFiles, logFiles, storeFiles} {
				add(func(*rand.Rand) fault { return &diskError{role: r, spoilt: what} })
			}
		}
	}
	if cfg.overlay {
		for _, r := range []role{leader, follower} {
			add(func(*rand.Rand) fault { return &killedInSnapshot{killed: killed{role: r}} })
		}
		for _, sender := range []bool{false, true} {
			add(func(*rand.Rand) fault { return &killedInInstall{sender: sender} })
		}
		for _, r := range []role{coordinator, leader} {
			add(func(*rand.Rand) fault { return &clockJump{role: r, how: "an hour ahead", by: time.Hour} })
			add(func(*rand.Rand) fault { return &clockJump{role: r, how: "an hour behind", by: -time.Hour} })
			add(func(rng *rand.Rand) fault {
				return &clockJump{role: r, how: "a minute to and fro", by: time.Minute, every: 50*time.Millisecond + upTo(rng, time.Second)}
			})
		}
	}
	if !cfg.namespaces {
		return out
	}
	for _, r := range []role{anyServer, coordinator, leader, minority} {
		if r == minority && cfg.servers == 3 {
			continue
		}
		add(func(rng *rand.Rand) fault {
			return &cutOff{role: r, direction: bothWays, clients: rng.IntN(2) == 0}
		})
	}
	for _, d := range []direction{outward, inward} {
		for _, r := range []role{coordinator, leader} {
			add(func(*rand.Rand) fault { return &cutOff{role: r, direction: d} })
		}
	}
	add(func(*rand.Rand) fault { return &shattered{} })
	add(func(*rand.Rand) fault { return &bridged{} })
	add(func(rng *rand.Rand) fault {
		return &flapping{role: coordinator, period: 200*time.Millisecond + upTo(rng, 800*time.Millisecond)}
	})
	for _, bad := range []spoiled{
		{delay: 100 * time.Millisecond}, {delay: 200 * time.Millisecond}, {loss: 0.1}, {loss: 0.2}, {delay: 200 * time.Millisecond, loss: 0.2},
	} {
		add(func(*rand.Rand) fault { return &spoiled{delay: bad.delay, loss: bad.loss} })
	}
	add(func(*rand.Rand) fault { return &diskFull{} })
	add(func(*rand.Rand) fault { return &diskFull{restart: true} })
	return out
}

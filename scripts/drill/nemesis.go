//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// step is a fault with its company and its times.
type step struct {
	fault fault
	// with is a second fault around the first, or nil. Together they leave a majority where the first does.
	with fault
	// hold is how long the fault lasts, and calm the pause after all is well again.
	hold, calm time.Duration
}

// kind names the step: equal seeds give equal kinds in equal order.
func (s step) kind() string {
	if s.with == nil {
		return s.fault.kind()
	}
	return s.fault.kind() + ", with " + s.with.kind()
}

// survivable reports whether the cluster must work on during the step: every partition keeps a majority of its replicas, so
// two servers may be away only where there are five copies.
func (s step) survivable(cfg config) bool {
	_, pauses := s.with.(*paused)
	two := pauses || cfg.servers == 5 && roleOf(s.fault) == minority
	return s.fault.survivable() && (!two || cfg.replication == 5)
}

// planner draws steps: all sorts of faults in some order, then all again in another.
type planner struct {
	cfg  config
	rng  *rand.Rand
	deck []func(*rand.Rand) fault
	rest []func(*rand.Rand) fault
}

// newPlanner returns a planner of the faults whose kind matches cfg.only.
func newPlanner(cfg config) (*planner, error) {
	only, err := regexp.Compile(cfg.only)
	if err != nil {
		return nil, fmt.Errorf("--only: %w", err)
	}
	p := &planner{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.seed, 3))}
	for _, f := range deck(cfg) {
		if only.MatchString(f(rand.New(rand.NewPCG(0, 0))).kind()) {
			p.deck = append(p.deck, f)
		}
	}
	if len(p.deck) == 0 {
		return nil, fmt.Errorf("--only %q leaves no fault; see docs/benchmarks/drill.md for their names", cfg.only)
	}
	return p, nil
}

// next draws a step.
func (p *planner) next() step {
	if len(p.rest) == 0 {
		p.rest = slices.Clone(p.deck)
		p.rng.Shuffle(len(p.rest), func(i, j int) { p.rest[i], p.rest[j] = p.rest[j], p.rest[i] })
	}
	s := step{fault: p.rest[0](p.rng)}
	p.rest = p.rest[1:]
	s.hold = p.cfg.holdLeast + upTo(p.rng, p.cfg.holdMost-p.cfg.holdLeast)
	if f, ok := s.fault.(lasting); ok && f.lasts() > 0 {
		s.hold = f.lasts()
	}
	s.calm = upTo(p.rng, p.cfg.calm)
	if p.rng.IntN(4) == 0 {
		s.with = p.company(s.fault)
	}
	return s
}

// company draws a fault that may come with another.
func (p *planner) company(f fault) fault {
	_, spoils := f.(*spoiled)
	switch {
	case p.cfg.servers == 5 && strikesOne(f) && p.rng.IntN(2) == 0:
		return &paused{role: follower}
	case !p.cfg.namespaces || spoils:
		return nil
	case p.rng.IntN(2) == 0:
		return &spoiled{delay: 10*time.Millisecond + upTo(p.rng, 50*time.Millisecond).Round(10*time.Millisecond)}
	}
	return &spoiled{loss: 0.05}
}

// strikesOne reports whether a fault takes a single server away, so that of five another may be.
func strikesOne(f fault) bool {
	r := roleOf(f)
	return r != "" && r.survivable() && r != minority
}

// roleOf returns whom a fault takes away, or "" for other faults.
func roleOf(f fault) role {
	switch f := f.(type) {
	case *killed:
		return f.role
	case *paused:
		return f.role
	case *cutOff:
		return f.role
	}
	return ""
}

// record is what a step did. Times are in seconds, since the start of the run where nothing else is said.
type record struct {
	Kind   string   `json:"kind"`
	Struck []string `json:"struck,omitempty"`
	// Survivable faults leave a majority of each partition's replicas.
	Survivable bool    `json:"survivable"`
	Injected   float64 `json:"injected"`
	Healed     float64 `json:"healed"`
	// Settled is when all servers were ready and every replica had caught up.
	Settled float64 `json:"settled"`
	// NewCoordinator is the time from the fault to another coordinator, where it struck the one before; else nil.
	NewCoordinator *float64 `json:"new_coordinator_seconds,omitempty"`
	// Queries were asked from the fault until all had settled.
	Queries       int `json:"queries"`
	FailedQueries int `json:"failed_queries"`
	// QueryErrors are those of the first queries that failed.
	QueryErrors []string `json:"query_errors,omitempty"`
	// QueriesBack is the time until queries succeeded again, from the fault, or, if it took the majority away, from its end.
	QueriesBack float64 `json:"queries_back_seconds"`
	// SlowestAppend is the longest time that an append took, with all its tries, not counting when there was no majority.
	SlowestAppend  float64 `json:"slowest_append_seconds"`
	UnknownAppends int     `json:"unknown_appends"`
	Note           string  `json:"note,omitempty"`

	kind string // of the first fault alone
}

// queryErrors is the number of errors of queries that a record has.
const queryErrors = 3

// longSettling is the time to recover from which on the report says what was last to come.
const longSettling = 3 * time.Second

// nemesis makes faults, one step after the other.
type nemesis struct {
	c   *cluster
	w   *workload
	out *printer
	// records and broken promises so far.
	records []record
	broken  []string
	most    map[string]resources // of each server, while all was well
}

// run carries out steps until there are enough of them or the time is over. An error means that the cluster did not
// recover, so that going on makes no sense.
func (n *nemesis) run(ctx context.Context, p *planner) error {
	for len(n.records) < p.cfg.faults || p.cfg.faults == 0 && n.w.now() < p.cfg.length {
		s := p.next()
		r, err := n.step(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n.records = append(n.records, r)
		if err != nil {
			n.broken = append(n.broken, fmt.Sprintf("fault %d (%s, at %.1f s): %v", len(n.records), r.Kind, r.Injected, err))
		}
		n.out.printf("%s\n", r.line(len(n.records)))
		if err := n.settleAgain(ctx, err); err != nil {
			return fmt.Errorf("after fault %d (%s): %w", len(n.records), r.Kind, err)
		}
		n.sample()
		if err := pause(ctx, s.calm); err != nil {
			return err
		}
	}
	return nil
}

// step carries out one step and waits until all is well again.
func (n *nemesis) step(ctx context.Context, s step) (record, error) {
	r := record{Kind: s.kind(), Survivable: s.survivable(n.c.cfg), kind: s.fault.kind()}
	// Nothing may hang: neither a server that is asked to stop, nor a build.
	bounded, cancel := context.WithTimeout(ctx, s.hold+2*n.c.cfg.patience)
	defer cancel()
	if s.with != nil {
		if _, err := s.with.inject(bounded, n.c); err != nil {
			return r, fmt.Errorf("inject %s: %w", s.with.kind(), err)
		}
	}
	injected, err := n.strike(bounded, s, &r)
	if s.with != nil {
		_, healing := s.with.heal(bounded, n.c)
		err = errors.Join(err, healing)
	}
	healed := n.w.now()
	err = errors.Join(err, n.settle(ctx))
	settled := n.w.now()
	if err == nil && settled-healed > longSettling {
		r.Note = strings.TrimPrefix(fmt.Sprintf("%s; last to come: %v", r.Note, n.c.waited), "; ")
	}
	r.Injected, r.Healed, r.Settled = injected.Seconds(), healed.Seconds(), settled.Seconds()
	n.measure(&r, injected, healed)
	if _, is := s.fault.(smooth); is && s.with == nil && r.FailedQueries > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d queries failed, and none may", r.FailedQueries, r.Queries))
	}
	return r, err
}

// strike injects the fault of a step, holds it and heals it, and returns when it was injected. It adds to the record what
// it sees meanwhile.
func (n *nemesis) strike(ctx context.Context, s step, r *record) (injected time.Duration, err error) {
	before := n.c.coordinator(ctx)
	injected = n.w.now()
	struck, err := s.fault.inject(ctx, n.c)
	for _, p := range struck {
		r.Struck = append(r.Struck, p.id)
	}
	if err == nil {
		watched, stop := context.WithCancel(ctx)
		var watching sync.WaitGroup
		if r.Survivable && slices.Contains(struck, before) {
			watching.Go(func() { r.NewCoordinator = n.awaitCoordinator(watched, struck) })
		}
		err = pause(ctx, s.hold)
		stop()
		watching.Wait()
	}
	note, healing := s.fault.heal(ctx, n.c)
	r.Note = note
	return injected, errors.Join(err, healing)
}

// awaitCoordinator returns the seconds until a server that was not struck is the coordinator, or nil if ctx ends first.
// A server may take a second to tell its status while others do not answer, so questions overlap, and the moment of the
// question counts.
func (n *nemesis) awaitCoordinator(ctx context.Context, struck []*process) *float64 {
	ctx, found := context.WithCancel(ctx)
	defer found()
	began := time.Now()
	var mu sync.Mutex
	var first *float64
	var asking sync.WaitGroup
	for ctx.Err() == nil {
		for i, p := range n.c.servers {
			if slices.Contains(struck, p) {
				continue
			}
			asking.Go(func() {
				at := time.Since(began).Seconds()
				s, err := n.c.status(ctx, i)
				if err != nil || s.Coordinator != p.id {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if first == nil || at < *first {
					first = &at
				}
				found()
			})
		}
		_ = pause(ctx, 2*lookPause) // the condition of the loop looks at ctx
	}
	asking.Wait()
	return first
}

// settle waits until all servers are ready and every replica has what any had when it was asked.
func (n *nemesis) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.c.cfg.patience)
	defer cancel()
	if err := n.c.awaitReady(ctx); err != nil {
		return fmt.Errorf("the cluster did not recover within %v: %w", n.c.cfg.patience, err)
	}
	if err := n.c.awaitCaughtUp(ctx); err != nil {
		return fmt.Errorf("the replicas did not catch up within %v: %w", n.c.cfg.patience, err)
	}
	return nil
}

// settleAgain helps a cluster that did not recover by itself, so that one fault is not taken for many: it starts again
// what does not run, or else every server.
func (n *nemesis) settleAgain(ctx context.Context, wrong error) error {
	if wrong == nil {
		return nil
	}
	again := func(who []*process) error {
		return each(who, func(p *process) error { return errors.Join(p.end(ctx, syscall.SIGKILL), p.start()) })
	}
	var down []*process
	for _, p := range n.c.servers {
		if p.current() == nil || p.died() != nil {
			down = append(down, p)
		}
	}
	if err := again(down); err != nil {
		return err
	}
	if n.settle(ctx) == nil {
		return nil
	}
	n.broken = append(n.broken, "  and it took a restart of all servers to recover")
	return errors.Join(again(n.c.servers), n.settle(ctx))
}

// measure adds what the clients saw from the fault until now.
func (n *nemesis) measure(r *record, injected, healed time.Duration) {
	from := injected
	if !r.Survivable {
		from = healed
	}
	queries, appends := n.w.saw()
	var failed time.Duration
	for _, q := range queries {
		if q.to < injected {
			continue
		}
		r.Queries++
		switch {
		case q.err != nil:
			r.FailedQueries++
			if len(r.QueryErrors) < queryErrors {
				r.QueryErrors = append(r.QueryErrors, fmt.Sprintf("from %.3f s to %.3f s: %v", q.from.Seconds(), q.to.Seconds(), q.err))
			}
			failed = q.to
		case failed > 0 && q.to > from:
			r.QueriesBack, failed = (q.to - from).Seconds(), 0
		}
	}
	for _, a := range appends {
		switch {
		case a.to < injected:
		case a.err != nil:
			r.UnknownAppends++
		default:
			r.SlowestAppend = max(r.SlowestAppend, (a.to - max(a.from, from)).Seconds())
		}
	}
}

// sample notes what the servers hold while all is well.
func (n *nemesis) sample() {
	for _, p := range n.c.servers {
		if r, err := p.resources(); err == nil { // or it has just ended, which the next step finds
			m := n.most[p.id]
			n.most[p.id] = resources{max(m.Files, r.Files), max(m.Threads, r.Threads), max(m.MemoryMB, r.MemoryMB)}
		}
	}
}

//go:build linux

// Drill runs a cluster of real kith servers, breaks it in many ways while clients work, heals it, and checks that every
// promise was kept. See docs/benchmarks/drill.md.
//
//	go run ./scripts/drill --servers 5 --minutes 10
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// config sets up a drill.
type config struct {
	seed    uint64
	servers int
	// length is how long faults come, if faults, the number of them, is 0.
	length time.Duration
	faults int
	// only is a pattern of the kinds of faults.
	only string
	// local gives servers short timings.
	local bool
	// namespaces says that each server has a network namespace.
	namespaces bool
	// disks says that disks can be made slow.
	disks bool
	// overlay says that kith was built with the changes of the drill: its clocks can be set, and raft groups take snapshots often.
	overlay bool
	// leftOut tells which faults cannot be had here, and why.
	leftOut    []string
	partitions int
	// replication is the number of replicas of a partition, 3 or 5.
	replication int
	// events are there before the first fault.
	events int
	// A fault lasts from holdLeast to holdMost. Before the next one there is a pause of up to calm.
	holdLeast, holdMost, calm time.Duration
	// longPause is how long the long pauses last; with 0 there are none.
	longPause time.Duration
	// buildEvery is the pause between builds.
	buildEvery time.Duration
	// patience bounds everything that must come: recovery, a build.
	patience time.Duration
	// dir is an empty folder, kith the program, and other another one to upgrade to, or empty.
	dir, kith, other string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken, err := command(ctx, os.Args[1:], os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "drill:", err)
		os.Exit(2)
	case broken:
		os.Exit(1)
	}
}

// command carries out a command line. It reports whether a promise was broken.
func command(ctx context.Context, args []string, out io.Writer) (broken bool, err error) {
	cfg := config{partitions: 8, events: 20_000, calm: 2 * time.Second, longPause: 30 * time.Second, buildEvery: 10 * time.Second}
	var minutes float64
	var network, jsonFile string
	var keep, race bool
	f := pflag.NewFlagSet("drill", pflag.ContinueOnError)
	f.SetOutput(out)
	f.Uint64Var(&cfg.seed, "seed", uint64(time.Now().Unix()), "what decides the order of the faults")
	f.IntVar(&cfg.servers, "servers", 3, "3 or 5")
	f.IntVar(&cfg.replication, "replication", 3, "replicas of each partition, 3 or, with 5 servers, 5")
	f.Float64Var(&minutes, "minutes", 5, "how long faults come")
	f.IntVar(&cfg.faults, "faults", 0, "number of faults, instead of minutes")
	f.StringVar(&cfg.only, "only", "", "pattern of the kinds of faults, such as '^kill'")
	f.BoolVar(&cfg.local, "local", true, "give servers the short timings of servers on one machine")
	f.StringVar(&network, "network", "auto", "namespaces, none (no faults of the network and of full disks), or auto: as root the first")
	f.DurationVar(&cfg.holdMost, "hold", 10*time.Second, "longest time of a fault, but of the long pauses; the least is a fifth of it")
	f.DurationVar(&cfg.patience, "patience", time.Minute, "how long recovery may take")
	f.StringVar(&cfg.kith, "kith", "", "program to drill (default: build it)")
	f.StringVar(&cfg.other, "other-binary", "", "program that servers are upgraded to, and back (default: build it, with another version)")
	f.BoolVar(&race, "race", false, "build it with the race detector")
	f.StringVar(&cfg.dir, "dir", "", "folder for data and logs (default: a temporary one)")
	f.StringVar(&jsonFile, "json", "", "file to write the report to")
	f.BoolVar(&keep, "keep", false, "keep data and logs also when all went well")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return false, nil
		}
		return false, err
	}
	cfg.length, cfg.holdLeast = time.Duration(minutes*float64(time.Minute)), cfg.holdMost/5
	if cfg.servers != 3 && cfg.servers != 5 {
		return false, fmt.Errorf("--servers is %d; want 3 or 5", cfg.servers)
	}
	if cfg.replication != 3 && cfg.replication != cfg.servers {
		return false, fmt.Errorf("--replication is %d; want 3, or 5 with 5 servers", cfg.replication)
	}
	if cfg.holdMost < time.Millisecond || cfg.patience <= 0 {
		return false, fmt.Errorf("--hold is %v and --patience %v; want more than 0", cfg.holdMost, cfg.patience)
	}
	switch network {
	case "auto":
		cfg.namespaces = canIsolate()
		if !cfg.namespaces {
			cfg.leftOut = append(cfg.leftOut, "faults of the network and full disks: run the drill as root, with /dev/net/tun")
		}
	case "namespaces", "none":
		cfg.namespaces = network == "namespaces"
	default:
		return false, fmt.Errorf("--network is %q; want auto, namespaces or none", network)
	}
	cfg.tryDisks()
	if cfg.dir == "" {
		if cfg.dir, err = os.MkdirTemp("", "kith-drill-"); err != nil {
			return false, err
		}
	} else if err := os.MkdirAll(cfg.dir, 0o700); err != nil {
		return false, err
	}
	if cfg.dir, err = filepath.Abs(cfg.dir); err != nil {
		return false, err
	}
	if cfg.kith != "" {
		cfg.leftOut = append(cfg.leftOut, "clocks and kills in snapshots: they take a program that the drill builds, not --kith")
	} else {
		var flags []string
		if race {
			flags = append(flags, "-race")
		}
		if err := cfg.build(ctx, flags...); err != nil {
			return false, err
		}
	}
	if cfg.other != "" {
		if cfg.other, err = filepath.Abs(cfg.other); err != nil {
			return false, err
		}
	} else {
		cfg.leftOut = append(cfg.leftOut, "upgrades: with --kith, give --other-binary")
	}
	r, err := drill(ctx, cfg, out)
	if err == nil && jsonFile != "" {
		err = r.save(jsonFile)
	}
	if err == nil {
		err = r.write(out)
	}
	if err != nil || len(r.Broken) > 0 || keep {
		_, saying := fmt.Fprintf(out, "Data and logs are in %s. Again: --seed %d --servers %d --hold %v\n", cfg.dir, cfg.seed, cfg.servers, cfg.holdMost)
		err = errors.Join(err, saying)
	} else {
		err = os.RemoveAll(cfg.dir)
	}
	return r != nil && len(r.Broken) > 0, err
}

// build builds the program to drill, and the other one if there is none.
func (cfg *config) build(ctx context.Context, flags ...string) (err error) {
	if cfg.kith, err = buildKith(ctx, cfg.dir, "kith", flags...); err != nil {
		return err
	}
	cfg.overlay = true
	if cfg.other == "" {
		cfg.other, err = buildKith(ctx, cfg.dir, "kith-other", append(flags, versionFlag(otherVersion))...)
	}
	return err
}

// tryDisks finds out whether disks can be made slow.
func (cfg *config) tryDisks() {
	err := canSlowDisks()
	if cfg.disks = err == nil; err != nil {
		cfg.leftOut = append(cfg.leftOut, "slow disks: "+err.Error())
	}
}

// canIsolate reports whether this process may make namespaces with a network of their own.
func canIsolate() bool {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil && os.Geteuid() == 0
}

// drill runs a whole drill. An error means that it could not be carried out; broken promises are in the report.
func drill(ctx context.Context, cfg config, out io.Writer) (_ *report, err error) {
	p, err := newPlanner(cfg)
	if err != nil {
		return nil, err
	}
	c, err := startCluster(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, c.stop(ctx)) }()
	r := &report{Seed: cfg.seed, Servers: cfg.servers, Partitions: cfg.partitions, Replication: cfg.replication, Local: cfg.local, Network: "none", LeftOut: cfg.leftOut}
	if cfg.namespaces {
		r.Network = "namespaces"
	}
	w := newWorkload(append(slices.Clone(c.conns), c.free.conn), cfg.seed)
	c.acknowledged = w.acknowledged
	if err := prepare(ctx, c, w, r); err != nil {
		return nil, err
	}
	n := &nemesis{c: c, w: w, out: &printer{out: out}, most: map[string]resources{}}
	work, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	w.start = time.Now()
	clients.Go(func() { w.run(work, cfg.buildEvery) })
	stuck := n.run(ctx, p)
	stop()
	clients.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.Seconds, r.Faults, r.ByKind = w.now().Seconds(), n.records, summarize(n.records)
	r.Broken = append([]string{}, n.broken...) // none is none in JSON too
	if stuck != nil {
		r.Broken = append(r.Broken, stuck.Error())
		return r, nil // there is no cluster to check
	}
	broken, err := verify(ctx, c, w, &r.Figures)
	r.Broken = append(r.Broken, broken...)
	if err != nil {
		r.Broken = append(r.Broken, "the cluster could not be checked: "+err.Error())
	}
	r.Broken = append(r.Broken, r.finish(ctx, c, w, n.most)...)
	return r, nil
}

// prepare fills a cluster, builds a first model and notes what the servers hold.
func prepare(ctx context.Context, c *cluster, w *workload, r *report) error {
	first := func() error {
		job, err := w.client(0).build(ctx, buildSpec(10))
		if err == nil && !succeeded(job) {
			err = errors.New(job.Error)
		}
		return err
	}
	if err := w.fill(ctx, c.cfg.events); err != nil {
		return err
	}
	if err := first(); err != nil {
		return fmt.Errorf("first build: %w", err)
	}
	for _, p := range c.servers {
		goroutines, err := p.goroutines(ctx)
		if err != nil {
			return err
		}
		r.Held = append(r.Held, holding{Server: p.id, GoroutinesBefore: goroutines})
	}
	if err := each(c.servers, (*process).start); err != nil {
		return err
	}
	if err := c.awaitReady(ctx); err != nil {
		return err
	}
	if err := first(); err != nil {
		return fmt.Errorf("build after a restart: %w", err)
	}
	for i, p := range c.servers {
		var err error
		if r.Held[i].Before, err = p.resources(); err != nil {
			return err
		}
	}
	return nil
}

// finish adds to the report what the clients counted and what the servers hold, and ends the servers. It returns what leaks.
func (r *report) finish(ctx context.Context, c *cluster, w *workload, most map[string]resources) (broken []string) {
	queries, _ := w.saw()
	r.Queries, r.Builds = len(queries), w.builds
	for _, q := range queries {
		if q.err != nil {
			r.Failed++
		}
	}
	for _, p := range c.servers {
		at := slices.IndexFunc(r.Held, func(h holding) bool { return h.Server == p.id })
		joined := at < 0 // by a fault: there is nothing to compare with
		if joined {
			r.Held = append(r.Held, holding{Server: p.id})
			at = len(r.Held) - 1
		}
		h := &r.Held[at]
		h.Most = most[p.id]
		var err error
		if h.After, err = p.resources(); err == nil {
			h.GoroutinesAfter, err = p.goroutines(ctx)
		}
		if err != nil {
			broken = append(broken, err.Error())
		} else if leak := h.leaks(); !joined && leak != "" {
			broken = append(broken, leak)
		}
	}
	return broken
}

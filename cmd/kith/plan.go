package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/capacity"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/synthetic"
)

// Bounds of a plan.
const (
	planNodes       = 4096
	planPartitions  = 1 << 16
	planBandwidth   = 10_000 // Gbit/s
	planCalibration = time.Minute
	bytesOfGigabit  = 1e9 / 8
)

func (a *app) planCommand() *cobra.Command {
	var in input
	var s specFlags
	p := planRun{measure: measureChoice(), kind: choice{"shop", synthetic.MatrixKinds()}}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Predict memory, traffic and time of a build on a number of nodes",
		Long: `Predict what each node of a cluster would do, receive and hold to build neighbor lists, and how
long it would take. The build is cut into tasks by the code that does so in a cluster; no
data is moved. Of the data the size is enough, with the law of a generated kind: how unequal
items and users are (shop: a long tail, movies: a dense head). With --input the interactions
of a file are counted instead.

What the work costs is measured on this machine for about two seconds, in CPU time, on samples
with all items and some of the users. Not known are the network but for its bandwidth, other
load, other machines, and what comes before and after the tasks: reading and fusing events,
copies to replicas. Memory is that of the tasks; a process takes up to twice as much.

--simulate does so for 1 to 1,024 nodes. --report draws that as a page.`,
		Example: `  kith plan --users 1000000 --items 500000 --interactions 20000000 --nodes 8 --threads 4
  kith plan --users 138000 --items 27000 --interactions 19000000 --kind movies --report plan.html
  kith plan --input ratings.csv --nodes 3 --simulate -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if in.mapping != "" || len(in.files) > 0 {
				for _, name := range []string{"users", "items", "interactions", "kind"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is for data that is not there, and --input counts what is; leave out one of them", name)
					}
				}
				if p.mappings, err = in.mappings("a file with --input"); err != nil {
					return err
				}
				p.weights, p.dead = s.behaviors(), in.letters(".")
			}
			return a.plan(cmd.Context(), &p)
		},
	}
	f := cmd.Flags()
	f.IntVar(&p.users, "users", 0, "users with an interaction")
	f.IntVar(&p.items, "items", 0, "items with an interaction")
	f.IntVar(&p.interactions, "interactions", 0, "pairs of a user and an item with an interaction")
	f.Var(&p.kind, "kind", "whose law items and users follow")
	f.IntVar(&p.nodes, "nodes", 1, "nodes of the cluster")
	f.IntVar(&p.threads, "threads", 0, "threads of each node (default: one for each processor of this machine)")
	f.IntVar(&p.partitions, "partitions", 16, "partitions of the cluster")
	f.Float64Var(&p.bandwidth, "bandwidth", 1, "what the network carries from and to each node, in Gbit/s")
	f.Var(&p.measure, "measure", "similarity of two items: "+alternatives(p.measure.of))
	f.IntVarP(&p.k, "k", "k", 50, "neighbors kept for each item")
	f.DurationVar(&p.calibration, "calibration", 2*time.Second, "time to measure this machine; changes predicted seconds only")
	f.BoolVar(&p.simulate, "simulate", false, "plan for 1 to 1,024 nodes too")
	f.StringVar(&p.report, "report", "", "`file` for the simulation as a page with plots: .html")
	in.register(cmd, true)
	s.weights = weights{}
	s.registerWeights(cmd)
	return cmd
}

// planRun is what to plan.
type planRun struct {
	mappings                   []fusion.Mapping
	weights                    fusion.Weights
	dead                       *fusion.DeadLetterWriter
	users, items, interactions int
	kind, measure              choice
	nodes, threads, partitions int
	bandwidth                  float64
	k                          int
	calibration                time.Duration
	simulate                   bool
	report                     string
}

// check refuses numbers that are out of range.
func (p *planRun) check() error {
	if len(p.mappings) == 0 {
		for _, n := range []struct {
			flag  string
			value int
		}{{"users", p.users}, {"items", p.items}, {"interactions", p.interactions}} {
			if n.value == 0 {
				return usagef("--%s is missing: how large is the data? Give --users, --items and --interactions, or a file with --input", n.flag)
			}
		}
	}
	for _, n := range []struct {
		flag               string
		value, least, most int
	}{
		{"nodes", p.nodes, 1, planNodes},
		{"partitions", p.partitions, 1, planPartitions},
	} {
		if n.value < n.least || n.value > n.most {
			return usagef("--%s is %d; want %d to %d", n.flag, n.value, n.least, n.most)
		}
	}
	switch {
	case p.threads < 0 || p.threads > maxThreads:
		return usagef("--threads is %d; want 1 to %d, or 0 for as many as this machine has", p.threads, maxThreads)
	case !(p.bandwidth > 0 && p.bandwidth <= planBandwidth):
		return usagef("--bandwidth is %v; want above 0 and up to %d Gbit/s", p.bandwidth, planBandwidth)
	case p.k < 1 || p.k > maxK:
		return usagef("-k is %d; want 1 to %d", p.k, maxK)
	case p.calibration <= 0 || p.calibration > planCalibration:
		return usagef("--calibration is %v; want above 0 and up to %v", p.calibration, planCalibration)
	case p.report != "":
		return checkPath("report", p.report, []string{".html"})
	}
	return nil
}

// jsonPlan is what was planned.
type jsonPlan struct {
	Kind         string               `json:"kind,omitempty"`
	Users        float64              `json:"users"`
	Items        float64              `json:"items"`
	Interactions float64              `json:"interactions"`
	PairUpdates  float64              `json:"pair_updates"`
	Measure      string               `json:"measure"`
	K            int                  `json:"k"`
	Nodes        int                  `json:"nodes"`
	Threads      int                  `json:"threads"`
	Partitions   int                  `json:"partitions"`
	Bandwidth    float64              `json:"bandwidth_bytes_per_second"`
	Cost         *capacity.Cost       `json:"cost"`
	Prediction   *capacity.Prediction `json:"prediction"`
	SpeedUp      float64              `json:"speed_up"`
	Simulation   []capacity.Row       `json:"simulation,omitempty"`
	Report       string               `json:"report,omitempty"`
}

func (a *app) plan(ctx context.Context, p *planRun) error {
	if err := p.check(); err != nil {
		return err
	}
	m, what, err := a.planMatrix(ctx, p)
	if err != nil {
		return err
	}
	spec := specFlags{measure: p.measure, k: p.k, alpha: wire.DefaultAlpha, weights: weights{}}
	o, err := spec.similarity()
	if err != nil {
		return err
	}
	if p.threads == 0 {
		p.threads = runtime.GOMAXPROCS(0)
	}
	progress := a.progress("plan")
	defer progress.end()
	progress.set("measuring", 0, 0)
	cost, err := capacity.Calibrate(ctx, m, o, p.calibration, cpuClock)
	if err != nil {
		return err
	}
	progress.end()
	c := capacity.Cluster{Nodes: p.nodes, Threads: p.threads, Bandwidth: p.bandwidth * bytesOfGigabit, Partitions: p.partitions, Options: o}
	size := m.Size()
	out := &jsonPlan{
		Users: math.Round(size.Users), Items: math.Round(size.Items), Interactions: math.Round(size.Interactions), PairUpdates: math.Round(size.Updates),
		Measure: p.measure.value, K: p.k, Nodes: p.nodes, Threads: p.threads, Partitions: p.partitions, Bandwidth: c.Bandwidth,
		Cost: cost, Prediction: capacity.Predict(m, cost, c), Report: p.report,
	}
	if o.Measure.WholeRows() && out.Prediction.Sides > 1 {
		return fmt.Errorf("%s needs whole rows of users, and %.0f items with %.0f interactions are too many for that; choose another measure",
			o.Measure, size.Items, size.Interactions)
	}
	if len(p.mappings) == 0 {
		out.Kind = p.kind.value
	}
	alone := c
	alone.Nodes = 1
	out.SpeedUp = capacity.Predict(m, cost, alone).Seconds / max(1e-12, out.Prediction.Seconds)
	if p.simulate || p.report != "" {
		out.Simulation = capacity.Simulate(m, cost, c, capacity.SimulatedNodes())
	}
	if p.report != "" {
		report := &capacity.Report{Matrix: what, Size: size, Cluster: c, Cost: cost, Rows: out.Simulation}
		if err := writeWhole(p.report, func(w io.Writer) error { return capacity.WriteReport(w, report) }); err != nil {
			return err
		}
	}
	if a.json() {
		return a.printJSON(out)
	}
	return a.printPlan(out, what)
}

// cpuClock tells the time that this process has worked, which passes no faster when others work too.
func cpuClock() time.Time {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return time.Now()
	}
	return time.Unix(0, u.Utime.Nano()+u.Stime.Nano())
}

// planMatrix returns the matrix to plan for, and its name.
func (a *app) planMatrix(ctx context.Context, p *planRun) (capacity.Matrix, string, error) {
	if len(p.mappings) == 0 {
		m, err := capacity.NewExpected(p.kind.value, p.users, p.items, p.interactions)
		if errors.Is(err, capacity.ErrShape) {
			return nil, "", &usageError{fmt.Errorf("--users, --items, --interactions: %w", err)}
		}
		return m, "Law of " + p.kind.value, err
	}
	progress := a.progress("plan")
	defer progress.end()
	progress.set("reading", 0, 0)
	table, reports, err := fusion.ReadTable(ctx, p.mappings, p.weights, time.Now().UnixMilli(), p.dead)
	a.noteWeightless(reports)
	err = errors.Join(err, p.dead.Close())
	progress.end()
	a.noteRejected(p.dead)
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, m := range p.mappings {
		names = append(names, printable(filepath.Base(source.PublicName(m.Path))))
	}
	return capacity.NewCounted(tableRows(table)), strings.Join(names, ", "), nil
}

func (a *app) printPlan(p *jsonPlan, what string) error {
	if err := a.printf("%s: %s users, %s items, %s interactions, %s pair updates\n%s, K=%d, %s with %s each, %.3g Gbit/s\n", what,
		count(uint64(p.Users)), count(uint64(p.Items)), count(uint64(p.Interactions)), count(uint64(p.PairUpdates)),
		p.Measure, p.K, plural(p.Nodes, "node", "nodes"), plural(p.Threads, "thread", "threads"), p.Bandwidth/bytesOfGigabit); err != nil {
		return err
	}
	r := p.Prediction
	if err := a.printf("%s on %s: %s; the busiest node has %.3f times the mean of updates\n\n", plural(r.Blocks, "block", "blocks"),
		plural(r.Sides, "side", "sides"), plural(r.Tasks, "task", "tasks"), r.Balance); err != nil {
		return err
	}
	var rows [][]any
	for _, of := range []struct {
		name  string
		value func(capacity.Node) float64
		text  func(float64) string
	}{
		{"tasks", func(n capacity.Node) float64 { return float64(n.Tasks) }, func(x float64) string { return fmt.Sprintf("%.0f", x) }},
		{"pair updates", func(n capacity.Node) float64 { return n.Updates }, func(x float64) string { return count(uint64(x)) }},
		{"part of the matrix", func(n capacity.Node) float64 { return n.Matrix }, func(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) }},
		{"parts received", func(n capacity.Node) float64 { return n.PartsIn }, bytesOf},
		{"lists received", func(n capacity.Node) float64 { return n.ListsIn }, bytesOf},
		{"memory", func(n capacity.Node) float64 { return n.Memory }, bytesOf},
		{"CPU", func(n capacity.Node) float64 { return n.CPU }, seconds},
		{"time", func(n capacity.Node) float64 { return n.Seconds }, seconds},
	} {
		least, mean, most := math.Inf(1), 0.0, 0.0
		for _, n := range r.PerNode {
			x := of.value(n)
			least, mean, most = min(least, x), mean+x/float64(len(r.PerNode)), max(most, x)
		}
		rows = append(rows, []any{of.name, of.text(least), of.text(mean), of.text(most)})
	}
	if err := a.printTable("", columns{"per node", ">least", ">mean", ">most"}, rows); err != nil {
		return err
	}
	if err := a.printf("\n%s in all, %.1f times as fast as one node; %s of it to send %s of dictionaries.\n", seconds(r.Seconds), p.SpeedUp,
		seconds(r.DictionaryBytes/p.Bandwidth), bytesOf(r.DictionaryBytes)); err != nil {
		return err
	}
	if len(p.Simulation) > 0 {
		if err := a.printSimulation(p.Simulation); err != nil {
			return err
		}
	}
	if p.Report != "" {
		return a.printf("\nThe plots are in %s.\n", p.Report)
	}
	return nil
}

func bytesOf(x float64) string { return size(uint64(x)) }

func (a *app) printSimulation(simulation []capacity.Row) error {
	var rows [][]any
	for _, r := range simulation {
		rows = append(rows, []any{
			r.Nodes, r.Sides, r.Tasks, fmt.Sprintf("%.3f", r.Balance), fmt.Sprintf("%.1f%%", 100*r.Matrix), bytesOf(r.PartsIn),
			bytesOf(r.Expected), bytesOf(r.Memory), seconds(r.Seconds), fmt.Sprintf("%.1f", r.SpeedUp),
		})
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable("", columns{">nodes", ">sides", ">tasks", ">balance", ">matrix", ">parts in", ">2/√N", ">memory", ">time", ">speed-up"}, rows)
}

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what a drill found.
type report struct {
	Seed       uint64 `json:"seed"`
	Servers    int    `json:"servers"`
	Partitions int    `json:"partitions"`
	// Replication is the number of replicas of each partition.
	Replication int    `json:"replication"`
	Local       bool   `json:"local"`
	Network     string `json:"network"`
	// LeftOut tells which faults cannot be had here, and why.
	LeftOut []string `json:"left_out,omitempty"`
	Seconds float64  `json:"seconds"`
	// Broken are the promises that were not kept. Empty means that the drill is passed.
	Broken  []string       `json:"broken"`
	Figures figures        `json:"figures"`
	Queries int            `json:"queries"`
	Failed  int            `json:"failed_queries"`
	Builds  map[string]int `json:"builds"`
	Faults  []record       `json:"faults"`
	// ByKind summarizes the faults, those that came with others included.
	ByKind []summary `json:"by_kind"`
	Held   []holding `json:"held"`
}

// summary is what faults of one kind did. Times are in seconds.
type summary struct {
	Kind           string `json:"kind"`
	Faults         int    `json:"faults"`
	Queries        int    `json:"queries"`
	FailedQueries  int    `json:"failed_queries"`
	UnknownAppends int    `json:"unknown_appends"`
	NewCoordinator spread `json:"new_coordinator_seconds"`
	QueriesBack    spread `json:"queries_back_seconds"`
	SlowestAppend  spread `json:"slowest_append_seconds"`
	Settled        spread `json:"settled_seconds"`
}

// spread is the middle and the worst of some times in seconds. N tells how many there are.
type spread struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
}

// String writes the median and the worst.
func (s spread) String() string {
	if s.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f / %.2f", s.Median, s.Worst)
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return spread{len(sorted), (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2, sorted[len(sorted)-1]}
}

// holding is what a server held before the first fault, at most between two, and after the last.
type holding struct {
	Server           string    `json:"server"`
	Before           resources `json:"before"`
	Most             resources `json:"most"`
	After            resources `json:"after"`
	GoroutinesBefore int       `json:"goroutines_before"`
	GoroutinesAfter  int       `json:"goroutines_after"`
}

// leaks returns what grew by more than half and a few, or "". Connections and files come and go a little; a leak grows with
// the faults.
func (h holding) leaks() string {
	var out []string
	for _, x := range []struct {
		what          string
		before, after int
		slack         int
	}{
		{"open files", h.Before.Files, h.After.Files, 32},
		{"threads", h.Before.Threads, h.After.Threads, 16},
		{"goroutines", h.GoroutinesBefore, h.GoroutinesAfter, 64},
	} {
		if x.after > x.before*3/2+x.slack {
			out = append(out, fmt.Sprintf("%s held %d %s before the faults and %d after", h.Server, x.before, x.what, x.after))
		}
	}
	return strings.Join(out, "; ")
}

// line tells a step in a line.
func (r record) line(n int) string {
	text := fmt.Sprintf("%3d  %6.1f s  %s", n, r.Injected, r.Kind)
	if len(r.Struck) > 0 {
		text += " (" + strings.Join(r.Struck, " ") + ")"
	}
	text += fmt.Sprintf(": %.1f s long, settled %.2f s after it", r.Healed-r.Injected, r.Settled-r.Healed)
	if r.NewCoordinator != nil {
		text += fmt.Sprintf(", another coordinator in %.2f s", *r.NewCoordinator)
	}
	text += fmt.Sprintf(", %d of %d queries failed", r.FailedQueries, r.Queries)
	if r.FailedQueries > 0 {
		text += fmt.Sprintf(" and the last %.2f s after it (%s)", r.QueriesBack, strings.Join(r.QueryErrors, "; "))
	}
	text += fmt.Sprintf(", slowest append %.2f s", r.SlowestAppend)
	if r.Note != "" {
		text += "; " + strings.ReplaceAll(r.Note, "\n", " ")
	}
	return text
}

// summarize groups records by the kind of their first fault, in order of the names.
func summarize(records []record) []summary {
	byKind := map[string][]record{}
	for _, r := range records {
		byKind[r.kind] = append(byKind[r.kind], r)
	}
	var out []summary
	for kind, rs := range byKind {
		s := summary{Kind: kind, Faults: len(rs)}
		var coordinators, queries, appends, settled []float64
		for _, r := range rs {
			s.Queries += r.Queries
			s.FailedQueries += r.FailedQueries
			s.UnknownAppends += r.UnknownAppends
			if r.NewCoordinator != nil {
				coordinators = append(coordinators, *r.NewCoordinator)
			}
			queries, appends = append(queries, r.QueriesBack), append(appends, r.SlowestAppend)
			settled = append(settled, r.Settled-r.Healed)
		}
		s.NewCoordinator, s.QueriesBack = spreadOf(coordinators), spreadOf(queries)
		s.SlowestAppend, s.Settled = spreadOf(appends), spreadOf(settled)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b summary) int { return strings.Compare(a.Kind, b.Kind) })
	return out
}

// brokenShown is how many broken promises people are shown.
const brokenShown = 50

// printer prints until an error, and keeps it.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format, args...)
	}
}

// write writes the report for people.
func (r *report) write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	t := &printer{out: table}
	t.printf("\nseed %d, %d servers, %d partitions of %d replicas, network %s, %.0f s, %d faults\n\n", r.Seed, r.Servers, r.Partitions, r.Replication, r.Network, r.Seconds, len(r.Faults))
	for _, what := range r.LeftOut {
		t.printf("left out: %s\n", what)
	}
	t.printf("fault\ttimes\tqueries failed\tnew coordinator, s\tqueries back, s\tslowest append, s\tsettled, s\n")
	for _, s := range r.ByKind {
		t.printf("%s\t%d\t%d of %d\t%v\t%v\t%v\t%v\n", s.Kind, s.Faults, s.FailedQueries, s.Queries, s.NewCoordinator, s.QueriesBack, s.SlowestAppend, s.Settled)
	}
	t.printf("Times are median / worst. Where a fault takes the majority away they count from its end, else from its begin; settled always from its end.\n\n")
	f := r.Figures
	t.printf("events\t%d sent, %d acknowledged, %d of the others stored\n", f.Sent, f.Acknowledged, f.Unacknowledged)
	t.printf("\t%d lost, %d doubled, %d foreign, in %d histories of users on replicas\n", f.Lost, f.Doubled, f.Foreign, f.Copies)
	t.printf("linearizable\t%s: %d operations on %d users\n", f.Linearizable, f.WatchedOps, f.WatchedUsers)
	t.printf("models\t%d of %d neighbor lists and %d of %d recommendations differ from those of a server without faults\n", f.ListsWrong, f.Lists, f.AnswersWrong, f.Answers)
	t.printf("backup\t%d events of the last one restored to another cluster, %d neighbor lists compared there\n", f.Restored, f.RestoredLists)
	t.printf("queries\t%d of %d failed\n", r.Failed, r.Queries)
	t.printf("builds\t%v\n", r.Builds)
	for _, h := range r.Held {
		t.printf("%s\tfiles %d, %d at most, %d after; threads %d, %d, %d; goroutines %d, %d after; memory %d, %d, %d MB\n", h.Server,
			h.Before.Files, h.Most.Files, h.After.Files, h.Before.Threads, h.Most.Threads, h.After.Threads,
			h.GoroutinesBefore, h.GoroutinesAfter, h.Before.MemoryMB, h.Most.MemoryMB, h.After.MemoryMB)
	}
	if err := errors.Join(t.err, table.Flush()); err != nil {
		return err
	}
	verdict := &printer{out: out}
	if len(r.Broken) == 0 {
		verdict.printf("\nAll promises were kept.\n")
		return verdict.err
	}
	verdict.printf("\nPromises broken: %d\n", len(r.Broken))
	for _, b := range r.Broken[:min(len(r.Broken), brokenShown)] {
		verdict.printf("- %s\n", b)
	}
	if more := len(r.Broken) - brokenShown; more > 0 {
		verdict.printf("- and %d more; see --json\n", more)
	}
	return verdict.err
}

// save writes the report as JSON.
func (r *report) save(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

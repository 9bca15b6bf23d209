package main

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/markov"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) nextCommand() *cobra.Command {
	var in input
	var k kindFlags
	var run nextRun
	var r remote
	var name string
	cmd := &cobra.Command{
		Use:   "next [USER]",
		Short: "Predict what a user does next: behaviors and items",
		Long: `Without files, ask a cluster, by its model of kind markov, what a user does next, and how
probable it is that the session comes to a purchase, or to what --stop names.

With files, learn from their sessions what follows what. Without a user, show the chain of
behaviors: how often each follows another, and where sessions end. With a user, show
what is probable after the last session: the next behavior, and the next items.`,
		Example: `  kith next u17
  kith next --mapping shop/map.yaml
  kith next --input events.csv --stop purchase --path view,cart,purchase
  kith next u17 --input events.csv -n 5 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; want at most one: a user", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := k.settings()
			if err != nil {
				return err
			}
			if run.n < 0 || run.steps < 0 {
				return usagef("-n is %d and --steps is %d; want 0 or more", run.n, run.steps)
			}
			if len(args) > 0 {
				run.user = args[0]
			}
			if !in.given() {
				if err := onlyOfFiles(cmd, "order", "session", "gap", "of", "recent", "decay", "path", "steps"); err != nil {
					return err
				}
				return a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
					if err := checkLength(run.n); err != nil {
						return err
					}
					goals := run.stop
					if len(goals) == 0 {
						goals = []string{string(fusion.Purchase)}
					}
					return a.serverNext(ctx, c, &kithv1.NextBehaviorRequest{User: run.user, N: uint32(run.n), Goals: goals, ModelName: name})
				})(cmd, args)
			}
			ms, err := in.mappings("a file with --input")
			if err != nil {
				return err
			}
			return a.nextOfFiles(cmd.Context(), ms, in.letters("."), s, &run)
		},
	}
	in.register(cmd, true)
	k.register(cmd, markov.Kind, map[string]string{"order": "order", "session": "session", "gap": "gap", "behavior": "of", "recent": "recent", "decay": "decay"})
	f := cmd.Flags()
	f.IntVarP(&run.n, "n", "n", 10, "items that are shown")
	f.StringSliceVar(&run.stop, "stop", nil, "`behaviors` that sessions are followed up to, besides their end (default purchase, if there are any)")
	f.StringSliceVar(&run.path, "path", nil, "`behaviors` one after the other, of which the probability is shown")
	f.StringVar(&name, "model", "", "`name` of the model of a cluster (default: the first of kind markov)")
	r.register(cmd, queryTimeout)
	f.IntVar(&run.steps, "steps", 0, "also show the probabilities after so many steps from the start")
	return cmd
}

// nextRun says what is shown.
type nextRun struct {
	user       string // or none
	n, steps   int
	stop, path []string
}

// jsonChain is the chain of behaviors.
type jsonChain struct {
	States []string `json:"states"`
	// Next has a row for each state but the end: the probabilities of States.
	Next  [][]float64 `json:"next"`
	Stop  []string    `json:"stop"`
	Fates []jsonFate  `json:"fates"`
	Path  *jsonPath   `json:"path,omitempty"`
	Ahead []float64   `json:"ahead,omitempty"`
}

type jsonFate struct {
	From   string    `json:"from"`
	Chance []float64 `json:"chance"` // of Stop
	Steps  float64   `json:"steps"`
}

type jsonPath struct {
	States      []string `json:"states"`
	Probability float64  `json:"probability"`
}

// jsonNext is what is probable for a user.
type jsonNext struct {
	User      string             `json:"user"`
	Behaviors []jsonNextBehavior `json:"behaviors"`
	Items     []jsonNextItem     `json:"items"`
}

type jsonNextBehavior struct {
	Behavior    string  `json:"behavior"`
	Probability float64 `json:"probability"`
}

type jsonNextItem struct {
	Item        string  `json:"item"`
	Probability float64 `json:"probability"`
	Filled      bool    `json:"filled,omitempty"`
}

// nextOfFiles trains on files and prints what comes next.
func (a *app) nextOfFiles(ctx context.Context, ms []fusion.Mapping, dead *fusion.DeadLetterWriter, s model.Settings, run *nextRun) error {
	p := a.progress("next")
	defer p.end()
	p.set("reading", 0, 0)
	t, err := readEvents(ctx, ms, dead)
	if err = errors.Join(err, dead.Close()); err != nil {
		p.end()
		a.noteRejected(dead)
		return err
	}
	user := -1
	if run.user != "" {
		if user, err = find(t.users, "user", run.user); err != nil {
			return err
		}
	}
	p.set("counting", 0, 0)
	file, err := t.train(ctx, markov.Kind, s, runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	m, err := markov.Read(file)
	if err != nil {
		return err
	}
	p.end()
	a.noteRejected(dead)
	if user < 0 {
		return a.printChain(m.Chain(), run)
	}
	return a.printNext(m, t, user, run.n)
}

// printChain prints the chain of behaviors.
func (a *app) printChain(c *markov.Chain, run *nextRun) (err error) {
	out := jsonChain{States: c.States(), Stop: run.stop}
	if run.stop == nil {
		for _, name := range c.States() {
			if name == string(fusion.Purchase) {
				out.Stop = []string{name}
			}
		}
	}
	fates, err := c.Stopping(out.Stop...)
	if err != nil {
		return &usageError{err}
	}
	out.Stop = append(out.Stop, markov.End)
	for _, f := range fates {
		out.Fates = append(out.Fates, jsonFate(f))
	}
	for _, name := range out.States[:len(out.States)-1] {
		row, err := c.Ahead(name, 1)
		if err != nil {
			return err
		}
		out.Next = append(out.Next, row)
	}
	if len(run.path) > 0 {
		out.Path = &jsonPath{States: run.path}
		if out.Path.Probability, err = c.Path(run.path...); err != nil {
			return &usageError{err}
		}
	}
	if run.steps > 0 {
		if out.Ahead, err = c.Ahead(markov.Start, run.steps); err != nil {
			return &usageError{err}
		}
	}
	if a.json() {
		return a.printJSON(out)
	}
	return a.printChainTables(&out, run.steps)
}

func (a *app) printChainTables(out *jsonChain, steps int) error {
	table := func(first string, head []string, names []string, values [][]float64) error {
		c := columns{first}
		for _, name := range head {
			c = append(c, ">"+printable(name))
		}
		var rows [][]any
		for i, row := range values {
			line := []any{printable(names[i])}
			for _, x := range row {
				line = append(line, score(x))
			}
			rows = append(rows, line)
		}
		return a.printTable("", c, rows)
	}
	if err := table("after", out.States, out.States, out.Next); err != nil {
		return err
	}
	var from []string
	var values [][]float64
	for _, f := range out.Fates {
		from = append(from, f.From)
		values = append(values, append(append([]float64{}, f.Chance...), f.Steps))
	}
	if err := a.printf("\nChance to come to each, and the expected steps until one is reached:\n"); err != nil {
		return err
	}
	if err := table("from", append(append([]string{}, out.Stop...), "steps"), from, values); err != nil {
		return err
	}
	if len(out.Ahead) > 0 {
		if err := a.printf("\nAfter %s from the start:\n", plural(steps, "step", "steps")); err != nil {
			return err
		}
		if err := table("from", out.States, []string{markov.Start}, [][]float64{out.Ahead}); err != nil {
			return err
		}
	}
	if out.Path == nil {
		return nil
	}
	return a.printf("\n%s: probability %.6g\n", strings.Join(out.Path.States, " → "), out.Path.Probability)
}

// printNext prints what is probable for a user.
func (a *app) printNext(m *markov.Model, t *eventTable, user, n int) error {
	out := jsonNext{User: t.users[user], Behaviors: []jsonNextBehavior{}, Items: []jsonNextItem{}}
	outcomes, err := m.NextBehaviors(t.of(user))
	if err != nil {
		return err
	}
	items, err := m.NextItems(t.of(user), n)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		out.Behaviors = append(out.Behaviors, jsonNextBehavior(o))
	}
	for _, x := range items {
		out.Items = append(out.Items, jsonNextItem{t.items[x.Item], x.Score, x.Filled})
	}
	if a.json() {
		return a.printJSON(out)
	}
	return a.printNextTables(&out)
}

func (a *app) printNextTables(out *jsonNext) error {
	var rows [][]any
	for _, b := range out.Behaviors {
		rows = append(rows, []any{printable(b.Behavior), score(b.Probability)})
	}
	if err := a.printTable("", columns{"behavior", ">probability"}, rows); err != nil {
		return err
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	rows = nil
	for i, x := range out.Items {
		shown := score(x.Probability)
		if x.Filled {
			shown = "popular"
		}
		rows = append(rows, []any{i + 1, printable(x.Item), shown})
	}
	return a.printTable("", columns{">rank", "item", ">probability"}, rows)
}

package main

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	association "github.com/kith-io/kith/model/rules" // rules are those of requests
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) rulesCommand() *cobra.Command {
	var in input
	var k kindFlags
	var r remote
	var name string
	var right bool
	run := rulesRun{by: choice{"lift", association.Measures}}
	cmd := &cobra.Command{
		Use:   "rules [ITEM]",
		Short: "Tell what goes together: rules such as 'who buys a and b buys c'",
		Long: `Without files, ask a cluster for the rules of its model of kind rules: with an item, those that
have it on the left. --min-support, --min-confidence and --min-lift leave out those with less.

With files, find all rules in them, exactly: sets of items that are often in one transaction, and how
often one more item is there. With an item, only the rules that have it on either side.

A transaction is an order or a line of a file of baskets, or with --per what a user does in one
visit, or at all. With --from the left side is of another behavior than the right one.`,
		Example: `  kith rules i42 -n 5
  kith rules --input groceries.csv --format baskets --sep comma --min-support 0.001 --min-confidence 0.8
  kith rules beer --input shop.dat --format baskets --sep space --min-support 20
  kith rules --mapping shop/map.yaml --from view --per visit --by confidence -n 50 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; want at most one: an item", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := k.settings()
			if err != nil {
				return err
			}
			if run.n < 0 {
				return usagef("-n is %d; want 0 or more", run.n)
			}
			if len(args) > 0 {
				run.item = args[0]
			}
			if !in.given() {
				if err := onlyOfFiles(cmd, "max-length", "max-itemsets", "of", "from", "per"); err != nil {
					return err
				}
				if right && run.item == "" {
					return usagef("--right without an item; name the item that rules lead to")
				}
				if s.Number("min-support") >= 1 && cmd.Flags().Changed("min-support") {
					return usagef("--min-support is %s; of a cluster it is a share of the transactions, below 1", s.Text("min-support"))
				}
				return a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
					if err := checkLength(run.n); err != nil {
						return err
					}
					req := &kithv1.AssociationRulesRequest{Item: run.item, Right: right, N: uint32(run.n), Sort: run.by.value, ModelName: name}
					for flag, to := range map[string]*float64{"min-support": &req.MinSupport, "min-confidence": &req.MinConfidence, "min-lift": &req.MinLift} {
						if cmd.Flags().Changed(flag) {
							*to = s.Number(flag)
						}
					}
					return a.serverRules(ctx, c, req)
				})(cmd, args)
			}
			ms, err := in.mappings("a file with --input")
			if err != nil {
				return err
			}
			return a.rulesOfFiles(cmd.Context(), ms, in.letters("."), s, &run)
		},
	}
	in.register(cmd, true)
	k.register(cmd, association.Kind, map[string]string{
		"min-support": "min-support", "min-confidence": "min-confidence", "min-lift": "min-lift", "max-length": "max-length", "max-itemsets": "max-itemsets",
		"behavior": "of", "from": "from", "per": "per",
	})
	f := cmd.Flags()
	f.Var(&run.by, "by", "measure that the rules are in the order of")
	f.IntVarP(&run.n, "n", "n", 20, "rules that are shown; 0 means all, of a file")
	f.StringVar(&name, "model", "", "`name` of the model of a cluster (default: the first of kind rules)")
	f.BoolVar(&right, "right", false, "of a cluster: rules with the item on the right, not on the left")
	r.register(cmd, queryTimeout)
	return cmd
}

// rulesRun says which rules are shown.
type rulesRun struct {
	item string // or none
	by   choice
	n    int
}

// jsonRules is the result of a search.
type jsonRules struct {
	Transactions uint64         `json:"transactions"`
	Items        int            `json:"items"`
	Itemsets     uint64         `json:"itemsets"`
	Rules        int            `json:"rules"`
	Seconds      float64        `json:"seconds"`
	Settings     map[string]any `json:"settings"`
	Shown        []jsonRule     `json:"shown"`
}

// jsonRule is a rule. Conviction is null where it is infinite.
type jsonRule struct {
	If         []string `json:"if"`
	Then       string   `json:"then"`
	Support    float64  `json:"support"`
	Confidence float64  `json:"confidence"`
	Lift       float64  `json:"lift"`
	Leverage   float64  `json:"leverage"`
	Conviction *float64 `json:"conviction"`
	Count      uint32   `json:"count"`
}

// rulesOfFiles trains on files and prints the rules.
func (a *app) rulesOfFiles(ctx context.Context, ms []fusion.Mapping, dead *fusion.DeadLetterWriter, s model.Settings, run *rulesRun) error {
	p := a.progress("rules")
	defer p.end()
	p.set("reading", 0, 0)
	t, err := readEvents(ctx, ms, dead)
	if err = errors.Join(err, dead.Close()); err != nil {
		p.end()
		a.noteRejected(dead)
		return err
	}
	item := -1
	if run.item != "" {
		if item, err = find(t.items, "item", run.item); err != nil {
			return err
		}
	}
	p.set("searching", 0, 0)
	began := time.Now()
	file, err := t.train(ctx, association.Kind, s, runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	m, err := association.Read(file)
	if err != nil {
		return err
	}
	out := jsonRules{m.Transactions(), len(t.items), m.Itemsets(), m.Len(), time.Since(began).Seconds(), s.Map(), []jsonRule{}}
	var found []association.Rule
	for r := range m.All() {
		if item < 0 || int(r.Consequent) == item || slices.Contains(r.Antecedent, uint32(item)) {
			found = append(found, r)
		}
	}
	if err := association.Sort(found, run.by.value); err != nil {
		return err
	}
	matching := len(found)
	if run.n > 0 {
		found = found[:min(run.n, matching)]
	}
	for _, r := range found {
		x := jsonRule{[]string{}, t.items[r.Consequent], r.Support, r.Confidence, r.Lift, r.Leverage, &r.Conviction, r.Count}
		if math.IsInf(r.Conviction, 1) {
			x.Conviction = nil
		}
		for _, id := range r.Antecedent {
			x.If = append(x.If, t.items[id])
		}
		out.Shown = append(out.Shown, x)
	}
	p.end()
	a.noteRejected(dead)
	if a.json() {
		return a.printJSON(out)
	}
	return a.printRules(&out, matching)
}

// printRules prints a table, and what it is of.
func (a *app) printRules(out *jsonRules, matching int) error {
	if err := a.printRuleTable(out.Shown); err != nil {
		return err
	}
	more := ""
	if left := matching - len(out.Shown); left > 0 {
		more = " " + plural(left, "more is", "more are") + " not shown: -n 0 shows all."
	}
	return a.printf("%s from %s in %s of %s, in %s.%s\n", plural(out.Rules, "rule", "rules"), plural(out.Itemsets, "frequent set", "frequent sets"),
		plural(out.Transactions, "transaction", "transactions"), plural(out.Items, "item", "items"), seconds(out.Seconds), more)
}

// printRuleTable prints a table with an empty line behind it, or nothing for no rules.
func (a *app) printRuleTable(shown []jsonRule) error {
	var rows [][]any
	for _, r := range shown {
		var left []string
		for _, key := range r.If {
			left = append(left, printable(key))
		}
		conviction := "∞"
		if r.Conviction != nil {
			conviction = score(*r.Conviction)
		}
		rows = append(rows, []any{strings.Join(left, ", "), printable(r.Then), score(r.Support), score(r.Confidence), score(r.Lift), score(r.Leverage), conviction, count(r.Count)})
	}
	if len(rows) == 0 {
		return nil
	}
	if err := a.printTable("", columns{"if", "then", ">support", ">confidence", ">lift", ">leverage", ">conviction", ">count"}, rows); err != nil {
		return err
	}
	return a.printf("\n")
}

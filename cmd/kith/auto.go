package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/ease"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

const (
	// fewestUsers is how many users with something held back a choice takes: with fewer nearly nothing is significant, and the cheapest model would be taken.
	fewestUsers = 50
	// mostAutoUsers bounds what the command holds in memory.
	mostAutoUsers = 1_000_000
	// mostEaseItems is the number of items up to which ease is a candidate without being named: its cost grows with their cube, to a minute or so here.
	mostEaseItems = 5000
)

// autoFlags are the flags of a build that chooses its model by evaluation.
type autoFlags struct {
	on         bool
	in         input
	users      int
	candidates string
	split      choice
	by         string
	tune       int

	own *pflag.FlagSet // all of them but on
}

func (x *autoFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&x.on, "auto", false, "choose a model by evaluation, and build it; flags of neighborhoods are the defaults of candidates then")
	of := &cobra.Command{}
	x.in.register(of, true)
	x.split = choice{evaluate.SplitLeaveOneOut, evaluate.Splits()}
	x.own = of.Flags()
	x.own.IntVar(&x.users, "auto-users", 5000, "`number` of users of the cluster whose events --auto reads, the same each time")
	x.own.StringVar(&x.candidates, "candidates", "", "`models` that --auto compares, with parameters if wanted (default: those that cost little)")
	x.own.Var(&x.split, "split", "how --auto holds data back: "+alternatives(x.split.of))
	x.own.StringVar(&x.by, "by", "ndcg@10", "`metric` by which --auto chooses, at a length of answers")
	x.own.IntVar(&x.tune, "tune", 0, "`number` of settings of each candidate that --auto tries first (default: none)")
	cmd.Flags().AddFlagSet(x.own)
}

// check returns an error of usage if flags of --auto are given on the command line without it.
func (x *autoFlags) check(a *app) (err error) {
	x.own.VisitAll(func(f *pflag.Flag) {
		if _, set := a.env(variable(f.Name)); !x.on && f.Changed && !set && err == nil {
			err = usagef("--%s goes with --auto, which chooses a model by evaluation", f.Name)
		}
	})
	return err
}

// experiment returns what is to be evaluated, without the data. With no --candidates it has none yet. Errors are of usage.
func (x *autoFlags) experiment(s *specFlags, spec *kithv1.BuildSpec) (e evaluate.Experiment, err error) {
	metric, at, found := strings.Cut(x.by, "@")
	n, err := strconv.Atoi(at)
	if !found || err != nil {
		return e, usagef("--by %q: want a metric at a length, such as ndcg@10 or %s@20", x.by, "recall")
	}
	if x.users < fewestUsers || x.users > mostAutoUsers {
		return e, usagef("--auto-users is %d; want %d to %d", x.users, fewestUsers, mostAutoUsers)
	}
	e = evaluate.Experiment{
		Split: x.split.value, N: []int{n}, By: metric + "@" + strconv.Itoa(n), Seed: 1,
		K: s.k, Shrinkage: s.shrinkage, MinSupport: s.minSupport, Alpha: s.alpha,
	}
	if e.Measure, err = similarity.ParseMeasure(s.measure.value); err != nil {
		return e, &usageError{err}
	}
	if x.tune != 0 {
		e.Tuning = &evaluate.Tuning{Trials: x.tune}
	}
	if x.candidates == "" {
		e.Models = defaultCandidates(s.measure.value, 0)
	} else {
		for _, name := range model.SplitNames(x.candidates) {
			e.Models = append(e.Models, evaluateName(name))
		}
	}
	if err := e.Validate(); err != nil {
		return e, &usageError{err}
	}
	for _, name := range e.Models {
		if _, _, err := withChoice(spec, name); err != nil {
			return e, usagef("--candidates: %w", err)
		}
	}
	return e, nil
}

// defaultCandidates are the models that are compared if none are named: those that are good on some data and cost no more than minutes. Neighborhoods
// have the measure of the build, and item-based ones others beside it.
func defaultCandidates(measure string, items int) []string {
	names := []string{popularity, "itemknn"}
	for _, m := range []similarity.Measure{similarity.Cosine, similarity.BM25, similarity.Jaccard} {
		if m.String() != measure {
			names = append(names, "itemknn(measure="+m.String()+")")
		}
	}
	names = append(names, "userknn", "hybrid", "covisit", "markov", "rp3beta", "als")
	if items <= mostEaseItems {
		names = append(names, ease.Kind.Name)
	}
	return names
}

// autoData is what a choice goes by.
type autoData struct {
	// Source is "cluster" or what was read instead.
	Source string `json:"source"`
	// Users have two items or more; of them Sampled were read.
	Users   int `json:"users"`
	Sampled int `json:"sampled"`

	table *fusion.Table
}

// autoChoice is a model that was chosen, and why.
type autoChoice struct {
	evaluate.Choice
	// Ask is the name by which queries ask for it.
	Ask        string           `json:"ask"`
	Data       autoData         `json:"data"`
	Evaluation *evaluate.Result `json:"evaluation"`

	spec *kithv1.BuildSpec
}

// chooseModel evaluates the candidates and returns the spec of the build with the one that is chosen.
func (a *app) chooseModel(ctx context.Context, c *client, x *autoFlags, s *specFlags, spec *kithv1.BuildSpec) (*autoChoice, error) {
	e, err := x.experiment(s, spec)
	if err != nil {
		return nil, err
	}
	var ms []fusion.Mapping
	if x.in.given() {
		if ms, err = x.in.mappings("a file with --input"); err != nil {
			return nil, err
		}
	}
	p := a.progress("evaluate")
	defer p.end()
	p.set("reading", 0, 0)
	var data autoData
	if x.in.given() {
		data, err = a.autoFiles(ctx, &x.in, ms, s.behaviors())
	} else {
		data, err = c.sample(ctx, x.users, s.behaviors(), func(done, total int) { p.set("reading", int64(done), int64(total)) })
	}
	if err != nil {
		return nil, err
	}
	if data.Sampled < fewestUsers {
		return nil, tooFew(data.Sampled, "two items or more")
	}
	if x.candidates == "" {
		items, err := c.items(ctx)
		if err != nil {
			return nil, err
		}
		e.Models = defaultCandidates(s.measure.value, max(items, len(data.table.Items)))
	}
	e.Data = data.table
	r, err := evaluate.Run(ctx, e, func(done, total int) { p.set("evaluating", int64(done), int64(total)) })
	if err != nil {
		return nil, err
	}
	tested := 0
	for _, f := range r.Folds {
		tested += f.TestUsers
	}
	if tested < fewestUsers {
		return nil, tooFew(tested, "something held back by the split "+r.Split)
	}
	out := &autoChoice{Data: data, Evaluation: r}
	if out.Choice, err = evaluate.Choose(r, e.By); err != nil {
		return nil, err
	}
	out.spec, out.Ask, err = withChoice(spec, out.Setting)
	return out, err
}

// tooFew is the error of data that no choice can go by.
func tooFew(users int, what string) error {
	return fmt.Errorf("%s %s, and a choice by evaluation takes %d; ingest more events, raise --auto-users, evaluate files with --input, or build without --auto",
		plural(users, "user has", "users have"), what, fewestUsers)
}

// autoFiles reads what is in files, of all users.
func (a *app) autoFiles(ctx context.Context, in *input, ms []fusion.Mapping, w fusion.Weights) (autoData, error) {
	dead := in.letters(".")
	table, reports, err := fusion.ReadTable(ctx, ms, w, time.Now().UnixMilli(), dead)
	a.noteWeightless(reports)
	err = errors.Join(err, dead.Close())
	a.noteRejected(dead)
	if err != nil {
		return autoData{}, err
	}
	source := strings.Join(in.files, ", ")
	if in.mapping != "" {
		source = in.mapping
	}
	users := usersWithTwo(table)
	return autoData{Source: source, Users: users, Sampled: users, table: table}, nil
}

// usersWithTwo counts the users with two entries or more.
func usersWithTwo(t *fusion.Table) (n int) {
	for u := range t.Users {
		if t.Start[u+1]-t.Start[u] > 1 {
			n++
		}
	}
	return n
}

// print prints the models from the best to the worst, which one is taken, why, and how to ask for it.
func (x *autoChoice) print(a *app) error {
	r := *x.Evaluation
	r.Models = ranked(r.Models, x.Metric)
	about := plural(x.Data.Sampled, "user", "users") + " of " + printable(x.Data.Source)
	if x.Data.Source == sourceCluster {
		about = fmt.Sprintf("%s of the %s of the cluster", count(x.Data.Sampled), plural(x.Data.Users, "user", "users"))
	}
	if err := a.printf("Compared by %s on the events of %s with two items or more.\n%s\n", x.Metric, about, evaluatedText(&r)); err != nil {
		return err
	}
	_, n, _ := strings.Cut(x.Metric, "@")
	metrics := []string{x.Metric}
	for _, name := range []string{"ndcg", "hitrate", "coverage"} {
		if name += "@" + n; name != x.Metric {
			metrics = append(metrics, name)
		}
	}
	if err := a.printMetrics("", &r, metrics, true); err != nil {
		return err
	}
	if err := a.printFailed(&r); err != nil {
		return err
	}
	text := "\nChosen is " + x.Reason + ".\n"
	if x.Setting != x.Model {
		text += "Tuning has found " + x.Setting + ".\n"
	}
	return a.printf("%sAsk for it with 'kith recommend USER --model %s' once the version is active.\n\n", text, x.Ask)
}

// ranked returns the models by a metric, the best first.
func ranked(models []evaluate.ModelResult, metric string) []evaluate.ModelResult {
	sign := -1
	if evaluate.LowerIsBetter(metric) {
		sign = 1
	}
	out := slices.Clone(models)
	slices.SortStableFunc(out, func(a, b evaluate.ModelResult) int {
		return sign * cmp.Compare(a.Metrics[metric].Mean, b.Metrics[metric].Mean)
	})
	return out
}

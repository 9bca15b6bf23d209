package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/evaluate"
	evaluatepage "github.com/kith-io/kith/evaluate/page"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/similarity"
)

func (a *app) evaluateCommand() *cobra.Command {
	var in input
	var s specFlags
	var c evaluation
	e := &c.Experiment
	var models, base, method, products, users string
	var test []string
	measure := measureChoice()
	ratings := choice{"auto", []string{"auto", neighborhood.MSD.String(), neighborhood.CoRatedCosine.String(), neighborhood.PearsonBaseline.String()}}
	split := choice{evaluate.SplitLeaveOneOut, evaluate.Splits()}
	interval := choice{evaluate.IntervalStudent, evaluate.Intervals()}
	methods := choice{evaluate.TuneRandom, evaluate.TuningMethods()}
	trials, folds, refit := 0, 1, true
	cmd := &cobra.Command{
		Use:   "evaluate",
		Short: "Measure offline how good models are, without a server",
		Long: `Hold back a part of the data, make each model from the rest, and compare what it says with
what was held back. Models for top-N are measured by the rank of what was held back among
all items that the user has not seen; models of ratings by their error. Every figure has a
95% confidence interval, and every model is compared with the best one on the same users.

--tune looks for good parameters of each model first, on a part of the training data.

Models: ` + wrap(strings.Join(evaluate.Models(), ", "), 80, "  ") + ".",
		Example: `  kith evaluate --mapping shop/map.yaml --models popularity,itemknn,userknn,hybrid
  kith evaluate --input u.data --models itemknn --split k-fold --folds 5 -n 5,10 --relevant 4
  kith evaluate --input u.data --models mean,baseline,user-knn-baseline --split ratio -o json
  kith evaluate --input u.data --models 'itemknn(measure=bm25,k=100),userknn' --split user-cold
  kith evaluate --input u.data --models itemknn,userknn --tune 30 --state tried.jsonl --report report.html
  kith evaluate --input u.data --models als --tune 60 --validation-folds 5 --workers a:7801,b:7801`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ms, err := in.mappings("a file with --input")
			if err != nil {
				return err
			}
			e.Split, e.Interval, e.NoRefit, method = split.value, interval.value, !refit, methods.value
			var tests []fusion.Mapping
			if len(test) > 0 {
				if in.mapping != "" || cmd.Flags().Changed("split") {
					return usagef("--test says what is held back, from the files of --input: leave --split and --mapping out")
				}
				held := in
				held.files = test
				if tests, err = held.mappings("a file with --test"); err != nil {
					return err
				}
				e.Split = evaluate.SplitGiven
			}
			if e.Measure, err = similarity.ParseMeasure(measure.value); err != nil {
				return err
			}
			if ratings.value != "auto" {
				if e.RatingMeasure, err = neighborhood.ParseCoRated(ratings.value); err != nil {
					return err
				}
			}
			e.Models = nil
			for _, name := range model.SplitNames(models) {
				e.Models = append(e.Models, evaluateName(name))
			}
			e.Against = evaluateName(e.Against)
			e.Metrics, e.Tuning = nil, nil
			if slices.Contains(c.metrics, "auc") || e.By == "auc" {
				e.Metrics = []string{"auc"}
			}
			if trials != 0 {
				e.Tuning = &evaluate.Tuning{Trials: trials, Method: method, Folds: folds}
			} else if folds != 1 {
				return usagef("--validation-folds says how --tune measures; name the number of its trials")
			}
			c.input = strings.Join(in.files, ", ")
			if in.mapping != "" {
				c.input = in.mapping
			}
			e.Base = nil
			for _, name := range model.SplitNames(base) {
				e.Base = append(e.Base, evaluateName(name))
			}
			w := s.behaviors()
			if err := errors.Join(e.Validate(), w.Validate(), c.validate()); err != nil {
				return &usageError{err}
			}
			if products != "" {
				if e.Products, err = readRecords(cmd.Context(), products, train.ProductOf); err != nil {
					return err
				}
			}
			if users != "" {
				of := func(r *catalog.Record) []model.Attribute { return train.ProductOf(r).Attributes }
				if e.Users, err = readRecords(cmd.Context(), users, of); err != nil {
					return err
				}
			}
			return a.evaluate(cmd.Context(), ms, tests, w, in.letters("."), &c)
		},
	}
	in.register(cmd, true)
	c.workers.access.register(cmd)
	s.weights = weights{}
	s.registerWeights(cmd)
	f := cmd.Flags()
	f.StringVar(&models, "models", "popularity,itemknn,userknn,hybrid", "`names` of the models to compare, with parameters if wanted, as in als(factors=64,alpha=2)")
	f.StringVar(&products, "products", "", "`file` of products, as kith products put takes it, for models that learn from attributes")
	f.StringVar(&users, "users", "", "`file` of users, as kith users put takes it, for models that are told to learn from attributes of users")
	f.StringVar(&base, "base", "itemknn,userknn,popularity", "`names` of the models that rrf, blend, switch and ranker are made of")
	f.Var(&split, "split", "how data are held back: "+alternatives(split.of))
	f.StringSliceVar(&test, "test", nil, "`file` with the test data of a division that was made elsewhere, of the form of --input, which has the training data then")
	f.Float64Var(&e.Ratio, "ratio", 0.8, "share of the data that is for training, in the splits ratio, user-time, time, user-cold and user-new")
	f.IntVar(&e.Folds, "folds", 5, "folds of the split k-fold")
	f.IntSliceVarP(&e.N, "n", "n", []int{10}, "`lengths` of the answers that are measured")
	f.Uint64Var(&e.Seed, "seed", 1, "chooses what is held back at random")
	f.Float64Var(&e.Relevant, "relevant", 0, "least weight with which held-back data count as relevant for top-N (default: all)")
	f.IntVar(&e.Negatives, "negatives", 0, "rank each held-back item among a `number` of drawn ones, such as 99 (default: among all)")
	f.StringSliceVar(&c.metrics, "metrics", []string{"ndcg", "hitrate", "precision", "recall", "coverage"}, "`names` of the metrics in the table; auc is taken only if named")
	f.StringVar(&c.categories, "categories", "", "CSV `file` of items and their categories, for the metric calibration (default: classes of popularity)")
	f.Var(&interval, "interval", "kind of the 95% confidence intervals")
	f.IntVar(&e.Samples, "samples", 0, "`number` of samples of bootstrap intervals and of tests (default 2000 and 10000)")
	f.StringVar(&e.By, "by", "", "`metric` by which models are compared and tuned (default: ndcg at the first n, rmse)")
	f.StringVar(&e.Against, "against", evaluate.AgainstBest, "`model` with which the others are compared: best, first or a name")
	f.IntVar(&trials, "tune", 0, "settings of each model to try (default: none)")
	f.Var(&methods, "tune-method", "how settings are looked for")
	f.StringSliceVar(&c.workers.addrs, "workers", nil, "`host:port` of servers of a cluster that make the trials of --tune, in the place of this machine")
	f.StringVar(&c.state, "state", "", "`file` to which trials of --tune are written; those in it are not made again")
	f.Float64Var(&e.Validation, "validation", 0, "share of the data (with --test: of the training data) that is held back from the training data for --tune (default 0.1 with it)")
	f.IntVar(&folds, "validation-folds", 1, "`number` of divisions of the training data on which --tune measures each setting")
	f.BoolVar(&refit, "refit", true, "train with the validation data too before the test; with =false they are in no answer either")
	f.StringVar(&c.report, "report", "", "`file` for a page with tables and plots, of a name that ends in .html")
	f.Var(&measure, "measure", "similarity of models for top-N: "+alternatives(measure.of))
	f.Var(&ratings, "rating-measure", "similarity of models of ratings; auto suits each model")
	f.IntVarP(&e.K, "k", "k", 0, "neighbors (default 50 for top-N, 40 for ratings)")
	registerAlpha(cmd, &e.Alpha)
	f.Float64Var(&e.Shrinkage, "shrinkage", 0, "s of the factor n/(n+s) on a score with n common users")
	f.IntVar(&e.MinSupport, "min-support", 0, "least number of common users of a pair")
	f.IntVar(&e.Threads, "threads", 0, "threads (default: one for each processor); changes speed only")
	return cmd
}

// evaluation is an experiment, and what is done with its result.
type evaluation struct {
	evaluate.Experiment
	// metrics are the columns of tables, and ask for what is not taken otherwise.
	metrics []string
	// categories, state and report are files, input is what the report calls the data.
	categories, state, report, input string
	// workers make the trials, if there are any.
	workers remote
}

// validate looks at what the experiment does not, and makes sure that files can be written before the work begins.
func (c *evaluation) validate() error {
	known := evaluate.Metrics()
	for _, name := range c.metrics {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--metrics: unknown metric %q, want some of %s", name, strings.Join(known, ", "))
		}
	}
	for _, addr := range c.workers.addrs {
		if _, _, err := net.SplitHostPort(strings.TrimSpace(addr)); err != nil {
			return fmt.Errorf("--workers %q: want host:port, such as %s", addr, server.DefaultGRPCAddr)
		}
	}
	switch {
	case len(c.workers.addrs) > 0 && c.Tuning == nil:
		return errors.New("--workers make the trials of --tune; name their number")
	case c.state != "" && c.Tuning == nil:
		return errors.New("--state keeps the trials of --tune; name their number")
	case c.report != "" && reportForm(c.report) != ".html":
		return fmt.Errorf("--report %s: want a name that ends in .html", c.report)
	}
	return checkReport(c.report)
}

// readRecords reads what is known of products or users from a file of records, by key. Of records of one key the newest counts.
func readRecords[T any](ctx context.Context, path string, of func(r *catalog.Record) T) (map[string]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	newest := map[string]catalog.Record{}
	err = forRecords(ctx, f, func(r *catalog.Record) error {
		if old, ok := newest[r.Key]; !ok || catalog.Newer(r, &old) {
			newest[r.Key] = *r
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	known := make(map[string]T, len(newest))
	for key, r := range newest {
		known[key] = of(&r)
	}
	return known, nil
}

// evaluateName returns the name of a model as package evaluate has it; answers and evaluations spell two of them differently.
func evaluateName(name string) string {
	switch name = strings.TrimSpace(name); name {
	case "item-knn", "user-knn":
		return strings.ReplaceAll(name, "-", "")
	}
	return name
}

// evaluate measures models on the data of ms; tests are test data that are given apart, if any.
func (a *app) evaluate(ctx context.Context, ms, tests []fusion.Mapping, w fusion.Weights, dead *fusion.DeadLetterWriter, c *evaluation) (err error) {
	e := &c.Experiment
	started := time.Now()
	if c.categories != "" {
		if e.Categories, err = readCategories(c.categories); err != nil {
			return err
		}
	}
	if e.Tuning != nil && c.state != "" {
		state, err := openTrials(c.state)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, state.Close()) }()
		e.Tuning.Known, e.Tuning.Keep = state.known, state.keep
	}
	p := a.progress("evaluate")
	defer p.end()
	p.set("reading", 0, 0)
	now := time.Now().UnixMilli()
	var reports, more []fusion.Report
	e.Data, reports, err = fusion.ReadTable(ctx, ms, w, now, dead)
	if err == nil && len(tests) > 0 {
		e.Test, more, err = fusion.ReadTable(ctx, tests, w, now, dead)
	}
	a.noteWeightless(append(reports, more...))
	if err = errors.Join(err, dead.Close()); err != nil {
		p.end()
		a.noteRejected(dead)
		return err
	}
	if len(c.workers.addrs) > 0 {
		workers, end, err := a.trialWorkers(ctx, e, &c.workers)
		if err != nil {
			return err
		}
		defer end()
		e.Tuning.Maker = workers
	}
	r, err := evaluate.Run(ctx, *e, func(done, total int) { p.set("evaluating", int64(done), int64(total)) })
	p.end()
	a.noteRejected(dead)
	if err != nil {
		return err
	}
	if c.report != "" {
		about := evaluatepage.About{Data: c.input, Version: thisBuild().Version, Started: started}
		err := writeMode(c.report, reportPerm, func(w io.Writer) error { return evaluatepage.Write(w, r, about) })
		if err != nil {
			return fmt.Errorf("--report: %w", err)
		}
	}
	if err := a.printResult(r, e.N, c.metrics); err != nil {
		return err
	}
	var failed []string
	for i := range r.Models {
		if r.Models[i].Failed != "" {
			failed = append(failed, r.Models[i].Name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d models failed: %s", len(failed), len(r.Models), strings.Join(failed, ", "))
	}
	return nil
}

// printResult prints what was found, also if models have failed.
func (a *app) printResult(r *evaluate.Result, ns []int, metrics []string) error {
	if a.json() {
		return a.printJSON(r)
	}
	if err := a.printf("%s\n", evaluatedText(r)); err != nil {
		return err
	}
	if err := a.printEvaluated("", r, ns, metrics); err != nil {
		return err
	}
	if err := a.printFailed(r); err != nil {
		return err
	}
	return a.printEvaluatedNotes(r)
}

// printFailed says which models have no figures, and why.
func (a *app) printFailed(r *evaluate.Result) error {
	text := ""
	for i := range r.Models {
		if m := &r.Models[i]; m.Failed != "" {
			text += fmt.Sprintf("\n%s has no figures: %s", m.Name, m.Failed)
		}
	}
	if text == "" {
		return nil
	}
	return a.printf("%s\n", text)
}

// printEvaluatedNotes says what the figures mean, and which parameters tuning has found.
func (a *app) printEvaluatedNotes(r *evaluate.Result) error {
	for i, t := range r.Tuning {
		if t.Best == "" {
			continue // printFailed says why
		}
		on := "validation data"
		if r.ValidationFolds > 1 {
			on = fmt.Sprintf("%d folds of validation data", r.ValidationFolds)
		}
		text := fmt.Sprintf("%s: the best of %s by %s on %s is %s\n", t.Model, plural(len(t.Trials), "trial", "trials"), t.Metric, on, t.Best)
		if i == 0 {
			text = "\n" + text
		}
		if err := a.printf("%s", text); err != nil {
			return err
		}
	}
	if r.Uncompared != "" {
		if err := a.printf("\nNo P: %s.\n", r.Uncompared); err != nil {
			return err
		}
	}
	text := "\n± is half of the 95% confidence interval."
	for i := range r.Models {
		if c := r.Models[i].Against; c != nil {
			text += fmt.Sprintf(" P is how likely chance alone makes a difference in %s as large as that to %s.", c.Metric, c.With)
			break
		}
	}
	return a.printf("%s -o json has all metrics and settings.\n", text)
}

// evaluatedText says what was held back.
func evaluatedText(r *evaluate.Result) string {
	text := fmt.Sprintf("%s users, %s items, %s interactions; split %s", count(r.Users), count(r.Items), count(r.Entries), r.Split)
	if r.Ratio > 0 {
		text += fmt.Sprintf(" %v", r.Ratio)
	}
	if len(r.Folds) > 1 {
		text += fmt.Sprintf(", %d folds", len(r.Folds))
	}
	if r.Repeated > 0 {
		text += fmt.Sprintf("; %s of the test data left out, as the training data have them", count(r.Repeated))
	}
	if r.Negatives > 0 {
		text += fmt.Sprintf("; each held-back item among %d drawn ones", r.Negatives)
	}
	return text
}

// printEvaluated prints a table for each N, and one for models of ratings. metrics are names without N.
func (a *app) printEvaluated(indent string, r *evaluate.Result, ns []int, metrics []string) error {
	for _, n := range ns {
		var names []string
		for _, metric := range metrics {
			if metric == "rmse" || metric == "mae" {
				continue
			}
			if metric != "auc" {
				metric = fmt.Sprintf("%s@%d", metric, n)
			}
			names = append(names, metric)
		}
		if err := a.printMetrics(indent, r, names, true); err != nil {
			return err
		}
	}
	return a.printMetrics(indent, r, []string{"rmse", "mae"}, true)
}

// printMetrics prints a table of the models that have any of the metrics, with P how sure the differences are in the metric by which models are compared.
func (a *app) printMetrics(indent string, r *evaluate.Result, metrics []string, withP bool) error {
	metrics = slices.DeleteFunc(slices.Clone(metrics), func(metric string) bool {
		return !slices.ContainsFunc(r.Models, func(m evaluate.ModelResult) bool { return has(&m, metric) })
	})
	head := columns{"model"}
	for _, m := range metrics {
		head = append(head, ">"+m)
	}
	var models []*evaluate.ModelResult
	compared := false
	for i := range r.Models {
		m := &r.Models[i]
		if slices.ContainsFunc(metrics, func(metric string) bool { return has(m, metric) }) {
			models = append(models, m)
			compared = compared || withP && m.Against != nil && slices.Contains(metrics, m.Against.Metric)
		}
	}
	if len(models) == 0 {
		return nil
	}
	var rows [][]any
	for _, m := range models {
		row := []any{m.Name}
		for _, name := range metrics {
			if has(m, name) {
				row = append(row, estimate(m.Metrics[name]))
			} else {
				row = append(row, "")
			}
		}
		if compared {
			row = append(row, probability(m.Against))
		}
		rows = append(rows, append(row, seconds(m.Seconds)))
	}
	if compared {
		head = append(head, ">p")
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable(indent, append(head, ">time"), rows)
}

func has(m *evaluate.ModelResult, metric string) bool {
	_, ok := m.Metrics[metric]
	return ok
}

// probability writes the p-value of a comparison, corrected for the number of models; nothing for the model that others are compared with.
func probability(c *evaluate.Comparison) string {
	switch {
	case c == nil:
		return "-"
	case c.PHolm < 0.001:
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", c.PHolm)
}

// estimate writes a figure with half of its interval, if it has one.
func estimate(e evaluate.Estimate) string {
	if e.High == e.Low {
		return score(e.Mean)
	}
	return fmt.Sprintf("%s ±%s", score(e.Mean), score((e.High-e.Low)/2))
}

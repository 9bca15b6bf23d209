package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/neighborhood"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func (a *app) evaluateCommand() *cobra.Command {
	var in input
	var s specFlags
	var e evaluate.Experiment
	var models, products string
	measure := measureChoice()
	ratings := choice{"auto", []string{"auto", neighborhood.MSD.String(), neighborhood.CoRatedCosine.String(), neighborhood.PearsonBaseline.String()}}
	split := choice{evaluate.SplitLeaveOneOut, evaluate.Splits()}
	cmd := &cobra.Command{
		Use:   "evaluate",
		Short: "Measure offline how good models are, without a server",
		Long: `Hold back a part of the data, make each model from the rest, and compare what it says with
what was held back. Models for top-N are measured by the rank of what was held back among
all items that the user has not seen; models of ratings by their error. Every figure has a
95% confidence interval.

Models: ` + wrap(strings.Join(evaluate.Models(), ", "), 80, "  ") + ".",
		Example: `  kith evaluate --mapping shop/map.yaml --models popularity,itemknn,userknn,hybrid
  kith evaluate --input u.data --models itemknn --split k-fold --folds 5 -n 5,10 --relevant 4
  kith evaluate --input u.data --models mean,baseline,user-knn-baseline --split ratio -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ms, err := in.mappings("a file with --input")
			if err != nil {
				return err
			}
			e.Split = split.value
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
			w := s.behaviors()
			if err := errors.Join(e.Validate(), w.Validate()); err != nil {
				return &usageError{err}
			}
			if products != "" {
				if e.Products, err = readRecords(cmd.Context(), products); err != nil {
					return err
				}
			}
			return a.evaluate(cmd.Context(), ms, w, in.letters("."), e)
		},
	}
	in.register(cmd, true)
	s.weights = weights{}
	s.registerWeights(cmd)
	f := cmd.Flags()
	f.StringVar(&models, "models", "popularity,itemknn,userknn,hybrid", "`names` of the models to compare, with parameters if wanted, as in als(factors=64,alpha=2)")
	f.StringVar(&products, "products", "", "`file` of products, as kith products put takes it, for models that learn from attributes")
	f.Var(&split, "split", "how data are held back")
	f.Float64Var(&e.Ratio, "ratio", 0.8, "share of the data that is for training, in the splits ratio and time")
	f.IntVar(&e.Folds, "folds", 5, "folds of the split k-fold")
	f.IntSliceVarP(&e.N, "n", "n", []int{10}, "`lengths` of the answers that are measured")
	f.Uint64Var(&e.Seed, "seed", 1, "chooses what is held back at random")
	f.Float64Var(&e.Relevant, "relevant", 0, "least weight with which held-back data count as relevant for top-N (default: all)")
	f.Var(&measure, "measure", "similarity of models for top-N: "+alternatives(measure.of))
	f.Var(&ratings, "rating-measure", "similarity of models of ratings; auto suits each model")
	f.IntVarP(&e.K, "k", "k", 0, "neighbors (default 50 for top-N, 40 for ratings)")
	registerAlpha(cmd, &e.Alpha)
	f.Float64Var(&e.Shrinkage, "shrinkage", 0, "s of the factor n/(n+s) on a score with n common users")
	f.IntVar(&e.MinSupport, "min-support", 0, "least number of common users of a pair")
	f.IntVar(&e.Threads, "threads", 0, "threads (default: one for each processor); changes speed only")
	return cmd
}

// readRecords reads what is known of products from a file of records, by key. Of records of one key the newest counts.
func readRecords(ctx context.Context, path string) (map[string]train.Product, error) {
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
	products := make(map[string]train.Product, len(newest))
	for key, r := range newest {
		products[key] = trainProduct(&r)
	}
	return products, nil
}

// trainProduct returns what models learn from: truth values as texts, times as numbers of days.
func trainProduct(r *catalog.Record) train.Product {
	var p train.Product
	for _, a := range r.Attributes {
		out := train.Attribute{Name: a.Name}
		switch v := a.Value; v.Type {
		case catalog.Number:
			out.Number = v.Number
		case catalog.Time:
			out.Number = float64(v.Millis) / (24 * time.Hour).Seconds() / 1000
		case catalog.Texts:
			out.Texts = v.Texts
			if len(v.Texts) == 0 {
				continue
			}
		case catalog.Text:
			out.Texts = []string{v.Text}
		case catalog.Bool:
			out.Texts = []string{strconv.FormatBool(v.Bool)}
		}
		p.Attributes = append(p.Attributes, out)
	}
	return p
}

// evaluateName returns the name of a model as package evaluate has it; answers and evaluations spell two of them differently.
func evaluateName(name string) string {
	switch name = strings.TrimSpace(name); name {
	case "item-knn", "user-knn":
		return strings.ReplaceAll(name, "-", "")
	}
	return name
}

func (a *app) evaluate(ctx context.Context, ms []fusion.Mapping, w fusion.Weights, dead *fusion.DeadLetterWriter, e evaluate.Experiment) error {
	p := a.progress("evaluate")
	defer p.end()
	p.set("reading", 0, 0)
	var err error
	var reports []fusion.Report
	e.Data, reports, err = fusion.ReadTable(ctx, ms, w, time.Now().UnixMilli(), dead)
	a.noteWeightless(reports)
	if err = errors.Join(err, dead.Close()); err != nil {
		p.end()
		a.noteRejected(dead)
		return err
	}
	r, err := evaluate.Run(ctx, e, func(done, total int) { p.set("evaluating", int64(done), int64(total)) })
	p.end()
	a.noteRejected(dead)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(r)
	}
	if err := a.printf("%s\n", evaluatedText(r)); err != nil {
		return err
	}
	if err := a.printEvaluated("", r, e.N); err != nil {
		return err
	}
	return a.printf("\n± is half of the 95%% confidence interval. -o json has all metrics and settings.\n")
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
	return text
}

// printEvaluated prints a table for each N, and one for models of ratings.
func (a *app) printEvaluated(indent string, r *evaluate.Result, ns []int) error {
	for _, n := range ns {
		at := func(metric string) string { return fmt.Sprintf("%s@%d", metric, n) }
		err := a.printMetrics(indent, r, []string{at("ndcg"), at("hitrate"), at("precision"), at("recall"), at("coverage")})
		if err != nil {
			return err
		}
	}
	return a.printMetrics(indent, r, []string{"rmse", "mae"})
}

// printMetrics prints a table of the models that have the metrics.
func (a *app) printMetrics(indent string, r *evaluate.Result, metrics []string) error {
	head := columns{"model"}
	for _, m := range metrics {
		head = append(head, ">"+m)
	}
	var rows [][]any
	for _, m := range r.Models {
		if _, ok := m.Metrics[metrics[0]]; !ok {
			continue
		}
		row := []any{m.Name}
		for _, name := range metrics {
			row = append(row, estimate(m.Metrics[name]))
		}
		rows = append(rows, append(row, seconds(m.Seconds)))
	}
	if len(rows) == 0 {
		return nil
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable(indent, append(head, ">time"), rows)
}

// estimate writes a figure with half of its interval, if it has one.
func estimate(e evaluate.Estimate) string {
	if e.High == e.Low {
		return score(e.Mean)
	}
	return fmt.Sprintf("%s ±%s", score(e.Mean), score((e.High-e.Low)/2))
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// reportTimeout is how long a report may take: a pass over all events.
const reportTimeout = 10 * time.Minute

func (a *app) experimentsCommand() *cobra.Command {
	list := a.experimentsListCommand("experiments")
	list.Short = "Follow experiments: tests between variants of a scene"
	list.Long = `Follow experiments: tests between variants of a scene. They are declared in the file of the scenes
(see 'kith scenes apply' and docs/scenes.md).`
	list.Example = `  kith experiments
  kith experiments report home-2026-12`
	list.AddCommand(a.experimentsListCommand("list"), a.experimentsReportCommand())
	return list
}

func (a *app) experimentsListCommand(use string) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:     use,
		Short:   "List the experiments",
		Example: "  kith experiments list",
		Args:    noArgs,
		RunE: a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
			set, err := c.scenes(ctx)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printSet(&kithv1.SceneSet{Version: set.Version, Experiments: set.Experiments})
			}
			if len(set.Experiments) == 0 {
				return a.printf("No experiments; declare some in the file of 'kith scenes apply'.\n")
			}
			var rows [][]any
			for _, e := range set.Experiments {
				var variants []string
				for _, v := range e.Variants {
					variants = append(variants, fmt.Sprintf("%s %s", v.Name, number(cmp.Or(v.Weight, 1))))
				}
				rows = append(rows, []any{e.Name, e.Scene, strings.Join(variants, ", "), timeOf(e.StartUnixMs), timeOf(e.EndUnixMs)})
			}
			return a.printTable("", columns{"experiment", "scene", "variants", "start", "end"}, rows)
		}),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) experimentsReportCommand() *cobra.Command {
	var r remote
	var price string
	cmd := &cobra.Command{
		Use:   "report NAME",
		Short: "Tell what became of an experiment",
		Long: `Tell what became of the answers of an experiment: who saw them, clicked, and bought, for each variant,
and how sure it is that variants differ. All is counted from the events that are stored, which takes
a pass over them. Ask as often as you like: intervals and p-values hold at all looks together.`,
		Example: `  kith experiments report home-2026-12
  kith experiments report home-2026-12 -o json`,
		Args: oneArg("the name of an experiment"),
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			req := &kithv1.ReportExperimentRequest{Name: args[0], PriceAttribute: price}
			var resp *kithv1.ReportExperimentResponse
			err := c.report(ctx, func(ctx context.Context, s kithv1.SceneServiceClient) (err error) {
				resp, err = s.ReportExperiment(ctx, req)
				return err
			})
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(reportView(resp))
			}
			return a.printReport(resp)
		}),
	}
	cmd.Flags().StringVar(&price, "price-attribute", wire.DefaultPriceAttribute, "attribute of products that is the price of one piece, where a purchase names none")
	r.register(cmd, reportTimeout)
	return cmd
}

// report has the first server that answers make a report. To break off after a while and ask the next one, as call does, would be to begin again.
func (c *client) report(ctx context.Context, ask func(context.Context, kithv1.SceneServiceClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if _, err := c.scenes(ctx); err != nil {
		return err
	}
	return ask(ctx, kithv1.NewSceneServiceClient(c.conns[c.next.Load()]))
}

// The forms in which reports are printed as JSON.
type (
	jsonReport struct {
		Experiment  string              `json:"experiment"`
		Scene       string              `json:"scene"`
		Start       string              `json:"start"`
		End         string              `json:"end"`
		Now         string              `json:"now"`
		WindowHours float64             `json:"window_hours"`
		SplitP      float64             `json:"split_p"`
		Variants    []jsonVariantReport `json:"variants"`
		Crossed     uint64              `json:"crossed"`
		Others      uint64              `json:"others"`
		Refused     uint64              `json:"refused"`
	}
	jsonVariantReport struct {
		Name         string            `json:"name"`
		Scene        string            `json:"scene"`
		Share        float64           `json:"share"`
		Users        uint64            `json:"users"`
		ClickThrough float64           `json:"click_through"`
		Clicked      jsonOutcome       `json:"clicked"`
		Converted    jsonOutcome       `json:"converted"`
		Revenue      jsonOutcome       `json:"revenue"`
		Counts       jsonCounts        `json:"counts"`
		Models       []jsonModelCounts `json:"models"`
	}
	jsonOutcome struct {
		Users uint64  `json:"users"`
		Mean  float64 `json:"mean"`
		// Difference to the first variant; absent for that, and where there is too little to say.
		Difference *jsonDifference `json:"difference,omitempty"`
		// P is absent for the first variant.
		P *float64 `json:"p,omitempty"`
	}
	jsonDifference struct {
		Value float64 `json:"value"`
		Low   float64 `json:"low"`
		High  float64 `json:"high"`
	}
	jsonCounts struct {
		Impressions uint64  `json:"impressions"`
		Clicks      uint64  `json:"clicks"`
		Purchases   uint64  `json:"purchases"`
		Revenue     float64 `json:"revenue"`
	}
	jsonModelCounts struct {
		Version uint64 `json:"version"`
		jsonCounts
	}
)

func reportView(r *kithv1.ReportExperimentResponse) jsonReport {
	out := jsonReport{
		Experiment: r.Experiment.GetName(), Scene: r.Experiment.GetScene(), Start: timeOf(r.Experiment.GetStartUnixMs()), End: timeOf(r.Experiment.GetEndUnixMs()),
		Now: timeOf(r.NowUnixMs), WindowHours: float64(r.Experiment.GetWindowMs()) / 3_600_000, SplitP: r.SplitP, Variants: []jsonVariantReport{},
		Crossed: r.Crossed, Others: r.Others, Refused: r.Refused,
	}
	for i, v := range r.Variants {
		out.Variants = append(out.Variants, jsonVariantReport{
			Name: v.Name, Scene: v.Scene, Share: v.Share, Users: v.Users, ClickThrough: ratio(v.Counts.GetClicks(), v.Counts.GetImpressions()),
			Clicked: outcomeView(v.Clicked, i), Converted: outcomeView(v.Converted, i), Revenue: outcomeView(v.Revenue, i), Counts: countsView(v.Counts), Models: modelsView(v.Models),
		})
	}
	return out
}

func outcomeView(o *kithv1.VariantOutcome, variant int) jsonOutcome {
	out := jsonOutcome{Users: o.GetUsers(), Mean: o.GetMean()}
	if o.GetKnown() {
		out.Difference = &jsonDifference{o.Difference, o.Low, o.High}
	}
	if variant > 0 {
		out.P = &o.P
	}
	return out
}

func countsView(c *kithv1.AnswerCounts) jsonCounts {
	return jsonCounts{c.GetImpressions(), c.GetClicks(), c.GetPurchases(), c.GetRevenue()}
}

func modelsView(models []*kithv1.ModelCounts) []jsonModelCounts {
	out := []jsonModelCounts{}
	for _, m := range models {
		out = append(out, jsonModelCounts{m.Version, countsView(m.Counts)})
	}
	return out
}

// ratio is 0 of nothing.
func ratio(some, all uint64) float64 {
	if all == 0 {
		return 0
	}
	return float64(some) / float64(all)
}

func (a *app) printReport(resp *kithv1.ReportExperimentResponse) error {
	r := reportView(resp)
	state := "running"
	switch e := resp.Experiment; {
	case resp.NowUnixMs < e.GetStartUnixMs():
		state = "not begun"
	case resp.NowUnixMs >= e.GetEndUnixMs():
		state = "ended"
	}
	if err := a.printFacts([][2]string{
		{"experiment", fmt.Sprintf("%s on scene %s, %s", r.Experiment, r.Scene, state)}, {"from", r.Start}, {"until", r.End}, {"as of", r.Now},
	}); err != nil {
		return err
	}
	var variants, differences, models [][]any
	for i, v := range r.Variants {
		variants = append(variants, []any{
			v.Name, v.Scene, count(v.Users), percentText(v.Share), count(v.Counts.Impressions), count(v.Counts.Clicks), percentText(v.ClickThrough),
			percentText(v.Clicked.Mean), count(v.Counts.Purchases), percentText(v.Converted.Mean), money(v.Counts.Revenue), money(v.Revenue.Mean),
		})
		for _, x := range []struct {
			what string
			of   jsonOutcome
			text func(float64) string
		}{{"users who clicked", v.Clicked, percentText}, {"users who bought", v.Converted, percentText}, {"revenue per user", v.Revenue, money}} {
			if i == 0 {
				continue
			}
			difference, interval := "too few yet", ""
			if d := x.of.Difference; d != nil {
				difference, interval = x.text(d.Value), x.text(d.Low)+" to "+x.text(d.High)
			}
			differences = append(differences, []any{v.Name, x.what, difference, interval, fmt.Sprintf("%.4f", *x.of.P)})
		}
		for _, m := range v.Models {
			models = append(models, []any{
				v.Name, m.Version, count(m.Impressions), count(m.Clicks), percentText(ratio(m.Clicks, m.Impressions)), count(m.Purchases), money(m.Revenue),
			})
		}
	}
	if len(r.Variants) == 0 {
		return nil
	}
	for _, t := range []struct {
		title string
		head  columns
		rows  [][]any
	}{
		{"", columns{"variant", "scene", ">users", ">share", ">impressions", ">clicks", ">click-through", ">clicked", ">purchases", ">bought", ">revenue", ">per user"}, variants},
		{"Against " + r.Variants[0].Name + ", at any look:", columns{"variant", "", ">difference", ">95% interval", ">p"}, differences},
		{"By version of the model:", columns{"variant", ">version", ">impressions", ">clicks", ">click-through", ">purchases", ">revenue"}, models},
	} {
		if len(t.rows) == 0 {
			continue
		}
		if err := a.printf("\n%s", strings.TrimPrefix(t.title+"\n", "\n")); err != nil {
			return err
		}
		if err := a.printTable("", t.head, t.rows); err != nil {
			return err
		}
	}
	return a.printReportNotes(&r)
}

// printReportNotes says what speaks against a report.
func (a *app) printReportNotes(r *jsonReport) error {
	notes := []string{fmt.Sprintf("The users are split as the weights say: p = %.4f.", r.SplitP)}
	if r.SplitP < 0.01 {
		notes[0] = fmt.Sprintf("The users are not split as the weights say (p = %.4f): impressions of a variant are lost, or weights were "+
			"changed. The rest says nothing.", r.SplitP)
	}
	if r.Crossed > 0 {
		notes = append(notes, plural(r.Crossed, "user", "users")+" met more than one variant; the first counts.")
	}
	if r.Others > 0 {
		notes = append(notes, plural(r.Others, "user", "users")+" met a variant first that is no more: left out.")
	}
	if r.Refused > 0 {
		notes = append(notes, refusedNote(r.Refused))
	}
	return a.printf("\n%s\n", strings.Join(notes, "\n"))
}

// refusedNote tells of feedback that did not count.
func refusedNote(n uint64) string {
	return plural(n, "impression or click", "impressions and clicks") +
		" of any scene did not count: the answer was for another user, without the item, or not of this cluster."
}

func percentText(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) scenesReportCommand() *cobra.Command {
	var r remote
	var within, window, price string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Tell what became of the answers of scenes",
		Long: `Tell what became of the answers of scenes, in experiments or not: how often their items were seen,
clicked on and bought, by scene and by version of the model. All is counted from the events that are
stored, which takes a pass over them.`,
		Example: `  kith scenes report
  kith scenes report --within 7d -o json`,
		Args: noArgs,
		RunE: a.remotely(&r, func(ctx context.Context, c *client, _ []string) (err error) {
			req := &kithv1.ReportScenesRequest{PriceAttribute: price}
			if req.WithinMs, err = parseAge(within); err != nil {
				return usagef("--within: %v", err)
			}
			if req.WindowMs, err = parseAge(window); err != nil || req.WindowMs == 0 {
				return usagef("--window %q: want up to 90 days, such as 7d", window)
			}
			var resp *kithv1.ReportScenesResponse
			err = c.report(ctx, func(ctx context.Context, s kithv1.SceneServiceClient) (err error) {
				resp, err = s.ReportScenes(ctx, req)
				return err
			})
			if err != nil {
				return err
			}
			out := scenesView(resp)
			if a.json() {
				return a.printJSON(out)
			}
			return a.printScenesReport(&out)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&within, "within", "ever", "`age` of the oldest answers that count, such as 7d")
	f.StringVar(&window, "window", "7d", "how long before a purchase the click that led to it may be, such as 7d")
	f.StringVar(&price, "price-attribute", wire.DefaultPriceAttribute, "attribute of products that is the price of one piece, where a purchase names none")
	r.register(cmd, reportTimeout)
	return cmd
}

// The forms in which the report is printed as JSON.
type (
	jsonScenesReport struct {
		Now     string            `json:"now"`
		Scenes  []jsonSceneReport `json:"scenes"`
		Refused uint64            `json:"refused"`
	}
	jsonSceneReport struct {
		Name         string  `json:"name"`
		Users        uint64  `json:"users"`
		Clicked      uint64  `json:"clicked"`
		Converted    uint64  `json:"converted"`
		ClickThrough float64 `json:"click_through"`
		// Conversion is the share of the users with a purchase that counts.
		Conversion float64           `json:"conversion"`
		Counts     jsonCounts        `json:"counts"`
		Models     []jsonModelCounts `json:"models"`
	}
)

func scenesView(r *kithv1.ReportScenesResponse) jsonScenesReport {
	out := jsonScenesReport{Now: timeOf(r.NowUnixMs), Scenes: []jsonSceneReport{}, Refused: r.Refused}
	for _, s := range r.Scenes {
		out.Scenes = append(out.Scenes, jsonSceneReport{
			Name: s.Name, Users: s.Users, Clicked: s.Clicked, Converted: s.Converted, ClickThrough: ratio(s.Counts.GetClicks(), s.Counts.GetImpressions()),
			Conversion: ratio(s.Converted, s.Users), Counts: countsView(s.Counts), Models: modelsView(s.Models),
		})
	}
	return out
}

func (a *app) printScenesReport(r *jsonScenesReport) error {
	if len(r.Scenes) == 0 {
		if err := a.printf("No impressions or clicks on answers of scenes; see docs/scenes.md for how to send them.\n"); err != nil {
			return err
		}
	} else {
		var rows [][]any
		for _, s := range r.Scenes {
			rows = append(rows, []any{
				s.Name, "all", count(s.Users), count(s.Counts.Impressions), count(s.Counts.Clicks), percentText(s.ClickThrough), count(s.Counts.Purchases),
				percentText(s.Conversion), money(s.Counts.Revenue),
			})
			for _, m := range s.Models {
				rows = append(rows, []any{
					"", m.Version, "", count(m.Impressions), count(m.Clicks), percentText(ratio(m.Clicks, m.Impressions)), count(m.Purchases), "", money(m.Revenue),
				})
			}
		}
		head := columns{"scene", ">model", ">users", ">impressions", ">clicks", ">click-through", ">purchases", ">bought", ">revenue"}
		if err := a.printTable("", head, rows); err != nil {
			return err
		}
	}
	if r.Refused > 0 {
		return a.printf("\n%s\n", refusedNote(r.Refused))
	}
	return nil
}

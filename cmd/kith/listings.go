package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/coordinator"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func checkLength(n int) error {
	if n < 1 || n > coordinator.MaxN {
		return usagef("-n is %d; want 1 to %d", n, coordinator.MaxN)
	}
	return nil
}

func (a *app) trendingCommand() *cobra.Command {
	var r remote
	var rules ruleFlags
	var n int
	var within string
	var weights []string
	var stale bool
	cmd := &cobra.Command{
		Use:   "trending",
		Short: "List the items with the most events of late",
		Long: `List the items with the most events within a window up to now, each event weighed by its
behavior. The counts are exact. A window with more than some 262,000 events in a partition takes
a pass over all its events.`,
		Example: `  kith trending -n 10 --within 24h
  kith trending --filter category=shoes --weight purchase=1`,
		Args: noArgs,
		RunE: a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
			if err := checkLength(n); err != nil {
				return err
			}
			req := &kithv1.TrendingRequest{N: uint32(n), Stale: stale}
			var err error
			if req.WithinMs, err = parseAge(within); err != nil || req.WithinMs == 0 {
				return usagef("--within %q: want an age such as 7d, 12h or 90m", within)
			}
			if req.Weights, err = parseWeights(weights); err != nil {
				return err
			}
			some, err := rules.rules()
			if err != nil {
				return err
			}
			req.Filter, req.Boosts, req.Freshness, req.Diversity = some.filter, some.boosts, some.freshness, some.diversity
			var resp *kithv1.TrendingResponse
			err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
				resp, err = kithv1.NewRecommenderServiceClient(conn).Trending(ctx, req)
				return err
			})
			if err != nil {
				return err
			}
			return a.printListed(resp.Items, ">score", resp.Stale, resp.Partial)
		}),
	}
	f := cmd.Flags()
	f.IntVarP(&n, "n", "n", 10, "number of items")
	f.StringVar(&within, "within", "7d", "largest `age` of the events")
	f.StringSliceVar(&weights, "weight", nil, "weights of `behavior=weight`; others do not count (default view=1,search=1,cart=3,purchase=5,cancel=-5,rating=1)")
	f.BoolVar(&stale, "stale", false, "read from any replica; the newest events may be missing")
	rules.registerFilter(f)
	rules.registerOrder(f)
	r.register(cmd, queryTimeout)
	return cmd
}

// parseWeights reads weights of behaviors.
func parseWeights(texts []string) (map[string]float64, error) {
	var out map[string]float64
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, usagef("--weight %q: want a behavior and a number, such as purchase=5", text)
		}
		if out == nil {
			out = map[string]float64{}
		}
		out[name] = x
	}
	return out, nil
}

func (a *app) togetherCommand() *cobra.Command {
	var r remote
	var rules ruleFlags
	var n int
	var stale bool
	cmd := &cobra.Command{
		Use:   "together ITEM",
		Short: "List the items that are bought together with an item",
		Long: `List the items that were in the most baskets with an item. A basket is what a user bought in one
order (the context 'order' of purchases), or, of purchases that name none, on one day. The
counts are exact.`,
		Example: `  kith together i42 -n 5 --filter stock`,
		Args:    oneArg("an item"),
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			if err := checkLength(n); err != nil {
				return err
			}
			some, err := rules.rules()
			if err != nil {
				return err
			}
			req := &kithv1.FrequentlyBoughtTogetherRequest{
				Item: args[0], N: uint32(n), Stale: stale, Filter: some.filter, Boosts: some.boosts, Freshness: some.freshness, Diversity: some.diversity,
			}
			var resp *kithv1.FrequentlyBoughtTogetherResponse
			err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
				resp, err = kithv1.NewRecommenderServiceClient(conn).FrequentlyBoughtTogether(ctx, req)
				return err
			})
			if err != nil {
				return err
			}
			return a.printListed(resp.Items, ">baskets", resp.Stale, resp.Partial)
		}),
	}
	f := cmd.Flags()
	f.IntVarP(&n, "n", "n", 10, "number of items")
	f.BoolVar(&stale, "stale", false, "read from any replica; the newest events may be missing")
	rules.registerFilter(f)
	rules.registerOrder(f)
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) newCommand() *cobra.Command {
	var r remote
	var rules ruleFlags
	var n int
	var stale bool
	cmd := &cobra.Command{
		Use:   "new",
		Short: "List the products that came last",
		Long:  `List the products that came last, by a time among their attributes.`,
		Example: `  kith new -n 10
  kith new --since published --filter 'category=books,stock' --max-per-group 2 --group-by author`,
		Args: noArgs,
		RunE: a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
			if err := checkLength(n); err != nil {
				return err
			}
			some, err := rules.rules()
			if err != nil {
				return err
			}
			req := &kithv1.NewArrivalsRequest{N: uint32(n), Attribute: rules.since, Filter: some.filter, Diversity: some.diversity, Stale: stale}
			var resp *kithv1.NewArrivalsResponse
			err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
				resp, err = kithv1.NewRecommenderServiceClient(conn).NewArrivals(ctx, req)
				return err
			})
			if err != nil {
				return err
			}
			return a.printListed(resp.Items, "came", resp.Stale, resp.Partial)
		}),
	}
	f := cmd.Flags()
	f.IntVarP(&n, "n", "n", 10, "number of products")
	f.BoolVar(&stale, "stale", false, "do not wait for changes that this member has acknowledged")
	rules.registerFilter(f)
	rules.registerSpread(f)
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) latestCommand() *cobra.Command {
	var r remote
	var rules ruleFlags
	var n int
	var stale bool
	cmd := &cobra.Command{
		Use:     "latest",
		Short:   "List the items with the latest events",
		Example: `  kith latest -n 10 --filter category=shoes`,
		Args:    noArgs,
		RunE: a.remotely(&r, func(ctx context.Context, c *client, _ []string) error {
			if err := checkLength(n); err != nil {
				return err
			}
			filter, err := rules.filter()
			if err != nil {
				return err
			}
			var resp *kithv1.LatestResponse
			err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
				resp, err = kithv1.NewRecommenderServiceClient(conn).Latest(ctx, &kithv1.LatestRequest{N: uint32(n), Filter: filter, Stale: stale})
				return err
			})
			if err != nil {
				return err
			}
			return a.printListed(resp.Items, "last event", resp.Stale, resp.Partial)
		}),
	}
	f := cmd.Flags()
	f.IntVarP(&n, "n", "n", 10, "number of items")
	f.BoolVar(&stale, "stale", false, "read from any replica; the newest events may be missing")
	rules.registerFilter(f)
	r.register(cmd, queryTimeout)
	return cmd
}

// printListed prints a list with scores, or with times in a column of a name.
func (a *app) printListed(items []*kithv1.ListedItem, what string, stale, partial bool) error {
	type listed struct {
		Rank  int     `json:"rank"`
		Item  string  `json:"item"`
		Score float64 `json:"score,omitempty"`
		Time  string  `json:"time,omitempty"`
	}
	out := struct {
		Items   []listed `json:"items"`
		Partial bool     `json:"partial"`
		Stale   bool     `json:"stale"`
	}{[]listed{}, partial, stale}
	var rows [][]any
	for i, x := range items {
		out.Items = append(out.Items, listed{i + 1, x.Item, x.Score, timeOf(x.TimeUnixMs)})
		cell := timeOf(x.TimeUnixMs)
		if x.Score != 0 {
			cell = sourceScore(x.Score, popularity)
		}
		rows = append(rows, []any{i + 1, printable(x.Item), cell})
	}
	if a.json() {
		return a.printJSON(out)
	}
	if len(rows) == 0 {
		if err := a.printf("Nothing to list.\n"); err != nil {
			return err
		}
	} else if err := a.printTable("", columns{">rank", "item", what}, rows); err != nil {
		return err
	}
	return a.printQuality(stale, partial)
}

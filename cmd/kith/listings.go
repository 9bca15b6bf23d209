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

// listing are the flags of commands that list items.
type listing struct {
	remote
	rules ruleFlags
	n     int
	stale bool
}

// staleEvents is what --stale means where events are counted.
const staleEvents = "read from any replica; the newest events may be missing"

// register adds the flags that all lists have; what is listed, and what --stale means for it.
func (l *listing) register(cmd *cobra.Command, what, stale string) {
	cmd.Flags().IntVarP(&l.n, "n", "n", 10, "number of "+what)
	cmd.Flags().BoolVar(&l.stale, "stale", false, stale)
	l.rules.registerFilter(cmd.Flags())
	l.remote.register(cmd, queryTimeout)
}

// listed is an answer that lists items.
type listed interface {
	GetItems() []*kithv1.ListedItem
	GetStale() bool
	GetPartial() bool
}

// list returns what runs a command: it makes a request of the arguments, asks, and prints the answer with scores, or with times, in a column of a name.
func list[Q any, R listed](a *app, l *listing, column string, request func(args []string) (Q, error),
	ask func(kithv1.RecommenderServiceClient, context.Context, Q, ...grpc.CallOption) (R, error),
) func(*cobra.Command, []string) error {
	return a.remotely(&l.remote, func(ctx context.Context, c *client, args []string) error {
		if err := checkLength(l.n); err != nil {
			return err
		}
		req, err := request(args)
		if err != nil {
			return err
		}
		var resp R
		err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
			resp, err = ask(kithv1.NewRecommenderServiceClient(conn), ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		return a.printListed(resp, column)
	})
}

func (a *app) trendingCommand() *cobra.Command {
	var l listing
	var within string
	var weights []string
	cmd := &cobra.Command{
		Use:   "trending",
		Short: "List the items with the most events of late",
		Long: `List the items with the most events within a window up to now, each event weighed by its
behavior. The counts are exact. A window with more than some 262,000 events in a partition takes
a pass over all its events.`,
		Example: `  kith trending -n 10 --within 24h
  kith trending --filter category=shoes --weight purchase=1`,
		Args: noArgs,
		RunE: list(a, &l, ">score", func([]string) (*kithv1.TrendingRequest, error) {
			req := &kithv1.TrendingRequest{N: uint32(l.n), Stale: l.stale}
			var err error
			if req.WithinMs, err = parseAge(within); err != nil || req.WithinMs == 0 {
				return nil, usagef("--within %q: want an age such as 7d, 12h or 90m", within)
			}
			if req.Weights, err = parseWeights(weights); err != nil {
				return nil, err
			}
			some, err := l.rules.rules()
			req.Filter, req.Boosts, req.Freshness, req.Diversity = some.filter, some.boosts, some.freshness, some.diversity
			return req, err
		}, kithv1.RecommenderServiceClient.Trending),
	}
	f := cmd.Flags()
	f.StringVar(&within, "within", "7d", "largest `age` of the events")
	f.StringSliceVar(&weights, "weight", nil, "weights of `behavior=weight`; others do not count (default view=1,search=1,cart=3,purchase=5,cancel=-5,rating=1)")
	l.rules.registerOrder(f)
	l.register(cmd, "items", staleEvents)
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
	var l listing
	cmd := &cobra.Command{
		Use:   "together ITEM",
		Short: "List the items that are bought together with an item",
		Long: `List the items that were in the most baskets with an item. A basket is what a user bought in one
order (the context 'order' of purchases), or, of purchases that name none, on one day. The
counts are exact.`,
		Example: `  kith together i42 -n 5 --filter stock`,
		Args:    oneArg("an item"),
		RunE: list(a, &l, ">baskets", func(args []string) (*kithv1.FrequentlyBoughtTogetherRequest, error) {
			some, err := l.rules.rules()
			return &kithv1.FrequentlyBoughtTogetherRequest{
				Item: args[0], N: uint32(l.n), Stale: l.stale, Filter: some.filter, Boosts: some.boosts, Freshness: some.freshness, Diversity: some.diversity,
			}, err
		}, kithv1.RecommenderServiceClient.FrequentlyBoughtTogether),
	}
	l.rules.registerOrder(cmd.Flags())
	l.register(cmd, "items", staleEvents)
	return cmd
}

func (a *app) newCommand() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:   "new",
		Short: "List the products that came last",
		Long:  `List the products that came last, by a time among their attributes.`,
		Example: `  kith new -n 10
  kith new --since published --filter 'category=books,stock' --max-per-group 2 --group-by author`,
		Args: noArgs,
		RunE: list(a, &l, "came", func([]string) (*kithv1.NewArrivalsRequest, error) {
			some, err := l.rules.rules()
			return &kithv1.NewArrivalsRequest{N: uint32(l.n), Attribute: l.rules.since, Filter: some.filter, Diversity: some.diversity, Stale: l.stale}, err
		}, kithv1.RecommenderServiceClient.NewArrivals),
	}
	l.rules.registerSpread(cmd.Flags())
	l.register(cmd, "products", "do not wait for changes that this member has acknowledged")
	return cmd
}

func (a *app) latestCommand() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:     "latest",
		Short:   "List the items with the latest events",
		Example: `  kith latest -n 10 --filter category=shoes`,
		Args:    noArgs,
		RunE: list(a, &l, "last event", func([]string) (*kithv1.LatestRequest, error) {
			filter, err := l.rules.filter()
			return &kithv1.LatestRequest{N: uint32(l.n), Filter: filter, Stale: l.stale}, err
		}, kithv1.RecommenderServiceClient.Latest),
	}
	l.register(cmd, "items", staleEvents)
	return cmd
}

// printListed prints a list with scores, or with times, in a column of a name.
func (a *app) printListed(resp listed, column string) error {
	type place struct {
		Rank  int     `json:"rank"`
		Item  string  `json:"item"`
		Score float64 `json:"score,omitempty"`
		Time  string  `json:"time,omitempty"`
	}
	out := struct {
		Items   []place `json:"items"`
		Partial bool    `json:"partial"`
		Stale   bool    `json:"stale"`
	}{[]place{}, resp.GetPartial(), resp.GetStale()}
	var rows [][]any
	for i, x := range resp.GetItems() {
		out.Items = append(out.Items, place{i + 1, x.Item, x.Score, timeOf(x.TimeUnixMs)})
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
	} else if err := a.printTable("", columns{">rank", "item", column}, rows); err != nil {
		return err
	}
	return a.printQuality(resp.GetStale(), resp.GetPartial())
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// featureRequest are the flags of commands about features.
type featureRequest struct {
	remote
	all, stale, noRFM   bool
	out, now            string
	gap                 time.Duration
	category, attribute string // attribute is that of the price
}

// featuresCommand returns the command of the features of users or of products.
func (t *recordTool) featuresCommand() *cobra.Command {
	var r featureRequest
	subject, what := "users", `recency, frequency and monetary value of their orders, favorite categories, the prices of what
they look at, and sessions. With --all they also have RFM classes, 1 to 5 among all buyers.`
	run := func(cmd *cobra.Command, c *client, o *kithv1.FeatureOptions, args []string) error {
		return showFeatures(cmd.Context(), t.app, &r, userKind, args, func(ctx context.Context, take func(int64, []userFeatures) error) error {
			return c.userFeatures(ctx, &r, o, args, take)
		})
	}
	if t.kind == catalog.Product {
		subject, what = "products", `users, buyers, conversion, pieces and revenue. Events are kept by user, so this reads all of them,
also for one product.`
		run = func(cmd *cobra.Command, c *client, o *kithv1.FeatureOptions, args []string) error {
			return showFeatures(cmd.Context(), t.app, &r, productKind, args, func(ctx context.Context, take func(int64, []productFeatures) error) error {
				return c.productFeatures(ctx, o, args, take)
			})
		}
	}
	cmd := &cobra.Command{
		Use:   "features [KEY...]",
		Short: "Print what events say of some " + subject + ", or of all",
		Long: `Print what events say of some ` + subject + `, or of all with --all:
` + what + `

Categories and prices are attributes of the records of products ('kith products put'); the price
of an event counts before that of the product. Features are as of a time, the present by default.
With -o json they are lines of JSON; --out writes a file. docs/features.md has the formulas.`,
		Example: fmt.Sprintf("  kith %[1]s features %[2]s\n  kith %[1]s features --all --now 2026-01-01 --out %[1]s.parquet", t.command, t.key),
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case r.all && len(args) > 0:
				return usagef("--all, and %s; want one of them", plural(len(args), "key", "keys"))
			case r.all && r.stale:
				return usagef("--stale is for some keys; the table of all is as of one moment")
			case !r.all && r.noRFM:
				return usagef("--no-rfm goes with --all; only the table of all has classes")
			case r.all:
				return nil
			}
			return someKeys(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := r.options()
			if err != nil {
				return err
			}
			c, err := r.open()
			if err != nil {
				return err
			}
			defer c.close()
			return run(cmd, c, o, slices.Compact(slices.Sorted(slices.Values(args))))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.all, "all", false, "all "+subject+" that have events")
	f.StringVar(&r.out, "out", "", "write to a `file`, whose extension chooses the form: "+alternatives(listExtensions))
	f.StringVar(&r.now, "now", "", "`time` as of which they are, such as 2026-01-31 or 2026-01-31T12:00:00Z (default: the present)")
	f.StringVar(&r.attribute, "price-attribute", wire.DefaultPriceAttribute, "attribute of products that is the price of one piece, a number")
	if t.kind == catalog.Profile {
		f.StringVar(&r.category, "category-attribute", wire.DefaultCategoryAttribute, "attribute of products that is the category, a text")
		f.DurationVar(&r.gap, "session-gap", view.DefaultSessionGap, "longest pause within a session")
		f.BoolVar(&r.stale, "stale", false, "ask any replica: the newest events may be missing")
		f.BoolVar(&r.noRFM, "no-rfm", false, "leave out the classes of --all, which take one more pass over all events")
	}
	r.register(cmd, queryTimeout)
	return cmd
}

// options checks the flags.
func (r *featureRequest) options() (*kithv1.FeatureOptions, error) {
	o := &kithv1.FeatureOptions{CategoryAttribute: r.category, PriceAttribute: r.attribute}
	if r.gap < 0 || r.gap%time.Millisecond != 0 {
		return nil, usagef("--session-gap is %v; want at least 0, in whole milliseconds", r.gap)
	}
	o.SessionGapMs = r.gap.Milliseconds()
	if r.now != "" {
		now, err := parseTime(r.now)
		if err != nil || now.UnixMilli() <= 0 || now.UnixMilli() > fusion.MaxTime {
			return nil, usagef("--now %q: want a day or a time after 1970, such as 2026-01-31 or 2026-01-31T12:00:00Z", r.now)
		}
		o.NowUnixMs = now.UnixMilli()
	}
	if r.out != "" {
		return o, checkPath("out", r.out, listExtensions)
	}
	return o, nil
}

// userFeatures are features of a user as they are shown.
type userFeatures struct {
	Key string `json:"user"`
	view.User
	// RecencyDays is the age of the last order; absent where there is none.
	RecencyDays *float64  `json:"recency_days,omitempty"`
	RFM         *view.RFM `json:"rfm,omitempty"`
}

// productFeatures are features of a product as they are shown.
type productFeatures struct {
	Key string `json:"item"`
	view.Item
	Conversion float64 `json:"conversion"`
}

// userFeatures calls take with the features of some users or of all, and the time as of which they are.
func (c *client) userFeatures(ctx context.Context, r *featureRequest, o *kithv1.FeatureOptions, users []string, take func(int64, []userFeatures) error) error {
	rows := func(now int64, messages []*kithv1.UserFeatures) error {
		var out []userFeatures
		for _, m := range messages {
			x := userFeatures{RFM: wire.RFMFromProto(m.Rfm)}
			x.Key, x.User = wire.UserFeaturesFromProto(m)
			if x.LastOrder > 0 {
				days := float64(now-x.LastOrder) / float64(24*time.Hour/time.Millisecond)
				x.RecencyDays = &days
			}
			out = append(out, x)
		}
		return take(now, out)
	}
	if !r.all {
		return streaming(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (grpc.ServerStreamingClient[kithv1.GetUserFeaturesResponse], error) {
			return kithv1.NewCatalogServiceClient(conn).GetUserFeatures(ctx, &kithv1.GetUserFeaturesRequest{Options: o, Users: users, Stale: r.stale})
		}, func(m *kithv1.GetUserFeaturesResponse) error { return rows(m.NowUnixMs, m.Users) })
	}
	return streaming(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (grpc.ServerStreamingClient[kithv1.ListUserFeaturesResponse], error) {
		return kithv1.NewCatalogServiceClient(conn).ListUserFeatures(ctx, &kithv1.ListUserFeaturesRequest{Options: o, WithoutRfm: r.noRFM})
	}, func(m *kithv1.ListUserFeaturesResponse) error { return rows(m.NowUnixMs, m.Users) })
}

// productFeatures calls take with the features of some products, or of all where none is named.
func (c *client) productFeatures(ctx context.Context, o *kithv1.FeatureOptions, items []string, take func(int64, []productFeatures) error) error {
	rows := func(now int64, messages []*kithv1.ProductFeatures) error {
		var out []productFeatures
		for _, m := range messages {
			item, x := wire.ProductFeaturesFromProto(m)
			out = append(out, productFeatures{Key: item, Item: *x, Conversion: x.Conversion()})
		}
		return take(now, out)
	}
	if len(items) > 0 {
		return streaming(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (grpc.ServerStreamingClient[kithv1.GetProductFeaturesResponse], error) {
			return kithv1.NewCatalogServiceClient(conn).GetProductFeatures(ctx, &kithv1.GetProductFeaturesRequest{Options: o, Items: items})
		}, func(m *kithv1.GetProductFeaturesResponse) error { return rows(m.NowUnixMs, m.Products) })
	}
	return streaming(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (grpc.ServerStreamingClient[kithv1.ListProductFeaturesResponse], error) {
		return kithv1.NewCatalogServiceClient(conn).ListProductFeatures(ctx, &kithv1.ListProductFeaturesRequest{Options: o})
	}, func(m *kithv1.ListProductFeaturesResponse) error { return rows(m.NowUnixMs, m.Products) })
}

// streaming runs a call whose messages may come for long: the timeout is that of the first one. What breaks off after it is not begun
// again, as some has been taken.
func streaming[M any](ctx context.Context, c *client, open func(context.Context, *grpc.ClientConn) (grpc.ServerStreamingClient[M], error), take func(*M) error) error {
	var late error
	err := c.call(ctx, func(call context.Context, conn *grpc.ClientConn) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		unbind := context.AfterFunc(call, cancel)
		defer unbind()
		stream, err := open(ctx, conn)
		if err != nil {
			return err
		}
		begun := false
		err = wire.Receive(stream, func(m *M) error {
			unbind()
			begun = true
			return take(m)
		})
		if !begun {
			return cmp.Or(call.Err(), err)
		}
		if late = err; late != nil && wire.Retryable(late) {
			late = fmt.Errorf("the answer broke off, repeat the command: %w", late)
		}
		return nil
	})
	return cmp.Or(err, late)
}

// featureKind says how features are shown: J as JSON and F, which is flat, in other files.
type featureKind[J, F any] struct {
	one, many string
	head      columns
	cells     func(*J) []any
	flat      func(*J) F
}

var userKind = &featureKind[userFeatures, userColumns]{
	one: "user", many: "users",
	head: columns{"user", ">events", ">items", ">orders", ">revenue", "last order", ">days ago", "rfm", ">sessions", "category", ">price"},
	cells: func(x *userFeatures) []any {
		days, rfm, category, price := "", "", "", ""
		if x.RecencyDays != nil {
			days = strconv.FormatFloat(*x.RecencyDays, 'f', 1, 64)
		}
		if x.RFM != nil && x.RFM.Recency > 0 {
			rfm = fmt.Sprintf("%d-%d-%d", x.RFM.Recency, x.RFM.Frequency, x.RFM.Monetary)
		}
		if len(x.Categories) > 0 {
			category = fmt.Sprintf("%s %.0f%%", fit(printable(x.Categories[0].Name), 30), 100*x.Categories[0].Share)
		}
		if x.Prices != nil {
			price = money(x.Prices.Median)
		}
		last, _, _ := strings.Cut(timeOf(x.LastOrder), "T")
		return []any{printable(x.Key), total(x.Events), x.Items, x.Orders, money(x.Revenue), last, days, rfm, x.Sessions.Count, category, price}
	},
	flat: flatUser,
}

var productKind = &featureKind[productFeatures, productColumns]{
	one: "product", many: "products",
	head: columns{"product", ">events", ">users", ">buyers", ">conversion", ">sold", ">canceled", ">revenue", "first", "last"},
	cells: func(x *productFeatures) []any {
		first, _, _ := strings.Cut(timeOf(x.First), "T")
		last, _, _ := strings.Cut(timeOf(x.Last), "T")
		return []any{
			printable(x.Key), total(x.Events), x.Users, x.Buyers, fmt.Sprintf("%.1f%%", 100*x.Conversion), number(x.Quantity), number(x.Canceled), money(x.Revenue),
			first, last,
		}
	},
	flat: flatProduct,
}

// total adds up counts by behavior.
func total(events map[fusion.Behavior]int) (n int) {
	for x := range maps.Values(events) {
		n += x
	}
	return n
}

// money and number write amounts for people.
func money(x float64) string  { return strconv.FormatFloat(x, 'f', 2, 64) }
func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// featureSummary is what is told of a file.
type featureSummary struct {
	File    string  `json:"file"`
	Rows    int     `json:"rows"`
	Now     string  `json:"now"`
	Seconds float64 `json:"seconds"`
}

// showFeatures prints features as they come, or writes them to a file.
func showFeatures[J, F any](ctx context.Context, a *app, r *featureRequest, k *featureKind[J, F], keys []string, read func(context.Context, func(now int64, rows []J) error) error) error {
	began := time.Now()
	s := featureSummary{File: r.out}
	stream := func(take func([]J) error) error {
		return read(ctx, func(now int64, rows []J) error {
			s.Now, s.Rows = timeOf(now), s.Rows+len(rows)
			return take(rows)
		})
	}
	var err error
	if r.out != "" {
		p := a.progress("features")
		err = k.writeFile(r.out, func(take func([]J) error) error {
			return stream(func(rows []J) error {
				p.set(k.many, int64(s.Rows), 0)
				return take(rows)
			})
		})
		p.end()
	} else {
		err = stream(func(rows []J) error { return k.print(a, rows) })
	}
	if err != nil {
		return err
	}
	if missing := len(keys) - s.Rows; missing > 0 {
		a.note("%s no events as of %s", plural(missing, k.one+" has", k.many+" have"), s.Now)
	}
	s.Seconds = time.Since(began).Seconds()
	switch {
	case r.out == "" && s.Rows == 0 && len(keys) == 0:
		a.note("There are no %s with events as of %s.", k.many, s.Now)
		return nil
	case r.out == "":
		return nil
	case a.json():
		return a.printJSON(s)
	}
	return a.printf("%s: %s, as of %s, in %s.\n", r.out, plural(s.Rows, k.one, k.many), s.Now, seconds(s.Seconds))
}

// print prints a page, as lines of JSON or as a table without the columns that are empty.
func (k *featureKind[J, F]) print(a *app, rows []J) error {
	if a.json() {
		return writeLines(a.out, rows)
	}
	if len(rows) == 0 {
		return nil
	}
	cells := make([][]any, len(rows))
	for i := range rows {
		cells[i] = k.cells(&rows[i])
	}
	var head columns
	for at := len(k.head) - 1; at >= 0; at-- {
		if slices.ContainsFunc(cells, func(row []any) bool { return row[at] != "" }) {
			head = slices.Insert(head, 0, k.head[at])
			continue
		}
		for i := range cells {
			cells[i] = slices.Delete(cells[i], at, at+1)
		}
	}
	return a.printTable("", head, cells)
}

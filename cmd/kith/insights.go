package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// insight asks a server for what a trained model knows.
func insight[Q, A any](
	ctx context.Context, c *client, req *Q, f func(kithv1.InsightServiceClient, context.Context, *Q, ...grpc.CallOption) (*A, error),
) (resp *A, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = f(kithv1.NewInsightServiceClient(conn), ctx, req)
		return err
	})
	return resp, err
}

// onlyOfFiles refuses flags that say how to learn from files where a cluster is asked, whose model has learned.
func onlyOfFiles(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return usagef("--%s is about learning from files; name some with --input or --mapping, or leave it out", name)
		}
	}
	return nil
}

// serverRules asks a cluster for rules, and prints them as those of files.
func (a *app) serverRules(ctx context.Context, c *client, req *kithv1.AssociationRulesRequest) error {
	resp, err := insight(ctx, c, req, kithv1.InsightServiceClient.AssociationRules)
	if err != nil {
		return err
	}
	out := struct {
		Model        string     `json:"model"`
		ModelVersion uint64     `json:"model_version"`
		Transactions uint64     `json:"transactions"`
		Rules        uint64     `json:"rules"`
		Shown        []jsonRule `json:"shown"`
	}{resp.ModelName, resp.ModelVersion, resp.Transactions, resp.Fitting, []jsonRule{}}
	for _, r := range resp.Rules {
		out.Shown = append(out.Shown, jsonRule{r.Left, r.Right, r.Support, r.Confidence, r.Lift, r.Leverage, r.Conviction, r.Count})
	}
	if a.json() {
		return a.printJSON(out)
	}
	if err := a.printRuleTable(out.Shown); err != nil {
		return err
	}
	more := ""
	if left := int(out.Rules) - len(out.Shown); left > 0 {
		more = " " + plural(left, "more is", "more are") + " not shown."
	}
	return a.printf("%s of %s, in model %s of version %d.%s\n", plural(out.Rules, "rule", "rules"), plural(out.Transactions, "transaction", "transactions"),
		out.Model, out.ModelVersion, more)
}

// serverNext asks a cluster what a user does next.
func (a *app) serverNext(ctx context.Context, c *client, req *kithv1.NextBehaviorRequest) error {
	resp, err := insight(ctx, c, req, kithv1.InsightServiceClient.NextBehavior)
	if err != nil {
		return err
	}
	out := struct {
		jsonNext
		Goals         []string `json:"goals"`
		GoalChance    *float64 `json:"goal_chance"`
		ExpectedSteps *float64 `json:"expected_steps"`
		Model         string   `json:"model"`
		ModelVersion  uint64   `json:"model_version"`
		Stale         bool     `json:"stale"`
	}{jsonNext{req.User, []jsonNextBehavior{}, []jsonNextItem{}}, req.Goals, resp.GoalChance, resp.ExpectedSteps, resp.ModelName, resp.ModelVersion, resp.Stale}
	for _, b := range resp.Behaviors {
		out.Behaviors = append(out.Behaviors, jsonNextBehavior{b.Behavior, b.Probability})
	}
	for _, i := range resp.Items {
		out.Items = append(out.Items, jsonNextItem{Item: i.Item, Probability: i.Probability})
	}
	if a.json() {
		return a.printJSON(out)
	}
	if err := a.printNextTables(&out.jsonNext); err != nil {
		return err
	}
	if resp.GoalChance != nil {
		err := a.printf("\nThe chance that the session comes to %s is %s; it has %s more events on average.\n", strings.Join(req.Goals, " or "), score(*resp.GoalChance), score(resp.GetExpectedSteps()))
		if err != nil {
			return err
		}
	}
	return a.printQuality(resp.Stale, false)
}

func (a *app) clustersCommand() *cobra.Command {
	var r remote
	var n int
	var name string
	var item, names bool
	var helper assistFlags
	cmd := &cobra.Command{
		Use:   "clusters [KEY]",
		Short: "Describe groups of users, items or orders, or tell which one a user or an item is in",
		Long: `Show the groups that a model of kind clusters has found: how large they are, how close their
members, and the items that set each apart. With a user, or with --item an item, tell which
group it is in.

With --names each group has a name: the categories, and words of the titles, that are typical of
the stored products that set it apart; with --assist-url and --assist-model up to five words of
these that a language model chooses.`,
		Example: `  kith build --wait --models 'clusters(k=8)'
  kith clusters -n 5
  kith clusters --names
  kith clusters u17`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; want at most one: a user, or with --item an item", len(args))
			}
			return nil
		},
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			switch {
			case n < 1 || n > 50:
				return usagef("-n is %d; want 1 to 50", n)
			case len(args) == 0 && item:
				return usagef("--item without an item; name one")
			case len(args) == 1 && names:
				return usagef("--names are of all groups; leave %s out", args[0])
			case len(args) == 0 && !names:
				return a.serverClusters(ctx, c, &kithv1.ListClustersRequest{ModelName: name, N: uint32(n)}, nil)
			case len(args) == 0:
				asked, err := helper.client()
				if err != nil {
					return err
				}
				return a.serverClusters(ctx, c, &kithv1.ListClustersRequest{ModelName: name, N: uint32(n)}, func(groups [][]string) ([]string, error) {
					return a.nameClusters(ctx, c, asked, groups)
				})
			}
			req := &kithv1.AssignClusterRequest{ModelName: name}
			if !item {
				req.User = args[0]
			} else {
				req.Item = args[0]
			}
			return a.serverCluster(ctx, c, req)
		}),
	}
	cmd.Flags().IntVarP(&n, "n", "n", 10, "items that describe each group")
	cmd.Flags().StringVar(&name, "model", "", "`name` of the model (default: the first of kind clusters)")
	cmd.Flags().BoolVar(&item, "item", false, "the argument is an item")
	cmd.Flags().BoolVar(&names, "names", false, "name each group")
	helper.register(cmd.Flags())
	r.register(cmd, queryTimeout)
	return cmd
}

// jsonCluster is a group.
type jsonCluster struct {
	Number     uint32     `json:"number"`
	Name       string     `json:"name,omitempty"`
	Size       uint64     `json:"size"`
	Share      float64    `json:"share"`
	Spread     float64    `json:"spread"`
	Silhouette *float64   `json:"silhouette"`
	Marks      []jsonMark `json:"marks"`
}

type jsonMark struct {
	Item  string  `json:"item"`
	Count uint64  `json:"count"`
	Lift  float64 `json:"lift"`
	Z     float64 `json:"z"`
}

// shownMarks is how many items describe a group in a table.
const shownMarks = 5

// namingMarks is how many items that set a group apart are looked at for its name, at least.
const namingMarks = 20

// serverClusters prints groups, with the names that name makes of the items that set each apart, unless it is nil.
func (a *app) serverClusters(ctx context.Context, c *client, req *kithv1.ListClustersRequest, name func(groups [][]string) ([]string, error)) error {
	n := int(req.N)
	if name != nil {
		req.N = max(req.N, namingMarks)
	}
	resp, err := insight(ctx, c, req, kithv1.InsightServiceClient.ListClusters)
	if err != nil {
		return err
	}
	out := struct {
		Model        string        `json:"model"`
		ModelVersion uint64        `json:"model_version"`
		Clusters     []jsonCluster `json:"clusters"`
	}{resp.ModelName, resp.ModelVersion, []jsonCluster{}}
	labels := make([]string, len(resp.Clusters))
	head := columns{">cluster", ">members", ">share", ">spread", ">silhouette", "set apart by"}
	if name != nil {
		groups := make([][]string, len(resp.Clusters))
		for i, g := range resp.Clusters {
			for _, m := range g.Marks {
				groups[i] = append(groups[i], m.Item)
			}
		}
		if labels, err = name(groups); err != nil {
			return err
		}
		head = slices.Insert(head, 1, "name")
	}
	var rows [][]any
	for i, g := range resp.Clusters {
		x := jsonCluster{g.Number, labels[i], g.Size, g.Share, g.Spread, g.Silhouette, []jsonMark{}}
		var names []string
		for _, m := range g.Marks[:min(n, len(g.Marks))] {
			x.Marks = append(x.Marks, jsonMark{m.Item, m.Count, m.Lift, m.Z})
			if len(names) < shownMarks {
				names = append(names, printable(m.Item))
			}
		}
		silhouette := "-"
		if g.Silhouette != nil {
			silhouette = score(*g.Silhouette)
		}
		out.Clusters = append(out.Clusters, x)
		row := []any{g.Number, count(g.Size), percentText(g.Share), score(g.Spread), silhouette, strings.Join(names, ", ")}
		if name != nil {
			row = slices.Insert(row, 1, any(labels[i]))
		}
		rows = append(rows, row)
	}
	if a.json() {
		return a.printJSON(out)
	}
	if err := a.printTable("", head, rows); err != nil {
		return err
	}
	return a.printf("\nModel %s of version %d. -o json has all items, with their lifts.\n", resp.ModelName, resp.ModelVersion)
}

func (a *app) serverCluster(ctx context.Context, c *client, req *kithv1.AssignClusterRequest) error {
	resp, err := insight(ctx, c, req, kithv1.InsightServiceClient.AssignCluster)
	if err != nil {
		return err
	}
	key := req.User + req.Item
	if a.json() {
		return a.printJSON(struct {
			Key          string   `json:"key"`
			Cluster      *uint32  `json:"cluster"`
			Distance     *float64 `json:"distance"`
			Model        string   `json:"model"`
			ModelVersion uint64   `json:"model_version"`
			Stale        bool     `json:"stale"`
		}{key, resp.Cluster, resp.Distance, resp.ModelName, resp.ModelVersion, resp.Stale})
	}
	switch {
	case resp.Cluster == nil:
		why := ""
		if req.Item != "" {
			why = " Only models of groups of items, such as clusters(of=items), know the group of an item."
		}
		err = a.printf("%s is in no group of model %s of version %d.%s\n", printable(key), resp.ModelName, resp.ModelVersion, why)
	case resp.Distance == nil:
		err = a.printf("%s is in group %d of model %s of version %d.\n", printable(key), resp.GetCluster(), resp.ModelName, resp.ModelVersion)
	default:
		err = a.printf("%s is in group %d of model %s of version %d, at distance %s from its center.\n", printable(key), resp.GetCluster(), resp.ModelName, resp.ModelVersion, score(resp.GetDistance()))
	}
	if err != nil {
		return err
	}
	return a.printQuality(resp.Stale, false)
}

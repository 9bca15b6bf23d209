package main

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) similarCommand() *cobra.Command {
	var r remote
	var n int
	var user bool
	var trained string
	var rules ruleFlags
	cmd := &cobra.Command{
		Use:   "similar ITEM",
		Short: "List the neighbors of an item or, with --user, of a user",
		Example: `  kith similar i42 -n 10
  kith similar i42 --model content
  kith similar i42 --filter 'brand!=acme,price<50' --max-per-group 2
  kith similar --user u17`,
		Args: oneArg("an item, or with --user a user"),
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			if err := checkLength(n); err != nil {
				return err
			}
			req := &kithv1.SimilarRequest{N: uint32(n), ModelName: trained, Subject: &kithv1.SimilarRequest_Item{Item: args[0]}}
			if user {
				req.Subject = &kithv1.SimilarRequest_User{User: args[0]}
			}
			some, err := rules.rules()
			if err != nil {
				return err
			}
			req.Filter, req.Boosts, req.Freshness, req.Diversity = some.filter, some.boosts, some.freshness, some.diversity
			resp, err := c.similar(ctx, req)
			if err != nil {
				return err
			}
			return a.printSimilar(req, resp)
		}),
	}
	cmd.Flags().IntVarP(&n, "n", "n", 10, "number of neighbors; of an item, at most the k of the model")
	cmd.Flags().BoolVar(&user, "user", false, "the argument is a user")
	cmd.Flags().StringVar(&trained, "model", "", "`name` of a model that the version was trained with: what it recommends for the item alone")
	rules.registerFilter(cmd.Flags())
	rules.registerOrder(cmd.Flags())
	r.register(cmd, queryTimeout)
	return cmd
}

func (c *client) similar(ctx context.Context, req *kithv1.SimilarRequest) (resp *kithv1.SimilarResponse, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewRecommenderServiceClient(conn).Similar(ctx, req)
		return err
	})
	return resp, err
}

func (a *app) printSimilar(req *kithv1.SimilarRequest, resp *kithv1.SimilarResponse) error {
	type neighbor struct {
		Rank     int     `json:"rank"`
		Neighbor string  `json:"neighbor"`
		Score    float64 `json:"score"`
	}
	out := struct {
		Item         string     `json:"item,omitempty"`
		User         string     `json:"user,omitempty"`
		ModelVersion uint64     `json:"model_version"`
		Neighbors    []neighbor `json:"neighbors"`
		Partial      bool       `json:"partial"`
		Stale        bool       `json:"stale"`
	}{req.GetItem(), req.GetUser(), resp.ModelVersion, []neighbor{}, resp.Partial, resp.Stale}
	var rows [][]any
	for i, x := range resp.Neighbors {
		out.Neighbors = append(out.Neighbors, neighbor{i + 1, x.Key, x.Score})
		rows = append(rows, []any{i + 1, printable(x.Key), score(x.Score)})
	}
	switch {
	case a.json():
		return a.printJSON(out)
	case len(rows) == 0 && req.Filter != nil:
		return a.printf("No neighbor of %s in model version %d passes the filter.\n", printable(out.Item), resp.ModelVersion)
	case len(rows) == 0:
		return a.printf("%s has no neighbors in model version %d.\n", printable(out.Item+out.User), resp.ModelVersion)
	}
	if err := a.printTable("", columns{">rank", "neighbor", ">score"}, rows); err != nil {
		return err
	}
	return a.printQuality(resp.Stale, resp.Partial)
}

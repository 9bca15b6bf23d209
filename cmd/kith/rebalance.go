package main

import (
	"context"

	"github.com/spf13/cobra"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) rebalanceCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Wait until replicas are where they should be",
		Long: `Wait until the replicas of all partitions are where they should be. A cluster moves them by
itself whenever servers join, leave, drain or are lost, a few at a time and not during a
build: this command starts nothing. It shows how many are left and ends with 0 when none is.`,
		Example: "  kith cluster rebalance\n  kith cluster rebalance --timeout 1h",
		Args:    noArgs,
		RunE:    a.remotely(&r, func(ctx context.Context, c *client, _ []string) error { return a.rebalanced(ctx, c) }),
	}
	r.register(cmd, moveTimeout)
	return cmd
}

func (a *app) rebalanced(ctx context.Context, c *client) error {
	var last *kithv1.StatusResponse
	moved, err := a.untilMoved(ctx, c, "rebalance", func(s *kithv1.StatusResponse) (left int, done bool) {
		last, left = s, len(s.Moves)+int(s.MovesLeft)
		return left, left == 0
	})
	if err != nil {
		return err
	}
	return a.printBalance(last, moved)
}

func (a *app) printBalance(s *kithv1.StatusResponse, moved int) error {
	if a.json() {
		return a.printJSON(map[string]any{"epoch": s.Epoch, "moved": moved, "members": statusView(s).Members})
	}
	text := "All replicas are where they should be"
	if moved > 0 {
		text += "; " + plural(moved, "replica has moved meanwhile", "replicas have moved meanwhile")
	}
	if err := a.printf("%s.\n\n", text); err != nil {
		return err
	}
	return a.printMembers(s)
}

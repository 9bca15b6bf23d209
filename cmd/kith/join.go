package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion/pipeline"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func (a *app) joinCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "join FROM TO",
		Short: "Make a key of a user, such as a cookie, one with another",
		Long: `Make what is stored under one key, and what comes under it from now on, that of another: a
cookie was learned to be of an account. Answers for either key are those of the account, and
the next build counts both as one user. Profiles stay where they are.

To do it again does no harm. There is no way back: a key that is joined can neither be joined
to another account nor erased by itself. 'kith erase TO' erases both. 'kith ingest' does this
by itself for what the links of a mapping say.`,
		Example: "  kith users join cookie:c1 ada",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%d arguments; want two: the key that is to go, and the one that stays", len(args))
			}
			if args[0] == args[1] {
				return usagef("%q and itself; want two keys", args[0])
			}
			if err := errors.Join(catalog.CheckKey(args[0]), catalog.CheckKey(args[1])); err != nil {
				return &usageError{err}
			}
			return nil
		},
		RunE: a.remotely(&r, func(ctx context.Context, c *client, args []string) error {
			var total joinCounts
			err := c.join(ctx, &kithv1.JoinUsersRequest{Joins: []*kithv1.UserJoin{{From: args[0], To: args[1]}}}, &total)
			switch {
			case err != nil:
				return err
			case total.RefusedKeys > 0:
				return errors.New(total.Refused[0].Detail)
			case a.json():
				return a.printJSON(total)
			case total.Known > 0:
				return a.printf("%s is joined to %s already.\n", args[0], args[1])
			}
			return a.printf("%s is joined to %s, with %s.\n", args[0], args[1], plural(total.Events, "event", "events"))
		}),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

// namedRefusals is the number of refused joins that are named.
const namedRefusals = 10

// joinCounts is what became of keys that are to be joined to others.
type joinCounts struct{ pipeline.Joins }

func (c *joinCounts) any() bool { return c.Keys+c.RefusedKeys > 0 }

func (c *joinCounts) words() string {
	text := fmt.Sprintf("%s joined to others, with %s", plural(c.Keys, "stored key", "stored keys"), plural(c.Events, "event", "events"))
	if c.RefusedKeys > 0 {
		text += fmt.Sprintf("; %s refused", count(c.RefusedKeys))
	}
	return text
}

// join joins keys, and adds up what became of them.
func (c *client) join(ctx context.Context, req *kithv1.JoinUsersRequest, total *joinCounts) error {
	var resp *kithv1.JoinUsersResponse
	err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewEventsServiceClient(conn).JoinUsers(ctx, req)
		return err
	})
	if err != nil {
		return fmt.Errorf("join keys of users: %w", err)
	}
	total.Keys += resp.Joined
	total.Events += resp.Events
	total.Known += resp.Known
	total.RefusedKeys += uint64(len(resp.Refused))
	for _, x := range resp.Refused {
		if len(total.Refused) < namedRefusals {
			total.Refused = append(total.Refused, pipeline.RefusedJoin{From: x.Join.From, To: x.Join.To, Detail: x.Detail})
		}
	}
	return nil
}

package main

import (
	"context"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// maxBy is the length of a name that servers take; see CancelRequest.
const maxBy = 100

func (a *app) cancelCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "cancel [BUILD]",
		Short: "End the build that runs, or the one named",
		Long: `End the build that runs, or the one named. The servers drop what they have computed for it, and
the next build may begin at once. Answers go on by the active version. It is no error if the
build has ended by itself.`,
		Example: `  kith build cancel
  kith build cancel 42`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; want a build or none", len(args))
			}
			return nil
		},
		RunE: a.remotely(&r, a.cancelBuild),
	}
	r.register(cmd, queryTimeout)
	return cmd
}

func (a *app) cancelBuild(ctx context.Context, c *client, args []string) error {
	req := &kithv1.CancelRequest{By: a.whoami()}
	if len(args) > 0 {
		var err error
		if req.Id, err = strconv.ParseUint(args[0], 10, 64); err != nil || req.Id == 0 {
			return usagef("build %q: want a number, as in 'kith status'", args[0])
		}
	}
	var resp *kithv1.CancelResponse
	err := c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		resp, err = kithv1.NewModelServiceClient(conn).Cancel(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	if a.json() {
		out := map[string]any{"canceled": resp.Canceled}
		if resp.Job != nil {
			out["job"] = jobView(resp.Job)
		}
		return a.printJSON(out)
	}
	switch job := resp.Job; {
	case job == nil:
		return a.printf("No build runs.\n")
	case resp.Canceled:
		return a.printf("Build %d is canceled.\n", job.Id)
	case job.Phase == kithv1.JobPhase_JOB_PHASE_DONE:
		return a.printf("Build %d had ended: it is done, and made version %d.\n", job.Id, job.ModelVersion)
	default:
		return a.printf("Build %d had ended: %s.\n", job.Id, printable(job.Error))
	}
}

// whoami names the caller for records, as user@host, or "" if that cannot be told in plain text: the server then takes the address.
func (a *app) whoami() string {
	user, _ := a.env("USER")
	if user == "" {
		user, _ = a.env("LOGNAME")
	}
	host, err := os.Hostname()
	name := user + "@" + host
	if user == "" || err != nil || len(name) > maxBy || printable(name) != name {
		return ""
	}
	return name
}

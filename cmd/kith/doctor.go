package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/doctor"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// doctorTimeout is how long one server may take to gather the status. It gives each of the others a second.
const doctorTimeout = 5 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with a cluster, and what to do about it",
		Long: `Look at a cluster and say in plain words what is wrong, why it matters and what to do. Name all
servers: each is asked by itself, so one that does not answer is found. The exit code is 0
when nothing is wrong, and 1 otherwise; advice alone is nothing wrong.`,
		Example: `  kith doctor --addr a:7801,b:7801,c:7801
  kith doctor -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.open()
			if err != nil {
				return err
			}
			defer c.close()
			return a.doctor(cmd.Context(), c)
		},
	}
	r.register(cmd, doctorTimeout)
	return cmd
}

// jsonDoctor is what a look at a cluster found.
type jsonDoctor struct {
	Healthy  bool             `json:"healthy"`
	Findings []doctor.Finding `json:"findings"`
}

func (a *app) doctor(ctx context.Context, c *client) error {
	statuses, errs := c.askAll(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	silent := map[string]string{}
	var best *kithv1.StatusResponse
	for i, s := range statuses {
		if errs[i] != nil {
			silent[c.addrs[i]] = reason(errs[i])
			continue
		}
		// One that knows a coordinator knows more.
		if best == nil || best.Coordinator == "" && s.Coordinator != "" {
			best = s
		}
	}
	out := jsonDoctor{Findings: append([]doctor.Finding{}, doctor.Examine(best, silent, time.Now())...)}
	wrong := 0
	for _, f := range out.Findings {
		if f.Level != doctor.Advice {
			wrong++
		}
	}
	out.Healthy = wrong == 0
	var err error
	if a.json() {
		err = a.printJSON(out)
	} else {
		err = a.printFindings(out, best)
	}
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%s", plural(wrong, "thing is wrong", "things are wrong"))
	}
	return err
}

// askAll asks every server for the status, once.
func (c *client) askAll(ctx context.Context) ([]*kithv1.StatusResponse, []error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	statuses, errs := make([]*kithv1.StatusResponse, len(c.conns)), make([]error, len(c.conns))
	var wg sync.WaitGroup
	for i, conn := range c.conns {
		wg.Go(func() { statuses[i], errs[i] = askStatus(ctx, conn) })
	}
	wg.Wait()
	return statuses, errs
}

func askStatus(ctx context.Context, conn *grpc.ClientConn) (*kithv1.StatusResponse, error) {
	s, err := kithv1.NewClusterServiceClient(conn).Status(ctx, &kithv1.StatusRequest{})
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it is silent")
	}
	return s, err
}

// findingWidth is the width of text, for reading.
const findingWidth = 96

func (a *app) printFindings(out jsonDoctor, s *kithv1.StatusResponse) error {
	for i, f := range out.Findings {
		head := fmt.Sprintf("%d. ", i+1)
		for _, line := range []struct{ mark, text string }{
			{a.bold(head), f.What}, {"   Why:  ", f.Why}, {"   Do:   ", f.Remedy},
		} {
			indent := "         "
			if line.text == f.What {
				indent = "   "
			}
			if err := a.printf("%s%s\n", line.mark, wrap(line.text, findingWidth-len(indent), indent)); err != nil {
				return err
			}
		}
		if err := a.printf("\n"); err != nil {
			return err
		}
	}
	if !out.Healthy || s == nil {
		return nil
	}
	return a.printf("Nothing is wrong: %s, %s with a leader each, %s.\n", plural(len(s.Members), "member", "members"),
		plural(len(s.Partitions), "partition", "partitions"), plural(statusView(s).Events, "event", "events"))
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/server"
)

// probeTimeout is how long a probe waits: less than the second between two probes would be too short for a busy machine.
const probeTimeout = 3 * time.Second

func (a *app) healthCommand() *cobra.Command {
	var addr string
	var ready bool
	var timeout time.Duration
	var x access
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask one server whether it lives, or is ready; for probes",
		Long: `Ask one server whether it lives, and with --ready whether it can do its part: it knows the
leader of the control group, its replicas know the leaders of their partitions, and it is
not about to stop. The exit code is 0 if so, and 1 if not or if it does not answer.

The same is served as grpc.health.v1, with the services "" and "ready".`,
		Example: `  kith health
  kith health --ready --addr 10.0.0.7:7801`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkAddr(addr); err != nil {
				return err
			}
			if timeout <= 0 {
				return usagef("--timeout is %v; want more than 0", timeout)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			service, want := "", "alive"
			if ready {
				service, want = server.ReadyService, "ready"
			}
			status, err := probe(ctx, addr, service, &x)
			if err != nil {
				return fmt.Errorf("%s does not answer: %s", addr, reason(err))
			}
			if status != healthv1.HealthCheckResponse_SERVING {
				return fmt.Errorf("%s is not %s; see 'kith doctor'", addr, want)
			}
			if a.json() {
				return a.printJSON(map[string]any{"addr": addr, want: true})
			}
			return a.printf("%s is %s\n", addr, want)
		},
	}
	f := cmd.Flags()
	f.StringVar(&addr, "addr", server.DefaultGRPCAddr, "`host:port` of the server")
	f.BoolVar(&ready, "ready", false, "ask whether it is ready to serve, not only whether it lives")
	f.DurationVar(&timeout, "timeout", probeTimeout, "how long to wait for the answer")
	x.register(cmd)
	return cmd
}

// probe asks one server, once.
func probe(ctx context.Context, addr, service string, x *access) (healthv1.HealthCheckResponse_ServingStatus, error) {
	options, err := x.options()
	if err != nil {
		return 0, err
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, node.DialOptions(options...)...)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // nothing is under way
	resp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
	return resp.GetStatus(), err
}

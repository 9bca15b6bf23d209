package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
)

const (
	// retryPause is the pause before all servers are asked once more. Elections take a second or so.
	retryPause = 200 * time.Millisecond
	// attemptTimeout bounds one attempt where there are other servers to ask.
	attemptTimeout = 5 * time.Second
)

// remote are the flags of commands that talk to a cluster.
type remote struct {
	addrs   []string
	timeout time.Duration
	access  access
}

// queryTimeout is the usual time that a question to a cluster may take: long enough for an election.
const queryTimeout = 15 * time.Second

func (r *remote) register(cmd *cobra.Command, timeout time.Duration) {
	cmd.Flags().StringSliceVar(&r.addrs, "addr", []string{server.DefaultGRPCAddr}, "`host:port` of a server, or several; the next one is asked when one does not answer")
	cmd.Flags().DurationVar(&r.timeout, "timeout", timeout, "how long to try")
	r.access.register(cmd)
}

// client talks to a cluster through whichever of its servers answers. It is safe for concurrent use.
type client struct {
	addrs   []string
	conns   []*grpc.ClientConn
	timeout time.Duration
	next    atomic.Int64 // index of the server that answered last
	// waits says that servers that cannot be reached are expected back, once one has answered.
	waits    bool
	answered atomic.Bool
}

// open returns a client. It connects when it is first used. The caller must close it.
func (r *remote) open() (*client, error) {
	c := &client{timeout: r.timeout}
	if r.timeout <= 0 {
		return nil, usagef("--timeout is %v; want more than 0", r.timeout)
	}
	options, err := r.access.options()
	if err != nil {
		return nil, err
	}
	for _, addr := range r.addrs {
		addr = strings.TrimSpace(addr)
		if err := checkAddr(addr); err != nil {
			return nil, err
		}
		conn, err := grpc.NewClient("passthrough:///"+addr, node.DialOptions(options...)...)
		if err != nil {
			return nil, fmt.Errorf("--addr %q: %w", addr, err)
		}
		c.addrs, c.conns = append(c.addrs, addr), append(c.conns, conn)
	}
	if len(c.conns) == 0 {
		return nil, usagef("--addr is empty; want host:port, such as %s", server.DefaultGRPCAddr)
	}
	return c, nil
}

func checkAddr(addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return usagef("--addr %q: want host:port, such as %s", addr, server.DefaultGRPCAddr)
	}
	return nil
}

// remotely makes the body of a command that asks a cluster.
func (a *app) remotely(r *remote, f func(ctx context.Context, c *client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := r.open()
		if err != nil {
			return err
		}
		defer c.close()
		return f(cmd.Context(), c, args)
	}
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close() // nothing is under way
	}
}

// patient makes the client fit for long work: it stands by while all servers are away for a moment.
func (c *client) patient() { c.waits = true }

// call runs f with a connection to one server after the other until one answers. An answer that says that the cluster is
// about to recover is tried again until the timeout; where no server can be reached, each is tried once, unless the
// client is patient. f must be safe to repeat.
func (c *client) call(ctx context.Context, f func(ctx context.Context, conn *grpc.ClientConn) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var last error
	for {
		reached := false
		first := c.next.Load()
		for i := range c.conns {
			at := (first + int64(i)) % int64(len(c.conns))
			err := c.try(ctx, c.conns[at], f)
			switch {
			case err == nil:
				c.next.Store(at)
				c.answered.Store(true)
				return nil
			case ctx.Err() != nil && last != nil:
				return last // says more than that the time is over
			case ctx.Err() == nil && (wire.Retryable(err) || errors.Is(err, context.DeadlineExceeded)):
				last = err
				reached = reached || heard(c.conns[at], err)
			default:
				return err
			}
		}
		if !reached && !(c.waits && c.answered.Load()) {
			return fmt.Errorf("no server answers at %s: %s; start one with 'kith server', or name others with --addr",
				strings.Join(c.addrs, ", "), reason(last))
		}
		select {
		case <-time.After(max(retryPause, wire.RetryIn(last))):
		case <-ctx.Done():
			return last
		}
	}
}

func (c *client) try(ctx context.Context, conn *grpc.ClientConn, f func(ctx context.Context, conn *grpc.ClientConn) error) error {
	if len(c.conns) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
	}
	return f(ctx, conn)
}

// events returns the stored events of a user, by time and id.
func (c *client) events(ctx context.Context, user string) (events []*kithv1.Event, err error) {
	err = c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		events = nil
		stream, err := kithv1.NewEventsServiceClient(conn).List(ctx, &kithv1.ListRequest{User: user})
		if err != nil {
			return err
		}
		return wire.Receive(stream, func(m *kithv1.ListResponse) error {
			events = append(events, m.Events...)
			return nil
		})
	})
	return events, err
}

// heard reports whether there is a server behind a connection, going by the error of a call.
func heard(conn *grpc.ClientConn, err error) bool {
	return wire.Answered(err) || conn.GetState() == connectivity.Ready
}

// reason returns the cause of a connection error.
func reason(err error) string {
	text := strings.Trim(bare(err), `"`)
	if at := regexp.MustCompile(`dial tcp \S+: (connect: )?`).FindStringIndex(text); at != nil {
		return text[at[1]:]
	}
	return text
}

// bare returns the text of an error without the wrapping of gRPC.
func bare(err error) string {
	return regexp.MustCompile(`rpc error: code = \w+ desc = `).ReplaceAllString(err.Error(), "")
}

// remedies say what to do about conditions.
var remedies = []struct {
	err    error
	remedy string
}{
	{wire.ErrNoModel, "build one with 'kith build --wait'"},
	{wire.ErrUnknownUser, "check the key: no event of it is stored"},
	{wire.ErrUnknownItem, "check the key, or build again with 'kith build'"},
	{wire.ErrUnknownVersion, "see 'kith models list'"},
	{wire.ErrUnknownJob, "see 'kith status'"},
	{wire.ErrJobRunning, "see 'kith status', or end that one with 'kith build cancel'"},
	{wire.ErrUnknownExperiment, "see 'kith experiments'"},
	{wire.ErrScenesChanged, "begin again from what is there now: see 'kith scenes show'"},
	{wire.ErrNotReady, "see 'kith status'; a majority of the servers must run"},
	{wire.ErrOverloaded, "send less at once, or give the servers more to take with --max-inflight-mib"},
	{wire.ErrDiskFull, "nothing was lost; what was read and not stored can be sent again"},
	{wire.ErrErased, "repeat the command: it begins anew without the user"},
	{wire.ErrUnauthenticated, "give a key with --api-key or KITH_API_KEY, or a client certificate with --tls-cert and --tls-key"},
	{wire.ErrForbidden, "use a key or certificate that has the role; see 'kith key list'"},
	{wire.ErrLimited, "send less at once, or give the key a higher --rate"},
	{wire.ErrUnknownOutcome, "repeat the command; nothing is stored twice"},
	{backup.ErrCorrupt, "use another copy of it, or an earlier backup"},
	{fusion.ErrNoValidRow, "check the file, --columns, --sep and --format, or the mapping"},
	{fs.ErrNotExist, "check the path"},
	{syscall.EADDRINUSE, "stop the process that has it, or choose another port"},
}

// explain adds the remedy to an error of a command that has one, and takes the wrapping of gRPC away.
func explain(cmd *cobra.Command, err error) error {
	text := bare(err)
	for _, r := range remedies {
		if !errors.Is(err, r.err) {
			continue
		}
		if errors.Is(err, wire.ErrUnknownUser) && cmd.Flags().Changed("no-fallback") {
			r.remedy += "; or leave out --no-fallback"
		}
		return fmt.Errorf("%s; %s", text, r.remedy)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s; the cluster may be busy or cut off: see 'kith status', or raise --timeout", text)
	}
	return errors.New(text)
}

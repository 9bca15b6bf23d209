package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/kith-io/kith/hedging"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Defaults of the options.
const (
	// DefaultTimeout is longer than an election of a leader, during which fresh reads wait.
	DefaultTimeout = 5 * time.Second
	// DefaultAttemptTimeout leaves time for a second attempt within DefaultTimeout.
	DefaultAttemptTimeout = 2 * time.Second
	// DefaultWriteTimeout is long enough for the restart of a server.
	DefaultWriteTimeout = 30 * time.Second
	// DefaultRefresh is how often the cluster is asked for its nodes.
	DefaultRefresh = 30 * time.Second
)

const (
	// slowWrites is how much longer than a read an attempt to write may take: it waits for disks.
	slowWrites = 5
	// maxMessageBytes is the largest answer: 1,000 items with their contributions.
	maxMessageBytes = 16 << 20
)

// Option changes a setting of a Client.
type Option func(*config)

type config struct {
	tls            *tls.Config
	token          func(context.Context) (string, error)
	timeout        time.Duration
	attemptTimeout time.Duration
	writeTimeout   time.Duration
	refresh        time.Duration
	hedging        float64
	dial           []grpc.DialOption
}

// WithTLS encrypts connections. A certificate in cfg is shown to the servers (mutual TLS). Without this option connections are not encrypted.
func WithTLS(cfg *tls.Config) Option { return func(c *config) { c.tls = cfg.Clone() } }

// WithAPIKey shows a key, or a token, with each call. It needs TLS.
func WithAPIKey(key string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return key, nil })
}

// WithTokenSource asks for the token of each attempt, such as one of OpenID Connect that is renewed. It is called by many goroutines
// at once, must be fast, and needs TLS. Its errors fail the call.
func WithTokenSource(token func(context.Context) (string, error)) Option {
	return func(c *config) { c.token = token }
}

// WithTimeout bounds reads whose context has no deadline: all attempts together, and one of them where there are several nodes.
func WithTimeout(all, attempt time.Duration) Option {
	return func(c *config) { c.timeout, c.attemptTimeout = all, attempt }
}

// WithWriteTimeout bounds writes whose context has no deadline, all attempts together. One attempt may take five times that of a read.
func WithWriteTimeout(d time.Duration) Option { return func(c *config) { c.writeTimeout = d } }

// WithRefresh sets how often the cluster is asked for its nodes. With 0 calls go to the given addresses alone, as is right where the addresses
// that nodes know of themselves cannot be reached from here.
func WithRefresh(every time.Duration) Option { return func(c *config) { c.refresh = every } }

// WithHedging sends a read that has not been answered after the time in which 95% of its kind are to a second node as well, and
// takes the first answer. It adds at most share of all reads, above 0 and up to 1: 0.05 is enough to halve the tail of latency
// in many cases [dean2013].
func WithHedging(share float64) Option { return func(c *config) { c.hedging = share } }

// WithDialOptions adds options to each connection, such as interceptors for tracing.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, options...) }
}

func (c *config) validate() error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"timeout", c.timeout},
		{"attempt timeout", c.attemptTimeout},
		{"write timeout", c.writeTimeout},
	} {
		if d.value <= 0 {
			return fmt.Errorf("client: %s is %v; want more than 0", d.name, d.value)
		}
	}
	switch {
	case c.refresh < 0:
		return fmt.Errorf("client: refresh is %v; want 0, for never, or more", c.refresh)
	case math.IsNaN(c.hedging) || c.hedging < 0 || c.hedging > 1:
		return fmt.Errorf("client: share of hedging is %v; want 0 to 1, such as 0.05", c.hedging)
	case c.token != nil && c.tls == nil:
		return errors.New("client: a key or token without TLS would be sent in the clear; add WithTLS")
	}
	return nil
}

// Client talks to a cluster. It is safe for concurrent use; a program needs one.
type Client struct {
	cfg    config
	nodes  *nodes
	hedges *hedging.Budget
	kinds  map[string]*hedging.Latencies // of reads, by method; not changed after New
	cancel context.CancelFunc
	wg     sync.WaitGroup // the goroutine that follows the nodes
}

// New returns a client of the cluster to which the servers at addrs (host:port) belong; one that answers is enough. It connects in the
// background, so no server needs to run yet. ctx is that of the client's life, not of a request: when it is done, nodes are
// followed no more. The caller must Close the client.
func New(ctx context.Context, addrs []string, options ...Option) (*Client, error) {
	cfg := config{
		timeout: DefaultTimeout, attemptTimeout: DefaultAttemptTimeout, writeTimeout: DefaultWriteTimeout, refresh: DefaultRefresh,
	}
	for _, o := range options {
		o(&cfg)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	addrs = slices.Clone(addrs)
	for i := range addrs {
		addrs[i] = strings.TrimSpace(addrs[i])
		if _, _, err := net.SplitHostPort(addrs[i]); err != nil {
			return nil, fmt.Errorf("client: address %q: want host:port, such as localhost:7801", addrs[i])
		}
	}
	if len(addrs) == 0 {
		return nil, errors.New("client: no address; want host:port of a server, or of several")
	}
	c := &Client{cfg: cfg, hedges: hedging.NewBudget(cfg.hedging), kinds: map[string]*hedging.Latencies{}}
	for _, m := range reads {
		c.kinds[m] = &hedging.Latencies{}
	}
	var err error
	if c.nodes, err = newNodes(addrs, cfg.dialOptions()); err != nil {
		return nil, err
	}
	ctx, c.cancel = context.WithCancel(ctx)
	if cfg.refresh > 0 {
		c.wg.Go(func() { c.follow(ctx) })
	}
	return c, nil
}

// Close ends the client: calls that are under way fail. Close its Appenders before.
func (c *Client) Close() error {
	c.cancel()
	c.wg.Wait()
	return c.nodes.close()
}

// dialOptions are those of all connections.
func (c *config) dialOptions() []grpc.DialOption {
	creds := insecure.NewCredentials()
	if c.tls != nil {
		creds = credentials.NewTLS(c.tls)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		// A call that waits for a machine that is gone notices it in half a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithIdleTimeout(0), // a connection that is kept answers faster
		grpc.WithDisableRetry(), // what is tried again is decided here
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
	}
	if c.token != nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer(c.token)))
	}
	return append(options, c.dial...)
}

// bearer shows a token with each call.
type bearer func(context.Context) (string, error)

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(token)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: a token is never sent in the clear.
func (bearer) RequireTransportSecurity() bool { return true }

var _ credentials.PerRPCCredentials = bearer(nil)

// reads are the methods that may be asked twice at once.
var reads = []string{
	kithv1.RecommenderService_Recommend_FullMethodName,
	kithv1.RecommenderService_Similar_FullMethodName,
	kithv1.RecommenderService_Trending_FullMethodName,
	kithv1.RecommenderService_FrequentlyBoughtTogether_FullMethodName,
	kithv1.RecommenderService_NewArrivals_FullMethodName,
	kithv1.RecommenderService_Latest_FullMethodName,
	kithv1.EventsService_List_FullMethodName,
	kithv1.CatalogService_GetRecords_FullMethodName,
}

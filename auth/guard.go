package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/kith-io/kith/audit"
	"github.com/kith-io/kith/certs"
	"github.com/kith-io/kith/node/wire"
)

// Refused acts are written up to so many a second, and so many at once: whoever tries must not fill the disk.
const (
	refusalRate  = 10
	refusalBurst = 100
)

// Config of a Guard.
type Config struct {
	// Cluster is the one in the names of certificates. Without one, which is without TLS, every caller may do everything.
	Cluster string
	// KeysFile has the API keys; none if empty.
	KeysFile string
	// Issuer of tokens; none if its URL is empty.
	Issuer IssuerConfig
	// Rate bounds the calls a second of each caller whose key has no rate of its own, but not of nodes; 0 means no bound.
	Rate float64
	// Node is the id of this process, for the audit log.
	Node string
	// Audit and Log are required. The Guard does not close them.
	Audit *audit.Log
	Log   *slog.Logger
	// Refused is told of each call that is turned away, with the reason of its error. It must not block, and may be nil.
	Refused func(reason string)
	// Now is the clock. Default: that of the system.
	Now func() time.Time
}

// Guard stands before all services of a process. It is safe for concurrent use.
type Guard struct {
	cfg    Config
	keys   *keyring // nil without keys
	issuer *issuer  // nil without tokens
	limits limits

	mu       sync.Mutex // guards what follows
	refusals *rate.Limiter
	skipped  int
}

// New returns a Guard. Keys and tokens need a cluster, as they would be seen on the way without TLS.
func New(cfg Config) (*Guard, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	if cfg.Cluster == "" && (cfg.KeysFile != "" || cfg.Issuer != IssuerConfig{}) {
		return nil, errors.New("API keys and tokens need TLS: without it others can read them, and servers cannot tell each other from clients; make certificates with 'kith cert'")
	}
	if !(cfg.Rate >= 0) {
		return nil, fmt.Errorf("rate of calls is %v; want 0 or more", cfg.Rate)
	}
	g := &Guard{cfg: cfg, limits: limits{rate: cfg.Rate}, refusals: rate.NewLimiter(refusalRate, refusalBurst)}
	var err error
	if cfg.KeysFile != "" {
		if g.keys, err = openKeys(cfg.KeysFile, cfg.Log, cfg.Now); err != nil {
			return nil, err
		}
	}
	if cfg.Issuer != (IssuerConfig{}) {
		if g.issuer, err = newIssuer(cfg.Issuer, cfg.Log, cfg.Now); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// call is a call and what its caller shows.
type call struct {
	name   string
	bearer []string
	state  *tls.ConnectionState // nil without TLS
	from   string
	began  time.Time
	// caller is known once the call was authorized.
	caller *Caller
}

// anonymous is the caller where nothing is asked for, and of public calls.
var anonymous = &Caller{Kind: "none", Roles: []Role{Node}}

// authorize finds out who makes a call, and whether it may.
func (g *Guard) authorize(ctx context.Context, c *call) error {
	rule, ok := RuleOf(c.name)
	if g.cfg.Cluster == "" || ok && rule.Public {
		c.caller = anonymous
		return nil
	}
	caller, err := g.authenticate(ctx, c)
	if err != nil {
		return err
	}
	c.caller = caller
	if !ok || !caller.may(rule) {
		return fmt.Errorf("%w: %s %s has the roles %v, %s takes %v", wire.ErrForbidden, caller.Kind, caller.Name, caller.Roles, c.name, rule.Roles)
	}
	return nil
}

// authenticate finds out who makes a call. A key or a token counts for more than the certificate of the connection.
func (g *Guard) authenticate(ctx context.Context, c *call) (*Caller, error) {
	switch len(c.bearer) {
	case 0:
		return g.certified(c.state)
	case 1:
	default:
		return nil, fmt.Errorf("%w: more than one authorization", wire.ErrUnauthenticated)
	}
	secret, ok := secretIn(c.bearer[0])
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: want the authorization 'Bearer KEY'", wire.ErrUnauthenticated)
	case g.keys != nil && strings.HasPrefix(secret, keyPrefix):
		return g.keys.caller(secret)
	case g.issuer != nil && !strings.HasPrefix(secret, keyPrefix):
		return g.issuer.caller(ctx, secret)
	}
	return nil, fmt.Errorf("%w: this server takes no keys or tokens of that kind", wire.ErrUnauthenticated)
}

// secretIn returns the key or the token in an authorization.
func secretIn(authorization string) (secret string, ok bool) {
	kind, secret, _ := strings.Cut(authorization, " ")
	secret = strings.TrimSpace(secret)
	return secret, strings.EqualFold(kind, "bearer") && secret != ""
}

// certified returns who a certificate names. TLS has verified it; only its end may have passed since.
func (g *Guard) certified(state *tls.ConnectionState) (*Caller, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil, fmt.Errorf("%w: the call has no API key, token or client certificate", wire.ErrUnauthenticated)
	}
	id := certs.IdentityOf(state.PeerCertificates[0], g.cfg.Cluster)
	if g.cfg.Now().After(id.Expires) {
		return nil, fmt.Errorf("%w: the certificate %s ended at %v", wire.ErrUnauthenticated, id.Name, id.Expires)
	}
	c := &Caller{Kind: "certificate", ID: id.Name, Name: id.Name}
	for _, role := range id.Roles {
		c.Roles = append(c.Roles, Role(role))
	}
	return c, nil
}

// token reports whether the caller shows a token, for whose key the issuer may have to be asked.
func (g *Guard) token(c *call) bool {
	if len(c.bearer) != 1 || g.issuer == nil {
		return false
	}
	secret, ok := secretIn(c.bearer[0])
	return ok && !strings.HasPrefix(secret, keyPrefix)
}

// admit authorizes a call and counts it.
func (g *Guard) admit(ctx context.Context, c *call) error {
	if err := g.authorize(ctx, c); err != nil {
		return err
	}
	return g.limits.take(c.caller)
}

// again does the same for one more message of a call. What is too much waits.
func (g *Guard) again(ctx context.Context, c *call) error {
	if err := g.authorize(ctx, c); err != nil {
		return err
	}
	return g.limits.wait(ctx, c.caller)
}

// newCall returns a call of gRPC.
func (g *Guard) newCall(ctx context.Context, method string, bearer []string) *call {
	c := &call{name: method, bearer: bearer, began: g.cfg.Now()}
	if p, ok := peer.FromContext(ctx); ok {
		c.from = p.Addr.String()
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			c.state = &info.State
		}
	}
	return c
}

func (g *Guard) incoming(ctx context.Context, method string) *call {
	return g.newCall(ctx, method, metadata.ValueFromIncomingContext(ctx, "authorization"))
}

// ServerOptions put the Guard before the services of a server.
func (g *Guard) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.InTapHandle(g.tap), grpc.ChainUnaryInterceptor(g.Unary), grpc.ChainStreamInterceptor(g.Stream)}
}

// tap refuses calls before a byte of their message is read: strangers cannot make a server keep 16 MiB for each. It must not wait, so
// tokens are looked at later.
func (g *Guard) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	c := g.newCall(ctx, info.FullMethodName, info.Header.Get("authorization"))
	if g.token(c) {
		return ctx, nil
	}
	if err := g.authorize(ctx, c); err != nil {
		g.note(c, nil, err)
		return ctx, wire.ToStatus(err)
	}
	return ctx, nil
}

// admitOnce authorizes a call and counts it, unless Method did.
func (g *Guard) admitOnce(ctx context.Context, method string) (*call, error) {
	if c := admitted(ctx, method); c != nil {
		return c, nil
	}
	c := g.incoming(ctx, method)
	return c, g.admit(ctx, c)
}

// Unary is the interceptor of calls.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	c, err := g.admitOnce(ctx, info.FullMethod)
	if err == nil {
		resp, err = handler(ctx, req)
	}
	g.note(c, req, err)
	return resp, err
}

// Stream is the interceptor of streams.
func (g *Guard) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	c, err := g.admitOnce(stream.Context(), info.FullMethod)
	if err == nil {
		err = handler(srv, &guardedStream{ServerStream: stream, guard: g, call: c})
	}
	g.note(c, nil, err)
	return err
}

// guardedStream authorizes and counts each message after the first: a call may last longer than a key is good.
type guardedStream struct {
	grpc.ServerStream
	guard   *Guard
	call    *call
	started bool
}

// RecvMsg implements grpc.ServerStream.
func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if s.started {
		if err := s.guard.again(s.Context(), s.call); err != nil {
			return err
		}
	}
	s.started = true
	return nil
}

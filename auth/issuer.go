package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/kith-io/kith/node/wire"
)

const (
	// tokenSkew is how far the clocks of issuer and server may be apart.
	tokenSkew = time.Minute
	// keysRefresh is how old the keys of an issuer may be before they are fetched again, and keysOld before they are not used any more.
	keysRefresh = time.Hour
	keysOld     = 24 * time.Hour
	// fetchPause is the least time between two fetches: tokens with made-up key ids must not make a server call the issuer each time.
	fetchPause = 10 * time.Second
	// fetchTimeout bounds one answer of the issuer, and fetchBytes its size.
	fetchTimeout = 5 * time.Second
	fetchBytes   = 1 << 20
	// maxToken bounds a token: tokens with the groups of a person take some KiB.
	maxToken = 16 << 10
	// DefaultRoleClaim has the roles of a token.
	DefaultRoleClaim = "kith_roles"
)

// algorithms are those by which tokens may be signed: none that shares a secret with the issuer.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// IssuerConfig names an issuer of OpenID Connect whose tokens are taken.
type IssuerConfig struct {
	// URL of the issuer, as in the claim iss. Its keys are found by URL/.well-known/openid-configuration.
	URL string
	// Audience that must be among those of a token.
	Audience string
	// RoleClaim has the roles, as a list or a text with spaces between; dots lead into objects. Default DefaultRoleClaim.
	RoleClaim string
}

// validate completes the settings.
func (c *IssuerConfig) validate() error {
	if err := checkIssuerURL(c.URL); err != nil {
		return fmt.Errorf("issuer of tokens (--oidc-issuer): %w", err)
	}
	if c.Audience == "" {
		return errors.New("issuer of tokens: no audience; name the one that it writes into tokens for this cluster (--oidc-audience)")
	}
	if c.RoleClaim == "" {
		c.RoleClaim = DefaultRoleClaim
	}
	return nil
}

// checkIssuerURL wants HTTPS; on this machine HTTP will do.
func checkIssuerURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	if u.Scheme == "https" && u.Host != "" {
		return nil
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%q: want a URL that begins with https", text)
}

// issuer verifies tokens. It fetches keys when it needs them, so that a server starts without the issuer.
type issuer struct {
	cfg    IssuerConfig
	log    *slog.Logger
	now    func() time.Time
	client *http.Client

	fetching sync.Mutex // held while keys are fetched
	mu       sync.Mutex // guards what follows
	keys     jose.JSONWebKeySet
	fetched  time.Time // when keys came
	tried    time.Time // when they were asked for last
}

func newIssuer(cfg IssuerConfig, log *slog.Logger, now func() time.Time) (*issuer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // it is asked once an hour
	return &issuer{cfg: cfg, log: log, now: now, client: &http.Client{
		Timeout: fetchTimeout, Transport: transport,
		CheckRedirect: func(r *http.Request, _ []*http.Request) error { return checkIssuerURL(r.URL.String()) },
	}}, nil
}

// refused says that a token is not good. What is said is of the token's form and times, never the token.
func refused(format string, args ...any) error {
	return fmt.Errorf("%w: the token %s", wire.ErrUnauthenticated, fmt.Sprintf(format, args...))
}

// caller returns who shows a token.
func (i *issuer) caller(ctx context.Context, raw string) (*Caller, error) {
	if len(raw) > maxToken {
		return nil, refused("has more than %d bytes", maxToken)
	}
	token, err := jwt.ParseSigned(raw, algorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, refused("is malformed, or signed by an algorithm that is not taken")
	}
	var claims jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil || claims.Issuer != i.cfg.URL {
		return nil, refused("is not of the issuer %s", i.cfg.URL)
	}
	key, err := i.key(ctx, token.Headers[0])
	if err != nil {
		return nil, err
	}
	var rest map[string]any
	if err := token.Claims(key, &claims, &rest); err != nil {
		return nil, refused("has no good signature")
	}
	if claims.Expiry == nil || claims.Subject == "" {
		return nil, refused("has no end or no subject")
	}
	err = claims.ValidateWithLeeway(jwt.Expected{Issuer: i.cfg.URL, AnyAudience: jwt.Audience{i.cfg.Audience}, Time: i.now()}, tokenSkew)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return nil, refused("has expired; get a new one")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return nil, refused("is not for the audience %s", i.cfg.Audience)
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return nil, refused("is not valid yet; compare the clocks")
	case err != nil:
		return nil, refused("is not valid")
	}
	name, _ := rest["email"].(string)
	if preferred, ok := rest["preferred_username"].(string); ok {
		name = preferred
	}
	return &Caller{Kind: "token", ID: claims.Subject, Name: name, Roles: rolesIn(rest, i.cfg.RoleClaim)}, nil
}

// rolesIn returns the roles in a claim. What it has besides is for others.
func rolesIn(claims map[string]any, claim string) (roles []Role) {
	value, ok := claims[claim]
	for at := any(claims); !ok; {
		name, rest, more := strings.Cut(claim, ".")
		object, isObject := at.(map[string]any)
		if !isObject {
			return nil
		}
		if at = object[name]; !more {
			value, ok = at, true
		}
		claim = rest
	}
	var names []string
	switch v := value.(type) {
	case string:
		names = strings.Fields(v)
	case []any:
		for _, e := range v {
			if name, ok := e.(string); ok {
				names = append(names, name)
			}
		}
	}
	for _, role := range given {
		if slices.Contains(names, string(role)) {
			roles = append(roles, role)
		}
	}
	return roles
}

// key returns the key that signed a token, fetching the keys if it is not among those that are known or they have become old.
func (i *issuer) key(ctx context.Context, h jose.Header) (any, error) {
	key, age := i.known(h)
	switch {
	case key != nil && age < keysRefresh:
		return key, nil
	case key != nil && age < keysOld:
		// One call fetches the keys again, the others go on with those that are there.
		if i.fetching.TryLock() {
			i.refresh(ctx)
			i.fetching.Unlock()
		}
	default:
		i.fetching.Lock()
		if key, age = i.known(h); key == nil || age >= keysOld {
			i.refresh(ctx)
		}
		i.fetching.Unlock()
	}
	if key, age = i.known(h); key == nil || age >= keysOld {
		return nil, refused("is signed by a key that the issuer does not publish, or the issuer does not answer")
	}
	return key, nil
}

// known returns the key that a header names, and how old the keys are.
func (i *issuer) known(h jose.Header) (key any, age time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	found := i.keys.Keys
	if h.KeyID != "" {
		found = i.keys.Key(h.KeyID)
	}
	found = slices.DeleteFunc(slices.Clone(found), func(k jose.JSONWebKey) bool {
		return !k.IsPublic() || k.Use == "enc" || k.Algorithm != "" && k.Algorithm != h.Algorithm
	})
	if len(found) != 1 {
		return nil, 0
	}
	return found[0].Key, i.now().Sub(i.fetched)
}

// refresh fetches the keys, unless that was tried a moment ago. i.fetching is held.
func (i *issuer) refresh(ctx context.Context) {
	i.mu.Lock()
	recent := !i.tried.IsZero() && i.now().Sub(i.tried) < fetchPause
	if !recent {
		i.tried = i.now()
	}
	i.mu.Unlock()
	if recent {
		return
	}
	// The caller may go away: others wait for the same keys.
	keys, err := i.fetch(context.WithoutCancel(ctx))
	if err != nil {
		i.log.Warn("fetch the keys of the issuer of tokens", "issuer", i.cfg.URL, "err", err)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys, i.fetched = keys, i.now()
}

// fetch asks the issuer for its keys. It takes two answers, of fetchTimeout each at most.
func (i *issuer) fetch(ctx context.Context) (keys jose.JSONWebKeySet, err error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := i.get(ctx, strings.TrimSuffix(i.cfg.URL, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return keys, err
	}
	if about.Issuer != i.cfg.URL {
		return keys, fmt.Errorf("the issuer calls itself %q; set its URL to that", about.Issuer)
	}
	if err := checkIssuerURL(about.Keys); err != nil {
		return keys, fmt.Errorf("jwks_uri: %w", err)
	}
	return keys, i.get(ctx, about.Keys, &keys)
}

func (i *issuer) get(ctx context.Context, from string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", from, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, fetchBytes)).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}

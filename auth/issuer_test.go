package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/kith-io/kith/node/wire"
)

// testIssuer is an issuer of OpenID Connect on loopback.
type testIssuer struct {
	t   testing.TB
	url string

	mu      sync.Mutex // guards what follows
	keys    []jose.JSONWebKey
	down    bool
	fetches int
}

func newTestIssuer(t testing.TB) *testIssuer {
	i := &testIssuer{t: t}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		if i.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		answer(w, map[string]string{"issuer": i.url, "jwks_uri": i.url + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.fetches++
		set := jose.JSONWebKeySet{}
		for _, k := range i.keys {
			set.Keys = append(set.Keys, k.Public())
		}
		answer(w, set)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	i.rotate("k1")
	return i
}

// rotate replaces the keys by one.
func (i *testIssuer) rotate(id string) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []jose.JSONWebKey{{Key: key, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"}}
}

func (i *testIssuer) set(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *testIssuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// sign returns a token with claims, signed by a key.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token returns a good token with some claims changed; a nil one is left out.
func (i *testIssuer) token(now time.Time, change map[string]any) string {
	i.t.Helper()
	claims := map[string]any{
		"iss": i.url, "sub": "u-1", "aud": []string{"other", "kith"}, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "kith_roles": []string{"read", "stranger", "node"},
		"email": "ann@example.com",
	}
	for k, v := range change {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	i.mu.Lock()
	key := i.keys[0]
	i.mu.Unlock()
	return sign(i.t, jose.SignatureAlgorithm(key.Algorithm), key, claims)
}

func TestTokens(t *testing.T) {
	c := newClock()
	server := newTestIssuer(t)
	verifier, err := newIssuer(IssuerConfig{URL: server.url, Audience: "kith"}, slog.New(slog.DiscardHandler), c.now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifier.caller(t.Context(), server.token(c.now(), nil))
	if err != nil || got.ID != "u-1" || got.Name != "ann@example.com" || !slices.Equal(got.Roles, []Role{Read}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	server.mu.Lock()
	good := server.keys[0]
	server.mu.Unlock()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := good.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	now := c.now()
	claims := map[string]any{"iss": server.url, "sub": "u-1", "aud": "kith", "exp": now.Add(time.Hour).Unix(), "kith_roles": "admin"}
	whole := server.token(now, nil)
	parts := strings.Split(whole, ".")
	for _, tt := range []struct{ name, token, want string }{
		{"expired", server.token(now, map[string]any{"exp": now.Add(-tokenSkew - time.Second).Unix()}), "expired"},
		{"no end", server.token(now, map[string]any{"exp": nil}), "no end"},
		{"no subject", server.token(now, map[string]any{"sub": nil}), "no subject"},
		{"not yet", server.token(now, map[string]any{"nbf": now.Add(tokenSkew + time.Second).Unix()}), "not valid yet"},
		{"of the future", server.token(now, map[string]any{"iat": now.Add(tokenSkew + time.Second).Unix()}), "not valid yet"},
		{"other audience", server.token(now, map[string]any{"aud": "shop"}), "audience"},
		{"no audience", server.token(now, map[string]any{"aud": nil}), "audience"},
		{"other issuer", server.token(now, map[string]any{"iss": server.url + "/other"}), "issuer"},
		{"key of a stranger with the name of ours", sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: good.KeyID}, claims), "signature"},
		{"key of a stranger", sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: "k9"}, claims), "does not publish"},
		{"another algorithm", sign(t, jose.RS256, jose.JSONWebKey{Key: weak, KeyID: good.KeyID}, claims), "does not publish"},
		{"our public key as a shared secret", sign(t, jose.HS256, jose.JSONWebKey{Key: public, KeyID: good.KeyID}, claims), "algorithm"},
		{"no algorithm", "eyJhbGciOiJub25lIn0." + parts[1] + ".", "malformed"},
		{"other claims under the signature", parts[0] + "." + strings.Split(server.token(now, map[string]any{"kith_roles": "admin"}), ".")[1] + "." + parts[2], "signature"},
		{"cut off", whole[:len(whole)-10], "signature"},
		{"no token", "a.b.c", "malformed"},
		{"empty", "", "malformed"},
		{"long", strings.Repeat("a", maxToken+1), "more than"},
	} {
		got, err := verifier.caller(t.Context(), tt.token)
		if !errors.Is(err, wire.ErrUnauthenticated) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %+v, %v; want it refused with %q", tt.name, got, err, tt.want)
		}
		if err != nil && len(parts[2]) > 0 && strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the error %q tells the token", tt.name, err)
		}
	}
	// Clocks may be a minute apart.
	for name, change := range map[string]map[string]any{
		"just expired": {"exp": now.Add(-tokenSkew + time.Second).Unix()}, "of a clock ahead": {"iat": now.Add(tokenSkew - time.Second).Unix()},
	} {
		if _, err := verifier.caller(t.Context(), server.token(now, change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIssuerRotates changes keys, makes up others, and takes the issuer away.
func TestIssuerRotates(t *testing.T) {
	c := newClock()
	server := newTestIssuer(t)
	verifier, err := newIssuer(IssuerConfig{URL: server.url, Audience: "kith"}, slog.New(slog.DiscardHandler), c.now)
	if err != nil {
		t.Fatal(err)
	}
	server.set(true)
	take := func(token string) error {
		_, err := verifier.caller(t.Context(), token)
		return err
	}
	first := server.token(c.now(), map[string]any{"exp": c.now().Add(100 * time.Hour).Unix()})
	if err := take(first); err == nil {
		t.Fatal("a token is taken while the issuer is away")
	}
	server.set(false)
	c.pass(fetchPause)
	if err := take(first); err != nil {
		t.Fatalf("the issuer is back: %v", err)
	}
	before := server.count()
	for range 50 {
		if err := take(first); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.count(); got != before {
		t.Errorf("%d fetches for a known key", got-before)
	}
	// Made-up key ids do not make the server ask each time.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.pass(fetchPause)
	var wg sync.WaitGroup
	for n := range 50 {
		made := sign(t, jose.ES256, jose.JSONWebKey{Key: crypto.PrivateKey(key), KeyID: strings.Repeat("x", n+1)}, map[string]any{"iss": server.url})
		wg.Go(func() {
			if take(made) == nil {
				t.Error("a made-up key is taken")
			}
		})
	}
	wg.Wait()
	if got := server.count() - before; got != 1 {
		t.Errorf("%d fetches for made-up keys, want 1", got)
	}
	server.rotate("k2")
	c.pass(fetchPause)
	second := server.token(c.now(), map[string]any{"exp": c.now().Add(100 * time.Hour).Unix()})
	if err := take(second); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if err := take(first); err == nil {
		t.Error("a key that the issuer has dropped is taken")
	}
	// For a day the keys that are known do while the issuer is away.
	server.set(true)
	c.pass(keysOld - time.Hour)
	if err := take(second); err != nil {
		t.Errorf("without the issuer: %v", err)
	}
	c.pass(2 * time.Hour)
	if err := take(second); err == nil {
		t.Error("keys of yesterday are taken")
	}
}

func TestRolesInClaims(t *testing.T) {
	claims := map[string]any{
		"scope": "openid write  train", "a.b": []any{"admin"}, "realm": map[string]any{"roles": []any{"read", 7, "node"}}, "deep": map[string]any{"n": 1}, "number": 3.0,
	}
	for claim, want := range map[string][]Role{
		"scope": {Write, Train}, "a.b": {Admin}, "realm.roles": {Read}, "realm": nil, "realm.roles.x": nil, "deep.n": nil, "deep.m.k": nil, "number": nil, "none": nil, "": nil,
	} {
		if got := rolesIn(claims, claim); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", claim, got, want)
		}
	}
	for _, cfg := range []IssuerConfig{
		{URL: "http://id.example.com", Audience: "a"}, {URL: "id.example.com", Audience: "a"}, {URL: "https://id.example.com"}, {URL: "file:///etc/passwd", Audience: "a"},
	} {
		if _, err := newIssuer(cfg, nil, time.Now); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func FuzzToken(f *testing.F) {
	server := newTestIssuer(f)
	verifier, err := newIssuer(IssuerConfig{URL: server.url, Audience: "kith"}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		f.Fatal(err)
	}
	good := server.token(time.Now(), nil)
	f.Add(good[:len(good)-1])
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := verifier.caller(t.Context(), text); err == nil {
			t.Errorf("%q gets in", text)
		}
	})
}

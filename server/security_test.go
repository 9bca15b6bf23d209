package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/kith-io/kith/audit"
	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/certs"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/gossip"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// secured is a working set of certificates and keys.
type secured struct {
	t          testing.TB
	dir        string
	keysFile   string
	gossipFile string
	roots      *x509.CertPool
	issuer     auth.IssuerConfig
	issuerKey  *ecdsa.PrivateKey
	logs       *logBuffer
}

// logBuffer keeps all that servers log.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

const issuerKeyID = "k1"

func newSecured(t testing.TB) *secured {
	t.Helper()
	dir := t.TempDir()
	s := &secured{t: t, dir: dir, keysFile: filepath.Join(dir, "keys.json"), gossipFile: filepath.Join(dir, "gossip.keys"), roots: x509.NewCertPool(), logs: &logBuffer{}}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	authority, err := certs.NewAuthority("shop", time.Now(), certs.AuthorityValid)
	check(err)
	check(certs.WriteAuthority(dir, authority))
	s.roots.AppendCertsFromPEM(authority.Cert)
	for i := range 4 {
		s.issue(fmt.Sprint("n", i), certs.NodeRole)
	}
	_, err = gossip.ChangeKeys(s.gossipFile, gossip.AddKey)
	check(err)

	s.issuerKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	t.Cleanup(issuer.Close)
	s.issuer = auth.IssuerConfig{URL: issuer.URL, Audience: "kith"}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &s.issuerKey.PublicKey, KeyID: issuerKeyID, Algorithm: string(jose.ES256)}}})
	})
	return s
}

// issue makes a certificate by the authority.
func (s *secured) issue(name string, roles ...string) {
	s.t.Helper()
	a, err := certs.LoadAuthority(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	pair, err := a.Issue(name, roles, []string{"127.0.0.1"}, time.Now(), certs.Valid)
	if err == nil {
		err = certs.WritePair(s.dir, name, pair)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// key makes an API key.
func (s *secured) key(n auth.NewKey) (string, auth.Key) {
	s.t.Helper()
	secret, k, err := auth.CreateKey(s.keysFile, n, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return secret, k
}

// token makes a token of the issuer.
func (s *secured) token(ends time.Time, roles ...string) string {
	s.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.issuerKey, KeyID: issuerKeyID}}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": s.issuer.URL, "sub": "ann", "aud": s.issuer.Audience, "exp": ends.Unix(), auth.DefaultRoleClaim: roles,
	}).Serialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *secured) configure(member int, cfg *server.Config) {
	cert, key := certs.PairFiles(s.dir, fmt.Sprint("n", member))
	cfg.TLS = certs.Files{CA: filepath.Join(s.dir, "ca.crt"), Cert: cert, Key: key}
	cfg.KeysFile, cfg.GossipKeysFile, cfg.Issuer = s.keysFile, s.gossipFile, s.issuer
	cfg.HTTPAddr = "127.0.0.1:0"
	cfg.Logger = slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})).With("member", member)
}

// shows is a key or a token that is shown with each call.
type shows string

func (x shows) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(x)}, nil
}

func (shows) RequireTransportSecurity() bool { return true }

// dial returns the options of a client that shows an authorization and the certificate of a name; either may be empty.
func (s *secured) dial(authorization, name string) []grpc.DialOption {
	s.t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(s.tls(name)))}
	if authorization != "" {
		options = append(options, grpc.WithPerRPCCredentials(shows(authorization)))
	}
	return options
}

func (s *secured) tls(name string) *tls.Config {
	s.t.Helper()
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: s.roots}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(certs.PairFiles(s.dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg
}

// connect returns a connection to a server.
func (s *secured) connect(addr, authorization, name string) *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, node.DialOptions(s.dial(authorization, name)...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// try makes a call of a method with one message and returns the status of the first answer, or of none.
func try(t testing.TB, conn *grpc.ClientConn, method string, message any) *status.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err == nil {
		_ = stream.SendMsg(message) // RecvMsg tells why
		_ = stream.CloseSend()
		err = stream.RecvMsg(&emptypb.Empty{})
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return status.Convert(err)
}

// methods returns the full names of all methods of a server.
func methods(s *server.Server) (names []string) {
	for service, info := range s.Services() {
		for _, m := range info.Methods {
			names = append(names, "/"+service+"/"+m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// internalServices are for nodes alone.
var internalServices = []string{
	kithv1.PartitionService_ServiceDesc.ServiceName, kithv1.QueryService_ServiceDesc.ServiceName, kithv1.ComputeService_ServiceDesc.ServiceName,
	kithv1.ControlService_ServiceDesc.ServiceName,
}

// TestEveryCallIsGuarded tries all methods and routes that there are, with all that should not let a caller in, and with what should.
func TestEveryCallIsGuarded(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	keys := map[auth.Role]string{}
	for _, role := range []auth.Role{auth.Read, auth.Write, auth.Train, auth.Metrics, auth.Admin} {
		keys[role], _ = s.key(auth.NewKey{Name: string(role), Roles: []auth.Role{role}})
	}
	expired, _, err := auth.CreateKey(s.keysFile, auth.NewKey{Name: "old", Roles: []auth.Role{auth.Admin}, Valid: time.Hour}, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	revoked, k := s.key(auth.NewKey{Name: "revoked", Roles: []auth.Role{auth.Admin}})
	if _, err := auth.RevokeKey(s.keysFile, k.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.issue("nobody", "stranger")
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: s.configure, Dial: s.dial("Bearer "+keys[auth.Admin], "")})
	srv := c.Members[0].Server
	names := methods(srv)
	if len(names) < 50 {
		t.Fatalf("only %d methods: %v", len(names), names)
	}
	token := s.token(time.Now().Add(time.Hour), "admin")
	intruders := map[string]*grpc.ClientConn{}
	for what, authorization := range map[string]string{
		"no credentials": "", "an unknown key": "Bearer kith_0011223344556677_" + strings.Repeat("0", 64), "an expired key": "Bearer " + expired,
		"a revoked key": "Bearer " + revoked, "an expired token": "Bearer " + s.token(time.Now().Add(-time.Hour), "admin"), "half a token": "Bearer " + token[:len(token)/2],
		"a forged token": "Bearer " + token[:len(token)-4] + "AAAA", "no bearer": "Basic YWRtaW46YWRtaW4=", "nothing after bearer": "Bearer", "long": "Bearer " + strings.Repeat("x", 20_000),
		"control characters": "Bearer \x01\x7f", "a key without its type": keys[auth.Admin],
	} {
		intruders[what] = s.connect(srv.GRPCAddr(), authorization, "")
	}
	weak := map[string]*grpc.ClientConn{
		"a token without roles": s.connect(srv.GRPCAddr(), "Bearer "+s.token(time.Now().Add(time.Hour), "stranger", "node"), ""),
		"an unknown role":       s.connect(srv.GRPCAddr(), "", "nobody"),
	}
	byRole := map[auth.Role]*grpc.ClientConn{auth.Node: s.connect(srv.GRPCAddr(), "", "n1")}
	for role, key := range keys {
		byRole[role] = s.connect(srv.GRPCAddr(), "Bearer "+key, "")
	}
	byToken := s.connect(srv.GRPCAddr(), "Bearer "+token, "")
	random, step := 30, 1
	if testing.Short() {
		random, step = 5, 3 // of the methods
	}
	huge := &wrapperspb.BytesValue{Value: make([]byte, 15<<20)} // an answer that is larger than what the client may send would fail there
	leaks := func(method, what string, st *status.Status) {
		t.Helper()
		for _, trace := range []string{"goroutine ", ".go:", "panic", "runtime."} {
			if strings.Contains(st.Message(), trace) {
				t.Errorf("%s with %s leaks: %s", method, what, st.Message())
			}
		}
	}
	for n, method := range names {
		rule, ok := auth.RuleOf(method)
		if !ok {
			t.Errorf("%s has no rule in the table of package auth", method)
			continue
		}
		if rule.Public {
			continue
		}
		service := strings.Split(method, "/")[1]
		internal := slices.Contains(internalServices, service)
		if internal != slices.Equal(rule.Roles, []auth.Role{auth.Node}) {
			t.Errorf("%s takes the roles %v; services between nodes take node, others do not: %v", method, rule.Roles, internalServices)
		}
		if n%step > 0 {
			continue
		}
		for what, conn := range intruders {
			st := try(t, conn, method, &emptypb.Empty{})
			if st.Code() != codes.Unauthenticated && !(what == "control characters" && st.Code() != codes.OK) {
				t.Errorf("%s with %s: %v %s, want Unauthenticated", method, what, st.Code(), st.Message())
			}
			leaks(method, what, st)
		}
		if step == 1 || n%9 == 0 {
			if st := try(t, intruders["no credentials"], method, huge); st.Code() != codes.Unauthenticated {
				t.Errorf("%s with a large message: %v %s", method, st.Code(), st.Message())
			}
		}
		for what, conn := range weak {
			if st := try(t, conn, method, &emptypb.Empty{}); st.Code() != codes.PermissionDenied {
				t.Errorf("%s with %s: %v %s, want PermissionDenied", method, what, st.Code(), st.Message())
			}
		}
		for role, conn := range byRole {
			want := role == auth.Node || slices.Contains(rule.Roles, role) || role == auth.Admin && !internal
			if want && (role == auth.Node || role == auth.Admin) {
				continue // the cluster tests do that; some of these calls change it
			}
			st := try(t, conn, method, &emptypb.Empty{})
			if got := st.Code() != codes.PermissionDenied && st.Code() != codes.Unauthenticated; got != want {
				t.Errorf("%s with the role %s gets in: %t, want %t (%v %s)", method, role, got, want, st.Code(), st.Message())
			}
			leaks(method, string(role), st)
		}
		if internal {
			if st := try(t, byToken, method, &emptypb.Empty{}); st.Code() != codes.PermissionDenied {
				t.Errorf("%s with the token of an administrator: %v", method, st.Code())
			}
		}
	}
	// What is malformed is refused, and what is random is answered, or refused for a reason. Acts of administrators are left out: some stop the server.
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	for _, method := range names {
		rule, _ := auth.RuleOf(method)
		if st := try(t, byRole[auth.Node], method, garbage()); st.Code() == codes.OK || st.Code() == codes.Unauthenticated {
			t.Errorf("%s with what is no message: %v", method, st)
		} else {
			leaks(method, "what is no message", st)
		}
		for _, role := range []auth.Role{auth.Read, auth.Write, auth.Train} {
			if slices.Contains(rule.Roles, role) {
				for _, st := range tryRandom(t, byRole[role], method, rng, random) {
					t.Errorf("%s with a random message: %v", method, st)
				}
				break
			}
		}
	}
	// What is not there, and what is too large, are refused, too.
	if st := try(t, byToken, "/kith.v1.None/None", &emptypb.Empty{}); st.Code() != codes.PermissionDenied && st.Code() != codes.Unimplemented {
		t.Errorf("an unknown method: %v", st.Code())
	}
	tooLarge := &wrapperspb.BytesValue{Value: make([]byte, 17<<20)}
	st := status.Convert(byToken.Invoke(t.Context(), kithv1.RecommenderService_Recommend_FullMethodName, tooLarge, &emptypb.Empty{}, grpc.MaxCallSendMsgSize(32<<20)))
	if st.Code() != codes.ResourceExhausted {
		t.Errorf("17 MiB: %v %s", st.Code(), st.Message())
	}

	routes, err := srv.Routes()
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) < 30 {
		t.Fatalf("only %d routes: %v", len(routes), routes)
	}
	for pattern, fullMethod := range routes {
		rule, ok := auth.RuleOf(pattern)
		if fullMethod != "" {
			if ok {
				t.Errorf("%s has a rule of its own, beside that of %s", pattern, fullMethod)
			}
			rule, ok = auth.RuleOf(fullMethod)
		}
		if !ok {
			t.Errorf("%s has no rule in the table of package auth", pattern)
			continue
		}
		s.tryRoute(srv.HTTPAddr(), pattern, rule, keys, []string{"", "Bearer", "Basic eA==", "Bearer " + expired, "Bearer " + token[:20], "Bearer " + revoked})
	}
	// The certificate of a connection counts over HTTP, too.
	for name, want := range map[string]int{"n1": http.StatusOK, "nobody": http.StatusForbidden} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls(name)}}
		resp, text := send(t, client, curl(t, "curl https://"+srv.HTTPAddr()+"/v1/status", ""))
		client.CloseIdleConnections()
		if resp.StatusCode != want {
			t.Errorf("the certificate of %s: %d %s, want %d", name, resp.StatusCode, text, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(c.Dir(0), "audit", audit.Name)); err != nil || !strings.Contains(string(b), `"act":"GET /debug/pprof/profile","outcome":"OK"`) {
		t.Errorf("the profile is not in the audit log: %v\n%s", err, b)
	}
	for _, reason := range []string{"unauthenticated", "forbidden"} {
		if n := figure(t, srv.Registry(), "kith_auth_refused_total", "reason="+reason); n < float64(len(names)) {
			t.Errorf("%v calls were counted as refused for the reason %s, want at least one of each of %d methods", n, reason, len(names))
		}
	}
	// After all that it serves.
	if _, err := kithv1.NewClusterServiceClient(byToken).Status(t.Context(), &kithv1.StatusRequest{}); err != nil {
		t.Errorf("status at the end: %v", err)
	}
	if _, err := kithv1.NewClusterServiceClient(intruders["no credentials"]).Status(t.Context(), &kithv1.StatusRequest{}); !errors.Is(err, wire.ErrUnauthenticated) {
		t.Errorf("the sentinel does not cross the wire: %v", err)
	}
}

// braces is a variable of a path.
var braces = regexp.MustCompile(`\{[^}]*\}`)

// tryRoute asks a route with what should not let a caller in, with every role, and with what is malformed and too large.
func (s *secured) tryRoute(addr, pattern string, rule auth.Rule, keys map[auth.Role]string, bad []string) {
	s.t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	path = braces.ReplaceAllString(path, "0") // a number, and the key of nobody
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls("")}}
	defer client.CloseIdleConnections()
	ask := func(authorization, query string, body io.Reader) (int, string) {
		s.t.Helper()
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, "https://"+addr+path+query, body)
		if err != nil {
			s.t.Fatal(err)
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := client.Do(req)
		if err != nil {
			s.t.Fatalf("%s: %v", pattern, err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			s.t.Fatalf("%s: %v", pattern, err)
		}
		for _, trace := range []string{"goroutine ", ".go:", "panic", "runtime."} {
			if strings.Contains(string(text), trace) && resp.StatusCode != http.StatusOK {
				s.t.Errorf("%s leaks: %s", pattern, text)
			}
		}
		if resp.Header.Get("X-Request-Id") == "" {
			s.t.Errorf("%s: the answer has no id", pattern)
		}
		return resp.StatusCode, string(text)
	}
	if rule.Public {
		if code, text := ask("", "", nil); code != http.StatusOK && code != http.StatusNotFound {
			s.t.Errorf("%s without credentials: %d %s", pattern, code, text)
		}
		return
	}
	for _, authorization := range bad {
		if code, text := ask(authorization, "", nil); code != http.StatusUnauthorized || !strings.Contains(text, "UNAUTHENTICATED") {
			s.t.Errorf("%s with %.20q: %d %s", pattern, authorization, code, text)
		}
	}
	// A stranger is refused before the body is read, and so before the server finds out that it never comes.
	never, end := io.Pipe()
	if code, text := ask("", "", never); code != http.StatusUnauthorized {
		s.t.Errorf("%s with a body that does not come: %d %s", pattern, code, text)
	}
	_ = end.Close()
	for role, key := range keys {
		want := role == auth.Admin || slices.Contains(rule.Roles, role)
		if !strings.HasPrefix(path, "/v1/") { // what operators read: nothing is malformed
			if code, text := ask("Bearer "+key, "?seconds=1", nil); code != http.StatusOK && code != http.StatusForbidden || code == http.StatusOK != want {
				s.t.Errorf("%s with the role %s: %d %.200s; let in: %t", pattern, role, code, text, want)
			}
			continue
		}
		// What is malformed is refused after the roles were looked at, so nothing is changed here.
		code, text := ask("Bearer "+key, "?%zz", strings.NewReader("{\"no_such_field\":"))
		if code == http.StatusForbidden == want || want && (code < 400 || code >= 500) || !strings.Contains(text, "message") {
			s.t.Errorf("%s with the role %s, malformed: %d %s; let in: %t", pattern, role, code, text, want)
		}
	}
	if method == http.MethodGet {
		return
	}
	code, text := ask("Bearer "+keys[auth.Admin], "", strings.NewReader(`{"x":"`+strings.Repeat("x", 5<<20)+`"}`))
	if code != http.StatusRequestEntityTooLarge && pattern != "POST /v1/events" || code < 400 || code >= 500 {
		s.t.Errorf("%s with 5 MiB: %d %s", pattern, code, text)
	}
}

// TestSecuredCluster has three servers with certificates and keys store, build, answer, change their certificates and keys on the way, and
// restart; a fourth joins and leaves. Then it looks for secrets in all logs.
func TestSecuredCluster(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	admin, adminKey := s.key(auth.NewKey{Name: "admin", Roles: []auth.Role{auth.Admin}})
	slow, _ := s.key(auth.NewKey{Name: "slow", Roles: []auth.Role{auth.Read}, Rate: 0.01, Burst: 2})
	s.issue("ops", "admin")
	c := clustertest.Start(t, clustertest.Options{Configure: s.configure, Dial: s.dial("Bearer "+admin, "")})
	events := shopEvents(60, 80, 30, 1)
	if got := c.Append(0, events); got.Appended != uint64(len(events)) {
		t.Fatalf("append: %v", got)
	}
	c.Build(1, &kithv1.BuildSpec{Measure: "cosine", K: 20})
	ask := func(member int) []*kithv1.RecommendedItem {
		t.Helper()
		resp, err := c.Recommender(member).Recommend(t.Context(), &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: events[0].User}, N: 10})
		if err != nil || len(resp.Items) != 10 {
			t.Fatalf("recommend at member %d: %d items, %v", member, len(resp.GetItems()), err)
		}
		return resp.Items
	}
	for i := range 3 {
		ask(i)
	}

	t.Run("rate of a key", func(t *testing.T) {
		client := kithv1.NewClusterServiceClient(s.connect(c.Members[0].Server.GRPCAddr(), "Bearer "+slow, ""))
		for range 2 {
			if _, err := client.Status(t.Context(), &kithv1.StatusRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := client.Status(t.Context(), &kithv1.StatusRequest{})
		if !errors.Is(err, wire.ErrLimited) || status.Code(err) != codes.ResourceExhausted || wire.RetryIn(err) < time.Second {
			t.Errorf("beyond the rate: %v, again in %v", err, wire.RetryIn(err))
		}
	})
	t.Run("a node of another authority", func(t *testing.T) {
		other := newSecured(t)
		conn, err := grpc.NewClient("passthrough:///"+c.Members[0].Server.GRPCAddr(), append(node.DialOptions(),
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, Certificates: other.tls("n0").Certificates})))...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if st := try(t, conn, kithv1.PartitionService_Info_FullMethodName, &emptypb.Empty{}); st.Code() != codes.Unavailable {
			t.Errorf("gets %v %s, want no connection", st.Code(), st.Message())
		}
	})
	t.Run("a key is revoked while it stores events", func(t *testing.T) {
		secret, k := s.key(auth.NewKey{Name: "import", Roles: []auth.Role{auth.Write}})
		client := kithv1.NewEventsServiceClient(s.connect(c.Members[0].Server.GRPCAddr(), "Bearer "+secret, ""))
		var stream grpc.ClientStreamingClient[kithv1.AppendRequest, kithv1.AppendResponse]
		send := func() error { return stream.Send(&kithv1.AppendRequest{Events: events[:1]}) }
		c.Eventually(func() (err error) { // the server reads the new key
			if stream, err = client.Append(t.Context()); err == nil {
				_ = send()
				_, err = stream.CloseAndRecv()
			}
			return err
		})
		var err error
		if stream, err = client.Append(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.RevokeKey(s.keysFile, k.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		c.Eventually(func() error {
			if err := send(); err == nil {
				return errors.New("messages of a revoked key are taken")
			}
			return nil
		})
		if _, err := stream.CloseAndRecv(); !errors.Is(err, wire.ErrUnauthenticated) {
			t.Errorf("the stream ends with %v", err)
		}
	})
	t.Run("certificates change", func(t *testing.T) {
		serial := func() string {
			t.Helper()
			conn, err := tls.Dial("tcp", c.Members[0].Server.GRPCAddr(), &tls.Config{RootCAs: s.roots, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
		}
		before := serial()
		cert, key := certs.PairFiles(s.dir, "n0")
		if err := errors.Join(os.Remove(cert), os.Remove(key)); err != nil {
			t.Fatal(err)
		}
		s.issue("n0", certs.NodeRole)
		c.Eventually(func() error {
			if serial() == before {
				return errors.New("the old certificate is in use")
			}
			return nil
		})
	})
	t.Run("gossip keys change", func(t *testing.T) {
		for _, step := range []gossip.KeyStep{gossip.AddKey, gossip.UseKey, gossip.DropKeys} {
			before := strings.Count(s.logs.String(), "use new gossip keys")
			if _, err := gossip.ChangeKeys(s.gossipFile, step); err != nil {
				t.Fatal(err)
			}
			c.Eventually(func() error {
				if n := strings.Count(s.logs.String(), "use new gossip keys") - before; n != 3 {
					return fmt.Errorf("%d of 3 servers have taken the step %s", n, step)
				}
				return nil
			})
		}
	})
	fourth := c.Add()
	c.Ready()
	ops := kithv1.NewClusterServiceClient(s.connect(c.Members[0].Server.GRPCAddr(), "", "ops"))
	id := c.Members[fourth].Server.ID()
	c.Eventually(func() error {
		resp, err := ops.Status(t.Context(), &kithv1.StatusRequest{})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(resp.Members, func(m *kithv1.Member) bool { return m.Id == id && m.Replicas > 0 }) {
			return errors.New("the fourth has no replica yet")
		}
		return nil
	})
	if _, err := ops.SetIntent(t.Context(), &kithv1.SetIntentRequest{Member: id, Intent: kithv1.MemberIntent_MEMBER_INTENT_LEAVE}); err != nil {
		t.Fatal(err)
	}
	c.Left(fourth)
	want := ask(0)
	for i := range 3 {
		c.Stop(i)
	}
	for i := range 3 {
		c.Run(i)
	}
	c.Ready()
	for i := range 3 {
		if got := ask(i); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after the restart member %d answers %v, want %v", i, got, want)
		}
	}

	t.Run("audit log", func(t *testing.T) {
		find := func(member int, act, kind, who, outcome string, what map[string]string) {
			t.Helper()
			b, err := os.ReadFile(filepath.Join(c.Dir(member), "audit", audit.Name))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				var e audit.Entry
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatal(err)
				}
				if e.Act == act && e.Kind == kind && e.ID == who && e.Outcome == outcome && e.From != "" && e.Node != "" && time.Since(e.Time) < time.Hour && contains(e.What, what) {
					return
				}
			}
			t.Errorf("%s by %s %s with %s is not in the audit log of member %d:\n%s", act, kind, who, outcome, member, b)
		}
		find(1, kithv1.ModelService_Build_FullMethodName, "key", adminKey.ID, "OK", map[string]string{"measure": "cosine", "k": "20"})
		find(0, kithv1.ClusterService_SetIntent_FullMethodName, "certificate", "ops", "OK", map[string]string{"member": id})
		st := try(t, s.connect(c.Members[0].Server.GRPCAddr(), "", ""), kithv1.ErasureService_EraseUser_FullMethodName, &emptypb.Empty{})
		if st.Code() != codes.Unauthenticated {
			t.Errorf("erase without a key: %v", st.Code())
		}
		find(0, kithv1.ErasureService_EraseUser_FullMethodName, "unknown", "", "UNAUTHENTICATED", nil)
	})
	t.Run("no secrets in logs", func(t *testing.T) {
		secrets := map[string]string{"API key": admin[len(admin)-64:], "hash of the key": adminKey.Hash}
		for name, path := range map[string]string{"gossip key": s.gossipFile, "key of node 0": filepath.Join(s.dir, "n0.key"), "key of the authority": filepath.Join(s.dir, "ca.key")} {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "-----") {
					secrets[name] = line
				}
			}
		}
		texts := map[string]string{"log": s.logs.String()}
		for i := range 2 { // the third was asked for nothing
			b, err := os.ReadFile(filepath.Join(c.Dir(i), "audit", audit.Name))
			if err != nil {
				t.Fatal(err)
			}
			texts[fmt.Sprint("audit log ", i)] = string(b)
		}
		for where, text := range texts {
			if !strings.Contains(text, "member") && !strings.Contains(text, "kith.v1") {
				t.Errorf("%s is empty: %q", where, text)
			}
			for name, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("the %s stands in the %s", name, where)
				}
			}
		}
	})
}

// contains reports whether all of part is in whole.
func contains(whole, part map[string]string) bool {
	for k, v := range part {
		if whole[k] != v {
			return false
		}
	}
	return true
}

// TestExposure starts servers at addresses of all kinds.
func TestExposure(t *testing.T) {
	s := newSecured(t)
	s.key(auth.NewKey{Name: "x", Roles: []auth.Role{auth.Read}})
	for _, tt := range []struct {
		name   string
		change func(*server.Config)
		want   string
	}{
		{"loopback", func(*server.Config) {}, ""},
		{"localhost and IPv6", func(c *server.Config) { c.GRPCAddr, c.RaftAddr = "localhost:0", "[::1]:0" }, ""},
		{"calls on all interfaces", func(c *server.Config) { c.GRPCAddr = ":0" }, "--insecure"},
		{"raft on an address", func(c *server.Config) { c.RaftAddr = "10.0.0.1:0" }, "--raft-addr"},
		{"HTTP on all interfaces", func(c *server.Config) { c.HTTPAddr = "0.0.0.0:0" }, "--http-addr"},
		{"a name", func(c *server.Config) { c.GRPCAddr = "shop.example:7801" }, "--grpc-addr"},
		{"insecure", func(c *server.Config) { c.GRPCAddr, c.GossipAddr, c.Insecure = ":0", ":0", true }, ""},
		{"TLS", func(c *server.Config) {
			s.configure(0, c)
			c.GRPCAddr, c.RaftAddr, c.HTTPAddr, c.GossipAddr = ":0", ":0", ":0", ":0"
		}, ""},
		{"TLS without gossip keys", func(c *server.Config) { s.configure(0, c); c.GossipAddr, c.GossipKeysFile = ":0", "" }, "--gossip-addr"},
		{"gossip keys without TLS", func(c *server.Config) { c.GossipAddr, c.GRPCAddr, c.GossipKeysFile = ":0", ":0", s.gossipFile }, "--grpc-addr"},
		{"API keys without TLS", func(c *server.Config) { c.KeysFile = s.keysFile }, "need TLS"},
		{"API keys without TLS, insecure", func(c *server.Config) { c.KeysFile, c.Insecure = s.keysFile, true }, "need TLS"},
		{"tokens without TLS", func(c *server.Config) { c.Issuer = s.issuer }, "need TLS"},
		{"a file that is not there", func(c *server.Config) { s.configure(0, c); c.KeysFile += ".none" }, "kith key create"},
		{"half of TLS", func(c *server.Config) { s.configure(0, c); c.TLS.Key = "" }, "--tls-key"},
	} {
		cfg := server.DefaultConfig()
		cfg.DataDir, cfg.GRPCAddr, cfg.RaftAddr, cfg.GossipAddr = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
		cfg.AdvertiseHost = "127.0.0.1"
		cfg.Logger = slog.New(slog.DiscardHandler)
		tt.change(&cfg)
		srv, err := server.New(cfg)
		if err == nil {
			if err := srv.Close(); err != nil {
				t.Errorf("%s: close: %v", tt.name, err)
			}
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q in it", tt.name, err, tt.want)
		}
	}
}

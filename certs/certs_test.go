package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// makeSet writes an authority of the cluster shop to dir, and certificates: NAME -> roles.
func makeSet(t *testing.T, dir string, names map[string][]string) {
	t.Helper()
	pair, err := NewAuthority("shop", time.Now(), AuthorityValid)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteAuthority(dir, pair); err != nil {
		t.Fatal(err)
	}
	for name, roles := range names {
		issue(t, dir, dir, name, roles, time.Now())
	}
}

// issue writes a certificate by the authority of a folder to another.
func issue(t *testing.T, authority, dir, name string, roles []string, now time.Time) {
	t.Helper()
	a, err := LoadAuthority(authority)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Issue(name, roles, []string{"node.example", "127.0.0.1"}, now, Valid)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePair(dir, name, pair); err != nil {
		t.Fatal(err)
	}
}

func filesOf(dir, name string) Files {
	cert, key := PairFiles(dir, name)
	return Files{CA: filepath.Join(dir, "ca.crt"), Cert: cert, Key: key}
}

// open opens the files of a node that looks at them at every connection.
func open(t *testing.T, files Files) *Source {
	t.Helper()
	s, err := Open(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.every = 0
	return s
}

func pairOf(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(PairFiles(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// meet lets two sides talk, and returns the state of the dialing one and the errors of both.
func meet(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	done := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = raw.Close() }()
		_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
		conn := tls.Server(raw, server)
		if err := conn.HandshakeContext(t.Context()); err != nil {
			done <- err
			return
		}
		_, err = io.WriteString(conn, "welcome")
		done <- err
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, client)
	got := make([]byte, 7)
	_, clientErr = io.ReadFull(conn, got) // an error of the server shows at the first read
	state = conn.ConnectionState()
	_ = raw.Close()
	return state, <-done, clientErr
}

func TestIssue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	makeSet(t, dir, map[string][]string{"a": {NodeRole}, "alice": {"read", "train"}})
	for _, e := range must(os.ReadDir(dir)) {
		if info := must(e.Info()); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
	}
	node, client, ca := pairOf(t, dir, "a").Leaf, pairOf(t, dir, "alice").Leaf, pairOf(t, dir, "ca").Leaf
	if got := IdentityOf(client, "shop"); got.Name != "alice" || !slices.Equal(got.Roles, []string{"read", "train"}) {
		t.Errorf("client is %+v", got)
	}
	if got := IdentityOf(client, "other"); len(got.Roles) != 0 {
		t.Errorf("client has roles %v in another cluster", got.Roles)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, host := range []string{"node.example", "127.0.0.1"} {
		if _, err := node.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("node as %s: %v", host, err)
		}
	}
	if _, err := client.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("a client can be a server")
	}
	if d := time.Until(node.NotAfter); d > Valid || d < Valid-time.Hour {
		t.Errorf("a node is valid for %v, want %v", d, Valid)
	}
	// Nothing is overwritten, and a refusal writes nothing.
	a, err := LoadAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	before := must(os.ReadFile(filepath.Join(dir, "a.crt")))
	pair, err := a.Issue("a", []string{NodeRole}, nil, time.Now(), Valid)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePair(dir, "a", pair); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("overwriting: %v", err)
	}
	if after := must(os.ReadFile(filepath.Join(dir, "a.crt"))); string(after) != string(before) {
		t.Error("a.crt was overwritten")
	}
	if err := WriteAuthority(dir, pair); err == nil {
		t.Error("the authority was overwritten")
	}
	// A certificate does not outlive its authority.
	long, err := a.Issue("long", nil, nil, time.Now(), 2*AuthorityValid)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePair(dir, "long", long); err != nil {
		t.Fatal(err)
	}
	if leaf := pairOf(t, dir, "long").Leaf; leaf.NotAfter.After(ca.NotAfter) {
		t.Errorf("valid until %v, the authority until %v", leaf.NotAfter, ca.NotAfter)
	}
	for _, name := range []string{"", "../a", "a/b", "a b", strings.Repeat("a", 64)} {
		if _, err := a.Issue(name, nil, nil, time.Now(), Valid); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestWhoMeets has callers of all kinds at both listeners of a node.
func TestWhoMeets(t *testing.T) {
	ours, twin, foreign := t.TempDir(), t.TempDir(), t.TempDir()
	makeSet(t, ours, map[string][]string{"a": {NodeRole}, "b": {NodeRole}, "alice": {"admin"}})
	makeSet(t, foreign, map[string][]string{"f": {NodeRole}}) // another authority with the same name
	// A cluster of another name under the same authority.
	a := must(LoadAuthority(ours))
	a.cluster = "other"
	if err := WritePair(twin, "o", must(a.Issue("o", []string{NodeRole}, nil, time.Now(), Valid))); err != nil {
		t.Fatal(err)
	}
	issue(t, ours, twin, "late", []string{NodeRole}, time.Now().Add(-Valid-time.Hour))
	source := open(t, filesOf(ours, "a"))
	shows := func(dir, name string) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"p"}, Certificates: []tls.Certificate{pairOf(t, dir, name)}}
	}
	for _, tt := range []struct {
		name             string
		client           *tls.Config
		public, internal bool
	}{
		{"a node", open(t, filesOf(ours, "b")).Dial("p"), true, true},
		{"an administrator", shows(ours, "alice"), true, false},
		{"nobody", &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"p"}}, true, false},
		{"a node of another authority", shows(foreign, "f"), false, false},
		{"a node of another cluster", shows(twin, "o"), true, false}, // it has no role here
		{"a node whose certificate has ended", shows(twin, "late"), false, false},
		{"another protocol", &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"q"}, Certificates: []tls.Certificate{pairOf(t, ours, "b")}}, false, false},
		{"an old version of TLS", &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pairOf(t, ours, "b")}}, false, false},
	} {
		for _, listener := range []struct {
			name   string
			config *tls.Config
			want   bool
		}{{"public", source.Public("p"), tt.public}, {"internal", source.Internal("p"), tt.internal}} {
			_, serverErr, clientErr := meet(t, listener.config, tt.client)
			if got := serverErr == nil && clientErr == nil; got != listener.want {
				t.Errorf("%s at the %s listener gets in: %t, want %t (%v; %v)", tt.name, listener.name, got, listener.want, serverErr, clientErr)
			}
		}
	}
	// The other way: whom a node takes for a node when it calls.
	for _, tt := range []struct {
		name, dir, of string
		want          bool
	}{{"a node", ours, "b", true}, {"a client", ours, "alice", false}, {"another authority", foreign, "f", false}, {"another cluster", twin, "o", false}} {
		server := &tls.Config{Certificates: []tls.Certificate{pairOf(t, tt.dir, tt.of)}, NextProtos: []string{"p"}, ClientAuth: tls.RequestClientCert}
		_, _, clientErr := meet(t, server, source.Dial("p"))
		if got := clientErr == nil; got != tt.want {
			t.Errorf("calls %s: %t, want %t (%v)", tt.name, got, tt.want, clientErr)
		}
	}
}

// TestFilesAreFollowed changes the certificate of a node, then its authority, and writes what cannot be used between.
func TestFilesAreFollowed(t *testing.T) {
	live, next := t.TempDir(), t.TempDir()
	makeSet(t, live, map[string][]string{"a": {NodeRole}, "b": {NodeRole}})
	files := filesOf(live, "a")
	source, other := open(t, files), open(t, filesOf(live, "b"))
	serial := func() string {
		t.Helper()
		state, serverErr, clientErr := meet(t, source.Internal("p"), other.Dial("p"))
		if serverErr != nil || clientErr != nil {
			t.Fatalf("meet: %v; %v", serverErr, clientErr)
		}
		return state.PeerCertificates[0].SerialNumber.String()
	}
	put := func(from, name string) {
		t.Helper()
		cert, key := PairFiles(from, name)
		for from, to := range map[string]string{key: files.Key, cert: files.Cert} {
			if err := os.WriteFile(to, must(os.ReadFile(from)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := serial()
	if again := serial(); again != first {
		t.Fatalf("another certificate without a change")
	}
	issue(t, live, next, "a", []string{NodeRole}, time.Now())
	put(next, "a")
	second := serial()
	if second == first {
		t.Fatal("the old certificate after a change")
	}
	if err := os.WriteFile(files.Cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != second {
		t.Error("a broken file changed the certificate in use")
	}
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != second {
		t.Error("a missing key changed the certificate in use")
	}
	// A new authority: both are trusted, then both nodes get new certificates, then the old one goes.
	fresh := t.TempDir()
	makeSet(t, fresh, map[string][]string{"a": {NodeRole}, "b": {NodeRole}})
	oldCA, newCA := must(os.ReadFile(files.CA)), must(os.ReadFile(filepath.Join(fresh, "ca.crt")))
	if err := os.WriteFile(files.CA, slices.Concat(oldCA, newCA), 0o600); err != nil {
		t.Fatal(err)
	}
	put(fresh, "a")
	third := serial()
	if third == second {
		t.Error("the old certificate after the change of the authority")
	}
	bCert, bKey := PairFiles(live, "b")
	freshCert, freshKey := PairFiles(fresh, "b")
	for from, to := range map[string]string{freshCert: bCert, freshKey: bKey} {
		if err := os.WriteFile(to, must(os.ReadFile(from)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(files.CA, newCA, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != third {
		t.Error("another certificate after the old authority went")
	}
	stale := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"p"}, Certificates: []tls.Certificate{pairOf(t, next, "a")}}
	if _, serverErr, _ := meet(t, source.Internal("p"), stale); serverErr == nil {
		t.Error("a certificate of the authority that went gets in")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	makeSet(t, dir, map[string][]string{"a": {NodeRole}, "alice": {"read"}})
	makeSet(t, other, nil)
	issue(t, dir, dir, "late", []string{NodeRole}, time.Now().Add(-Valid-time.Hour))
	good := filesOf(dir, "a")
	for _, tt := range []struct {
		name  string
		files Files
		want  string
	}{
		{"no key", Files{good.CA, good.Cert, ""}, "--tls-key"},
		{"missing", Files{good.CA, good.Cert, filepath.Join(dir, "none")}, "no such file"},
		{"a key of another", Files{good.CA, good.Cert, filesOf(dir, "alice").Key}, "does not match"},
		{"a client", filesOf(dir, "alice"), "kith cert node"},
		{"ended", filesOf(dir, "late"), "expired"},
		{"another authority", Files{filepath.Join(other, "ca.crt"), good.Cert, good.Key}, "unknown authority"},
		{"no authority", Files{good.Key, good.Cert, good.Key}, "no certificate in PEM"},
	} {
		_, err := Open(tt.files, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q in it", tt.name, err, tt.want)
		}
	}
}

package consensus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// selfSigned returns a certificate and the pool that trusts it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// runTLSMux is runMux with TLS.
func runTLSMux(t *testing.T, server, client *tls.Config) *Mux {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := NewTLSMux(ln, "", server, client, nil)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m
}

// TestTLSMux has nodes call each other by TLS, and callers without, or with another certificate, refused while silent ones wait.
func TestTLSMux(t *testing.T) {
	cert, pool := selfSigned(t)
	stranger, _ := selfSigned(t)
	server := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	client := func(cert tls.Certificate) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: "127.0.0.1"}
	}
	m := runTLSMux(t, server, client(cert))
	l, err := m.layer("g", "a")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })

	for name, other := range map[string]*Mux{"without TLS": runMux(t), "a stranger": runTLSMux(t, server, client(stranger))} {
		from, err := other.layer("g", "b")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := from.Dial(raft.ServerAddress("a@"+m.Addr().String()), 5*time.Second)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err = io.ReadFull(conn, make([]byte, 1)); err == nil {
			t.Errorf("%s gets in", name)
		}
		_ = conn.Close()
	}

	from, err := runTLSMux(t, server, client(cert)).layer("g", "b")
	if err != nil {
		t.Fatal(err)
	}
	done := echo(l)
	conn, err := from.Dial(raft.ServerAddress("a@"+m.Addr().String()), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	_ = conn.Close()
	if err := <-done; err != nil {
		t.Errorf("echo: %v", err)
	}
}

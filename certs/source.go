package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/kith-io/kith/durable"
)

// lookEvery is how long the files are taken to be unchanged: a second at most until a new connection uses what was written.
const lookEvery = time.Second

// soon is how long before the end of a certificate a server warns of it.
const soon = 30 * 24 * time.Hour

// Files are PEM files of a node: the authorities that it trusts, its certificate with intermediate ones, and its key.
type Files struct{ CA, Cert, Key string }

// Set reports whether any file is named.
func (f Files) Set() bool { return f != Files{} }

// Source gives TLS settings of a node that follow its files: a connection uses what was in them at most a second before. Where files
// cannot be read, or do not fit together, the last good ones stay. It is safe for concurrent use.
type Source struct {
	files   Files
	cluster string
	log     *slog.Logger
	now     func() time.Time
	every   time.Duration

	mu     sync.Mutex // guards what follows
	looked time.Time
	infos  [3]os.FileInfo // nil where a file could not be looked at
	good   *material
}

// material is what was read from the files.
type material struct {
	cert  *tls.Certificate
	roots *x509.CertPool
}

// Open reads the files of a node. Its certificate must be signed by one of the authorities, not have ended, and have the role node in one cluster.
func Open(files Files, log *slog.Logger) (*Source, error) {
	s := &Source{files: files, log: log, now: time.Now, every: lookEvery}
	for _, f := range []struct{ what, path string }{{"authorities (--tls-ca)", files.CA}, {"certificate (--tls-cert)", files.Cert}, {"key (--tls-key)", files.Key}} {
		if f.path == "" {
			return nil, fmt.Errorf("TLS: no file of the %s; a server needs all three, as made by 'kith cert', or none of them: see also KITH_TLS_CA, KITH_TLS_CERT and KITH_TLS_KEY",
				f.what)
		}
	}
	s.infos = s.stat()
	m, err := s.load()
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if s.cluster, err = clusterOf(m.cert.Leaf); err != nil {
		return nil, fmt.Errorf("TLS: %s: %w", files.Cert, err)
	}
	s.good, s.looked = m, s.now()
	s.warn(m)
	return s, nil
}

// Cluster is the name of the cluster in the certificate.
func (s *Source) Cluster() string { return s.cluster }

// Expires returns when the certificate in use ends.
func (s *Source) Expires() time.Time { return s.current().cert.Leaf.NotAfter }

func (s *Source) stat() (infos [3]os.FileInfo) {
	for i, path := range []string{s.files.CA, s.files.Cert, s.files.Key} {
		infos[i], _ = os.Stat(path) // an error shows at reading
	}
	return infos
}

// load reads the files and checks that they fit together.
func (s *Source) load() (*material, error) {
	pem, err := os.ReadFile(s.files.CA)
	if err != nil {
		return nil, err
	}
	m := &material{roots: x509.NewCertPool()}
	if !m.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", s.files.CA)
	}
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", s.files.Cert, s.files.Key, err)
	}
	m.cert = &pair
	var rest []*x509.Certificate
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.files.Cert, err)
		}
		rest = append(rest, c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := m.check(append([]*x509.Certificate{pair.Leaf}, rest...), usage, s.now()); err != nil {
			return nil, fmt.Errorf("%s: %w; make one with 'kith cert node'", s.files.Cert, err)
		}
	}
	return m, nil
}

// current returns what is in the files, or the last that was good.
func (s *Source) current() *material {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.looked) < s.every {
		return s.good
	}
	s.looked = now
	infos := s.stat()
	if slices.EqualFunc(infos[:], s.infos[:], durable.Same) {
		return s.good
	}
	m, err := s.load()
	if err == nil {
		var cluster string
		if cluster, err = clusterOf(m.cert.Leaf); err == nil && cluster != s.cluster {
			err = fmt.Errorf("%s is of cluster %s, this one is %s", s.files.Cert, cluster, s.cluster)
		}
	}
	s.infos = infos
	if err != nil {
		s.log.Warn("keep the certificate in use; the files cannot be used", "err", err)
		return s.good
	}
	s.good = m
	s.log.Info("use new certificates", "name", m.cert.Leaf.Subject.CommonName, "until", m.cert.Leaf.NotAfter)
	s.warn(m)
	return m
}

// warn tells of an end that is near.
func (s *Source) warn(m *material) {
	if end := m.cert.Leaf.NotAfter; end.Sub(s.now()) < soon {
		s.log.Warn("the certificate ends soon; write a new one to its files, which are read without a restart", "file", s.files.Cert, "until", end)
	}
}

// check verifies a certificate, which comes first, with the intermediate ones after it.
func (m *material) check(chain []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: m.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: now})
	return err
}

// verify checks the certificate of the other side, and that it has a role of this cluster: node, or any.
func (s *Source) verify(state tls.ConnectionState, usage x509.ExtKeyUsage, node bool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	if err := s.current().check(state.PeerCertificates, usage, s.now()); err != nil {
		return err
	}
	id := IdentityOf(state.PeerCertificates[0], s.cluster)
	if node && !slices.Contains(id.Roles, NodeRole) {
		return fmt.Errorf("the certificate %q is not of a node of cluster %s", id.Name, s.cluster)
	}
	return nil
}

// config has what all settings share. Certificates are verified in VerifyConnection alone, which knows the newest authorities; without
// session tickets every connection shows its certificate.
func (s *Source) config(protocols []string, verify func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols, SessionTicketsDisabled: true, VerifyConnection: verify,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current().cert, nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.current().cert, nil },
	}
}

// Public returns the settings of a listener for clients: one that shows a certificate must show a good one.
func (s *Source) Public(protocols ...string) *tls.Config {
	c := s.config(protocols, func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return s.verify(state, x509.ExtKeyUsageClientAuth, false)
	})
	c.ClientAuth = tls.RequestClientCert
	return c
}

// Internal returns the settings of a listener for nodes of the same cluster alone.
func (s *Source) Internal(protocols ...string) *tls.Config {
	c := s.config(protocols, func(state tls.ConnectionState) error { return s.verify(state, x509.ExtKeyUsageClientAuth, true) })
	c.ClientAuth = tls.RequireAnyClientCert
	return c
}

// Dial returns the settings of connections to nodes. Whom they reach is known by authority, cluster and role, not by host: addresses come
// from gossip and change, and any node may stand in for another.
func (s *Source) Dial(protocols ...string) *tls.Config {
	c := s.config(protocols, func(state tls.ConnectionState) error { return s.verify(state, x509.ExtKeyUsageServerAuth, true) })
	c.InsecureSkipVerify = true // VerifyConnection does it
	return c
}

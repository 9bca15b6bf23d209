package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	// AuthorityValid is how long an authority is used: replacing one takes a hand on every machine.
	AuthorityValid = 10 * 365 * 24 * time.Hour
	// Valid is how long nodes and clients use a certificate: a year, so that replacing it stays a habit.
	Valid = 365 * 24 * time.Hour
	// skew is how far the clock of another machine may be behind.
	skew = 5 * time.Minute
	// filePerm is the mode of all files that are made here.
	filePerm = 0o600
	// authorityName names the files of an authority, and its cluster is its organizational unit.
	authorityName = "ca"
)

// Authority signs certificates of one cluster.
type Authority struct {
	cert    *x509.Certificate
	key     any
	cluster string
}

// Pair is a certificate and its key, in PEM.
type Pair struct{ Cert, Key []byte }

// NewAuthority makes an authority, with a key of ECDSA P-256.
func NewAuthority(cluster string, now time.Time, valid time.Duration) (Pair, error) {
	if !validName.MatchString(cluster) {
		return Pair{}, fmt.Errorf("cluster %q: want 1 to 63 letters, digits, dots, underscores or hyphens", cluster)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "kith authority of " + cluster, OrganizationalUnit: []string{cluster}},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(valid),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return sign(template, nil)
}

// LoadAuthority reads the authority that WritePair put in a folder.
func LoadAuthority(dir string) (*Authority, error) {
	certFile, keyFile := PairFiles(dir, authorityName)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("authority in %s: %w; make one with 'kith cert ca'", dir, err)
	}
	cert := pair.Leaf
	if !cert.IsCA || len(cert.Subject.OrganizationalUnit) != 1 || !validName.MatchString(cert.Subject.OrganizationalUnit[0]) {
		return nil, fmt.Errorf("%s is no authority that 'kith cert ca' made", certFile)
	}
	return &Authority{cert: cert, key: pair.PrivateKey, cluster: cert.Subject.OrganizationalUnit[0]}, nil
}

// Cluster is the name of the cluster that the authority is of.
func (a *Authority) Cluster() string { return a.cluster }

// Issue makes a certificate for a node or a client with some roles. Only a node has hosts, names or addresses by which others reach it.
// The certificate ends with that of the authority at the latest.
func (a *Authority) Issue(name string, roles, hosts []string, now time.Time, valid time.Duration) (Pair, error) {
	if !validName.MatchString(name) {
		return Pair{}, fmt.Errorf("name %q: want 1 to 63 letters, digits, dots, underscores or hyphens", name)
	}
	if valid <= 0 {
		return Pair{}, fmt.Errorf("validity is %v; want more than 0", valid)
	}
	if !now.Before(a.cert.NotAfter) {
		return Pair{}, fmt.Errorf("the authority ended at %v; make another one in another folder with 'kith cert ca'", a.cert.NotAfter)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name, OrganizationalUnit: []string{a.cluster}},
		NotBefore:   now.Add(-skew),
		NotAfter:    now.Add(valid),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	for _, role := range roles {
		if role == NodeRole {
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		}
		template.URIs = append(template.URIs, &url.URL{Scheme: scheme, Host: a.cluster, Path: "/" + role})
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, host)
	}
	return sign(template, a)
}

// sign makes a key and signs a certificate for it, by itself without an authority.
func sign(template *x509.Certificate, by *Authority) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return Pair{}, err
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.cert, by.key
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return Pair{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}, nil
}

// PairFiles returns where WritePair puts a pair.
func PairFiles(dir, name string) (cert, key string) {
	return filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
}

// WriteAuthority writes an authority as ca.crt and ca.key in a folder, which it makes if it is missing.
func WriteAuthority(dir string, p Pair) error { return WritePair(dir, authorityName, p) }

// WritePair writes a pair as NAME.crt and NAME.key in a folder, readable by the owner alone. It makes the folder if it is missing, and
// writes nothing if one of the files is there.
func WritePair(dir, name string, p Pair) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	certFile, keyFile := PairFiles(dir, name)
	for _, path := range []string{certFile, keyFile} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s is there already; choose another name or folder, or move it away", path), err)
		}
	}
	if err := writeNew(keyFile, p.Key); err != nil {
		return err
	}
	return writeNew(certFile, p.Cert)
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, filePerm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

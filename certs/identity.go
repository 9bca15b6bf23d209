package certs

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// scheme of the URI names that say what a certificate stands for.
const scheme = "kith"

// NodeRole is the role of servers.
const NodeRole = "node"

// validName bounds the names of clusters, and of files and common names.
var validName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)

// Identity is whom a certificate names.
type Identity struct {
	// Name is the common name.
	Name string
	// Roles are those in the cluster that was asked for, ascending.
	Roles []string
	// Expires is the end of the certificate.
	Expires time.Time
}

// IdentityOf returns whom a certificate names in a cluster. It does not verify the certificate.
func IdentityOf(cert *x509.Certificate, cluster string) Identity {
	id := Identity{Name: cert.Subject.CommonName, Expires: cert.NotAfter}
	for _, u := range cert.URIs {
		if c, role, ok := parseName(u); ok && c == cluster {
			id.Roles = append(id.Roles, role)
		}
	}
	slices.Sort(id.Roles)
	id.Roles = slices.Compact(id.Roles)
	return id
}

// parseName takes a name such as kith://shop/node apart.
func parseName(u *url.URL) (cluster, role string, ok bool) {
	role, rooted := strings.CutPrefix(u.Path, "/")
	ok = u.Scheme == scheme && u.Host != "" && rooted && role != "" && !strings.Contains(role, "/") && u.RawQuery == "" && u.Fragment == "" && u.User == nil
	return u.Host, role, ok
}

// clusterOf returns the cluster that a certificate is of a node of.
func clusterOf(cert *x509.Certificate) (string, error) {
	var found []string
	for _, u := range cert.URIs {
		if cluster, role, ok := parseName(u); ok && role == NodeRole {
			found = append(found, cluster)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("the certificate %q names %d clusters as a node; want one URI name such as kith://shop/node: make one with 'kith cert node'",
			cert.Subject.CommonName, len(found))
	}
	return found[0], nil
}

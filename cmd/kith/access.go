package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// access are the flags by which a client knows a server, and shows who it is.
type access struct {
	ca, cert, key, name, apiKey string
}

// systemRoots stands for the authorities that the machine trusts, in the place of a file.
const systemRoots = "system"

func (x *access) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&x.ca, "tls-ca", "", "PEM `file` of the authority of the servers, or \"system\" for those of this machine; connects by TLS")
	f.StringVar(&x.cert, "tls-cert", "", "PEM `file` of the certificate to show")
	f.StringVar(&x.key, "tls-key", "", "PEM `file` of its key")
	f.StringVar(&x.name, "tls-server-name", "", "`host` in the certificates of the servers (default: that of the address)")
	f.StringVar(&x.apiKey, "api-key", "", "API key or token; better set by environment, KITH_API_KEY")
}

// options returns the credentials of connections.
func (x *access) options() ([]grpc.DialOption, error) {
	cfg, err := x.config()
	if cfg == nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(cfg))}
	if key := strings.TrimSpace(x.apiKey); key != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(key)))
	}
	return options, nil
}

// config returns how to connect by TLS, or nil without it.
func (x *access) config() (*tls.Config, error) {
	if x.ca == "" {
		if x.cert != "" || x.key != "" || x.name != "" || x.apiKey != "" {
			return nil, usagef("--api-key and --tls-... need --tls-ca: a file such as certs/ca.crt, or %q", systemRoots)
		}
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: x.name}
	if x.ca != systemRoots {
		pem, err := os.ReadFile(x.ca)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--tls-ca: %s has no certificate in PEM", x.ca)
		}
	}
	if (x.cert == "") != (x.key == "") {
		return nil, usagef("--tls-cert and --tls-key belong together")
	}
	if x.cert != "" {
		pair, err := tls.LoadX509KeyPair(x.cert, x.key)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// bearer is an API key or a token that is shown with each call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: a key is never sent in the clear.
func (bearer) RequireTransportSecurity() bool { return true }

var _ credentials.PerRPCCredentials = bearer("")

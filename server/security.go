package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/kith-io/kith/audit"
	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/certs"
	"github.com/kith-io/kith/durable"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/gossip"
)

// Protocols within TLS, so that a connection that is meant for one listener means nothing to another.
const (
	raftProtocol = "kith-raft"
	grpcProtocol = "h2"
)

// connectionAge is how long a connection may show the same certificates. Other nodes keep theirs open for as long as they run, beyond the end of
// a certificate that was replaced long before.
const connectionAge = time.Hour

// auditDir is the folder of the audit log in a data folder.
const auditDir = "audit"

// security is what protects a process.
type security struct {
	certs *certs.Source // nil without TLS
	guard *auth.Guard
	audit *audit.Log
	// keysFile of gossip as it was read last; nil without a file.
	keysFile os.FileInfo
}

// checkExposure refuses addresses that other machines reach and nothing protects.
func (c *Config) checkExposure() error {
	if c.Insecure {
		return nil
	}
	var open []string
	for _, a := range []struct {
		name, addr string
		safe       bool
	}{
		{"GRPCAddr (--grpc-addr)", c.GRPCAddr, c.TLS.Set()},
		{"RaftAddr (--raft-addr)", c.RaftAddr, c.TLS.Set()},
		{"HTTPAddr (--http-addr)", c.HTTPAddr, c.TLS.Set()},
		{"GossipAddr (--gossip-addr)", c.GossipAddr, c.GossipKeysFile != "" || len(c.GossipKey) > 0},
	} {
		if a.addr != "" && !a.safe && !loopback(a.addr) {
			open = append(open, fmt.Sprintf("%s %q", a.name, a.addr))
		}
	}
	if len(open) == 0 {
		return nil
	}
	return fmt.Errorf("server: other machines reach %s, and nothing keeps strangers out: make certificates with 'kith cert' and give them with --tls-ca, --tls-cert and "+
		"--tls-key, and a gossip key with 'kith key gossip' and --gossip-keys (docs/security.md); or listen on 127.0.0.1; or, in a network of friends, add --insecure",
		strings.Join(open, ", "))
}

// loopback reports whether only this machine reaches an address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// secure opens certificates, keys and the audit log.
func (s *Server) secure() (err error) {
	log := s.log
	if s.security.audit, err = audit.Open(filepath.Join(s.cfg.DataDir, auditDir), s.cfg.AuditBytes); err != nil {
		return err
	}
	cluster := ""
	if s.cfg.TLS.Set() {
		if s.security.certs, err = certs.Open(s.cfg.TLS, log); err != nil {
			return err
		}
		cluster = s.security.certs.Cluster()
	}
	s.security.guard, err = auth.New(auth.Config{
		Cluster: cluster, KeysFile: s.cfg.KeysFile, Issuer: s.cfg.Issuer, Rate: s.cfg.Rate, Node: s.id, Audit: s.security.audit, Log: log,
		Refused: s.watching.refused,
	})
	return err
}

// newMux returns the listener of raft.
func (s *Server) newMux(ln net.Listener) *consensus.Mux {
	if c := s.security.certs; c != nil {
		return consensus.NewTLSMux(ln, s.raftAddr, c.Internal(raftProtocol), c.Dial(raftProtocol), s.log)
	}
	return consensus.NewMux(ln, s.raftAddr, s.log)
}

// newPeers returns the connections to other nodes.
func (s *Server) newPeers() *node.Peers {
	options := s.watching.tracer.DialOptions()
	if c := s.security.certs; c != nil {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(c.Dial(grpcProtocol))))
	}
	return node.NewPeers(s.id, s.watching.calls.Conn, options...)
}

// serverOptions are those of the gRPC server.
func (s *Server) serverOptions() []grpc.ServerOption {
	options := slices.Concat(node.TransportOptions(), s.watching.tracer.ServerOptions(), s.watching.calls.ServerOptions(), s.security.guard.ServerOptions())
	if c := s.security.certs; c != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(c.Public(grpcProtocol))), node.KeepAlive(connectionAge))
	}
	return options
}

// httpTLS returns the settings of the HTTP listener, or nil without TLS.
func (s *Server) httpTLS() *tls.Config {
	if c := s.security.certs; c != nil {
		return c.Public("h2", "http/1.1")
	}
	return nil
}

// gossipKeys returns the keys of gossip at the start.
func (s *Server) gossipKeys() ([][]byte, error) {
	switch {
	case s.cfg.GossipKeysFile != "" && len(s.cfg.GossipKey) > 0:
		return nil, errors.New("gossip: a key and a file of keys; give one of them")
	case len(s.cfg.GossipKey) > 0:
		return [][]byte{s.cfg.GossipKey}, nil
	case s.cfg.GossipKeysFile == "":
		return nil, nil
	}
	var err error
	if s.security.keysFile, err = os.Stat(s.cfg.GossipKeysFile); err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	return gossip.ReadKeys(s.cfg.GossipKeysFile)
}

// followGossipKeys takes over the keys of gossip if their file has changed. Where it cannot be used, the keys stay.
func (s *Server) followGossipKeys() {
	if s.security.keysFile == nil {
		return
	}
	info, err := os.Stat(s.cfg.GossipKeysFile)
	if err != nil {
		s.log.Debug("look for new gossip keys", "err", err) // it is being replaced
		return
	}
	if durable.Same(info, s.security.keysFile) {
		return
	}
	s.security.keysFile = info
	keys, err := gossip.ReadKeys(s.cfg.GossipKeysFile)
	if err == nil {
		err = s.gossip.SetKeys(keys)
	}
	if err != nil {
		s.log.Warn("go on with the gossip keys as they were", "err", err)
		return
	}
	s.log.Info("use new gossip keys", "keys", len(keys))
}

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/telemetry"
)

const (
	// httpHeaderTime is how long a client may take to send the header of a request.
	httpHeaderTime = 10 * time.Second
	// httpIdleTime is how long a connection without a request stays open.
	httpIdleTime = 2 * time.Minute
	// httpHeaderBytes bounds the header of a request.
	httpHeaderBytes = 64 << 10
)

// openHTTP listens for requests over HTTP, if there is an address for it.
func (s *Server) openHTTP() (err error) {
	if s.cfg.HTTPAddr == "" {
		return nil
	}
	if s.httpLn, err = net.Listen("tcp", s.cfg.HTTPAddr); err != nil {
		return fmt.Errorf("listen for HTTP on %s: %w", s.cfg.HTTPAddr, err)
	}
	services, err := s.api.Handler(s.security.guard, s.watching.calls.Failed)
	if err != nil {
		return err
	}
	handler := s.routes(services)
	if s.httpTLS() == nil && loopback(s.httpLn.Addr().String()) {
		handler = onlyLocalNames(handler)
	}
	s.http = &http.Server{
		Handler: s.whileServing(s.watching.http.Handler(handler)), TLSConfig: s.httpTLS(), ReadHeaderTimeout: httpHeaderTime, IdleTimeout: httpIdleTime, MaxHeaderBytes: httpHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return nil
}

// onlyLocalNames refuses requests to a name that is not of this machine alone. Without TLS on loopback nobody is asked who they are; a page in a browser here whose
// name leads to this address suddenly (DNS rebinding) would be one of those.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if host != "" && host != "localhost" && !strings.HasSuffix(host, ".localhost") && !isAddress(strings.Trim(host, "[]")) {
			wire.WriteHTTP(w, &wire.HTTPError{
				Status: http.StatusForbidden, Reason: "BAD_HOST",
				Message: "on loopback without TLS this server goes by localhost or an address alone; a proxy before it has to set the header Host so",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isAddress reports whether a host is an address of IP, as net.ParseIP does, which makes memory for it.
func isAddress(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == ""
}

// routes returns the HTTP face: that of the services, and what operators ask of the process.
func (s *Server) routes(services http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", services)
	for pattern, h := range s.operatorRoutes() {
		mux.Handle(pattern, s.security.guard.Route(pattern, h))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") { // is for the services alone, so that one mux need look at it
			services.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// operatorRoutes returns the handlers for operators by pattern.
func (s *Server) operatorRoutes() map[string]http.Handler {
	routes := telemetry.Profiles()
	routes["GET /metrics"] = telemetry.Handler(s.watching.registry)
	return routes
}

// HTTPAddr returns the address of the HTTP face, or "" without one.
func (s *Server) HTTPAddr() string {
	if s.httpLn == nil {
		return ""
	}
	return s.httpLn.Addr().String()
}

// serveHTTP answers until drainHTTP or http.Close.
func (s *Server) serveHTTP() error {
	if s.http == nil {
		return nil
	}
	serve := s.http.Serve
	if s.http.TLSConfig != nil {
		serve = func(ln net.Listener) error { return s.http.ServeTLS(ln, "", "") } // the settings have the certificate
	}
	if err := serve(s.httpLn); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// whileServing lets requests through until breakOffHTTP.
func (s *Server) whileServing(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.httpBusy.TryRLock() {
			return // the connection is closed
		}
		defer s.httpBusy.RUnlock()
		h.ServeHTTP(w, r)
	})
}

// breakOffHTTP closes all connections, which cancels the requests under way, and waits for their end: what they use is closed next.
func (s *Server) breakOffHTTP() error {
	err := s.http.Close()
	s.httpBusy.Lock() // for good
	return err
}

// drainHTTP takes no new requests and lets those under way end, for a while.
func (s *Server) drainHTTP(ctx context.Context) {
	if s.http == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("requests over HTTP were broken off", "err", errors.Join(err, s.breakOffHTTP()))
	}
}

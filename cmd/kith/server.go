package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/evaluate/trials"
	"github.com/kith-io/kith/node/gossip"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/server"
)

func (a *app) serverCommand() *cobra.Command {
	cfg := server.DefaultConfig()
	var config, key string
	var cacheMiB, historyMiB, inflightMiB, reserveMiB int64
	var moveMiB int
	var modelMiB, trialMiB int64
	var models modelList
	level := choice{"info", []string{"debug", "info", "warn", "error"}}
	format := choice{"text", []string{"text", "json"}}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a server: a cluster of its own, or a part of one",
		Long: `Run a server. Without flags it is a complete cluster of one process that this machine
alone reaches. Servers that are to make a new cluster together are told how many they are
and where the others are; later ones join without --bootstrap-expect.

SIGINT or SIGTERM stops it in order: it says goodbye, ends the calls in flight and closes
its data. A file given with --config has the names of the flags as keys.

A server on an address that other machines reach needs certificates and a key of gossip, or
--insecure. With certificates, other servers show one of the same cluster, and clients show a
certificate, an API key or a token (docs/security.md). Files of certificates and keys are
followed: what is written to them counts within a second.`,
		Example: `  kith server --data-dir /var/lib/kith

  # three servers, on each machine, here a; 'kith cert' and 'kith key' make the files:
  kith server --grpc-addr :7801 --raft-addr :7802 --gossip-addr :7803 \
      --join a:7803,b:7803,c:7803 --bootstrap-expect 3 --gossip-keys gossip.keys \
      --tls-ca certs/ca.crt --tls-cert certs/a.crt --tls-key certs/a.key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.GossipKey, err = gossipKey(key); err != nil {
				return err
			}
			if cacheMiB < 1 || cacheMiB > 1<<20 {
				return usagef("--cache-mib is %d; want 1 to %d", cacheMiB, 1<<20)
			}
			if historyMiB < 1 || historyMiB > 1<<20 {
				return usagef("--history-mib is %d; want 1 to %d", historyMiB, 1<<20)
			}
			if inflightMiB < 1 || inflightMiB > 1<<20 {
				return usagef("--max-inflight-mib is %d; want 1 to %d", inflightMiB, 1<<20)
			}
			if reserveMiB < 0 || reserveMiB > 1<<30 {
				return usagef("--disk-reserve-mib is %d; want 0 to %d", reserveMiB, 1<<30)
			}
			if moveMiB < 1 || moveMiB > 1<<20 {
				return usagef("--move-mib is %d; want 1 to %d", moveMiB, 1<<20)
			}
			if modelMiB < 1 || modelMiB > 1<<30 {
				return usagef("--model-memory-mib is %d; want 1 to %d", modelMiB, 1<<30)
			}
			if trialMiB < 1 || trialMiB > 1<<30 {
				return usagef("--trial-memory-mib is %d; want 1 to %d", trialMiB, 1<<30)
			}
			cfg.Models, cfg.ModelMemory, cfg.TrialMemory = models, modelMiB<<20, trialMiB<<20
			cfg.CacheBytes, cfg.HistoryBytes, cfg.MoveRate = cacheMiB<<20, historyMiB<<20, moveMiB<<20
			cfg.MaxInflightBytes, cfg.DiskReserveBytes = inflightMiB<<20, reserveMiB<<20
			cfg.Version, cfg.Logger = thisBuild().Version, a.logger(level.value, format.value)
			if err := cfg.Validate(); err != nil {
				return &usageError{err}
			}
			ballast := roomForQueries(&cfg)
			defer runtime.KeepAlive(ballast)
			defer cfg.Processors.Close()
			return runServer(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, configFlag, "", "YAML `file` with settings; its keys are the names of these flags")
	f.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "`folder` of everything that the server keeps")
	f.StringVar(&cfg.GRPCAddr, "grpc-addr", cfg.GRPCAddr, "`host:port` for calls of clients and servers; port 0 picks one")
	f.StringVar(&cfg.RaftAddr, "raft-addr", cfg.RaftAddr, "`host:port` for replication")
	f.StringVar(&cfg.GossipAddr, "gossip-addr", cfg.GossipAddr, "`host:port` for membership, the address that others join")
	f.StringVar(&cfg.HTTPAddr, "http-addr", "", "`host:port` to answer HTTP on: JSON under /v1, a page to try it at /docs, metrics and profiles (default: none)")
	f.StringVar(&cfg.AdvertiseHost, "advertise-host", "", "`host` by which others reach this server (default: the one listened on)")
	f.StringSliceVar(&cfg.Join, "join", nil, "gossip `addresses` of servers of the cluster")
	f.IntVar(&cfg.BootstrapExpect, "bootstrap-expect", 0, "number of servers that make a new cluster together: 1, 3 or 5 (default 1, or none with --join)")
	f.IntVar(&cfg.Partitions, "partitions", cfg.Partitions, "partitions of a new cluster; fixed afterwards")
	f.IntVar(&cfg.Replication, "replication", 0, "replicas of each partition of a new cluster, as far as there are servers (default 3)")
	f.DurationVar(&cfg.BuildEvery, "build-every", time.Minute, "how often a model is built when events have come; 0 means only by 'kith build'")
	f.Var(&models, "models", "`models` that such builds train, as in 'kith build --models' (default: those of the active version)")
	f.Int64Var(&modelMiB, "model-memory-mib", worker.DefaultModelMemory>>20, "most that models in training keep for each other on this server, in MiB")
	f.Int64Var(&trialMiB, "trial-memory-mib", trials.DefaultMemory>>20, "most that the data of 'kith evaluate --workers' take on this server, in MiB")
	f.DurationVar(&cfg.DeadAfter, "dead-after", cfg.DeadAfter, "how long a server may not answer before its replicas go to others")
	f.StringVar(&cfg.Zone, "zone", "", "what fails together with this server; replicas spread over zones")
	f.Float64Var(&cfg.Weight, "weight", cfg.Weight, "relative share of data and work of this server")
	f.IntVar(&cfg.Threads, "threads", 0, "threads of builds (default: one for each processor)")
	f.StringVar(&cfg.NodeID, "node-id", "", "name of this server for all time (default: made up and kept)")
	f.IntVar(&moveMiB, "move-mib", cfg.MoveRate>>20, "most MiB a second that this server sends as copies of partitions")
	f.Int64Var(&cacheMiB, "cache-mib", cfg.CacheBytes>>20, "block cache of the event stores, in MiB")
	f.Int64Var(&historyMiB, "history-mib", cfg.HistoryBytes>>20, "histories of users in memory, in MiB: queries for these read nothing from the event stores")
	f.Int64Var(&inflightMiB, "max-inflight-mib", cfg.MaxInflightBytes>>20, "events under way at once, in MiB; more are refused for the moment")
	f.Int64Var(&reserveMiB, "disk-reserve-mib", 0, "free space on the disk, in MiB, below which no new data is taken (default 1% of the disk, 256 at most)")
	f.DurationVar(&cfg.ScrubInterval, "scrub-interval", 0, "how often all files are read and compared with their checksums (default 24h)")
	f.StringVar(&key, "gossip-key", "", "base64 of 16, 24 or 32 bytes that encrypt membership; better set by environment or file")
	f.StringVar(&cfg.GossipKeysFile, "gossip-keys", "", "`file` of keys that encrypt membership, in the place of --gossip-key")
	f.StringVar(&cfg.TLS.CA, "tls-ca", "", "PEM `file` of the authorities of servers and clients")
	f.StringVar(&cfg.TLS.Cert, "tls-cert", "", "PEM `file` of the certificate of this server")
	f.StringVar(&cfg.TLS.Key, "tls-key", "", "PEM `file` of its key")
	f.StringVar(&cfg.KeysFile, keysFileFlag, "", "`file` of the API keys that are taken, as 'kith key create' makes it")
	f.StringVar(&cfg.Issuer.URL, "oidc-issuer", "", "`URL` of an issuer of OpenID Connect whose tokens are taken")
	f.StringVar(&cfg.Issuer.Audience, "oidc-audience", "", "audience that tokens must be for")
	f.StringVar(&cfg.Issuer.RoleClaim, "oidc-role-claim", "", "`claim` with the roles of a token; dots lead into objects (default "+auth.DefaultRoleClaim+")")
	f.Float64Var(&cfg.Rate, "rate-limit", 0, "most calls a second of each caller whose key has no rate of its own (default: no bound)")
	f.StringVar(&cfg.TraceEndpoint, "trace-endpoint", "", "`URL` that takes traces by OTLP over gRPC, such as http://localhost:4317 (default: none)")
	f.Float64Var(&cfg.TraceRatio, "trace-ratio", cfg.TraceRatio, "share of the requests that are traced, where the caller has not decided it")
	f.DurationVar(&cfg.SlowQuery, "slow-query", cfg.SlowQuery, "how long a query may take before the log says so; 0 for never")
	f.BoolVar(&cfg.Insecure, "insecure", false, "let other machines reach this server without TLS and keys, as friends")
	f.BoolVar(&cfg.Local, "local", false, "short timings, for servers on one machine")
	f.Var(&level, "log-level", "least level of the log")
	f.Var(&format, "log-format", "form of the log on standard error")
	return cmd
}

// roomForQueries has the runtime get more processors while builds compute, as many as they use, where the threads of builds have a low priority. The number of
// threads stays what it was. It also returns memory that is never touched, to be kept alive: the heap grows by as much at least before
// it is collected, where a small one would be collected many times a second during a build, each time at the cost of queries.
func roomForQueries(cfg *server.Config) (ballast []byte) {
	procs := runtime.GOMAXPROCS(0)
	if cfg.Threads == 0 {
		cfg.Threads = procs
	}
	if runtime.GOOS == "linux" {
		cfg.Processors = worker.NewProcessors(min(cfg.Threads, procs))
	}
	return make([]byte, ballastBytes)
}

// ballastBytes bounds the garbage that a small heap holds.
const ballastBytes = 128 << 20

// gossipKey decodes the key. The error does not repeat it.
func gossipKey(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	key, err := gossip.ParseKey(s)
	if err != nil {
		return nil, usagef("--gossip-key: %w", err)
	}
	return key, nil
}

// logger returns a logger to standard error. Level and format are valid.
func (a *app) logger(level, format string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level))
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, opts))
	}
	return slog.New(slog.NewTextHandler(a.err, opts))
}

// runServer runs a server until ctx is done.
func runServer(ctx context.Context, cfg server.Config) error {
	s, err := server.New(cfg)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	watch, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := s.Ready(watch); err == nil {
			cfg.Logger.Info("cluster is ready", "node", s.ID(), "addr", s.GRPCAddr())
		}
	})
	err = s.Run(ctx)
	stop()
	watching.Wait()
	switch {
	case errors.Is(err, server.ErrLeft):
		cfg.Logger.Warn("stopped", "reason", err)
		return nil
	case err == nil || errors.Is(err, context.Canceled):
		cfg.Logger.Info("stopped", "node", s.ID())
		return nil
	}
	return err
}

package server

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/certs"
	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

// Config of a Server. The zero value of a field means its default where one is named.
type Config struct {
	// DataDir holds everything that the process keeps. Required.
	DataDir string
	// GRPCAddr, RaftAddr and GossipAddr are the host:port to listen on; port 0 picks one.
	GRPCAddr, RaftAddr, GossipAddr string
	// HTTPAddr is the host:port to take events over HTTP on; port 0 picks one. Empty: none.
	HTTPAddr string
	// AdvertiseHost is the host by which others reach this process. Default: the host listened on, or, when that is all
	// interfaces, the address of the first one that is not loopback.
	AdvertiseHost string
	// Join are gossip addresses of members of a cluster to become part of.
	Join []string
	// BootstrapExpect is the number of servers that make a new cluster together: 1, 3 or 5. Default: 1 without Join,
	// otherwise 0, which waits to be taken in.
	BootstrapExpect int
	// DeadAfter is how long a server may not answer before its replicas go to others. Default 10 minutes: longer than a restart takes,
	// since each move copies a partition.
	DeadAfter time.Duration
	// StallAfter is how long a build may come no further before it is given up where moves of replicas wait for its end, or a partition
	// has lost its majority. Default 10 minutes: no step of a build that works is silent for so long.
	StallAfter time.Duration
	// BuildEvery is how often the cluster builds a model by itself, when events have come since the last one; builds that take long rest three times as
	// long as they took. Default 0: only when asked. All servers should have the same.
	BuildEvery time.Duration
	// Models are those that the builds train that the cluster does by itself. Default: those of the active version. All servers should have the same.
	Models []string
	// ModelMemory bounds what the models in training put for each other here, in bytes. Default 2 GiB.
	ModelMemory int64
	// TrialMemory bounds what the data of evaluations take whose trials are made here, in bytes. Default 1 GiB.
	TrialMemory int64
	// Kinds are the kinds of models that can be trained and asked. Default: kinds.All.
	Kinds []*train.Kind
	// MoveRate bounds the bytes a second of the copies of partitions that this server sends. Default 32 MiB; negative for no bound.
	MoveRate int
	// Partitions of a new cluster; fixed afterwards. Default 16: up to that many nodes share the data evenly.
	Partitions int
	// Replication is the number of replicas of each partition of a new cluster, or as many as there are servers if those are fewer.
	// Default 3, which survives one failure.
	Replication int
	// Zone is what fails together; replicas spread over zones.
	Zone string
	// Weight is the relative share of this node. Default 1.
	Weight float64
	// Threads of a build here. Default: one for each processor. Changes speed only.
	Threads int
	// Processors are raised while a build computes; see worker.Processors. Default: none. Changes speed only.
	Processors *worker.Processors
	// NodeID names the process for all time. Default: made up and kept in DataDir.
	NodeID string
	// Version of the program, shown to others.
	Version string
	// CacheBytes is the block cache of the event stores. Default 128 MiB; 16 MiB for each partition come on top, for what is not written yet.
	CacheBytes int64
	// HistoryBytes is what is kept in memory of the histories of the users that are asked for. Default 64 MiB; about 1.2 KiB a user with 20 events. Up to a quarter more is for
	// what was recommended to them, where this server alone holds their partition.
	HistoryBytes int64
	// GossipKey encrypts gossip: 16, 24 or 32 bytes. Or GossipKeysFile does, whose keys change without a restart; see gossip.ReadKeys.
	GossipKey      []byte
	GossipKeysFile string
	// TLS names the certificate of this node. With it all connections are encrypted, other servers must have a certificate of the same
	// cluster, and clients must show a certificate, a key or a token.
	TLS certs.Files
	// KeysFile has the API keys that are taken; see auth.ReadKeys.
	KeysFile string
	// Issuer of OpenID Connect whose tokens are taken; none if its URL is empty.
	Issuer auth.IssuerConfig
	// Rate bounds the calls a second of each caller whose key has no rate of its own; 0 means no bound.
	Rate float64
	// AuditBytes is the size of a file of the audit log. Default 16 MiB.
	AuditBytes int64
	// Insecure allows addresses that other machines reach without anything that keeps strangers out.
	Insecure bool
	// TraceEndpoint takes spans by OTLP over gRPC, such as http://localhost:4317. Empty: none.
	TraceEndpoint string
	// TraceRatio is the share of the requests that are traced, 0 to 1, where the caller has not decided it. Default of the command: 0.01.
	TraceRatio float64
	// TraceExporter takes spans in the place of TraceEndpoint, for programs that have servers within, such as tests.
	TraceExporter sdktrace.SpanExporter
	// SlowQuery is how long a query may take before a line of the log says so; 0 for never. Default of the command: a second.
	SlowQuery time.Duration
	// Local shortens the timings of failure detection to suit processes on one machine.
	Local bool
	// Logger is required.
	Logger *slog.Logger
	// MaxInflightBytes bounds the events that the process has under way, counted as they are on the wire: half for callers
	// that wait for an answer, half for the partitions led here. More is refused. Default 64 MiB: some
	// seconds of work for a disk.
	MaxInflightBytes int64
	// DiskReserveBytes is what stays free on the disk of DataDir: below it the process takes no new data. Default: 1% of the
	// disk, or 256 MiB if that is less.
	DiskReserveBytes int64
	// ScrubInterval is how often all files are read and compared with their checksums. Default: a day.
	ScrubInterval time.Duration
	// DiskSpace returns the free bytes and the size of the disk of a folder. Default: what the system says.
	DiskSpace func(dir string) (free, total uint64, err error)
	// earlier makes the process say what a program of before levels of the control log says; for tests.
	earlier bool
}

// level returns what the process says of the levels of the control log that it knows.
func (c *Config) level() uint32 {
	if c.earlier {
		return 0
	}
	return coordinator.Level
}

// Default addresses.
const (
	DefaultGRPCAddr   = "127.0.0.1:7801"
	DefaultRaftAddr   = "127.0.0.1:7802"
	DefaultGossipAddr = "127.0.0.1:7803"
)

// DefaultConfig returns the settings of a complete cluster of one process that only this machine reaches.
func DefaultConfig() Config {
	return Config{
		DataDir: "kith-data", GRPCAddr: DefaultGRPCAddr, RaftAddr: DefaultRaftAddr, GossipAddr: DefaultGossipAddr,
		DeadAfter: 10 * time.Minute, StallAfter: 10 * time.Minute, MoveRate: 32 << 20, Partitions: 16, Weight: 1, CacheBytes: 128 << 20, HistoryBytes: 64 << 20, Logger: slog.Default(),
		MaxInflightBytes: 64 << 20, TraceRatio: 0.01, SlowQuery: time.Second,
	}
}

// minDeadAfter is above what membership needs to tell a dead server from a slow one.
const minDeadAfter = time.Second

// steadyAfter is how long a new server must have answered before it gets replicas and votes.
func (c *Config) steadyAfter() time.Duration {
	if c.Local {
		return 500 * time.Millisecond
	}
	return 5 * time.Second
}

// heartbeat is how long a raft follower waits for its leader.
func (c *Config) heartbeat() time.Duration {
	if c.Local {
		return 300 * time.Millisecond
	}
	return 500 * time.Millisecond
}

// Validate returns an error that names the first field out of its bounds. New looks at the same.
func (c Config) Validate() error { return c.complete() }

func (c *Config) complete() error {
	d := DefaultConfig()
	if c.DataDir == "" {
		return errors.New("server: DataDir is empty; name a folder")
	}
	if c.Logger == nil {
		return errors.New("server: Logger is nil")
	}
	for _, a := range []struct {
		name  string
		value *string
		def   string
	}{{"GRPCAddr", &c.GRPCAddr, d.GRPCAddr}, {"RaftAddr", &c.RaftAddr, d.RaftAddr}, {"GossipAddr", &c.GossipAddr, d.GossipAddr}} {
		if *a.value == "" {
			*a.value = a.def
		}
		if _, _, err := net.SplitHostPort(*a.value); err != nil {
			return fmt.Errorf("server: %s is %q; want host:port: %w", a.name, *a.value, err)
		}
	}
	if _, _, err := net.SplitHostPort(c.HTTPAddr); c.HTTPAddr != "" && err != nil {
		return fmt.Errorf("server: HTTPAddr is %q; want host:port, or nothing: %w", c.HTTPAddr, err)
	}
	if err := c.checkExposure(); err != nil {
		return err
	}
	if c.BootstrapExpect == 0 && len(c.Join) == 0 {
		c.BootstrapExpect = 1
	}
	switch c.BootstrapExpect {
	case 0, 1, 3, 5:
	default:
		return fmt.Errorf("server: BootstrapExpect is %d; want 1, 3 or 5: an even number survives no more failures", c.BootstrapExpect)
	}
	if c.Partitions == 0 {
		c.Partitions = d.Partitions
	}
	if c.Partitions < 1 || c.Partitions > 1024 {
		return fmt.Errorf("server: Partitions is %d; want 1 to 1024", c.Partitions)
	}
	if c.Replication == 0 {
		c.Replication = 3
	}
	if c.Replication < 1 || c.Replication > 7 {
		return fmt.Errorf("server: Replication is %d; want 1 to 7", c.Replication)
	}
	if c.MoveRate == 0 {
		c.MoveRate = d.MoveRate
	}
	if c.DeadAfter == 0 {
		c.DeadAfter = d.DeadAfter
	}
	if c.DeadAfter < minDeadAfter {
		return fmt.Errorf("server: DeadAfter is %v; want %v or more", c.DeadAfter, minDeadAfter)
	}
	if c.StallAfter == 0 {
		c.StallAfter = d.StallAfter
	}
	if c.BuildEvery != 0 && c.BuildEvery < time.Second {
		return fmt.Errorf("server: BuildEvery is %v; want at least a second, or 0 for never", c.BuildEvery)
	}
	if c.Kinds == nil {
		c.Kinds = kinds.All
	}
	if _, err := c.models(); err != nil {
		return fmt.Errorf("server: Models: %w", err)
	}
	if c.ModelMemory < 0 {
		return fmt.Errorf("server: ModelMemory is %d; want 0 or more", c.ModelMemory)
	}
	if c.TrialMemory < 0 {
		return fmt.Errorf("server: TrialMemory is %d; want 0 or more", c.TrialMemory)
	}
	if c.StallAfter < 0 {
		return fmt.Errorf("server: StallAfter is %v; want 0 or more", c.StallAfter)
	}
	if c.Weight == 0 {
		c.Weight = d.Weight
	}
	if !(c.Weight > 0) || math.IsInf(c.Weight, 0) {
		return fmt.Errorf("server: Weight is %v; want a number above 0", c.Weight)
	}
	if c.Threads < 0 {
		return fmt.Errorf("server: Threads is %d; want 0 or more", c.Threads)
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = d.CacheBytes
	}
	if c.CacheBytes < 1<<20 {
		return fmt.Errorf("server: CacheBytes is %d; want 1 MiB or more", c.CacheBytes)
	}
	if c.HistoryBytes == 0 {
		c.HistoryBytes = d.HistoryBytes
	}
	if c.HistoryBytes < 1<<20 {
		return fmt.Errorf("server: HistoryBytes is %d; want 1 MiB or more", c.HistoryBytes)
	}
	if c.DiskReserveBytes < 0 {
		return fmt.Errorf("server: DiskReserveBytes is %d; want 0 or more", c.DiskReserveBytes)
	}
	if c.ScrubInterval < 0 {
		return fmt.Errorf("server: ScrubInterval is %v; want 0 or more", c.ScrubInterval)
	}
	if c.MaxInflightBytes == 0 {
		c.MaxInflightBytes = d.MaxInflightBytes
	}
	if c.MaxInflightBytes < 1<<20 {
		return fmt.Errorf("server: MaxInflightBytes is %d; want 1 MiB or more", c.MaxInflightBytes)
	}
	if c.SlowQuery < 0 {
		return fmt.Errorf("server: SlowQuery is %v; want 0 or more", c.SlowQuery)
	}
	traces := telemetry.TraceConfig{Endpoint: c.TraceEndpoint, Ratio: c.TraceRatio}
	if err := traces.Validate(); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// models returns the models of the builds that the cluster does by itself.
func (c *Config) models() ([]*kithv1.ModelSpec, error) {
	specs, err := wire.ParseModels(c.Models)
	if err != nil {
		return nil, err
	}
	return specs, coordinator.CheckModels(specs, c.Kinds)
}

// advertised returns the address by which others reach a listener.
func advertised(ln net.Addr, host string) (string, error) {
	h, port, err := net.SplitHostPort(ln.String())
	if err != nil {
		return "", err
	}
	if host != "" {
		return net.JoinHostPort(host, port), nil
	}
	if ip := net.ParseIP(h); ip == nil || !ip.IsUnspecified() {
		return ln.String(), nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("find an address to advertise: %w; set the advertised host", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return net.JoinHostPort(n.IP.String(), port), nil
		}
	}
	return "", errors.New("no interface has an address that others can reach; set the advertised host")
}

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/kith-io/kith/api"
	"github.com/kith-io/kith/auth"
	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/evaluate/trials"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/direct"
	"github.com/kith-io/kith/node/gossip"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

// drainTime is how long calls in flight may take when the process stops.
const drainTime = 3 * time.Second

// readyPause is the pause between two looks at the state of the cluster while waiting for it.
const readyPause = 100 * time.Millisecond

// ErrLeft ends a server that was told to leave its cluster, then and at every later start.
var ErrLeft = errors.New("has left the cluster for good; to join again as a new one, start with an empty data folder and without the old --node-id")

// Server is one kith process.
type Server struct {
	cfg         Config
	id          string
	lock        *os.File
	folder      *folder
	grpcLn      net.Listener
	httpLn      net.Listener // nil without HTTP, as http
	http        *http.Server
	httpBusy    sync.RWMutex // read by each request under way; see breakOffHTTP
	grpcAddr    string
	raftAddr    string
	mux         *consensus.Mux
	group       *consensus.Group
	gossip      *gossip.Gossip
	peers       *node.Peers
	node        *node.Node
	coordinator *coordinator.Coordinator
	api         *api.API
	trials      *trials.Service
	inflight    *node.Inflight // of the callers of api
	grpc        *grpc.Server
	health      *health.Server
	self        *direct.Conn // to the internal services of this process
	disk        *node.Disk
	security    security
	watching    watching
	log         *slog.Logger

	// aborted is closed by Abort.
	aborted   chan struct{}
	abortOnce sync.Once
	approvals approvals
	// admitted is closed when this process may be called by raft groups; see admission.
	admitted  chan struct{}
	admitOnce sync.Once
}

// New opens the data folder and binds the addresses, so that they are known. It serves nothing: call Run, or Close.
func New(cfg Config) (_ *Server, err error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	s := &Server{cfg: cfg, aborted: make(chan struct{}), admitted: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.lock, err = lock(cfg.DataDir); err != nil {
		return nil, err
	}
	if s.folder, err = openFolder(cfg.DataDir); err != nil {
		return nil, err
	}
	if s.id, err = nodeID(cfg.DataDir, cfg.NodeID); err != nil {
		return nil, err
	}
	s.log = slog.New(telemetry.LogHandler(cfg.Logger.Handler())).With("node", s.id)
	if err = s.openWatching(); err != nil {
		return nil, err
	}
	if err = s.secure(); err != nil {
		return nil, err
	}
	if s.grpcLn, err = net.Listen("tcp", cfg.GRPCAddr); err != nil {
		return nil, fmt.Errorf("listen for calls on %s: %w", cfg.GRPCAddr, err)
	}
	if s.grpcAddr, err = advertised(s.grpcLn.Addr(), cfg.AdvertiseHost); err != nil {
		return nil, err
	}
	raftLn, err := net.Listen("tcp", cfg.RaftAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for raft on %s: %w", cfg.RaftAddr, err)
	}
	if s.raftAddr, err = advertised(raftLn.Addr(), cfg.AdvertiseHost); err != nil {
		return nil, errors.Join(err, raftLn.Close())
	}
	if s.disk, err = node.NewDisk(node.DiskConfig{
		Node: s.id, Dir: cfg.DataDir, ReserveBytes: cfg.DiskReserveBytes, Space: cfg.DiskSpace, Logger: s.log,
	}); err != nil {
		return nil, errors.Join(err, raftLn.Close())
	}
	s.mux = s.newMux(raftLn)
	s.mux.SetCluster(s.folder.cluster())
	s.peers, s.self = s.newPeers(), direct.New()
	s.peers.CallSelfBy(s.self)
	pattern := consensus.Config{
		HeartbeatTimeout: cfg.heartbeat(), ElectionTimeout: cfg.heartbeat(), SnapshotLimit: consensus.NewSnapshotLimit(max(0, cfg.MoveRate)),
	}
	member := pattern
	member.Group, member.NodeID, member.Dir = "control", s.id, filepath.Join(cfg.DataDir, "control")
	member.Log, member.Resolve, member.Room, member.Probation = s.log, s.peers.RaftAddr, s.disk.LogRoom, true
	machine := coordinator.NewMachine()
	if s.group, err = consensus.Open(member, s.mux, machine); err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	if id := s.folder.cluster(); id != "" && !s.group.HasState() {
		return nil, fmt.Errorf("data folder %s belongs to cluster %s, and its folder %s is gone: restore it, or start with an empty data folder and another --node-id",
			cfg.DataDir, id, member.Dir)
	}
	models, err := cfg.models()
	if err != nil {
		return nil, err
	}
	control := coordinator.NewControl(machine, s.group, s.peers)
	s.node, err = node.New(node.Config{
		ID: s.id, Dir: cfg.DataDir, Threads: cfg.Threads, CacheBytes: cfg.CacheBytes, HistoryBytes: cfg.HistoryBytes, Stores: cfg.Partitions, InflightBytes: cfg.MaxInflightBytes / 2, Consensus: pattern,
		Kinds: cfg.Kinds, ModelMemory: cfg.ModelMemory,
		Logger: s.log, Disk: s.disk, ScrubInterval: cfg.ScrubInterval, Background: true, Processors: cfg.Processors,
		Products: func(ctx context.Context, items []string, stale bool) ([]*kithv1.Record, error) {
			return s.coordinator.Router().ReadProducts(ctx, items, stale) // made below, before there are calls
		},
	}, control, s.peers, s.mux)
	if err != nil {
		return nil, err
	}
	s.coordinator = coordinator.New(coordinator.Config{
		Partitions: cfg.Partitions, Replication: cfg.Replication, Expect: max(1, cfg.BootstrapExpect), DeadAfter: cfg.DeadAfter, SteadyAfter: cfg.steadyAfter(),
		StallAfter: cfg.StallAfter, BuildEvery: cfg.BuildEvery, Kinds: cfg.Kinds, Models: models, RankingBytes: cfg.HistoryBytes / 4,
		NewID: newID, Now: time.Now, Logger: s.log,
	}, control, s.node)
	s.inflight = node.NewInflight(s.id, cfg.MaxInflightBytes/2)
	s.trials = trials.NewService(trials.Config{Node: s.id, Version: cfg.Version, Threads: cfg.Threads, Memory: cfg.TrialMemory, Background: s.node.Background})
	s.api = api.New(s.coordinator, s.peers, s.inflight, s.watching.queries, s.watching.events)
	s.grpc = grpc.NewServer(s.serverOptions()...)
	s.api.Register(s.grpc)
	s.trials.Register(s.grpc)
	s.node.Register(s.grpc)
	s.coordinator.Register(s.grpc, s.approve)
	s.node.Register(s.self.Lend())
	s.coordinator.Register(s.self, s.approve)
	s.health = health.NewServer()
	s.health.SetServingStatus(ReadyService, healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.watching.calls.Know(s.grpc.GetServiceInfo(), auth.Internal)
	if err := s.openHTTP(); err != nil {
		return nil, err
	}
	if err := s.openGossip(); err != nil {
		return nil, err
	}
	return s, s.watchParts()
}

func (s *Server) openGossip() error {
	preset := gossip.LAN
	if s.cfg.Local {
		preset = gossip.Local
	}
	keys, err := s.gossipKeys()
	if err != nil {
		return err
	}
	s.gossip, err = gossip.New(gossip.Config{
		BindAddr: s.cfg.GossipAddr, AdvertiseAddr: s.cfg.AdvertiseHost, Join: s.cfg.Join, Keys: keys,
		PeersFile: filepath.Join(s.cfg.DataDir, "peers"), Preset: preset, Log: s.log,
	}, s.meta())
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	s.updatePeers()
	return nil
}

// meta returns what this process says about itself.
func (s *Server) meta() gossip.Meta {
	return gossip.Meta{
		ID: s.id, Zone: s.cfg.Zone, GRPCAddr: s.grpcAddr, RaftAddr: s.raftAddr, Version: s.cfg.Version,
		ClusterID: s.folder.cluster(), Weight: s.cfg.Weight,
		BootstrapExpect: s.cfg.BootstrapExpect, HasState: s.group.HasState(), Folder: s.folder.id(), Level: s.cfg.level(),
	}
}

// ID returns the node id.
func (s *Server) ID() string { return s.id }

// GRPCAddr returns the address of the public services.
func (s *Server) GRPCAddr() string { return s.grpcAddr }

// GossipAddr returns the address that others join.
func (s *Server) GossipAddr() string { return s.gossip.Addr() }

// State returns the decisions of the control group as this process knows them.
func (s *Server) State() *coordinator.State { return s.coordinator.State() }

// IsCoordinator reports whether this process leads the control group.
func (s *Server) IsCoordinator() bool {
	leader, ok := s.coordinator.Leader()
	return ok && leader == s.id
}

// Ready waits until the control group and all partitions have leaders.
func (s *Server) Ready(ctx context.Context) error {
	ticker := time.NewTicker(readyPause)
	defer ticker.Stop()
	for {
		status, err := s.api.Status(ctx, &kithv1.StatusRequest{})
		if err == nil && status.Ready {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("cluster is not ready: coordinator %q, epoch %d, %d members: %w",
				status.GetCoordinator(), status.GetEpoch(), len(status.GetMembers()), ctx.Err())
		}
	}
}

// Run serves until ctx is done, then stops in order. It returns nil if the stop was asked for, an error matching ErrLeft if the
// node has left the cluster, and one matching wire.ErrUpgrade if the other servers decide what this program does not know.
func (s *Server) Run(ctx context.Context) error {
	// Each part ends by a context of its own, so that they can end in order.
	muxCtx, stopMux := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMux()
	gossipCtx, stopGossip := context.WithCancel(context.WithoutCancel(ctx))
	defer stopGossip()
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()

	parts, failed := errgroup.WithContext(ctx)
	work, stopWork := context.WithCancel(failed)
	defer stopWork()
	parts.Go(func() error {
		select {
		case <-s.admitted:
		case <-muxCtx.Done():
		}
		return s.mux.Run(muxCtx)
	})
	var gossiping, coordinating, holding sync.WaitGroup
	gossiping.Add(1)
	parts.Go(func() error {
		defer gossiping.Done()
		return s.gossip.Run(gossipCtx)
	})
	coordinating.Add(7)
	parts.Go(func() error {
		defer coordinating.Done()
		if err := s.group.Halt(work); err != nil {
			return fmt.Errorf("node %s, version %s: %w", s.id, s.cfg.Version, err)
		}
		return nil
	})
	parts.Go(func() error {
		defer coordinating.Done()
		return s.watchStanding(work)
	})
	parts.Go(func() error {
		defer coordinating.Done()
		return s.tellEvents(work)
	})
	parts.Go(func() error {
		defer coordinating.Done()
		return s.follow(work)
	})
	parts.Go(func() error {
		defer coordinating.Done()
		return s.bootstrap(work)
	})
	parts.Go(func() error {
		defer coordinating.Done()
		return s.coordinator.Run(work)
	})
	parts.Go(func() error {
		defer coordinating.Done()
		return s.tellReady(work)
	})
	holding.Add(1)
	parts.Go(func() error {
		defer holding.Done()
		return s.node.Run(nodeCtx)
	})
	parts.Go(func() error {
		if err := s.grpc.Serve(s.grpcLn); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	parts.Go(s.serveHTTP)
	parts.Go(func() error {
		select {
		case <-work.Done():
		case <-s.aborted:
		}
		stopWork()
		if s.wasAborted() {
			s.gossip.Close()
			if s.http != nil {
				_ = s.breakOffHTTP() // as after the death of the process
			}
			s.trials.Stop()
			s.grpc.Stop()
		} else {
			// Balancers are told first, and others lead before calls to this process end.
			coordinating.Wait()
			s.handOver(ctx)
			stopGossip()
			gossiping.Wait()
			s.trials.Stop() // who tunes has others go on
			s.drainHTTP(ctx)
			s.drain()
		}
		coordinating.Wait()
		s.self.Close()
		stopNode()
		holding.Wait()
		err := s.group.Shutdown()
		stopGossip()
		stopMux()
		return err
	})
	s.log.Info("serving", "grpc", s.grpcAddr, "raft", s.raftAddr, "gossip", s.gossip.Addr(), "http", s.HTTPAddr(), "dir", s.cfg.DataDir)
	err := parts.Wait()
	if s.wasAborted() {
		err = nil
	}
	s.stopTracing(ctx)
	return errors.Join(err, s.peers.Close(), s.security.audit.Close(), s.lock.Close())
}

// drain lets calls in flight end, for a while.
func (s *Server) drain() {
	timer := time.AfterFunc(drainTime, s.grpc.Stop)
	defer timer.Stop()
	s.grpc.GracefulStop()
}

// Abort makes Run return without goodbyes, as near to the death of the process as can be had within one: calls break
// off, and the others find out by themselves.
func (s *Server) Abort() { s.abortOnce.Do(func() { close(s.aborted) }) }

func (s *Server) wasAborted() bool {
	select {
	case <-s.aborted:
		return true
	default:
		return false
	}
}

// Close frees what New opened. It is for a Server that was never Run.
func (s *Server) Close() error {
	var errs []error
	if s.gossip != nil {
		s.gossip.Close()
	}
	done, cancel := context.WithCancel(context.TODO())
	cancel()
	if s.node != nil {
		errs = append(errs, s.node.Run(done))
	}
	if s.group != nil {
		errs = append(errs, s.group.Shutdown())
	}
	if s.mux != nil {
		errs = append(errs, s.mux.Run(done))
	}
	if s.grpcLn != nil {
		errs = append(errs, s.grpcLn.Close())
	}
	if s.httpLn != nil {
		errs = append(errs, s.httpLn.Close())
	}
	if s.peers != nil {
		errs = append(errs, s.peers.Close())
	}
	if s.watching.tracer != nil {
		s.stopTracing(done)
	}
	if s.security.audit != nil {
		errs = append(errs, s.security.audit.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// follow keeps the peers up to date with gossip, and gossip with what becomes known of this process.
func (s *Server) follow(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	said := s.meta()
	for {
		changed := s.coordinator.Changed()
		if slices.Contains(s.coordinator.State().Left, s.id) {
			return s.farewell(ctx)
		}
		if id := s.coordinator.State().Cluster.GetClusterId(); id != "" {
			if err := s.folder.claim(id); err != nil {
				return err
			}
			s.mux.SetCluster(id)
			if err := s.folder.raise(s.coordinator.State().Level); err != nil {
				return err
			}
		}
		// The record of this folder is younger than all that an earlier member of the id may have voted for.
		if m := s.coordinator.State().Member(s.id); m != nil && m.Folder == s.folder.id() {
			if err := s.group.Admit(); err != nil {
				return err
			}
		}
		s.followGossipKeys()
		s.updatePeers()
		if meta := s.meta(); meta != said {
			if err := s.gossip.UpdateMeta(meta); err != nil {
				s.log.Warn("tell others about this node", "err", err)
			} else {
				said = meta
			}
		}
		select {
		case <-s.gossip.Changes():
		case <-changed:
		case <-ticker.C: // the raft group tells nobody when it gets its first state, nor files when they change
		case <-ctx.Done():
			return nil
		}
	}
}

// updatePeers takes over what gossip knows. Members that gossip does not know yet, as after a restart of all, are known
// from the control group.
func (s *Server) updatePeers() {
	byID := map[string]node.Peer{}
	state := s.coordinator.State()
	for _, m := range state.Members {
		byID[m.Id] = node.Peer{ID: m.Id, GRPCAddr: m.GrpcAddr, RaftAddr: m.RaftAddr, Zone: m.Zone, Version: m.Version, Weight: m.Weight, Level: m.Level}
	}
	for _, m := range s.gossip.Members() {
		if m.ID != s.id && state.Impostor(m.ID, m.Folder) {
			continue // it ends when it learns that the id is taken
		}
		byID[m.ID] = node.Peer{
			ID: m.ID, GRPCAddr: m.GRPCAddr, RaftAddr: m.RaftAddr, Zone: m.Zone, Version: m.Version, Weight: m.Weight,
			Folder: m.Folder, Level: m.Level, Alive: m.State == gossip.Alive,
		}
	}
	peers := make([]node.Peer, 0, len(byID))
	for _, p := range byID {
		peers = append(peers, p)
	}
	s.peers.Update(peers)
}

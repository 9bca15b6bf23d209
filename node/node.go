package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// View is what a node has to know of the decisions of the control group.
type View struct {
	// Epoch of the shard map; 0 means none.
	Epoch uint64
	// Replicas of each partition.
	Replicas [][]string
	// Formed means that every partition has had a leader: a replica without state waits to be called by one.
	Formed bool
	// Moves are the changes of replicas that are under way.
	Moves []MoveView
	// Active is the version that answers queries; 0 for none.
	Active uint64
	// Versions are those that are kept.
	Versions []VersionView
	// Job is the build that runs; 0 for none.
	Job uint64
	// Applied is the index of the control log that the view stands for.
	Applied uint64
}

// MoveView is a replica that comes (Add) and one that goes (Remove); either may be empty.
type MoveView struct {
	ID          uint64
	Partition   uint32
	Add, Remove string
	// Switched means that the shard map follows it already.
	Switched bool
}

// Holds reports whether a node should have a replica of a partition.
func (v *View) Holds(p partition.ID, node string) bool {
	return slices.Contains(v.Replicas[p], node) || slices.ContainsFunc(v.Moves, func(m MoveView) bool {
		return m.Partition == uint32(p) && (m.Add == node || m.Remove == node)
	})
}

// VersionView is a published model version.
type VersionView struct {
	Version uint64
	// Users is the number of users with interactions.
	Users uint64
	// Similarity are the options of its neighbor lists; Threads is not set.
	Similarity similarity.Options
	// Weights made its interactions.
	Weights fusion.Weights
	// Files of the version, those of all partitions.
	Files []artifact.Info
	// Models are those that were trained with it.
	Models []ModelView
	// Partitions is the number of those.
	Partitions int
	// Cut is the index of the log of each partition up to which the version has seen events; nil if that is not known any more.
	Cut []uint64
}

// ModelView is a trained model of a version.
type ModelView struct {
	// Name is how queries call it.
	Name string
	// Kind is that of package train.
	Kind string
}

// Control tells the decisions of the control group.
type Control interface {
	// View returns what this process knows now.
	View() View
	// Changed returns a channel that is closed when View changes next.
	Changed() <-chan struct{}
	// Confirm returns when View shows every decision that was made before the call. It asks the coordinator.
	Confirm(ctx context.Context) error
}

// Config of a Node. Logger, Disk, Products and the directories are required.
type Config struct {
	ID  string
	Dir string
	// Threads of a build on this node; 0 means one for each processor. Changes speed only.
	Threads int
	// Background makes builds yield the processors to queries and events. Changes speed only.
	Background bool
	// Processors are those of the process; see worker.Processors. nil is one that does nothing.
	Processors *worker.Processors
	// CacheBytes is the size of the block cache that all stores share, and Stores how many these may become: there is room for their tables in memory.
	CacheBytes int64
	Stores     int
	// HistoryBytes bounds the histories of users that are kept in memory; 0 means 4 MiB.
	HistoryBytes int64
	// InflightBytes bounds the events that wait to be stored by the partitions that this node leads.
	InflightBytes int64
	// Consensus is the pattern for the raft groups: timings and snapshots.
	Consensus consensus.Config
	Logger    *slog.Logger
	// Disk is that of Dir.
	Disk *Disk
	// Kinds are the kinds of models that can be trained and asked, and ModelMemory bounds what those in training put for each other here, in bytes; 0 means
	// a default.
	Kinds       []*train.Kind
	ModelMemory int64
	// Products reads what features need to know of products. It is called by the services, so not before they are registered.
	Products ProductReader
	// ScrubInterval is how often all files are read and compared with their checksums; 0 means a day.
	ScrubInterval time.Duration
}

// lookInterval is how often a node compares what it holds with what it should, besides at every decision: opening a replica, or
// copying a file, may have failed for a reason that has passed.
const lookInterval = 10 * time.Second

// openPause is the pause before a replica that could not be opened is opened again. A try costs a few writes at most.
const openPause = time.Second

// Node holds replicas and model versions. Make it with New, register its services, and Run it.
type Node struct {
	kithv1.UnimplementedPartitionServiceServer
	kithv1.UnimplementedQueryServiceServer

	cfg       Config
	control   Control
	peers     *Peers
	mux       *consensus.Mux
	cache     *pebble.Cache
	histories *store.Histories
	items     *store.Items
	worker    *worker.Worker
	versions  *Versions
	inflight  *Inflight
	disk      *Disk
	promised  *promises
	// trouble says that a replica may have to be mended or opened, and lost that a file must be fetched again.
	trouble, lost hint
	usage         usage
	started       time.Time
	// lastAppend is when a partition led here has stored new events last, in Unix milliseconds; diskRefused counts commands that the disk had no room for.
	lastAppend  atomic.Int64
	diskRefused atomic.Uint64

	mu       sync.RWMutex
	replicas map[partition.ID]*replica
	// refused tells why a replica that should be open is not.
	refused map[partition.ID]error
	// mended tells when an event store was set aside last.
	mended  map[partition.ID]time.Time
	stopped bool

	// closing are the replicas that are on their way out; closers does that.
	closing map[partition.ID]bool
	closers sync.WaitGroup

	// passed wakes who waits for Run to have followed the decisions once more, or for a file.
	passed signal
}

// New returns a Node that holds nothing yet.
func New(cfg Config, control Control, peers *Peers, mux *consensus.Mux) (*Node, error) {
	artifacts, err := artifact.Open(filepath.Join(cfg.Dir, "models"))
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, control: control, peers: peers, mux: mux, disk: cfg.Disk, replicas: map[partition.ID]*replica{}, refused: map[partition.ID]error{},
		mended: map[partition.ID]time.Time{}, closing: map[partition.ID]bool{}, trouble: newHint(), lost: newHint(),
	}
	n.usage.dir, n.started = cfg.Dir, time.Now()
	if n.promised, err = openPromises(cfg.Dir); err != nil {
		return nil, err
	}
	n.versions = newVersions(artifacts, control, cfg.Kinds, cfg.Logger, n.lost)
	n.worker, err = worker.New(worker.Config{
		NodeID: cfg.ID, Threads: cfg.Threads, Background: cfg.Background, Processors: cfg.Processors, Kinds: cfg.Kinds, ModelMemory: cfg.ModelMemory, Room: cfg.Disk.Room,
		Written: n.versions.openEarly, Follow: true, Base: n.versions.base, Log: cfg.Logger,
	}, n, peers.Bulk(), artifacts)
	if err != nil {
		return nil, err
	}
	n.inflight = NewInflight(cfg.ID, cfg.InflightBytes)
	n.cache = store.NewCache(cfg.CacheBytes, max(cfg.Stores, countStores(cfg.Dir)))
	n.histories = store.NewHistories(cmp.Or(cfg.HistoryBytes, 4<<20))
	n.items = store.NewItems()
	return n, nil
}

// Register adds the internal services of the node to a server.
func (n *Node) Register(r grpc.ServiceRegistrar) {
	kithv1.RegisterPartitionServiceServer(r, n)
	kithv1.RegisterQueryServiceServer(r, n)
	n.worker.Register(r)
}

// Versions gives access to the model versions of this node.
func (n *Node) Versions() *Versions { return n.versions }

// Jobs returns the number of builds that this node keeps something of.
func (n *Node) Jobs() int { return n.worker.Jobs() }

// Background runs work that lasts, and is for no build, with the priority of builds.
func (n *Node) Background(work func() error) error { return n.worker.Background(work) }

// Inflight is what waits to be stored by the partitions that this node leads.
func (n *Node) Inflight() *Inflight { return n.inflight }

// Run makes what the node holds follow the decisions until ctx is done, and closes everything. The gRPC server must
// have stopped taking calls before ctx ends, or they fail.
func (n *Node) Run(ctx context.Context) error {
	timer := time.NewTicker(lookInterval)
	defer timer.Stop()
	stop := n.attend(ctx)
	for ctx.Err() == nil {
		changed := n.control.Changed()
		view := n.control.View()
		n.mend(ctx)
		waiting := n.followShardMap(ctx, view)
		n.passed.wake()
		var again <-chan time.Time
		switch {
		case waiting:
			again = time.After(confirmPause)
		case n.mayOpenLater():
			again = time.After(openPause)
		}
		select {
		case <-changed:
		case <-again:
		case <-n.trouble:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	stop()
	n.closers.Wait()
	return n.close()
}

func (n *Node) close() error {
	n.worker.Close()
	n.mu.Lock()
	replicas := n.replicas
	n.replicas = map[partition.ID]*replica{}
	n.stopped = true
	n.mu.Unlock()
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, r := range replicas {
		wg.Go(func() {
			err := r.close()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	n.versions.close()
	n.cache.Unref()
	return errors.Join(errs...)
}

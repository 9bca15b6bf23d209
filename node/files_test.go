package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/consensus"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// decisions are those of a control group that always answers.
type decisions struct {
	mu      sync.Mutex
	view    View
	changed signal
}

func (d *decisions) View() View {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.view
}

func (d *decisions) Changed() <-chan struct{} { return d.changed.next() }

func (d *decisions) Confirm(context.Context) error { return nil }

func (d *decisions) set(v View) {
	d.mu.Lock()
	d.view = v
	d.mu.Unlock()
	d.changed.wake()
}

// library is a node that has some files, and sends none of them before open is closed.
type library struct {
	kithv1.UnimplementedComputeServiceServer
	files map[string][]byte
	open  chan struct{}
	// asked has room for the name of each file that is asked for.
	asked chan string
}

func (l *library) FetchArtifact(req *kithv1.FetchArtifactRequest, stream grpc.ServerStreamingServer[kithv1.FetchArtifactResponse]) error {
	l.asked <- req.Name
	b, ok := l.files[req.Name]
	if !ok {
		return fmt.Errorf("%s: %w", req.Name, wire.ErrNoReplica)
	}
	select {
	case <-l.open:
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	return stream.Send(&kithv1.FetchArtifactResponse{Data: b})
}

// serve makes the library a peer, at the address that it returns.
func (l *library) serve(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(ServerOptions()...)
	kithv1.RegisterComputeServiceServer(s, l)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) }) // it ends with Stop
	t.Cleanup(func() {
		s.Stop()
		serving.Wait()
	})
	return ln.Addr().String()
}

// info describes a file.
func info(name string, content []byte) artifact.Info {
	return artifact.Info{Name: name, SizeBytes: uint64(len(content)), Checksum: xxhash.Sum64(content)}
}

// runNode runs node n1 with these peers until the test ends.
func runNode(t *testing.T, control Control, peers []Peer) *Node {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := consensus.NewMux(ln, ln.Addr().String(), log)
	known := NewPeers("n1", nil)
	known.Update(append(peers, Peer{ID: "n1", RaftAddr: ln.Addr().String(), Alive: true}))
	disk, err := NewDisk(DiskConfig{Node: "n1", Dir: dir, ReserveBytes: 1, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{
		ID: "n1", Dir: dir, Threads: 1, CacheBytes: 1 << 20, InflightBytes: 1 << 20, Logger: log, Disk: disk,
		Consensus: consensus.Config{HeartbeatTimeout: 100 * time.Millisecond, ElectionTimeout: 100 * time.Millisecond},
	}, control, known, mux)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	muxCtx, stopMux := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
		stopMux()
	})
	running.Go(func() {
		if err := mux.Run(muxCtx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := known.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// until waits until the node has followed decisions to where ok is true.
func until(t *testing.T, n *Node, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		passed := n.passed.next()
		if ok() {
			return
		}
		select {
		case <-passed:
		case <-deadline:
			t.Fatalf("not after 20s: %s", what)
		}
	}
}

func (n *Node) isOpen(id partition.ID) bool {
	_, err := n.replica(id)
	return err == nil
}

// emptyLists returns a file of the lists of no items.
func emptyLists(t *testing.T) []byte {
	t.Helper()
	files, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.WriteLists(1, 0, nil, &similarity.Lists{Start: []int64{0}}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(files.Path(1, artifact.ListsName(0)))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestCopiesHoldUpNoReplica opens and deletes replicas while a file of a model version comes and comes not. AwaitReplica waits
// for the file.
func TestCopiesHoldUpNoReplica(t *testing.T) {
	content := emptyLists(t)
	l := &library{files: map[string][]byte{artifact.ListsName(0): content}, open: make(chan struct{}), asked: make(chan string, 100)}
	view := View{
		Epoch: 2, Formed: true, Applied: 10, Active: 7, Replicas: [][]string{{"n2"}, {"n2"}, {"n1"}},
		Moves:    []MoveView{{ID: 5, Partition: 0, Add: "n1", Remove: "n2"}},
		Versions: []VersionView{{Version: 7, Partitions: 3, Files: []artifact.Info{info(artifact.ListsName(0), content)}}},
	}
	control := &decisions{}
	control.set(view)
	n := runNode(t, control, []Peer{{ID: "n2", GRPCAddr: l.serve(t), Alive: true}})
	<-l.asked // and is not answered
	until(t, n, "open the first replicas", func() bool { return n.isOpen(0) && n.isOpen(2) })

	view.Epoch, view.Applied, view.Replicas = 3, 11, [][]string{{"n2"}, {"n1"}, {"n2"}}
	control.set(view)
	until(t, n, "open a replica and delete one during a copy", func() bool { return n.isOpen(1) && len(n.unwanted(view)) == 0 && !n.isClosing(2) })

	arrived := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		_, err := n.AwaitReplica(ctx, &kithv1.AwaitReplicaRequest{Move: 5, Partition: 0})
		arrived <- err
	}()
	n.trouble.give() // one more look
	until(t, n, "look again", func() bool { return len(n.trouble) == 0 })
	select {
	case err := <-arrived:
		t.Fatalf("the replica is complete without its file: %v", err)
	default:
	}
	close(l.open)
	if err := <-arrived; err != nil {
		t.Fatal(err)
	}
	if !n.hasActive(0) {
		t.Error("the replica counts as complete without its file")
	}
}

// TestFilesAreHadFromWhoHeldThem has a node take over the only replica of a partition. Who had it before is not named by the
// decisions any more, and is the only one that has its files; another member has nothing.
func TestFilesAreHadFromWhoHeldThem(t *testing.T) {
	content := []byte("neighbors")
	before := &library{files: map[string][]byte{artifact.ListsName(0): content}, open: make(chan struct{}), asked: make(chan string, 100)}
	close(before.open)
	other := &library{asked: make(chan string, 100)}
	control := &decisions{}
	control.set(View{
		Epoch: 2, Formed: true, Applied: 10, Active: 7, Replicas: [][]string{{"n1"}},
		Versions: []VersionView{{Version: 7, Partitions: 1, Files: []artifact.Info{info(artifact.ListsName(0), content)}}},
	})
	n := runNode(t, control, []Peer{{ID: "n2", GRPCAddr: other.serve(t), Alive: true}, {ID: "n3", GRPCAddr: before.serve(t), Alive: true}})
	until(t, n, "get the file", func() bool { return n.hasActive(0) })
}

func TestHoldersAreAskedInOrder(t *testing.T) {
	n := &Node{cfg: Config{ID: "n1"}, peers: NewPeers("n1", nil)}
	n.peers.Update([]Peer{{ID: "n1", Alive: true}, {ID: "n2"}, {ID: "n3", Alive: true}, {ID: "n4", Alive: true}, {ID: "n5", Alive: true}})
	view := View{Replicas: [][]string{{"n2", "n4", "n1"}, {"n5"}}, Moves: []MoveView{{Partition: 0, Remove: "n3", Add: "n1"}, {Partition: 1, Add: "n2"}}}
	for file, want := range map[string][]string{
		artifact.ListsName(0):   {"n4", "n3", "n5", "n2"},
		artifact.RowsName(1):    {"n5", "n3", "n4", "n2"},
		artifact.DictionaryName: {"n3", "n4", "n5"},
	} {
		if got := n.holders(view, file); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: asks %v, want %v", file, got, want)
		}
	}
}

// TestClosingHoldsUpNoReplica has one replica take its time to close: others are opened meanwhile, and it is not before it is closed.
func TestClosingHoldsUpNoReplica(t *testing.T) {
	control := &decisions{}
	view := View{Epoch: 2, Formed: true, Applied: 10, Replicas: [][]string{{"n2"}, {"n2"}}}
	control.set(view)
	n := runNode(t, control, nil)
	closed := make(chan struct{})
	n.apart(t.Context(), 0, func() error {
		<-closed
		return nil
	})
	view.Epoch, view.Applied, view.Replicas = 3, 11, [][]string{{"n1"}, {"n1"}}
	control.set(view)
	until(t, n, "open the other replica", func() bool { return n.isOpen(1) })
	if n.isOpen(0) {
		t.Error("a replica was opened before it was closed")
	}
	close(closed)
	until(t, n, "open the replica that was closed", func() bool { return n.isOpen(0) })
}

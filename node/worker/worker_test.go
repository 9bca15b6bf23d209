package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partitions = 4
	job        = 7
)

// table returns a table of users and items whose item keys ascend by descending popularity, as the dense ids do.
func table(users, items int) *fusion.Table {
	rng := rand.New(rand.NewPCG(1, 2))
	t := &fusion.Table{Start: []int64{0}}
	for i := range items {
		t.Items = append(t.Items, fmt.Sprintf("i%03d", i))
	}
	for u := range users {
		t.Users = append(t.Users, fmt.Sprintf("u%03d", u))
		for i := range items {
			if rng.IntN(i/4+2) == 0 {
				t.Item, t.Weight = append(t.Item, uint32(i)), append(t.Weight, float32(1+rng.IntN(5)))
			}
		}
		t.Start = append(t.Start, int64(len(t.Item)))
	}
	return t
}

// node is a worker behind a real connection.
type node struct {
	worker *worker.Worker
	files  *artifact.Store
	client kithv1.ComputeServiceClient
	addr   string
}

// peers gives connections by address.
type peers map[string]*grpc.ClientConn

func (p peers) Conn(_ context.Context, id, _ string) (grpc.ClientConnInterface, error) {
	if c, ok := p[id]; ok {
		return c, nil
	}
	return nil, wire.ErrNotReady
}

func start(t *testing.T, id string, source worker.Source, p peers, more ...grpc.StreamServerInterceptor) *node {
	t.Helper()
	return startWith(t, worker.Config{NodeID: id}, source, p, more...)
}

// startWith starts a worker with two threads.
func startWith(t *testing.T, cfg worker.Config, source worker.Source, p peers, more ...grpc.StreamServerInterceptor) *node {
	t.Helper()
	cfg.Threads, cfg.Log = 2, slog.New(slog.DiscardHandler)
	n := &node{}
	var err error
	if n.files, err = artifact.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	n.worker, err = worker.New(cfg, source, p, n.files)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = ln.Addr().String()
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(wire.UnaryServer), grpc.ChainStreamInterceptor(append(more, wire.StreamServer)...))
	n.worker.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	conn, err := grpc.NewClient("passthrough:///"+n.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(wire.UnaryClient), grpc.WithChainStreamInterceptor(wire.StreamClient))
	if err != nil {
		t.Fatal(err)
	}
	p[cfg.NodeID], n.client = conn, kithv1.NewComputeServiceClient(conn)
	t.Cleanup(func() {
		n.worker.Close()
		server.Stop()
		if err := errors.Join(<-served, conn.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func spec() *kithv1.BuildSpec {
	return &kithv1.BuildSpec{Measure: "cosine", K: 10, BehaviorWeights: map[string]float64{"view": 1}}
}

// prepare counts and exports all partitions on n, with blocks and sides of the given ends. It returns the updates of the
// tasks, if they were counted.
func (n *node) prepare(t *testing.T, keys []string, ends, sideEnds []uint32) (updates []uint64) {
	t.Helper()
	users := uint32(0)
	head := &kithv1.DictionaryHead{
		Job: job, Items: uint32(len(keys)), BlockEnds: ends, SideEnds: sideEnds, FirstUser: []uint32{0}, Partitions: partitions, Spec: spec(),
	}
	counts, squares := map[string]uint64{}, map[string]float64{}
	for p := range uint32(partitions) {
		stream, err := n.client.Count(t.Context(), &kithv1.CountRequest{Job: job, Partition: p, Spec: spec()})
		if err != nil {
			t.Fatal(err)
		}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			users += m.Users
			for _, c := range m.Items {
				counts[c.Item] += c.Count
				squares[c.Item] += c.Squares
			}
		}
		head.FirstUser = append(head.FirstUser, users)
	}
	head.Users, head.Squares = users, true
	m := &kithv1.PutDictionaryRequest{Head: head}
	for _, key := range keys {
		m.Items = append(m.Items, &kithv1.ItemCount{Item: key, Count: counts[key], Squares: squares[key]})
	}
	var sums []uint64
	for range 2 { // the second changes nothing
		stream, err := n.client.PutDictionary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.CloseAndRecv()
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, resp.Checksum)
	}
	if sums[0] != sums[1] {
		t.Errorf("the same dictionary has checksums %v", sums)
	}
	for p := range uint32(partitions) {
		resp, err := n.client.Export(t.Context(), &kithv1.ExportRequest{Shard: &kithv1.CountRequest{Job: job, Partition: p, Spec: spec()}})
		if err != nil {
			t.Fatal(err)
		}
		if updates == nil {
			updates = make([]uint64, len(resp.TaskUpdates))
		}
		for task, u := range resp.TaskUpdates {
			updates[task] += u
		}
	}
	return updates
}

func (n *node) sources(id string) []*kithv1.PartSource {
	var out []*kithv1.PartSource
	for p := range uint32(partitions) {
		out = append(out, &kithv1.PartSource{Partition: p, Node: id, GrpcAddr: n.addr})
	}
	return out
}

func (n *node) run(ctx context.Context, sources []*kithv1.PartSource, tasks ...uint32) (done []uint32, err error) {
	stream, err := n.client.RunTasks(ctx, &kithv1.RunTasksRequest{Job: job, Tasks: tasks, Sources: sources})
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		done = append(done, m.Task)
	}
}

// want builds the lists of the table in one process, with the users in the order of a cluster.
func want(t *testing.T, tab *fusion.Table) *similarity.Lists {
	t.Helper()
	return wantK(t, tab, 10)
}

// wantK is want with lists of k.
func wantK(t *testing.T, tab *fusion.Table, k int) *similarity.Lists {
	t.Helper()
	rows := &similarity.Rows{NumItems: len(tab.Items), Start: []int64{0}}
	source := worker.TableSource(tab, partitions)
	for p := range partition.ID(partitions) {
		s, err := source.Shard(t.Context(), p, 0, fusion.Weights{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		base := int64(len(rows.Item))
		rows.Item, rows.Weight = append(rows.Item, s.Item...), append(rows.Weight, s.Weight...)
		for _, end := range s.Start[1:] {
			rows.Start = append(rows.Start, base+end)
		}
	}
	l, err := similarity.Build(t.Context(), rows, similarity.Options{Measure: similarity.Cosine, K: k, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// check compares the artifacts of all partitions with the lists.
func (n *node) check(t *testing.T, tab *fusion.Table, want *similarity.Lists, sources []*kithv1.PartialSource) {
	t.Helper()
	for p := range uint32(partitions) {
		resp, err := n.client.MergeLists(t.Context(), &kithv1.MergeListsRequest{Job: job, Partition: p, Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		lists, err := artifact.OpenLists(n.files.Path(job, resp.Artifact.Name))
		if err != nil {
			t.Fatal(err)
		}
		for id, key := range tab.Items {
			got, ok := lists.List(uint32(id))
			if mine := partition.Of(key, partitions) == partition.ID(p); ok != mine {
				t.Errorf("partition %d has item %s: %v, want %v", p, key, ok, mine)
			} else if ok && !cmp.Equal(want.List(uint32(id)), got) {
				t.Errorf("item %s: %s", key, cmp.Diff(want.List(uint32(id)), got))
			}
		}
		if err := lists.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTasksOverNodes runs the tasks of a job on two nodes, some twice and some after a call that broke off.
func TestTasksOverNodes(t *testing.T) {
	tab := table(80, 60)
	p := peers{}
	a := start(t, "a", worker.TableSource(tab, partitions), p)
	b := start(t, "b", worker.TableSource(tab, partitions), p)
	ends := []uint32{10, 20, 40, 60}
	a.prepare(t, tab.Items, ends, nil)
	b.prepare(t, tab.Items, ends, []uint32{4}) // the same
	sources := a.sources("a")                  // b fetches the parts of a

	broken, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.run(broken, sources, 0, 1, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	if done, err := a.run(t.Context(), sources, 0, 1); err != nil || len(done) != 2 {
		t.Fatalf("got %v, %v", done, err)
	}
	for range 2 { // the second time from memory
		if done, err := b.run(t.Context(), sources, 1, 2, 3); err != nil || len(done) != 3 {
			t.Fatalf("got %v, %v", done, err)
		}
	}
	a.check(t, tab, want(t, tab), []*kithv1.PartialSource{
		{Node: "a", GrpcAddr: a.addr, Tasks: []uint32{0, 1}}, {Node: "b", GrpcAddr: b.addr, Tasks: []uint32{2, 3}},
	})
	// A task that comes after the lists were asked for.
	if _, err := b.run(t.Context(), sources, 0); err != nil {
		t.Fatal(err)
	}
	b.check(t, tab, want(t, tab), []*kithv1.PartialSource{{Node: "b", GrpcAddr: b.addr, Tasks: []uint32{0, 1, 2, 3}}})
}

// fetchCounter counts the calls for parts that nodes answer, and how many at a time. The first ones wait for each other.
type fetchCounter struct {
	first sync.WaitGroup

	mu             sync.Mutex
	now, most, all int
}

func (c *fetchCounter) intercept(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if info.FullMethod != kithv1.ComputeService_FetchPart_FullMethodName {
		return next(srv, stream)
	}
	c.mu.Lock()
	c.now++
	c.all++
	c.most = max(c.most, c.now)
	first := c.all <= 2
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}()
	if first {
		c.first.Done()
		c.first.Wait()
	}
	return next(srv, stream)
}

// TestSides runs a job with two sides on three nodes, of which two have the parts: the lists are those of one matrix, the
// updates are those that the export counted, and the parts of a side are fetched once, with a call to each node at a time.
func TestSides(t *testing.T) {
	tab := table(80, 60)
	p := peers{}
	counter := &fetchCounter{}
	counter.first.Add(2)
	a := start(t, "a", worker.TableSource(tab, partitions), p, counter.intercept)
	c := start(t, "c", worker.TableSource(tab, partitions), p, counter.intercept)
	b := start(t, "b", worker.TableSource(tab, partitions), p)
	ends := []uint32{3, 7, 12, 20, 40, 60}
	updates := a.prepare(t, tab.Items, ends, []uint32{4, 6})
	c.prepare(t, tab.Items, ends, []uint32{4, 6})
	b.prepare(t, tab.Items, ends, []uint32{4, 6})
	if len(updates) != 12 {
		t.Fatalf("the export counted updates of %d tasks, want 12", len(updates))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var done [2][]uint32
	got := make([]uint64, 12)
	for _, task := range []uint32{4, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11} {
		node, w, sources := a, 0, a.sources("a")
		if task <= 4 { // blocks 4 and 0 to 3 with side 0, which has the latter
			node, w, sources = b, 1, append(a.sources("a")[:2], c.sources("c")[2:]...)
		}
		done[w] = append(done[w], task)
		stream, err := node.client.RunTasks(ctx, &kithv1.RunTasksRequest{Job: job, Tasks: []uint32{task}, Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got[task] = m.PairUpdates
		if side, block := task/6, task%6; (block >= 4) == (side == 1) { // an item is not compared with itself
			for _, i := range tab.Item {
				if i < ends[block] && (block == 0 || i >= ends[block-1]) {
					got[task]++
				}
			}
		}
		if m.Usage.IdleSeconds <= 0 {
			t.Errorf("task %d: idle for %v seconds, though one thread of two had nothing to do", task, m.Usage.IdleSeconds)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the task: got %v, want the end", err)
		}
	}
	if d := cmp.Diff(updates, got); d != "" {
		t.Errorf("updates of the tasks (-export +run):\n%s", d)
	}
	if counter.all != 4 || counter.most != 2 {
		t.Errorf("%d calls for parts, up to %d at a time; want one to each of two nodes for the side, and for block 4", counter.all, counter.most)
	}
	a.check(t, tab, want(t, tab), []*kithv1.PartialSource{
		{Node: "a", GrpcAddr: a.addr, Tasks: done[0]}, {Node: "b", GrpcAddr: b.addr, Tasks: done[1]},
	})
}

// TestFetchOneOrManyParts checks that a call for several parts gives each as a call for one does.
func TestFetchOneOrManyParts(t *testing.T) {
	tab := table(40, 30)
	n := start(t, "n", worker.TableSource(tab, partitions), peers{})
	n.prepare(t, tab.Items, []uint32{10, 20, 30}, nil)
	fetch := func(req *kithv1.FetchPartRequest) map[[2]uint32]string {
		t.Helper()
		req.Job = job
		stream, err := n.client.FetchPart(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		parts := map[[2]uint32]string{}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return parts
			}
			if err != nil {
				t.Fatal(err)
			}
			parts[[2]uint32{m.Partition, m.Block}] += string(m.Data)
		}
	}
	each := map[[2]uint32]string{}
	for _, p := range []uint32{1, 3} {
		for _, b := range []uint32{0, 2} {
			maps.Copy(each, fetch(&kithv1.FetchPartRequest{Partition: p, Block: b}))
		}
	}
	if d := cmp.Diff(each, fetch(&kithv1.FetchPartRequest{Partitions: []uint32{1, 3}, Blocks: []uint32{0, 2}})); d != "" || len(each) != 4 {
		t.Errorf("%d parts one by one; together they differ (-each +together):\n%s", len(each), d)
	}
}

func TestBadSidesAreRefused(t *testing.T) {
	n := start(t, "n", worker.TableSource(table(4, 4), partitions), peers{})
	for _, ends := range [][]uint32{{0, 2}, {1}, {2, 1}, {1, 1, 2}, {3}, {1, 3}} {
		stream, err := n.client.PutDictionary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := &kithv1.PutDictionaryRequest{Head: &kithv1.DictionaryHead{
			Job: job, Items: 2, BlockEnds: []uint32{1, 2}, SideEnds: ends, FirstUser: make([]uint32, partitions+1), Partitions: partitions, Spec: spec(),
		}, Items: []*kithv1.ItemCount{{Item: "i", Count: 2}, {Item: "j", Count: 1}}}
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.CloseAndRecv(); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("sides that end at %v of 2 blocks: got %v, want %v", ends, err, wire.ErrInvalid)
		}
	}
}

// TestLostParts checks that a node says what it does not have, so that it is made again and never taken for empty.
func TestLostParts(t *testing.T) {
	tab := table(20, 10)
	n := start(t, "n", worker.TableSource(tab, partitions), peers{})
	lost := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, wire.ErrBuildLost) {
			t.Errorf("%s: got %v, want %v", what, err, wire.ErrBuildLost)
		}
	}
	_, err := n.run(t.Context(), n.sources("n"), 0)
	lost("task of an unknown job", err)
	_, err = n.client.Export(t.Context(), &kithv1.ExportRequest{Shard: &kithv1.CountRequest{Job: job, Spec: spec()}})
	lost("export of an unknown job", err)
	n.prepare(t, tab.Items, []uint32{5, 10}, nil)
	if _, err := n.run(t.Context(), n.sources("n"), 0, 1); err != nil {
		t.Fatal(err)
	}
	_, err = n.client.MergeLists(t.Context(), &kithv1.MergeListsRequest{Job: job, Sources: []*kithv1.PartialSource{{Node: "n", Tasks: []uint32{0, 1, 2}}}})
	lost("merge of a task that did not run", err)
	if _, err := n.run(t.Context(), n.sources("n"), 3); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("task beyond the plan: got %v, want %v", err, wire.ErrInvalid)
	}
	n.worker.Retain(job, job)
	if _, err := n.run(t.Context(), n.sources("n"), 0); err != nil {
		t.Errorf("the running job was dropped: %v", err)
	}
	n.worker.Retain(0, job)
	_, err = n.run(t.Context(), n.sources("n"), 0)
	lost("task of an ended job", err)
}

// TestMemoryLimit runs a job with three sides on nodes with a memory limit and on one without, some tasks again and some after
// calls that broke off: the lists are those of one matrix, and no files stay.
func TestMemoryLimit(t *testing.T) {
	tab := table(80, 60)
	p := peers{}
	dir := t.TempDir()
	a := startWith(t, worker.Config{NodeID: "a", MemoryLimit: 1 << 20, SpillDir: filepath.Join(dir, "a")}, worker.TableSource(tab, partitions), p)
	b := startWith(t, worker.Config{NodeID: "b", MemoryLimit: 1 << 20, SpillDir: filepath.Join(dir, "b")}, worker.TableSource(tab, partitions), p)
	c := start(t, "c", worker.TableSource(tab, partitions), p)
	ends := []uint32{3, 7, 12, 20, 40, 60}
	for _, n := range []*node{a, b, c} {
		n.prepare(t, tab.Items, ends, []uint32{2, 4, 6})
	}
	sources := a.sources("a")
	broken, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.run(broken, sources, 0, 1, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	runs := []struct {
		node  *node
		tasks []uint32
	}{
		{a, []uint32{0, 1, 2, 6, 7, 8, 3}}, {b, []uint32{17, 4, 5, 9, 10, 11, 12}}, {c, []uint32{13, 14, 15, 16}}, {a, []uint32{0, 7, 17}},
	}
	var g errgroup.Group
	for _, run := range runs {
		for tasks := range slices.Chunk(run.tasks, 3) { // calls at a time
			g.Go(func() error {
				done, err := run.node.run(t.Context(), sources, tasks...)
				if err == nil && len(done) != len(tasks) {
					err = fmt.Errorf("%d of tasks %v were done", len(done), tasks)
				}
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	partials := []*kithv1.PartialSource{
		{Node: "a", GrpcAddr: a.addr, Tasks: runs[0].tasks}, {Node: "b", GrpcAddr: b.addr, Tasks: runs[1].tasks}, {Node: "c", GrpcAddr: c.addr, Tasks: runs[2].tasks},
	}
	for _, n := range []*node{a, b, c} {
		n.check(t, tab, want(t, tab), partials)
	}
	if _, err := b.run(t.Context(), sources, 0); err != nil { // after the lists were asked for
		t.Fatal(err)
	}
	b.check(t, tab, want(t, tab), partials)
	_, err := a.client.MergeLists(t.Context(), &kithv1.MergeListsRequest{Job: job, Partition: partitions, Sources: partials})
	if !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("merge of partition %d of %d: got %v, want %v", partitions, partitions, err, wire.ErrInvalid)
	}
	files := func() (n int) {
		if err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				n++
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := files(); n < 2*(partitions+3) || n > 2*(partitions+len(ends)*2) {
		t.Errorf("%d files, want one for each shard and about one for each block of a task on two nodes", n)
	}
	a.worker.Retain(0, job)
	if _, err := b.client.DropJob(t.Context(), &kithv1.DropJobRequest{Job: job}); err != nil {
		t.Fatal(err)
	}
	if n := files(); n > 0 {
		t.Errorf("%d files are left of ended jobs", n)
	}
}

// TestExportCanBeTriedAgain lets an export fail at the folder for its parts: the next makes them.
func TestExportCanBeTriedAgain(t *testing.T) {
	tab := table(20, 10)
	dir := t.TempDir()
	n := startWith(t, worker.Config{NodeID: "n", MemoryLimit: 1 << 20, SpillDir: dir}, worker.TableSource(tab, partitions), peers{})
	n.prepare(t, tab.Items, []uint32{5, 10}, nil)
	folder := filepath.Join(dir, fmt.Sprintf("job-%d", job))
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	export := func(rows bool, p uint32) error {
		_, err := n.client.Export(t.Context(), &kithv1.ExportRequest{
			Shard: &kithv1.CountRequest{Job: job, Partition: p, Spec: spec()}, WriteRows: rows,
		})
		return err
	}
	for p := range uint32(partitions) {
		if err := export(true, p); err == nil {
			t.Errorf("partition %d: exported to a folder that is gone", p)
		}
	}
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	for p := range uint32(partitions) {
		if err := export(false, p); err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != partitions {
		t.Errorf("%d files of %d partitions (%v)", len(files), partitions, err)
	}
	if _, err := n.run(t.Context(), n.sources("n"), 0, 1); err != nil {
		t.Errorf("tasks after the second export: %v", err)
	}
}

// passes counts the passes over a source.
type passes struct {
	worker.Source
	n atomic.Int32
}

func (p *passes) Shard(ctx context.Context, id partition.ID, cut uint64, w fusion.Weights, nowMs int64) (*worker.Shard, error) {
	p.n.Add(1)
	return p.Source.Shard(ctx, id, cut, w, nowMs)
}

// TestCountsOutliveTheExport asks for counts again, as a build does that begins anew: they are had without a pass, unless the worker is told to forget them.
func TestCountsOutliveTheExport(t *testing.T) {
	tab := table(20, 10)
	for recount, want := range map[bool]int32{false: partitions, true: 2 * partitions} {
		source := &passes{Source: worker.TableSource(tab, partitions)}
		n := startWith(t, worker.Config{NodeID: "n", Recount: recount}, source, peers{})
		n.prepare(t, tab.Items, []uint32{5, 10}, nil)
		for p := range uint32(partitions) {
			stream, err := n.client.Count(t.Context(), &kithv1.CountRequest{Job: job, Partition: p, Spec: spec()})
			if err != nil {
				t.Fatal(err)
			}
			if m, err := stream.Recv(); err != nil || m.Users == 0 {
				t.Errorf("recount %v, partition %d: got %v, %v; want its counts", recount, p, m, err)
			}
		}
		if got := source.n.Load(); got != want {
			t.Errorf("recount %v: %d passes over %d partitions, want %d", recount, got, partitions, want)
		}
	}
}

func TestBadConfigs(t *testing.T) {
	for _, cfg := range []worker.Config{{Threads: -1}, {MemoryLimit: -1, SpillDir: "x"}, {MemoryLimit: 1}} {
		if _, err := worker.New(cfg, worker.TableSource(table(1, 1), 1), peers{}, nil); err == nil {
			t.Errorf("%+v: got no error", cfg)
		}
	}
}

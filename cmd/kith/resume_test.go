package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/node"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// counter stands between a program that ingests and a server. It counts the events of each run, those sent twice in it once, and
// says when there are so many.
type counter struct {
	kithv1.UnimplementedEventsServiceServer
	kithv1.UnimplementedClusterServiceServer
	to *grpc.ClientConn

	mu      sync.Mutex
	run     map[string]bool // ids of events of this run
	events  int             // of all runs
	limit   int             // 0 for none
	reached chan struct{}   // closed at limit
	forming bool            // the next status is that of a cluster that is not made yet
}

func (c *counter) Status(ctx context.Context, req *kithv1.StatusRequest) (*kithv1.StatusResponse, error) {
	c.mu.Lock()
	forming := c.forming
	c.forming = false
	c.mu.Unlock()
	if forming {
		return &kithv1.StatusResponse{}, nil
	}
	return kithv1.NewClusterServiceClient(c.to).Status(ctx, req)
}

func (c *counter) Append(stream grpc.ClientStreamingServer[kithv1.AppendRequest, kithv1.AppendResponse]) error {
	to, err := kithv1.NewEventsServiceClient(c.to).Append(stream.Context())
	if err != nil {
		return err
	}
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c.count(req.Events)
		if err := to.Send(req); err != nil {
			break
		}
	}
	resp, err := to.CloseAndRecv()
	if err != nil {
		return err
	}
	return stream.SendAndClose(resp)
}

func (c *counter) count(events []*kithv1.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range events {
		if !c.run[e.Id] { // ids are made of source, file and line
			c.run[e.Id] = true
			c.events++
		}
	}
	if c.limit > 0 && c.events >= c.limit {
		close(c.reached)
		c.limit = 0
	}
}

// begin starts another run, and returns a channel that is closed after n more events.
func (c *counter) begin(n int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run, c.limit, c.reached = map[string]bool{}, c.events+n, make(chan struct{})
	return c.reached
}

func (c *counter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events
}

// countBefore serves a counter before a server, and returns its address.
func countBefore(t *testing.T, addr string) (*counter, string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, node.DialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, c := grpc.NewServer(node.ServerOptions()...), &counter{to: conn}
	kithv1.RegisterEventsServiceServer(s, c)
	kithv1.RegisterClusterServiceServer(s, c)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) }) // ends by Stop
	t.Cleanup(serving.Wait)
	t.Cleanup(s.Stop)
	return c, ln.Addr().String()
}

const resumeUsers = 97

// resumeFiles writes a mapping of three sources and returns its path and the number of events.
func resumeFiles(t *testing.T, rows int) (mapping string, events int) {
	t.Helper()
	dir := t.TempDir()
	save := func(name string, text []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	csv := func(from int) []byte {
		var b bytes.Buffer
		b.WriteString("user,item,behavior,time\n")
		for i := range rows {
			fmt.Fprintf(&b, "u%d,i%d,view,%d\n", (from+i)%resumeUsers, i%31, 1600000000+from+i)
			if i%1000 == 0 {
				b.WriteString(",nobody,view,1\n")
			}
		}
		return b.Bytes()
	}
	save("logs/2024-01.csv", csv(0))
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(csv(rows)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	save("logs/deep/2024-02.csv.gz", z.Bytes())
	var b bytes.Buffer
	for i := range rows / 2 {
		fmt.Fprintf(&b, `{"user":{"id":"u%d"},"at":%d,"items":[{"sku":"a%d"},{"sku":"b%d"}]}`+"\n", i%resumeUsers, 1700000000+i, i%31, i%7)
	}
	save("orders.jsonl", b.Bytes())
	save("map.yaml", []byte(`sources:
  - {name: logs, path: "logs/**/2024-*.csv*"}
  - {name: orders, path: orders.jsonl, explode: items, behavior: purchase, columns: {user: user.id, item: items.sku, time: at}}
`))
	return filepath.Join(dir, "map.yaml"), 2*rows + rows/2*2
}

// killed runs a program that ingests by way of a counter, and kills it some times, each after a number of events.
func killed(t *testing.T, c *counter, kills int, after func() int, args ...string) {
	t.Helper()
	for kill := range kills {
		reached := c.begin(after())
		cmd := exec.Command(program(t), args...)
		var text bytes.Buffer
		cmd.Stderr = &text
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-reached:
			_ = cmd.Process.Kill()
			t.Logf("kill %d: %v", kill, <-ended)
		case err := <-ended: // it came to the end before
			if err != nil {
				t.Fatalf("after %d kills: %v: %s", kill, err, text.String())
			}
		}
	}
}

// TestIngestKilled kills an ingestion ten times at random. What is stored in the end is what an ingestion stores that was not
// interrupted, and it has read each row once, but for some on their way when it was killed.
func TestIngestKilled(t *testing.T) {
	long(t)
	mapping, events := resumeFiles(t, 120_000) // many to those that are on their way at a kill: some 16,000
	var users []string
	for i := range resumeUsers {
		users = append(users, fmt.Sprint("u", i))
	}
	one := clustertest.Options{Servers: 1}
	whole := clustertest.Start(t, one)
	s := mustJSON[jsonIngest](t, "ingest", "--mapping", mapping, "--dead-letters", "none", "--addr", addrsOf(whole))
	if s.Appended+s.Duplicates != uint64(events) { // an event whose answer was late is sent again
		t.Fatalf("stored %d events, %d known, want %d", s.Appended, s.Duplicates, events)
	}
	want := histories(t, clientOn(t, addrsOf(whole)), users)

	parts := clustertest.Start(t, one)
	c, addr := countBefore(t, addrsOf(parts))
	dir := t.TempDir()
	args := []string{
		"ingest", "--mapping", mapping, "--addr", addr, "--state", filepath.Join(dir, "state"), "--state-every", "5ms", "--streams", "2",
		"--dead-letters", filepath.Join(dir, "dead"), "-o", "json",
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	const kills = 10
	killed(t, c, kills, func() int { return 1 + random.IntN(events/6) }, args...)
	c.begin(2 * events) // never so many
	mustKith(t, args...)
	if d := cmp.Diff(want, histories(t, clientOn(t, addrsOf(parts)), users), protocmp.Transform()); d != "" {
		t.Errorf("seed %d: histories (-uninterrupted +killed):\n%.3000s", seed, d)
	}
	read := c.total()
	t.Logf("read %d rows of %d in %d runs, %.2f times", read, events, kills+1, float64(read)/float64(events))
	if read < events || read > events*3/2 {
		t.Errorf("seed %d: read %d rows of %d in %d runs", seed, read, events, kills+1)
	}
	again := mustJSON[jsonIngest](t, args[:len(args)-2]...)
	if again.Appended+again.Duplicates > 0 {
		t.Errorf("read %+v of what is stored", again)
	}
}

// TestIngestStateOfANewCluster begins while the cluster has no id yet: the state is that of the cluster that it will be.
func TestIngestStateOfANewCluster(t *testing.T) {
	mapping, events := resumeFiles(t, 200)
	c, addr := countBefore(t, addrsOf(clustertest.Start(t, clustertest.Options{Servers: 1})))
	c.forming = true
	args := []string{
		"ingest", "--mapping", mapping, "--addr", addr, "--state", filepath.Join(t.TempDir(), "state"), "--dead-letters", "none",
	}
	for _, want := range []int{events, 0} {
		c.begin(2 * events)
		before := c.total()
		mustKith(t, args...)
		if read := c.total() - before; read != want {
			t.Errorf("read %d rows, want %d", read, want)
		}
	}
}

// TestIngestState: a file that has grown goes on, one that was replaced is read anew, and so is everything after a change of the mapping.
func TestIngestState(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	dir := t.TempDir()
	save := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mapping := filepath.Join(dir, "map.yaml")
	ingest := func(read, appended int, note string) {
		t.Helper()
		got := kith(t, nil, "ingest", "--mapping", mapping, "--addr", addrsOf(c), "--state", filepath.Join(dir, "state"), "--dead-letters", filepath.Join(dir, "dead"), "-o", "json")
		if got.code != exitOK || !strings.Contains(got.err, note) {
			t.Fatalf("code %d: %s; want a note %q", got.code, got.err, note)
		}
		s := jsonOf[jsonIngest](t, got.out)
		n := 0
		for _, r := range s.Sources {
			n += int(r.Read)
		}
		if n != read || s.Appended != uint64(appended) || s.Duplicates != uint64(read-appended) {
			t.Errorf("read %d, stored %d, %d known; want %d read, %d stored", n, s.Appended, s.Duplicates, read, appended)
		}
	}
	save("map.yaml", "sources: [{path: '*.csv', name: x}]\n")
	save("a.csv", "user,item\nu1,a\nu2,b\n")
	save("b.csv", "item,user\nc,u3\n")
	ingest(3, 3, "")
	ingest(0, 0, "")
	save("a.csv", "user,item\nu1,a\nu2,b\nu4,d\n")
	ingest(1, 1, "")
	save("c.csv", "user,item\nu5,e")
	ingest(1, 1, "")
	ingest(1, 0, "") // more of the last row may come
	save("b.csv", "item,user\nd,u3\n")
	ingest(2, 1, "b.csv is not the file")
	save("map.yaml", "sources: [{path: '*.csv', name: x}] # changed\n")
	ingest(5, 0, "another mapping")
	got := kith(t, nil, "ingest", "--mapping", mapping, "--dry-run", "--state", filepath.Join(dir, "state"))
	if got.code != exitUsage || !strings.Contains(got.err, "--dry-run") {
		t.Errorf("state of a dry run: %+v", got)
	}
	events, err := clientOn(t, addrsOf(c)).events(t.Context(), "u3")
	if err != nil || len(events) != 2 || events[0].Id == events[1].Id {
		t.Errorf("got %v, %v; want c and d", events, err)
	}
}

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/clean"
	"github.com/kith-io/kith/fusion/pipeline"
	"github.com/kith-io/kith/server/clustertest"
	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/db/dbtest"
)

// serviceRow returns the user, the item and the time, in seconds, of row i of a service: no two rows are equal.
func serviceRow(i int) (user, item string, at int) {
	return fmt.Sprint("u", i%resumeUsers), fmt.Sprint("i", i%31), 1600000000 + i
}

// wantRows compares what is stored with the rows from 0 to n-1, each once.
func wantRows(t *testing.T, addrs string, n int) {
	t.Helper()
	var users, got, want []string
	for u := range resumeUsers {
		users = append(users, fmt.Sprint("u", u))
	}
	for user, events := range histories(t, clientOn(t, addrs), users) {
		for _, e := range events {
			got = append(got, fmt.Sprintf("%d %s %s", e.TimeUnixMs/1000, user, e.Item))
		}
	}
	for i := range n {
		user, item, at := serviceRow(i)
		want = append(want, fmt.Sprintf("%d %s %s", at, user, item))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d events are stored of %d rows (-want +got):\n%.2000s", len(got), len(want), cmp.Diff(want, got))
	}
}

// resumed is a service whose ingestion is killed.
type resumed struct {
	c    *counter
	addr string // of the server
	args []string
}

// startResumed starts a server and writes the mapping of a source.
func startResumed(t *testing.T, source string, more ...string) *resumed {
	t.Helper()
	addr := addrsOf(clustertest.Start(t, clustertest.Options{Servers: 1}))
	c, before := countBefore(t, addr)
	c.begin(1 << 40) // never so many
	return &resumed{c: c, addr: addr, args: append([]string{
		"ingest", "--mapping", writeFile(t, "map.yaml", "sources:\n  - "+source+"\n"), "--addr", before, "--streams", "2",
		"--dead-letters", filepath.Join(t.TempDir(), "dead"), "-o", "json",
	}, more...)}
}

// killed kills an ingestion of some rows at random, lets it come to its end, and checks what is stored and how much was read.
func (r *resumed) killed(t *testing.T, kills, rows int) {
	t.Helper()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	sent := 0
	killed(t, r.c, kills, func() int {
		n := rows/8 + random.IntN(rows/12)
		sent += n
		return n
	}, r.args...)
	r.c.begin(2 * rows) // never so many
	mustKith(t, r.args...)
	wantRows(t, r.addr, rows)
	read := r.c.total()
	t.Logf("sent %d events of %d rows in %d runs, %.2f times", read, rows, kills+1, float64(read)/float64(rows))
	if most := rows + sent*4/5; read < rows || read > most { // without a state it is rows + sent
		t.Errorf("sent %d events of %d rows, want at most %d: four fifths of what was sent before kills may be on its way then", read, rows, most)
	}
}

// more ingests once more, and wants so many rows read, of which some are new.
func (r *resumed) more(t *testing.T, read, appended int, note string) {
	t.Helper()
	got := kith(t, nil, r.args...)
	if got.code != exitOK || !strings.Contains(got.err, note) {
		t.Fatalf("code %d: %s; want a note %q", got.code, got.err, note)
	}
	s := jsonOf[jsonIngest](t, got.out)
	if len(s.Sources) != 1 || s.Sources[0].Read != int64(read) || s.Appended != uint64(appended) || s.Duplicates != uint64(read-appended) {
		t.Errorf("read %+v, stored %d, known %d; want %d read and %d stored", s.Sources, s.Appended, s.Duplicates, read, appended)
	}
}

func stateArgs(t *testing.T) []string {
	t.Helper()
	return []string{"--state", filepath.Join(t.TempDir(), "state"), "--state-every", "5ms"}
}

// bucket is an object store of one bucket, as far as listing and reading go.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func (b *bucket) put(key string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = data
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tag := func(data []byte) string {
		h := fnv.New64a()
		_, _ = h.Write(data) // a hash takes all
		return fmt.Sprintf(`"%x"`, h.Sum64())
	}
	if r.URL.Query().Get("list-type") != "" {
		type content struct {
			Key, ETag string
			Size      int
		}
		answer := struct {
			XMLName  xml.Name `xml:"ListBucketResult"`
			Contents []content
		}{}
		for key, data := range b.objects {
			answer.Contents = append(answer.Contents, content{key, tag(data), len(data)})
		}
		_ = xml.NewEncoder(w).Encode(answer) // the client may have gone
		return
	}
	data, ok := b.objects[strings.TrimPrefix(r.URL.Path, "/shop/")]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", tag(data))
	w.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the client may have gone
}

// csvRows returns rows from to to-1 with a header.
func csvRows(from, to int) []byte {
	var b bytes.Buffer
	b.WriteString("user,item,time\n")
	for i := from; i < to; i++ {
		user, item, at := serviceRow(i)
		fmt.Fprintf(&b, "%s,%s,%d\n", user, item, at)
	}
	return b.Bytes()
}

// TestIngestObjectsKilled kills the ingestion of the objects of a store. Afterwards what is new is read, and what was replaced.
func TestIngestObjectsKilled(t *testing.T) {
	long(t)
	const part = 30_000
	b := &bucket{objects: map[string][]byte{}}
	b.put("logs/a.csv", csvRows(0, part))
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(csvRows(part, 2*part)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.put("logs/b.csv.gz", z.Bytes())
	b.put("logs/c.csv", csvRows(2*part, 3*part))
	store := httptest.NewServer(b)
	defer store.Close()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	r := startResumed(t, fmt.Sprintf("{name: logs, path: 's3://shop/logs/**', endpoint: '%s'}", store.URL), stateArgs(t)...)
	r.killed(t, 10, 3*part)
	r.more(t, 0, 0, "")
	b.put("logs/0.csv", csvRows(3*part, 3*part+5))
	r.more(t, 5, 5, "")
	b.put("logs/c.csv", csvRows(2*part, 2*part+5))
	b.put("logs/0.csv", csvRows(3*part, 3*part+7))
	got := kith(t, nil, r.args...)
	s := jsonOf[jsonIngest](t, got.out)
	if got.code != exitOK || s.Appended != 2 || strings.Count(got.err, "is not the one that was read before") != 2 {
		t.Errorf("after two objects were replaced: %d new events, %s; want 2, and a note of each", s.Appended, got.err)
	}
	wantRows(t, r.addr, 3*part+7)
}

// TestIngestDatabaseKilled kills the ingestion of tables whose cursor has ties. Afterwards new rows are read, also those with the last value.
func TestIngestDatabaseKilled(t *testing.T) {
	long(t)
	for name, start := range map[string]func(*testing.T) dbtest.Database{"PostgreSQL": dbtest.StartPostgres, "MySQL": dbtest.StartMySQL} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			const rows = 90_000
			insert := func(table string, from, to int) {
				t.Helper()
				var b strings.Builder
				fmt.Fprintf(&b, "INSERT INTO %s VALUES ", table)
				for i := from; i < to; i++ {
					user, item, at := serviceRow(i)
					if i > from {
						b.WriteString(", ")
					}
					fmt.Fprintf(&b, "('%s', '%s', %d, %d)", user, item, at, i/11)
				}
				d.Exec(t, b.String())
			}
			d.Exec(t, "CREATE TABLE orders (user_id varchar(9), item varchar(9), at int, version int); CREATE INDEX by_version ON orders (version)")
			insert("orders", 0, rows)
			source := fmt.Sprintf("{name: orders, path: '%s', table: orders, cursor: version, behavior: purchase, columns: {user: user_id, item: item, time: at}}", d.URL)
			r := startResumed(t, source, stateArgs(t)...)
			r.killed(t, 10, rows)
			r.more(t, 0, 0, "")
			insert("orders", rows, rows+4) // of the value of the last rows, and of the next one
			r.more(t, 4, 4, "")
			wantRows(t, r.addr, rows+4)

			d.Exec(t, "CREATE TABLE views (user_id varchar(9), item varchar(9), at int, version int)")
			insert("views", 0, 20)
			r = startResumed(t, strings.ReplaceAll(strings.Replace(source, "cursor: version, ", "", 1), "orders", "views"), stateArgs(t)...)
			r.more(t, 20, 20, "views has no cursor")
			insert("views", 20, 23)
			r.more(t, 23, 3, "views has no cursor")
			wantRows(t, r.addr, 23)
		})
	}
}

// breaking is a service that keeps how far it is read. It gives a row at a time, says between batches that there is none at the moment until what it
// gave is committed, and then gives some more and breaks.
type breaking struct {
	batch, more int
	breaks      func() error // returns how it ends

	at        int
	mu        sync.Mutex
	committed string
}

func (b *breaking) Columns() []string { return []string{"user", "item", "time"} }
func (b *breaking) Raw() []byte       { return nil }
func (b *breaking) Position() string  { return strconv.Itoa(b.at) }
func (b *breaking) Close() error      { return nil }

func (b *breaking) Commit(_ context.Context, position string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.committed = position
	return nil
}

func (b *breaking) position() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.committed
}

func (b *breaking) Next() (source.Record, error) {
	if b.at == b.batch && b.position() != strconv.Itoa(b.batch) {
		return source.Record{}, source.ErrIdle
	}
	if b.at == b.batch+b.more {
		return source.Record{}, b.breaks()
	}
	user, item, at := serviceRow(b.at)
	b.at++
	return source.Record{Line: int64(b.at), Fields: [][]byte{[]byte(user), []byte(item), strconv.AppendInt(nil, int64(at), 10)}}, nil
}

// TestIngestBreaks ends the reading of a service in several ways, when all that was handed on before is stored. Rows are committed only if they are.
func TestIngestBreaks(t *testing.T) {
	addr := addrsOf(clustertest.Start(t, clustertest.Options{Servers: 1}))
	for _, tt := range []struct {
		name   string
		follow bool
		breaks func(cancel func()) error
		want   string // committed
		fails  bool
	}{
		{"at its end", false, func(func()) error { return io.EOF }, "110", false},
		{"interrupted", false, func(cancel func()) error { cancel(); return context.Canceled }, "100", true},
		{"interrupted at its end", false, func(cancel func()) error { cancel(); return io.EOF }, "100", true},
		{"followed and interrupted", true, func(cancel func()) error { cancel(); return context.Canceled }, "110", false},
		{"failed", false, func(func()) error { return errors.New("the service is gone") }, "110", true},
	} {
		for _, rules := range []clean.Config{{}, {Rules: []clean.Rule{{Spec: &clean.Text{Fields: []string{"item"}}}}}} { // the fast way, and that of records
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b := &breaking{batch: 100, more: 10, breaks: func() error { return tt.breaks(cancel) }}
			o := source.Options{Note: func(text string) { t.Error(text) }, Remote: source.Remote{Follow: tt.follow, Openers: map[string]source.Opener{
				"num": func(context.Context, *url.URL, source.Options) (source.Rows, error) { return b, nil },
			}}}
			line, err := pipeline.New(fusion.File{Sources: []fusion.Mapping{{Name: fmt.Sprint(tt.name, len(rules.Rules)), Path: "num://host/x", Source: o, Rules: rules}}})
			if err != nil {
				t.Fatal(err)
			}
			job := &ingestion{
				line: line, dead: fusion.NewDeadLetterWriter(""), streams: 2, follows: tt.follow,
				client: clientOn(t, addr), progress: (&app{err: io.Discard, env: os.LookupEnv}).progress("ingest"), every: time.Millisecond,
			}
			if _, err := job.run(ctx); (err != nil) != tt.fails {
				t.Errorf("%s, %d rules: ended with %v", tt.name, len(rules.Rules), err)
			}
			if got := b.position(); got != tt.want {
				t.Errorf("%s, %d rules: committed up to row %s, want %s", tt.name, len(rules.Rules), got, tt.want)
			}
		}
	}
}

// queue is a Kafka within the test, with the topic events of three partitions.
type queue struct {
	addr   string
	client *kgo.Client
	sent   int // rows
}

func startQueue(t *testing.T) *queue {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	q := &queue{addr: c.ListenAddrs()[0]}
	if q.client, err = kgo.NewClient(kgo.SeedBrokers(q.addr), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.client.Close)
	return q
}

func (q *queue) source(follow bool) string {
	return fmt.Sprintf("{name: events, path: 'kafka://%s/events', group: g, follow: %t, message_fields: [user, item, time], columns: {user: user, item: item, time: time}}", q.addr, follow)
}

// send sends the next n rows.
func (q *queue) send(t *testing.T, n int) {
	t.Helper()
	var messages []*kgo.Record
	for i := q.sent; i < q.sent+n; i++ {
		user, item, at := serviceRow(i)
		messages = append(messages, &kgo.Record{Topic: "events", Partition: int32(i % 3), Value: fmt.Appendf(nil, `{"user":"%s","item":"%s","time":%d}`, user, item, at)})
	}
	if err := q.client.ProduceSync(t.Context(), messages...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	q.sent += n
}

// committed returns the offsets of the group, summed.
func (q *queue) committed(t *testing.T) int {
	t.Helper()
	offsets, err := kadm.NewClient(q.client).FetchOffsets(t.Context(), "g")
	if errors.Is(err, kerr.GroupIDNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	offsets.Each(func(o kadm.OffsetResponse) { sum += int(o.At) })
	return sum
}

func (q *queue) wantCommitted(t *testing.T, want int) {
	t.Helper()
	if got := q.committed(t); got != want {
		t.Errorf("offsets committed up to %d messages, want %d", got, want)
	}
}

// allCommitted returns an error as long as a message is not committed.
func (q *queue) allCommitted(t *testing.T) error {
	t.Helper()
	if got := q.committed(t); got != q.sent {
		return fmt.Errorf("%d messages committed of %d", got, q.sent)
	}
	return nil
}

// TestIngestQueueKilled kills the ingestion of a topic, without a state. What is not committed is read again, and stored once.
func TestIngestQueueKilled(t *testing.T) {
	long(t)
	t.Parallel() // it waits most of its time
	q := startQueue(t)
	const rows = 60_000
	q.send(t, rows)
	r := startResumed(t, q.source(false), "--state-every", "5ms")
	r.killed(t, 3, rows) // a group waits 10 s for a member that was killed
	q.wantCommitted(t, rows)
	r.more(t, 0, 0, "")
	q.send(t, 7)
	r.more(t, 7, 7, "")
	q.wantCommitted(t, rows+7)
	wantRows(t, r.addr, rows+7)
}

// TestIngestQueueOfNoUse reads messages that a mapping cannot use: they are left in the queue for a better one.
func TestIngestQueueOfNoUse(t *testing.T) {
	q := startQueue(t)
	q.send(t, 10)
	right := q.source(false)
	r := startResumed(t, strings.Replace(right, "user: user", "user: usr", 1), stateArgs(t)...)
	got := kith(t, nil, r.args...)
	if got.code == exitOK {
		t.Fatalf("a column that is not there was taken: %s", got.out)
	}
	r = startResumed(t, strings.Replace(right, "[user, ", "[usr, ", 1), stateArgs(t)...)
	if got = kith(t, nil, r.args...); got.code == exitOK {
		t.Fatalf("messages without users were taken: %s", got.out)
	}
	wrong := strings.Replace(strings.Replace(right, "[user, ", "[usr, ", 1), "user: user", "user: usr", 1)
	r = startResumed(t, wrong, stateArgs(t)...)
	if got = kith(t, nil, r.args...); got.code == exitOK || !strings.Contains(got.err, "10 rows rejected") {
		t.Fatalf("messages without users: %s; want them refused", got.err)
	}
	q.wantCommitted(t, 0)
	r = startResumed(t, right, stateArgs(t)...)
	r.more(t, 10, 10, "")
	q.wantCommitted(t, 10)
}

// following is a program that ingests a topic beside the test.
type following struct {
	cmd   *exec.Cmd
	text  bytes.Buffer
	out   bytes.Buffer
	ended chan error
}

func (r *resumed) start(t *testing.T) *following {
	t.Helper()
	f := &following{cmd: exec.Command(program(t), r.args...), ended: make(chan error, 1)}
	f.cmd.Stderr, f.cmd.Stdout = &f.text, &f.out
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.cmd.Process.Kill() }) // if the test has failed
	go func() { f.ended <- f.cmd.Wait() }()
	return f
}

// stop interrupts the program, and returns how it ended.
func (f *following) stop(t *testing.T) error {
	t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return <-f.ended
}

// interrupt wants the program to end in order.
func (f *following) interrupt(t *testing.T) {
	t.Helper()
	if err := f.stop(t); err != nil {
		t.Fatalf("interrupted: %v: %s", err, f.text.String())
	}
	if s := jsonOf[jsonIngest](t, f.out.String()); len(s.Sources) != 1 {
		t.Errorf("summary %+v, want one source", s)
	}
}

// TestIngestFollow follows a topic: what comes is stored soon and committed, and an interruption ends in order.
func TestIngestFollow(t *testing.T) {
	long(t)
	q := startQueue(t)
	r := startResumed(t, q.source(true), "--state-every", "50ms")
	f := r.start(t)
	for _, n := range []int{1, 10, 5000} {
		q.send(t, n)
		eventually(t, patience, func() error {
			select {
			case err := <-f.ended:
				t.Fatalf("it ended: %v: %s", err, f.text.String())
			default:
			}
			return q.allCommitted(t)
		})
		wantRows(t, r.addr, q.sent)
	}
	reached := r.c.begin(1000)
	q.send(t, 20_000)
	<-reached
	f.interrupt(t)
	stored := r.c.total()
	if got := q.committed(t); got != stored {
		t.Errorf("%d messages committed, and %d sent", got, stored)
	}
	r = &resumed{c: r.c, addr: r.addr, args: slices.Replace(slices.Clone(r.args), 2, 3, writeFile(t, "map.yaml", "sources:\n  - "+q.source(false)+"\n"))}
	r.more(t, q.sent-stored, q.sent-stored, "")
	wantRows(t, r.addr, q.sent)
}

// TestIngestFollowNothing interrupts a program that follows a topic to which nothing comes.
func TestIngestFollowNothing(t *testing.T) {
	long(t)
	q := startQueue(t)
	r := startResumed(t, q.source(true))
	f := r.start(t)
	admin := kadm.NewClient(q.client)
	eventually(t, patience, func() error {
		groups, err := admin.DescribeGroups(t.Context(), "g")
		if err != nil {
			return err
		}
		if g := groups["g"]; g.State != "Stable" {
			return fmt.Errorf("group of %d members: %s", len(g.Members), g.State)
		}
		return nil
	})
	f.interrupt(t)
}

// TestIngestRebalanced has programs share a topic while others come, are interrupted and are killed.
func TestIngestRebalanced(t *testing.T) {
	long(t)
	t.Parallel() // it waits most of its time
	q := startQueue(t)
	q.send(t, 5000)
	r := startResumed(t, q.source(true), "--state-every", "20ms")
	reached := r.c.begin(2000)
	first := r.start(t)
	<-reached
	second := r.start(t)
	q.send(t, 5000)
	third := r.start(t)
	reached = r.c.begin(500)
	q.send(t, 5000)
	<-reached
	first.interrupt(t)
	reached = r.c.begin(500)
	q.send(t, 5000)
	<-reached
	_ = second.cmd.Process.Kill()
	t.Logf("killed: %v", <-second.ended)
	q.send(t, 1000)
	eventually(t, patience, func() error { return q.allCommitted(t) })
	third.interrupt(t)
	wantRows(t, r.addr, q.sent)
}

// TestIngestFollowLast refuses sources that would never be read.
func TestIngestFollowLast(t *testing.T) {
	mapping := writeFile(t, "map.yaml", "sources:\n  - {name: q, path: 'kafka://localhost:1/q', follow: true, message_fields: [user, item]}\n  - {name: f, path: f.csv}\n")
	got := kith(t, nil, "ingest", "--mapping", mapping)
	if got.code != exitUsage || !strings.Contains(got.err, "f would never be read") {
		t.Errorf("%+v; want an error of usage", got)
	}
}

// TestIngestInterrupted interrupts a program that does not follow: it ends at once, and what is stored is committed.
func TestIngestInterrupted(t *testing.T) {
	long(t)
	q := startQueue(t)
	q.send(t, 60_000)
	r := startResumed(t, q.source(false), "--state-every", "5ms")
	reached := r.c.begin(20_000)
	f := r.start(t)
	<-reached
	var code *exec.ExitError
	if err := f.stop(t); !errors.As(err, &code) || code.ExitCode() != exitInterrupted {
		t.Fatalf("interrupted: %v: %s", err, f.text.String())
	}
	committed := q.committed(t)
	if committed == 0 || committed == q.sent {
		t.Errorf("%d messages committed, want some", committed)
	}
	s := mustJSON[jsonIngest](t, r.args[:len(r.args)-2]...)
	if read := s.Sources[0].Read; read != int64(q.sent-committed) {
		t.Errorf("read %d messages after %d of %d were committed", read, committed, q.sent)
	}
	wantRows(t, r.addr, q.sent)
}

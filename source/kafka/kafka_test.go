package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/kith-io/kith/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker starts a Kafka within the test, with the topic events of three partitions. It returns its address.
func broker(t *testing.T, o ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, "events")}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// send sends messages, number i to partition i%3.
func send(t *testing.T, address string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var messages []*kgo.Record
	for i, v := range values {
		messages = append(messages, &kgo.Record{
			Topic: "events", Partition: int32(i % 3), Key: fmt.Appendf(nil, "k%d", i), Value: []byte(v),
			Timestamp: time.Date(2024, 6, 30, 12, 0, 0, 5e6, time.UTC),
		})
	}
	if err := client.ProduceSync(t.Context(), messages...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// users returns messages of the users from to to-1.
func users(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(`{"user":{"id":"u%d"},"items":[{"sku":%d}]}`, i, i))
	}
	return out
}

func open(ctx context.Context, address string, r source.Remote) (*source.Reader, error) {
	r.Openers = Openers()
	if r.Fields == nil {
		r.Fields = []string{"user.id", "items[0].sku"}
	}
	return source.Open(ctx, address, source.Options{Remote: r})
}

func mustOpen(t *testing.T, address string, r source.Remote) *source.Reader {
	t.Helper()
	reader, err := open(t.Context(), "kafka://"+address+"/events", r)
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

func closeReader(t *testing.T, r *source.Reader) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// next returns the next record or error that says something.
func next(r *source.Reader) (source.Record, error) {
	for {
		if rec, err := r.Next(); !errors.Is(err, source.ErrIdle) {
			return rec, err
		}
	}
}

// take reads up to n first fields, all if n < 0, sorted.
func take(t *testing.T, r *source.Reader, n int) (out []string) {
	t.Helper()
	for ; n != 0; n-- {
		rec, err := next(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(rec.Fields[0]))
	}
	slices.Sort(out)
	return out
}

func ids(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("u%d", i))
	}
	slices.Sort(out)
	return out
}

func TestReadToTheEnd(t *testing.T) {
	address := broker(t)
	r := mustOpen(t, address, source.Remote{})
	if got := take(t, r, -1); len(got) > 0 {
		t.Errorf("an empty topic has rows %q", got)
	}
	closeReader(t, r)

	send(t, address, users(0, 4)...)
	r = mustOpen(t, address, source.Remote{})
	if want := []string{"user.id", "items[0].sku", "_key", "_partition", "_offset", "_timestamp"}; !cmp.Equal(r.Columns(), want) {
		t.Errorf("columns %q, want %q", r.Columns(), want)
	}
	send(t, address, users(100, 130)...) // after the start
	var got []string
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d/%d %s", rec.Line, rec.Part, bytes.Join(rec.Fields, []byte("|"))))
	}
	slices.Sort(got)
	at := "2024-06-30T12:00:00.005Z"
	want := []string{"1/0 u0|0|k0|0|0|" + at, "1/1 u1|1|k1|1|0|" + at, "1/2 u2|2|k2|2|0|" + at, "2/0 u3|3|k3|0|1|" + at}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if err := r.Commit(t.Context(), r.Position()); err != nil {
		t.Error(err)
	}
	closeReader(t, r)

	r = mustOpen(t, address, source.Remote{})
	if diff := cmp.Diff(ids(100, 130), take(t, r, -1)); diff != "" {
		t.Errorf("what came later (-want +got):\n%s", diff)
	}
	if err := r.Commit(t.Context(), r.Position()); err != nil {
		t.Error(err)
	}
	closeReader(t, r)
	r = mustOpen(t, address, source.Remote{})
	if got := take(t, r, -1); len(got) > 0 {
		t.Errorf("after all was committed: rows %q", got)
	}
	closeReader(t, r)
	r = mustOpen(t, address, source.Remote{Group: "other"})
	if got := take(t, r, -1); len(got) != 34 {
		t.Errorf("another group: %d rows, want 34", len(got))
	}
	closeReader(t, r)
}

// TestCommitsNothingByItself reads some messages, says that fewer are durable, and dies.
func TestCommitsNothingByItself(t *testing.T) {
	address := broker(t)
	send(t, address, users(0, 300)...)
	for _, c := range []struct{ durable, read int }{{0, 10}, {50, 120}, {120, 120}} {
		r := mustOpen(t, address, source.Remote{Group: fmt.Sprint(c)})
		first := take(t, r, c.durable)
		if err := r.Commit(t.Context(), r.Position()); err != nil {
			t.Error(err)
		}
		take(t, r, c.read-c.durable)
		closeReader(t, r)
		r = mustOpen(t, address, source.Remote{Group: fmt.Sprint(c)})
		second := take(t, r, -1)
		closeReader(t, r)
		all := slices.Concat(first, second)
		slices.Sort(all)
		if diff := cmp.Diff(ids(0, 300), all); diff != "" {
			t.Errorf("%d durable of %d read: what was durable and the next run (-want +got):\n%s", c.durable, c.read, diff)
		}
	}
}

// TestRebalance has members come and go while they read, each committing only some of what it reads. What was durable must be everything.
func TestRebalance(t *testing.T) {
	address := broker(t)
	const total = 600
	send(t, address, users(0, total)...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var (
		mu      sync.Mutex
		durable = map[string]bool{}
		members sync.WaitGroup
	)
	// member reads messages in batches, makes them durable, and commits every second one, until it is stopped or has read enough.
	member := func(most int) {
		defer members.Done()
		r, err := open(ctx, "kafka://"+address+"/events", source.Remote{Follow: true})
		if err != nil {
			t.Error(err)
			return
		}
		var batch []string
		for n := 1; n <= most; n++ {
			rec, err := next(r)
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				break
			}
			if batch = append(batch, string(rec.Fields[0])); len(batch) < 10 {
				continue
			}
			mu.Lock()
			for _, u := range batch {
				durable[u] = true
			}
			done := len(durable) == total
			mu.Unlock()
			batch = nil
			if n%20 == 0 {
				if err := r.Commit(ctx, r.Position()); err != nil && ctx.Err() == nil {
					t.Logf("commit: %v", err) // in the middle of a rebalance it may be refused
				}
			}
			if done {
				cancel()
			}
		}
		if err := r.Close(); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	for range 4 { // they die with messages that are not durable
		members.Add(1)
		go member(45)
	}
	members.Add(1)
	go member(100 * total)
	members.Wait()
	if len(durable) != total {
		t.Errorf("%d messages are durable, want all %d", len(durable), total)
	}
}

// TestLateCommit commits what a member has read of partitions that meanwhile another had, and brought further: the group must not go back.
func TestLateCommit(t *testing.T) {
	address := broker(t)
	send(t, address, users(0, 300)...)
	r := mustOpen(t, address, source.Remote{Follow: true})
	take(t, r, 30)
	late := r.Position()
	closeReader(t, r)
	whole := mustOpen(t, address, source.Remote{})
	take(t, whole, -1)
	if err := whole.Commit(t.Context(), whole.Position()); err != nil {
		t.Fatal(err)
	}
	closeReader(t, whole)

	send(t, address, users(300, 303)...)
	r = mustOpen(t, address, source.Remote{Follow: true})
	if diff := cmp.Diff(ids(300, 303), take(t, r, 3)); diff != "" {
		t.Fatalf("what came later (-want +got):\n%s", diff)
	}
	if err := r.Commit(t.Context(), late); err != nil {
		t.Error(err)
	}
	closeReader(t, r)
	r = mustOpen(t, address, source.Remote{})
	defer closeReader(t, r)
	if diff := cmp.Diff(ids(300, 303), take(t, r, -1)); diff != "" {
		t.Errorf("after a late commit of %s (-want +got):\n%s", late, diff)
	}
}

func TestFollow(t *testing.T) {
	address := broker(t)
	send(t, address, users(0, 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := open(ctx, "kafka://"+address+"/events", source.Remote{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Peek(100)); n < 1 || n > 3 {
		t.Errorf("peeked at %d rows, want those that are there", n)
	}
	got := take(t, r, 3)
	if _, err := r.Next(); !errors.Is(err, source.ErrIdle) {
		t.Errorf("got %v without messages, want ErrIdle", err)
	}
	send(t, address, users(3, 9)...)
	got = append(got, take(t, r, 6)...)
	slices.Sort(got)
	if diff := cmp.Diff(ids(0, 9), got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	ended := make(chan error)
	go func() {
		_, err := next(r)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with %v, want context.Canceled", err)
	}
	closeReader(t, r)
}

func TestBadMessages(t *testing.T) {
	address := broker(t)
	send(t, address, `{"user":{"id":"u0"}}`, `{`, `[]`, `{"user":{"id":1.50,"x":[1]}} {}`, `null`, "", `{"user":{"id":true},"items":[]}`)
	r := mustOpen(t, address, source.Remote{})
	defer closeReader(t, r)
	var got []string
	for {
		rec, err := r.Next()
		var bad *source.RowError
		switch {
		case errors.Is(err, io.EOF):
			slices.Sort(got)
			want := []string{
				"0/1 |u0|", "0/3 |true|", "1! message", "1! message", "2! message", "2! message", "2! message",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			return
		case errors.As(err, &bad):
			got = append(got, fmt.Sprintf("%d! %s", bad.Line, bad.Reason))
			if !strings.Contains(bad.Detail, "partition ") {
				t.Errorf("detail %q, want the partition in it", bad.Detail)
			}
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, fmt.Sprintf("%d/%d |%s|%s", rec.Part, rec.Line, rec.Fields[0], rec.Fields[1]))
		}
	}
}

func TestCSV(t *testing.T) {
	address := broker(t)
	send(t, address, "ada;lamp", `"b;b";desk`, "cy", "")
	o := source.Options{Format: source.Delimited, Separator: ";", Remote: source.Remote{Openers: Openers(), Fields: []string{"user", "item"}}}
	for ragged, want := range map[bool][]string{false: {"ada|lamp", "b;b|desk"}, true: {"ada|lamp", "b;b|desk", "cy|"}} {
		o.Ragged, o.Remote.Group = ragged, fmt.Sprint(ragged)
		r, err := source.Open(t.Context(), "kafka://"+address+"/events", o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		bad := 0
		for {
			rec, err := r.Next()
			if errors.As(err, new(*source.RowError)) {
				bad++
				continue
			}
			if err != nil {
				break
			}
			got = append(got, fmt.Sprintf("%s|%s", rec.Fields[0], rec.Fields[1]))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || len(got)+bad != 4 {
			t.Errorf("ragged %t: rows %q and %d refused, want %q of 4", ragged, got, bad, want)
		}
		closeReader(t, r)
	}
}

func TestMistakes(t *testing.T) {
	address := broker(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "kith", "s3cret"))
	for _, c := range []struct {
		name, url, want string
		r               source.Remote
	}{
		{"no topic", "kafka://b:1/", "want kafka://broker:port/topic", source.Remote{}},
		{"field twice", "kafka://b:1/t", "listed twice", source.Remote{Fields: []string{"a", "a"}}},
		{"bad field", "kafka://b:1/t", "in brackets", source.Remote{Fields: []string{"a[x]"}}},
		{"no fields", "kafka://b:1/t", "list the paths", source.Remote{Fields: []string{}}},
		{"parameter", "kafka://b:1/t?x=y", `parameter "x"`, source.Remote{}},
		{"tls", "kafka://b:1/t?tls=x", "want true or false", source.Remote{}},
		{"sasl", "kafka://u:s3cret@b:1/t?sasl=x", "want plain", source.Remote{}},
		{"user alone", "kafka://u@b:1/t", "password_env", source.Remote{}},
		{"key of others", "kafka://b:1/t", "table means nothing to Kafka", source.Remote{Table: "t"}},
		{"no such topic", "kafka://kith:s3cret@" + address + "/none", "topic none", source.Remote{}},
		{"wrong password", "kafka://kith:s3cretly@" + address + "/events", "topic events", source.Remote{}},
	} {
		r, err := open(t.Context(), c.url, c.r)
		if err == nil {
			err = errors.Join(errors.New("opened"), r.Close())
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v; want an error with %q", c.name, err, c.want)
		}
	}
	t.Setenv("KITH_TEST_PASSWORD", "s3cret")
	r, err := open(t.Context(), "kafka://kith@"+address+"/events", source.Remote{PasswordEnv: "KITH_TEST_PASSWORD"})
	if err != nil {
		t.Fatal(err)
	}
	if got := take(t, r, -1); len(got) > 0 {
		t.Errorf("rows %q of an empty topic", got)
	}
	closeReader(t, r)
}

// FuzzDecode checks that no message breaks anything, and that what is refused is a RowError with the message.
func FuzzDecode(f *testing.F) {
	f.Add("a.b[0]", []byte(`{"a":{"b":[1e400,"x"]}}`))
	f.Add("a", []byte(`{"a":"\ud800"}`))
	f.Add("a[0][1]", []byte(`{"a":[[1,2]]} x`))
	f.Fuzz(func(t *testing.T, path string, value []byte) {
		d, err := newJSONDecoder([]string{path})
		if err != nil {
			return
		}
		fields, err := d.decode(value)
		var bad *source.RowError
		if err != nil && (!errors.As(err, &bad) || !strings.HasPrefix(string(value), bad.Raw)) || err == nil && len(fields) != 1 {
			t.Errorf("%q of %q: %q, %v", path, value, fields, err)
		}
	})
}

// FuzzParsePosition checks that what is taken is written the same way again.
func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{`{"0":12,"3":7}`, `{"-1":2}`, `{}`, ``, `null`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := parsePosition(in)
		if err != nil {
			return
		}
		if again, err := parsePosition(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%q: %s, and again %s, %v", in, p, again, err)
		}
	})
}

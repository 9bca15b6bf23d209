package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// addrsOf returns the addresses of the members that run.
func addrsOf(c *clustertest.Cluster) string {
	var out []string
	for _, m := range c.Alive() {
		out = append(out, m.Server.GRPCAddr())
	}
	return strings.Join(out, ",")
}

// clientOn returns a client of some addresses.
func clientOn(t *testing.T, addrs string) *client {
	t.Helper()
	c, err := (&remote{addrs: strings.Split(addrs, ","), timeout: clustertest.Patience}).open()
	if err != nil {
		t.Fatal(err)
	}
	c.patient()
	t.Cleanup(c.close)
	return c
}

// readBackup returns the ids of the events of each user of a backup.
func readBackup(t *testing.T, path string) map[string]map[string]bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := backup.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := map[string]map[string]bool{}
	for {
		block, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range block.Events {
			if out[e.User] == nil {
				out[e.User] = map[string]bool{}
			}
			out[e.User][e.ID] = true // a Reader refuses an event that comes twice
		}
	}
}

// shopHistory returns events of all kinds. Weights are whole numbers, so the sums of a build are exact in any order.
func shopHistory(users, items, perUser int) []*kithv1.Event {
	rng := rand.New(rand.NewPCG(11, 12))
	behaviors := []string{"view", "cart", "purchase", "wish"}
	var out []*kithv1.Event
	for u := range users {
		for n := range perUser {
			value := float64(1 + rng.IntN(3))
			e := &kithv1.Event{
				Id: fmt.Sprint("e", n), User: fmt.Sprintf("u%03d", u), Item: fmt.Sprintf("i%03d", rng.IntN(items)),
				Behavior: behaviors[rng.IntN(len(behaviors))], Value: &value, TimeUnixMs: rng.Int64N(1 << 40),
			}
			if n%5 == 0 {
				e.Context = map[string]string{"page": fmt.Sprint(n), "device": "phone"}
			}
			out = append(out, e)
		}
	}
	return out
}

// batches appends batches of one user each without pause until it is told to stop: a partition has all of a batch or nothing.
type batches struct {
	mu    sync.Mutex
	acked int
}

const batchSize = 5

func (b *batches) key(n int) (user, prefix string) {
	return fmt.Sprintf("w%02d", n%20), fmt.Sprint("b", n, "-")
}

func (b *batches) run(ctx context.Context, stop <-chan struct{}, c *client) error {
	sending := &sender{client: c, stored: func(int64) {}}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		user, prefix := b.key(n)
		var batch []*kithv1.Event
		for i := range batchSize {
			batch = append(batch, &kithv1.Event{Id: fmt.Sprint(prefix, i), User: user, Item: fmt.Sprint("i", n%9), Behavior: "view"})
		}
		if err := sending.append(ctx, batch); err != nil {
			return err
		}
		b.mu.Lock()
		b.acked = n + 1
		b.mu.Unlock()
	}
}

func (b *batches) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked
}

// histories returns the events of users by way of a client.
func histories(t *testing.T, c *client, users []string) map[string][]*kithv1.Event {
	t.Helper()
	out := map[string][]*kithv1.Event{}
	for _, u := range users {
		events, err := c.events(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		out[u] = events
	}
	return out
}

// neighborsOf returns the lists of items. Scores come as the servers send them, to the last bit.
func neighborsOf(t *testing.T, c *client, items int) []*kithv1.SimilarResponse {
	t.Helper()
	var out []*kithv1.SimilarResponse
	for i := range items {
		err := c.call(t.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
			resp, err := kithv1.NewRecommenderServiceClient(conn).Similar(ctx, &kithv1.SimilarRequest{
				Subject: &kithv1.SimilarRequest_Item{Item: fmt.Sprintf("i%03d", i)}, N: 30,
			})
			if err == nil {
				if len(resp.Neighbors) == 0 {
					t.Errorf("item %d has no neighbors", i)
				}
				resp.ModelVersion = 0 // each cluster has its own numbers
				out = append(out, resp)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestBackup takes backups of a cluster while events come in and when none do, and restores to clusters of other sizes.
func TestBackup(t *testing.T) {
	long(t)
	const items = 40
	dir := t.TempDir()
	from := clustertest.Start(t, clustertest.Options{})
	addrs := addrsOf(from)
	events := shopHistory(60, items, 40)
	from.Append(0, events)
	mustKith(t, "build", "--wait", "--addr", addrs, "-k", "15", "--shrinkage", "3", "--weight", "wish=2")

	live := filepath.Join(dir, "live.kith")
	var b batches
	stop, ended := make(chan struct{}), make(chan error, 1)
	writer := clientOn(t, addrs)
	go func() { ended <- b.run(t.Context(), stop, writer) }()
	for round := range 3 {
		until := b.count() + 50
		from.Eventually(func() error {
			if n := b.count(); n < until {
				return fmt.Errorf("%d batches acknowledged, want %d", n, until)
			}
			return nil
		})
		before := b.count()
		mustKith(t, "cluster", "backup", live, "--addr", from.Members[round].Server.GRPCAddr())
		after := b.count() + 1 // one may be on its way
		checkLive(t, &b, readBackup(t, live), before, after, len(events))
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	still := filepath.Join(dir, "still.kith")
	saved := mustJSON[jsonBackup](t, "cluster", "backup", still, "--addr", addrs)
	total := uint64(len(events) + b.count()*batchSize)
	if saved.Events != total || saved.Users != 80 || saved.Partitions != 4 || saved.Versions != 1 || saved.ActiveVersion == 0 {
		t.Errorf("got %+v, want %d events of 80 users", saved, total)
	}
	if st, err := os.Stat(still); err != nil || st.Mode().Perm() != 0o600 || st.Size() != saved.Bytes {
		t.Errorf("file: %v %v, want mode 0600 and %d bytes", st.Mode(), err, saved.Bytes)
	}
	verified := mustJSON[jsonBackup](t, "cluster", "verify", still)
	if verified.Seconds = saved.Seconds; verified != saved {
		t.Errorf("verify says %+v, backup %+v", verified, saved)
	}
	again := kith(t, nil, "cluster", "backup", "-", "--addr", addrs)
	if s, err := backup.Verify(strings.NewReader(again.out), nil); again.code != exitOK || err != nil || s.Total().Events != total {
		t.Errorf("to standard output: exit code %d: %s: %v", again.code, again.err, err)
	}

	users := slices.Sorted(maps.Keys(readBackup(t, still)))
	want := histories(t, clientOn(t, addrs), users)
	// The model is older than the batches: build it anew, with the same settings.
	mustKith(t, "build", "--wait", "--addr", addrs, "-k", "15", "--shrinkage", "3", "--weight", "wish=2")
	lists := neighborsOf(t, clientOn(t, addrs), items)
	for _, o := range []clustertest.Options{{Servers: 1}, {Servers: 3, Partitions: 7}} {
		t.Run(fmt.Sprintf("restore to %d", o.Servers), func(t *testing.T) {
			to := clustertest.Start(t, o)
			got := mustJSON[jsonRestore](t, "cluster", "restore", still, "--build", "--addr", addrsOf(to))
			if got.Appended != total || got.Duplicates != 0 || got.Version == nil || got.Version.Spec.K != 15 || got.Version.Spec.Weights["wish"] != 2 {
				t.Errorf("got %+v, want %d events", got, total)
			}
			if d := cmp.Diff(want, histories(t, clientOn(t, addrsOf(to)), users), protocmp.Transform()); d != "" {
				t.Errorf("histories (-before +restored):\n%s", d)
			}
			if d := cmp.Diff(lists, neighborsOf(t, clientOn(t, addrsOf(to)), items), protocmp.Transform()); d != "" {
				t.Errorf("lists (-before +restored):\n%s", d)
			}
			refused := kith(t, nil, "cluster", "restore", still, "--addr", addrsOf(to))
			if refused.code != exitError || !strings.Contains(refused.err, "--merge") {
				t.Errorf("without --merge: exit code %d: %s", refused.code, refused.err)
			}
			twice := mustJSON[jsonRestore](t, "cluster", "restore", still, "--merge", "--addr", addrsOf(to))
			if twice.Appended != 0 || twice.Duplicates != total {
				t.Errorf("a second time: got %+v, want duplicates alone", twice)
			}
		})
	}
	t.Run("restore from standard input", func(t *testing.T) {
		to := clustertest.Start(t, clustertest.Options{Servers: 1})
		file, err := os.Open(still)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		var out, text bytes.Buffer
		a := &app{in: file, out: &out, err: &text, env: func(string) (string, bool) { return "", false }}
		if code := a.run(t.Context(), []string{"cluster", "restore", "-", "--addr", addrsOf(to)}); code != exitOK {
			t.Fatalf("exit code %d: %s", code, text.String())
		}
		if s := mustJSON[jsonStatus](t, "status", "--addr", addrsOf(to)); s.Events != total {
			t.Errorf("%d events, want %d", s.Events, total)
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		to := clustertest.Start(t, clustertest.Options{Servers: 1})
		file, err := os.ReadFile(still)
		if err != nil {
			t.Fatal(err)
		}
		file[len(file)/2] ^= 4
		bad := writeFile(t, "bad.kith", string(file))
		for _, args := range [][]string{{"verify", bad}, {"restore", bad, "--addr", addrsOf(to)}} {
			got := kith(t, nil, append([]string{"cluster"}, args...)...)
			if got.code != exitError || !strings.Contains(got.err, "bad.kith: damaged backup: section") {
				t.Errorf("%v: exit code %d: %s", args, got.code, got.err)
			}
		}
		if s := mustJSON[jsonStatus](t, "status", "--addr", addrsOf(to)); s.Events != 0 {
			t.Errorf("%d events after a refused restore", s.Events)
		}
	})
}

// checkLive checks a backup that was made while batches came in: all that were acknowledged before it are there, no
// later ones than were sent, each whole, and all that was there to begin with.
func checkLive(t *testing.T, b *batches, got map[string]map[string]bool, before, after, first int) {
	t.Helper()
	events := 0
	for _, ids := range got {
		events += len(ids)
	}
	whole := 0
	for n := range after {
		user, prefix := b.key(n)
		has := 0
		for i := range batchSize {
			if got[user][fmt.Sprint(prefix, i)] {
				has++
			}
		}
		if has != 0 && has != batchSize || has == 0 && n < before {
			t.Errorf("batch %d of %d that were acknowledged before: %d of %d events", n, before, has, batchSize)
		}
		whole += has
	}
	if events != whole+first {
		t.Errorf("%d events, want %d of batches and %d from before", events, whole, first)
	}
}

// TestBackupSurvivesItsServer kills the server that a backup comes from in the middle of it: another goes on.
func TestBackupSurvivesItsServer(t *testing.T) {
	long(t)
	c := clustertest.Start(t, clustertest.Options{})
	// More than the buffers between the servers and a client hold.
	rng := rand.New(rand.NewPCG(13, 14))
	text := make([]byte, 3000)
	var events []*kithv1.Event
	for n := range 8000 {
		for i := range text {
			text[i] = byte('a' + rng.IntN(26))
		}
		events = append(events, &kithv1.Event{
			Id: fmt.Sprint(n), User: fmt.Sprint("u", n%31), Item: "i", Behavior: "view", Context: map[string]string{"text": string(text)},
		})
	}
	for chunk := range slices.Chunk(events, 250) {
		c.Append(0, chunk)
	}
	var out bytes.Buffer
	var w *backup.Writer
	killed := false
	client := clientOn(t, addrsOf(c)) // asks the first address first
	err := client.backup(t.Context(), func(m *kithv1.BackupResponse) (err error) {
		if manifest := m.GetManifest(); manifest != nil {
			w, err = backup.NewWriter(&out, manifest)
			return err
		}
		if !killed {
			killed = true
			c.Kill(0)
		}
		return w.Add(m.GetEvents().GetPartition(), wire.EventsFromProto(m.GetEvents().GetEvents()))
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if !killed || s.Total() != (backup.Counts{Events: 8000, Users: 31}) {
		t.Errorf("got %+v, want 8000 events of 31 users", s.Total())
	}
	if at := client.next.Load(); at == 0 {
		t.Error("the backup came from the dead server alone: it was in buffers; make the data larger")
	}
}

package server_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/kith-io/kith/erasure"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// verified returns a receipt after a check of its signature.
func verified(t *testing.T, c *clustertest.Cluster, i int, resp *kithv1.EraseUserResponse) *erasure.Receipt {
	t.Helper()
	key, err := kithv1.NewErasureServiceClient(c.Conn(i)).PublicKey(t.Context(), &kithv1.PublicKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := erasure.File(resp.Receipt, resp.Signature, ed25519.PublicKey(resp.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	r, err := erasure.Verify(file, key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// alike are events of users with the same items, so that each is the nearest of the others.
func alike(n int) (events []*kithv1.Event) {
	for u := range n {
		for i := range 6 {
			events = append(events, &kithv1.Event{
				Id: fmt.Sprint(i), User: fmt.Sprint("u", u), Item: fmt.Sprint("i", i), Behavior: "view", TimeUnixMs: 1_700_000_000_000 + int64(i),
			})
		}
	}
	return events
}

// absent checks that no member finds anything of a user.
func absent(t *testing.T, c *clustertest.Cluster, user string) {
	t.Helper()
	for _, m := range c.Alive() {
		for _, stale := range []bool{false, true} {
			c.Eventually(func() error {
				events, err := listEvents(t, c, m.Index, user, stale)
				if err == nil && len(events) > 0 && !stale {
					t.Fatalf("member %d finds %d events of %s", m.Index, len(events), user)
				}
				if err == nil && len(events) > 0 {
					err = fmt.Errorf("member %d finds %d old events", m.Index, len(events))
				}
				return err
			})
			if got := get(t, c, m.Index, users, stale, user); len(got) > 0 {
				t.Fatalf("member %d finds the profile %v", m.Index, got)
			}
		}
		c.Eventually(func() error {
			req := forUser(user, 3)
			req.NoFallback = true
			_, err := c.Recommender(m.Index).Recommend(t.Context(), req)
			if err := wire.FromStatus(err); !errors.Is(err, wire.ErrUnknownUser) {
				return fmt.Errorf("member %d: %w, want ErrUnknownUser", m.Index, err)
			}
			return nil
		})
		c.Eventually(func() error {
			resp, err := c.Recommender(m.Index).Similar(t.Context(), &kithv1.SimilarRequest{N: 50, Subject: &kithv1.SimilarRequest_User{User: "u1"}})
			if err != nil {
				return err
			}
			if len(resp.Neighbors) != 8 {
				return fmt.Errorf("member %d names %d neighbors, want 8", m.Index, len(resp.Neighbors))
			}
			for _, x := range resp.Neighbors {
				if x.Key == user {
					t.Fatalf("member %d names %s as a neighbor", m.Index, user)
				}
			}
			return nil
		})
	}
}

// TestEraseUser erases a user of an active model, restarts everything, sends the events again, and builds again.
func TestEraseUser(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	const user = "u4"
	events := alike(10)
	c.Append(0, events)
	put(t, c, 0, users, record(user, 1), record("u1", 1))
	version := c.Build(0, &kithv1.BuildSpec{K: 5}).ModelVersion

	r := verified(t, c, 1, eraseUser(t, c, 1, &kithv1.EraseUserRequest{User: user}))
	if r.Removed != (erasure.Removed{Events: 6, Profile: true}) || r.Partition != uint32(partition.Of(user, 4)) || r.LogIndex == 0 {
		t.Errorf("receipt %+v", r)
	}
	if len(r.Purged) != 3 || len(r.Waiting) != 0 {
		t.Errorf("purged at %v, waiting for %v, want all three", r.Purged, r.Waiting)
	}
	if len(r.Versions) != 1 || r.Versions[0] != version || r.CleanAfter != version {
		t.Errorf("versions %v, clean after %d, want %d", r.Versions, r.CleanAfter, version)
	}
	absent(t, c, user)
	again := c.Append(2, events)
	if again.Erased != 6 || again.Duplicates != 54 || again.Appended != 0 {
		t.Errorf("sent again: %v, want 6 refused and 54 known", again)
	}
	for i := range c.Members {
		c.Stop(i)
	}
	for i := range c.Members {
		c.Run(i)
	}
	c.Ready()
	absent(t, c, user)

	c.Build(0, &kithv1.BuildSpec{K: 6})
	r = verified(t, c, 1, eraseUser(t, c, 1, &kithv1.EraseUserRequest{User: user}))
	if len(r.Versions) != 1 || r.Versions[0] != version {
		t.Errorf("after a build versions %v have the user, want %d only", r.Versions, version)
	}
	if r.Removed != (erasure.Removed{}) {
		t.Errorf("erased again: %+v, want nothing", r.Removed)
	}
	verified(t, c, 0, eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: user, AllowAgain: true}))
	if again := c.Append(2, events); again.Erased != 0 || again.Appended != 6 {
		t.Errorf("sent again once it is allowed: %v, want 6 new", again)
	}
}

// TestEraseSurvivesItsLeader kills the leader of the partition while users are erased. Each request is repeated until it is answered, and
// its receipt counts what was there, whoever answers.
func TestEraseSurvivesItsLeader(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Partitions: 1})
	const n = 30
	c.Append(0, alike(n))
	lost := leaderOf(t, c, 0)
	asked := (lost + 1) % 3
	var killing sync.WaitGroup
	for u := range n {
		if u == n/3 {
			killing.Go(func() { c.Kill(lost) })
		}
		user := fmt.Sprint("u", u)
		r := verified(t, c, asked, eraseUser(t, c, asked, &kithv1.EraseUserRequest{User: user, RequestId: bytes.Repeat([]byte{byte(u + 1)}, 16)}))
		if r.Removed.Events != 6 {
			t.Errorf("%s: %d events removed, want 6", user, r.Removed.Events)
		}
	}
	killing.Wait()
	c.Run(lost)
	c.Ready()
	for _, m := range c.Members {
		for u := range n {
			c.Eventually(func() error {
				events, err := listEvents(t, c, m.Index, fmt.Sprint("u", u), true)
				if err == nil && len(events) > 0 {
					err = fmt.Errorf("member %d still has u%d", m.Index, u)
				}
				return err
			})
		}
	}
}

// TestErasureOvertakesCut: what a build or a backup with an older cut would read is refused, at once.
func TestErasureOvertakesCut(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 1})
	c.Append(0, alike(3))
	begun, err := c.Cluster(0).Backup(t.Context(), &kithv1.BackupRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := begun.Recv()
	if err != nil {
		t.Fatal(err)
	}
	cut := first.GetManifest().Partitions[0].Index
	backup := func() error {
		stream, err := c.Cluster(0).Backup(t.Context(), &kithv1.BackupRequest{Resume: &kithv1.BackupPosition{Manifest: first.GetManifest()}})
		for err == nil {
			_, err = stream.Recv()
		}
		return wire.FromStatus(err)
	}
	count := func(job uint64) error {
		stream, err := kithv1.NewComputeServiceClient(c.Conn(0)).Count(t.Context(), &kithv1.CountRequest{
			Job: job, Cut: cut, Spec: &kithv1.BuildSpec{Measure: "cosine", K: 5},
		})
		for err == nil {
			_, err = stream.Recv()
		}
		return wire.FromStatus(err)
	}
	if err := backup(); !errors.Is(err, io.EOF) {
		t.Fatalf("a backup before the erasure: %v", err)
	}
	if err := count(1 << 40); !errors.Is(err, io.EOF) {
		t.Fatalf("a count before the erasure: %v", err)
	}
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: "nobody"})
	if err := backup(); !errors.Is(err, io.EOF) {
		t.Errorf("a backup after an erasure of nothing: %v", err)
	}
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: "u1"})
	if err := backup(); !errors.Is(err, wire.ErrErased) {
		t.Errorf("a backup that an erasure overtook: got %v, want ErrErased", err)
	}
	if err := count(1<<40 + 1); !errors.Is(err, wire.ErrErased) {
		t.Errorf("a count that an erasure overtook: got %v, want ErrErased", err)
	}
}

func listEvents(t *testing.T, c *clustertest.Cluster, i int, user string, stale bool) ([]*kithv1.Event, error) {
	t.Helper()
	stream, err := c.Events(i).List(t.Context(), &kithv1.ListRequest{User: user, Stale: stale})
	if err != nil {
		return nil, err
	}
	var out []*kithv1.Event
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, m.Events...)
	}
}

// TestNearestIsErased: as many similar users are told as before, and in the same order, when the nearest are erased.
func TestNearestIsErased(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	c.Append(0, shopEvents(60, 80, 12, 3))
	c.Build(0, &kithv1.BuildSpec{K: 10})
	near := func(n uint32) (keys []string) {
		t.Helper()
		resp, err := c.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{N: n, Subject: &kithv1.SimilarRequest_User{User: "u001"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range resp.Neighbors {
			keys = append(keys, x.Key)
		}
		return keys
	}
	all := near(8)
	if len(all) != 8 || slices.Contains(all, "u001") {
		t.Fatalf("similar to u001 are %v, want 8 others", all)
	}
	for gone := range 3 {
		eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: all[gone]})
		rest := all[gone+1:]
		for n := range rest {
			if got := near(uint32(n + 1)); !slices.Equal(got, rest[:n+1]) {
				t.Errorf("after %d were erased the %d nearest are %v, want %v", gone+1, n+1, got, rest[:n+1])
			}
		}
	}
}

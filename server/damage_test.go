package server_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// flip changes 50 bytes in the middle of each file that matches a pattern, in place: files may be links, and mapped. Zeros at the end
// do not count.
func flip(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n := len(strings.TrimRight(string(b), "\x00"))
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		part := b[n/2 : min(n, n/2+50)]
		for i := range part {
			part[i] ^= 1
		}
		_, err = f.WriteAt(part, int64(n/2))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// shopUsers is the number of users of these tests.
const shopUsers = 30

// counts returns how many events each user has, as a member sees it.
func counts(t *testing.T, c *clustertest.Cluster, member int) (map[string]int, error) {
	t.Helper()
	out := map[string]int{}
	for u := range shopUsers {
		user := fmt.Sprintf("u%03d", u)
		events, err := list(t, c, member, user)
		if err != nil {
			return nil, err
		}
		out[user] = len(events)
	}
	return out, nil
}

// TestDamagedEventStores spoils files of the event stores of a stopped member. It sets them aside and makes them anew: from its own
// log and snapshot, so a single server can do it too.
func TestDamagedEventStores(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many clusters")
	}
	for servers, files := range map[int][]string{1: {"data-*/*.sst", "CURRENT"}, 3: {"data-*/*.sst", "data-*/MANIFEST-*"}} {
		for _, file := range files {
			t.Run(fmt.Sprintf("%d/%s", servers, filepath.Base(file)), func(t *testing.T) {
				c := clustertest.Start(t, clustertest.Options{Servers: servers, Partitions: 2})
				c.Append(0, shopEvents(shopUsers, 50, 20, 6))
				want, err := counts(t, c, 0)
				if err != nil {
					t.Fatal(err)
				}
				member := servers - 1
				sameEverywhere(t, c) // a follower that has applied nothing has no files
				c.Stop(member)
				flip(t, filepath.Join(c.Dir(member), "partitions/*/events", file))
				c.Run(member)
				c.Ready()
				sameEverywhere(t, c)                        // so all are open
				c.Members[member].Server.Scrub(t.Context()) // damage of data that nobody has asked for
				sameEverywhere(t, c)
				c.Eventually(func() error {
					got, err := counts(t, c, member)
					if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
						err = fmt.Errorf("got %v, want %v", got, want)
					}
					return err
				})
				c.Eventually(func() error {
					aside, err := filepath.Glob(filepath.Join(c.Dir(member), "partitions/*/events.damaged-*"))
					// Without the end of its manifest a store is an older one, and raft brings it up to date.
					if err == nil && len(aside) != 2 && !strings.Contains(file, "MANIFEST") {
						err = fmt.Errorf("set aside: %v, want both", aside)
					}
					return err
				})
			})
		}
	}
}

// TestScrub spoils files of a running server: an event store and a model. It finds both and mends them.
func TestScrub(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Partitions: 2})
	c.Append(0, shopEvents(shopUsers, 50, 20, 6))
	version := c.Build(0, &kithv1.BuildSpec{K: 10}).ModelVersion
	c.Stop(0) // writes its event stores out
	c.Run(0)
	c.Ready()
	want := recommend(t, c, 0, forUser("u007", 10))
	if n := c.Members[0].Server.Scrub(t.Context()); n != 0 {
		t.Fatalf("%d damaged files before any was", n)
	}
	tables := flip(t, filepath.Join(c.Dir(0), "partitions/*/events/data-*/*.sst"))
	models := flip(t, filepath.Join(c.Dir(0), "models", fmt.Sprintf("%020d", version), "lists-*"))
	if n := c.Members[0].Server.Scrub(t.Context()); n < 2 {
		t.Errorf("%d damaged parts, want those of %v and %v", n, tables, models)
	}
	sameEverywhere(t, c)
	c.Eventually(func() error {
		if n := c.Members[0].Server.Scrub(t.Context()); n != 0 {
			return fmt.Errorf("%d parts are damaged still", n)
		}
		for _, path := range models {
			if _, err := os.Stat(path); err != nil {
				return err // to be fetched again
			}
		}
		return nil
	})
	if got := recommend(t, c, 0, forUser("u007", 10)); fmt.Sprint(keys(got.Items)) != fmt.Sprint(keys(want.Items)) {
		t.Errorf("got %v, want %v", keys(got.Items), keys(want.Items))
	}
}

// TestDamagedLogRefusesItsPartition spoils the log of one partition of a stopped member where no snapshot covers it, or removes the folder of the
// partition. The member runs without that replica, which it names, and the cluster serves all partitions.
func TestDamagedLogRefusesItsPartition(t *testing.T) {
	long(t)
	t.Parallel()
	t.Run("flipped", func(t *testing.T) {
		refusesItsPartition(t, func(dir string) { flip(t, filepath.Join(dir, "raft/wal/*.wal")) })
	})
	t.Run("gone", func(t *testing.T) {
		refusesItsPartition(t, func(dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		})
	})
}

func refusesItsPartition(t *testing.T, spoil func(dir string)) {
	var logs lockedBuffer
	c := clustertest.Start(t, clustertest.Options{Configure: func(member int, cfg *server.Config) {
		if member == 1 {
			cfg.Logger = slog.New(slog.NewTextHandler(&logs, nil))
		}
	}})
	c.Append(0, shopEvents(shopUsers, 50, 20, 6))
	want, err := counts(t, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Stop(1)
	spoil(filepath.Join(c.Dir(1), "partitions/00002"))
	c.Run(1)
	c.Ready()
	c.Eventually(func() error {
		info, err := kithv1.NewPartitionServiceClient(c.Conn(1)).Info(t.Context(), &kithv1.InfoRequest{})
		if err != nil {
			return err
		}
		var open []partition.ID
		for _, r := range info.Replicas {
			open = append(open, partition.ID(r.Partition))
		}
		if fmt.Sprint(open) != "[0 1 3]" {
			return fmt.Errorf("open are %v, want all but 2", open)
		}
		return nil
	})
	text := logs.String()
	if !strings.Contains(text, "replica does not start") || !strings.Contains(text, filepath.Join(c.Dir(1), "partitions/00002/raft")) || !strings.Contains(text, "let the other replicas fill it") {
		t.Error("the log does not name the replica, the folder and the remedy")
	}
	got, err := counts(t, c, 1)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
	c.Eventually(func() error { return appendOnce(t.Context(), c, 1, shopEvents(shopUsers, 50, 2, 7)) }) // a leader may change just now
	// What the guide says helps: to empty the member, and to take it into use again.
	intend(t, c, 0, 1, kithv1.MemberIntent_MEMBER_INTENT_DRAIN)
	c.Eventually(func() error {
		left, err := os.ReadDir(filepath.Join(c.Dir(1), "partitions"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("the drained member still has %v", left)
		}
		return err
	})
	intend(t, c, 0, 1, kithv1.MemberIntent_MEMBER_INTENT_UNSPECIFIED)
	settled(t, c, 3)
	sameEverywhere(t, c)
}

// TestDamagedControlGroup spoils the log of the control group of a stopped member: it refuses to start, and names the folder.
func TestDamagedControlGroup(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	c.Append(0, shopEvents(5, 10, 3, 1))
	c.Stop(2)
	flip(t, filepath.Join(c.Dir(2), "control/wal/*.wal"))
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.Logger = c.Dir(2), slog.New(slog.DiscardHandler)
	cfg.GRPCAddr, cfg.RaftAddr, cfg.GossipAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s, err := server.New(cfg)
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), filepath.Join(c.Dir(2), "control")) || !strings.Contains(err.Error(), "start it with an empty data folder") {
		t.Errorf("got %v, want the folder and the remedy", err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir(2), "control")); errors.Is(err, fs.ErrNotExist) {
		t.Error("the folder is gone")
	}
	c.Append(0, shopEvents(5, 10, 3, 2))
}

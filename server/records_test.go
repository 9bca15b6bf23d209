package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

const (
	products = kithv1.RecordKind_RECORD_KIND_PRODUCT
	users    = kithv1.RecordKind_RECORD_KIND_USER
)

func record(key string, version int64) *kithv1.Record {
	return &kithv1.Record{Key: key, Version: version, Attributes: []*kithv1.Attribute{
		{Name: "price", Value: &kithv1.Attribute_Number{Number: float64(version)}},
		{Name: "tags", Value: &kithv1.Attribute_Texts{Texts: &kithv1.TextList{Texts: []string{"a", key}}}},
	}, Places: []byte(`{"source":"shop"}`)}
}

// put stores records through a member, again while it may help.
func put(t *testing.T, c *clustertest.Cluster, i int, kind kithv1.RecordKind, records ...*kithv1.Record) *kithv1.PutRecordsResponse {
	t.Helper()
	var resp *kithv1.PutRecordsResponse
	c.Eventually(func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		resp, err = kithv1.NewCatalogServiceClient(c.Conn(i)).PutRecords(ctx, &kithv1.PutRecordsRequest{Kind: kind, Records: records})
		if err != nil && !wire.Retryable(wire.FromStatus(err)) && !errors.Is(wire.FromStatus(err), context.DeadlineExceeded) {
			t.Fatalf("put through member %d: %v", i, err)
		}
		return err
	})
	return resp
}

func get(t *testing.T, c *clustertest.Cluster, i int, kind kithv1.RecordKind, stale bool, keys ...string) []*kithv1.Record {
	t.Helper()
	var out []*kithv1.Record
	c.Eventually(func() error {
		out = nil
		stream, err := kithv1.NewCatalogServiceClient(c.Conn(i)).GetRecords(t.Context(), &kithv1.GetRecordsRequest{Kind: kind, Keys: keys, Stale: stale})
		if err != nil {
			return err
		}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			out = append(out, m.Records...)
		}
	})
	return out
}

// listAll returns all records of a kind, in pages of n, by key.
func listAll(t *testing.T, c *clustertest.Cluster, i int, kind kithv1.RecordKind, n uint32) []*kithv1.Record {
	t.Helper()
	var out []*kithv1.Record
	for p, partitions := uint32(0), uint32(1); p < partitions; p++ {
		for after, more := "", true; more; {
			var resp *kithv1.ListRecordsResponse
			c.Eventually(func() (err error) {
				resp, err = kithv1.NewCatalogServiceClient(c.Conn(i)).ListRecords(t.Context(), &kithv1.ListRecordsRequest{Kind: kind, Partition: p, AfterKey: after, N: n})
				return err
			})
			for _, r := range resp.Records {
				if r.Key <= after {
					t.Fatalf("partition %d: %q after %q", p, r.Key, after)
				}
				after = r.Key
			}
			out = append(out, resp.Records...)
			after, more, partitions = resp.AfterKey, resp.AfterKey != "", resp.Partitions
		}
	}
	slices.SortFunc(out, byKey)
	return out
}

func byKey(a, b *kithv1.Record) int {
	if a.Key < b.Key {
		return -1
	}
	return 1
}

// leaderOf waits until a running member leads a partition, and returns its index.
func leaderOf(t *testing.T, c *clustertest.Cluster, partition int) int {
	t.Helper()
	at := -1
	c.Eventually(func() error {
		asked := c.Alive()[0]
		s, err := c.Cluster(asked.Index).Status(t.Context(), &kithv1.StatusRequest{})
		if err != nil {
			return err
		}
		for _, m := range c.Alive() {
			if m.Server.ID() == s.Partitions[partition].Leader {
				at = m.Index
				return nil
			}
		}
		return fmt.Errorf("partition %d is led by %q, which does not run", partition, s.Partitions[partition].Leader)
	})
	return at
}

// TestCatalog puts, gets, lists and deletes records, and loses the leader of a partition on the way.
func TestCatalog(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	const n = 300
	var mu sync.Mutex
	var want []*kithv1.Record
	batch := func(i, from, to int) {
		var some []*kithv1.Record
		for k := from; k < to; k++ {
			some = append(some, record(fmt.Sprintf("p%04d", k), int64(k%7)))
		}
		put(t, c, i, products, some...)
		mu.Lock()
		defer mu.Unlock()
		want = append(want, some...)
	}
	batch(0, 0, n/3)
	lost := leaderOf(t, c, 0)
	asked := (lost + 1) % 3
	var killing sync.WaitGroup
	killing.Go(func() { c.Kill(lost) })
	for k := n / 3; k < n; k += 10 {
		batch(asked, k, k+10)
	}
	killing.Wait()
	var keys []string
	for _, r := range want {
		keys = append(keys, r.Key)
	}
	check := func(i int) {
		t.Helper()
		if diff := gocmp.Diff(want, get(t, c, i, products, false, append(keys, "nothing")...), protocmp.Transform()); diff != "" {
			t.Fatalf("member %d gets, -want +got:\n%s", i, diff)
		}
		if diff := gocmp.Diff(want, listAll(t, c, i, products, 17), protocmp.Transform()); diff != "" {
			t.Fatalf("member %d lists, -want +got:\n%s", i, diff)
		}
	}
	check(asked)
	c.Run(lost)
	c.Ready()
	check(lost)

	// An older version changes nothing, an equal one neither, a newer one does.
	resp := put(t, c, 0, products, record("p0006", 5), record("p0005", 5), record("p0004", 9))
	if resp.Changed != 1 || resp.Unchanged != 2 {
		t.Errorf("%v, want 1 changed and 2 unchanged", resp)
	}
	want[4] = record("p0004", 9)
	gone, err := kithv1.NewCatalogServiceClient(c.Conn(1)).DeleteRecords(t.Context(), &kithv1.DeleteRecordsRequest{Kind: products, Keys: []string{"p0299", "nothing"}})
	if err != nil || gone.Deleted != 1 || gone.Unchanged != 1 {
		t.Errorf("deleted %v, error %v, want 1 and 1 unchanged", gone, err)
	}
	want = want[:n-1]
	check(2)
	if resp := put(t, c, 0, products, record("p0299", 299%7)); resp.Unchanged != 1 {
		t.Errorf("a deleted product came back: %v", resp)
	}
	if got := get(t, c, 0, users, false, "p0001"); len(got) > 0 {
		t.Errorf("a product is taken for a user: %v", got)
	}
	refused := put(t, c, 0, products, record("", 1), &kithv1.Record{Key: "k", Version: -1})
	if refused.Rejected != 2 || len(refused.Rejections) != 2 || refused.Rejections[1].Index != 1 {
		t.Errorf("%v, want two refused", refused)
	}
	c.Eventually(func() error {
		s, err := c.Cluster(0).Status(t.Context(), &kithv1.StatusRequest{})
		if err != nil {
			return err
		}
		total := uint64(0)
		for _, p := range s.Partitions {
			total += p.Products
		}
		if total != n-1 {
			return fmt.Errorf("the status counts %d products, want %d", total, n-1)
		}
		return nil
	})
}

// TestMoveCarriesRecords: what moves to another member has the catalog and the tombstones.
func TestMoveCarriesRecords(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	var want []*kithv1.Record
	for k := range 100 {
		want = append(want, record(fmt.Sprintf("p%04d", k), 1))
	}
	put(t, c, 0, products, want...)
	put(t, c, 0, users, record("u1", 1), record("u2", 1))
	eraseUser(t, c, 0, &kithv1.EraseUserRequest{User: "u1"})
	i := c.Add()
	leaving := c.Members[0].Server.ID()
	c.Eventually(func() error {
		_, err := c.Cluster(i).SetIntent(t.Context(), &kithv1.SetIntentRequest{Member: leaving, Intent: kithv1.MemberIntent_MEMBER_INTENT_LEAVE})
		return err
	})
	c.Left(0)
	if diff := gocmp.Diff(want, listAll(t, c, i, products, 1000), protocmp.Transform()); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	if got := listAll(t, c, i, users, 0); len(got) != 1 || got[0].Key != "u2" {
		t.Errorf("profiles %v, want that of u2", got)
	}
	if resp := put(t, c, i, users, record("u1", 2)); resp.Erased != 1 {
		t.Errorf("the profile of an erased user: %v, want it refused", resp)
	}
}

func eraseUser(t *testing.T, c *clustertest.Cluster, i int, req *kithv1.EraseUserRequest) *kithv1.EraseUserResponse {
	t.Helper()
	var resp *kithv1.EraseUserResponse
	c.Eventually(func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*deadline)
		defer cancel()
		resp, err = kithv1.NewErasureServiceClient(c.Conn(i)).EraseUser(ctx, req, grpc.WaitForReady(true))
		return err
	})
	return resp
}

// TestBackupResumesRecords goes on with a backup behind each message of records: what comes is what was left.
func TestBackupResumesRecords(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	for k := range 40 {
		put(t, c, 0, products, record(fmt.Sprint("k", k), 1))
		put(t, c, 0, users, record(fmt.Sprint("k", k), 1))
	}
	take := func(at *kithv1.BackupPosition) (manifest *kithv1.BackupManifest, parts []*kithv1.BackupRecords) {
		stream, err := c.Cluster(0).Backup(t.Context(), &kithv1.BackupRequest{Resume: at, WithRecords: true})
		for err == nil {
			var m *kithv1.BackupResponse
			if m, err = stream.Recv(); err != nil {
				break
			}
			if m.GetManifest() != nil {
				manifest = m.GetManifest()
			} else {
				parts = append(parts, m.GetRecords())
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		return manifest, parts
	}
	manifest, all := take(nil)
	if len(all) != 8 {
		t.Fatalf("%d messages, want those of 4 partitions and 2 kinds", len(all))
	}
	for i, x := range all {
		_, rest := take(&kithv1.BackupPosition{
			Manifest: manifest, Partition: x.Partition, AfterKind: x.Kind, AfterKey: x.Records[len(x.Records)-1].Key,
		})
		if diff := gocmp.Diff(all[i+1:], rest, protocmp.Transform()); len(rest) != len(all)-i-1 || len(rest) > 0 && diff != "" {
			t.Fatalf("behind message %d, -want +got:\n%s", i, diff)
		}
	}
}

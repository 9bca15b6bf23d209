package backup_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func records(keys ...string) (out []catalog.Record) {
	for _, key := range keys {
		out = append(out, catalog.Record{Key: key, Version: 5, Attributes: []catalog.Attribute{{Name: "price", Value: catalog.Value{Type: catalog.Number, Number: 9}}}})
	}
	return out
}

// writeAll makes a backup of blocks of events and records.
func writeAll(m *kithv1.BackupManifest, blocks []backup.Block) ([]byte, error) {
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, m)
	if err != nil {
		return nil, err
	}
	for _, x := range blocks {
		if len(x.Events) > 0 {
			err = w.Add(x.Partition, x.Events)
		} else {
			err = w.AddRecords(x.Partition, x.Kind, x.Records)
		}
		if err != nil {
			return nil, err
		}
	}
	_, err = w.Close()
	return b.Bytes(), err
}

// withRecords is a backup of two partitions, one without events.
func withRecords(t testing.TB) ([]byte, []backup.Block) {
	t.Helper()
	events := []fusion.Event{event("a", "1"), event("b", "1")}
	blocks := []backup.Block{
		{Partition: 0, Events: events},
		{Partition: 0, Kind: catalog.Product, Records: records("p1", "p2")},
		{Partition: 0, Kind: catalog.Product, Records: records("p3")},
		{Partition: 0, Kind: catalog.Profile, Records: records("a")},
		{Partition: 1, Kind: catalog.Product, Records: []catalog.Record{{Key: "gone", Version: 3, Deleted: true}}},
		{Partition: 1, Kind: catalog.Joined, Records: records("cookie")},
	}
	b, err := writeAll(manifest(2, []block{{0, events}}), blocks)
	if err != nil {
		t.Fatal(err)
	}
	return b, blocks
}

func TestRecords(t *testing.T) {
	b, want := withRecords(t)
	_, got, err := read(b)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("error %v, -want +got:\n%s", err, diff)
	}
	s, err := backup.Verify(bytes.NewReader(b), nil)
	if want := (backup.Counts{Events: 2, Users: 2, Products: 4, Profiles: 1, Joined: 1}); err != nil || s.Total() != want {
		t.Errorf("counts %+v, error %v, want %+v", s.Total(), err, want)
	}
	for i := range b {
		b[i] ^= 1
		if _, err := backup.Verify(bytes.NewReader(b), nil); !errors.Is(err, backup.ErrCorrupt) {
			t.Fatalf("byte %d changed: got %v, want ErrCorrupt", i, err)
		}
		b[i] ^= 1
	}
}

// TestRecordsOutOfOrder: neither a Writer nor a Reader takes records in another order than that of a backup.
func TestRecordsOutOfOrder(t *testing.T) {
	_, blocks := withRecords(t)
	m := manifest(2, []block{{0, blocks[0].Events}})
	e, p1, p3, profile, other := blocks[0], blocks[1], blocks[2], blocks[3], blocks[4]
	for _, c := range []struct {
		want   string
		blocks []backup.Block
	}{
		{"events after records", []backup.Block{p1, e}},
		{`product "p1" after "p3"`, []backup.Block{e, p3, p1}},
		{`product "p3" after "p3"`, []backup.Block{e, p3, p3}},
		{"kind product of partition 0 after kind user of 0", []backup.Block{e, profile, p1}},
		{"of partition 0 after", []backup.Block{e, other, profile}},
	} {
		if _, err := writeAll(m, c.blocks); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("written: got %v, want %q", err, c.want)
		}
	}
	b, _ := withRecords(t)
	s := parts(b)
	forged := seal(append(bytes.Join([][]byte{slices.Clone(b[:16]), s[0], s[1], s[3], s[2], s[4], s[5], s[6]}, nil), make([]byte, 8)...))
	if _, err := backup.Verify(bytes.NewReader(forged), nil); !errors.Is(err, backup.ErrCorrupt) || !strings.Contains(err.Error(), `product "p1" after "p3"`) {
		t.Errorf("read: got %v", err)
	}
}

// TestVersion1 reads a file that a program without records wrote.
func TestVersion1(t *testing.T) {
	b, err := os.ReadFile("testdata/version1.kith")
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []backup.Block{
		{Partition: 0, Events: []fusion.Event{event("a", "1"), event("a", "2")}},
		{Partition: 0, Events: []fusion.Event{event("a", "3"), event("b", "1")}},
		{Partition: 2, Events: []fusion.Event{event("a2", "1")}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

package backup_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/backup"
	"github.com/kith-io/kith/fusion"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// block are events of one partition.
type block struct {
	partition uint32
	events    []fusion.Event
}

// manifest returns one that promises what blocks have.
func manifest(partitions int, blocks []block) *kithv1.BackupManifest {
	m := &kithv1.BackupManifest{
		ClusterId: "c1", CreatedUnixMs: 1_700_000_000_000, Program: "v1.2.3", ReplicationFactor: 3, ActiveVersion: 9,
		Versions: []*kithv1.ModelVersion{
			{Version: 7, Spec: &kithv1.BuildSpec{Measure: "jaccard", K: 7}},
			{Version: 9, Active: true, Spec: &kithv1.BuildSpec{Measure: "cosine", K: 50, Shrinkage: 0.1, Alpha: proto.Float64(0.3)}},
		},
	}
	for p := range partitions {
		cut := &kithv1.PartitionCut{Index: uint64(100 + p)}
		user := ""
		for _, b := range blocks {
			for _, e := range b.events {
				if int(b.partition) != p {
					continue
				}
				cut.Events++
				if e.User != user {
					cut.Users++
					user = e.User
				}
			}
		}
		m.Partitions = append(m.Partitions, cut)
	}
	return m
}

// write makes a backup of blocks.
func write(m *kithv1.BackupManifest, blocks []block) ([]byte, error) {
	var b bytes.Buffer
	w, err := backup.NewWriter(&b, m)
	if err != nil {
		return nil, err
	}
	for _, x := range blocks {
		if err := w.Add(x.partition, x.events); err != nil {
			return nil, err
		}
	}
	s, err := w.Close()
	if err == nil && s.SizeBytes != int64(b.Len()) {
		err = fmt.Errorf("Close says %d bytes of %d", s.SizeBytes, b.Len())
	}
	return b.Bytes(), err
}

func event(user, id string) fusion.Event {
	return fusion.Event{User: user, ID: id, Item: "i" + id, Behavior: fusion.Purchase, Value: 2.5, Time: 1234, Context: map[string]string{"page": "7"}}
}

// small is a backup of three partitions, one of them empty.
func small(t testing.TB) ([]byte, *kithv1.BackupManifest) {
	t.Helper()
	blocks := []block{
		{0, []fusion.Event{event("a", "1"), event("a", "2")}},
		{0, []fusion.Event{event("a", "3"), event("b", "1")}},
		{2, []fusion.Event{event("a2", "1")}},
	}
	m := manifest(3, blocks)
	b, err := write(m, blocks)
	if err != nil {
		t.Fatal(err)
	}
	return b, m
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		partitions := rapid.IntRange(1, 5).Draw(rt, "partitions")
		key := rapid.StringMatching(`[a-c\x01é]{1,3}`)
		var blocks []block
		for p := range partitions {
			keys := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) [2]string {
				return [2]string{key.Draw(t, "user"), key.Draw(t, "id")}
			}), rapid.ID[[2]string]).Draw(rt, "keys")
			slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
			var events []fusion.Event
			for _, k := range keys {
				events = append(events, fusion.Event{
					User: k[0], ID: k[1], Item: key.Draw(rt, "item"), Behavior: fusion.View,
					Value: rapid.Float64Range(-9, 9).Draw(rt, "value"), Time: rapid.Int64Range(0, fusion.MaxTime).Draw(rt, "time"),
				})
			}
			if len(events) == 0 {
				continue
			}
			for chunk := range slices.Chunk(events, rapid.IntRange(1, 4).Draw(rt, "chunk")) {
				blocks = append(blocks, block{uint32(p), chunk})
			}
		}
		m := manifest(partitions, blocks)
		b, err := write(m, blocks)
		if err != nil {
			rt.Fatal(err)
		}
		r, err := backup.NewReader(bytes.NewReader(b))
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		if d := cmp.Diff(m, r.Manifest(), protocmp.Transform()); d != "" {
			rt.Fatalf("manifest (-want +got):\n%s", d)
		}
		var got []block
		for {
			x, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, block{x.Partition, x.Events})
		}
		if d := cmp.Diff(blocks, got, cmp.AllowUnexported(block{})); d != "" {
			rt.Fatalf("events (-want +got):\n%s", d)
		}
		s := r.Summary()
		for p, want := range m.Partitions {
			if got := s.Partitions[p]; got.Events != want.Events || got.Users != want.Users {
				rt.Fatalf("partition %d: got %+v, want %v", p, got, want)
			}
		}
		if s.SizeBytes != int64(len(b)) {
			rt.Fatalf("got %d bytes, want %d", s.SizeBytes, len(b))
		}
	})
}

func TestActiveSpec(t *testing.T) {
	b, m := small(t)
	s, err := backup.Verify(bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m.Versions[1].Spec, s.ActiveSpec(), protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got, want := s.Total(), (backup.Counts{Events: 5, Users: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.Manifest.ActiveVersion = 0
	if s.ActiveSpec() != nil {
		t.Errorf("no active version: got %v", s.ActiveSpec())
	}
}

// TestFlips changes each bit of a backup: each change is found, and the error says where.
func TestFlips(t *testing.T) {
	b, _ := small(t)
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			_, err := backup.Verify(bytes.NewReader(b), nil)
			if !errors.Is(err, backup.ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: got %v, want ErrCorrupt", bit, i, err)
			}
			if text := err.Error(); i >= 16 && i < len(b)-8 && !strings.Contains(text, "section") {
				t.Fatalf("bit %d of byte %d: %q names no section", bit, i, text)
			}
			b[i] ^= 1 << bit
		}
	}
	if _, err := backup.Verify(bytes.NewReader(b), nil); err != nil {
		t.Fatal(err)
	}
}

// TestCutShort cuts a backup at each byte, and adds one.
func TestCutShort(t *testing.T) {
	b, _ := small(t)
	for n := range b {
		_, err := backup.Verify(bytes.NewReader(b[:n]), nil)
		if !errors.Is(err, backup.ErrCorrupt) || !strings.Contains(err.Error(), "cut short") {
			t.Fatalf("%d of %d bytes: got %v, want that it is cut short", n, len(b), err)
		}
	}
	if _, err := backup.Verify(bytes.NewReader(append(b, 0)), nil); !errors.Is(err, backup.ErrCorrupt) {
		t.Errorf("a byte too many: got %v, want ErrCorrupt", err)
	}
}

// TestReadErrors tells errors of the disk from damage.
func TestReadErrors(t *testing.T) {
	b, _ := small(t)
	errDisk := errors.New("disk is gone")
	for n := range len(b) + 1 {
		_, err := backup.Verify(io.MultiReader(bytes.NewReader(b[:n]), failing{errDisk}), nil)
		if !errors.Is(err, errDisk) || errors.Is(err, backup.ErrCorrupt) {
			t.Fatalf("after %d bytes: got %v, want %v alone", n, err, errDisk)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// parts cuts a backup into its sections.
func parts(b []byte) (sections [][]byte) {
	for at := 16; at+24 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[at+12:])) + 32
		if n > len(b)-at {
			break
		}
		sections = append(sections, b[at:at+n])
		at += n
	}
	return sections
}

// seal makes all checksums of a backup right.
func seal(b []byte) []byte {
	for _, s := range parts(b) {
		binary.LittleEndian.PutUint64(s[16:], xxhash.Sum64(s[:16]))
		binary.LittleEndian.PutUint64(s[len(s)-8:], xxhash.Sum64(s[24:len(s)-8]))
	}
	if len(b) >= 24 {
		binary.LittleEndian.PutUint64(b[len(b)-8:], xxhash.Sum64(b[:len(b)-8]))
	}
	return b
}

// TestForged has files whose checksums are right and whose contents are not.
func TestForged(t *testing.T) {
	b, _ := small(t)
	head, s := b[:16], parts(b)
	if len(s) != 5 {
		t.Fatalf("%d sections, want 5", len(s))
	}
	join := func(sections ...[]byte) []byte {
		return seal(append(bytes.Join(append([][]byte{slices.Clone(head)}, sections...), nil), make([]byte, 8)...))
	}
	change := func(section []byte, at int, by byte) []byte {
		section = slices.Clone(section)
		section[at] += by
		binary.LittleEndian.PutUint64(section[16:], xxhash.Sum64(section[:16])) // seal goes by the length
		return section
	}
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"no manifest", join(s[1], s[2], s[3], s[4]), "is not the manifest"},
		{"two manifests", join(s[0], s[0], s[1], s[2], s[3], s[4]), "section 2 (manifest)"},
		{"a block twice", join(s[0], s[1], s[1], s[2], s[3], s[4]), `event "1" of user "a" after "2" of "a"`},
		{"blocks exchanged", join(s[0], s[2], s[1], s[3], s[4]), `event "1" of user "a" after "1" of "b"`},
		{"partitions exchanged", join(s[0], s[3], s[1], s[2], s[4]), "partition 0 after 2"},
		{"a block less", join(s[0], s[1], s[3], s[4]), "there are 2 of 1"},
		{"no end", join(s[0], s[1], s[2], s[3]), "cut short"},
		{"unknown kind", join(s[0], change(s[1], 0, 9), s[2], s[3], s[4]), "out of its place"},
		{"unknown partition", join(s[0], s[1], s[2], change(s[3], 4, 9), s[4]), "partition 11 of 3"},
		{"events of a block", join(s[0], change(s[1], 8, 1), s[2], s[3], s[4]), "holds 2 events, its header says 3"},
		{"counts", join(s[0], s[1], s[2], s[3], change(s[4], 24, 1)), "counts 5 events"},
		{"length", join(s[0], s[1], s[2], s[3], change(s[4], 15, 0xff)), "want at most"},
		{"later version", seal(change(b, 8, 1)), "version 4, this program reads 1 to 3"},
		{"something else", []byte("user,item\nu1,i1\nu2,i2\n"), `begins with "user,ite"`},
	} {
		_, err := backup.Verify(bytes.NewReader(tt.file), nil)
		if !errors.Is(err, backup.ErrCorrupt) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	one := []fusion.Event{event("b", "1")}
	for _, tt := range []struct {
		name   string
		blocks []block
		want   string
	}{
		{"an event twice", []block{{0, one}, {0, one}}, `after "1" of "b"`},
		{"partitions descend", []block{{1, one}, {0, one}}, "partition 0 after 1"},
		{"unknown partition", []block{{2, one}}, "partition 2 of 2"},
		{"no id", []block{{0, []fusion.Event{event("b", "")}}}, "no id"},
		{"too few", []block{{0, one}}, "partition 1 has 0 events of 0 users, the manifest says 1 of 1"},
	} {
		_, err := write(manifest(2, []block{{0, one}, {1, one}}), tt.blocks)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzReader reads what no Writer wrote, also with checksums that are right. What it takes for a backup must be one: written
// again and read, it is the same.
func FuzzReader(f *testing.F) {
	b, _ := small(f)
	f.Add(b)
	recorded, _ := withRecords(f)
	f.Add(recorded)
	for _, s := range parts(b) {
		f.Add(append(slices.Clone(b[:16]), s...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, file := range [][]byte{b, seal(slices.Clone(b))} {
			m, blocks, err := read(file)
			if err != nil {
				if !errors.Is(err, backup.ErrCorrupt) {
					t.Fatalf("got %v, want ErrCorrupt", err)
				}
				continue
			}
			again, err := writeAll(m, blocks)
			if err != nil {
				t.Fatalf("write what was read: %v", err)
			}
			if _, got, err := read(again); err != nil || !cmp.Equal(blocks, got) {
				t.Fatalf("read again: %v %v, want %v", got, err, blocks)
			}
		}
	})
}

// read returns what a backup has.
func read(b []byte) (*kithv1.BackupManifest, []backup.Block, error) {
	r, err := backup.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var blocks []backup.Block
	for {
		x, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Manifest(), blocks, nil
		}
		if err != nil {
			return nil, nil, err
		}
		blocks = append(blocks, x)
	}
}

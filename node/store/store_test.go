package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
)

func event(user, id, item string, time int64) fusion.Event {
	return fusion.Event{User: user, ID: id, Item: item, Behavior: fusion.View, Value: 1, Time: time}
}

func open(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(Options{Dir: "store", fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openMem(t testing.TB) *Store {
	t.Helper()
	s := open(t, vfs.NewMem())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func apply(t testing.TB, s *Store, index uint64, events ...fusion.Event) Result {
	t.Helper()
	r, err := s.Apply(index, EncodeBatch(nil, events))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func snapshot(t testing.TB, s *Store) []byte {
	t.Helper()
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	var b bytes.Buffer
	if err := p.WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tarTail is how many of the last bytes of a tar may all be padding: of the last file, and
// two blocks of zeros.
const tarTail = 511 + 1024

// dump is all that a store shows.
type dump struct {
	Applied uint64
	Counts  Counts
	History map[string][]fusion.Event
	Popular []ItemCount
	Records map[catalog.Kind][]catalog.Record
	Erased  map[string]bool
}

func dumpStore(t testing.TB, s *Store) dump {
	t.Helper()
	d := dump{Applied: s.Applied(), History: make(map[string][]fusion.Event)}
	d.Counts = s.Counts()
	last := ""
	err := s.Scan(t.Context(), d.Applied, "", func(user string, events []fusion.Event) error {
		if user <= last {
			return fmt.Errorf("user %q after %q", user, last)
		}
		last = user
		d.History[user] = slices.Clone(events)
		h, err := s.History(t.Context(), user)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(h, events); diff != "" {
			return fmt.Errorf("History(%q) and Scan differ: %s", user, diff)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.Popular, err = s.Popular(t.Context(), 1<<20); err != nil {
		t.Fatal(err)
	}
	if len(d.Popular) == 0 {
		d.Popular = nil
	}
	d.Records, d.Erased = recordsOf(t, s), erasedOf(t, s)
	return d
}

func TestUnknown(t *testing.T) {
	s := openMem(t)
	apply(t, s, 1, event("u", "1", "i", 5))
	if h, err := s.History(t.Context(), "nobody"); err != nil || len(h) != 0 {
		t.Errorf("History of nobody: %v, %v", h, err)
	}
	if p, err := s.Popular(t.Context(), 0); err != nil || len(p) != 0 {
		t.Errorf("Popular(0): %v, %v", p, err)
	}
	if p, err := s.Popular(t.Context(), -1); err != nil || len(p) != 0 {
		t.Errorf("Popular(-1): %v, %v", p, err)
	}
}

func TestRefusedCommand(t *testing.T) {
	s := openMem(t)
	apply(t, s, 3, event("u", "1", "i", 5))
	for i, command := range [][]byte{
		nil,
		{9, 0},
		EncodeBatch(nil, []fusion.Event{event("u", "2", "i", 5), event("u", "", "i", 5)}),
		EncodeBatch(nil, []fusion.Event{event("u", "2", "i", -5)}),
		append(EncodeBatch(nil, []fusion.Event{event("u", "2", "i", 5)}), 0),
	} {
		index := uint64(4 + i)
		if _, err := s.Apply(index, command); !errors.Is(err, ErrCorrupt) {
			t.Errorf("Apply(%x): got %v, want ErrCorrupt", command, err)
		}
		if s.Applied() != index {
			t.Errorf("applied %d, want %d: a refused command counts", s.Applied(), index)
		}
	}
	if events, users := s.Stats(); events != 1 || users != 1 {
		t.Errorf("%d events, %d users, want 1, 1", events, users)
	}
}

// TestPopularMany has more items than are kept at hand, with counts that overtake each other.
func TestPopularMany(t *testing.T) {
	s := openMem(t)
	rng := rand.New(rand.NewPCG(1, 2))
	want := make(map[string]uint64)
	id := 0
	for index := uint64(1); index <= 60; index++ {
		var events []fusion.Event
		for range 200 {
			item := fmt.Sprint("i", int(rng.ExpFloat64()*700))
			id++
			events = append(events, event(fmt.Sprint("u", id%97), fmt.Sprint(id), item, 0))
			want[item]++
		}
		apply(t, s, index, events...)
	}
	var sorted []ItemCount
	for item, n := range want {
		sorted = append(sorted, ItemCount{item, n})
	}
	slices.SortFunc(sorted, comparePopular)
	if len(sorted) <= topSize {
		t.Fatalf("test has only %d items", len(sorted))
	}
	check := func(s *Store) {
		t.Helper()
		for _, n := range []int{1, 10, topSize, topSize + 1, len(sorted), len(sorted) + 5} {
			got, err := s.Popular(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sorted[:min(n, len(sorted))], got); diff != "" {
				t.Fatalf("Popular(%d): -want +got:\n%s", n, diff)
			}
		}
		for _, n := range []int{0, 1, seekAtLeast, 500, len(sorted) + 50} {
			items, counts := make([]string, n), make([]uint64, n)
			for i := range items {
				items[i] = fmt.Sprint("i", rng.IntN(5000)) // also unknown ones, and some twice
				counts[i] = want[items[i]]
			}
			got, err := s.ItemCounts(t.Context(), items)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(counts, got); diff != "" {
				t.Fatalf("ItemCounts of %v: -want +got:\n%s", items, diff)
			}
		}
	}
	check(s)
	other := openMem(t)
	if err := other.Restore(bytes.NewReader(snapshot(t, s))); err != nil {
		t.Fatal(err)
	}
	check(other)
}

// TestSnapshotMovesOn shows that commands applied between Snapshot and WriteTo are in
// the stream, and are skipped when raft applies them again.
func TestSnapshotMovesOn(t *testing.T) {
	s := openMem(t)
	apply(t, s, 1, event("u", "1", "i", 5))
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	second := event("u", "2", "j", 6)
	apply(t, s, 2, second)
	var b bytes.Buffer
	if err := p.WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	p.Release()
	other := openMem(t)
	if err := other.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if r := apply(t, other, 2, second); !reflect.DeepEqual(r, Result{}) || other.Applied() != 2 {
		t.Errorf("replay: %+v, applied %d", r, other.Applied())
	}
	if diff := cmp.Diff(dumpStore(t, s), dumpStore(t, other)); diff != "" {
		t.Errorf("restored store differs: %s", diff)
	}
}

// TestDamagedStream cuts and changes a stream everywhere; the old data must stay.
func TestDamagedStream(t *testing.T) {
	from := openMem(t)
	for i := uint64(1); i <= 50; i++ {
		apply(t, from, i, event(fmt.Sprint("u", i%7), fmt.Sprint(i), "i", 5))
	}
	stream := snapshot(t, from)
	s := openMem(t)
	apply(t, s, 1, event("old", "1", "i", 5))
	want := dumpStore(t, s)
	for at := 0; at < len(stream); at += 97 {
		for _, kind := range []string{"cut", "changed"} {
			b := slices.Clone(stream)
			if kind == "cut" {
				b = b[:at]
			} else {
				b[at] ^= 0x20
			}
			err := s.Restore(bytes.NewReader(b))
			if err == nil {
				// Padding and fields that tar does not need may change, and the end may lose its zeros.
				if diff := cmp.Diff(dumpStore(t, from), dumpStore(t, s)); diff != "" {
					t.Fatalf("stream %s at %d of %d restored other data: %s", kind, at, len(stream), diff)
				}
				if kind == "cut" && at < len(stream)-tarTail {
					t.Fatalf("stream cut at %d of %d was accepted", at, len(stream))
				}
				// Start again from the old state.
				s = openMem(t)
				apply(t, s, 1, event("old", "1", "i", 5))
				continue
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("stream %s at %d of %d: got %v, want ErrCorrupt", kind, at, len(stream), err)
			}
			if got := s.Applied(); got != 1 {
				t.Fatalf("stream %s at %d of %d: applied %d", kind, at, len(stream), got)
			}
		}
	}
	if diff := cmp.Diff(want, dumpStore(t, s)); diff != "" {
		t.Errorf("old data changed: %s", diff)
	}
	// Nothing of the failed tries is left.
	names, err := s.fs.List("store")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"CURRENT", "data-000001"}, names); diff != "" {
		t.Errorf("files: %s", diff)
	}
}

// TestRestoreUnderReaders restores while readers work and checks that each sees one state whole.
func TestRestoreUnderReaders(t *testing.T) {
	states := [][]byte{}
	for n := 1; n <= 2; n++ {
		from := openMem(t)
		for i := range 20 * n {
			apply(t, from, uint64(i+1), event("u", fmt.Sprint(i), "i", 5))
		}
		states = append(states, snapshot(t, from))
	}
	s := openMem(t)
	if err := s.Restore(bytes.NewReader(states[0])); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for range 2 {
		go func() {
			for ctx.Err() == nil {
				err := s.Scan(t.Context(), 20, "", func(_ string, events []fusion.Event) error {
					if len(events) != 20 {
						return fmt.Errorf("scan saw %d events", len(events))
					}
					return nil
				})
				if h, herr := s.History(t.Context(), "u"); herr != nil || len(h) != 20 && len(h) != 40 {
					err = errors.Join(err, fmt.Errorf("history of %d events: %w", len(h), herr))
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for i := range 10 {
		if err := s.Restore(bytes.NewReader(states[i%2])); err != nil {
			t.Error(err)
		}
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, vfs.NewMem())
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Apply(1, nil)
	errs := []error{err}
	_, err = s.History(t.Context(), "u")
	errs = append(errs, err, s.Scan(t.Context(), 0, "", nil), s.Restore(nil))
	_, err = s.Popular(t.Context(), 1)
	errs = append(errs, err)
	_, err = s.Snapshot()
	errs = append(errs, err)
	for i, err := range errs {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: got %v, want ErrClosed", i, err)
		}
	}
}

func TestOpenDamaged(t *testing.T) {
	for name, damage := range map[string]func(fs vfs.FS) error{
		"CURRENT":  func(fs vfs.FS) error { return writeFile(fs, "store/CURRENT", []byte("../../etc\n")) },
		"manifest": func(fs vfs.FS) error { return corrupt(fs, "MANIFEST") },
		"sstable":  func(fs vfs.FS) error { return corrupt(fs, ".sst") },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, fs)
			for i := uint64(1); i <= 100; i++ {
				apply(t, s, i, event(fmt.Sprint("u", i), "1", "i", 5))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(fs); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Options{Dir: "store", fs: fs})
			if err == nil {
				err = errors.Join(s.Scan(t.Context(), 0, "", func(string, []fusion.Event) error { return nil }), s.Close())
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
		})
	}
}

// TestVerify finds a damaged block that nobody has read yet, and a snapshot of it is not taken.
func TestVerify(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	defer func() { _ = s.Close() }()
	for i := uint64(1); i <= 3000; i++ {
		apply(t, s, i, event(fmt.Sprint("u", i), "1", fmt.Sprint("i", i), 5))
	}
	if len(snapshot(t, s)) == 0 { // flushes
		t.Fatal("empty snapshot")
	}
	if err := errors.Join(s.Verify(t.Context()), s.Trouble()); err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	names, err := fs.List("store/data-000001")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if path := "store/data-000001/" + name; strings.HasSuffix(name, ".sst") {
			b, err := readFile(fs, path)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/4] ^= 1
			file, err := fs.OpenReadWrite(path, writeCategory) // in place, as the files of a checkpoint are links
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteAt(b, 0); err != nil {
				t.Fatal(err)
			}
			_ = file.Close()
		}
	}
	if err := s.Verify(t.Context()); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), ".sst") {
		t.Errorf("got %v, want ErrCorrupt and the file", err)
	}
	if err := s.Trouble(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("trouble: got %v, want ErrCorrupt", err)
	}
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	if err := snap.WriteTo(t.Context(), io.Discard); !errors.Is(err, ErrCorrupt) {
		t.Errorf("snapshot of damaged files: got %v, want ErrCorrupt", err)
	}
}

// corrupt changes every file of the store whose name holds part.
func corrupt(fs vfs.FS, part string) error {
	names, err := fs.List("store/data-000001")
	if err != nil {
		return err
	}
	for _, name := range names {
		if !bytes.Contains([]byte(name), []byte(part)) {
			continue
		}
		if err := corruptFile(fs, "store/data-000001/"+name); err != nil {
			return err
		}
	}
	return nil
}

func corruptFile(fs vfs.FS, path string) error {
	b, err := readFile(fs, path)
	if err != nil {
		return err
	}
	for i := 0; i < len(b); i += 20 {
		b[i] ^= 0x55
	}
	return writeFile(fs, path, b)
}

func BenchmarkApply(b *testing.B) {
	for _, dup := range []bool{false, true} {
		b.Run(fmt.Sprintf("duplicates=%t", dup), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			rng := rand.New(rand.NewPCG(1, 2))
			const batch = 500
			index, id := uint64(0), 0
			b.ReportAllocs()
			for b.Loop() {
				events := make([]fusion.Event, batch)
				for i := range events {
					if id++; dup && id > 100000 {
						id = 0
					}
					events[i] = event(fmt.Sprint("user", rng.IntN(20000)), fmt.Sprintf("%026d", id), fmt.Sprint("item", int(rng.ExpFloat64()*3000)), int64(id))
				}
				index++
				if _, err := s.Apply(index, EncodeBatch(nil, events)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

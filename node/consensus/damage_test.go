package consensus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/node/consensus"
)

// member runs the only member of a group on the files in dir, until f returns.
func member(t *testing.T, dir string, f func(ctx context.Context, g *consensus.Group, l *list) error) error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	mux := consensus.NewMux(ln, "", log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mux.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	l := &list{}
	g, err := consensus.Open(consensus.Config{
		Group: "g", NodeID: "a", Dir: dir, HeartbeatTimeout: 20 * time.Millisecond, SnapshotInterval: time.Hour, TrailingLogs: 12, Log: log,
	}, mux, l)
	if err != nil {
		return err
	}
	defer func() {
		if err := g.Shutdown(); err != nil {
			t.Error(err)
		}
	}()
	if err := g.Bootstrap([]consensus.Server{{ID: "a", Addr: mux.Addr().String()}}); err != nil && !errors.Is(err, consensus.ErrHasState) {
		return err
	}
	eventually(t, func() error { return g.Barrier(withTimeout(t)) })
	return f(withTimeout(t), g, l)
}

// history fills dir with a group that has a snapshot, entries behind it, and two segments of log. It returns the commands.
func history(t *testing.T, dir string) []string {
	t.Helper()
	var want []string
	err := member(t, dir, func(ctx context.Context, g *consensus.Group, _ *list) error {
		for i := range 40 {
			command := fmt.Sprintf("%03d %s", i, strings.Repeat("x", i%4*100_000))
			if _, _, err := g.Propose(ctx, []byte(command)); err != nil {
				return err
			}
			want = append(want, command)
			if i == 10 || i == 20 {
				if err := g.Snapshot(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// reopened returns what a member finds in dir.
func reopened(t *testing.T, dir string) (got []string, err error) {
	t.Helper()
	err = member(t, dir, func(_ context.Context, _ *consensus.Group, l *list) error {
		got = l.all()
		return nil
	})
	return got, err
}

// copied returns a copy of the folder dir.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// change rewrites a file of the folder dir.
func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// used returns the length of b without the zeros at its end.
func used(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

// segments returns the segments of a log, by index.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) < 2 {
		t.Fatalf("segments %v, want 2 or more: %v", files, err)
	}
	slices.Sort(files)
	return files
}

// TestFlippedBits flips a bit at many places of each file of a member, one at a time. The member starts with all that it had, or
// refuses by name; it never starts with less or with something else.
func TestFlippedBits(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many groups")
	}
	dir := t.TempDir()
	want := history(t, dir)
	if got, err := reopened(t, copied(t, dir)); err != nil || !slices.Equal(got, want) {
		t.Fatalf("undamaged: %d commands, want %d: %v", len(got), len(want), err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []struct {
		pattern        string
		flips          int
		heals, refuses bool // some of the flips must end so
	}{
		{"wal/*.wal", 15, true, true},
		{"wal/meta-0", 3, true, false},
		{"wal/meta-1", 3, true, false},
		{"tail", 3, true, false},
		{"snapshots/*/state.bin", 3, true, false},
		{"snapshots/*/meta.json", 6, true, false},
	} {
		t.Run(kind.pattern, func(t *testing.T) {
			heals, refuses := 0, 0
			for range kind.flips {
				to := copied(t, dir)
				files, err := filepath.Glob(filepath.Join(to, kind.pattern))
				if err != nil || len(files) == 0 {
					t.Fatal("no such file", err)
				}
				file, at, bit := files[rng.IntN(len(files))], 0, rng.IntN(8)
				change(t, file, func(b []byte) []byte {
					at = rng.IntN(used(b))
					b[at] ^= 1 << bit
					return b
				})
				got, err := reopened(t, to)
				switch {
				case err == nil && slices.Equal(got, want):
					heals++
				case err == nil:
					t.Errorf("bit %d of byte %d of %s: started with %d commands, not those %d", bit, at, file, len(got), len(want))
				case !errors.Is(err, consensus.ErrCorrupt) || !strings.Contains(err.Error(), to):
					t.Errorf("bit %d of byte %d of %s: got %v, want ErrCorrupt with the folder", bit, at, file, err)
				default:
					refuses++
				}
			}
			if kind.heals && heals == 0 || kind.refuses && refuses == 0 {
				t.Errorf("%d healed and %d refused", heals, refuses)
			}
		})
	}
}

// TestTornTail cuts and fouls the end of the log as a crash does, and more than a crash can.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	want := history(t, dir)
	for _, cut := range []int{1, 8, 9, 100, 5000} {
		to := copied(t, dir)
		files := segments(t, to)
		change(t, files[len(files)-1], func(b []byte) []byte { return b[:used(b)-cut] })
		if _, err := reopened(t, to); !errors.Is(err, consensus.ErrCorrupt) || !strings.Contains(err.Error(), "ends at entry") {
			t.Errorf("%d bytes of what was acknowledged are cut: got %v, want ErrCorrupt that says where the log ends", cut, err)
		}
	}
	for _, torn := range []int{1, 7, 8, 50, 3000} {
		to := copied(t, dir)
		files := segments(t, to)
		change(t, files[len(files)-1], func(b []byte) []byte { // the beginning of an entry of 100,000 bytes
			n := (used(b) + 7) / 8 * 8
			entry := append([]byte{1, 0, 0, 0, 0xa0, 0x86, 0x01, 0x00}, bytes.Repeat([]byte("torn"), 1000)...)
			copy(b[n:], entry[:torn])
			return b
		})
		if got, err := reopened(t, to); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d bytes of a write that broke off: %d commands, want %d: %v", torn, len(got), len(want), err)
		}
	}
}

// TestEntryThatCannotBeDecoded fouls the numbers at the beginning of an entry, over which the decoder of the library panics.
func TestEntryThatCannotBeDecoded(t *testing.T) {
	dir := t.TempDir()
	history(t, dir)
	files := segments(t, dir)
	change(t, files[len(files)-1], func(b []byte) []byte {
		at := bytes.LastIndex(b, []byte("036 "))
		if at < 4 {
			t.Fatal("no such entry")
		}
		copy(b[at-4:], bytes.Repeat([]byte{0xff}, 12)) // index, term, type and length are a byte each
		return b
	})
	if _, err := reopened(t, dir); !errors.Is(err, consensus.ErrCorrupt) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrCorrupt with the folder", err)
	}
}

// TestUnfinishedSnapshotsAreRemoved leaves what a member that was killed while it wrote a snapshot leaves. The next start deletes
// it, and nothing else.
func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	want := history(t, dir)
	before, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil || len(before) == 0 {
		t.Fatalf("snapshots %v: %v", before, err)
	}
	left := filepath.Join(dir, "snapshots", "2-30-1700000000000.tmp")
	if err := os.CopyFS(left, os.DirFS(filepath.Join(dir, "snapshots", before[0].Name()))); err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(left, "state.bin"), func(b []byte) []byte { return b[:len(b)/2] })
	if got, err := reopened(t, dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d commands, want %d: %v", len(got), len(want), err)
	}
	after, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("snapshots are %v, want %v: %v", after, before, err)
	}
}

// TestSnapshotsAreReplaced damages all snapshots of a member whose log begins behind them: it says so, as only the other members
// can help. With one left it starts from that.
func TestSnapshotsAreReplaced(t *testing.T) {
	dir := t.TempDir()
	want := history(t, dir)
	for left := range 2 {
		to := copied(t, dir)
		files, err := filepath.Glob(filepath.Join(to, "snapshots", "*", "state.bin"))
		if err != nil || len(files) != 2 {
			t.Fatalf("snapshots %v: %v", files, err)
		}
		for _, file := range files[left:] { // the newest is the last
			change(t, file, func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}
		got, err := reopened(t, to)
		if left == 1 && (err != nil || !slices.Equal(got, want)) {
			t.Errorf("with the older snapshot left: %d commands, want %d: %v", len(got), len(want), err)
		}
		if left == 0 && (!errors.Is(err, consensus.ErrCorrupt) || !strings.Contains(err.Error(), "no good snapshot")) {
			t.Errorf("with no snapshot left: got %v", err)
		}
		aside, err := filepath.Glob(filepath.Join(to, "damaged-snapshot-*"))
		if err != nil || len(aside) != 2-left {
			t.Errorf("set aside: %v, %v", aside, err)
		}
	}
}

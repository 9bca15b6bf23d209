package fusion

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/source"
)

// partitionOf spreads keys over n partitions.
func partitionOf(n int) func([]byte) int {
	return func(key []byte) int {
		h := fnv.New32a()
		_, _ = h.Write(key) // never fails
		return int(h.Sum32() % uint32(n))
	}
}

// spill reads sources into a Spill of n partitions in a folder of its own.
func spill(t *testing.T, ms []Mapping, w Weights, cfg SpillConfig) (*Spill, error) {
	t.Helper()
	cfg.Dir = t.TempDir()
	cfg.Of = partitionOf(cfg.Partitions)
	s, _, err := ReadSpill(t.Context(), ms, w, 0, nil, cfg)
	if err != nil {
		noFiles(t, cfg.Dir)
		return nil, err
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		noFiles(t, cfg.Dir)
	})
	return s, nil
}

func noFiles(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestSpillIsReadTable: the tables of all partitions together have the entries of ReadTable.
func TestSpillIsReadTable(t *testing.T) {
	const now = 4 * 3600 * 1000
	rapid.Check(t, func(r *rapid.T) {
		w := drawWeights(r)
		withIDs := rapid.Bool().Draw(r, "with ids")
		var ms []Mapping
		for n := range rapid.IntRange(1, 3).Draw(r, "sources") {
			ms = append(ms, Mapping{Name: fmt.Sprint("s", n), Path: writeFile(t, "x.csv", drawFile(r, withIDs)), TimeUnit: Seconds})
		}
		table, wantReports, wantErr := ReadTable(t.Context(), ms, w, now, nil)
		want := interactions(table)
		cfg := SpillConfig{
			Dir: t.TempDir(), Partitions: rapid.IntRange(1, 4).Draw(r, "partitions"), Transposed: rapid.Bool().Draw(r, "transposed"),
		}
		cfg.Of = partitionOf(cfg.Partitions)
		s, reports, err := ReadSpill(t.Context(), ms, w, now, nil, cfg)
		if d := cmp.Diff(wantReports, reports); d != "" {
			r.Fatal(d)
		}
		if err != nil {
			if wantErr == nil || err.Error() != wantErr.Error() {
				r.Fatalf("got %v, want %v", err, wantErr)
			}
			noFiles(t, cfg.Dir)
			return
		}
		defer func() {
			if err := s.Close(); err != nil {
				r.Error(err)
			}
			noFiles(t, cfg.Dir)
		}()
		got := map[string][]Interaction{}
		for p := range cfg.Partitions {
			table, err := s.Table(t.Context(), p)
			if err != nil {
				r.Fatal(err)
			}
			table.Items = slices.Clone(table.Items) // shared with the other partitions
			table.dropEmpty()
			checkTable(r, table)
			for user, row := range interactions(table) {
				if cfg.Of([]byte(user)) != p || got[user] != nil {
					r.Fatalf("user %s in partition %d", user, p)
				}
				got[user] = row
			}
		}
		if cfg.Transposed {
			want = transposed(want)
		}
		if d := cmp.Diff(want, got); d != "" {
			r.Fatal(d)
		}
		if wantErr != nil && (len(got) > 0 || NothingLeft(reports).Error() != wantErr.Error()) {
			r.Fatalf("%d users, want %v", len(got), wantErr)
		}
	})
}

// transposed exchanges users and items. Users come in ascending order, as rows of a table do.
func transposed(rows map[string][]Interaction) map[string][]Interaction {
	byItem := map[string]map[string]Interaction{}
	users := map[string]bool{}
	for user, row := range rows {
		users[user] = true
		for _, x := range row {
			if byItem[x.Item] == nil {
				byItem[x.Item] = map[string]Interaction{}
			}
			byItem[x.Item][user] = Interaction{user, x.Weight, x.Last}
		}
	}
	out := map[string][]Interaction{}
	for item, row := range byItem {
		for _, user := range slices.Sorted(maps.Keys(users)) {
			if x, ok := row[user]; ok {
				out[item] = append(out[item], x)
			}
		}
	}
	return out
}

// TestSpillChunks: more rows than a chunk holds, whose chunks differ in form.
func TestSpillChunks(t *testing.T) {
	const rows = 8*minSpillRows + 100
	var text strings.Builder
	text.WriteString("user,item,value,time\n")
	for i := range rows {
		n := i / (2 * minSpillRows)
		fmt.Fprintf(&text, "%d,%d,%s,%s\n", i%97, (rows-i)%501, []string{"1", "2.5", "0.1", "1", "3"}[n], []string{"", "5", "5.001", "", "7"}[n])
	}
	ms := []Mapping{{Path: writeFile(t, "x.csv", text.String()), Behavior: View, TimeUnit: Seconds}}
	want, _, err := ReadTable(t.Context(), ms, DefaultWeights(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := spill(t, ms, DefaultWeights(), SpillConfig{Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]Interaction{}
	for p := range 2 {
		table, err := s.Table(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for user, row := range interactions(table) {
			got[user] = row
		}
	}
	if d := cmp.Diff(interactions(want), got); d != "" {
		t.Error(d)
	}
	if s.Rows() != rows || s.NumUsers() != 97 || s.NumItems() != 501 || s.DiskBytes() < 8*rows || s.TableBytes(0) < s.DiskBytes()/4 || s.MemoryBytes() < 97*10 {
		t.Errorf("%d rows, %d users, %d items, %d bytes on disk, %d and %d in memory", s.Rows(), s.NumUsers(), s.NumItems(), s.DiskBytes(), s.TableBytes(0), s.MemoryBytes())
	}
}

func TestSpillErrors(t *testing.T) {
	var text strings.Builder
	text.WriteString("user,item,id\n")
	for i := range 3 * keyCheck {
		fmt.Fprintf(&text, "u%d,i%d,%d\n", i, i%7, i)
	}
	ms := []Mapping{{Path: writeFile(t, "x.csv", text.String())}}
	_, err := spill(t, ms, DefaultWeights(), SpillConfig{Partitions: 3, MaxKeyBytes: 1000})
	if !errors.Is(err, ErrKeyMemory) || !strings.Contains(err.Error(), "the ids of") {
		t.Errorf("keys in 1000 bytes: got %v, want %v", err, ErrKeyMemory)
	}
	if _, err := spill(t, ms, Weights{Cap: -1}, SpillConfig{Partitions: 3}); err == nil {
		t.Error("bad weights: got no error")
	}

	s, err := spill(t, ms, DefaultWeights(), SpillConfig{Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Table(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	for _, at := range []int64{0, 4, 5, spillHead + 2, s.parts[0].bytes - 3} {
		b := make([]byte, 1)
		if _, err := s.parts[0].file.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		for _, x := range []byte{b[0] ^ 1, b[0]} {
			if _, err := s.parts[0].file.WriteAt([]byte{x}, at); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Table(t.Context(), 0); (x == b[0]) != (err == nil) || err != nil && !errors.Is(err, source.ErrCorrupt) {
				t.Errorf("byte %d is %d for %d: got %v", at, x, b[0], err)
			}
		}
	}
	if err := s.parts[1].file.Truncate(s.parts[1].bytes - 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Table(t.Context(), 1); !errors.Is(err, source.ErrCorrupt) {
		t.Errorf("short file: got %v, want %v", err, source.ErrCorrupt)
	}
}

func FuzzDecodeChunk(f *testing.F) {
	c := newOpenChunk(3)
	for i := range 3 {
		c.add(uint32(i), 7, term{weight: float64(i) / 3, time: int64(i), rating: i == 1})
	}
	f.Add(c.appendChunk(nil))
	f.Add(make([]byte, spillHead+spillSum))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeChunk(b)
		if err != nil {
			if !errors.Is(err, source.ErrCorrupt) {
				t.Fatalf("got %v, want %v", err, source.ErrCorrupt)
			}
			return
		}
		if len(c.user) != len(c.item) || c.weight32 != nil && c.weight64 != nil {
			t.Fatalf("%d users, %d items", len(c.user), len(c.item))
		}
	})
}

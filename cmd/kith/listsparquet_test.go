package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/similarity"
)

// randomLists are lists of random neighbors.
type randomLists struct {
	keys  []string
	lists [][]similarity.Neighbor
}

func (l *randomLists) Keys() []string { return l.keys }

func (l *randomLists) List(id uint32) []similarity.Neighbor { return l.lists[id] }

// newRandomLists makes lists of n items with up to k neighbors, some without any.
func newRandomLists(n, k int) *randomLists {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	l := &randomLists{}
	for i := range n {
		list := make([]similarity.Neighbor, max(0, rng.IntN(k+2)-1))
		for r := range list {
			list[r] = similarity.Neighbor{ID: uint32(rng.IntN(n)), Score: rng.Float32()}
		}
		l.keys, l.lists = append(l.keys, fmt.Sprintf("item %d", i)), append(l.lists, list)
	}
	return l
}

// TestWriteGroups reads lists again that were written in row groups of all sizes.
func TestWriteGroups(t *testing.T) {
	lists := newRandomLists(500, 30)
	var want []itemRow
	for id, list := range lists.lists {
		for r, n := range list {
			want = append(want, itemRow{lists.keys[id], lists.keys[n.ID], int32(r + 1), n.Score})
		}
	}
	for _, most := range []int{1, 40, 999, groupRows} {
		var files [2]bytes.Buffer
		for i := range files {
			if err := writeGroups[itemRow](&files[i], lists, most); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
			t.Errorf("groups of %d rows: not the same file twice", most)
		}
		f, err := parquet.OpenFile(bytes.NewReader(files[0].Bytes()), int64(files[0].Len()))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range f.RowGroups() {
			if g.NumRows() > int64(max(most, 30)) {
				t.Errorf("groups of %d rows: one has %d", most, g.NumRows())
			}
		}
		checkIndex(t, f)
		got, err := parquet.Read[itemRow](bytes.NewReader(files[0].Bytes()), int64(files[0].Len()))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("groups of %d rows: -want +got:\n%s", most, d)
		}
	}
}

// checkIndex checks that no page has a value outside of what the index of its column says: who looks for a value skips such pages.
func checkIndex(t *testing.T, f *parquet.File) {
	t.Helper()
	for _, g := range f.RowGroups() {
		for _, c := range g.ColumnChunks() {
			index, err := c.ColumnIndex()
			if err != nil {
				t.Fatal(err)
			}
			pages := c.Pages()
			for p := range index.NumPages() {
				page, err := pages.ReadPage()
				if err != nil {
					t.Fatal(err)
				}
				values := make([]parquet.Value, page.NumValues())
				if n, err := page.Values().ReadValues(values); n != len(values) {
					t.Fatal(err)
				}
				for _, v := range values {
					if c.Type().Compare(v, index.MinValue(p)) < 0 || c.Type().Compare(v, index.MaxValue(p)) > 0 {
						t.Fatalf("column %d: %v is not in %v to %v", c.Column(), v, index.MinValue(p), index.MaxValue(p))
					}
				}
				parquet.Release(page)
			}
			if err := pages.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestWriteLocalLists writes the lists of a build in many row groups, which are read side by side.
func TestWriteLocalLists(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	table := &fusion.Table{Start: []int64{0}}
	for i := range 150 {
		table.Items = append(table.Items, fmt.Sprintf("i%03d", i))
	}
	for u := range 300 {
		table.Users = append(table.Users, fmt.Sprintf("u%03d", u))
		for i := range table.Items {
			if rng.IntN(8) == 0 {
				table.Item, table.Weight = append(table.Item, uint32(i)), append(table.Weight, 1)
			}
		}
		table.Start = append(table.Start, int64(len(table.Item)))
	}
	result, err := server.Neighbors(t.Context(), server.LocalBuild{Table: table, Spec: similarity.Options{Measure: similarity.Cosine, K: 10}, Nodes: 1, Threads: 1, Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := result.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := writeGroups[itemRow](io.Discard, &localLists{LocalResult: result}, 100); err != nil {
		t.Error(err)
	}
}

// fullDisk fails after so many bytes.
type fullDisk int

func (d *fullDisk) Write(p []byte) (int, error) {
	if *d -= fullDisk(len(p)); *d < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("no space left")

// TestWriteGroupsFails: the error comes, and all that is under way ends.
func TestWriteGroupsFails(t *testing.T) {
	lists := newRandomLists(500, 30)
	for _, room := range []fullDisk{0, 100, 20000} {
		if err := writeGroups[userRow](&room, lists, 100); !errors.Is(err, errFull) {
			t.Errorf("got %v, want %v", err, errFull)
		}
	}
}

// BenchmarkWriteParquet writes ten million neighbors of 200,000 items.
func BenchmarkWriteParquet(b *testing.B) {
	lists := newRandomLists(200_000, 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := writeParquet(io.Discard, "item", lists); err != nil {
			b.Fatal(err)
		}
	}
}

package artifact_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/similarity"
)

func TestDictionaryRoundTrip(t *testing.T) {
	s := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		keys := drawKeys(t)
		counts := rapid.SliceOfN(rapid.Uint64(), len(keys), len(keys)).Draw(t, "counts")
		info := must(s.WriteDictionary(version, keys, counts))(t)
		if got := must(s.Info(version, artifact.DictionaryName))(t); got != info || !s.Has(version, info) {
			t.Fatalf("Info = %v, Has = %v, want %v, true", got, s.Has(version, info), info)
		}
		d := must(artifact.OpenDictionary(s.Path(version, info.Name)))(t)
		defer func() { _ = d.Close() }()
		if d.Len() != len(keys) {
			t.Fatalf("Len = %d, want %d", d.Len(), len(keys))
		}
		for i, key := range keys {
			id := uint32(i)
			if d.Key(id) != key || d.Count(id) != counts[i] {
				t.Fatalf("item %d is %q, %d, want %q, %d", id, d.Key(id), d.Count(id), key, counts[i])
			}
			if got, ok := d.ID(key); got != id || !ok {
				t.Fatalf("ID(%q) = %d, %v, want %d, true", key, got, ok, id)
			}
		}
		missing := rapid.String().Filter(func(key string) bool { return !slices.Contains(keys, key) }).Draw(t, "missing")
		if id, ok := d.ID(missing); ok {
			t.Fatalf("ID(%q) = %d, true, want none of %q", missing, id, keys)
		}
		asked := append([]string{missing}, keys...)
		ids := d.IDs(asked)
		for i, key := range asked {
			if id, ok := d.ID(key); ok != (ids[i] != artifact.NoID) || ok && id != ids[i] {
				t.Fatalf("IDs(%q)[%d] = %d, want %d, %v", asked, i, ids[i], id, ok)
			}
		}
		if got := d.AllKeys(); !slices.Equal(got, keys) {
			t.Fatalf("AllKeys = %q, want %q", got, keys)
		}
		if got := d.Keys(ids[1:]); !slices.Equal(got, keys) {
			t.Fatalf("Keys(%d) = %q, want %q", ids[1:], got, keys)
		}
	})
}

func TestListsRoundTrip(t *testing.T) {
	s := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		items, lists := drawLists(t)
		info := must(s.WriteLists(version, 3, items, lists))(t)
		if again := writeInPieces(t, s, items, lists); again != info {
			t.Fatalf("written in pieces: %v, want %v", again, info)
		}
		if got := must(s.Info(version, artifact.ListsName(3)))(t); got != info || !s.Has(version, info) {
			t.Fatalf("Info = %v, Has = %v, want %v, true", got, s.Has(version, info), info)
		}
		l := must(artifact.OpenLists(s.Path(version, info.Name)))(t)
		defer func() { _ = l.Close() }()
		if diff := cmp.Diff(l.Items(), items, cmpopts.EquateEmpty()); diff != "" || l.Len() != len(items) {
			t.Fatalf("Len = %d, Items -got +want:\n%s", l.Len(), diff)
		}
		for i, item := range items {
			got, ok := l.List(item)
			want := lists.Entries[lists.Start[i]:lists.Start[i+1]]
			if diff := cmp.Diff(got, want, cmpopts.EquateEmpty()); diff != "" || !ok {
				t.Fatalf("List(%d) = %v, -got +want:\n%s", item, ok, diff)
			}
			if len(got) != cap(got) {
				t.Fatalf("List(%d) has capacity %d, length %d", item, cap(got), len(got))
			}
		}
		other := rapid.Uint32().Draw(t, "other")
		if _, ok := l.List(other); ok != slices.Contains(items, other) {
			t.Fatalf("List(%d) = %v, items are %d", other, ok, items)
		}
	})
}

// writeInPieces writes lists by a ListsWriter, some at a time.
func writeInPieces(t *rapid.T, s *artifact.Store, items []uint32, lists *similarity.Lists) artifact.Info {
	w := must(s.CreateLists(version, 3))(t)
	defer w.Abort()
	for lo := 0; lo < len(items); {
		hi := rapid.IntRange(lo, len(items)).Draw(t, "piece")
		piece := &similarity.Lists{Start: []int64{0}, Entries: lists.Entries[lists.Start[lo]:lists.Start[hi]]}
		for _, end := range lists.Start[lo+1 : hi+1] {
			piece.Start = append(piece.Start, end-lists.Start[lo])
		}
		if err := w.Add(items[lo:hi], piece); err != nil {
			t.Fatal(err)
		}
		if lo > 0 && lo < hi {
			if err := w.Add(items[:1], &similarity.Lists{Start: []int64{0, 0}}); !errors.Is(err, similarity.ErrShape) {
				t.Fatalf("items descend: got %v, want %v", err, similarity.ErrShape)
			}
		}
		lo = hi
	}
	return must(w.Commit())(t)
}

func TestRowsRoundTrip(t *testing.T) {
	s := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		users := drawKeys(t)
		slices.Sort(users)
		rows := drawRows(t, len(users))
		first := rapid.Uint32Range(0, math.MaxUint32-64).Draw(t, "first")
		info := must(s.WriteRows(version, 3, first, users, rows))(t)
		if got := must(s.Info(version, artifact.RowsName(3)))(t); got != info || !s.Has(version, info) {
			t.Fatalf("Info = %v, Has = %v, want %v, true", got, s.Has(version, info), info)
		}
		r := must(artifact.OpenRows(s.Path(version, info.Name)))(t)
		defer func() { _ = r.Close() }()
		if r.FirstUser() != first || r.NumUsers() != len(users) {
			t.Fatalf("users [%d,+%d), want [%d,+%d)", r.FirstUser(), r.NumUsers(), first, len(users))
		}
		for i, user := range users {
			if row, ok := r.Find(user); row != i || !ok || r.Key(i) != user {
				t.Fatalf("Find(%q) = %d, %v; Key(%d) = %q", user, row, ok, i, r.Key(i))
			}
		}
		missing := rapid.String().Filter(func(key string) bool { return !slices.Contains(users, key) }).Draw(t, "missing")
		if row, ok := r.Find(missing); ok {
			t.Fatalf("Find(%q) = %d, true, want none of %q", missing, row, users)
		}
		want := plain(rows)
		if diff := cmp.Diff(r.Matrix(), want, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("Matrix -got +want:\n%s", diff)
		}
		if (r.Matrix().Weight == nil) != (want.Weight == nil) {
			t.Fatalf("Matrix().Weight = %v, want %v", r.Matrix().Weight, want.Weight)
		}
		if again := must(s.WriteRows(version, 3, first, users, want))(t); again != info {
			t.Fatalf("equal rows give %v and %v", info, again)
		}
	})
}

// plain copies rows one by one: no window, and no weights if all are one.
func plain(r *similarity.Rows) *similarity.Rows {
	out := &similarity.Rows{NumItems: r.NumItems, Start: []int64{0}}
	ones := true
	for u := range r.NumUsers() {
		for k := r.Start[u]; k < r.Start[u+1]; k++ {
			out.Item = append(out.Item, r.Item[k])
			if r.Weight != nil {
				out.Weight = append(out.Weight, r.Weight[k])
				ones = ones && r.Weight[k] == 1
			}
		}
		out.Start = append(out.Start, int64(len(out.Item)))
	}
	if ones {
		out.Weight = nil
	}
	return out
}

// What Open would refuse is not written.
func TestWriteRefuses(t *testing.T) {
	nan := float32(math.NaN())
	one := []int64{0, 1}
	list := func(n ...similarity.Neighbor) *similarity.Lists {
		return &similarity.Lists{Start: []int64{0, int64(len(n))}, Entries: n}
	}
	row := &similarity.Rows{NumItems: 2, Start: one, Item: []uint32{1}}
	for _, tc := range []struct {
		name  string
		write func(s *artifact.Store) (artifact.Info, error)
	}{
		{"dictionary: key twice", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteDictionary(version, []string{"a", "b", "a"}, make([]uint64, 3))
		}},
		{"dictionary: counts missing", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteDictionary(version, []string{"a"}, nil)
		}},
		{"lists: fewer than items", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{1, 2}, list())
		}},
		{"lists: more than items", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, nil, list())
		}},
		{"lists: items descend", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{2, 1}, &similarity.Lists{Start: []int64{0, 0, 0}})
		}},
		{"lists: item twice", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{2, 2}, &similarity.Lists{Start: []int64{0, 0, 0}})
		}},
		{"lists: entries left over", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{2}, &similarity.Lists{Start: []int64{0, 0}, Entries: make([]similarity.Neighbor, 1)})
		}},
		{"lists: starts out of order", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{1, 2}, &similarity.Lists{Start: []int64{0, 9, 0}})
		}},
		{"lists: own item", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{1}, list(similarity.Neighbor{ID: 1, Score: 1}))
		}},
		{"lists: score zero", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{1}, list(similarity.Neighbor{ID: 2}))
		}},
		{"lists: score not a number", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{1}, list(similarity.Neighbor{ID: 2, Score: nan}))
		}},
		{"lists: rank order", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{1}, list(similarity.Neighbor{ID: 2, Score: 1}, similarity.Neighbor{ID: 3, Score: 2}))
		}},
		{"lists: rank order of equal scores", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 0, []uint32{1}, list(similarity.Neighbor{ID: 3, Score: 1}, similarity.Neighbor{ID: 2, Score: 1}))
		}},
		{"rows: no starts", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 0, 0, nil, &similarity.Rows{})
		}},
		{"rows: fewer than users", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 0, 0, []string{"a", "b"}, row)
		}},
		{"rows: users descend", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 0, 0, []string{"b", "a"}, &similarity.Rows{Start: []int64{0, 0, 0}})
		}},
		{"rows: user twice", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 0, 0, []string{"a", "a"}, &similarity.Rows{Start: []int64{0, 0, 0}})
		}},
		{"rows: user ids overflow", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 0, math.MaxUint32, []string{"a"}, row)
		}},
		{"rows: item out of range", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 0, 0, []string{"a"}, &similarity.Rows{NumItems: 1, Start: one, Item: []uint32{1}})
		}},
		{"rows: weight not a number", func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 0, 0, []string{"a"}, &similarity.Rows{NumItems: 2, Start: one, Item: []uint32{1}, Weight: []float32{nan}})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			s := must(artifact.Open(dir))(t)
			if _, err := tc.write(s); !errors.Is(err, similarity.ErrShape) || errors.Is(err, artifact.ErrCorrupt) {
				t.Errorf("error is %v, want one that matches ErrShape only", err)
			}
			if left := must(filepath.Glob(filepath.Join(dir, "*", "*")))(t); len(left) > 0 {
				t.Errorf("files left: %q", left)
			}
		})
	}
}

func TestCloseTwice(t *testing.T) {
	s := openStore(t)
	for _, k := range kinds {
		must(k.small(s))(t)
	}
	d := must(artifact.OpenDictionary(s.Path(version, artifact.DictionaryName)))(t)
	l := must(artifact.OpenLists(s.Path(version, artifact.ListsName(3))))(t)
	r := must(artifact.OpenRows(s.Path(version, artifact.RowsName(3))))(t)
	key, user := d.Key(0), r.Key(0)
	for range 2 {
		if err := errors.Join(d.Close(), l.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}
	if key != "tea" || user != "ada" {
		t.Errorf("keys after Close are %q and %q", key, user)
	}
}

// A reader goes on when its file is replaced and its version dropped.
func TestReaderOutlivesFile(t *testing.T) {
	s := openStore(t)
	info := must(s.WriteLists(version, 0, []uint32{1}, &similarity.Lists{Start: []int64{0, 1}, Entries: []similarity.Neighbor{{ID: 2, Score: 1}}}))(t)
	l := must(artifact.OpenLists(s.Path(version, info.Name)))(t)
	must(s.WriteLists(version, 0, nil, &similarity.Lists{}))(t)
	if err := s.Drop(version); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Path(version, info.Name)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("after Drop: %v", err)
	}
	if list, _ := l.List(1); !slices.Equal(list, []similarity.Neighbor{{ID: 2, Score: 1}}) {
		t.Errorf("List(1) = %v", list)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

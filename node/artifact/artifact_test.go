package artifact_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/similarity"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// version is the one that tests write to where it does not matter.
const version = 7

func openStore(t testing.TB) *artifact.Store {
	t.Helper()
	s, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface{ Fatal(...any) }

// must returns what a call returned without an error.
func must[T any](v T, err error) func(fataler) T {
	return func(t fataler) T {
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func readFile(t fataler, path string) []byte {
	return must(os.ReadFile(path))(t)
}

// kind is a kind of file, with a small one that has something in each section, and one that is empty.
type kind struct {
	name         string
	small, empty func(*artifact.Store) (artifact.Info, error)
	// use opens a file, makes every access that its sizes allow, and closes it.
	use func(path string) error
}

var kinds = []kind{
	{
		name: "dictionary",
		small: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteDictionary(version, []string{"tea", "", "καφές", "b\x00\xff"}, []uint64{9, 5, 5, 1 << 40})
		},
		empty: func(s *artifact.Store) (artifact.Info, error) { return s.WriteDictionary(version, nil, nil) },
		use:   useDictionary,
	},
	{
		name: "lists",
		small: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 3, []uint32{2, 5, 9}, &similarity.Lists{
				Start:   []int64{0, 3, 3, 4},
				Entries: []similarity.Neighbor{{ID: 1, Score: 0.5}, {ID: 7, Score: 0.5}, {ID: 0, Score: -2}, {ID: 2, Score: 1}},
			})
		},
		empty: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteLists(version, 3, nil, &similarity.Lists{})
		},
		use: useLists,
	},
	{
		name: "rows",
		small: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 3, 40, []string{"ada", "bob", "μάρω"}, &similarity.Rows{
				NumItems: 6, Start: []int64{0, 2, 2, 3}, Item: []uint32{0, 5, 3}, Weight: []float32{1, 2.5, -1},
			})
		},
		empty: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteRows(version, 3, 0, nil, &similarity.Rows{Start: []int64{0}})
		},
		use: useRows,
	},
	{
		name: "model",
		small: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteModel(version, "covisit", func(w io.Writer) error {
				for _, part := range []string{"a model ", "of 23 bytes", "..."} {
					if _, err := io.WriteString(w, part); err != nil {
						return err
					}
				}
				return nil
			})
		},
		empty: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteModel(version, "covisit", func(io.Writer) error { return nil })
		},
		use: useModel,
	},
	{
		name: "rest",
		small: func(s *artifact.Store) (artifact.Info, error) {
			return writeRest(s, []uint32{2, 5, 9}, &similarity.Lists{
				Start: []int64{0, 2, 2, 3}, Entries: []similarity.Neighbor{{ID: 1, Score: 0.5}, {ID: 7, Score: 0.25}, {ID: 2, Score: 1}},
			}, []float32{0.25, 0.75, 0})
		},
		empty: func(s *artifact.Store) (artifact.Info, error) { return writeRest(s, nil, &similarity.Lists{}, nil) },
		use:   useRest,
	},
	{
		name: "norms",
		small: func(s *artifact.Store) (artifact.Info, error) {
			return s.WriteNorms(version, []float64{5, 1, 1 << 40})
		},
		empty: func(s *artifact.Store) (artifact.Info, error) { return s.WriteNorms(version, nil) },
		use:   useNorms,
	},
}

func writeRest(s *artifact.Store, items []uint32, lists *similarity.Lists, bounds []float32) (artifact.Info, error) {
	w, err := s.CreateRest(version, 3)
	if err != nil {
		return artifact.Info{}, err
	}
	defer w.Abort()
	if err := w.Add(items, lists, bounds); err != nil {
		return artifact.Info{}, err
	}
	return w.Commit()
}

func useRest(path string) error {
	r, err := artifact.OpenRest(path)
	if err != nil {
		return err
	}
	for i, item := range r.Items() {
		rest, bound := r.At(i)
		if !(bound >= 0) || slices.ContainsFunc(rest, func(n similarity.Neighbor) bool { return n.ID == item }) {
			return fmt.Errorf("rest of item %d: %v with bound %v", item, rest, bound)
		}
	}
	return r.Close()
}

func useNorms(path string) error {
	n, err := artifact.OpenNorms(path)
	if err != nil {
		return err
	}
	for i, x := range n.Squares() {
		if !(x >= 0) {
			return fmt.Errorf("squares of item %d: %v", i, x)
		}
	}
	return n.Close()
}

func useModel(path string) error {
	m, err := artifact.OpenModel(path)
	if err != nil {
		return err
	}
	sum := byte(0)
	for _, b := range m.Content() {
		sum += b
	}
	return m.Close()
}

func useDictionary(path string) error {
	d, err := artifact.OpenDictionary(path)
	if err != nil {
		return err
	}
	for id := range uint32(d.Len()) {
		d.Count(id)
		d.ID(d.Key(id))
	}
	d.ID("missing")
	return d.Close()
}

func useLists(path string) error {
	l, err := artifact.OpenLists(path)
	if err != nil {
		return err
	}
	for _, item := range l.Items() {
		list, ok := l.List(item)
		if !ok || slices.ContainsFunc(list, func(n similarity.Neighbor) bool { return n.ID == item }) {
			return fmt.Errorf("list of item %d: %v, %v", item, list, ok)
		}
	}
	return l.Close()
}

func useRows(path string) error {
	r, err := artifact.OpenRows(path)
	if err != nil {
		return err
	}
	for row := range r.NumUsers() {
		if found, ok := r.Find(r.Key(row)); !ok || found != row {
			return fmt.Errorf("Find(%q) = %d, %v, want %d", r.Key(row), found, ok, row)
		}
	}
	if err := r.Matrix().Validate(); err != nil {
		return err
	}
	return r.Close()
}

// The golden files pin the format: a change of their bytes is a new format version.
func TestGolden(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			golden := filepath.Join("testdata", k.name+".golden")
			var written [][]byte
			for range 2 {
				s := openStore(t)
				info := must(k.small(s))(t)
				written = append(written, readFile(t, s.Path(version, info.Name)))
			}
			if !bytes.Equal(written[0], written[1]) {
				t.Errorf("equal content gives %x and %x", written[0], written[1])
			}
			if *update {
				if err := os.WriteFile(golden, written[0], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want := readFile(t, golden); !bytes.Equal(written[0], want) {
				t.Errorf("%s: got %x, want %x", golden, written[0], want)
			}
			if err := k.use(golden); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEmpty(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s := openStore(t)
			info := must(k.empty(s))(t)
			if err := k.use(s.Path(version, info.Name)); err != nil {
				t.Error(err)
			}
		})
	}
}

// drawKeys draws distinct keys of any UTF-8, up to the 256 bytes that events allow.
func drawKeys(t *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.StringN(0, 80, 256), 0, 40, rapid.ID[string]).Draw(t, "keys")
}

// drawLists draws items, ascending, and a list for each.
func drawLists(t *rapid.T) ([]uint32, *similarity.Lists) {
	ids := rapid.OneOf(rapid.Uint32Range(0, 30), rapid.Uint32())
	items := rapid.SliceOfNDistinct(ids, 0, 30, rapid.ID[uint32]).Draw(t, "items")
	slices.Sort(items)
	lists := &similarity.Lists{Start: []int64{0}}
	for _, item := range items {
		neighbors := rapid.SliceOfNDistinct(ids, 0, 5, rapid.ID[uint32]).Draw(t, "neighbors")
		var list []similarity.Neighbor
		for _, id := range neighbors {
			score := rapid.Float32Range(-2, 2).Draw(t, "score")
			if id != item && score != 0 {
				list = append(list, similarity.Neighbor{ID: id, Score: score})
			}
		}
		slices.SortFunc(list, func(a, b similarity.Neighbor) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
		})
		lists.Entries = append(lists.Entries, list...)
		lists.Start = append(lists.Start, int64(len(lists.Entries)))
	}
	return items, lists
}

// drawRows draws a matrix of users rows, in some cases as a window of a larger one.
func drawRows(t *rapid.T, users int) *similarity.Rows {
	r := &similarity.Rows{NumItems: rapid.IntRange(0, 12).Draw(t, "items")}
	if rapid.Bool().Draw(t, "weighted") {
		r.Weight = []float32{}
	}
	add := func() {
		for item := range uint32(r.NumItems) {
			if !rapid.Bool().Draw(t, "has") {
				continue
			}
			r.Item = append(r.Item, item)
			if r.Weight != nil {
				r.Weight = append(r.Weight, rapid.SampledFrom([]float32{1, -1, 0.25, similarity.MaxWeight}).Draw(t, "weight"))
			}
		}
	}
	window := rapid.Bool().Draw(t, "window")
	if window {
		add()
	}
	r.Start = append(r.Start, int64(len(r.Item)))
	for range users {
		add()
		r.Start = append(r.Start, int64(len(r.Item)))
	}
	if window {
		add()
	}
	return r
}

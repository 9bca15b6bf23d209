package artifact_test

import (
	"cmp"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/similarity"
)

func TestRestRoundTrip(t *testing.T) {
	s := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		items, lists := drawLists(t)
		bounds := make([]float32, len(items))
		for i := range bounds {
			most := float32(2)
			list := lists.Entries[lists.Start[i]:lists.Start[i+1]]
			for k := range list {
				list[k].Score = max(list[k].Score, -list[k].Score)
			}
			slices.SortFunc(list, func(a, b similarity.Neighbor) int {
				return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
			})
			if len(list) > 0 {
				most = list[len(list)-1].Score
			}
			bounds[i] = rapid.Float32Range(0, most).Draw(t, "bound")
		}
		w := must(s.CreateRest(version, 3))(t)
		defer w.Abort()
		for lo := 0; lo < len(items); {
			hi := rapid.IntRange(lo, len(items)).Draw(t, "piece")
			piece := &similarity.Lists{Start: []int64{0}, Entries: lists.Entries[lists.Start[lo]:lists.Start[hi]]}
			for _, end := range lists.Start[lo+1 : hi+1] {
				piece.Start = append(piece.Start, end-lists.Start[lo])
			}
			if err := w.Add(items[lo:hi], piece, bounds[lo:hi]); err != nil {
				t.Fatal(err)
			}
			lo = hi
		}
		info := must(w.Commit())(t)
		if whole := must(writeRest(s, items, lists, bounds))(t); whole != info {
			t.Fatalf("written in pieces: %v, want %v", info, whole)
		}
		r := must(artifact.OpenRest(s.Path(version, info.Name)))(t)
		defer func() { _ = r.Close() }()
		if diff := gocmp.Diff(r.Items(), items, cmpopts.EquateEmpty()); diff != "" || r.Len() != len(items) {
			t.Fatalf("Len = %d, Items -got +want:\n%s", r.Len(), diff)
		}
		for i, item := range items {
			rest, bound := r.At(i)
			if diff := gocmp.Diff(rest, lists.Entries[lists.Start[i]:lists.Start[i+1]], cmpopts.EquateEmpty()); diff != "" || bound != bounds[i] {
				t.Fatalf("item %d: bound %v, want %v; rest -got +want:\n%s", item, bound, bounds[i], diff)
			}
		}
	})
}

func TestNormsRoundTrip(t *testing.T) {
	s := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		squares := rapid.SliceOf(rapid.Float64Range(0, math.MaxFloat64)).Draw(t, "squares")
		info := must(s.WriteNorms(version, squares))(t)
		n := must(artifact.OpenNorms(s.Path(version, info.Name)))(t)
		defer func() { _ = n.Close() }()
		if got := n.Squares(); !slices.Equal(got, squares) {
			t.Fatalf("Squares = %v, want %v", got, squares)
		}
	})
}

// What OpenRest and OpenNorms would refuse is not written.
func TestWriteRefusesRest(t *testing.T) {
	nan := float32(math.NaN())
	one := &similarity.Lists{Start: []int64{0, 1}, Entries: []similarity.Neighbor{{ID: 2, Score: 1}}}
	rest := func(items []uint32, lists *similarity.Lists, bounds ...float32) func(*artifact.Store) (artifact.Info, error) {
		return func(s *artifact.Store) (artifact.Info, error) { return writeRest(s, items, lists, bounds) }
	}
	norms := func(squares ...float64) func(*artifact.Store) (artifact.Info, error) {
		return func(s *artifact.Store) (artifact.Info, error) { return s.WriteNorms(version, squares) }
	}
	for name, write := range map[string]func(*artifact.Store) (artifact.Info, error){
		"rest: bounds missing":       rest([]uint32{1}, one),
		"rest: more bounds":          rest([]uint32{1}, one, 0, 0),
		"rest: bounds without items": rest(nil, &similarity.Lists{}, 0),
		"rest: bound negative":       rest([]uint32{1}, one, -1),
		"rest: bound not a number":   rest([]uint32{1}, one, nan),
		"rest: own item":             rest([]uint32{2}, one, 0),
		"norms: not a number":        norms(1, math.NaN()),
		"norms: infinite":            norms(math.Inf(1)),
		"norms: negative":            norms(-1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := must(artifact.Open(dir))(t)
			if _, err := write(s); !errors.Is(err, similarity.ErrShape) || errors.Is(err, artifact.ErrCorrupt) {
				t.Errorf("error is %v, want one that matches ErrShape only", err)
			}
			if left := must(filepath.Glob(filepath.Join(dir, "*", "*")))(t); len(left) > 0 {
				t.Errorf("files left: %q", left)
			}
		})
	}
}

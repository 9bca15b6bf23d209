package worker

import (
	"errors"
	"testing"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// TestKnowBounds puts the bounds of partitions to items, and refuses those that do not fit and those that come late.
func TestKnowBounds(t *testing.T) {
	files, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys, users := []string{"a", "b", "c"}, []uint32{1, 1, 1}
	if _, err := files.WriteDictionary(1, keys, []uint64{1, 1, 1}); err != nil {
		t.Fatal(err)
	}
	dictionary, err := files.OpenDictionary(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dictionary.Close() })
	begin := func() *following {
		step, err := similarity.NewStep(similarity.Options{Measure: similarity.Cosine, K: 2}, users, []float64{1, 1, 1}, 0, func(i uint32) string { return keys[i] }, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &following{dictionary: dictionary, owner: []uint16{1, 0, 1}, step: step}
	}
	right := func() [][]float32 { return [][]float32{{0.5}, {0.25, 0}} }
	f := begin()
	if err := f.knowBounds(right()); err != nil {
		t.Fatal(err)
	}
	if err := f.look(false); !errors.Is(err, wire.ErrBuildLost) {
		t.Errorf("looking over lists where others do not know bounds: got %v, want ErrBuildLost", err)
	}
	if err := f.look(true); err != nil {
		t.Fatal(err)
	}
	if err := f.knowBounds(right()); err != nil {
		t.Errorf("told once more: %v", err)
	}
	for name, parts := range map[string][][]float32{"too few": {{0.5}, {0.25}}, "too many": {{0.5, 0.5}, {0.25, 0}}, "of none": {{}, {}}} {
		if err := begin().knowBounds(parts); !errors.Is(err, wire.ErrBuildLost) {
			t.Errorf("%s: got %v, want ErrBuildLost", name, err)
		}
	}
	f = begin()
	if err := f.knowBounds([][]float32{{0.5}, {0.25, -1}}); !errors.Is(err, similarity.ErrShape) {
		t.Errorf("below 0: got %v, want ErrShape", err)
	}
	if err := f.knowBounds(right()); err != nil || f.look(true) != nil {
		t.Errorf("behind bounds that were refused: %v", err)
	}
	late := begin()
	if err := late.look(true); !errors.Is(err, wire.ErrBuildLost) {
		t.Errorf("looking over lists without bounds that others know: got %v, want ErrBuildLost", err)
	}
	if err := late.look(false); err != nil {
		t.Fatal(err)
	}
	if err := late.knowBounds(right()); !errors.Is(err, wire.ErrBuildLost) {
		t.Errorf("behind lists: got %v, want ErrBuildLost", err)
	}
}

// TestSumsFormedHere gives sums that a node has formed for itself once, with the lists that want them, and only to who knows that they were formed.
func TestSumsFormedHere(t *testing.T) {
	own, others := []similarity.PairSums{{Item: 1, With: []uint32{2}, Sum: []float64{3}}}, []similarity.PairSums{{Item: 1, With: []uint32{2}, Sum: []float64{4}}}
	f := &following{lists: map[uint32]*similarity.Follower{}}
	look := func() {
		t.Helper()
		if err := f.look(false); err != nil {
			t.Fatal(err)
		}
		f.lists[0], f.lists[1] = &similarity.Follower{}, &similarity.Follower{}
	}
	taken := func(what string, formed bool, came []similarity.PairSums, want float64) {
		t.Helper()
		followers, sums, err := f.takeLists([]uint32{0, 1}, formed, came)
		if err != nil || len(followers) != 2 || followers[0] == nil || len(sums) != 1 || sums[0].Sum[0] != want {
			t.Errorf("%s: %d lists with sums %v and %v, want 2 with a sum of %v", what, len(followers), sums, err, want)
		}
	}
	refused := func(what string, formed bool, came []similarity.PairSums) {
		t.Helper()
		if _, sums, err := f.takeLists([]uint32{0, 1}, formed, came); !errors.Is(err, wire.ErrBuildLost) {
			t.Errorf("%s: got sums %v and %v, want ErrBuildLost", what, sums, err)
		}
	}
	look()
	refused("none were formed", true, nil)
	taken("of others", false, others, 4)
	look()
	f.keep(own)
	refused("others beside its own", true, others)
	refused("others, who do not know of its own", false, others)
	refused("none, though some are kept", false, nil)
	taken("its own", true, nil, 3)
	refused("its own once more", true, nil)
	refused("no lists are left", false, nil)
	look()
	f.keep(own)
	look()
	refused("of an attempt before", true, nil)
	taken("lists that were looked over again", false, others, 4)
	f.head = &kithv1.FollowHead{FirstUser: []uint32{0, 1, 2}}
	for _, some := range [][]uint32{nil, {0}, {1, 1}, {0, 1, 1}} {
		if f.all(some) {
			t.Errorf("partitions %v are said to be all of 2", some)
		}
	}
	if !f.all([]uint32{1, 0}) {
		t.Error("both partitions are not said to be all")
	}
}

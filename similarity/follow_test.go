package similarity

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

// shop is a matrix by keys.
type shop []map[string]float32

// version is a build of a shop.
type version struct {
	keys    []string // by dense id
	ids     map[string]uint32
	rows    *Rows
	users   []uint32
	squares []float64
	held    []HeldList
}

func (s shop) numbered(weights bool) *version {
	counts := map[string]int{}
	for _, row := range s {
		for key := range row {
			counts[key]++
		}
	}
	v := &version{ids: map[string]uint32{}, rows: &Rows{NumItems: len(counts), Start: []int64{0}}}
	v.keys = slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for id, key := range v.keys {
		v.ids[key] = uint32(id)
	}
	n := newNorms(len(v.keys))
	for _, row := range s {
		r := v.row(row)
		for k, i := range r.Item {
			n.add(i, r.Weight[k])
		}
		v.rows.Item, v.rows.Weight = append(v.rows.Item, r.Item...), append(v.rows.Weight, r.Weight...)
		v.rows.Start = append(v.rows.Start, int64(len(v.rows.Item)))
	}
	v.users, v.squares = n.users, n.squares
	if !weights {
		for i, users := range n.users {
			v.squares[i] = float64(users)
		}
	}
	return v
}

// row is a row by dense ids; what has none gets the next.
func (v *version) row(row map[string]float32) (r Row) {
	var ids []uint32
	weights := map[uint32]float32{}
	for _, key := range slices.Sorted(maps.Keys(row)) {
		id, ok := v.ids[key]
		if !ok {
			id = uint32(len(v.keys))
			v.keys, v.ids[key] = append(v.keys, key), id
		}
		ids, weights[id] = append(ids, id), row[key]
	}
	slices.Sort(ids)
	for _, id := range ids {
		r.Item, r.Weight = append(r.Item, id), append(r.Weight, weights[id])
	}
	return r
}

// build returns the lists that a full build keeps.
func (v *version) build(t testing.TB, o Options) {
	t.Helper()
	wide := o
	wide.K = o.K + o.Reserve()
	lists, err := Build(t.Context(), v.rows, wide)
	if err != nil {
		t.Fatal(err)
	}
	v.held = make([]HeldList, lists.Len())
	for i := range v.held {
		all := lists.List(uint32(i))
		k := min(o.K, len(all))
		v.held[i] = HeldList{List: all[:k:k], Rest: all[k:]}
		if len(all) == wide.K {
			v.held[i].Bound = all[len(all)-1].Score
		}
	}
}

// step follows from v to a shop, whose rows are those of v in this order but for changes.
func (v *version) step(o Options, was, is shop) (*Step, error) {
	base := *v
	base.keys, base.ids = slices.Clone(v.keys), maps.Clone(v.ids)
	var changes []RowChange
	for u := range is {
		if !maps.Equal(was[u], is[u]) {
			changes = append(changes, RowChange{base.row(was[u]), base.row(is[u])})
		}
	}
	return NewStep(o, v.users, v.squares, len(base.keys)-len(v.keys), func(i uint32) string { return base.keys[i] }, changes)
}

// follow makes the lists of the next version on some nodes, which may know the bounds of all lists.
func (v *version) follow(t testing.TB, s *Step, next *version, nodes int, known bool) ([]HeldList, int) {
	t.Helper()
	bounds := make([]float32, len(v.held))
	for i, h := range v.held {
		bounds[i] = h.Bound
	}
	if known {
		if err := s.KnowBounds(bounds); err != nil {
			t.Fatal(err)
		}
	}
	followers := make([]*Follower, nodes)
	var wanted []PairSums
	for n := range followers {
		f := NewFollower(s, slices.DeleteFunc(slices.Clone(s.order), func(i uint32) bool { return int(i)%nodes != n }), func(i uint32) HeldList {
			if int(i) < len(v.held) {
				return v.held[i]
			}
			return HeldList{}
		})
		if err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		followers[n] = f
		wanted = append(wanted, f.Wanted()...)
	}
	wanted, err := JoinWanted(wanted, s.Len())
	if err != nil {
		t.Fatal(err)
	}
	half := int64(len(next.rows.Start)-1) / 2
	first, last := *next.rows, *next.rows
	first.Start, last.Start = next.rows.Start[:half+1], next.rows.Start[half:]
	want, err := s.Want(wanted)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := s.SumPairs(t.Context(), SumsOver{Parts: []*Rows{&first, &last}, All: true, Pieces: 2, Side: sideBySide}, want)
	if err != nil {
		t.Fatal(err)
	}
	if nodes > 1 { // with half of the users each
		if sums, err = s.SumPairs(t.Context(), SumsOver{Parts: []*Rows{&first}, Pieces: 1, Side: inTurn}, want); err != nil {
			t.Fatal(err)
		}
		more, err := s.SumPairs(t.Context(), SumsOver{Parts: []*Rows{&last}, Pieces: 2, Side: sideBySide}, want)
		if err != nil {
			t.Fatal(err)
		}
		if err := AddPairSums(sums, more); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range followers {
		if err := f.Give(sums); err != nil {
			t.Fatal(err)
		}
	}
	out := make([]HeldList, s.Len())
	for _, f := range followers {
		for k, i := range f.items {
			id := s.Next(i)
			out[id].List, out[id].Rest, out[id].Bound = f.AppendList(nil, nil, k)
		}
	}
	return out, len(wanted)
}

// inTurn calls f one after the other, and sideBySide at once.
func inTurn(n int, f func(k int) error) error {
	for k := range n {
		if err := f(k); err != nil {
			return err
		}
	}
	return nil
}

func sideBySide(n int, f func(k int) error) error {
	errs := make([]error, n)
	each(n, func(k int) { errs[k] = f(k) })
	return errors.Join(errs...)
}

// checkHeld compares lists with those of a build, and what is kept behind them with all pairs.
func checkHeld(t testing.TB, o Options, v *version, got []HeldList) {
	t.Helper()
	v.build(t, o)
	wide := o
	wide.K = max(1, v.rows.NumItems)
	all, err := Build(t.Context(), v.rows, wide)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range got {
		if !slices.Equal(h.List, v.held[i].List) {
			t.Fatalf("list of item %d of %d:\n got %v\nwant %v", i, len(got), h.List, v.held[i].List)
		}
		scores := map[uint32]float32{}
		for _, n := range all.List(uint32(i)) {
			scores[n.ID] = n.Score
		}
		for _, n := range slices.Concat(h.List, h.Rest) {
			if scores[n.ID] != n.Score {
				t.Fatalf("item %d holds %v, want score %v", i, n, scores[n.ID])
			}
			delete(scores, n.ID)
		}
		for id, score := range scores {
			if h.Bound == 0 || score > h.Bound {
				t.Fatalf("item %d does not hold %d with score %v and has bound %v", i, id, score, h.Bound)
			}
		}
	}
}

// checkKept checks that a list that is not full holds all that it held in the version before and that still has a sum: else what is behind lists would grow thin.
func checkKept(t testing.TB, o Options, v *version, s *Step, next *version) {
	t.Helper()
	together := map[[2]uint32]bool{}
	for u := range next.rows.NumUsers() {
		items, _ := next.rows.row(u)
		for _, i := range items {
			for _, j := range items {
				together[[2]uint32{i, j}] = true
			}
		}
	}
	for was, h := range v.held {
		id := s.Next(uint32(was))
		if id == Gone {
			continue
		}
		now := slices.Concat(next.held[id].List, next.held[id].Rest)
		if len(now) == o.K+o.Reserve() {
			continue
		}
		for _, n := range slices.Concat(h.List, h.Rest) {
			with := s.Next(n.ID)
			if together[[2]uint32{id, with}] && !slices.ContainsFunc(now, func(n Neighbor) bool { return n.ID == with }) {
				t.Fatalf("item %d holds %d others, has room for %d, and has dropped %d", id, len(now), o.K+o.Reserve(), with)
			}
		}
	}
}

// change makes a shop of another: weights rise and fall, items and users come and go.
func (s shop) change(rng *rand.Rand, items, n int, weight float32, risingOnly bool) shop {
	out := make(shop, len(s))
	for u, row := range s {
		out[u] = maps.Clone(row)
	}
	for range n {
		u := rng.IntN(len(out))
		switch what := rng.IntN(12); {
		case what == 0:
			out = append(out, map[string]float32{draw(rng, items): weight})
		case what == 1 && !risingOnly:
			clear(out[u])
		case what < 4 && !risingOnly && len(out[u]) > 0:
			key := slices.Sorted(maps.Keys(out[u]))[rng.IntN(len(out[u]))]
			if out[u][key] -= weight; out[u][key] <= 0 {
				delete(out[u], key)
			}
		default:
			out[u][draw(rng, items)] += float32(1+rng.IntN(3)) * weight
		}
	}
	return out
}

// draw draws an item, the first the most often.
func draw(rng *rand.Rand, items int) string {
	x := rng.Float64()
	return strconv.Itoa(int(x * x * x * float64(items)))
}

// TestFollow follows random changes and compares each version with a build.
func TestFollow(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 12 // with each weight, of lists long and short
	}
	for _, measure := range []Measure{Cosine, Jaccard, Dice} {
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s/%d", measure, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				o := Options{Measure: measure, K: 1 + rng.IntN(6), Threads: 1}
				if measure != Cosine && seed%3 == 0 {
					o.Shrinkage = 2
				}
				weight := float32(1)
				if measure != Cosine && seed%5 == 0 {
					weight = 0.25 // does not count
				}
				if measure == Cosine && seed%4 < 2 {
					weight = 100 // sums that scores do not tell
				}
				items := 5 + rng.IntN(60)
				now := make(shop, 5+rng.IntN(60))
				if seed%2 == 0 { // long lists of close scores
					items, now = 30+rng.IntN(60), make(shop, 200+rng.IntN(200))
				}
				for u := range now {
					now[u] = map[string]float32{}
				}
				now = now.change(rng, items, 20*len(now)/3, weight, true)
				v := now.numbered(measure == Cosine)
				v.build(t, o)
				for range 8 {
					is := now.change(rng, items+1, 1+rng.IntN(8), weight, rng.IntN(2) == 0)
					s, err := v.step(o, slices.Concat(now, make(shop, len(is)-len(now))), is)
					if err != nil {
						t.Fatal(err)
					}
					next := is.numbered(measure == Cosine)
					if s.Len() != len(next.keys) {
						t.Fatalf("%d items, want %d", s.Len(), len(next.keys))
					}
					for id := range next.keys {
						if _, users, squares := s.Was(uint32(id)); users != next.users[id] || squares != next.squares[id] {
							t.Fatalf("item %d has %d users and squares %v, want %d and %v", id, users, squares, next.users[id], next.squares[id])
						}
					}
					nodes := 1 + rng.IntN(3)
					for _, known := range []bool{false, true} {
						next.held, _ = v.follow(t, s, next, nodes, known)
						checkHeld(t, o, &version{rows: next.rows}, next.held)
						checkKept(t, o, v, s, next)
					}
					now, v = is, next
				}
			})
		}
	}
}

// TestFollowRefuses has what no step can follow.
func TestFollowRefuses(t *testing.T) {
	o := Options{Measure: Cosine, K: 2}
	key := func(uint32) string { return "" }
	for name, c := range map[string]RowChange{
		"half a weight":  {New: Row{[]uint32{0}, []float32{1.5}}},
		"negative":       {New: Row{[]uint32{0}, []float32{-1}}},
		"a large weight": {New: Row{[]uint32{0}, []float32{1 << 13}}},
	} {
		if _, err := NewStep(o, []uint32{2}, []float64{2}, 0, key, []RowChange{c}); !errors.Is(err, ErrNotFollowed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := NewStep(Options{Measure: BM25, K: 2}, nil, nil, 0, key, nil); !errors.Is(err, ErrNotFollowed) {
		t.Errorf("BM25: error %v", err)
	}
	for name, c := range map[string]RowChange{
		"an item that is not there":           {New: Row{[]uint32{1}, nil}},
		"fewer weights than items":            {New: Row{[]uint32{0, 1}, []float32{1}}},
		"items out of order":                  {New: Row{[]uint32{1, 0}, nil}},
		"more users than the item has":        {Old: Row{[]uint32{0}, []float32{1}}},
		"an unchanged item that is not there": {Old: Row{[]uint32{0, 1}, nil}, New: Row{[]uint32{1}, nil}},
	} {
		changes := []RowChange{c, c, c}
		if _, err := NewStep(o, []uint32{2}, []float64{2}, 0, key, changes); !errors.Is(err, ErrShape) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	had := RowChange{Old: Row{[]uint32{1}, nil}, New: Row{[]uint32{1}, nil}}
	if _, err := NewStep(o, []uint32{2}, []float64{2}, 1, key, []RowChange{had}); !errors.Is(err, ErrShape) {
		t.Errorf("a row that had an item which is new: error %v", err)
	}
}

// TestFollowBuildsAgain takes away all neighbors that an item holds, so that its list must be built again.
func TestFollowBuildsAgain(t *testing.T) {
	o := Options{Measure: Cosine, K: 3, Threads: 1}
	var now shop
	for j := range 40 {
		now = append(now, map[string]float32{"all": 1, fmt.Sprintf("item %02d", j): 1})
	}
	v := now.numbered(true)
	v.build(t, o)
	for step := range 3 {
		is := slices.Clone(now)
		for j := range o.K + o.Reserve() {
			is = append(is, map[string]float32{fmt.Sprintf("item %02d", 11*step+j): 5})
		}
		s, err := v.step(o, slices.Concat(now, make(shop, len(is)-len(now))), is)
		if err != nil {
			t.Fatal(err)
		}
		next := is.numbered(true)
		var wanted int
		if next.held, wanted = v.follow(t, s, next, 1, true); wanted == 0 {
			t.Errorf("step %d wants no sums", step)
		}
		checkHeld(t, o, &version{rows: next.rows}, next.held)
		now, v = is, next
	}
}

// TestFollowGone takes an item away that all lists hold, and whose own holds few of them: nobody asks in its name.
func TestFollowGone(t *testing.T) {
	o := Options{Measure: Cosine, K: 3, Threads: 1}
	row := map[string]float32{}
	for j := range 40 {
		row[fmt.Sprintf("item %02d", j)] = 1
	}
	now := shop{row, {"item 01": 1}}
	v := now.numbered(true)
	v.build(t, o)
	is := slices.Clone(now)
	is[0] = maps.Clone(row)
	delete(is[0], "item 00")
	s, err := v.step(o, now, is)
	if err != nil {
		t.Fatal(err)
	}
	next := is.numbered(true)
	next.held, _ = v.follow(t, s, next, 2, true)
	checkHeld(t, o, &version{rows: next.rows}, next.held)
}

// TestFollowLargeSums has a pair whose sum no score tells, which is not held and comes to be the best.
func TestFollowLargeSums(t *testing.T) {
	o := Options{Measure: Cosine, K: 1, Threads: 1}
	const weight = 1000
	now := make(shop, 400)
	for u := range now {
		now[u] = map[string]float32{}
	}
	free := 40
	item := func(key string, shared, alone int) {
		for u := range shared {
			now[u][key] = weight
		}
		for range alone {
			now[free][key] = weight
			free++
		}
	}
	item("of all", 40, 0)
	item("best", 12, 8)
	for k := range o.Reserve() {
		item(fmt.Sprint("held ", k), 10, 10)
	}
	item("next", 9, 12)
	v := now.numbered(true)
	v.build(t, o)
	is := slices.Clone(now)
	for u := 9; u < 15; u++ {
		is[u] = maps.Clone(is[u])
		is[u]["next"] = weight
	}
	s, err := v.step(o, now, is)
	if err != nil {
		t.Fatal(err)
	}
	next := is.numbered(true)
	next.held, _ = v.follow(t, s, next, 1, true)
	checkHeld(t, o, &version{rows: next.rows}, next.held)
}

// TestJoinWanted brings what several want into order, also where programs name a pair by either item.
func TestJoinWanted(t *testing.T) {
	got, err := JoinWanted([]PairSums{
		{Item: 4, All: true},
		{Item: 1, With: []uint32{2, 7}},
		{Item: 5, With: []uint32{0}},
		{Item: 3, All: true},
		{Item: 4, All: true, Mirror: true},
		{Item: 1, With: []uint32{3, 7}},
		{Item: 2, With: []uint32{1}},
	}, 8)
	want := []PairSums{{Item: 3, All: true}, {Item: 4, All: true, Mirror: true}, {Item: 1, With: []uint32{2, 3, 7}}, {Item: 2, With: []uint32{1}}, {Item: 5, With: []uint32{0}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := JoinWanted([]PairSums{{Item: 8, All: true}}, 8); !errors.Is(err, ErrShape) {
		t.Errorf("an item that there is not: got %v, want ErrShape", err)
	}
	if _, err := JoinWanted([]PairSums{{Item: 1, With: make([]uint32, maxPairSums)}, {Item: 2, With: make([]uint32, 1)}}, 8); !errors.Is(err, ErrNotFollowed) {
		t.Errorf("more than fit: got %v, want ErrNotFollowed", err)
	}
}

// TestSumPairsRefuses refuses weights that are not whole, and rows of other items.
func TestSumPairsRefuses(t *testing.T) {
	is := shop{{"a": 1, "b": 1}}
	s, err := is.numbered(true).step(Options{Measure: Cosine, K: 5}, is, is)
	if err != nil {
		t.Fatal(err)
	}
	half := &Rows{NumItems: 2, Start: []int64{0, 2}, Item: []uint32{0, 1}, Weight: []float32{0.5, 1}}
	for _, tt := range []struct {
		rows   *Rows
		wanted PairSums
		want   error
	}{
		{half, PairSums{Item: 0, With: []uint32{1}}, ErrNotFollowed},
		{half, PairSums{Item: 0, All: true}, ErrNotFollowed},
		{&Rows{NumItems: 3, Start: []int64{0}}, PairSums{Item: 0, All: true}, ErrShape},
	} {
		want, err := s.Want([]PairSums{tt.wanted})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SumPairs(t.Context(), SumsOver{Parts: []*Rows{tt.rows}, Pieces: 2, Side: sideBySide}, want); !errors.Is(err, tt.want) {
			t.Errorf("%+v of %+v: got %v, want %v", tt.wanted, tt.rows, err, tt.want)
		}
	}
}

// TestSumsOfOneUser forms sums of so few entries that memory of 8 bytes, which is what is asked for ahead, is not there.
func TestSumsOfOneUser(t *testing.T) {
	is := shop{{"a": 1, "b": 1}}
	s, err := is.numbered(true).step(Options{Measure: Cosine, K: 5}, is, is)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Want([]PairSums{{Item: 0, With: []uint32{1}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 { // the place in memory counts
		rows := &Rows{NumItems: 2, Start: []int64{0, 1}, Item: []uint32{0}, Weight: []float32{1}}
		sums, err := s.SumPairs(t.Context(), SumsOver{Parts: []*Rows{rows}, Pieces: 1, Side: inTurn}, want)
		if err != nil || sums[0].Sum[0] != 0 {
			t.Fatalf("got %v, %v; want a sum of 0", sums, err)
		}
	}
}

// TestGiveRefusesMirrors refuses sums that all lists need and that are not those with all, as of items that there are not.
func TestGiveRefusesMirrors(t *testing.T) {
	is := shop{{"a": 1, "b": 1}, {"a": 1, "b": 1}}
	v := is.numbered(true)
	o := Options{Measure: Cosine, K: 5}
	v.build(t, o)
	s, err := v.step(o, is, shop{{"a": 2, "b": 1}, {"a": 1, "b": 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, sums := range [][]PairSums{{{Item: 1 << 31, Mirror: true, With: []uint32{0}, Sum: []float64{1}}}, {{Item: 1, Mirror: true, With: []uint32{0}}}} {
		f := NewFollower(s, []uint32{0, 1}, func(i uint32) HeldList { return v.held[i] })
		if err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.Give(sums); !errors.Is(err, ErrShape) {
			t.Errorf("sums %v: got %v, want ErrShape", sums, err)
		}
	}
}

// TestKnowBoundsRefuses refuses bounds that are not those of the lists.
func TestKnowBoundsRefuses(t *testing.T) {
	is := shop{{"a": 1, "b": 1}, {"a": 1, "b": 1}}
	v := is.numbered(true)
	s, err := v.step(Options{Measure: Cosine, K: 5}, is, shop{{"a": 2, "b": 1}, {"a": 1, "c": 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, bounds := range [][]float32{nil, {1}, {1, 1, 1}, {1, -1}, {float32(math.NaN()), 1}} {
		if err := s.KnowBounds(bounds); !errors.Is(err, ErrShape) {
			t.Errorf("bounds %v: got %v, want ErrShape", bounds, err)
		}
	}
}

// TestFitPairSums refuses sums of others.
func TestFitPairSums(t *testing.T) {
	wanted := []PairSums{{Item: 1, All: true}, {Item: 2, With: []uint32{3, 4}}}
	good := []PairSums{{Item: 1, All: true, With: []uint32{2}, Sum: []float64{1}}, {Item: 2, With: []uint32{3, 4}, Sum: []float64{1, 2}}}
	if err := FitPairSums(wanted, good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(s []PairSums) []PairSums{
		"one missing":   func(s []PairSums) []PairSums { return s[:1] },
		"another item":  func(s []PairSums) []PairSums { s[1].Item = 3; return s },
		"other pairs":   func(s []PairSums) []PairSums { s[1].With = []uint32{3, 5}; return s },
		"a sum missing": func(s []PairSums) []PairSums { s[1].Sum = s[1].Sum[:1]; return s },
		"sums too many": func(s []PairSums) []PairSums { s[0].Sum = []float64{1, 2}; return s },
		"not with all":  func(s []PairSums) []PairSums { s[0].All = false; return s },
		"for all lists": func(s []PairSums) []PairSums { s[0].Mirror = true; return s },
		"more than fits": func(s []PairSums) []PairSums {
			n := maxPairSums + 1
			s[0].With, s[0].Sum = make([]uint32, n), make([]float64, n)
			return s
		},
	} {
		if err := FitPairSums(wanted, change(slices.Clone(good))); !errors.Is(err, ErrShape) && !errors.Is(err, ErrNotFollowed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestFollowAsksOfLargeItems: beside items that are so large that scores or sums of float32 do not show what changes, nothing is told from bounds.
func TestFollowAsksOfLargeItems(t *testing.T) {
	for _, tt := range []struct {
		name           string
		o              Options
		users          []uint32
		squares        []float64
		change         RowChange
		score, bound   float32
		asked, rebuilt bool
	}{
		{
			"a neighbor's tie by another item that has grown",
			Options{Measure: Jaccard, K: 1},
			[]uint32{30_000_000, 5, 4},
			[]float64{30_000_000, 5, 4},
			RowChange{New: Row{Item: []uint32{2}}},
			1.0 / 30_000_004, 1.0 / 30_000_004, false, true,
		},
		{
			"the same beside a small item",
			Options{Measure: Jaccard, K: 1},
			[]uint32{30, 5, 4},
			[]float64{30, 5, 4},
			RowChange{New: Row{Item: []uint32{2}}},
			1.0 / 34, 1.0 / 34, false, false,
		},
		{
			"a sum that a build may round",
			Options{Measure: Cosine, K: 1},
			[]uint32{400, 300, 300},
			[]float64{1 << 27, 1 << 27, 1 << 27},
			RowChange{Old: Row{Item: []uint32{0}}, New: Row{Item: []uint32{0, 2}}},
			0.9, 0.2, true, false,
		},
		{
			"a sum that is exact",
			Options{Measure: Cosine, K: 1},
			[]uint32{400, 300, 300},
			[]float64{1 << 22, 1 << 22, 1 << 22},
			RowChange{Old: Row{Item: []uint32{0}}, New: Row{Item: []uint32{0, 2}}},
			0.9, 0.2, false, false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := NewStep(tt.o, tt.users, tt.squares, 0, func(i uint32) string { return fmt.Sprint(i) }, []RowChange{tt.change})
			if err != nil {
				t.Fatal(err)
			}
			f := NewFollower(s, []uint32{0}, func(uint32) HeldList { return HeldList{List: []Neighbor{{1, tt.score}}, Bound: tt.bound} })
			if err := f.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if asked, rebuilt := len(f.asks) > 0, f.lists[0].whole; asked != tt.asked || rebuilt != tt.rebuilt {
				t.Errorf("the sum is asked for: %v, the list is built again: %v; want %v and %v", asked, rebuilt, tt.asked, tt.rebuilt)
			}
		})
	}
}

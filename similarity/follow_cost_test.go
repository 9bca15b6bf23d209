//go:build unix

package similarity

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kith-io/kith/source/synthetic"
)

// TestFollowCost follows updates of a matrix one after the other, sets what that takes beside a build, and compares the lists with those of a build in the end. The flags are those of TestUpdateCost.
func TestFollowCost(t *testing.T) {
	if *updateScale == 0 {
		t.Skip("-update.scale is 0")
	}
	m, err := synthetic.DrawMatrix(t.Context(), *updateKind, *updateScale, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := (&Rows{NumItems: m.NumItems, Start: m.Start, Item: m.Item, Weight: m.Weight}).ByPopularity()
	o := Options{Measure: Cosine, K: 50, Threads: 2}
	rng := rand.New(rand.NewPCG(7, 8))
	versions, batches := []*Rows{r}, [][]Change{nil}
	parts := strings.Split(*updateParts, ",")
	for _, part := range slices.Backward(parts) {
		p, err := strconv.ParseFloat(part, 64)
		if err != nil {
			t.Fatal(err)
		}
		base, taken := split(versions[len(versions)-1], int(float64(len(r.Item))*p), *updateBursts, rng)
		versions, batches = append(versions, base), append(batches, taken)
	}
	slices.Reverse(versions)
	slices.Reverse(batches)
	v, names := numbered(versions[0], nil)
	v.build(t, o)
	n := newNorms(v.rows.NumItems)
	for k, i := range v.rows.Item {
		n.add(i, v.rows.weight(int64(k)))
	}
	v.users, v.squares = n.users, n.squares
	runtime.GC()
	begin := cpuSeconds()
	wide := o
	wide.K += o.Reserve()
	if _, err := Build(t.Context(), v.rows, wide); err != nil {
		t.Fatal(err)
	}
	build := cpuSeconds() - begin
	t.Logf("build: %.2f processor s", build)
	for at, part := range parts {
		v, names = followCost(t, o, v, names, versions[at+1], batches[at], part, build)
	}
	checkHeldLists(t, o, v)
}

// numbered returns a matrix with the items that have users, by popularity if no names are given, and the names of its items: their numbers in r.
func numbered(r *Rows, names []uint32) (*version, []uint32) {
	ids := make([]uint32, r.NumItems)
	if names == nil {
		users, _ := r.Counts()
		for i := range users {
			if users[i] > 0 {
				names = append(names, uint32(i))
			}
		}
		slices.SortStableFunc(names, func(a, b uint32) int { return int(users[b]) - int(users[a]) })
	}
	for id, i := range names {
		ids[i] = uint32(id)
	}
	rows := &Rows{NumItems: len(names), Start: r.Start, Item: slices.Clone(r.Item), Weight: r.Weight}
	for k, i := range rows.Item {
		rows.Item[k] = ids[i]
	}
	return &version{rows: rows.Columns().Columns()}, names
}

// followCost follows from v to a matrix with more entries.
func followCost(t *testing.T, o Options, v *version, names []uint32, to *Rows, taken []Change, part string, build float64) (*version, []uint32) {
	names = slices.Clone(names)
	ids := make([]uint32, to.NumItems) // plus 1
	for id, i := range names {
		ids[i] = uint32(id) + 1
	}
	var changes []RowChange
	for lo := 0; lo < len(taken); {
		u := int(taken[lo].User)
		for lo < len(taken) && int(taken[lo].User) == u {
			lo++
		}
		var c RowChange
		c.Old.Item, c.Old.Weight = v.rows.row(u)
		items, weights := to.row(u)
		order := make([]uint64, len(items))
		for k, i := range items {
			if ids[i] == 0 {
				names = append(names, i)
				ids[i] = uint32(len(names))
			}
			order[k] = uint64(ids[i]-1)<<32 | uint64(k)
		}
		slices.Sort(order)
		for _, x := range order {
			c.New.Item, c.New.Weight = append(c.New.Item, uint32(x>>32)), append(c.New.Weight, weights[uint32(x)])
		}
		changes = append(changes, c)
	}
	runtime.GC()
	begin := cpuSeconds()
	lap := func(what string) {
		t.Logf("%s: %s: %.4f of a build", part, what, (cpuSeconds()-begin)/build)
		runtime.GC()
		begin = cpuSeconds()
	}
	s, err := NewStep(o, v.users, v.squares, len(names)-len(v.users), func(i uint32) string { return fmt.Sprintf("%08d", names[i]) }, changes)
	if err != nil {
		t.Fatal(err)
	}
	lap("step")
	const nodes = 16
	var followers [nodes]*Follower
	var wanted []PairSums
	entries, lists, asked, told := 0, 0, 0, 0
	bounds := make([]float32, len(v.held))
	for i, h := range v.held {
		bounds[i] = h.Bound
	}
	if *updateBounds {
		if err := s.KnowBounds(bounds); err != nil {
			t.Fatal(err)
		}
	}
	for n := range followers {
		f := NewFollower(s, slices.DeleteFunc(slices.Clone(s.order), func(i uint32) bool { return i%nodes != uint32(n) }), func(i uint32) (h HeldList) {
			if int(i) < len(v.held) {
				h = v.held[i]
			}
			return h
		})
		if err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		told += len(f.told)
		for _, l := range f.lists {
			lists += one(l.changed)
		}
		asked += len(f.asks)
		wanted = append(wanted, f.Wanted()...)
		followers[n] = f
	}
	wanted, err = JoinWanted(wanted, s.Len())
	if err != nil {
		t.Fatal(err)
	}
	lap("look")
	next, sorted := &version{users: s.now.users, held: make([]HeldList, s.Len())}, make([]uint32, s.Len())
	for id, i := range s.order {
		sorted[id] = names[i]
	}
	x, _ := numbered(to, sorted)
	next.rows, next.users, next.squares = x.rows, make([]uint32, s.Len()), make([]float64, s.Len())
	for id := range s.Len() {
		_, next.users[id], next.squares[id] = s.Was(uint32(id))
	}
	pairs, whole, work := 0, 0, 0
	for _, w := range wanted {
		pairs += len(w.With)
		whole += one(w.All)
		for _, i := range w.With {
			work += int(next.users[i])
		}
	}
	t.Logf("%s: %d changes, %d sums, %d lists, asked %d times and %d for others, for %d pairs of %d users of the rarer item, %d whole", part, len(taken), s.pairs(), lists, asked, told, pairs, work, whole)
	lap("")
	want, err := s.Want(wanted)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := s.SumPairs(t.Context(), SumsOver{Parts: []*Rows{next.rows}, All: true, Pieces: 2, Side: sideBySide}, want)
	if err != nil {
		t.Fatal(err)
	}
	lap("sums")
	for _, f := range followers {
		if err := f.Give(sums); err != nil {
			t.Fatal(err)
		}
		for k, id := range f.IDs() {
			h := &next.held[id]
			h.List, h.Rest, h.Bound = f.AppendList(nil, nil, k)
			entries += len(h.List)
		}
	}
	lap("lists")
	return next, sorted
}

// pairs counts the sums that change, at most.
func (s *Step) pairs() (n int) {
	for _, e := range s.own {
		items, _ := s.all.row(e.row)
		n += len(items)
	}
	return n + len(s.beside)
}

// checkHeldLists compares lists with those of a build.
func checkHeldLists(t *testing.T, o Options, v *version) {
	t.Helper()
	want, err := Build(t.Context(), v.rows, o)
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	for i, h := range v.held {
		if !slices.Equal(h.List, want.List(uint32(i))) {
			bad++
		}
	}
	if bad > 0 {
		t.Fatalf("%d of %d lists differ", bad, len(v.held))
	}
}

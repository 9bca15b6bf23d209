//go:build unix

package similarity

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kith-io/kith/source/synthetic"
)

// TestFollowCost sets following beside a build of the same matrix, by the flags of TestUpdateCost.
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
	begin := cpuSeconds()
	if _, err := Build(t.Context(), r, o); err != nil {
		t.Fatal(err)
	}
	build := cpuSeconds() - begin
	t.Logf("build: %.2f processor s", build)
	rng := rand.New(rand.NewPCG(7, 8))
	for _, part := range strings.Split(*updateParts, ",") {
		p, err := strconv.ParseFloat(part, 64)
		if err != nil {
			t.Fatal(err)
		}
		base, taken := split(r, int(float64(len(r.Item))*p), *updateBursts, rng)
		v := &version{rows: base}
		begin := cpuSeconds()
		v.build(t, o)
		t.Logf("build with reserve: %.2f of a build", (cpuSeconds()-begin)/build)
		n := newNorms(r.NumItems)
		for k, i := range base.Item {
			n.add(i, base.weight(int64(k)))
		}
		var changes []RowChange
		for lo := 0; lo < len(taken); {
			u := taken[lo].User
			for lo < len(taken) && taken[lo].User == u {
				lo++
			}
			var c RowChange
			c.Old.Item, c.Old.Weight = base.row(int(u))
			c.New.Item, c.New.Weight = r.row(int(u))
			changes = append(changes, c)
		}
		runtime.GC()
		begin = cpuSeconds()
		lap := func(what string) {
			t.Logf("%s: %s: %.4f of a build", part, what, (cpuSeconds()-begin)/build)
		}
		s, err := NewStep(o, n.users, n.squares, 0, strconvKey, changes)
		if err != nil {
			t.Log(part, err)
			continue
		}
		lap("step")
		f := NewFollower(s, func(i uint32) (HeldList, bool) { return v.held[i], true })
		for i := range r.NumItems {
			if err := f.Look(uint32(i)); err != nil {
				t.Fatal(err)
			}
		}
		wanted := f.Wanted()
		pairs, whole := 0, 0
		for _, w := range wanted {
			pairs += len(w.With)
			if w.All {
				whole++
			}
		}
		lap("look")
		t.Logf("%s: %d changes, %d deltas, %d lists, %d items wanted, %d pairs, %d whole", part, len(taken), len(s.deltas), len(f.lists), len(wanted), pairs, whole)
		next := &Rows{NumItems: s.Len(), Start: r.Start, Item: slices.Clone(r.Item), Weight: slices.Clone(r.Weight)}
		for k, i := range r.Item {
			next.Item[k] = s.Next(i)
		}
		next = next.Columns().Columns()
		runtime.GC()
		last := cpuSeconds()
		sums, err := s.SumPairs(t.Context(), next, wanted)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: sums: %.4f of a build", part, (cpuSeconds()-last)/build)
		last = cpuSeconds()
		if err := f.Give(sums); err != nil {
			t.Fatal(err)
		}
		entries := 0
		var list []Neighbor
		for id := range s.Len() {
			list, _, _ = f.AppendList(list[:0], nil, uint32(id))
			entries += len(list)
		}
		t.Logf("%s: lists: %.4f of a build, %d entries", part, (cpuSeconds()-last)/build, entries)
	}
}

func strconvKey(i uint32) string { return strconv.Itoa(int(i)) }

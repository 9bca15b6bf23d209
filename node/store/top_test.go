package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/kith-io/kith/fusion"
)

// TestTopFalls lowers counts of items and compares what is kept with all counts in order, wherever keeps says that no item outside can come in.
func TestTopFalls(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, items := range []int{topSize / 2, topSize + 200} {
		counts := map[string]uint64{}
		fresh := func() *top {
			x := newTop(topSize)
			for i := range items {
				if key := fmt.Sprintf("i%04d", i); counts[key] > 0 {
					x.set(key, counts[key])
				}
			}
			return x
		}
		for i := range items {
			counts[fmt.Sprintf("i%04d", i)] = 1 + rng.Uint64N(500)
		}
		x, kept, anew := fresh(), 0, 0
		for range 300 {
			changed := map[string]uint64{}
			for range 1 + rng.IntN(3) {
				key := fmt.Sprintf("i%04d", rng.IntN(items))
				changed[key] = counts[key] - rng.Uint64N(min(3, counts[key]+1))
			}
			keeps := x.keeps(changed)
			for key, n := range changed {
				if counts[key] = n; keeps && n > 0 {
					x.set(key, n)
				} else if keeps {
					x.remove(key)
				}
			}
			want := fresh()
			if !keeps {
				x, anew = want, anew+1
				continue
			}
			kept++
			if !slices.Equal(want.first(), x.first()) {
				t.Fatalf("%d items, after %v: got %v, want %v", items, changed, x.first(), want.first())
			}
		}
		if kept == 0 || items > topSize && anew == 0 {
			t.Errorf("%d items: kept %d times, counted anew %d times", items, kept, anew)
		}
	}
}

// TestDeepTop asks for more items than are kept at first, while events come and users are erased: what is kept from then on is what all counts say, or is dropped where counts fall.
func TestDeepTop(t *testing.T) {
	s := openMem(t)
	rng := rand.New(rand.NewPCG(7, 8))
	counts := map[string]uint64{}
	of := map[string][]string{}        // items of users, in events
	index, id, gone := uint64(0), 0, 0 // users below gone are erased
	add := func(n int, draw func() string) {
		t.Helper()
		var events []fusion.Event
		for range n {
			e := event(fmt.Sprint("u", gone+rng.IntN(300)), fmt.Sprint(id), draw(), 0)
			events, id = append(events, e), id+1
			counts[e.Item]++
			of[e.User] = append(of[e.User], e.Item)
		}
		index++
		apply(t, s, index, events...)
	}
	check := func(when string) {
		t.Helper()
		var sorted []ItemCount
		for item, n := range counts {
			sorted = append(sorted, ItemCount{item, n})
		}
		slices.SortFunc(sorted, comparePopular)
		if len(sorted) <= deepSize {
			t.Fatalf("%s: only %d items", when, len(sorted))
		}
		for _, n := range []int{topSize + 1, deepSize, deepSize + 1, topSize} {
			got, err := s.Popular(n)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, sorted[:n]) {
				at := 0
				for got[at] == sorted[at] {
					at++
				}
				t.Fatalf("%s: %d items, at place %d: got %v, want %v", when, n, at, got[at], sorted[at])
			}
		}
	}
	next := 0
	each := func() string { next++; return fmt.Sprintf("i%05d", next) }
	for range 10 {
		add(deepSize/8, each)
	}
	some := func() string { return fmt.Sprintf("i%05d", 1+rng.IntN(next)) }
	add(2000, some)
	add(20, func() string { return "i00001" })
	check("at first")
	kept, dropped := 0, 0
	for round := range 8 {
		if s.cur.deep == nil {
			t.Fatal("what was asked for is not kept")
		}
		add(500, some) // many come in from behind
		add(20, each)
		check(fmt.Sprint("after more events, round ", round))
		user := fmt.Sprint("u", gone)
		if gone++; round%2 == 0 { // one who has a single event, of an item that others have many of
			user = fmt.Sprint("s", round)
			index++
			apply(t, s, index, event(user, "once", "i00001", 0))
			counts["i00001"]++
			of[user] = []string{"i00001"}
		}
		for _, item := range of[user] {
			if counts[item]--; counts[item] == 0 {
				delete(counts, item)
			}
		}
		delete(of, user)
		index++
		if _, err := s.Apply(index, EncodeErase(nil, Erase{User: user, Time: 5, Request: [16]byte{byte(index)}})); err != nil {
			t.Fatal(err)
		}
		if s.cur.deep != nil {
			kept++
			check(fmt.Sprint("after a small erasure, round ", round))
		} else {
			dropped++
		}
		// The first question, and the one of a moment, while events come.
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := s.Popular(deepSize); err != nil {
				t.Error(err)
			}
		})
		add(300, some)
		add(300, each)
		asking.Wait()
		check(fmt.Sprint("after an erasure, round ", round))
	}
	if kept == 0 || dropped == 0 {
		t.Errorf("what was before is kept after %d erasures, and dropped after %d", kept, dropped)
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/kith-io/kith/fusion"
)

// TestTopFalls changes counts of items and compares what is kept with all counts in order, wherever keeps says that enough stay.
func TestTopFalls(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const size = 64
	for _, items := range []int{size / 2, size + size/8, 2 * size} {
		counts := map[string]uint64{}
		key := func(i int) string { return fmt.Sprintf("i%04d", i) }
		fresh := func() *top {
			x := newTop(size)
			for _, i := range rng.Perm(items) {
				x.set(key(i), counts[key(i)])
			}
			return x
		}
		for i := range items {
			counts[key(i)] = 1 + rng.Uint64N(50)
		}
		x, kept, anew := fresh(), 0, 0
		for range 5000 {
			changed := map[string]uint64{}
			some, most := 1+rng.IntN(9), uint64(4)
			if rng.IntN(50) == 0 {
				some, most = items, 30
			}
			for range some {
				i := rng.IntN(items)
				changed[key(i)] = max(counts[key(i)]+rng.Uint64N(most), most/2) - most/2 // also what goes, and comes again
			}
			for item, n := range changed {
				counts[item] = n
			}
			if x.keeps(changed) {
				x.update(changed, true)
				kept++
			} else {
				x = fresh()
				anew++
			}
			var want []ItemCount
			for item, n := range counts {
				if n > 0 {
					want = append(want, ItemCount{item, n})
				}
			}
			slices.SortFunc(want, comparePopular)
			got := x.first()
			if len(got) < min(size, len(want)) || len(got) > size+size/8 || !x.bounded && len(got) < len(want) || !slices.Equal(got, want[:len(got)]) {
				t.Fatalf("%d items, after %v: got %v, want %v", items, changed, got, want)
			}
		}
		if kept == 0 || items <= size && anew > 0 || items > size+size/8 && (anew == 0 || anew > kept/20) {
			t.Errorf("%d items: kept %d times, counted anew %d times", items, kept, anew)
		}
	}
}

// TestTopFallsAndRises: what has fallen makes room for what has risen, and not the other way round.
func TestTopFallsAndRises(t *testing.T) {
	const size, room, outside = 64, 64 + 64/8, 40
	x, changed := newTop(size), map[string]uint64{}
	for i := range room + outside {
		item, n := fmt.Sprintf("i%03d", i), uint64(100+i)
		if i >= room {
			n = 1
		}
		x.set(item, n)
		if i >= room+outside/2 {
			changed[item] = 200
		} else if i >= room-outside/2 && i < room {
			changed[item] = 2
		}
	}
	if !x.keeps(changed) {
		t.Fatal("nothing that is inside has fallen below what is outside, and not enough stays")
	}
	if x.update(changed, true); len(x.entries) != room {
		t.Errorf("%d items are held, want %d", len(x.entries), room)
	}
}

// TestDeepTop asks for more items than are kept at first, while events come and users are erased: what is kept from then on is what all counts say, and it is dropped only after many erasures.
func TestDeepTop(t *testing.T) {
	if testing.Short() {
		t.Skip("is one goroutine, of which the race detector has nothing to tell")
	}
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
			got, err := s.Popular(t.Context(), n)
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
	erase := func(user string) {
		t.Helper()
		for _, item := range of[user] {
			if counts[item]--; counts[item] == 0 {
				delete(counts, item)
			}
		}
		delete(of, user)
		index++
		if _, err := s.Apply(index, EncodeErase(nil, Erase{User: user, Time: 5, Request: [16]byte{byte(index), byte(index >> 8)}})); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 4 {
		deep := s.cur.deep
		for range 10 {
			add(50, some) // many come in from behind
			add(2, each)
			erase(fmt.Sprint("u", gone))
			gone++
			if s.cur.deep != deep || deep == nil {
				t.Fatalf("round %d: what was asked for is not kept after the erasure of user %d", round, gone-1)
			}
		}
		check(fmt.Sprint("after some erasures, round ", round))
		for s.cur.deep != nil {
			erase(fmt.Sprint("u", gone))
			if gone++; gone == 290 {
				t.Fatalf("round %d: what was asked for is kept, whoever is erased", round)
			}
			add(50, each)
		}
		// The first question, while events come and go.
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := s.Popular(t.Context(), deepSize); err != nil {
				t.Error(err)
			}
		})
		add(300, some)
		erase(fmt.Sprint("u", gone))
		gone++
		add(300, each)
		asking.Wait()
		check(fmt.Sprint("after many erasures, round ", round))
	}
}

// TestPopularEnds: who waits for the one who counts waits no longer than the context, and no pass goes on without it.
func TestPopularEnds(t *testing.T) {
	s := openMem(t)
	var events []fusion.Event
	for i := range deepSize + 10 {
		events = append(events, event("u", fmt.Sprint(i), fmt.Sprintf("i%05d", i), 1))
	}
	apply(t, s, 1, events...)
	ctx, cancel := context.WithCancel(t.Context())
	s.cur.deepening <- struct{}{} // somebody counts
	done := make(chan error)
	go func() {
		_, err := s.Popular(ctx, deepSize)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: error %v, want that of the context", err)
	}
	if _, err := s.Popular(ctx, topSize); err != nil {
		t.Errorf("what is at hand: error %v", err)
	}
	<-s.cur.deepening
	if got, err := s.Popular(t.Context(), deepSize); err != nil || len(got) != deepSize {
		t.Errorf("%d items, error %v, want %d", len(got), err, deepSize)
	}
	if _, err := s.Popular(ctx, deepSize+1); !errors.Is(err, context.Canceled) {
		t.Errorf("a pass: error %v, want that of the context", err)
	}
}

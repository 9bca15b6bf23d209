package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// TestBasketsWithoutRoom: while there is no room on the disk for the baskets, a question takes a pass, and after that none.
func TestBasketsWithoutRoom(t *testing.T) {
	full := errors.New("full")
	var room error
	s, err := Open(Options{Dir: t.TempDir(), purchases: 16, Room: func() error { return room }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const users = 50
	buy := func(index uint64, user string) {
		t.Helper()
		var batch []fusion.Event
		for i := range 3 {
			batch = append(batch, fusion.Event{User: user, Item: fmt.Sprint("i", i), Behavior: fusion.Purchase, Value: 1, Time: 1, ID: fmt.Sprint(i)})
		}
		apply(t, s, index, batch...)
	}
	for i := range uint64(users) {
		buy(i+1, fmt.Sprint("u", i))
	}
	check := func(when string, want uint64) {
		t.Helper()
		others, n, err := s.BoughtTogether(t.Context(), "i1")
		if err != nil || n != want || len(others) != 2 || others["i0"] != want || others["i2"] != want {
			t.Errorf("%s: %d baskets with %v, %v, want %d", when, n, others, err, want)
		}
	}
	room = full
	check("without room", users)
	made := s.cur.baskets.made
	buy(users+1, "another")
	check("without room", users+1)
	if s.cur.baskets.made != made {
		t.Error("without room they are made anew")
	}
	room = nil
	check("with room", users+1)
	defer holdPasses()()
	check("with room", users+1)
	buy(users+2, "the last")
	check("with room", users+2)
}

// TestSeek compares the places that are guessed with those that are counted, also where the hashes are no hashes.
func TestSeek(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Custom(func(t *rapid.T) basketID {
			return basketID{rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 5), rapid.Uint64Range(math.MaxUint64-5, math.MaxUint64)).Draw(t, "high"), rapid.Uint64Range(0, 2).Draw(t, "low")}
		})
		var notes []inBasket
		for _, basket := range rapid.SliceOfN(id, 0, 100).Draw(t, "baskets") {
			notes = append(notes, inBasket{bought{basket: basket}})
		}
		notes = inOrder(notes)
		basket, want := id.Draw(t, "basket"), 0
		for want < len(notes) && notes[want].basket.compare(basket) < 0 {
			want++
		}
		if got := seek(notes, basket); got != want {
			t.Fatalf("place %d, want %d", got, want)
		}
	})
}

// TestBasketsWhileEventsCome asks while orders are applied and keys joined, and while what was made is dropped: each command counts as a whole.
func TestBasketsWhileEventsCome(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), purchases: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const n, each = 300, 20
	// Orders of users and as many of a cookie.
	events := func(index uint64, cookie string) (batch []fusion.Event) {
		for i := range each {
			for _, user := range []string{fmt.Sprint("u", i), cookie} {
				for _, item := range []string{"a", "b"} {
					batch = append(batch, fusion.Event{
						User: user, Item: item, Behavior: fusion.Purchase, Value: 1, Time: 1, ID: fmt.Sprint(index, item, i), Context: map[string]string{fusion.ContextOrder: fmt.Sprint(index, "-", i)},
					})
				}
			}
		}
		return batch
	}
	whileCommandsCome(t, s, n, events, func() { s.cur.baskets.tell(happened{many: true}) }, func() {
		before := s.Applied()
		others, got, err := s.BoughtTogether(t.Context(), "a")
		if after := s.Applied(); err != nil || got%each != 0 || others["b"] != got || len(others) != 1 || got < before/3*each || got > after/3*each+each {
			t.Errorf("%d baskets with %v at commands %d to %d, error %v", got, others, before, after, err)
		}
	})
	if _, got, err := s.BoughtTogether(t.Context(), "a"); err != nil || got != (n/3-1)*each {
		t.Errorf("%d baskets, error %v, want %d", got, err, (n/3-1)*each)
	}
}

// BenchmarkTogether notes half a million baskets of four of 100,000 items, and asks for what was bought with one of them.
func BenchmarkTogether(b *testing.B) {
	const n, size, items = 500_000, 4, 100_000
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, _, err := s.BoughtTogether(b.Context(), "i"); err != nil { // of no events
		b.Fatal(err)
	}
	rng, names := rand.New(rand.NewPCG(1, 2)), make([]string, items)
	for i := range names {
		names[i] = fmt.Sprintf("product-%06d", i)
	}
	popular := rand.NewZipf(rng, 1.1, 100, items-1)
	var x *baskets
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			if x != nil {
				x.drop()
			}
			x = s.newBaskets()
			for i := range n {
				e := fusion.Event{User: fmt.Sprint("u", i/10), Behavior: fusion.Purchase, Context: map[string]string{fusion.ContextOrder: fmt.Sprint(i)}}
				for range size {
					e.Item = names[popular.Uint64()]
					x.add(&e)
				}
				if x.claim() {
					x.tidy(b.Context())
				}
			}
			x.settle(b.Context())
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*size), "ns/item")
		b.ReportMetric(float64(x.scratchBytes())/(n*size), "file-B/item")
	})
	s.cur.baskets.made.drop()
	s.cur.baskets.made = x
	for _, item := range []int{0, 100, 10_000} {
		_, n, err := s.BoughtTogether(b.Context(), names[item])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint("baskets=", n), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := s.BoughtTogether(b.Context(), names[item]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/basket")
		})
	}
}

package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// TestRecentEqualsAllEvents compares what a store that keeps few events at hand says of windows, last events and baskets with what all its events say,
// while events come in any order and users are erased.
func TestRecentEqualsAllEvents(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		s, err := Open(Options{Dir: fmt.Sprintf("%s/%d", dir, runs), recent: 8, purchases: rapid.SampledFrom([]int{5, 1000}).Draw(t, "purchases")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		var all []fusion.Event
		behaviors := []fusion.Behavior{fusion.View, fusion.Purchase, fusion.Click}
		for index := uint64(1); index < 30; index++ {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				w := Window{int64(rapid.IntRange(-5, 40).Draw(t, "from")), int64(rapid.IntRange(0, 50).Draw(t, "to"))}
				counts := map[string][]uint64{}
				for _, e := range all {
					if at := slices.Index(behaviors, e.Behavior); at >= 0 && e.Time > 0 && e.Time > w.From && e.Time <= w.To {
						if counts[e.Item] == nil {
							counts[e.Item] = make([]uint64, len(behaviors))
						}
						counts[e.Item][at]++
					}
				}
				var want []Activity
				for item, c := range counts {
					want = append(want, Activity{item, c})
				}
				slices.SortFunc(want, func(a, b Activity) int { return strings.Compare(a.Item, b.Item) })
				got, err := s.Active(t.Context(), w, behaviors)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(append([]Activity{}, want...), append([]Activity{}, got...)); diff != "" {
					t.Fatalf("window %v, -want +got:\n%s", w, diff)
				}
			case 1:
				n, upTo := rapid.IntRange(1, 6).Draw(t, "n"), int64(rapid.IntRange(0, 50).Draw(t, "to"))
				last := map[string]int64{}
				for _, e := range all {
					if e.Time > 0 && e.Time <= upTo {
						last[e.Item] = max(last[e.Item], e.Time)
					}
				}
				want := []LastEvent{}
				for item, at := range last {
					want = append(want, LastEvent{item, at})
				}
				slices.SortFunc(want, CompareLast)
				got, err := s.Last(t.Context(), n, upTo)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(want[:min(n, len(want))], append([]LastEvent{}, got...)); diff != "" {
					t.Fatalf("last %d up to %d, -want +got:\n%s", n, upTo, diff)
				}
			case 3:
				item := fmt.Sprint("i", rapid.IntRange(0, 6).Draw(t, "item"))
				in := map[string]map[string]bool{}
				for _, e := range all {
					key := e.User + " order " + e.Context["order"]
					if e.Context["order"] == "" {
						key = e.User + " day " + fmt.Sprint(e.Time/(24*60*60*1000))
					}
					if e.Behavior != fusion.Purchase || e.Context["order"] == "" && e.Time == 0 {
						continue
					}
					if in[key] == nil {
						in[key] = map[string]bool{}
					}
					in[key][e.Item] = true
				}
				want, wantN := map[string]uint64{}, uint64(0)
				for _, basket := range in {
					if !basket[item] {
						continue
					}
					wantN++
					for other := range basket {
						if other != item {
							want[other]++
						}
					}
				}
				got, n, err := s.BoughtTogether(t.Context(), item)
				if err != nil || n != wantN {
					t.Fatalf("%d baskets with %s, error %v, want %d", n, item, err, wantN)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("bought with %s, -want +got:\n%s", item, diff)
				}
			case 2:
				user := fmt.Sprint("u", rapid.IntRange(0, 3).Draw(t, "user"))
				if _, err := s.Apply(index, EncodeErase(nil, Erase{User: user, Request: [16]byte{byte(index)}, Again: true})); err != nil {
					t.Fatal(err)
				}
				all = slices.DeleteFunc(all, func(e fusion.Event) bool { return e.User == user })
			default:
				var batch []fusion.Event
				for range rapid.IntRange(1, 6).Draw(t, "events") {
					batch = append(batch, fusion.Event{
						User: fmt.Sprint("u", rapid.IntRange(0, 3).Draw(t, "user")), Item: fmt.Sprint("i", rapid.IntRange(0, 5).Draw(t, "item")),
						Behavior: rapid.SampledFrom([]fusion.Behavior{fusion.View, fusion.Cart, fusion.Purchase}).Draw(t, "behavior"), Value: 1,
						Time: int64(rapid.IntRange(0, 40).Draw(t, "time")), ID: fmt.Sprint(len(all) + len(batch)),
					})
				}
				for i := range batch {
					batch[i].ID = fmt.Sprint(index, "-", i)
					if rapid.Bool().Draw(t, "in an order") {
						batch[i].Context = map[string]string{"order": fmt.Sprint("o", rapid.IntRange(0, 3).Draw(t, "order"))}
					} else if batch[i].Time > 0 && rapid.Bool().Draw(t, "another day") {
						batch[i].Time += 24 * 60 * 60 * 1000
					}
					if rapid.IntRange(0, 4).Draw(t, "feedback") == 0 {
						batch[i].Behavior, batch[i].Context = fusion.Click, map[string]string{fusion.ContextAnswer: "x"}
					}
				}
				if _, err := s.Apply(index, EncodeBatch(nil, batch)); err != nil {
					t.Fatal(err)
				}
				for _, e := range batch {
					if !e.Feedback() {
						all = append(all, e)
					}
				}
			}
		}
	})
}

// TestRecentWhileEventsCome asks for the first time while events are applied: none is missed, and none counts twice.
func TestRecentWhileEventsCome(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const n = 300
	apply := func(from, to uint64) {
		for index := from; index < to; index++ {
			var batch []fusion.Event
			for i := range 50 {
				batch = append(batch, fusion.Event{User: fmt.Sprint("u", i), Item: "i", Behavior: fusion.View, Value: 1, Time: int64(index), ID: fmt.Sprint(index)})
			}
			if _, err := s.Apply(index, EncodeBatch(nil, batch)); err != nil {
				t.Error(err)
				return
			}
		}
	}
	apply(1, n/2)
	var applying sync.WaitGroup
	applying.Go(func() { apply(n/2, n) })
	last := uint64(0)
	for range 20 {
		got, err := s.Active(t.Context(), Window{0, n}, []fusion.Behavior{fusion.View})
		if err != nil || len(got) != 1 || got[0].Counts[0]%50 != 0 || got[0].Counts[0] < last {
			t.Fatalf("got %v after %d, error %v", got, last, err)
		}
		last = got[0].Counts[0]
	}
	applying.Wait()
	got, err := s.Active(t.Context(), Window{0, n}, []fusion.Behavior{fusion.View})
	if err != nil || len(got) != 1 || got[0].Counts[0] != (n-1)*50 {
		t.Fatalf("got %v, error %v, want %d views", got, err, (n-1)*50)
	}
}

// BenchmarkActive counts half of the events at hand, and, as without any at hand, those of a pass over all.
func BenchmarkActive(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	index := uint64(0)
	for from := 0; from < keptRecent; from += 8192 {
		var batch []fusion.Event
		for i := from; i < from+8192; i++ {
			batch = append(batch, fusion.Event{User: fmt.Sprint("u", i%5000), Item: fmt.Sprint("i", i*7919%20000), Behavior: fusion.View, Value: 1, Time: int64(i + 1), ID: fmt.Sprint(i)})
		}
		index++
		if _, err := s.Apply(index, EncodeBatch(nil, batch)); err != nil {
			b.Fatal(err)
		}
	}
	for _, first := range []bool{true, false} {
		b.Run(fmt.Sprint("first=", first), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if first {
					s.cur.recent.tell(nil, true)
				}
				if _, err := s.Active(b.Context(), Window{keptRecent / 2, keptRecent}, []fusion.Behavior{fusion.View}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

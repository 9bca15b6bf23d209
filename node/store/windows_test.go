package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// TestWindowsEqualAllEvents compares what a store that keeps few notes in memory, and others in files or, without room for any, nowhere, says of windows, last events and baskets with
// what all its events say, while events come in any order, users are erased, and others are joined to keys elsewhere.
func TestWindowsEqualAllEvents(t *testing.T) {
	scratch := t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("files %v are left, %v", left, err)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open(Options{
			Dir: "store", fs: vfs.NewMem(),
			recent:    rapid.SampledFrom([]int{1, 8, 64}).Draw(t, "recent"),
			purchases: rapid.SampledFrom([]int{1, 5, 64}).Draw(t, "purchases"),
			scratch:   rapid.SampledFrom([]string{scratch, filepath.Join(scratch, "missing")}).Draw(t, "scratch"),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		var all []fusion.Event
		joined := map[string]bool{}
		behaviors := []fusion.Behavior{fusion.View, fusion.Purchase, fusion.Click}
		for index := uint64(1); index < 30; index++ {
			switch rapid.IntRange(0, 8).Draw(t, "step") {
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
				slices.SortFunc(got, func(a, b Activity) int { return strings.Compare(a.Item, b.Item) })
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
				erase := Erase{User: user, Request: [16]byte{byte(index)}, Again: true}
				if joined[user] {
					erase.Account = "elsewhere"
				}
				if r, err := s.Apply(index, EncodeErase(nil, erase)); err != nil || len(r.Moved) > 0 {
					t.Fatal(r, err)
				}
				joined[user] = false
				all = slices.DeleteFunc(all, func(e fusion.Event) bool { return e.User == user })
			case 4:
				j := Join{Step: JoinBegin, From: fmt.Sprint("u", rapid.IntRange(0, 3).Draw(t, "user")), To: "elsewhere"}
				r, err := s.Apply(index, EncodeJoin(nil, j))
				if err != nil || r.Join.State == JoinSettled != joined[j.From] {
					t.Fatal(r, err)
				}
				index++
				windows, baskets := s.cur.windows.made, s.cur.baskets.made
				j.Step, j.ID = JoinSettle, r.Join.ID
				if r, err := s.Apply(index, EncodeJoin(nil, j)); err != nil || r.Join.State != JoinSettled {
					t.Fatal(r, err)
				}
				if s.cur.windows.made != windows || s.cur.baskets.made != baskets {
					t.Fatal("a join lets all events be counted anew")
				}
				joined[j.From] = true
				all = slices.DeleteFunc(all, func(e fusion.Event) bool { return e.User == j.From })
			case 5:
				if _, err := s.Apply(index, EncodeJoin(nil, Join{Step: JoinSweep, ID: index})); err != nil {
					t.Fatal(err)
				}
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
					if !e.Feedback() && !joined[e.User] {
						all = append(all, e)
					}
				}
			}
		}
	})
}

// whileCommandsCome asks all the time, three at once, while n commands are applied, and while what was made for the answers is dropped. Of three commands the first has the events that are given for its index and
// a cookie, and the others join the cookie to what is elsewhere.
func whileCommandsCome(t *testing.T, s *Store, n uint64, events func(index uint64, cookie string) []fusion.Event, drop, ask func()) {
	t.Helper()
	command := func(index uint64) []byte {
		j := Join{From: fmt.Sprint("cookie", index/3), To: "elsewhere"}
		switch index % 3 {
		case 1:
			j.Step = JoinBegin
			return EncodeJoin(nil, j)
		case 2:
			j.Step, j.ID = JoinSettle, index-1
			return EncodeJoin(nil, j)
		}
		return EncodeBatch(nil, events(index, j.From))
	}
	apply := func(from, to uint64) {
		for index := from; index < to; index++ {
			if _, err := s.Apply(index, command(index)); err != nil {
				t.Error(err)
				return
			}
		}
	}
	apply(1, n/2)
	var applying, asking sync.WaitGroup
	applying.Go(func() { apply(n/2, n) })
	for asker := range 3 {
		asking.Go(func() {
			for range 20 {
				if asker == 0 { // others may be reading it
					s.cur.mu.Lock()
					drop()
					s.cur.mu.Unlock()
				}
				ask()
			}
		})
	}
	asking.Wait()
	applying.Wait()
}

// TestWindowsWhileEventsCome asks for the first time, again and again, while events are applied and keys joined: none is missed, and none counts twice.
func TestWindowsWhileEventsCome(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), recent: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const n = 300
	// 50 events of users and as many of a cookie.
	events := func(index uint64, cookie string) (batch []fusion.Event) {
		for i := range 100 {
			e := fusion.Event{User: cookie, Item: "i", Behavior: fusion.View, Value: 1, Time: int64(index), ID: fmt.Sprint(index, "-", i)}
			if i%2 == 0 {
				e.User = fmt.Sprint("u", i)
			}
			batch = append(batch, e)
		}
		return batch
	}
	whileCommandsCome(t, s, n, events, func() { s.cur.windows.tell(happened{many: true}) }, func() {
		before := s.Applied()
		got, err := s.Active(t.Context(), Window{0, n}, []fusion.Behavior{fusion.View})
		if err != nil || len(got) != 1 || got[0].Counts[0]%50 != 0 || got[0].Counts[0] < before/3*50 || got[0].Counts[0] > s.Applied()/3*50+50 {
			t.Errorf("got %v at commands %d to %d, error %v", got, before, s.Applied(), err)
		}
	})
	got, err := s.Active(t.Context(), Window{0, n}, []fusion.Behavior{fusion.View})
	if err != nil || len(got) != 1 || got[0].Counts[0] != (n/3-1)*50 {
		t.Fatalf("got %v, error %v, want %d views", got, err, (n/3-1)*50)
	}
}

// BenchmarkWindows notes two million events of half a million items, in an order of users and not of times, as a pass does, and asks about windows of them.
func BenchmarkWindows(b *testing.B) {
	const n, items = 2 << 20, 500_000
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := s.Last(b.Context(), 1, n); err != nil { // of no events
		b.Fatal(err)
	}
	rng, names := rand.New(rand.NewPCG(1, 2)), make([]string, items)
	popular := rand.NewZipf(rng, 1.1, 100, items-1)
	for i := range names {
		names[i] = fmt.Sprintf("product-%06d", i)
	}
	times := rng.Perm(n)
	memory := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	report := func(b *testing.B, n int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
	}
	var w *windows
	b.Run("make", func(b *testing.B) {
		before := memory()
		for b.Loop() {
			if w != nil {
				w.drop()
			}
			w = s.newWindows()
			for i := range n {
				w.add(&fusion.Event{Item: names[popular.Uint64()], Behavior: fusion.View, Time: int64(times[i] + 1)})
				if w.claim() {
					w.tidy(b.Context())
				}
			}
			w.settle(b.Context())
		}
		report(b, n)
		inFiles := 0
		for _, r := range w.sorted {
			inFiles += len(r.data)
		}
		b.ReportMetric(max(0, memory()-before)/n, "heap-B/event")
		b.ReportMetric(float64(inFiles)/n, "file-B/event")
	})
	s.cur.windows.made.drop()
	s.cur.windows.made = w
	for _, part := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("window=1/", part), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Active(b.Context(), Window{int64(n - n/part), n}, []fusion.Behavior{fusion.View, fusion.Purchase}); err != nil {
					b.Fatal(err)
				}
			}
			report(b, n/part)
		})
	}
	for _, to := range []int64{n, n / 2} {
		b.Run(fmt.Sprint("last=100/to=", to), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Last(b.Context(), 100, to); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("last=all", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Last(b.Context(), items+1, n); err != nil {
				b.Fatal(err)
			}
		}
		report(b, n)
	})
	b.Run("tell", func(b *testing.B) {
		now, some := int64(n), make([]fusion.Event, 100)
		for b.Loop() {
			for i := range some {
				now++
				some[i] = fusion.Event{Item: names[popular.Uint64()], Behavior: fusion.View, Time: now}
			}
			s.cur.mu.Lock()
			s.cur.windows.tell(happened{added: some})
			s.cur.mu.Unlock()
		}
		report(b, len(some))
	})
}

package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion"
)

// TestRecentEqualsAllEvents compares what a store that keeps few events at hand says of windows, last events and baskets with what all its events say,
// while events come in any order, users are erased, and others are joined to keys elsewhere.
func TestRecentEqualsAllEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open(Options{Dir: "store", fs: vfs.NewMem(), recent: 8, purchases: rapid.SampledFrom([]int{5, 1000}).Draw(t, "purchases")})
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
				recent, baskets := s.cur.recent.made, s.cur.baskets.made
				j.Step, j.ID = JoinSettle, r.Join.ID
				if r, err := s.Apply(index, EncodeJoin(nil, j)); err != nil || r.Join.State != JoinSettled {
					t.Fatal(r, err)
				}
				if s.cur.recent.made != recent || s.cur.baskets.made != baskets {
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

// TestRecentWhileEventsCome asks for the first time, again and again, while events are applied and keys joined: none is missed, and none counts twice.
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
	// Of three commands the first has 50 events of users and as many of a cookie, and the others join this.
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
		var batch []fusion.Event
		for i := range 100 {
			e := fusion.Event{User: j.From, Item: "i", Behavior: fusion.View, Value: 1, Time: int64(index), ID: fmt.Sprint(index, "-", i)}
			if i%2 == 0 {
				e.User = fmt.Sprint("u", i)
			}
			batch = append(batch, e)
		}
		return EncodeBatch(nil, batch)
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
	var applying sync.WaitGroup
	applying.Go(func() { apply(n/2, n) })
	for range 20 {
		s.cur.mu.Lock()
		s.cur.recent.tell(happened{many: true})
		s.cur.mu.Unlock()
		before := s.Applied()
		got, err := s.Active(t.Context(), Window{0, n}, []fusion.Behavior{fusion.View})
		if err != nil || len(got) != 1 || got[0].Counts[0]%50 != 0 || got[0].Counts[0] < before/3*50 || got[0].Counts[0] > s.Applied()/3*50+50 {
			t.Fatalf("got %v at commands %d to %d, error %v", got, before, s.Applied(), err)
		}
	}
	applying.Wait()
	got, err := s.Active(t.Context(), Window{0, n}, []fusion.Behavior{fusion.View})
	if err != nil || len(got) != 1 || got[0].Counts[0] != (n/3-1)*50 {
		t.Fatalf("got %v, error %v, want %d views", got, err, (n/3-1)*50)
	}
}

// BenchmarkActive counts half of the events at hand, the same after some were removed, and, as without any at hand, those of a pass over all.
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
	some := []fusion.Event{{User: "u", Item: "i", Behavior: fusion.View, Value: 1, Time: keptRecent}}
	for _, c := range []struct {
		name string
		did  []happened
	}{{"none", nil}, {"removed", []happened{{added: some}, {removed: some}}}, {"first", []happened{{many: true}}}} {
		b.Run("after="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, h := range c.did {
					s.cur.recent.tell(h)
				}
				if _, err := s.Active(b.Context(), Window{keptRecent / 2, keptRecent}, []fusion.Behavior{fusion.View}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

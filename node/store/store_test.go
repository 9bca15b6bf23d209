package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
)

func event(user, id, item string, time int64) fusion.Event {
	return fusion.Event{User: user, ID: id, Item: item, Behavior: fusion.View, Value: 1, Time: time}
}

func open(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(Options{Dir: "store", fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openMem(t testing.TB) *Store {
	t.Helper()
	s := open(t, vfs.NewMem())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func apply(t testing.TB, s *Store, index uint64, events ...fusion.Event) Result {
	t.Helper()
	r, err := s.Apply(index, EncodeBatch(nil, events))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func snapshot(t testing.TB, s *Store) []byte {
	t.Helper()
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	var b bytes.Buffer
	if err := p.WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tarTail is how many of the last bytes of a tar may all be padding: of the last file, and
// two blocks of zeros.
const tarTail = 511 + 1024

// dump is all that a store shows.
type dump struct {
	Applied uint64
	Counts  Counts
	History map[string][]fusion.Event
	Popular []ItemCount
	Records map[catalog.Kind][]catalog.Record
	Erased  map[string]bool
}

func dumpStore(t testing.TB, s *Store) dump {
	t.Helper()
	d := dump{Applied: s.Applied(), History: make(map[string][]fusion.Event)}
	d.Counts = s.Counts()
	last := ""
	err := s.Scan(t.Context(), d.Applied, "", func(user string, events []fusion.Event) error {
		if user <= last {
			return fmt.Errorf("user %q after %q", user, last)
		}
		last = user
		d.History[user] = slices.Clone(events)
		h, err := s.History(t.Context(), user)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(h, events); diff != "" {
			return fmt.Errorf("History(%q) and Scan differ: %s", user, diff)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.Popular, err = s.Popular(t.Context(), 1<<20); err != nil {
		t.Fatal(err)
	}
	if len(d.Popular) == 0 {
		d.Popular = nil
	}
	d.Records, d.Erased = recordsOf(t, s), erasedOf(t, s)
	return d
}

// model is the obvious twin of a Store.
type model struct {
	applied uint64
	events  map[[2]string]fusion.Event
	index   map[[2]string]uint64
	records map[catalog.Kind]map[string]catalog.Record
	buried  map[string]buried
	// erasedAt is the index of the last erasure of events.
	erasedAt uint64
	joins
}

func newModel() *model {
	return &model{
		events: make(map[[2]string]fusion.Event), index: make(map[[2]string]uint64), buried: make(map[string]buried),
		records: map[catalog.Kind]map[string]catalog.Record{catalog.Product: {}, catalog.Profile: {}},
		joins:   joins{alias: make(map[string]alias), child: make(map[[2]string]child), erased: make(map[string][]ErasedKey)},
	}
}

func (m *model) add(index uint64, events []fusion.Event) (r Result) {
	if index <= m.applied {
		return r
	}
	m.applied = index
	for _, e := range events {
		k := [2]string{e.User, e.ID}
		if a, joined := m.alias[e.User]; joined {
			if to := (Moved{e.User, a.to}); !slices.Contains(r.Moved, to) {
				r.Moved = append(r.Moved, to)
			}
			continue
		}
		if b, erased := m.buried[e.User]; erased && !b.again && (e.Time == 0 || e.Time <= b.until) {
			r.Erased++
			continue
		}
		if _, ok := m.events[k]; ok {
			r.Duplicates++
			continue
		}
		m.events[k], m.index[k] = e, index
		r.Appended++
	}
	return r
}

// at returns what a store at the same point shows, of events up to cut.
func (m *model) at(cut uint64) dump {
	d := dump{Applied: m.applied, History: make(map[string][]fusion.Event)}
	counts := make(map[string]uint64)
	for k, e := range m.events {
		if m.index[k] > cut || m.hides(e.User, cut) {
			continue
		}
		d.Counts.Events++
		d.History[e.User] = append(d.History[e.User], e)
		if !e.Feedback() {
			counts[e.Item]++
		}
	}
	d.Counts.Users = uint64(len(d.History))
	m.showRecords(&d)
	for _, h := range d.History {
		slices.SortFunc(h, compareEvents)
	}
	for item, n := range counts {
		d.Popular = append(d.Popular, ItemCount{item, n})
	}
	slices.SortFunc(d.Popular, comparePopular)
	return d
}

func (m *model) clone() *model {
	c := newModel()
	c.applied = m.applied
	for k, e := range m.events {
		c.events[k], c.index[k] = e, m.index[k]
	}
	for kind, records := range m.records {
		c.records[kind] = maps.Clone(records)
	}
	c.buried, c.erasedAt, c.joins = maps.Clone(m.buried), m.erasedAt, m.joins.clone()
	return c
}

// genValue has whole numbers for the most part.
var genValue = rapid.Custom(func(t *rapid.T) float64 {
	switch rapid.IntRange(0, 15).Draw(t, "kind of value") {
	case 0:
		return rapid.Float64Range(-1e9, 1e9).Draw(t, "any value")
	case 1:
		return rapid.SampledFrom([]float64{1 << 20, 1<<20 + 1, 1 << 30, 0.5, 1 + 1.0/(1<<24), 1e-300, -1}).Draw(t, "special value")
	}
	return float64(rapid.IntRange(0, 3).Draw(t, "whole value"))
})

var genEvent = rapid.Custom(func(t *rapid.T) fusion.Event {
	e := fusion.Event{
		User:     rapid.SampledFrom([]string{"a", "ab", "b", "ü", "z\x01", "\x7f"}).Draw(t, "user"),
		ID:       rapid.SampledFrom([]string{"1", "2", "3", "10", "x"}).Draw(t, "id"),
		Item:     rapid.SampledFrom([]string{"i", "j", "k", "il"}).Draw(t, "item"),
		Behavior: rapid.SampledFrom([]fusion.Behavior{fusion.View, fusion.View, fusion.Purchase, fusion.Rating, fusion.Cancel, "wish"}).Draw(t, "behavior"),
		Value:    genValue.Draw(t, "value"),
		Time:     rapid.Int64Range(0, 3).Draw(t, "time"),
	}
	if rapid.Bool().Draw(t, "with context") {
		e.Context = map[string]string{"device": rapid.StringN(0, 5, 20).Draw(t, "device"), "q": ""}
	}
	if rapid.IntRange(0, 4).Draw(t, "answer") == 0 { // feedback, but for views
		e.Behavior = rapid.SampledFrom([]fusion.Behavior{fusion.View, fusion.Impression, fusion.Click}).Draw(t, "feedback")
		e.Context = map[string]string{fusion.ContextAnswer: "x"}
	}
	return e
})

// TestModel runs random commands, replays, snapshots, restores, reopenings and crashes on a store and on
// its twin, on a file system that forgets what was not synced.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewCrashableMem()
		f := follower{was: make(map[uint64]map[string][]fusion.Event), few: rapid.IntRange(0, 3).Draw(rt, "few") == 0}
		open := func(t testing.TB, fs vfs.FS) *Store {
			t.Helper()
			o := Options{Dir: "store", fs: fs}
			if f.few {
				o.touched, o.added = 3, 4
			}
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			f.opened(s.Applied())
			return s
		}
		s := open(t, fs)
		defer func() {
			if err := s.Close(); err != nil {
				rt.Error(err)
			}
		}()
		var log []any // log[i] is the command at index i+1, nil where raft has its own
		m := newModel()
		type saved struct {
			stream []byte
			m      *model
		}
		var snaps []saved
		durable := uint64(0) // what a crash must not lose
		replay := func() {
			if got := s.Applied(); got < durable || got > m.applied {
				rt.Fatalf("applied %d after reopening, durable was %d, applied %d", got, durable, m.applied)
			}
			for i := durable; i < m.applied; i++ { // raft starts at the last snapshot
				if log[i] != nil {
					execute(t, s, i+1, log[i])
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				if diff := cmp.Diff(m.at(m.applied), dumpStore(t, s)); diff != "" {
					rt.Fatalf("-want +got:\n%s", diff)
				}
				f.saw(m)
			},
			"changed": func(rt *rapid.T) { f.check(rt, t, m, s) },
			"apply": func(rt *rapid.T) {
				if rapid.Bool().Draw(rt, "gap") {
					log = append(log, nil)
				}
				events := rapid.SliceOfN(genEvent, 0, 6).Draw(rt, "events")
				if events == nil {
					events = []fusion.Event{}
				}
				log = append(log, events)
				index := uint64(len(log))
				if got, want := apply(t, s, index, events...), m.add(index, events); !reflect.DeepEqual(got, want) {
					rt.Fatalf("apply %d: got %+v, want %+v", index, got, want)
				}
			},
			"put": func(rt *rapid.T) {
				c := records{rapid.SampledFrom(catalog.Kinds).Draw(rt, "kind"), rapid.SliceOfN(genRecord, 0, 4).Draw(rt, "records")}
				log = append(log, c)
				index := uint64(len(log))
				if got, want := execute(t, s, index, c), m.put(index, c); !reflect.DeepEqual(got, want) {
					rt.Fatalf("put %d: got %+v, want %+v", index, got, want)
				}
			},
			"erase": func(rt *rapid.T) {
				e := genErase.Draw(rt, "erase")
				log = append(log, e)
				index := uint64(len(log))
				if got, want := execute(t, s, index, e), m.erase(index, e); !reflect.DeepEqual(got, want) {
					rt.Fatalf("erase %d: got %+v, want %+v", index, got, want)
				}
			},
			"join": func(rt *rapid.T) {
				c := m.genStep(rt)
				log = append(log, c)
				index := uint64(len(log))
				if got, want := execute(t, s, index, c), m.step(index, c); !reflect.DeepEqual(got, want) {
					rt.Fatalf("%+v at %d: got %+v, want %+v", c, index, got, want)
				}
				m.checkAliases(t, s)
			},
			"joined": func(rt *rapid.T) {
				from, to := rapid.SampledFrom(testUsers[:3]).Draw(rt, "from"), rapid.SampledFrom(testUsers[3:]).Draw(rt, "to")
				id := uint64(len(log) + 1)
				for _, step := range []func() any{
					func() any { return Join{Step: JoinBegin, From: from, To: to} },
					func() any { return Join{Step: JoinAdopt, From: from, To: to, ID: id} },
					func() any { return m.copiesOf(Join{From: from, To: to, ID: id}) },
					func() any { return Join{Step: JoinComplete, From: from, To: to, ID: id} },
					func() any { return Join{Step: JoinSettle, From: from, To: to, ID: id} },
				} {
					c := step()
					log = append(log, c)
					index := uint64(len(log))
					if got, want := execute(t, s, index, c), m.step(index, c); !reflect.DeepEqual(got, want) {
						rt.Fatalf("%+v at %d: got %+v, want %+v", c, index, got, want)
					}
					f.saw(m)
				}
				m.checkAliases(t, s)
			},
			"replay": func(rt *rapid.T) {
				if m.applied == 0 {
					rt.Skip("nothing applied")
				}
				i := rapid.Uint64Range(1, m.applied).Draw(rt, "index")
				if got := execute(t, s, i, log[i-1]); !reflect.DeepEqual(got, Result{}) {
					rt.Fatalf("replay of %d: got %+v", i, got)
				}
			},
			"scan": func(rt *rapid.T) {
				cut := rapid.Uint64Range(0, m.applied+1).Draw(rt, "cut")
				after := rapid.SampledFrom(append(testUsers, "", "aa")).Draw(rt, "after")
				most := rapid.IntRange(0, len(testUsers)).Draw(rt, "most")
				got := make(map[string][]fusion.Event)
				err := s.Scan(t.Context(), cut, after, func(user string, events []fusion.Event) error {
					if len(got) == most {
						return ErrStop
					}
					got[user] = slices.Clone(events)
					return nil
				})
				if cut > m.applied {
					if !errors.Is(err, ErrBehind) {
						rt.Fatalf("scan up to %d of %d: got %v, want ErrBehind", cut, m.applied, err)
					}
					return
				}
				if cut < m.erasedAt {
					if !errors.Is(err, ErrErased) {
						rt.Fatalf("scan up to %d, erased at %d: got %v, want ErrErased", cut, m.erasedAt, err)
					}
					return
				}
				if err != nil {
					rt.Fatal(err)
				}
				want := m.at(cut).History
				users := slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(user string) bool { return user <= after })
				maps.DeleteFunc(want, func(user string, _ []fusion.Event) bool { return !slices.Contains(users[:min(most, len(users))], user) })
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("scan of %d users behind %q up to %d of %d: -want +got:\n%s", most, after, cut, m.applied, diff)
				}
			},
			"snapshot": func(*rapid.T) {
				snaps = append(snaps, saved{snapshot(t, s), m.clone()})
				durable = m.applied
			},
			"restore": func(rt *rapid.T) {
				if len(snaps) == 0 {
					rt.Skip("no snapshot")
				}
				from := snaps[rapid.IntRange(0, len(snaps)-1).Draw(rt, "snapshot")]
				if err := s.Restore(bytes.NewReader(from.stream)); err != nil {
					rt.Fatal(err)
				}
				m = from.m.clone()
				log = log[:m.applied]
				durable = m.applied
				f.restored(m.applied)
			},
			"damaged": func(rt *rapid.T) {
				if len(snaps) == 0 {
					rt.Skip("no snapshot")
				}
				stream := slices.Clone(snaps[len(snaps)-1].stream)
				stream = stream[:rapid.IntRange(0, len(stream)-tarTail).Draw(rt, "cut")]
				if err := s.Restore(bytes.NewReader(stream)); !errors.Is(err, ErrCorrupt) {
					rt.Fatalf("restore of %d bytes: got %v, want ErrCorrupt", len(stream), err)
				}
			},
			"reopen": func(*rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = open(t, fs)
				if s.Applied() != m.applied {
					rt.Fatalf("applied %d after closing, want %d", s.Applied(), m.applied)
				}
			},
			"crash": func(rt *rapid.T) {
				lost := fs.CrashClone(vfs.CrashCloneCfg{
					UnsyncedDataPercent: rapid.IntRange(0, 100).Draw(rt, "kept"),
					RNG:                 rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)),
				})
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				fs = lost
				s = open(t, fs)
				replay()
			},
		})
	})
}

func TestUnknown(t *testing.T) {
	s := openMem(t)
	apply(t, s, 1, event("u", "1", "i", 5))
	if h, err := s.History(t.Context(), "nobody"); err != nil || len(h) != 0 {
		t.Errorf("History of nobody: %v, %v", h, err)
	}
	if p, err := s.Popular(t.Context(), 0); err != nil || len(p) != 0 {
		t.Errorf("Popular(0): %v, %v", p, err)
	}
	if p, err := s.Popular(t.Context(), -1); err != nil || len(p) != 0 {
		t.Errorf("Popular(-1): %v, %v", p, err)
	}
}

func TestRefusedCommand(t *testing.T) {
	s := openMem(t)
	apply(t, s, 3, event("u", "1", "i", 5))
	for i, command := range [][]byte{
		nil,
		{9, 0},
		EncodeBatch(nil, []fusion.Event{event("u", "2", "i", 5), event("u", "", "i", 5)}),
		EncodeBatch(nil, []fusion.Event{event("u", "2", "i", -5)}),
		append(EncodeBatch(nil, []fusion.Event{event("u", "2", "i", 5)}), 0),
	} {
		index := uint64(4 + i)
		if _, err := s.Apply(index, command); !errors.Is(err, ErrCorrupt) {
			t.Errorf("Apply(%x): got %v, want ErrCorrupt", command, err)
		}
		if s.Applied() != index {
			t.Errorf("applied %d, want %d: a refused command counts", s.Applied(), index)
		}
	}
	if events, users := s.Stats(); events != 1 || users != 1 {
		t.Errorf("%d events, %d users, want 1, 1", events, users)
	}
}

// TestPopularMany has more items than are kept at hand, with counts that overtake each other.
func TestPopularMany(t *testing.T) {
	s := openMem(t)
	rng := rand.New(rand.NewPCG(1, 2))
	want := make(map[string]uint64)
	id := 0
	for index := uint64(1); index <= 60; index++ {
		var events []fusion.Event
		for range 200 {
			item := fmt.Sprint("i", int(rng.ExpFloat64()*700))
			id++
			events = append(events, event(fmt.Sprint("u", id%97), fmt.Sprint(id), item, 0))
			want[item]++
		}
		apply(t, s, index, events...)
	}
	var sorted []ItemCount
	for item, n := range want {
		sorted = append(sorted, ItemCount{item, n})
	}
	slices.SortFunc(sorted, comparePopular)
	if len(sorted) <= topSize {
		t.Fatalf("test has only %d items", len(sorted))
	}
	check := func(s *Store) {
		t.Helper()
		for _, n := range []int{1, 10, topSize, topSize + 1, len(sorted), len(sorted) + 5} {
			got, err := s.Popular(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sorted[:min(n, len(sorted))], got); diff != "" {
				t.Fatalf("Popular(%d): -want +got:\n%s", n, diff)
			}
		}
		for _, n := range []int{0, 1, seekAtLeast, 500, len(sorted) + 50} {
			items, counts := make([]string, n), make([]uint64, n)
			for i := range items {
				items[i] = fmt.Sprint("i", rng.IntN(5000)) // also unknown ones, and some twice
				counts[i] = want[items[i]]
			}
			got, err := s.ItemCounts(t.Context(), items)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(counts, got); diff != "" {
				t.Fatalf("ItemCounts of %v: -want +got:\n%s", items, diff)
			}
		}
	}
	check(s)
	other := openMem(t)
	if err := other.Restore(bytes.NewReader(snapshot(t, s))); err != nil {
		t.Fatal(err)
	}
	check(other)
}

// TestSnapshotMovesOn shows that commands applied between Snapshot and WriteTo are in
// the stream, and are skipped when raft applies them again.
func TestSnapshotMovesOn(t *testing.T) {
	s := openMem(t)
	apply(t, s, 1, event("u", "1", "i", 5))
	p, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	second := event("u", "2", "j", 6)
	apply(t, s, 2, second)
	var b bytes.Buffer
	if err := p.WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	p.Release()
	other := openMem(t)
	if err := other.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if r := apply(t, other, 2, second); !reflect.DeepEqual(r, Result{}) || other.Applied() != 2 {
		t.Errorf("replay: %+v, applied %d", r, other.Applied())
	}
	if diff := cmp.Diff(dumpStore(t, s), dumpStore(t, other)); diff != "" {
		t.Errorf("restored store differs: %s", diff)
	}
}

// TestDamagedStream cuts and changes a stream everywhere; the old data must stay.
func TestDamagedStream(t *testing.T) {
	from := openMem(t)
	for i := uint64(1); i <= 50; i++ {
		apply(t, from, i, event(fmt.Sprint("u", i%7), fmt.Sprint(i), "i", 5))
	}
	stream := snapshot(t, from)
	s := openMem(t)
	apply(t, s, 1, event("old", "1", "i", 5))
	want := dumpStore(t, s)
	for at := 0; at < len(stream); at += 97 {
		for _, kind := range []string{"cut", "changed"} {
			b := slices.Clone(stream)
			if kind == "cut" {
				b = b[:at]
			} else {
				b[at] ^= 0x20
			}
			err := s.Restore(bytes.NewReader(b))
			if err == nil {
				// Padding and fields that tar does not need may change, and the end may lose its zeros.
				if diff := cmp.Diff(dumpStore(t, from), dumpStore(t, s)); diff != "" {
					t.Fatalf("stream %s at %d of %d restored other data: %s", kind, at, len(stream), diff)
				}
				if kind == "cut" && at < len(stream)-tarTail {
					t.Fatalf("stream cut at %d of %d was accepted", at, len(stream))
				}
				// Start again from the old state.
				s = openMem(t)
				apply(t, s, 1, event("old", "1", "i", 5))
				continue
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("stream %s at %d of %d: got %v, want ErrCorrupt", kind, at, len(stream), err)
			}
			if got := s.Applied(); got != 1 {
				t.Fatalf("stream %s at %d of %d: applied %d", kind, at, len(stream), got)
			}
		}
	}
	if diff := cmp.Diff(want, dumpStore(t, s)); diff != "" {
		t.Errorf("old data changed: %s", diff)
	}
	// Nothing of the failed tries is left.
	names, err := s.fs.List("store")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"CURRENT", "data-000001"}, names); diff != "" {
		t.Errorf("files: %s", diff)
	}
}

// TestRestoreUnderReaders restores while readers work and checks that each sees one state whole.
func TestRestoreUnderReaders(t *testing.T) {
	states := [][]byte{}
	for n := 1; n <= 2; n++ {
		from := openMem(t)
		for i := range 20 * n {
			apply(t, from, uint64(i+1), event("u", fmt.Sprint(i), "i", 5))
		}
		states = append(states, snapshot(t, from))
	}
	s := openMem(t)
	if err := s.Restore(bytes.NewReader(states[0])); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for range 2 {
		go func() {
			for ctx.Err() == nil {
				err := s.Scan(t.Context(), 20, "", func(_ string, events []fusion.Event) error {
					if len(events) != 20 {
						return fmt.Errorf("scan saw %d events", len(events))
					}
					return nil
				})
				if h, herr := s.History(t.Context(), "u"); herr != nil || len(h) != 20 && len(h) != 40 {
					err = errors.Join(err, fmt.Errorf("history of %d events: %w", len(h), herr))
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for i := range 10 {
		if err := s.Restore(bytes.NewReader(states[i%2])); err != nil {
			t.Error(err)
		}
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, vfs.NewMem())
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Apply(1, nil)
	errs := []error{err}
	_, err = s.History(t.Context(), "u")
	errs = append(errs, err, s.Scan(t.Context(), 0, "", nil), s.Restore(nil))
	_, err = s.Popular(t.Context(), 1)
	errs = append(errs, err)
	_, err = s.Snapshot()
	errs = append(errs, err)
	for i, err := range errs {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: got %v, want ErrClosed", i, err)
		}
	}
}

func TestOpenDamaged(t *testing.T) {
	for name, damage := range map[string]func(fs vfs.FS) error{
		"CURRENT":  func(fs vfs.FS) error { return writeFile(fs, "store/CURRENT", []byte("../../etc\n")) },
		"manifest": func(fs vfs.FS) error { return corrupt(fs, "MANIFEST") },
		"sstable":  func(fs vfs.FS) error { return corrupt(fs, ".sst") },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, fs)
			for i := uint64(1); i <= 100; i++ {
				apply(t, s, i, event(fmt.Sprint("u", i), "1", "i", 5))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(fs); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Options{Dir: "store", fs: fs})
			if err == nil {
				err = errors.Join(s.Scan(t.Context(), 0, "", func(string, []fusion.Event) error { return nil }), s.Close())
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
		})
	}
}

// TestVerify finds a damaged block that nobody has read yet, and a snapshot of it is not taken.
func TestVerify(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	defer func() { _ = s.Close() }()
	for i := uint64(1); i <= 3000; i++ {
		apply(t, s, i, event(fmt.Sprint("u", i), "1", fmt.Sprint("i", i), 5))
	}
	if len(snapshot(t, s)) == 0 { // flushes
		t.Fatal("empty snapshot")
	}
	if err := errors.Join(s.Verify(t.Context()), s.Trouble()); err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	names, err := fs.List("store/data-000001")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if path := "store/data-000001/" + name; strings.HasSuffix(name, ".sst") {
			b, err := readFile(fs, path)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/4] ^= 1
			file, err := fs.OpenReadWrite(path, writeCategory) // in place, as the files of a checkpoint are links
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteAt(b, 0); err != nil {
				t.Fatal(err)
			}
			_ = file.Close()
		}
	}
	if err := s.Verify(t.Context()); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), ".sst") {
		t.Errorf("got %v, want ErrCorrupt and the file", err)
	}
	if err := s.Trouble(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("trouble: got %v, want ErrCorrupt", err)
	}
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	if err := snap.WriteTo(t.Context(), io.Discard); !errors.Is(err, ErrCorrupt) {
		t.Errorf("snapshot of damaged files: got %v, want ErrCorrupt", err)
	}
}

// corrupt changes every file of the store whose name holds part.
func corrupt(fs vfs.FS, part string) error {
	names, err := fs.List("store/data-000001")
	if err != nil {
		return err
	}
	for _, name := range names {
		if !bytes.Contains([]byte(name), []byte(part)) {
			continue
		}
		path := "store/data-000001/" + name
		b, err := readFile(fs, path)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += 20 {
			b[i] ^= 0x55
		}
		if err := writeFile(fs, path, b); err != nil {
			return err
		}
	}
	return nil
}

func BenchmarkApply(b *testing.B) {
	for _, dup := range []bool{false, true} {
		b.Run(fmt.Sprintf("duplicates=%t", dup), func(b *testing.B) {
			s, err := Open(Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			rng := rand.New(rand.NewPCG(1, 2))
			const batch = 500
			index, id := uint64(0), 0
			b.ReportAllocs()
			for b.Loop() {
				events := make([]fusion.Event, batch)
				for i := range events {
					if id++; dup && id > 100000 {
						id = 0
					}
					events[i] = event(fmt.Sprint("user", rng.IntN(20000)), fmt.Sprintf("%026d", id), fmt.Sprint("item", int(rng.ExpFloat64()*3000)), int64(id))
				}
				index++
				if _, err := s.Apply(index, EncodeBatch(nil, events)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

package store

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
)

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
				f.reopened(m.applied, len(m.buried) > 0)
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
				f.opened(s.Applied())
				replay()
			},
		})
	})
}

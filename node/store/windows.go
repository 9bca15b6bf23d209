package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/kith-io/kith/fusion"
)

// keptRecent is how many of the notes about events a store keeps in memory once it was asked about a window of time, about: 16 bytes each, 4 MiB. The others lie in files. If
// there is no room for these, only the latest events are kept.
const keptRecent = 1 << 18

// Window is a span of time in Unix milliseconds: behind From, up to To. Events without a time are in none.
type Window struct{ From, To int64 }

func (w Window) has(t int64) bool { return t > max(0, w.From) && t <= w.To }

// instant is an event of windows, or several that are the same there: 16 bytes. The latest are first in order.
type instant struct {
	time int64
	item uint32 // see Items
	kind uint16
	n    int16
}

func (a instant) compare(b instant) int {
	if a.time != b.time {
		return cmp.Compare(b.time, a.time)
	}
	return cmp.Or(cmp.Compare(a.item, b.item), cmp.Compare(a.kind, b.kind))
}

func (a instant) times() int { return int(a.n) }

func (a instant) with(times int) instant {
	a.n = int16(max(math.MinInt16, min(math.MaxInt16, times)))
	return a
}

// windows are the times of all events with one but feedback (fusion.Event.Feedback).
type windows struct {
	runs[instant]
	items *Items
	kinds bool // there were more behaviors than can be told apart
}

func (s *Store) newWindows() *windows {
	w := &windows{items: s.items}
	w.keep, w.short, w.dir, w.room = s.recent, s.recent, s.scratch, s.wait.room
	w.warn = func(err error) {
		s.log.Warn("no room for the times of all events: windows that go far back take a pass over all events each time", "dir", s.dir, "err", err)
	}
	return w
}

func (w *windows) add(e *fusion.Event)    { w.note(e, 1) }
func (w *windows) remove(e *fusion.Event) { w.note(e, -1) }

func (w *windows) note(e *fusion.Event, n int16) {
	if e.Time <= 0 || e.Feedback() {
		return
	}
	kind, ok := w.items.kind(e.Behavior)
	if !ok {
		w.kinds = true
		return
	}
	w.runs.add(instant{e.Time, w.items.number(e.Item), kind, n})
}

// active counts the events of a window by item and behavior. Cost: a pass over the events of the window and those that came last, and 4 bytes for each item.
func (v *windowView) active(w Window, behaviors []fusion.Behavior) []Activity {
	var (
		keys   = v.items.all()
		places = v.items.places(behaviors)
		none   = make([]uint64, len(behaviors))
		slot   = make([]uint32, len(keys)) // of an item that was met: from 1
		met    uint32                      // how many were
		counts []uint64                    // by slot and behavior
	)
	count := func(notes []instant) {
		for i := range notes {
			e := &notes[i]
			at := places[e.kind]
			if at < 0 {
				continue
			}
			s := slot[e.item]
			if s == 0 {
				met++
				s = met
				slot[e.item] = s
				counts = append(counts, none...)
			}
			counts[int(s-1)*len(behaviors)+at] += uint64(e.n) // of two's complement
		}
	}
	for _, r := range v.runs {
		in := from(r.notes, func(e instant) bool { return e.time <= w.To })
		count(in[:len(in)-len(from(in, func(e instant) bool { return e.time <= max(0, w.From) }))])
	}
	for _, notes := range v.loose {
		for i := range notes {
			if w.has(notes[i].time) {
				count(notes[i : i+1])
			}
		}
	}
	out := make([]Activity, 0, met)
	for item, s := range slot { // in the order of keys in memory
		if s == 0 {
			continue
		}
		end := int(s) * len(behaviors)
		of := counts[end-len(behaviors) : end : end]
		if slices.ContainsFunc(of, func(n uint64) bool { return n > 0 }) { // else all of them are gone
			out = append(out, Activity{keys[item], of})
		}
	}
	return out
}

// last returns the n items with the latest events up to a time, and those with the same time as the last of them. Cost: a pass over the events from the time back, until there are so many items.
func (v *windowView) last(n int, upTo int64) (out []LastEvent) {
	keys := v.items.all()
	met := make([]bool, len(keys))
	lists := v.lists()
	for i, notes := range lists {
		lists[i] = from(notes, func(e instant) bool { return e.time <= upTo })
	}
	walk(lists, func(e instant, _ int) bool {
		if e.time <= v.floor() || len(out) > 0 && len(out) >= n && e.time < out[len(out)-1].Time {
			return false
		}
		if !met[e.item] {
			met[e.item] = true
			out = append(out, LastEvent{keys[e.item], e.time})
		}
		return true
	})
	return out
}

// windowView is a moment of windows.
type windowView struct {
	*view[instant]
	items *Items
	kinds bool
}

// floor is the time behind which all events are there.
func (v *windowView) floor() int64 {
	switch {
	case v.kinds:
		return math.MaxInt64
	case v.cut != nil:
		return v.cut.time
	}
	return 0
}

func (w *windows) view() (*windowView, bool) {
	w.Lock()
	defer w.Unlock()
	v, ok := w.runs.view()
	return &windowView{v, w.items, w.kinds}, ok
}

// withWindows calls fn with the times of events; of all of them, if there is room. deep reports whether a view is not enough; then it is made anew, if that may help.
func (s *Store) withWindows(ctx context.Context, deep func(*windowView) bool, fn func(*database, *windowView) error) error {
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	for again := false; ; {
		w, err := d.windows.get(ctx, s, d, s.newWindows)
		if err != nil {
			return fmt.Errorf("event store %s: times of events: %w", s.dir, err)
		}
		v, ok := w.view()
		if !ok {
			continue // dropped since
		}
		if v.cut != nil && !again && deep(v) && s.wait.room() == nil {
			v.close()
			d.windows.forget(d, w)
			again = true
			continue
		}
		defer v.close()
		return fn(d, v)
	}
}

// allIn calls fn for each event of a window but feedback, out of all events.
func (d *database) allIn(ctx context.Context, w Window, fn func(fusion.Event)) error {
	return d.dump(ctx, everything, Position{}, func(e fusion.Event) error {
		if w.has(e.Time) && !e.Feedback() {
			fn(e)
		}
		return nil
	})
}

// Activity is what happened to an item.
type Activity struct {
	Item string
	// Counts of events, in the order of the behaviors that were asked for.
	Counts []uint64
}

// Active returns the items with events of some behaviors in a window, in no order. Cost: a pass over the times of the events in the window, about a nanosecond each, and 4 bytes for each item;
// they are in files, of 16 bytes an event, which the system keeps in memory as there is room. The first call, and the first behind an erasure of more than 32,768 events of a user, takes a
// pass over all events, and so does each one that goes further back than to the 262,144 latest of them while there is no room on the disk.
func (s *Store) Active(ctx context.Context, w Window, behaviors []fusion.Behavior) (out []Activity, err error) {
	deep := func(v *windowView) bool { return max(0, w.From) < v.floor() }
	err = s.withWindows(ctx, deep, func(d *database, v *windowView) error {
		if !deep(v) {
			out = v.active(w, behaviors)
			return nil
		}
		counts := map[string][]uint64{}
		err := d.allIn(ctx, w, func(e fusion.Event) {
			if at := slices.Index(behaviors, e.Behavior); at >= 0 {
				if counts[e.Item] == nil {
					counts[e.Item] = make([]uint64, len(behaviors))
				}
				counts[e.Item][at]++
			}
		})
		for item, c := range counts {
			out = append(out, Activity{item, c})
		}
		return err
	})
	return out, err
}

// LastEvent is the time of the last event of an item.
type LastEvent struct {
	Item string
	Time int64
}

// CompareLast orders by time descending, then by key.
func CompareLast(a, b LastEvent) int {
	return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Item, b.Item))
}

// Last returns the n items with the latest events up to a time, ties by key. Cost: as Active, but of the events from the time back to the last event of the last of them.
func (s *Store) Last(ctx context.Context, n int, upTo int64) (out []LastEvent, err error) {
	found := func(v *windowView) bool { out = v.last(n, upTo); return len(out) >= n || v.floor() == 0 }
	err = s.withWindows(ctx, func(v *windowView) bool { return !found(v) }, func(d *database, v *windowView) error {
		if found(v) {
			return nil
		}
		last := map[string]int64{}
		err := d.allIn(ctx, Window{0, upTo}, func(e fusion.Event) { last[e.Item] = max(last[e.Item], e.Time) })
		out = nil
		for item, t := range last {
			out = append(out, LastEvent{item, t})
		}
		return err
	})
	slices.SortFunc(out, CompareLast)
	return out[:min(n, len(out))], err
}

package store

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kith-io/kith/fusion"
)

// keptRecent is how many of the events with the latest times a store keeps at hand once it was asked about a window of time: 24 bytes each, 6 MiB.
// A window that goes further back takes a pass over all events.
const keptRecent = 1 << 18

// Window is a span of time in Unix milliseconds: behind From, up to To. Events without a time are in none.
type Window struct{ From, To int64 }

func (w Window) has(t int64) bool { return t > max(0, w.From) && t <= w.To }

// recent are the events with the latest times, but for feedback (fusion.Event.Feedback). All that are later than floor are there.
type recent struct {
	sync.Mutex // guards what follows
	floor      int64
	most       int
	events     []recentEvent          // heap: the earliest is first
	gone       map[recentEvent]uint32 // how many of those of events are there no more: sweep takes them out

	items map[string]uint32 // number of each item of events
	names []recentItem      // by number
	free  []uint32          // numbers that stand for nothing

	behaviors []fusion.Behavior // by number; there are few
}

type recentEvent struct {
	time     int64
	item     uint32
	behavior uint32
}

type recentItem struct {
	key    string
	events uint32
}

func newRecent(most int) *recent {
	return &recent{most: most, items: map[string]uint32{}, gone: map[recentEvent]uint32{}}
}

// add takes an event in, and lets the earliest go if there are too many.
func (r *recent) add(e *fusion.Event) {
	if e.Time <= r.floor || e.Feedback() {
		return
	}
	id, ok := r.items[e.Item]
	if !ok {
		id = uint32(len(r.names))
		if last := len(r.free) - 1; last >= 0 {
			id, r.free = r.free[last], r.free[:last]
		} else {
			r.names = append(r.names, recentItem{})
		}
		item := strings.Clone(e.Item)
		r.items[item], r.names[id] = id, recentItem{key: item}
	}
	r.names[id].events++
	b := slices.Index(r.behaviors, e.Behavior)
	if b < 0 {
		b = len(r.behaviors)
		r.behaviors = append(r.behaviors, e.Behavior)
	}
	heap.Push(r, recentEvent{e.Time, id, uint32(b)})
	if len(r.events) <= r.most {
		return
	}
	out := heap.Pop(r).(recentEvent)
	if !r.drop(out) {
		r.floor = max(r.floor, out.time)
	}
	r.forget(out.item)
}

// remove takes an event out that was added. Cost: a note for sweep, so that many share a pass over the events.
func (r *recent) remove(e *fusion.Event) {
	if e.Time <= r.floor || e.Feedback() {
		return
	}
	r.gone[recentEvent{e.Time, r.items[e.Item], uint32(slices.Index(r.behaviors, e.Behavior))}]++
}

// drop reports whether one of events is there no more, and forgets that it was.
func (r *recent) drop(e recentEvent) bool {
	n := r.gone[e]
	if n > 1 {
		r.gone[e] = n - 1
	} else {
		delete(r.gone, e)
	}
	return n > 0
}

// forget tells of an item that one of its events has left.
func (r *recent) forget(item uint32) {
	x := &r.names[item]
	if x.events--; x.events == 0 {
		delete(r.items, x.key)
		x.key = ""
		r.free = append(r.free, item)
	}
}

// sweep takes out what is gone. Cost: a pass over the events, if there is something.
func (r *recent) sweep() {
	if len(r.gone) == 0 {
		return
	}
	r.events = slices.DeleteFunc(r.events, func(e recentEvent) bool {
		gone := r.drop(e)
		if gone {
			r.forget(e.item)
		}
		return gone
	})
	heap.Init(r)
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (r *recent) Len() int { return len(r.events) }

// Less implements heap.Interface.
func (r *recent) Less(i, j int) bool { return r.events[i].time < r.events[j].time }

// Swap implements heap.Interface.
func (r *recent) Swap(i, j int) { r.events[i], r.events[j] = r.events[j], r.events[i] }

// Push implements heap.Interface.
func (r *recent) Push(x any) { r.events = append(r.events, x.(recentEvent)) }

// Pop implements heap.Interface.
func (r *recent) Pop() any {
	x := r.events[len(r.events)-1]
	r.events = r.events[:len(r.events)-1]
	return x
}

// last returns the time of the last event of each item up to a time, and reports whether no event is missing.
func (r *recent) last(upTo int64) (last map[string]int64, all bool) {
	r.Lock()
	defer r.Unlock()
	r.sweep()
	times := make([]int64, len(r.names))
	for _, e := range r.events {
		if e.time <= upTo {
			times[e.item] = max(times[e.item], e.time)
		}
	}
	last = map[string]int64{}
	for i, t := range times {
		if t > r.floor { // of one that is not, a later one may be missing
			last[r.names[i].key] = t
		}
	}
	return last, r.floor == 0
}

// active counts the events of a window by item and behavior, and reports whether all of them are there. Cost: a pass over the events, and over the
// items.
func (r *recent) active(w Window, behaviors []fusion.Behavior) (out []Activity, all bool) {
	r.Lock()
	defer r.Unlock()
	if max(0, w.From) < r.floor {
		return nil, false
	}
	r.sweep()
	place := make([]int, len(r.behaviors))
	for i, b := range r.behaviors {
		place[i] = slices.Index(behaviors, b)
	}
	counts := make([]uint64, len(r.names)*len(behaviors))
	for _, e := range r.events {
		if at := place[e.behavior]; at >= 0 && w.has(e.time) {
			counts[int(e.item)*len(behaviors)+at]++
		}
	}
	for i := range r.names {
		if of := counts[i*len(behaviors) : (i+1)*len(behaviors) : (i+1)*len(behaviors)]; slices.ContainsFunc(of, func(n uint64) bool { return n > 0 }) {
			out = append(out, Activity{r.names[i].key, of})
		}
	}
	return out, true
}

// withRecent calls fn with the recent events.
func (s *Store) withRecent(ctx context.Context, fn func(*database, *recent) error) error {
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	r, err := d.recent.get(ctx, s, d, func() *recent { return newRecent(s.recent) })
	if err != nil {
		return fmt.Errorf("event store %s: recent events: %w", s.dir, err)
	}
	return fn(d, r)
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

// Active returns the items with events of some behaviors in a window, by key. Cost: a pass over the latest 262,144 events, in memory, or if the window
// goes further back, over all. The first call, and the first behind an erasure of more than 32,768 events of a user, takes a pass over all.
func (s *Store) Active(ctx context.Context, w Window, behaviors []fusion.Behavior) (out []Activity, err error) {
	err = s.withRecent(ctx, func(d *database, r *recent) error {
		var all bool
		if out, all = r.active(w, behaviors); all {
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
	slices.SortFunc(out, func(a, b Activity) int { return strings.Compare(a.Item, b.Item) })
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

// Last returns the n items with the latest events up to a time, ties by key. Cost: as Active; a pass over all events only if the latest have fewer than n
// items.
func (s *Store) Last(ctx context.Context, n int, upTo int64) (out []LastEvent, err error) {
	err = s.withRecent(ctx, func(d *database, r *recent) error {
		last, all := r.last(upTo)
		if !all && len(last) < n {
			clear(last)
			err := d.allIn(ctx, Window{0, upTo}, func(e fusion.Event) { last[e.Item] = max(last[e.Item], e.Time) })
			if err != nil {
				return err
			}
		}
		for item, t := range last {
			out = append(out, LastEvent{item, t})
		}
		return nil
	})
	slices.SortFunc(out, CompareLast)
	return out[:min(n, len(out))], err
}

package store

import (
	"context"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// note says that something was added, or, as a negative number, taken away again, so many times. It holds no pointers.
type note[E any] interface {
	// compare orders notes of different things, and returns 0 for the same one.
	compare(e E) int
	// times is how often it was added. with is the same note with another such number, or one as near to it as there is.
	times() int
	with(times int) E
}

// runs are notes of any number. Those that came last lie in memory as they came; the others in sorted runs that do not change, each with what is added as
// well as what is taken away: in memory, and where these would have more than keep notes, in files without a name that are mapped. When there are
// three times as many notes behind a run as in it, they become one with it (tidy): so there are few runs, and each note is written a few times. What is true of one thing only the sum of
// its notes in all of them tells; nothing is left of what was taken away once its run is one with the oldest [oneil1996].
type runs[E note[E]] struct {
	keep  int          // notes of runs in memory, about
	short int          // how many of the first notes in order are kept while there is no room for all
	dir   string       // of files
	room  func() error // returns an error while nothing should be written
	warn  func(error)  // is told that there was no room for all

	// Locked by who adds notes, for all of those that should show at once.
	sync.Mutex
	sorted  []*run[E] // oldest first
	loose   [][]E     // in no order, and with room for no more; do not change
	last    []E       // the same, but with room
	tidying bool
	dropped bool
	whole   bool // tidy makes one run of all
	cut     *E   // if there was no room for all, those before it in order are there
}

// run holds notes in order; there may be several of the same.
type run[E any] struct {
	notes []E
	data  []byte // of a file
	users atomic.Int32
}

func (r *run[E]) release() {
	if r.users.Add(-1) == 0 && r.data != nil {
		unmapScratch(r.data)
		r.data, r.notes = nil, nil
	}
}

func newRun[E any](notes []E, data []byte) *run[E] {
	r := &run[E]{notes: notes, data: data}
	r.users.Store(1)
	return r
}

// size is how many notes come before they are looked at by tidy.
func (r *runs[E]) size() int { return max(1, r.keep/16) }

// add adds a note. It is locked.
func (r *runs[E]) add(e E) {
	if r.cut != nil && e.compare(*r.cut) >= 0 {
		return
	}
	if r.last == nil {
		r.last = make([]E, 0, r.size())
	}
	if r.last = append(r.last, e); len(r.last) == cap(r.last) {
		r.loose, r.last = append(r.loose, r.last), nil
	}
}

// claim reports whether tidy must be called, by the caller. It is locked.
func (r *runs[E]) claim() bool {
	if r.tidying || !r.untidy() {
		return false
	}
	r.tidying = true
	return true
}

// untidy reports whether tidy has something to do. It is locked.
func (r *runs[E]) untidy() bool { return !r.dropped && len(r.loose) > 0 }

// tidy makes runs of what came, until there is no more, the context ends, or all is dropped.
func (r *runs[E]) tidy(ctx context.Context) {
	for {
		r.Lock()
		if !r.untidy() || ctx.Err() != nil {
			r.tidying = false
			r.Unlock()
			return
		}
		loose, old, cut := r.loose, r.sorted, r.cut
		retain(old)
		r.Unlock()
		all := slices.Clone(old)
		for _, notes := range loose {
			all = append(all, newRun(inOrder(notes), nil))
		}
		next, err := all, error(nil)
		if cut == nil {
			next, err = r.merge(ctx, all)
		}
		if cut != nil || err != nil && ctx.Err() == nil { // a file can only fail for a lack of room, or worse
			if cut == nil {
				r.warn(err)
			}
			next, cut = r.shorten(all, cut)
		}
		r.Lock()
		switch {
		case r.dropped, err != nil && ctx.Err() != nil:
			release(without(next, old))
		default:
			release(without(old, next))
			r.sorted, r.loose, r.cut = next, r.loose[len(loose):], cut
		}
		r.Unlock()
		release(old)
	}
}

// settle makes one run of what there is, before anybody else adds something or looks at it.
func (r *runs[E]) settle(ctx context.Context) {
	if len(r.last) > 0 {
		r.loose, r.last = append(r.loose, r.last), nil
	}
	r.whole = true
	r.tidy(ctx)
	r.whole = false
}

func inOrder[E note[E]](notes []E) []E {
	notes = slices.Clone(notes)
	slices.SortFunc(notes, E.compare)
	return notes
}

func retain[E any](runs []*run[E]) {
	for _, x := range runs {
		x.users.Add(1)
	}
}

func release[E any](runs []*run[E]) {
	for _, x := range runs {
		x.release()
	}
}

// without returns the runs that are not among others.
func without[E any](runs, others []*run[E]) (out []*run[E]) {
	for _, x := range runs {
		if !slices.Contains(others, x) {
			out = append(out, x)
		}
	}
	return out
}

// merge makes one of the oldest run that is short beside those behind it, and of these.
func (r *runs[E]) merge(ctx context.Context, all []*run[E]) ([]*run[E], error) {
	first, behind := len(all)-1, 0
	for i := len(all) - 1; i >= 0; i-- {
		if behind >= 3*len(all[i].notes) || r.whole {
			first = i
		}
		behind += len(all[i].notes)
	}
	if first == len(all)-1 {
		return all, nil
	}
	inMemory := 0
	for i, x := range all {
		if x.data == nil || i >= first {
			inMemory += len(x.notes)
		}
	}
	var w writer[E]
	if inMemory > r.keep {
		w = writer[E]{ctx: ctx, room: r.room}
		if err := w.open(r.dir); err != nil {
			return nil, err
		}
	}
	walk(listsOf(all[first:]), func(e E, times int) bool { return w.add(e, times) })
	one, err := w.close()
	if err != nil {
		return nil, err
	}
	if len(one.notes) == 0 {
		return all[:first], nil
	}
	return append(slices.Clone(all[:first]), one), nil
}

// shorten makes one run in memory of the first notes of all runs.
func (r *runs[E]) shorten(all []*run[E], cut *E) ([]*run[E], *E) {
	var w writer[E]
	walk(listsOf(all), func(e E, times int) bool {
		if cut != nil && e.compare(*cut) >= 0 {
			return false
		}
		if len(w.notes) >= r.short {
			cut = &e
			return false
		}
		return w.add(e, times)
	})
	return []*run[E]{newRun(w.notes, nil)}, cut
}

func listsOf[E any](runs []*run[E]) (lists [][]E) {
	for _, x := range runs {
		lists = append(lists, x.notes)
	}
	return lists
}

// walk calls fn for each thing that sorted lists have notes of, in order, with the sum of its times if that is not 0, until fn returns false. lists is changed. Cost: some ten nanoseconds a note,
// and less where the lists have different parts of the order.
func walk[E note[E]](lists [][]E, fn func(e E, times int) bool) {
	lists = slices.DeleteFunc(lists, func(l []E) bool { return len(l) == 0 })
	for len(lists) > 0 {
		first, second := 0, -1
		for i := 1; i < len(lists); i++ {
			switch {
			case lists[i][0].compare(lists[first][0]) < 0:
				first, second = i, first
			case second < 0 || lists[i][0].compare(lists[second][0]) < 0:
				second = i
			}
		}
		notes := lists[first]
		if second >= 0 && notes[0].compare(lists[second][0]) == 0 {
			e, times := notes[0], 0
			for i := range lists {
				for len(lists[i]) > 0 && lists[i][0].compare(e) == 0 {
					times += lists[i][0].times()
					lists[i] = lists[i][1:]
				}
			}
			if times != 0 && !fn(e, times) {
				return
			}
		} else {
			for len(notes) > 0 && (second < 0 || notes[0].compare(lists[second][0]) < 0) {
				e, times := notes[0], 0
				for len(notes) > 0 && notes[0].compare(e) == 0 {
					times += notes[0].times()
					notes = notes[1:]
				}
				if times != 0 && !fn(e, times) {
					return
				}
			}
			lists[first] = notes
		}
		lists = slices.DeleteFunc(lists, func(l []E) bool { return len(l) == 0 })
	}
}

// drop lets go of all notes. Views that there are go on.
func (r *runs[E]) drop() {
	r.Lock()
	defer r.Unlock()
	if r.dropped {
		return
	}
	release(r.sorted)
	r.dropped, r.sorted, r.loose, r.last = true, nil, nil, nil
}

// scratchBytes returns the size of the files.
func (r *runs[E]) scratchBytes() (n uint64) {
	r.Lock()
	defer r.Unlock()
	for _, x := range r.sorted {
		n += uint64(len(x.data))
	}
	return n
}

// view is all that there is at a moment. It must be closed.
type view[E note[E]] struct {
	runs  []*run[E]
	loose [][]E // in no order
	cut   *E    // as in runs
}

// view returns the present moment, unless what there was has been dropped. It is locked.
func (r *runs[E]) view() (*view[E], bool) {
	if r.dropped {
		return nil, false
	}
	retain(r.sorted)
	return &view[E]{slices.Clone(r.sorted), append(slices.Clone(r.loose), r.last), r.cut}, true
}

func (v *view[E]) close() { release(v.runs) }

// lists returns the notes, in lists in order. Cost: sorting those that came last.
func (v *view[E]) lists() [][]E {
	lists := listsOf(v.runs)
	for _, notes := range v.loose {
		lists = append(lists, inOrder(notes))
	}
	return lists
}

// from returns the notes of a list in order that do not come before some place: is reports whether a note does not.
func from[E any](notes []E, is func(E) bool) []E {
	return notes[sort.Search(len(notes), func(i int) bool { return is(notes[i]) }):]
}

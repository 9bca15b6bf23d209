package store

import (
	"context"
	"errors"
	"sync"

	"github.com/kith-io/kith/fusion"
)

// live is something in memory that is made of all events when it is first asked for, and kept up to date from then on. add is called for each
// event once, in any order. An erasure drops it, and it is made anew when it is asked for again.
type live[T interface {
	comparable
	add(e *fusion.Event)
}] struct {
	collecting sync.Mutex // held while it is made

	// What follows is guarded by the mu of the database. came are the events that come while it is made.
	made T
	came *[]fusion.Event
}

// errMoved means that events were removed while others were collected.
var errMoved = errors.New("events were erased meanwhile")

// collectTries is how often events are collected while users are erased.
const collectTries = 5

// get returns what there is, or makes it. Cost: nothing, or a pass over all events.
func (l *live[T]) get(ctx context.Context, d *database, empty func() T) (T, error) {
	l.collecting.Lock()
	defer l.collecting.Unlock()
	for try := 1; ; try++ {
		made, err := l.collect(ctx, d, empty)
		if err == nil || try == collectTries || !errors.Is(err, errMoved) && !errors.Is(err, ErrErased) {
			return made, err
		}
	}
}

func (l *live[T]) collect(ctx context.Context, d *database, empty func() T) (none T, err error) {
	d.mu.Lock()
	if l.made != none || d.failed != nil {
		defer d.mu.Unlock()
		return l.made, d.failed
	}
	cut := d.meta.applied // what is applied behind it comes by tell
	l.came = &[]fusion.Event{}
	d.mu.Unlock()
	made := empty()
	err = d.dump(ctx, cut, Position{}, func(e fusion.Event) error {
		made.add(&e)
		return nil
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	came := l.came
	l.came = nil
	switch {
	case err != nil:
		return none, err
	case came == nil:
		return none, errMoved
	}
	for i := range *came {
		made.add(&(*came)[i])
	}
	l.made = made
	return made, nil
}

// tell tells of new events, or, with erased, that some are gone. The mu of the database is held.
func (l *live[T]) tell(added []fusion.Event, erased bool) {
	var none T
	switch {
	case erased:
		l.made, l.came = none, nil
	case l.made != none:
		for i := range added {
			l.made.add(&added[i])
		}
	case l.came != nil:
		*l.came = append(*l.came, added...)
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/kith-io/kith/fusion"
)

// live is something in memory that is made of all events when it is first asked for, and kept up to date from then on. add is called for each
// event once, in any order. Events of a user who was erased or joined to another are taken out by remove: always all that there are of the user, one
// after the other, and behind their add. If they are too many, what was made is dropped, and made anew when it is asked for again.
type live[T kept] struct {
	// What follows is guarded by the mu of the database. came is what happens while it is made, by pass.
	made T
	came *[]happened
	pass *pass[T]
	work func(func(ctx context.Context)) // runs something in the background, with the life of the database, which closes behind it
}

// kept is something that live keeps. Memory is the least of what it may have: it has to be told of its end.
type kept interface {
	comparable
	sync.Locker // held by who looks at it, and by add and remove for all events of a command, which take no time
	add(e *fusion.Event)
	remove(e *fusion.Event)
	// claim reports, locked, whether tidy is to be called, which takes time, by who has asked. tidy is called without the lock, and ends early with its context.
	claim() bool
	tidy(ctx context.Context)
	// settle is called behind the last add of a pass, before anybody else has it.
	settle(ctx context.Context)
	// drop ends its use, but by those who read it at that time. It is called without the lock, once or more.
	drop()
	scratchBytes() uint64
}

// pass makes something of all events. It ends with the database, and not with who asked first: a pass over many events may take longer than anybody waits.
type pass[T any] struct {
	done chan struct{} // closed when the others are set
	made T
	err  error
}

// passes bounds how many go over all events at a time, so that queries get their turns beside them.
var passes = make(chan struct{}, max(1, runtime.NumCPU()/2))

// happened is what a command did: no command both adds and removes.
type happened struct {
	added, removed []fusion.Event
	// many says that so many events were removed that they are not listed.
	many bool
}

// removedAtOnce bounds the events of a user that are removed one by one, some 5 MiB. It is more than a join takes.
const removedAtOnce = 1 << 15

// errMoved means that many events were removed while others were collected.
var errMoved = errors.New("events were erased meanwhile")

// collectTries is how often events are collected while users are erased.
const collectTries = 5

// get returns what there is, or has it made and waits for it. Cost: nothing, or a pass over all events.
func (l *live[T]) get(ctx context.Context, s *Store, d *database, empty func() T) (none T, err error) {
	d.mu.Lock()
	if l.made != none || d.failed != nil {
		defer d.mu.Unlock()
		return l.made, d.failed
	}
	p := l.pass
	if p == nil {
		p = &pass[T]{done: make(chan struct{})}
		l.pass = p
		l.work = func(do func(context.Context)) {
			d.refs.Add(1) // the caller holds one
			go func() {
				defer s.release(d)
				do(d.life)
			}()
		}
		l.work(func(context.Context) {
			defer close(p.done)
			p.made, p.err = l.make(d, empty)
			d.mu.Lock()
			l.pass = nil
			d.mu.Unlock()
		})
	}
	d.mu.Unlock()
	select {
	case <-p.done:
		return p.made, p.err
	case <-ctx.Done():
		return none, fmt.Errorf("all events are gone through for this question and later ones; ask again in a while: %w", ctx.Err())
	}
}

func (l *live[T]) make(d *database, empty func() T) (none T, err error) {
	select {
	case passes <- struct{}{}:
		defer func() { <-passes }()
	case <-d.life.Done():
		return none, ErrClosed
	}
	for try := 1; ; try++ {
		made, err := l.collect(d.life, d, empty)
		switch {
		case d.life.Err() != nil:
			return none, ErrClosed
		case err == nil || try == collectTries || !errors.Is(err, errMoved) && !errors.Is(err, ErrErased):
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
	l.came = &[]happened{}
	d.mu.Unlock()
	made := empty()
	err = d.dump(ctx, cut, Position{}, func(e fusion.Event) error {
		made.add(&e)
		if made.claim() { // nobody else has it yet
			made.tidy(ctx)
		}
		return nil
	})
	if err == nil {
		made.settle(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	came := l.came
	l.came = nil
	if err == nil && came == nil {
		err = errMoved
	}
	if err != nil {
		made.drop()
		return none, err
	}
	l.made = made
	for _, h := range *came {
		l.tell(h)
	}
	return made, nil
}

// forget drops what was made, if it is that, so that it is made anew.
func (l *live[T]) forget(d *database, made T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.made == made {
		l.drop()
	}
}

// drop drops what was made. The mu of the database is held.
func (l *live[T]) drop() {
	var none T
	if l.made != none {
		l.made.drop()
	}
	l.made = none
}

// scratchBytes returns the size of the files of what was made. The mu of the database is held.
func (l *live[T]) scratchBytes() uint64 {
	var none T
	if l.made == none {
		return 0
	}
	return l.made.scratchBytes()
}

// tell tells of new events, and of some that are gone. The mu of the database is held.
func (l *live[T]) tell(h happened) {
	var none T
	switch {
	case h.many:
		l.drop()
		l.came = nil
	case l.made != none:
		l.made.Lock()
		defer l.made.Unlock()
		for i := range h.added {
			l.made.add(&h.added[i])
		}
		for i := range h.removed {
			l.made.remove(&h.removed[i])
		}
		if made := l.made; made.claim() {
			l.work(made.tidy)
		}
	case l.came != nil && len(h.added)+len(h.removed) > 0:
		*l.came = append(*l.came, h)
	}
}

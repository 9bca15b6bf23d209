package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// roomPause is the pause between two looks at a full disk.
const roomPause = 200 * time.Millisecond

// roomWait holds up the writes that meet a full disk until there is room, or until it is interrupted.
type roomWait struct {
	room func() error

	// opened says that writes may wait. An error of opening goes to the caller.
	opened atomic.Bool
	// waiting says that a write of Pebble waits.
	waiting     atomic.Bool
	interrupted chan struct{}
	interrupt   sync.Once
	// short is closed when a write was told to go on without room.
	short     chan struct{}
	fellShort sync.Once
}

func newRoomWait(room func() error) *roomWait {
	if room == nil {
		room = func() error { return nil }
	}
	return &roomWait{room: room, interrupted: make(chan struct{}), short: make(chan struct{})}
}

// errNoRoom fails a command that waited for room when the store closed.
var errNoRoom = errors.New("no room on the disk")

// Interrupt ends the waits of a store whose disk is full, for good: commands that wait fail. Call it before the raft group is shut
// down, which waits for Apply. A store that does not wait goes on as before.
func (s *Store) Interrupt() { s.wait.interrupt.Do(func() { close(s.wait.interrupted) }) }

// waitForRoom holds up a write of Pebble that met a full disk until there is room. Pebble would try again at once and for ever, and
// end the process where the write was to its manifest.
func (s *Store) waitForRoom() {
	w := s.wait
	if !w.opened.Load() {
		return // Open returns the error
	}
	w.waiting.Store(true)
	defer w.waiting.Store(false)
	s.log.Error("no room for the event store: it waits", "dir", s.dir)
	if w.await(func() bool { return w.room() == nil }) {
		s.log.Info("event store goes on", "dir", s.dir)
		return
	}
	w.fellShort.Do(func() { close(w.short) })
}

// await looks now and then until done returns true; it returns false when it is interrupted.
func (w *roomWait) await(done func() bool) bool {
	ticker := time.NewTicker(roomPause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if done() {
				return true
			}
		case <-w.interrupted:
			return false
		}
	}
}

// ready waits while Pebble waits for room and has much in memory: in a moment it would hold up Apply itself, without an end.
func (d *database) ready(w *roomWait) error {
	has := func() bool { return !w.waiting.Load() || d.db.Metrics().MemTable.Size < 2*memTableBytes }
	select {
	case <-w.short:
		return errNoRoom
	default:
	}
	if has() || w.await(has) {
		return nil
	}
	return errNoRoom
}

// flush writes out what is in memory. It returns an error that matches errNoRoom or errStuck if that cannot be.
func (d *database) flush(w *roomWait) error {
	select {
	case <-d.broken:
		return errStuck
	default:
	}
	if err := w.room(); err != nil {
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	done, err := d.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	select {
	case <-done:
		return nil
	case <-w.short:
		return errNoRoom
	case <-d.broken:
		return errStuck
	}
}

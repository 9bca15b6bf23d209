package worker

import (
	"context"
	"sync"

	"github.com/kith-io/kith/similarity"
)

// turn holds one side at a time, for the tasks of nodes with a memory limit. Tasks of another side wait until nobody uses it,
// the lowest side first, so that sides follow each other as tasks do.
type turn struct {
	mu sync.Mutex
	// side is the number of the side, value the side itself, nil while it is made.
	side  int
	value *similarity.Side
	// users counts the tasks that hold or make it.
	users int
	// waiting has the number of tasks that wait for each side.
	waiting map[int]int
	// changed is closed and replaced when waiting may have an end.
	changed chan struct{}
}

func newTurn() *turn { return &turn{side: -1, waiting: map[int]int{}, changed: make(chan struct{})} }

// acquire returns side n, which the first who asks makes. The caller must call release unless there is an error.
func (t *turn) acquire(ctx context.Context, n int, first func() (*similarity.Side, error)) (_ *similarity.Side, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting[n]++
	defer func() {
		if t.waiting[n]--; t.waiting[n] == 0 {
			delete(t.waiting, n)
		}
		t.wake()
	}()
	for {
		switch {
		case t.side == n && t.value != nil:
			t.users++
			return t.value, nil
		case t.users == 0 && t.next() == n:
			t.side, t.value, t.users = n, nil, 1
			t.mu.Unlock()
			side, err := first()
			t.mu.Lock()
			if err != nil {
				t.side, t.users = -1, 0
				return nil, err
			}
			t.value = side
			return side, nil
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		t.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// next returns the side whose turn it is when nobody uses one.
func (t *turn) next() int {
	if t.value != nil && t.waiting[t.side] > 0 {
		return t.side
	}
	lowest := -1
	for n := range t.waiting {
		if lowest < 0 || n < lowest {
			lowest = n
		}
	}
	return lowest
}

func (t *turn) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users--; t.users == 0 {
		t.wake()
	}
}

// drop forgets the side if nobody uses it.
func (t *turn) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users == 0 {
		t.side, t.value = -1, nil
	}
}

func (t *turn) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

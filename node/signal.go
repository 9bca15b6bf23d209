package node

import "sync"

// signal wakes all that wait for something that happens again and again. Its zero value is ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed by the next wake. Take it before looking at what changes, to miss nothing.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// hint is a channel that holds one hint for one receiver.
type hint chan struct{}

func newHint() hint { return make(hint, 1) }

// give leaves a hint, unless one waits already. It never blocks.
func (h hint) give() {
	select {
	case h <- struct{}{}:
	default:
	}
}

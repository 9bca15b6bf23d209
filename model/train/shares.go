package train

import (
	"context"
	"sync"
)

// Shares is what the workers of one process share in a step, as Peers.Share has it. The zero value is ready. It is safe for concurrent use.
type Shares struct {
	mu     sync.Mutex
	values map[string]*share
}

type share struct {
	lock  chan struct{} // has room for one, who may make the value: waiting ends with a context
	made  bool
	value any
}

// Share returns what f returns, for one caller or another with this name since the last Clear; it waits for one that is making it. After an error the next caller makes it.
func (s *Shares) Share(ctx context.Context, name string, f func() (any, error)) (any, error) {
	s.mu.Lock()
	x := s.values[name]
	if x == nil {
		x = &share{lock: make(chan struct{}, 1)}
		if s.values == nil {
			s.values = map[string]*share{}
		}
		s.values[name] = x
	}
	s.mu.Unlock()
	select {
	case x.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-x.lock }()
	if x.made {
		return x.value, nil
	}
	var err error
	x.value, err = f()
	x.made = err == nil
	return x.value, err
}

// Clear forgets all, at the end of a step. Callers that wait still get what they wait for.
func (s *Shares) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.values)
}

package worker

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestComputeTakesTurns has as many computing as there are threads, and one more that gives up.
func TestComputeTakesTurns(t *testing.T) {
	w := &Worker{turns: make(chan struct{}, 2)}
	release, begun := make(chan struct{}), make(chan struct{})
	var computing sync.WaitGroup
	for range cap(w.turns) {
		computing.Go(func() {
			if _, err := w.compute(t.Context(), func() error {
				begun <- struct{}{}
				<-release
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		<-begun
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	if _, err := w.compute(ctx, func() error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("a third one: %v, ran %t", err, ran)
	}
	close(release)
	computing.Wait()
	want := errors.New("of f")
	if _, err := w.compute(t.Context(), func() error { return want }); !errors.Is(err, want) {
		t.Errorf("after that: %v, want %v", err, want)
	}
}

package api

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type deadlineKey struct{}

// TestDeadlined holds a deadlined to what a context of withDeadline does, whether somebody waits for it before its end or not.
func TestDeadlined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), deadlineKey{}, 7))
		defer cancel()
		short, stop := context.WithTimeout(parent, time.Second)
		defer stop()
		for _, tt := range []struct {
			name    string
			of      context.Context
			act     func(*deadlined)
			want    error
			ended   bool
			allowed time.Duration
		}{
			{"nothing happens", parent, func(*deadlined) {}, nil, false, defaultDeadline},
			{"it ends", parent, (*deadlined).end, context.Canceled, true, defaultDeadline},
			{"the time of the caller passes", short, func(*deadlined) { time.Sleep(time.Second) }, context.DeadlineExceeded, true, time.Second},
			{"the time passes", parent, func(*deadlined) { time.Sleep(defaultDeadline) }, context.DeadlineExceeded, true, defaultDeadline},
			{"the caller cancels", parent, func(*deadlined) { cancel() }, context.Canceled, true, defaultDeadline},
		} {
			began := time.Now()
			untouched, waited := newDeadlined(tt.of), newDeadlined(tt.of)
			if at, ok := untouched.Deadline(); !ok || at.Sub(began) != tt.allowed {
				t.Errorf("%s: deadline in %v, want %v", tt.name, at.Sub(began), tt.allowed)
			}
			child, done := context.WithCancel(waited)
			tt.act(untouched)
			if !errors.Is(tt.want, context.DeadlineExceeded) {
				tt.act(waited)
			}
			synctest.Wait()
			for name, ctx := range map[string]context.Context{"untouched": untouched, "waited": waited, "made of it": child} {
				if err := ctx.Err(); !errors.Is(err, tt.want) || ctx.Value(deadlineKey{}) != 7 {
					t.Errorf("%s, %s: error %v, value %v; want %v and 7", tt.name, name, err, ctx.Value(deadlineKey{}), tt.want)
				}
				select {
				case <-ctx.Done():
					if !tt.ended {
						t.Errorf("%s, %s: done", tt.name, name)
					}
				default:
					if tt.ended {
						t.Errorf("%s, %s: not done", tt.name, name)
					}
				}
			}
			done()
			untouched.end()
			waited.end()
		}
	})
}

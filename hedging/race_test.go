package hedging_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-io/kith/hedging"
)

// call is one that takes a time, and what it ends with: an answer, or why it was given up.
type call struct {
	takes  time.Duration
	answer string
	cause  error // why it was given up
	ended  bool
}

func (c *call) do(ctx context.Context) string {
	defer func() { c.ended = true }()
	select {
	case <-time.After(c.takes):
		return c.answer
	case <-ctx.Done():
		c.cause = context.Cause(ctx)
		return "canceled"
	}
}

func TestRace(t *testing.T) {
	const after, long = time.Second, time.Hour
	for _, c := range []struct {
		name          string
		after         time.Duration
		first, second *call
		want          string
		took          time.Duration
	}{
		{"soon enough", after, &call{takes: after / 2, answer: "good"}, &call{}, "good", after / 2},
		{"bad soon enough", after, &call{takes: after / 2, answer: "bad"}, &call{}, "bad", after / 2},
		{"alone", 0, &call{takes: long, answer: "good"}, &call{}, "good", long},
		{"no second", after, &call{takes: long, answer: "good"}, nil, "good", long},
		{"the second is faster", after, &call{takes: long, answer: "slow"}, &call{takes: 1, answer: "good"}, "good", after + 1},
		{"the first is faster", after, &call{takes: after + 1, answer: "good"}, &call{takes: long, answer: "slow"}, "good", after + 1},
		{"the second is bad", after, &call{takes: long, answer: "good"}, &call{takes: 1, answer: "bad"}, "good", long},
		{"both are bad", after, &call{takes: after + 1, answer: "bad"}, &call{takes: long, answer: "bad"}, "bad", after + long},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
				asked := false
				began := time.Now()
				got := hedging.Race(t.Context(), c.after, c.first.do, func() func(context.Context) string {
					asked = true
					if c.second == nil {
						return nil
					}
					return c.second.do
				}, func(answer string) bool { return answer != "bad" })
				if took := time.Since(began); got != c.want || took != c.took {
					t.Errorf("%q after %v, want %q after %v", got, took, c.want, c.took)
				}
				if want := c.after > 0 && c.first.takes > c.after; asked != want {
					t.Errorf("asked for a second call: %v, want %v", asked, want)
				}
				for _, one := range []*call{c.first, c.second} {
					if one == nil || one == c.second && !asked {
						continue
					}
					if lost := one.answer == "slow"; !one.ended || lost != errors.Is(one.cause, hedging.ErrLost) {
						t.Errorf("the call of %v: ended %v, given up because %v; want ended, and given up %v", one.takes, one.ended, one.cause, lost)
					}
				}
			})
		})
	}
}

// TestRaceIsCanceled: the end of the context ends both calls, and is their cause.
func TestRaceIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		calls := [2]call{{takes: time.Hour}, {takes: time.Hour}}
		got := hedging.Race(ctx, time.Second, calls[0].do, func() func(context.Context) string { return calls[1].do }, func(string) bool { return false })
		for i := range calls {
			if got != "canceled" || !calls[i].ended || !errors.Is(calls[i].cause, context.DeadlineExceeded) {
				t.Errorf("call %d: outcome %q, ended %v because %v; want both given up at the deadline", i, got, calls[i].ended, calls[i].cause)
			}
		}
	})
}

//go:build linux

package main

import (
	"slices"
	"testing"
	"time"
)

// planned returns the kinds and times of the first steps.
func planned(t *testing.T, cfg config, n int) (kinds []string, times []time.Duration) {
	t.Helper()
	p, err := newPlanner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		s := p.next()
		kinds, times = append(kinds, s.kind()), append(times, s.hold, s.calm)
		if s.hold < cfg.holdLeast || s.hold > cfg.holdMost || s.calm > cfg.calm {
			t.Errorf("%s holds %v and pauses %v; want %v to %v, and %v at most", s.kind(), s.hold, s.calm, cfg.holdLeast, cfg.holdMost, cfg.calm)
		}
	}
	return kinds, times
}

func TestPlan(t *testing.T) {
	cfg := config{seed: 7, servers: 5, namespaces: true, holdLeast: time.Second, holdMost: 3 * time.Second, calm: time.Second}
	kinds, times := planned(t, cfg, 200)
	again, timesAgain := planned(t, cfg, 200)
	if !slices.Equal(kinds, again) || !slices.Equal(times, timesAgain) {
		t.Error("the same seed gives other steps")
	}
	other := cfg
	other.seed++
	if k, _ := planned(t, other, 200); slices.Equal(k, kinds) {
		t.Error("another seed gives the same steps")
	}
	round := map[string]bool{}
	p, err := newPlanner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range p.deck {
		round[p.next().fault.kind()] = true
	}
	if len(round) != len(p.deck) {
		t.Errorf("%d kinds of %d in the first round", len(round), len(p.deck))
	}
}

// TestPlanOfLongPauses checks that they come once a round, last what they should, and are left out where none are wanted.
func TestPlanOfLongPauses(t *testing.T) {
	for servers, want := range map[int]int{3: 3, 5: 4} {
		cfg := config{servers: servers, holdLeast: time.Second, holdMost: 2 * time.Second, calm: time.Second, longPause: 30 * time.Second}
		p, err := newPlanner(cfg)
		if err != nil {
			t.Fatal(err)
		}
		long := map[string]int{}
		for range 2 * len(p.deck) {
			s := p.next()
			if f, ok := s.fault.(*paused); ok && f.long > 0 {
				long[f.kind()]++
				if s.hold != cfg.longPause {
					t.Errorf("%s holds %v, want %v", s.kind(), s.hold, cfg.longPause)
				}
			} else if s.hold > cfg.holdMost {
				t.Errorf("%s holds %v, want %v at most", s.kind(), s.hold, cfg.holdMost)
			}
		}
		for kind, n := range long {
			if n != 2 {
				t.Errorf("%d servers: %s came %d times in two rounds", servers, kind, n)
			}
		}
		if len(long) != want {
			t.Errorf("%d servers: long pauses %v, want %d kinds", servers, long, want)
		}
		cfg.longPause = 0
		for _, f := range deck(cfg) {
			if f, ok := f(p.rng).(*paused); ok && f.long > 0 {
				t.Errorf("%s is there and nobody wants it", f.kind())
			}
		}
	}
}

func TestPlanKeepsMajority(t *testing.T) {
	for _, servers := range []int{3, 5} {
		cfg := config{servers: servers, namespaces: true, holdLeast: time.Second, holdMost: 2 * time.Second, calm: time.Second}
		p, err := newPlanner(cfg)
		if err != nil {
			t.Fatal(err)
		}
		companies := 0
		for range 1000 {
			s := p.next()
			if s.with == nil {
				continue
			}
			companies++
			if _, spoils := s.with.(*spoiled); !spoils && (servers == 3 || !strikesOne(s.fault)) {
				t.Fatalf("%d servers: %s", servers, s.kind())
			}
		}
		if companies == 0 {
			t.Errorf("%d servers: no fault came with another", servers)
		}
	}
}

func TestSurvivable(t *testing.T) {
	one, two := &killed{role: coordinator}, &killed{role: minority}
	for _, c := range []struct {
		servers, replication int
		step                 step
		want                 bool
	}{
		{3, 3, step{fault: one}, true},
		{3, 3, step{fault: two}, true},
		{3, 3, step{fault: one, with: &spoiled{loss: 0.1}}, true},
		{3, 3, step{fault: &killed{role: majority}}, false},
		{5, 3, step{fault: one}, true},
		{5, 3, step{fault: two}, false},
		{5, 3, step{fault: one, with: &paused{role: follower}}, false},
		{5, 5, step{fault: two}, true},
		{5, 5, step{fault: one, with: &paused{role: follower}}, true},
		{5, 5, step{fault: &shattered{}}, false},
	} {
		if got := c.step.survivable(config{servers: c.servers, replication: c.replication}); got != c.want {
			t.Errorf("%s on %d servers with %d replicas: survivable is %t, want %t", c.step.kind(), c.servers, c.replication, got, c.want)
		}
	}
}

func TestPlanOnly(t *testing.T) {
	cfg := config{servers: 3, only: "^kill (all servers|the coordinator)$", holdLeast: 1, holdMost: 2, calm: 1}
	kinds, _ := planned(t, cfg, 4)
	slices.Sort(kinds)
	if want := []string{"kill all servers", "kill all servers", "kill the coordinator", "kill the coordinator"}; !slices.Equal(kinds, want) {
		t.Errorf("got %q, want %q", kinds, want)
	}
	for _, only := range []string{"no such fault", "("} {
		cfg.only = only
		if _, err := newPlanner(cfg); err == nil {
			t.Errorf("--only %q was taken", only)
		}
	}
}

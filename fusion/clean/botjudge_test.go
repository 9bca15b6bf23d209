package clean

import "testing"

// TestBotJudge has users at the thresholds and just beyond them.
func TestBotJudge(t *testing.T) {
	type event struct {
		at   int64
		item uint64
	}
	for _, tt := range []struct {
		name   string
		events []event
		reason int // -1 for no bot
	}{
		{"as many events as the window may have", []event{{0, 1}, {10, 1}, {100, 1}}, -1},
		{"one more, at the end of the window", []event{{0, 1}, {10, 1}, {50, 1}, {100, 1}}, botEvents},
		{"one more, behind the window", []event{{0, 1}, {10, 1}, {50, 1}, {101, 1}}, -1},
		{"intervals that are too much alike", []event{{0, 1}, {1000, 1}, {2010, 1}, {3000, 1}, {4010, 1}}, botRegular},
		{"one interval less", []event{{0, 1}, {1000, 1}, {2010, 1}, {3000, 1}}, -1},
		{"events at one moment are one", []event{{0, 1}, {0, 1}, {1000, 1}, {1000, 1}, {2010, 1}, {3000, 1}}, -1},
		{"other intervals", []event{{0, 1}, {1000, 1}, {3010, 1}, {4000, 1}, {7010, 1}}, -1},
		{"as many items as the window may have", []event{{0, 1}, {300, 2}, {900, 1}, {901, 2}}, -1},
		{"one more, at the end of the window", []event{{0, 1}, {300, 2}, {500, 3}}, botItems},
		{"one more, behind the window", []event{{0, 1}, {300, 2}, {501, 3}}, -1},
		{"an item seen again counts from then", []event{{0, 1}, {300, 2}, {450, 1}, {701, 3}}, botItems},
		{"no item", []event{{0, 1}, {300, 2}, {500, 0}}, -1},
	} {
		j := newBotJudge(3, 100, 4, 0.1, 2, 500)
		if tt.reason != botItems && tt.reason != -1 || tt.events[len(tt.events)-1].at >= 4000 {
			j.maxItems = 0
		}
		for range 2 { // the second user is judged as the first
			j.begin()
			got := -1
			for i, e := range tt.events {
				if reason, bot := j.event(e.at, e.item); bot {
					if got = reason; i != len(tt.events)-1 {
						t.Errorf("%s: a bot at event %d", tt.name, i)
					}
					break
				}
			}
			if got != tt.reason {
				t.Errorf("%s: got %d, want %d", tt.name, got, tt.reason)
			}
		}
	}
}

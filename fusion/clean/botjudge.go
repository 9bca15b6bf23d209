package clean

import "math"

// botJudge looks at the events of one user in the order of time. What it remembers is bounded by its thresholds, not by the number of events.
type botJudge struct {
	window      int64
	times       []int64 // ring of as many times as a window may have events; empty switches the test off
	events      int64
	regularity  float64
	intervals   []float64 // ring; empty switches the test off
	moments     int64     // different times
	last        int64
	maxItems    int
	itemsWindow int64
	items       map[uint64]int64 // hash of item -> time of its last event
}

func newBotJudge(maxEvents int, window int64, regular int, regularity float64, maxItems int, itemsWindow int64) *botJudge {
	return &botJudge{
		window: window, times: make([]int64, maxEvents), regularity: regularity, intervals: make([]float64, regular), maxItems: maxItems,
		itemsWindow: itemsWindow, items: make(map[uint64]int64),
	}
}

// begin forgets the last user.
func (j *botJudge) begin() {
	j.events, j.moments = 0, 0
	clear(j.items)
}

// event takes the next event, and reports whether and why the user is a bot. Times are in milliseconds, ascending.
func (j *botJudge) event(at int64, item uint64) (reason int, bot bool) {
	if n := int64(len(j.times)); n > 0 {
		slot := j.events % n
		if j.events >= n && at-j.times[slot] <= j.window { // with this one, n+1 events
			return botEvents, true
		}
		j.times[slot] = at
	}
	j.events++
	if n := int64(len(j.intervals)); n > 0 && (j.moments == 0 || at > j.last) {
		if j.moments > 0 {
			j.intervals[(j.moments-1)%n] = float64(at - j.last)
		}
		j.last = at
		j.moments++
		if j.moments > n && j.regular() {
			return botRegular, true
		}
	}
	if j.maxItems > 0 && item != 0 {
		j.items[item] = at
		if len(j.items) > j.maxItems {
			for item, last := range j.items {
				if at-last > j.itemsWindow {
					delete(j.items, item)
				}
			}
			if len(j.items) > j.maxItems {
				return botItems, true
			}
		}
	}
	return 0, false
}

// regular reports whether the intervals in the ring vary too little. The sum runs from the first slot, whatever the order of the intervals; both
// sums are of whole numbers, and exact as long as the intervals together are less than 285,000 years.
func (j *botJudge) regular() bool {
	sum := 0.0
	for _, d := range j.intervals {
		sum += d
	}
	mean := sum / float64(len(j.intervals))
	square := 0.0
	for _, d := range j.intervals {
		square += float64((d - mean) * (d - mean))
	}
	return math.Sqrt(square/float64(len(j.intervals))) < float64(j.regularity*mean)
}

package synthetic

import (
	"sort"
	"time"
)

const (
	hourSeconds = 3600
	daySeconds  = 24 * hourSeconds
)

// clock turns shares of the demand into times.
type clock struct {
	start   int64     // Unix seconds, midnight
	yearDay float64   // of the first day
	hours   []float64 // cumulative share of the demand before each hour, and 1
}

func newClock(cfg *Config) *clock {
	start := cfg.Start.UTC().Truncate(24 * time.Hour)
	c := &clock{start: start.Unix(), yearDay: float64(start.YearDay() - 1), hours: make([]float64, cfg.Days*24+1)}
	s := &cfg.Season
	growth := logarithm(1 + s.Growth)
	sum := 0.0
	for day := range cfg.Days {
		factor := exponentialOf(mul(growth, float64(day)) / 365)
		factor = mul(factor, c.wave(s.Yearly, s.PeakDay, day))
		factor = mul(factor, s.Weekly[(int(start.Weekday())+day)%7])
		for hour, daily := range s.Daily {
			c.hours[day*24+hour] = sum
			sum += mul(factor, daily)
		}
	}
	c.hours[len(c.hours)-1] = sum
	for i := range c.hours {
		c.hours[i] /= sum
	}
	return c
}

// wave returns the factor of a yearly wave on a day of the window.
func (c *clock) wave(amplitude, peak float64, day int) float64 {
	return 1 + mul(amplitude, cosTurns((c.yearDay+float64(day)-peak)/365.25))
}

// at returns the second of the window at which the share x of the demand is over, 0 <= x < 1.
func (c *clock) at(x float64) int64 {
	n := len(c.hours) - 1
	h := min(sort.Search(n, func(i int) bool { return c.hours[i+1] > x }), n-1)
	part := (x - c.hours[h]) / (c.hours[h+1] - c.hours[h])
	return int64(h)*hourSeconds + min(int64(part*hourSeconds), hourSeconds-1)
}

package fusion

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// TimeUnit is the unit of times that are written as numbers, counted from the
// Unix epoch.
type TimeUnit string

// Units of times.
const (
	// TimeAuto takes one unit for the whole file, the one that fits most of its
	// first rows: up to 10^11 seconds (year 5138), up to 10^14 milliseconds, up
	// to 10^17 microseconds, above nanoseconds. Eight digits that read as a date
	// of 1970 to 2099, as 20240131, are a date.
	TimeAuto     TimeUnit = ""
	Seconds      TimeUnit = "s"
	Milliseconds TimeUnit = "ms"
	Microseconds TimeUnit = "us"
	Nanoseconds  TimeUnit = "ns"

	compactDate TimeUnit = "date" // 20240131; found by TimeAuto only
)

func (u TimeUnit) valid() bool {
	return slices.Contains([]TimeUnit{TimeAuto, Seconds, Milliseconds, Microseconds, Nanoseconds}, u)
}

// timeReader parses the times of one file. The zero value with a unit and a
// layout from the mapping is ready.
type timeReader struct {
	unit   TimeUnit
	layout string
}

// learn sets the unit by a sample of times, if it is not set.
func (t *timeReader) learn(sample [][]byte) {
	if t.unit != TimeAuto || t.layout != "" {
		return
	}
	var votes [5]int
	units := [5]TimeUnit{Seconds, Milliseconds, Microseconds, Nanoseconds, compactDate}
	for _, b := range sample {
		if x, _, err := parseNumber(b, false); err == nil && x > 0 {
			votes[slices.Index(units[:], unitOf(x))]++
		}
	}
	if best := slices.Index(votes[:], slices.Max(votes[:])); votes[best] > 0 {
		t.unit = units[best]
	}
}

// unitOf returns the unit that a number of this magnitude is in.
func unitOf(x float64) TimeUnit {
	switch {
	case x >= 19700101 && x <= 20991231 && x == math.Trunc(x):
		if _, ok := dateOf(int(x)/10000, int(x)/100%100, int(x)%100); ok {
			return compactDate
		}
		return Seconds
	case x < 1e11:
		return Seconds
	case x < 1e14:
		return Milliseconds
	case x < 1e17:
		return Microseconds
	}
	return Nanoseconds
}

// parse returns the time that b spells in Unix milliseconds, rounded down; 0
// for an empty field, or an error that matches ErrBadTime.
func (t *timeReader) parse(b []byte) (int64, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if t.layout != "" {
		at, err := time.Parse(t.layout, string(b))
		if err != nil {
			return 0, fmt.Errorf("%w: %.40q does not match the layout %q", ErrBadTime, b, t.layout)
		}
		return checkTime(at.UnixMilli(), b)
	}
	if n, ok := parseDigits(b); ok {
		return t.number(n, b)
	}
	if ms, ok := parseISO(b); ok {
		return checkTime(ms, b)
	}
	if x, _, err := parseNumber(b, false); err == nil {
		return t.fraction(x, b)
	}
	if day, _, _ := bytes.Cut(b, []byte{' '}); bytes.Count(day, []byte{'/'}) == 2 {
		return 0, fmt.Errorf("%w: %.40q has day and month in an order that must be given, as time_layout %q or %q", ErrBadTime, b, "02/01/2006", "01/02/2006")
	}
	return 0, fmt.Errorf("%w: %.40q", ErrBadTime, b)
}

// number converts a whole number of the file's unit.
func (t *timeReader) number(n int64, b []byte) (int64, error) {
	if n == 0 {
		return 0, nil
	}
	if t.unit == TimeAuto {
		t.unit = unitOf(float64(n))
	}
	switch t.unit {
	case Seconds:
		if n > MaxTime/1000 {
			return checkTime(math.MaxInt64, b)
		}
		n *= 1000
	case Microseconds:
		n /= 1e3
	case Nanoseconds:
		n /= 1e6
	case compactDate:
		days, ok := dateOf(int(n/10000), int(n/100%100), int(n%100))
		if n > 99991231 || !ok {
			return 0, fmt.Errorf("%w: %.40q is not a date as 20060102, as those in the first rows are", ErrBadTime, b)
		}
		n = days * dayMillis
	}
	return checkTime(n, b)
}

// fraction converts a number with a point, an exponent or a sign.
func (t *timeReader) fraction(x float64, b []byte) (int64, error) {
	if x == 0 {
		return 0, nil
	}
	if t.unit == TimeAuto && x > 0 {
		t.unit = unitOf(x)
	}
	switch t.unit {
	case Seconds:
		x *= 1e3
	case Microseconds:
		x /= 1e3
	case Nanoseconds:
		x /= 1e6
	case compactDate:
		if x == math.Trunc(x) && x > 0 && x <= 99991231 {
			return t.number(int64(x), b)
		}
		x = -1
	}
	if x < 0 || x > MaxTime {
		return checkTime(-1, b)
	}
	return checkTime(int64(math.Round(x)), b)
}

func checkTime(ms int64, b []byte) (int64, error) {
	if ms < 0 || ms > MaxTime {
		return 0, fmt.Errorf("%w: %.40q is not between the years 1970 and 9999", ErrBadTime, b)
	}
	return ms, nil
}

// parseDigits parses up to 18 digits.
func parseDigits(b []byte) (int64, bool) {
	if len(b) > 18 {
		// 19 digits are nanoseconds from 2001 on.
		if len(b) > 19 || string(b) > "9223372036854775807" {
			return 0, false
		}
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(b) > 0
}

const dayMillis = 24 * 60 * 60 * 1000

// dateOf returns the days from 1970-01-01 to a date of the Gregorian calendar.
func dateOf(year, month, day int) (int64, bool) {
	if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	if day > 28 && day > daysIn(year, month) {
		return 0, false
	}
	// Years that start in March end in the leap day.
	y, m := year, month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	days := 365*y + y/4 - y/100 + y/400 + (153*m+2)/5 + day - 1
	return int64(days) - 719468, true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// parseISO parses dates with the year first, as RFC 3339 and its relatives:
// 2006-01-02, 2006/1/2 or 2006.01.02; perhaps T or a blank and 15:04, 15:04:05
// or 15:04:05.999; perhaps a zone: Z, UTC, +01:00, +0100 or +01. Without zone the
// time is UTC. It returns Unix milliseconds, rounded down.
func parseISO(b []byte) (int64, bool) {
	p := cursor{b: b}
	year, ok := p.digits(4, 4)
	if !ok || p.end() {
		return 0, false
	}
	sep := p.b[p.i]
	if sep != '-' && sep != '/' && sep != '.' {
		return 0, false
	}
	p.i++
	month, ok1 := p.digits(1, 2)
	ok2 := p.take(sep)
	day, ok3 := p.digits(1, 2)
	days, ok4 := dateOf(year, month, day)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return 0, false
	}
	ms := days * dayMillis
	if p.end() {
		return ms, true
	}
	if !p.take('T') && !p.take('t') && !p.take(' ') {
		return 0, false
	}
	clock, ok := p.clock()
	if !ok {
		return 0, false
	}
	offset, ok := p.zone()
	return ms + clock - offset, ok && p.end()
}

// cursor walks over a field.
type cursor struct {
	b []byte
	i int
}

func (p *cursor) end() bool { return p.i == len(p.b) }

func (p *cursor) take(c byte) bool {
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

// digits takes at least low and at most high digits.
func (p *cursor) digits(low, high int) (n int, ok bool) {
	start := p.i
	for p.i < len(p.b) && p.i-start < high && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		n = n*10 + int(p.b[p.i]-'0')
		p.i++
	}
	return n, p.i-start >= low
}

// clock takes 15:04, 15:04:05 or 15:04:05.999 and returns milliseconds.
func (p *cursor) clock() (int64, bool) {
	hour, ok1 := p.digits(1, 2)
	ok2 := p.take(':')
	minute, ok3 := p.digits(2, 2)
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 {
		return 0, false
	}
	ms := int64(hour*60+minute) * 60_000
	if !p.take(':') {
		return ms, true
	}
	second, ok := p.digits(2, 2)
	if !ok || second > 59 {
		return 0, false
	}
	ms += int64(second) * 1000
	if p.take('.') || p.take(',') {
		start := p.i
		n, ok := p.digits(1, 3)
		if !ok {
			return 0, false
		}
		for range 3 - (p.i - start) {
			n *= 10
		}
		ms += int64(n)
		for !p.end() && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
			p.i++
		}
	}
	return ms, true
}

// zone takes a zone, if there is one, and returns its offset in milliseconds.
func (p *cursor) zone() (int64, bool) {
	p.take(' ')
	if p.end() {
		return 0, p.b[p.i-1] != ' '
	}
	if rest := string(p.b[p.i:]); rest == "Z" || rest == "z" || rest == "UTC" {
		p.i = len(p.b)
		return 0, true
	}
	sign := int64(1)
	if p.take('-') {
		sign = -1
	} else if !p.take('+') {
		return 0, false
	}
	hour, ok := p.digits(2, 2)
	minute := 0
	if ok && !p.end() {
		p.take(':')
		minute, ok = p.digits(2, 2)
	}
	if !ok || hour > 23 || minute > 59 {
		return 0, false
	}
	return sign * int64(hour*60+minute) * 60_000, true
}

// checkLayout returns an error for a layout of package time that would read
// times wrongly or not at all.
func checkLayout(layout string) error {
	if strings.Contains(layout, "MST") {
		return fmt.Errorf("%w: time layout %q has a zone by abbreviation, which does not tell the offset; use -0700", ErrMapping, layout)
	}
	// A moment with all parts different, written and read back.
	at := time.Date(2023, time.November, 14, 22, 13, 20, 0, time.UTC)
	back, err := time.Parse(layout, at.Format(layout))
	if err != nil || back.Year() != at.Year() || back.YearDay() != at.YearDay() {
		return fmt.Errorf("%w: time layout %q; write the moment 2006-01-02 15:04:05 in the way of the file, such as 02/01/2006 15:04", ErrMapping, layout)
	}
	return nil
}

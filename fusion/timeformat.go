package fusion

import (
	"fmt"
	"strings"
	"time"
)

// timeFormat is one format of a field of times.
type timeFormat struct {
	unit   TimeUnit
	layout string // empty is auto, or unit
}

// formatOf reads a format: auto, unix, unix_ms, unix_us, unix_ns, a layout of package time, or one with %.
func formatOf(s string) (timeFormat, error) {
	switch s {
	case "auto":
		return timeFormat{}, nil
	case "unix":
		return timeFormat{unit: Seconds}, nil
	case "unix_ms":
		return timeFormat{unit: Milliseconds}, nil
	case "unix_us":
		return timeFormat{unit: Microseconds}, nil
	case "unix_ns":
		return timeFormat{unit: Nanoseconds}, nil
	}
	if strings.Contains(s, "%") {
		layout, err := percentLayout(s)
		if err != nil {
			return timeFormat{}, err
		}
		s = layout
	}
	return timeFormat{layout: s}, checkLayout(s)
}

// percentLayout translates a format of strftime to one of package time.
func percentLayout(s string) (string, error) {
	parts := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'f': "000000", 'p': "PM",
		'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'z': "-0700", 'F': "2006-01-02", 'T': "15:04:05", 'j': "002", '%': "%",
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) || parts[s[i]] == "" {
			return "", fmt.Errorf("%w: unknown part %q of the format %q; want %%Y %%m %%d %%H %%M %%S %%f %%b %%B %%y %%z and the like", ErrMapping, s[i-1:min(i+1, len(s))], s)
		}
		out.WriteString(parts[s[i]])
	}
	return out.String(), nil
}

// moments reads the times of one field. The first format that fits counts.
type moments struct {
	formats []timeFormat
	auto    timeReader
	zone    *time.Location // nil is UTC
}

// Years of moments: those that four digits write.
const (
	firstMoment = -62135596800000 // year 1
	lastMoment  = MaxTime
)

// parse returns a moment in Unix milliseconds, rounded down.
func (m *moments) parse(b []byte) (int64, bool) {
	for _, f := range m.formats {
		var ms int64
		var err error
		ok := true
		switch {
		case f.layout != "":
			var t time.Time
			if m.zone == nil {
				t, err = time.Parse(f.layout, string(b))
			} else {
				t, err = time.ParseInLocation(f.layout, string(b), m.zone)
			}
			ms = t.UnixMilli()
		case f.unit != "":
			reader := timeReader{unit: f.unit}
			if ok = isNumeric(b); ok {
				ms, err = reader.parse(b)
			}
		default:
			if ms, ok = parseISO(b); ok {
				ms = m.local(ms, b)
			} else {
				ok = true
				ms, err = m.auto.parse(b)
			}
		}
		if ok && err == nil && ms >= firstMoment && ms <= lastMoment {
			return ms, true
		}
	}
	return 0, false
}

func isNumeric(b []byte) bool {
	_, _, err := parseNumber(b, false)
	return err == nil
}

// local moves a moment that was read without a zone, as if in UTC, to the zone of the field.
func (m *moments) local(ms int64, b []byte) int64 {
	if m.zone == nil || hasZone(b) {
		return ms
	}
	t := time.UnixMilli(ms).UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), m.zone).UnixMilli()
}

// hasZone reports whether a date with the year first ends in a zone.
func hasZone(b []byte) bool {
	s := string(b)
	i := strings.IndexByte(s, ':')
	return i >= 0 && strings.ContainsAny(s[i:], "Zz+-U")
}

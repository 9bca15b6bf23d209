package clean

import (
	"strconv"
	"strings"
	"time"

	"github.com/kith-io/kith/fusion/record"
)

// Repair reads texts as numbers, moments or truth values, and changes the type of the field. Blank texts become missing.
type Repair struct {
	Fields []string `yaml:"fields"`
	// As is number, time or bool.
	As string `yaml:"as"`
	// Decimal is the decimal sign of numbers: point, comma or auto (the default; see parseNumber).
	Decimal string `yaml:"decimal"`
	// Layouts are those of package time, or unix and unix_ms for seconds and milliseconds, tried in order; none means defaultLayouts.
	Layouts []string `yaml:"layouts"`
	// Zone is the offset from UTC of times without one, such as +08:00; none means UTC. Names of zones would make the result
	// depend on the tables of the machine.
	Zone string `yaml:"zone"`
	// True and False are the words of truth values, without regard to case; none means trueWords and falseWords.
	True  []string `yaml:"true"`
	False []string `yaml:"false"`
	// Action says what happens to texts that cannot be read: reject (the default) or null.
	Action string `yaml:"action"`
}

// Layouts of time and words that are not ambiguous: nothing where day and month might be mistaken.
var (
	defaultLayouts = []string{
		time.RFC3339, time.DateTime, "2006-01-02T15:04:05", time.DateOnly, "2006-01-02 15:04", "2006/01/02 15:04:05", "2006/01/02 15:04",
		"2006/1/2", "20060102", "2006年1月2日 15:04:05", "2006年1月2日", "2 Jan 2006", "Jan 2, 2006",
	}
	trueWords  = []string{"true", "t", "yes", "y", "1", "on", "是", "真", "有"}
	falseWords = []string{"false", "f", "no", "n", "0", "off", "否", "假", "无"}
)

func (*Repair) kind() string        { return "repair" }
func (s *Repair) targets() []string { return s.Fields }

func (s *Repair) check() error {
	if s.As == "" {
		return wrong("as", "is missing; want number, time or bool")
	}
	err := firstError(needFields(s.Fields), oneOf("as", s.As, "number", "time", "bool"),
		oneOf("decimal", orDefault(s.Decimal, "auto"), "auto", "point", "comma"),
		oneOf("action", orDefault(s.Action, ActionReject), ActionReject, ActionNull))
	if err != nil {
		return err
	}
	for _, other := range []struct {
		key, as string
		set     bool
	}{
		{"decimal", "number", s.Decimal != ""},
		{"layouts", "time", len(s.Layouts) > 0},
		{"zone", "time", s.Zone != ""},
		{"true", "bool", len(s.True) > 0},
		{"false", "bool", len(s.False) > 0},
	} {
		if other.set && s.As != other.as {
			return wrong(other.key, "has no meaning with as: %s", s.As)
		}
	}
	if _, err := s.location(); err != nil {
		return err
	}
	for _, l := range s.Layouts {
		if l == "unix" || l == "unix_ms" {
			continue
		}
		// A layout without a year would put everything into the year 0.
		if t, err := time.Parse(l, time.Date(2031, 11, 23, 0, 0, 0, 0, time.UTC).Format(l)); err != nil || t.Year() != 2031 {
			return wrong("layouts", "%q does not tell the year 2006 as the layouts of Go do, such as 02/01/2006 15:04", l)
		}
	}
	return nil
}

func (s *Repair) location() (*time.Location, error) {
	if s.Zone == "" || s.Zone == "UTC" {
		return time.UTC, nil
	}
	t, err := time.Parse("-07:00", s.Zone)
	if err != nil {
		return nil, wrong("zone", "%q is no offset such as +08:00 or -03:30", s.Zone)
	}
	return t.Location(), nil
}

func (s *Repair) build(_ *env, fields []record.Field) (rule, []record.Field, error) {
	at, err := findAll(fields, s.Fields, record.Text)
	if err != nil {
		return nil, nil, err
	}
	r := &repairRule{at: at, null: s.Action == ActionNull, reasons: reasons("no "+s.As+": ", s.Fields)}
	typ := record.Number
	switch s.As {
	case "number":
		decimal := s.Decimal
		r.read = func(text string) (record.Value, bool) {
			x, ok := parseNumber(text, decimal)
			v := record.OfNumber(x)
			return v, ok && !v.IsNull()
		}
	case "time":
		typ = record.Time
		zone, err := s.location()
		if err != nil {
			return nil, nil, err
		}
		layouts := s.Layouts
		if len(layouts) == 0 {
			layouts = defaultLayouts
		}
		r.read = func(text string) (record.Value, bool) { return parseTime(text, layouts, zone) }
	case "bool":
		typ = record.Bool
		words, err := s.words()
		if err != nil {
			return nil, nil, err
		}
		r.read = func(text string) (record.Value, bool) {
			b, ok := words[strings.ToLower(text)]
			return record.OfBool(b), ok
		}
	}
	out := append([]record.Field(nil), fields...)
	for _, i := range at {
		out[i].Type = typ
	}
	return r, out, nil
}

// words returns the words of truth values in small letters.
func (s *Repair) words() (map[string]bool, error) {
	yes, no := s.True, s.False
	if len(yes) == 0 {
		yes = trueWords
	}
	if len(no) == 0 {
		no = falseWords
	}
	words := map[string]bool{}
	for _, w := range no {
		words[strings.ToLower(w)] = false
	}
	for _, w := range yes {
		if _, both := words[strings.ToLower(w)]; both {
			return nil, wrong("true", "%q is among the words of false, too", w)
		}
		words[strings.ToLower(w)] = true
	}
	return words, nil
}

// parseTime tries layouts in order.
func parseTime(text string, layouts []string, zone *time.Location) (record.Value, bool) {
	for _, l := range layouts {
		if l == "unix" || l == "unix_ms" {
			x, ok := parsePlain(text)
			if !ok {
				continue
			}
			if l == "unix" {
				x *= 1000
			}
			if x < -maxMillis || x > maxMillis {
				return record.Value{}, false
			}
			return record.OfTime(int64(x)), true
		}
		if !mayMatch(text, l) {
			continue
		}
		if t, err := time.ParseInLocation(l, text, zone); err == nil {
			return record.OfTime(t.UnixMilli()), true
		}
	}
	return record.Value{}, false
}

// maxMillis is the end of the year 9999, which bounds moments that are numbers.
const maxMillis = 253402300799999

// mayMatch rules layouts out without the error that time.Parse would allocate: the sign after a year of four digits must be that of the layout.
func mayMatch(text, layout string) bool {
	const year = "2006"
	if !strings.HasPrefix(layout, year) || len(layout) == len(year) {
		return true
	}
	if len(text) <= len(year) {
		return false
	}
	next := layout[len(year)]
	if next >= '0' && next <= '9' {
		return len(text) == len(layout)
	}
	if text[len(year)] != next {
		return false
	}
	// Layouts of fixed width match texts of that width only, but for fractions of a second and zones.
	if len(layout) <= len(time.DateOnly) && strings.Contains(layout, "-01-02") {
		return len(text) == len(layout)
	}
	if len(layout) > len(time.DateOnly) && strings.HasPrefix(layout, "2006-01-02") {
		return len(text) > len(time.DateOnly) && text[len(time.DateOnly)] == layout[len(time.DateOnly)]
	}
	return true
}

// repairRule reads texts.
type repairRule struct {
	at      []int
	read    func(string) (record.Value, bool)
	null    bool
	reasons []string
}

func (r *repairRule) apply(_ int64, rec *record.Record, c *counter) (string, error) {
	for i, at := range r.at {
		v := rec.Values[at]
		if v.Type() != record.Text {
			continue
		}
		text := strings.TrimSpace(v.Text())
		if text == "" {
			c.set(rec, at, record.Value{})
			continue
		}
		read, ok := r.read(text)
		if !ok {
			if !r.null {
				return r.reasons[i], nil
			}
			read = record.Value{}
		}
		c.set(rec, at, read)
	}
	return "", nil
}

// parsePlain reads a number as computers write it.
func parsePlain(s string) (float64, bool) {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false // neither hexadecimal nor NaN
		}
	}
	x, err := strconv.ParseFloat(s, 64)
	return x, err == nil
}

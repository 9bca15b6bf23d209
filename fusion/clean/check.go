package clean

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kith-io/kith/fusion/record"
)

// Range refuses numbers and moments outside of bounds, which are allowed themselves.
type Range struct {
	Fields []string `yaml:"fields"`
	// Min and Max are numbers, or moments by RFC 3339 or as a date (its begin in UTC). Empty means no bound.
	Min string `yaml:"min"`
	Max string `yaml:"max"`
	// Action is reject (the default) or null.
	Action string `yaml:"action"`
}

func (*Range) kind() string        { return "range" }
func (s *Range) targets() []string { return s.Fields }

func (s *Range) check() error {
	if s.Min == "" && s.Max == "" {
		return wrong("min", "min and max are missing; want one of them at least")
	}
	return firstError(needFields(s.Fields), oneOf("action", orDefault(s.Action, ActionReject), ActionReject, ActionNull))
}

func (s *Range) build(_ *env, fields []record.Field) (rule, []record.Field, error) {
	at, err := findAll(fields, s.Fields, record.Number, record.Time)
	if err != nil {
		return nil, nil, err
	}
	r := &checkRule{at: at, null: s.Action == ActionNull, reasons: reasons("out of range: ", s.Fields)}
	for _, i := range at {
		lo, err := bound("min", s.Min, fields[i], math.Inf(-1))
		if err != nil {
			return nil, nil, err
		}
		hi, err := bound("max", s.Max, fields[i], math.Inf(1))
		if err != nil {
			return nil, nil, err
		}
		if lo > hi {
			return nil, nil, wrong("max", "%s is less than min %s", s.Max, s.Min)
		}
		r.fine = append(r.fine, func(v record.Value) bool { return lo <= v.Number() && v.Number() <= hi })
	}
	return r, fields, nil
}

// bound reads a bound for the values of a field.
func bound(key, text string, f record.Field, def float64) (float64, error) {
	if text == "" {
		return def, nil
	}
	if f.Type == record.Time {
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, text); err == nil {
				return float64(t.UnixMilli()), nil
			}
		}
		return 0, wrong(key, "%q is no moment, such as 2025-03-01 or 2025-03-01T12:00:00Z, which field %q wants", text, f.Name)
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) {
		return 0, wrong(key, "%q is no number, which field %q wants", text, f.Name)
	}
	return x, nil
}

// Pattern refuses texts in which a regular expression finds nothing.
type Pattern struct {
	Fields []string `yaml:"fields"`
	// Match is a regular expression of RE2, which takes linear time. It may match a part; ^ and $ hold it to the whole.
	Match string `yaml:"match"`
	// Action is reject (the default) or null.
	Action string `yaml:"action"`
}

func (*Pattern) kind() string        { return "pattern" }
func (s *Pattern) targets() []string { return s.Fields }

func (s *Pattern) check() error {
	if s.Match == "" {
		return wrong("match", "is missing; want a regular expression, such as ^[A-Z]{3}-\\d+$")
	}
	if _, err := regexp.Compile(s.Match); err != nil {
		return wrong("match", "%v", err)
	}
	return firstError(needFields(s.Fields), oneOf("action", orDefault(s.Action, ActionReject), ActionReject, ActionNull))
}

func (s *Pattern) build(_ *env, fields []record.Field) (rule, []record.Field, error) {
	at, err := findAll(fields, s.Fields, record.Text)
	if err != nil {
		return nil, nil, err
	}
	r := &checkRule{at: at, null: s.Action == ActionNull, reasons: reasons("does not match: ", s.Fields)}
	match := regexp.MustCompile(s.Match)
	for range at {
		r.fine = append(r.fine, func(v record.Value) bool { return match.MatchString(v.Text()) })
	}
	return r, fields, nil
}

// Allowed refuses values that are not in a list.
type Allowed struct {
	Fields []string `yaml:"fields"`
	// Values are texts, numbers, moments or truth values as record.Value.String has them.
	Values []string `yaml:"values"`
	// Action is reject (the default) or null.
	Action string `yaml:"action"`
}

func (*Allowed) kind() string        { return "allowed" }
func (s *Allowed) targets() []string { return s.Fields }

func (s *Allowed) check() error {
	if len(s.Values) == 0 {
		return wrong("values", "is missing; list the values that are allowed")
	}
	return firstError(needFields(s.Fields), oneOf("action", orDefault(s.Action, ActionReject), ActionReject, ActionNull))
}

func (s *Allowed) build(_ *env, fields []record.Field) (rule, []record.Field, error) {
	at, err := findAll(fields, s.Fields)
	if err != nil {
		return nil, nil, err
	}
	r := &checkRule{at: at, null: s.Action == ActionNull, reasons: reasons("not allowed: ", s.Fields)}
	for _, i := range at {
		set := make(map[record.Value]struct{}, len(s.Values))
		for _, text := range s.Values {
			v, err := constant("values", text, fields[i])
			if err != nil {
				return nil, nil, err
			}
			set[v] = struct{}{}
		}
		r.fine = append(r.fine, func(v record.Value) bool { _, ok := set[v]; return ok })
	}
	return r, fields, nil
}

// constant reads a value of the configuration for a field.
func constant(key, text string, f record.Field) (record.Value, error) {
	switch f.Type {
	case record.Number, record.Time:
		x, err := bound(key, text, f, 0)
		if err != nil || text == "" {
			return record.Value{}, firstError(err, wrong(key, "is empty, and field %q is %s", f.Name, f.Type))
		}
		if f.Type == record.Time {
			return record.OfTime(int64(x)), nil
		}
		return record.OfNumber(x), nil
	case record.Bool:
		b, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return record.Value{}, wrong(key, "%q is not true or false, which field %q wants", text, f.Name)
		}
		return record.OfBool(b), nil
	case record.Null, record.Text:
	}
	return record.OfText(text), nil
}

// reasons returns a reason for each field, so that none is made for each record.
func reasons(prefix string, fields []string) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = prefix + f
	}
	return out
}

// checkRule judges values one by one. Missing values pass: they are the business of Missing.
type checkRule struct {
	at      []int
	fine    []func(record.Value) bool
	null    bool
	reasons []string
}

func (c *checkRule) apply(_ int64, r *record.Record, count *counter) (string, error) {
	for i, at := range c.at {
		if v := r.Values[at]; v.IsNull() || c.fine[i](v) {
			continue
		}
		if !c.null {
			return c.reasons[i], nil
		}
		count.set(r, at, record.Value{})
	}
	return "", nil
}

package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// jsonRecord is a record as people and files have it.
type jsonRecord struct {
	Key        *string                    `json:"key"`
	Version    *int64                     `json:"version"`
	Attributes map[string]json.RawMessage `json:"attributes,omitempty"`
	Places     json.RawMessage            `json:"places,omitempty"`
}

// jsonTime is a moment among the attributes, which JSON has no type for.
type jsonTime struct {
	Time string `json:"time"`
}

// timeLayout keeps milliseconds, and leaves them out where there are none.
const timeLayout = "2006-01-02T15:04:05.999Z07:00"

// FormatJSON returns a record as one line of JSON: key, version, attributes by name, and places. Texts, numbers, truth values and lists of
// texts are what JSON has for them; a moment is {"time": "2026-11-25T10:00:00Z"}. Places that are not JSON become a text.
func FormatJSON(r *Record) ([]byte, error) {
	out := jsonRecord{Key: &r.Key, Version: &r.Version}
	if len(r.Attributes) > 0 {
		out.Attributes = map[string]json.RawMessage{}
	}
	for i := range r.Attributes {
		b, err := json.Marshal(r.Attributes[i].Value.natural())
		if err != nil {
			return nil, fmt.Errorf("record %q: attribute %q: %w", r.Key, r.Attributes[i].Name, err)
		}
		out.Attributes[r.Attributes[i].Name] = b
	}
	switch {
	case len(r.Places) == 0:
	case json.Valid(r.Places):
		out.Places = r.Places
	default:
		var err error
		if out.Places, err = json.Marshal(string(r.Places)); err != nil {
			return nil, fmt.Errorf("record %q: places: %w", r.Key, err)
		}
	}
	return json.Marshal(out)
}

// natural returns what JSON has for a value.
func (v *Value) natural() any {
	switch v.Type {
	case Text:
		return v.Text
	case Number:
		return v.Number
	case Bool:
		return v.Bool
	case Time:
		return jsonTime{time.UnixMilli(v.Millis).UTC().Format(timeLayout)}
	case Texts:
		return v.Texts
	}
	return nil
}

// ParseJSON reads what FormatJSON wrote. An attribute that is null is left out. Errors match ErrInvalid.
func ParseJSON(line []byte) (Record, error) {
	var in jsonRecord
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Record{}, fmt.Errorf("%w: more than one JSON value", ErrInvalid)
	}
	if in.Key == nil || in.Version == nil {
		return Record{}, fmt.Errorf("%w: want a key and a version, such as {\"key\": \"p1\", \"version\": 1, \"attributes\": {\"price\": 9.5}}", ErrInvalid)
	}
	r := Record{Key: *in.Key, Version: *in.Version}
	for name, raw := range in.Attributes {
		v, err := parseValue(raw)
		if err != nil {
			return Record{}, fmt.Errorf("%w: %.80q: attribute %.80q: %w", ErrInvalid, r.Key, name, err)
		}
		if v.Type != 0 {
			r.Attributes = append(r.Attributes, Attribute{Name: name, Value: v})
		}
	}
	slices.SortFunc(r.Attributes, func(a, b Attribute) int { return cmp.Compare(a.Name, b.Name) })
	if places := bytes.TrimSpace(in.Places); len(places) > 0 && string(places) != "null" {
		r.Places = slices.Clone(places)
	}
	return r, r.Check()
}

var errValue = errors.New(`want a text, a number, true, false, a list of texts, or {"time": "2026-11-25T10:00:00Z"}`)

// parseValue returns the zero Value for null.
func parseValue(raw json.RawMessage) (v Value, err error) {
	switch raw[0] {
	case 'n':
		return v, nil
	case '"':
		v.Type, err = Text, json.Unmarshal(raw, &v.Text)
	case 't', 'f':
		v.Type, err = Bool, json.Unmarshal(raw, &v.Bool)
	case '[':
		v.Type, v.Texts = Texts, []string{}
		var texts []*string
		if err = json.Unmarshal(raw, &texts); err != nil {
			return v, fmt.Errorf("%w: %w", errValue, err)
		}
		for _, s := range texts {
			if s == nil {
				return v, errValue
			}
			v.Texts = append(v.Texts, *s)
		}
	case '{':
		var t jsonTime
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			return v, fmt.Errorf("%w: %w", errValue, err)
		}
		at, err := time.Parse(time.RFC3339Nano, t.Time)
		if err != nil {
			return v, fmt.Errorf("%w: %w", errValue, err)
		}
		v.Type, v.Millis = Time, at.UnixMilli()
	default:
		v.Type, err = Number, json.Unmarshal(raw, &v.Number)
	}
	if err != nil {
		return v, fmt.Errorf("%w: %w", errValue, err)
	}
	return v, nil
}

// String returns a value as people have it.
func (v Value) String() string {
	b, err := json.Marshal(v.natural())
	if err != nil {
		return err.Error() // of a number that Check refuses
	}
	if v.Type == Time {
		return time.UnixMilli(v.Millis).UTC().Format(timeLayout)
	}
	return string(b)
}

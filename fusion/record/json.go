package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrJSON means that a JSON value is not the form of what it is read as.
var ErrJSON = errors.New("bad JSON form")

// MarshalText returns the name of the type as mapping files have it.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (t *Type) UnmarshalText(b []byte) error {
	for x := Null; x <= Time; x++ {
		if x.String() == string(b) {
			*t = x
			return nil
		}
	}
	return fmt.Errorf("%w: type %q; want null, text, number, bool or time", ErrJSON, b)
}

// MarshalJSON writes the value as a scalar: a moment as text by RFC 3339, a missing value as null. Bytes of a text that are not UTF-8 become U+FFFD.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.typ {
	case Number:
		return json.Marshal(Float(v.num))
	case Bool:
		return json.Marshal(v.num != 0)
	case Text, Time:
		return json.Marshal(v.String())
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads a scalar. A moment comes back as a text: who knows that it is one calls As.
func (v *Value) UnmarshalJSON(b []byte) error {
	var x any
	if err := json.Unmarshal(b, &x); err != nil {
		return err
	}
	switch x := x.(type) {
	case nil:
		*v = Value{}
	case string:
		*v = OfText(x)
	case float64:
		*v = OfNumber(x)
	case bool:
		*v = OfBool(x)
	default:
		return fmt.Errorf("%w: a value is %.40s; want a text, a number, true, false or null", ErrJSON, b)
	}
	return nil
}

// As returns a value that came from JSON as the type that it had: a text of RFC 3339 as a moment, if t is Time. Others are what they are.
func (v Value) As(t Type) (Value, error) {
	if t != Time || v.typ != Text {
		return v, nil
	}
	when, err := time.Parse(time.RFC3339Nano, v.text)
	if err != nil {
		return v, fmt.Errorf("%w: %.40q is no moment by RFC 3339", ErrJSON, v.text)
	}
	return OfTime(when.UnixMilli()), nil
}

// Float is a number whose JSON form is there for NaN and the infinities, too, which JSON has no numbers for: a text, as protocol buffers have it.
type Float float64

// MarshalJSON writes a number, or one of "NaN", "Infinity" and "-Infinity".
func (f Float) MarshalJSON() ([]byte, error) {
	switch x := float64(f); {
	case math.IsNaN(x):
		return []byte(`"NaN"`), nil
	case math.IsInf(x, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(x, -1):
		return []byte(`"-Infinity"`), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Float) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"NaN"`:
		*f = Float(math.NaN())
	case `"Infinity"`:
		*f = Float(math.Inf(1))
	case `"-Infinity"`:
		*f = Float(math.Inf(-1))
	default:
		return json.Unmarshal(b, (*float64)(f))
	}
	return nil
}

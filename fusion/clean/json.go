package clean

import (
	"encoding/json"
	"fmt"

	"github.com/kith-io/kith/fusion/record"
)

// The types of this file have JSON forms of their own where the plain one would lose something: the type of a moment, which is a text in JSON, or numbers
// that JSON has not. A form lists pointers to the fields, so that it is one for writing and for reading; what it names hides the plain field.

// changeForm tells moments from texts that look alike.
type changeForm struct {
	*plainChange
	BeforeType record.Type `json:"before_type,omitzero"` // record.Time, or nothing
	AfterType  record.Type `json:"after_type,omitzero"`
}

type plainChange Change

// MarshalJSON adds before_type and after_type for moments.
func (c Change) MarshalJSON() ([]byte, error) {
	return json.Marshal(changeForm{(*plainChange)(&c), momentType(c.Before), momentType(c.After)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Change) UnmarshalJSON(b []byte) (err error) {
	f := changeForm{plainChange: (*plainChange)(c)}
	if err = json.Unmarshal(b, &f); err != nil {
		return err
	}
	if c.Before, err = c.Before.As(f.BeforeType); err != nil {
		return err
	}
	c.After, err = c.After.As(f.AfterType)
	return err
}

func momentType(v record.Value) record.Type {
	if v.Type() == record.Time {
		return record.Time
	}
	return record.Null
}

// UnmarshalJSON reads the values as the types of their fields.
func (r *Rejection) UnmarshalJSON(b []byte) (err error) {
	type plain Rejection
	if err = json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	values := r.Record.Values
	if len(values) != len(r.Fields) {
		return fmt.Errorf("%w: a rejected record has %d values of %d fields", record.ErrJSON, len(values), len(r.Fields))
	}
	for i, f := range r.Fields {
		if values[i], err = values[i].As(f.Type); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func (s *Statistic) form() any {
	type plain Statistic
	return &struct {
		*plain
		Value *record.Float `json:"value"` // a bound may be beyond all numbers
	}{(*plain)(s), (*record.Float)(&s.Value)}
}

// MarshalJSON writes infinities as texts.
func (s Statistic) MarshalJSON() ([]byte, error) { return json.Marshal(s.form()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Statistic) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, s.form()) }

// valuesForm has the numbers that only numbers and moments have. Mean and SD may overflow; the others are among finite values.
type valuesForm struct {
	*plainValues
	Min       *float64      `json:"min,omitempty"`
	Max       *float64      `json:"max,omitempty"`
	Mean      *record.Float `json:"mean,omitempty"`
	SD        *record.Float `json:"sd,omitempty"`
	Quartiles *[3]float64   `json:"quartiles,omitempty"`
	Below     *int64        `json:"below,omitempty"`
	Above     *int64        `json:"above,omitempty"`
}

type plainValues Values

func (v *Values) form() *valuesForm {
	return &valuesForm{(*plainValues)(v), &v.Min, &v.Max, (*record.Float)(&v.Mean), (*record.Float)(&v.SD), &v.Quartiles, &v.Below, &v.Above}
}

// MarshalJSON leaves out what the values do not have: texts have no mean, and no values have nothing.
func (v Values) MarshalJSON() ([]byte, error) {
	if !sortable(v.Type) || v.Count == 0 {
		return json.Marshal(valuesForm{plainValues: (*plainValues)(&v)})
	}
	return json.Marshal(v.form())
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Values) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, v.form()) }

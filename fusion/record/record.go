// Package record has the form in which rows of all sources are cleaned, joined and fused: typed values under named fields, with the
// place in the source that they come from. It knows no format, no rule and no meaning.
package record

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is the type of a value.
type Type uint8

// Types of values. The zero Type is that of a missing value.
const (
	Null Type = iota
	Text
	Number
	Bool
	// Time is a moment in Unix milliseconds UTC.
	Time
)

// String returns the name of the type as mapping files have it.
func (t Type) String() string {
	switch t {
	case Null:
		return "null"
	case Text:
		return "text"
	case Number:
		return "number"
	case Bool:
		return "bool"
	case Time:
		return "time"
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Value is one value of a record. The zero Value is missing. Values are equal (==) if type and content are, but for NaN, which OfNumber
// does not make.
type Value struct {
	typ  Type
	num  float64 // of Number; 0 or 1 of Bool; milliseconds of Time, which a float64 holds exactly up to the year 287396
	text string
}

// OfText returns a text value; the empty text is a value, too.
func OfText(s string) Value { return Value{typ: Text, text: s} }

// OfNumber returns a number, or a missing value for NaN and the infinities.
func OfNumber(x float64) Value {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Value{}
	}
	return Value{typ: Number, num: x}
}

// OfBool returns a truth value.
func OfBool(b bool) Value {
	v := Value{typ: Bool}
	if b {
		v.num = 1
	}
	return v
}

// OfTime returns a moment, in Unix milliseconds.
func OfTime(ms int64) Value { return Value{typ: Time, num: float64(ms)} }

// Type returns the type, Null for a missing value.
func (v Value) Type() Type { return v.typ }

// IsNull reports whether the value is missing.
func (v Value) IsNull() bool { return v.typ == Null }

// Clone returns a copy whose text, which may be a small part of a large block, is its own.
func (v Value) Clone() Value {
	v.text = strings.Clone(v.text)
	return v
}

// Text returns the text of a text value, and "" for others.
func (v Value) Text() string { return v.text }

// Number returns the number of a number, the milliseconds of a moment, 1 for true, and 0 for others.
func (v Value) Number() float64 { return v.num }

// Bool returns the truth value of a Bool, and false for others.
func (v Value) Bool() bool { return v.typ == Bool && v.num != 0 }

// Millis returns the Unix milliseconds of a moment, and 0 for others.
func (v Value) Millis() int64 {
	if v.typ != Time {
		return 0
	}
	return int64(v.num)
}

// String returns the value as people and files have it: numbers in the shortest form that reads back equal, moments by RFC 3339, and
// nothing for a missing value.
func (v Value) String() string {
	switch v.typ {
	case Text:
		return v.text
	case Number:
		return strconv.FormatFloat(v.num, 'g', -1, 64)
	case Bool:
		return strconv.FormatBool(v.num != 0)
	case Time:
		return time.UnixMilli(int64(v.num)).UTC().Format("2006-01-02T15:04:05.999Z07:00")
	}
	return ""
}

// Field is a named and typed place in the records of a stream.
type Field struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Place is where a record comes from: what lineage shows and reports cite.
type Place struct {
	// Source is the name of the source in the mapping file, File that of the file, table or topic within it; empty where there is one only.
	Source string `json:"source"`
	File   string `json:"file,omitempty"`
	// Line is the line, row or offset, from 1, and Part tells the records of one line apart.
	Line int64 `json:"line"`
	Part int   `json:"part,omitempty"`
}

// String returns the place as messages name it.
func (p Place) String() string {
	s := p.Source
	if p.File != "" {
		s += " " + p.File
	}
	return fmt.Sprintf("%s:%d", s, p.Line)
}

// Record is one row of a stream. Values are in the order of the stream's fields.
type Record struct {
	Place  Place   `json:"place"`
	Values []Value `json:"values"`
	// Rules has a bit for each rule of its source that changed it: bit i for the i-th of them, bit 63 for all from there on.
	Rules uint64 `json:"rules,omitempty"`
}

// RuleBit returns the bit of the i-th rule in Record.Rules.
func RuleBit(i int) uint64 { return 1 << min(i, 63) }

// Clone returns a copy that shares nothing that may change.
func (r Record) Clone() Record {
	r.Values = slices.Clone(r.Values)
	return r
}

// Stream yields records one after the other. It is for one goroutine at a time.
type Stream interface {
	// Fields of all records, which do not change.
	Fields() []Field
	// Next returns the next record, which is valid until the next call, or io.EOF after the last. Other errors are final.
	Next() (Record, error)
}

// FieldIndex returns the position of a field, or -1.
func FieldIndex(fields []Field, name string) int {
	return slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
}

package record_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion/record"
)

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		v    record.Value
		typ  record.Type
		text string
	}{
		{record.Value{}, record.Null, ""},
		{record.OfText(""), record.Text, ""},
		{record.OfText("白色"), record.Text, "白色"},
		{record.OfNumber(0.1), record.Number, "0.1"},
		{record.OfNumber(1e21), record.Number, "1e+21"},
		{record.OfNumber(math.NaN()), record.Null, ""},
		{record.OfNumber(math.Inf(-1)), record.Null, ""},
		{record.OfBool(true), record.Bool, "true"},
		{record.OfBool(false), record.Bool, "false"},
		{record.OfTime(1_700_000_000_123), record.Time, "2023-11-14T22:13:20.123Z"},
	} {
		if tt.v.Type() != tt.typ || tt.v.String() != tt.text || tt.v.IsNull() != (tt.typ == record.Null) {
			t.Errorf("%v %q, want %v %q", tt.v.Type(), tt.v.String(), tt.typ, tt.text)
		}
	}
	if record.OfText("") == (record.Value{}) {
		t.Error("an empty text is missing")
	}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(-8_640_000_000_000_000, 8_640_000_000_000_000).Draw(t, "ms")
		if got := record.OfTime(ms).Millis(); got != ms {
			t.Fatalf("moment %d is %d", ms, got)
		}
	})
}

func TestPlace(t *testing.T) {
	if got := (record.Place{Source: "orders", Line: 7}).String(); got != "orders:7" {
		t.Errorf("got %q", got)
	}
	if got := (record.Place{Source: "logs", File: "a.csv", Line: 7}).String(); got != "logs a.csv:7" {
		t.Errorf("got %q", got)
	}
}

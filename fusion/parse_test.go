package fusion

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseNumber(t *testing.T) {
	bad := math.NaN()
	tests := []struct {
		in       string
		comma    bool
		want     float64
		repaired bool
	}{
		{in: "3", want: 3},
		{in: "-12", want: -12},
		{in: "+5", want: 5},
		{in: "3.5", want: 3.5},
		{in: "0.1", want: 0.1},
		{in: ".5", want: 0.5},
		{in: "5.", want: 5},
		{in: "-0", want: math.Copysign(0, -1)},
		{in: "1e3", want: 1000},
		{in: "1.5E-2", want: 0.015},
		{in: "000000000000000000007", want: 7},
		{in: "123456789012345678", want: 123456789012345678},
		{in: "0.1234567890123456789", want: 0.1234567890123456789},
		{in: "1e-400", want: 0},
		{in: "3,5", comma: true, want: 3.5, repaired: true},
		{in: "-1,234", comma: true, want: -1.234, repaired: true},
		{in: "3,5", want: bad},
		{in: "1,234,567", comma: true, want: bad},
		{in: "1.234,5", comma: true, want: bad},
		{in: ",", comma: true, want: bad},
		{in: "", want: bad},
		{in: "-", want: bad},
		{in: ".", want: bad},
		{in: "NaN", want: bad},
		{in: "Inf", want: bad},
		{in: "-inf", want: bad},
		{in: "1e400", want: bad},
		{in: "0x10", want: bad},
		{in: "1_000", want: bad},
		{in: "two", want: bad},
		{in: "1x", want: bad},
		{in: "#REF!", want: bad},
		{in: "1 2", want: bad},
		{in: "1.2.3", want: bad},
		{in: "--1", want: bad},
		{in: strings.Repeat("9", 400), want: bad},
	}
	for _, tt := range tests {
		got, repaired, err := parseNumber([]byte(tt.in), tt.comma)
		if math.IsNaN(tt.want) {
			if !errors.Is(err, ErrBadValue) {
				t.Errorf("%q: got %v, %v; want ErrBadValue", tt.in, got, err)
			}
			continue
		}
		if math.Float64bits(got) != math.Float64bits(tt.want) || repaired != tt.repaired || err != nil {
			t.Errorf("%q: got %v, repaired %t, %v; want %v, repaired %t", tt.in, got, repaired, err, tt.want, tt.repaired)
		}
	}
}

// TestParseShort: the fast path is exact.
func TestParseShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`-?[0-9]{0,9}(\.[0-9]{0,9})?`).Draw(t, "number")
		got, ok := parseShort([]byte(in))
		want, err := strconv.ParseFloat(in, 64)
		if ok && (err != nil || math.Float64bits(got) != math.Float64bits(want)) {
			t.Fatalf("%q: got %v, strconv has %v, %v", in, got, want, err)
		}
		if digits := len(strings.Trim(in, "-.")); !ok && err == nil && digits > 0 && digits <= 15 {
			t.Fatalf("%q is left to strconv", in)
		}
	})
}

func TestTrimBlanks(t *testing.T) {
	for in, want := range map[string]string{"": "", " \t": "", "a": "a", " a b\t\r\n": "a b", "\u00a0a": "\u00a0a"} {
		if got := string(trimBlanks([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

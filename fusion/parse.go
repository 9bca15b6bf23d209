package fusion

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// trimBlanks cuts spaces and tabs, and other control characters that count as
// space in ASCII, off both ends.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// isMissing reports whether a key is one of the words that programs write for
// a missing one. They are taken so only as a whole and in this case.
func isMissing(key []byte) bool {
	switch string(key) {
	case "", "NA", "N/A", "NaN", "nan", "NULL", "null", `\N`, "<NA>":
		return true
	}
	return false
}

// pow10 holds the powers of ten that float64 represents exactly.
var pow10 = [...]float64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// parseNumber returns the finite decimal number that b spells, correctly
// rounded, or an error that matches ErrBadValue. If comma is set, one comma
// may stand for the point, which is reported as repaired.
func parseNumber(b []byte, comma bool) (x float64, repaired bool, err error) {
	if x, ok := parseShort(b); ok {
		return x, false, nil
	}
	for _, c := range b {
		// Go's own syntax has more: NaN, Inf, hexadecimal, underscores.
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' && c != ',' {
			return 0, false, badValue(b)
		}
	}
	if i := bytes.IndexByte(b, ','); i >= 0 {
		if !comma || bytes.IndexByte(b, '.') >= 0 || bytes.IndexByte(b[i+1:], ',') >= 0 {
			return 0, false, badValue(b)
		}
		point := bytes.Clone(b)
		point[i] = '.'
		b, repaired = point, true
	}
	x, err = strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsInf(x, 0) {
		return 0, false, badValue(b)
	}
	return x, repaired, nil
}

func badValue(b []byte) error { return fmt.Errorf("%w: %.40q", ErrBadValue, b) }

// parseShort parses what most files hold: a sign, up to 15 digits and a point
// among them. Digits and power of ten are both exact in float64, so the one
// rounding of their quotient is the right one (Clinger, PLDI 1990).
func parseShort(b []byte) (float64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	var digits int64
	n, after := 0, -1 // digits in all, and after the point
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits = digits*10 + int64(c-'0')
			n++
			if after >= 0 {
				after++
			}
		case c == '.' && after < 0:
			after = 0
		default:
			return 0, false
		}
	}
	if n == 0 || n > 15 {
		return 0, false
	}
	x := float64(digits)
	if after > 0 {
		x /= pow10[after]
	}
	if negative {
		x = -x
	}
	return x, true
}

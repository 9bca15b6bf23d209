package clean

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// currencyWords are what stands for a currency beside signs of the class Sc, without regard to case. Longer ones come first.
var currencyWords = []string{
	"rmb", "cny", "usd", "eur", "gbp", "jpy", "inr", "brl", "chf", "aud", "cad", "hkd", "twd", "krw", "sgd", "sek", "nok", "dkk", "pln", "czk", "rub",
	"nt$", "hk$", "us$", "au$", "rs.", "人民币", "r$", "a$", "c$", "s$", "kr", "zł", "rs", "元", "圆", "円", "块",
}

// parseNumber reads a number as people write it: with a currency before or after, thousand separators (comma, point, blank, apostrophe), a decimal
// point or comma, signs before or after, or parentheses for what is owed; an exponent is allowed without separators.
//
// The decimal sign is point, comma, or, by default: the later one of two kinds of signs; a point that stands alone; a comma that stands
// alone, unless exactly three digits follow and one to three, not only 0, are before it (1,234 is a thousand and more, 0,234 and 12,34 are not).
// Signs of one kind that stand twice separate thousands. Groups of thousands have three digits. What does not fit is no number.
func parseNumber(s, decimal string) (float64, bool) {
	if x, ok := parseSimple(s); ok && decimal != "comma" {
		return x, true
	}
	s = strings.TrimSpace(s)
	negative := false
	if len(s) > 2 && s[0] == '(' && s[len(s)-1] == ')' {
		negative, s = true, strings.TrimSpace(s[1:len(s)-1])
	}
	// Sign and currency come in any order, each once.
	signed, money := negative, false
	for {
		rest, minus, ok := cutSign(s)
		if ok && !signed {
			signed, negative, s = true, minus, strings.TrimSpace(rest)
			continue
		}
		if rest, ok := cutCurrency(s); ok && !money {
			money, s = true, strings.TrimSpace(rest)
			continue
		}
		break
	}
	x, ok := parseDigits(s, decimal)
	if negative {
		x = -x
	}
	return x, ok
}

// cutSign takes a sign off either end.
func cutSign(s string) (rest string, minus, ok bool) {
	for _, sign := range []string{"-", "−", "－", "+", "＋"} {
		if rest, ok := strings.CutPrefix(s, sign); ok {
			return rest, sign != "+" && sign != "＋", true
		}
		if rest, ok := strings.CutSuffix(s, sign); ok {
			return rest, sign != "+" && sign != "＋", true
		}
	}
	return s, false, false
}

// cutCurrency takes a currency off either end.
func cutCurrency(s string) (string, bool) {
	if r, n := utf8.DecodeRuneInString(s); n > 0 && unicode.Is(unicode.Sc, r) {
		return s[n:], true
	}
	if r, n := utf8.DecodeLastRuneInString(s); n > 0 && unicode.Is(unicode.Sc, r) && !strings.HasSuffix(strings.ToLower(s[:len(s)-n]), "r") {
		s = s[:len(s)-n]
		for _, word := range []string{"us", "hk", "nt"} { // such as 12 US$
			if len(s) > 2 && strings.EqualFold(s[len(s)-2:], word) {
				return s[:len(s)-2], true
			}
		}
		return s, true
	}
	for _, w := range currencyWords {
		if len(s) <= len(w) {
			continue
		}
		if strings.EqualFold(s[:len(w)], w) {
			return s[len(w):], true
		}
		if strings.EqualFold(s[len(s)-len(w):], w) {
			return s[:len(s)-len(w)], true
		}
	}
	return s, false
}

// maxDigits bounds the length of a number.
const maxDigits = 400

// parseDigits reads digits with separators.
func parseDigits(s, decimal string) (float64, bool) {
	if s == "" || len(s) > maxDigits || s[0] == '.' && len(s) == 1 {
		return 0, false
	}
	mark := decimalMark(s, decimal)
	buf := make([]byte, 0, 64)
	separator := rune(0) // of thousands
	group := 0           // digits since the last separator
	fraction, digits, grouped := false, 0, false
	for i, r := range s {
		switch {
		case '0' <= r && r <= '9':
			buf = append(buf, byte(r))
			group++
			digits++
		case r == mark && !fraction:
			if grouped && group != 3 {
				return 0, false
			}
			fraction, group = true, 0
			buf = append(buf, '.')
		case (r == 'e' || r == 'E') && digits > 0 && !grouped:
			x, ok := parsePlain(string(buf) + s[i:])
			return x, ok
		case isThousands(r) && !fraction && (separator == 0 || separator == r):
			if group == 0 || group > 3 || grouped && group != 3 {
				return 0, false
			}
			separator, grouped, group = r, true, 0
		default:
			return 0, false
		}
	}
	if digits == 0 || grouped && !fraction && group != 3 {
		return 0, false
	}
	if x, ok := parseSimple(unsafeString(buf)); ok { // buf is not written to any more
		return x, true
	}
	x, err := strconv.ParseFloat(string(buf), 64)
	return x, err == nil
}

func isThousands(r rune) bool {
	switch r {
	case ',', '.', '\'', '’', '_', ' ', '\u00a0', '\u202f', '\u2009', '，':
		return true
	}
	return false
}

// decimalMark returns the decimal sign of a number, as far as it has one.
func decimalMark(s, decimal string) rune {
	switch decimal {
	case "point":
		return '.'
	case "comma":
		return ','
	}
	points, commas := strings.Count(s, "."), strings.Count(s, ",")
	switch {
	case points > 0 && commas > 0:
		if strings.LastIndexByte(s, '.') > strings.LastIndexByte(s, ',') {
			return '.'
		}
		return ','
	case points == 1:
		return '.'
	case commas == 1:
		at := strings.IndexByte(s, ',')
		if len(s)-at-1 == 3 && at >= 1 && at <= 3 && strings.Trim(s[:at], "0") != "" {
			return 0 // thousands
		}
		return ','
	}
	return 0
}

// powers of ten that a float64 holds exactly.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseSimple reads short numbers of digits and a point. A whole number below 2^53 and a power of ten are exact, so their quotient is
// the number rounded once, as strconv.ParseFloat has it.
func parseSimple(s string) (float64, bool) {
	i, negative := 0, false
	if s != "" && s[0] == '-' {
		i, negative = 1, true
	}
	if len(s)-i == 0 || len(s)-i > 15 {
		return 0, false
	}
	var n int64
	digits, point := 0, -1
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			n = 10*n + int64(c-'0')
			digits++
		case c == '.' && point < 0:
			point = digits
		default:
			return 0, false
		}
	}
	if digits == 0 {
		return 0, false
	}
	x := float64(n)
	if point >= 0 {
		x /= powers[digits-point]
	}
	if negative {
		x = -x
	}
	return x, true
}

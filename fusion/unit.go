package fusion

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// unit is a unit of measure: so many base units of its dimension are num/den. A dimension of amounts has no unit to convert to.
type unit struct {
	dimension string
	num, den  float64
}

// units are the units that fields may have. A quotient of whole numbers makes one rounding: 1999 cents are 19.99.
var units = map[string]unit{
	"cents": {"", 1, 100}, "percent": {"", 1, 100}, "permille": {"", 1, 1000}, "dozen": {"", 12, 1}, "thousand": {"", 1000, 1}, "million": {"", 1e6, 1},

	"mg": {"mass", 1, 1000}, "g": {"mass", 1, 1}, "kg": {"mass", 1000, 1}, "t": {"mass", 1e6, 1},
	"oz": {"mass", 28349523125, 1e9}, "lb": {"mass", 45359237, 1e5}, // by definition

	"mm": {"length", 1, 1000}, "cm": {"length", 1, 100}, "m": {"length", 1, 1}, "km": {"length", 1000, 1},
	"in": {"length", 254, 10000}, "ft": {"length", 3048, 10000},

	"ml": {"volume", 1, 1000}, "cl": {"volume", 1, 100}, "l": {"volume", 1, 1},

	"ms": {"duration", 1, 1000}, "s": {"duration", 1, 1}, "min": {"duration", 60, 1}, "h": {"duration", 3600, 1}, "d": {"duration", 86400, 1},
}

// scale says how the numbers of a field are converted: times num, by den, and, where byCode is set, times the factor of their currency.
type scale struct {
	num, den float64
	byCode   map[string]float64
}

// scale returns the conversion of a field.
func (f *Field) scale(rates map[string]float64) (scale, error) {
	s := scale{num: 1, den: 1}
	for _, code := range slices.Sorted(maps.Keys(rates)) {
		if rate := rates[code]; !(rate > 0) || math.IsInf(rate, 0) {
			return s, at("to", "the rate of %s is %v; want a number above 0", code, rate)
		}
	}
	u, known := units[f.Unit]
	if f.Unit != "" && !known {
		return s, at("unit", "unknown unit %q%s", f.Unit, suggest(f.Unit, slices.Sorted(maps.Keys(units))))
	}
	if known && u.dimension != "" {
		if f.Currency != "" || f.CurrencyColumn != "" {
			return s, at("unit", "amounts of money have no unit of %s", u.dimension)
		}
		to, ok := units[f.To]
		if !ok || to.dimension != u.dimension {
			return s, at("to", "%q; %s is converted to another unit of %s: %s", f.To, f.Unit, u.dimension, strings.Join(unitsOf(u.dimension), ", "))
		}
		s.num, s.den = u.num*to.den, u.den*to.num
	} else if known {
		s.num, s.den = u.num, u.den
	}
	if g := gcd(s.num, s.den); g > 1 {
		s.num, s.den = s.num/g, s.den/g
	}
	switch {
	case f.Currency == "" && f.CurrencyColumn == "":
		if f.To != "" && f.Unit == "" {
			return s, at("to", "to needs the unit or the currency to convert from")
		}
		return s, nil
	case f.Currency != "" && f.CurrencyColumn != "":
		return s, at("currency_column", "a currency excludes a column of currencies")
	case f.To == "":
		return s, at("currency", "a currency needs to: the currency to convert to")
	}
	target, ok := rates[f.To]
	if !ok {
		return s, at("to", "the rates of the mapping do not have %q%s", f.To, suggest(f.To, slices.Sorted(maps.Keys(rates))))
	}
	if f.Currency != "" {
		rate, ok := rates[f.Currency]
		if !ok {
			return s, at("currency", "the rates of the mapping do not have %q%s", f.Currency, suggest(f.Currency, slices.Sorted(maps.Keys(rates))))
		}
		s.num, s.den = s.num*rate, s.den*target
		return s, nil
	}
	s.byCode = map[string]float64{}
	for code, rate := range rates {
		s.byCode[code] = rate / target
	}
	return s, nil
}

func unitsOf(dimension string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(units)) {
		if units[name].dimension == dimension {
			out = append(out, name)
		}
	}
	return out
}

// gcd returns the greatest common divisor of two whole numbers above 0.
func gcd(a, b float64) float64 {
	for b != 0 {
		a, b = b, math.Mod(a, b)
	}
	return a
}

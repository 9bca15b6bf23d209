package fusion

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/kith-io/kith/fusion/expression"
	"github.com/kith-io/kith/fusion/record"
)

// converter makes the values of one field.
type converter struct {
	f          *Field
	typ        record.Type
	at         int // of the column in a row; -1 if there is none
	currencyAt int
	key        bool // bounded as a key is
	needed     bool
	eventTime  bool // bounded as the times of events are
	behavior   bool

	constant    record.Value
	replacement record.Value // of a missing value
	expr        *expression.Expression
	missing     [][]byte
	values      map[string]*string // exact, and in lower case
	others      *string
	translated  bool
	scale       scale
	moments     moments
	truth       map[string]bool
	none, bad   error
}

// missingWords are taken for a missing value where a field does not say otherwise and is no free text.
var missingWords = []string{"NA", "N/A", "NaN", "nan", "NULL", "null", `\N`, "<NA>"}

// newConverter makes a field of a source of kind k ready. Columns are not looked for.
func newConverter(f *Field, k Kind, rates map[string]float64) (*converter, error) {
	c := &converter{f: f, typ: f.typ(k), at: -1, currencyAt: -1}
	m, means := meaningOf(k, f.Name)
	c.key, c.needed = m.key, m.needed || f.Required
	c.eventTime = means && m.typ == record.Time
	c.behavior = k == EventRows && f.Name == "behavior"
	c.none, c.bad = refusals(f.Name)
	words := f.Missing
	if words == nil && (means || c.typ != record.Text) {
		words = missingWords
	}
	for _, w := range words {
		c.missing = append(c.missing, []byte(w))
	}
	if f.Values != nil {
		c.translated = true
		c.values = map[string]*string{}
		for from, to := range f.Values {
			if _, ok := f.Values[strings.ToLower(from)]; !ok {
				c.values[strings.ToLower(from)] = to
			}
		}
		for from, to := range f.Values {
			if from == "*" {
				c.others, c.translated = to, false
				continue
			}
			c.values[strings.TrimSpace(from)] = to
		}
	}
	var err error
	if c.scale, err = f.scale(rates); err != nil {
		return nil, err
	}
	if c.typ == record.Time {
		for _, s := range f.Format {
			format, err := formatOf(s)
			if err != nil {
				return nil, at("format", "%w", err)
			}
			c.moments.formats = append(c.moments.formats, format)
		}
		if len(f.Format) == 0 {
			c.moments.formats = []timeFormat{{}}
		}
		if f.Zone != "" {
			if c.moments.zone, err = time.LoadLocation(f.Zone); err != nil {
				return nil, at("zone", "%w", err)
			}
		}
	}
	if c.typ == record.Bool {
		c.truth = map[string]bool{}
		for value, words := range map[bool][]string{true: f.True, false: f.False} {
			if words == nil {
				words = map[bool][]string{true: {"true", "t", "yes", "y", "1"}, false: {"false", "f", "no", "n", "0"}}[value]
			}
			for _, w := range words {
				c.truth[strings.ToLower(w)] = value
			}
		}
	}
	return c, c.constants()
}

// constants converts the constant and the default.
func (c *converter) constants() (err error) {
	plain := *c // without translation and units, which belong to what the column has
	plain.values, plain.others, plain.translated, plain.scale, plain.currencyAt = nil, nil, false, scale{num: 1, den: 1}, -1
	if plain.typ == record.Null { // of an expression that is not known yet
		plain.typ = record.Text
	}
	if plain.typ == record.Time {
		plain.moments.formats = append(slices.Clone(plain.moments.formats), timeFormat{})
	}
	if c.f.Constant != "" {
		if c.constant, err = plain.convert([]byte(c.f.Constant)); err != nil {
			return at("constant", "%w", err)
		}
	}
	if c.f.Default != nil && *c.f.Default != "" {
		if c.replacement, err = plain.convert([]byte(*c.f.Default)); err != nil {
			return at("default", "%w", err)
		}
	}
	return nil
}

// refusals returns the reasons to refuse a record for a missing and for a bad value of a field.
func refusals(name string) (none, bad error) {
	none, bad = &refusal{"no_" + name, "no " + name}, &refusal{"bad_" + name, "bad " + name}
	switch name {
	case "user":
		return ErrNoUser, ErrBadKey
	case "item":
		return ErrNoItem, ErrBadKey
	case "value":
		return none, ErrBadValue
	case "time":
		return none, ErrBadTime
	case "behavior":
		return none, ErrBadBehavior
	}
	return none, bad
}

// ofRow returns the value of the field's column in a row, before its expression, and says whether it was repaired.
func (c *converter) ofRow(fields [][]byte) (v record.Value, repaired bool, err error) {
	if c.at < 0 {
		return c.constant, false, nil
	}
	raw := fields[c.at]
	field := trimBlanks(raw)
	if v, err = c.convert(field); err == nil && c.scale.byCode != nil && !v.IsNull() {
		v, err = c.exchange(v, fields)
	}
	repaired = c.key && len(field) < len(raw)
	if err != nil && !errors.Is(err, ErrKeyTooLong) {
		switch c.f.OnError {
		case "null":
			return record.Value{}, true, nil
		case "default":
			return c.replacement, true, nil
		}
	}
	return v, repaired, err
}

// exchange converts an amount in the currency that its row names.
func (c *converter) exchange(v record.Value, fields [][]byte) (record.Value, error) {
	code := trimBlanks(fields[c.currencyAt])
	factor, ok := c.scale.byCode[string(code)]
	if !ok {
		factor, ok = c.scale.byCode[strings.ToUpper(string(code))]
	}
	if !ok {
		return v, fmt.Errorf("%w: the currency %.40q is not among the rates of the mapping", c.bad, code)
	}
	return record.OfNumber(v.Number() * factor), nil
}

// finish puts the default in the place of a missing value, and refuses a record that lacks one it needs.
func (c *converter) finish(v record.Value) (record.Value, error) {
	if v.IsNull() {
		v = c.replacement
		if v.IsNull() && c.needed {
			return v, c.none
		}
	}
	if c.expr != nil && c.key && v.Type() == record.Text {
		return v, checkKey(c.f.Name, v.Text())
	}
	return v, nil
}

// convert returns the value that a trimmed field spells; a missing value for one that stands for it.
func (c *converter) convert(field []byte) (record.Value, error) {
	if c.values != nil {
		to, ok := c.values[string(field)]
		if !ok {
			to, ok = c.values[strings.ToLower(string(field))]
		}
		switch {
		case ok && to == nil:
			return record.Value{}, nil
		case ok:
			field = []byte(*to)
		case c.isMissing(field):
			return record.Value{}, nil
		case c.translated:
			return record.Value{}, fmt.Errorf("%w: %.40q is not among the values of the field", c.bad, field)
		case c.others == nil:
			return record.Value{}, nil
		default:
			field = []byte(*c.others)
		}
	}
	if c.isMissing(field) {
		return record.Value{}, nil
	}
	for _, s := range c.f.Strip {
		field = trimBlanks(bytes.TrimSuffix(trimBlanks(bytes.TrimPrefix(field, []byte(s))), []byte(s)))
	}
	switch c.typ {
	case record.Number:
		return c.number(field)
	case record.Time:
		ms, ok := c.moments.parse(field)
		if !ok || c.eventTime && ms < 0 {
			return record.Value{}, fmt.Errorf("%w: %.40q is no time of the format %s", c.bad, field, c.formats())
		}
		return record.OfTime(ms), nil
	case record.Bool:
		b, ok := c.truth[strings.ToLower(string(field))]
		if !ok {
			return record.Value{}, fmt.Errorf("%w: %.40q is neither true nor false", c.bad, field)
		}
		return record.OfBool(b), nil
	}
	return c.text(field)
}

func (c *converter) formats() string {
	if len(c.f.Format) == 0 {
		return "auto (numbers since 1970, or dates with the year first)"
	}
	return strings.Join(c.f.Format, " or ")
}

func (c *converter) isMissing(field []byte) bool {
	if len(field) == 0 {
		return true
	}
	for _, m := range c.missing {
		if bytes.Equal(m, field) {
			return true
		}
	}
	return false
}

// number reads a number as it is declared.
func (c *converter) number(field []byte) (record.Value, error) {
	digits := field
	if t := c.f.Thousands; t != "" && bytes.Contains(field, []byte(t)) {
		var ok bool
		if digits, ok = ungroup(field, t, c.f.point()); !ok {
			return record.Value{}, fmt.Errorf("%w: %.40q is no number with %q between groups of three digits", c.bad, field, t)
		}
	}
	if c.f.Decimal == "," {
		if bytes.IndexByte(digits, '.') >= 0 {
			return record.Value{}, fmt.Errorf("%w: %.40q is no number with a decimal comma", c.bad, field)
		}
		digits = bytes.ReplaceAll(digits, []byte(","), []byte("."))
	}
	x, _, err := parseNumber(digits, false)
	if err != nil {
		return record.Value{}, fmt.Errorf("%w: %.40q is no number%s", c.bad, field, c.numberHint(field))
	}
	if c.scale.num != 1 || c.scale.den != 1 {
		x = x * c.scale.num / c.scale.den
	}
	v := record.OfNumber(x)
	if v.IsNull() {
		return v, fmt.Errorf("%w: %.40q is too large", c.bad, field)
	}
	return v, nil
}

func (c *converter) numberHint(field []byte) string {
	if c.f.Decimal == "" && bytes.IndexByte(field, ',') >= 0 {
		return `; if the comma is the decimal point, say decimal: ",", if it separates thousands, thousands: ","`
	}
	return ""
}

// ungroup takes separators of thousands out of a number, if they all stand before groups of three digits.
func ungroup(field []byte, separator, point string) ([]byte, bool) {
	whole, fraction, _ := bytes.Cut(field, []byte(point))
	groups := bytes.Split(whole, []byte(separator))
	first := bytes.TrimLeft(groups[0], "+-")
	if bytes.Contains(fraction, []byte(separator)) || len(first) == 0 || len(first) > 3 {
		return nil, false
	}
	for _, g := range groups[1:] {
		if len(g) != 3 || bytes.ContainsFunc(g, func(r rune) bool { return r < '0' || r > '9' }) {
			return nil, false
		}
	}
	out := bytes.Join(groups, nil)
	return append(out, field[len(whole):]...), true
}

// text normalizes and checks a text.
func (c *converter) text(field []byte) (record.Value, error) {
	if !utf8.Valid(field) {
		if c.key {
			return record.Value{}, fmt.Errorf("%w: %s %.40q", ErrBadKey, c.f.Name, field)
		}
		return record.Value{}, fmt.Errorf("%w: %.40q is not valid UTF-8; set the encoding of the source", c.bad, field)
	}
	s := string(field)
	for _, form := range c.f.Normalize {
		switch form {
		case "spaces":
			s = strings.Join(strings.Fields(s), " ")
		case "nfc":
			s = norm.NFC.String(s)
		case "lower":
			s = strings.ToLower(s)
		case "upper":
			s = strings.ToUpper(s)
		}
	}
	switch {
	case s == "":
		return record.Value{}, nil
	case c.behavior:
		if b := strings.ToLower(s); Behavior(b).Valid() {
			return record.OfText(b), nil
		}
		return record.Value{}, fmt.Errorf("%w: %.40q; say what it is with values", ErrBadBehavior, s)
	case c.key:
		return record.OfText(s), checkKey(c.f.Name, s)
	}
	return record.OfText(s), nil
}

// Reader returns a function that reads one value of the field's column as records of a mapping without rates have it, or says why it cannot.
// The function is for one goroutine at a time.
func (f *Field) Reader() (func(value []byte) (record.Value, error), error) {
	if err := f.check(ProductRows, nil); err != nil {
		return nil, err
	}
	c, err := newConverter(f, ProductRows, nil)
	if err != nil {
		return nil, err
	}
	return func(value []byte) (record.Value, error) { return c.convert(trimBlanks(value)) }, nil
}

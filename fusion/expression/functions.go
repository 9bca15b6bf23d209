package expression

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/kith-io/kith/fusion/record"
)

// functions lists the names of all functions.
var functions = []string{
	"abs", "ceil", "day", "field", "floor", "hour", "len", "lower", "max", "min", "month", "number", "replace", "round", "split",
	"text", "time", "trim", "unix", "upper", "weekday", "year",
}

// of1 are the functions of one value, of and to a type.
var of1 = map[string]struct {
	from, to record.Type
	f        func(record.Value) record.Value
}{
	"abs":     {record.Number, record.Number, func(v record.Value) record.Value { return record.OfNumber(math.Abs(v.Number())) }},
	"ceil":    {record.Number, record.Number, func(v record.Value) record.Value { return record.OfNumber(math.Ceil(v.Number())) }},
	"floor":   {record.Number, record.Number, func(v record.Value) record.Value { return record.OfNumber(math.Floor(v.Number())) }},
	"len":     {record.Text, record.Number, func(v record.Value) record.Value { return record.OfNumber(float64(utf8.RuneCountInString(v.Text()))) }},
	"lower":   {record.Text, record.Text, func(v record.Value) record.Value { return short(strings.ToLower(v.Text())) }},
	"upper":   {record.Text, record.Text, func(v record.Value) record.Value { return short(strings.ToUpper(v.Text())) }},
	"trim":    {record.Text, record.Text, func(v record.Value) record.Value { return record.OfText(strings.TrimSpace(v.Text())) }},
	"time":    {record.Text, record.Time, func(v record.Value) record.Value { return moment(v.Text()) }},
	"year":    {record.Time, record.Number, calendar(time.Time.Year)},
	"month":   {record.Time, record.Number, calendar(func(t time.Time) int { return int(t.Month()) })},
	"day":     {record.Time, record.Number, calendar(time.Time.Day)},
	"hour":    {record.Time, record.Number, calendar(time.Time.Hour)},
	"weekday": {record.Time, record.Number, calendar(func(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 })},
	"unix":    {record.Time, record.Number, func(v record.Value) record.Value { return record.OfNumber(float64(v.Millis()) / 1000) }},
}

func calendar(part func(time.Time) int) func(record.Value) record.Value {
	return func(v record.Value) record.Value {
		return record.OfNumber(float64(part(time.UnixMilli(v.Millis()).UTC())))
	}
}

// moment reads a text as a moment, or returns a missing value.
func moment(s string) record.Value {
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return record.OfTime(t.UnixMilli())
		}
	}
	return record.Value{}
}

// call makes the call of a function ready.
func (c *compiler) call(n ast.Node, name string, args []ast.Node) (node, error) {
	if !slices.Contains(functions, name) {
		return node{}, wrong(n, "there is no function %q; there are %s", name, strings.Join(functions, ", "))
	}
	if name == "field" {
		if len(args) == 1 {
			if s, ok := args[0].(*ast.StringNode); ok {
				return c.name(n, s.Value)
			}
		}
		return node{}, wrong(n, "field takes the name of a field in quotes")
	}
	xs := make([]node, len(args))
	evals := make([]eval, len(args))
	for i, a := range args {
		x, err := c.node(a)
		if err != nil {
			return x, err
		}
		xs[i], evals[i] = x, x.eval
	}
	count := func(low, high int) error {
		if len(args) < low || len(args) > high {
			return wrong(n, "%s takes %s, and there are %d", name, howMany(low, high), len(args))
		}
		return nil
	}
	types := func(of ...record.Type) error {
		for i, a := range args {
			if err := want(a, name, xs[i], of[min(i, len(of)-1)]); err != nil {
				return err
			}
		}
		return nil
	}
	if f, ok := of1[name]; ok {
		if err := count(1, 1); err != nil {
			return node{}, err
		}
		return node{typ: f.to, eval: lift(evals[0], f.f)}, types(f.from)
	}
	switch name {
	case "number", "text":
		if err := count(1, 1); err != nil {
			return node{}, err
		}
		if name == "number" {
			return node{typ: record.Number, eval: lift(evals[0], number)}, nil
		}
		return node{typ: record.Text, eval: lift(evals[0], func(v record.Value) record.Value { return record.OfText(v.String()) })}, nil
	case "round":
		if err := count(1, 2); err != nil {
			return node{}, err
		}
		digits := constant(record.OfNumber(0)).eval
		if len(evals) == 2 {
			digits = evals[1]
		}
		return node{typ: record.Number, eval: numbers2(evals[0], digits, round)}, types(record.Number)
	case "min", "max":
		if err := count(1, MaxNodes); err != nil {
			return node{}, err
		}
		f := math.Min
		if name == "max" {
			f = math.Max
		}
		of := evals[0]
		for _, e := range evals[1:] {
			of = numbers2(of, e, f)
		}
		return node{typ: record.Number, eval: of}, types(record.Number)
	case "replace":
		if err := count(3, 3); err != nil {
			return node{}, err
		}
		return node{typ: record.Text, eval: lift3(evals, replace)}, types(record.Text)
	default: // split
		if err := count(3, 3); err != nil {
			return node{}, err
		}
		return node{typ: record.Text, eval: lift3(evals, split)}, types(record.Text, record.Text, record.Number)
	}
}

func howMany(low, high int) string {
	switch {
	case high == 1:
		return "1 value"
	case low == high:
		return strconv.Itoa(low) + " values"
	case high == MaxNodes:
		return strconv.Itoa(low) + " or more values"
	}
	return strconv.Itoa(low) + " or " + strconv.Itoa(high) + " values"
}

// lift makes a function of a value one of missing values as well.
func lift(x eval, f func(record.Value) record.Value) eval {
	return func(row []record.Value) record.Value {
		v := x(row)
		if v.IsNull() {
			return v
		}
		return f(v)
	}
}

func lift3(xs []eval, f func(a, b, c record.Value) record.Value) eval {
	return func(row []record.Value) record.Value {
		a, b, c := xs[0](row), xs[1](row), xs[2](row)
		if a.IsNull() || b.IsNull() || c.IsNull() {
			return record.Value{}
		}
		return f(a, b, c)
	}
}

// number returns a value as a number: decimal text, 1 for true, milliseconds of a moment.
func number(v record.Value) record.Value {
	if v.Type() != record.Text {
		return record.OfNumber(v.Number())
	}
	s := strings.TrimSpace(v.Text())
	if strings.ContainsAny(s, "_xXpPiInN") { // Go's own: 1_000, 0x1p4, Inf, NaN
		return record.Value{}
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return record.Value{}
	}
	return record.OfNumber(x)
}

// round rounds to a number of digits after the point, halves away from zero.
func round(x, digits float64) float64 {
	digits = max(-15, min(15, math.Trunc(digits)))
	if digits < 0 {
		scale := math.Pow10(int(-digits))
		return math.Round(x/scale) * scale
	}
	scale := math.Pow10(int(digits))
	if math.Abs(x)*scale >= 1<<53 { // it has no such digits
		return x
	}
	return math.Round(x*scale) / scale
}

// replace replaces all occurrences of a text that is not empty.
func replace(s, old, by record.Value) record.Value {
	if old.Text() == "" {
		return s
	}
	n := strings.Count(s.Text(), old.Text())
	if len(s.Text())+n*(len(by.Text())-len(old.Text())) > MaxText {
		return record.Value{}
	}
	return record.OfText(strings.ReplaceAll(s.Text(), old.Text(), by.Text()))
}

// split returns the nth part, from 1, of a text between separators; from the end with a negative n.
func split(s, separator, n record.Value) record.Value {
	parts := strings.Split(s.Text(), separator.Text())
	at := n.Number() - 1
	if at < -1 {
		at = float64(len(parts)) + n.Number()
	}
	if separator.Text() == "" || at != math.Trunc(at) || at < 0 || at >= float64(len(parts)) {
		return record.Value{}
	}
	return record.OfText(parts[int(at)])
}

// slice makes text[from:to] ready: the characters from one position, counted from 0, up to before another.
func (c *compiler) slice(n *ast.SliceNode) (node, error) {
	x, err := c.node(n.Node)
	if err != nil {
		return x, err
	}
	if err := want(n.Node, "[:]", x, record.Text); err != nil {
		return node{}, err
	}
	from, to := constant(record.OfNumber(0)), constant(record.OfNumber(math.MaxInt32))
	for _, bound := range []struct {
		n   ast.Node
		dst *node
	}{{n.From, &from}, {n.To, &to}} {
		if bound.n == nil {
			continue
		}
		if *bound.dst, err = c.node(bound.n); err != nil {
			return node{}, err
		}
		if err := want(bound.n, "[:]", *bound.dst, record.Number); err != nil {
			return node{}, err
		}
	}
	return node{typ: record.Text, eval: lift3([]eval{x.eval, from.eval, to.eval}, substring)}, nil
}

// substring cuts a text at characters; positions beyond its ends are at its ends, negative ones count from the end.
func substring(s, from, to record.Value) record.Value {
	text, low, high := s.Text(), from.Number(), to.Number()
	if low < 0 || high < 0 {
		n := float64(utf8.RuneCountInString(text))
		if low < 0 {
			low = max(0, n+low)
		}
		if high < 0 {
			high = max(0, n+high)
		}
	}
	start, end, i := len(text), len(text), 0.0
	for at := range text {
		if i >= low && at < start {
			start = at
		}
		if i >= high {
			end = at
			break
		}
		i++
	}
	return record.OfText(text[min(start, end):end])
}

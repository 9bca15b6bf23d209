package page

import (
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/kith-io/kith/chart"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/record"
)

// functions are those of the template.
var functions = template.FuncMap{
	"n": count, "share": share, "number": numberText, "when": whenText, "day": dayText, "took": tookText, "value": valueText, "place": placeText, "reason": reasonText,
	"kind": kindText, "rule": ruleText, "method": methodText, "points": pointsText, "plural": plural, "dict": dict, "percent": chart.Percent,
}

// dict makes a map of names and values, for templates within templates.
func dict(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

// whole is any whole number of a report.
type whole interface{ ~int | ~int64 | ~uint64 }

func text[N whole](n N) string { return chart.Number(float64(n), 0) }

// count writes a whole number with its thousands apart.
func count(n any) string {
	switch n := n.(type) {
	case int:
		return text(n)
	case int64:
		return text(n)
	case uint64:
		return text(n)
	}
	return "?"
}

// share writes a part of a whole in per cent, "" if there is no whole.
func share(part, of int64) string {
	if of == 0 {
		return ""
	}
	return chart.Percent(float64(part) / float64(of))
}

// plural writes a number with a word, whose plural has an s.
func plural(n any, word string) string {
	s := count(n)
	if s == "1" {
		return "1 " + word
	}
	return s + " " + word + "s"
}

// numberText writes a number with two decimals, or with three digits if it is small, without zeros at the end.
func numberText(x float64) string {
	decimals := 2
	if a := math.Abs(x); a > 0 && a < 1 {
		decimals = 2 - int(math.Floor(math.Log10(a)))
	}
	if decimals > 8 {
		return record.OfNumber(x).String()
	}
	s := chart.Number(x, decimals)
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// pointsText writes a weight with its sign.
func pointsText(x float64) string {
	if x > 0 {
		return "+" + chart.Number(x, 1)
	}
	return chart.Number(x, 1)
}

// whenText writes a moment of Unix milliseconds, at midnight as a day.
func whenText(ms int64) string {
	t := time.UnixMilli(ms).UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format("2 Jan 2006")
	}
	return t.Format("2 Jan 2006 15:04")
}

func dayText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2 Jan 2006") }

// tookText writes a time that something took.
func tookText(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// valueText writes a value as people read it.
func valueText(v record.Value) string {
	switch v.Type() {
	case record.Null:
		return "(missing)"
	case record.Number:
		return numberText(v.Number())
	case record.Time:
		return whenText(v.Millis())
	}
	if v.String() == "" {
		return "(empty)"
	}
	return v.String()
}

func placeText(p record.Place) string {
	s := "line " + text(p.Line)
	if p.File != "" {
		s = p.File + " " + s
	}
	return s
}

// reasons are the codes of rejections, without those that name a field or a rule.
var reasons = map[string]string{
	"no_user": "no user", "no_item": "no product", "key_too_long": "a key is too long", "bad_key": "a key cannot be read", "bad_behavior": "unknown behavior",
	"bad_context": "the fields beside the event are too large", "short_row": "the row ends early", "columns": "wrong number of columns",
	"quote": "quotation marks do not match", "row_too_long": "the row is too long", "json": "no valid JSON", "bad_status": "unknown status",
	"no_counterpart": "not found in the source that it refers to", "unknown_kind": "a key of an unknown kind", "bad_record": "the record is too large, or not valid",
	"too_many_rows": "more rows of one key than there is memory for",
	"other":         "other reasons",
}

// Rejections by rules have this before their code.
const ruleCode = "rule_"

// reasonText says in words why rows were rejected.
func reasonText(code string) string {
	if s, ok := reasons[code]; ok {
		return s
	}
	if rule, ok := strings.CutPrefix(code, ruleCode); ok {
		return "refused by the rule “" + strings.ReplaceAll(rule, "_", " ") + "”"
	}
	if field, ok := strings.CutPrefix(code, "no_"); ok {
		return field + " is missing"
	}
	if field, ok := strings.CutPrefix(code, "bad_"); ok {
		return field + " cannot be read"
	}
	return code
}

func kindText(k fusion.Kind) string {
	switch k {
	case fusion.OrderRows:
		return "order lines"
	case fusion.LinkRows:
		return "links"
	case fusion.TableRows:
		return "a table"
	}
	return string(k)
}

// ruleText says in words what a kind of rule does.
func ruleText(kind string) string {
	words := map[string]string{
		"repair": "reads texts as values", "text": "writes texts alike", "range": "checks limits", "pattern": "checks the form", "allowed": "checks against a list",
		"missing": "deals with missing values", "duplicates": "finds repeated rows", "outliers": "finds unusual values", "normalize": "puts values on one scale", "bots": "finds robots",
	}
	if s, ok := words[kind]; ok {
		return s
	}
	return kind
}

// methodText says in words whose value counts.
func methodText(method string) string {
	words := map[string]string{
		"trust": "the most trusted source", "newest": "the newest", "majority": "what most sources say", "longest": "the longest text", "max": "the greatest", "min": "the least",
	}
	if s, ok := words[method]; ok {
		return s
	}
	return method
}

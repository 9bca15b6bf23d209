package infer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/source"
)

// ref returns how a mapping names a column.
func (t *table) ref(c *column) string {
	if t.header == nil {
		return strconv.Itoa(c.at + 1)
	}
	for _, other := range t.columns {
		if other != c && strings.EqualFold(other.name, c.name) {
			return strconv.Itoa(c.at + 1)
		}
	}
	if _, err := strconv.Atoi(c.name); err == nil || !printable(c.name) || c.name == fusion.None {
		return strconv.Itoa(c.at + 1)
	}
	return quote(c.name)
}

// printable reports whether a name can stand in a mapping as it is.
func printable(name string) bool {
	return name != "" && len(name) <= 200 && utf8.ValidString(name) && name == strings.TrimSpace(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// suffixes of names that tell a unit, which is converted to the base unit of its kind.
var suffixes = map[string]string{
	"cents": "unit: cents", "cent": "unit: cents", "g": "unit: g, to: kg", "mm": "unit: mm, to: m", "cm": "unit: cm, to: m", "ml": "unit: ml, to: l",
	"ms": "unit: ms, to: s", "percent": "unit: percent", "pct": "unit: percent",
}

// value proposes a field of the values of a column.
func (t *table) value(name string, c *column, why string) line {
	f, words := t.form(name, c)
	switch {
	case why == "":
		why = words
	case words != "" && words != "numbers (0.9)":
		why += "; " + words
	}
	if f == "" {
		return line{quote(name), t.ref(c), why}
	}
	return line{quote(name), "{column: " + t.ref(c) + ", " + f + "}", why}
}

// form says, in the words of a mapping, which type and form the values of a column have; nothing for texts.
func (t *table) form(name string, c *column) (keys, why string) {
	missing := ""
	if len(c.words) > 0 {
		var all []string
		for _, w := range slices.Sorted(maps.Keys(c.words)) {
			all = append(all, quote(w))
		}
		missing = "missing: [" + strings.Join(all, ", ") + "]"
	}
	typed := name == "price" || name == "quantity" // the kind knows
	number, moment := c.number(), c.moment()
	switch { // what plays a role may have some bad values
	case typed:
		number = c.mostly("number")
	case name == "time":
		moment = c.mostly("time")
	}
	both := c.distinct() == 2 && c.values["0"] > 0 && c.values["1"] > 0
	switch {
	case both && !typed:
		return "type: bool", "0 and 1 alone (0.7)"
	case c.ofType("bool") != nil && !c.integers && !typed:
		return "type: bool", "truth values (0.9)"
	case name == "time", moment != nil && (number == nil || strings.Contains(strings.ToLower(c.name), "time")):
		return "type: time, format: " + quote(moment.field.Format[0]) + moment.onError(), c.when(moment)
	case number != nil && !c.zeros && (typed || !t.code(c)):
		f := number
		keys = "type: number"
		if f.field.Decimal != "" {
			keys += ", decimal: " + quote(f.field.Decimal)
		}
		if f.field.Thousands != "" {
			keys += ", thousands: " + quote(f.field.Thousands)
		}
		if len(f.field.Strip) > 0 {
			keys += ", strip: [$, €, £]"
		}
		keys += f.onError()
		why = c.but(f, f.words)
		parts := strings.FieldsFunc(strings.ToLower(c.name), func(r rune) bool { return r == '_' || r == ' ' || r == '-' || r == '.' })
		if len(parts) > 1 {
			if unit := suffixes[parts[len(parts)-1]]; unit != "" {
				keys += ", " + unit
				why += ", the unit by the end of the name (0.7)"
			}
		}
		return keys, why
	}
	return missing, ""
}

// onError says what becomes of values that do not have the form, if there are any.
func (f *form) onError() string {
	if f.bad > 0 {
		return ", on_error: reject"
	}
	return ""
}

// code reports whether numbers are keys or codes by the name of their column.
func (t *table) code(c *column) bool {
	name := fold(c.name)
	for _, end := range []string{"id", "code", "zip", "prefix", "number", "no", "upc", "phone"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return t.header == nil && c.integers && c.unique()
}

// attributes proposes a field for each column that is left.
func (p *proposal) attributes(taken map[*column]bool) {
	used := map[string]bool{}
	for _, f := range p.fields {
		used[strings.Trim(f.key, `"`)] = true
	}
	reserved := []string{"user", "item", "order", "quantity", "price", "status", "time", "id", "left", "right", "left_kind", "right_kind", "behavior", "value"}
	for _, c := range p.t.columns {
		if taken[c] || c.n == 0 {
			continue
		}
		name := c.name
		if p.t.header == nil {
			name = "column_" + strconv.Itoa(c.at+1)
		} else if _, ok := plays("title", c.name); ok && !used["title"] {
			name = "title"
		}
		if !printable(name) {
			name = "column_" + strconv.Itoa(c.at+1)
		}
		if slices.Contains(reserved, name) && !(p.kind == fusion.ProductRows && (name == "price" || name == "status")) {
			name += "_given"
		}
		for base, n := name, 2; used[name]; n++ {
			name = fmt.Sprintf("%s_%d", base, n)
		}
		used[name] = true
		p.fields = append(p.fields, p.t.value(name, c, ""))
	}
}

// leave lists the columns that a log does not need.
func (p *proposal) leave(taken map[*column]bool) {
	for _, c := range p.t.columns {
		if !taken[c] {
			p.unused = append(p.unused, c.name)
		}
	}
}

// top lists the most frequent of some values of a column.
func top(c *column, values []string) string {
	keys := slices.SortedFunc(slices.Values(values), func(a, b string) int {
		if d := c.values[b] - c.values[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var out []string
	for _, k := range keys[:min(4, len(keys))] {
		out = append(out, fmt.Sprintf("%s %d", k, c.values[k]))
	}
	return strings.Join(out, ", ")
}

// write writes the source.
func (p *proposal) write(out *strings.Builder, name string) {
	t := p.t
	fmt.Fprintf(out, "  # %s: %s (%.1f); %s seen\n", p.kind, comment(strings.Join(p.why, "; ")), p.sure, t.rowsSeen())
	if t.refused > 0 {
		fmt.Fprintf(out, "  # %d rows cannot be read and will be refused\n", t.refused)
	}
	fmt.Fprintf(out, "  - name: %s\n    path: %s\n", quote(name), quote(t.path))
	if p.kind != fusion.EventRows {
		fmt.Fprintf(out, "    kind: %s\n", p.kind)
	}
	switch t.format {
	case source.Parquet, source.Lines, source.Baskets:
		fmt.Fprintf(out, "    format: %s\n", t.format)
	default:
		fmt.Fprintf(out, "    separator: %s\n", separator(t.sep))
		fmt.Fprintf(out, "    header: %t\n", t.header != nil)
	}
	if t.options.NoQuote {
		out.WriteString("    quote: false # rows cannot be read otherwise\n")
	}
	if t.options.Encoding != "" {
		fmt.Fprintf(out, "    encoding: %s # it is no UTF-8 (0.7)\n", t.options.Encoding)
	}
	if t.options.Skip > 0 {
		fmt.Fprintf(out, "    skip: %d # the first lines are shorter than all others (0.8)\n", t.options.Skip)
	}
	for _, l := range p.extra {
		writeLine(out, "    ", l)
	}
	for _, block := range []struct {
		key   string
		lines []line
	}{{"columns", p.columns}, {"fields", p.fields}} {
		if len(block.lines) == 0 {
			continue
		}
		fmt.Fprintf(out, "    %s:\n", block.key)
		for _, l := range block.lines {
			writeLine(out, "      ", l)
		}
	}
	if len(p.unused) > 0 {
		fmt.Fprintf(out, "      # not used: %s\n", comment(strings.Join(p.unused, ", ")))
	}
}

func writeLine(out *strings.Builder, indent string, l line) {
	fmt.Fprintf(out, "%s%s:", indent, l.key)
	if l.value != "" {
		out.WriteString(" " + l.value)
	}
	if l.why != "" {
		out.WriteString(" # " + comment(l.why))
	}
	out.WriteByte('\n')
}

// comment makes one line of a text, of bounded length.
func comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffd {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "..."
	}
	return s
}

// separator returns the name of a separator.
func separator(s string) string {
	switch s {
	case "\t":
		return "tab"
	case source.Spaces:
		return "space"
	case ",":
		return "comma"
	case ";":
		return "semicolon"
	case "|":
		return "pipe"
	}
	return quote(s)
}

// quote returns a text as YAML reads it back, without quotes where they are not needed.
func quote(s string) string {
	plain := s != ""
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		plain = plain && (letter || i > 0 && (r >= '0' && r <= '9' || r == '.' || r == '/' || r == '-' && i < len(s)-1))
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}

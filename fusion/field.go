package fusion

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kith-io/kith/fusion/expression"
	"github.com/kith-io/kith/fusion/record"
)

// Field declares one field of the records of a source: where its values come from, of which type they are, and what is done to them.
// Its value is that of Column, or Constant, or Expr. In files a field may be the name of its column alone.
type Field struct {
	// Name of the field.
	Name string `yaml:"-"`
	// Column by name, in which case does not matter, or by position from 1.
	Column string `yaml:"column,short" doc:"the column, by name or by position from 1"`
	// Constant is the value of every record.
	Constant string `yaml:"constant" doc:"the value of every record"`
	// Expr is an expression of package expression over the fields declared before, this one as its column has it, and columns, which are text.
	Expr string `yaml:"expr" doc:"an expression over the fields above, the column of this one, and other columns (which are text): price / 100"`
	// Type of the values. The default is that of the field's meaning, else that of Expr, else text.
	Type string `yaml:"type" enum:"text,number,bool,time" doc:"type of the values"`
	// Default replaces a missing value. It is written as a value of the column.
	Default *string `yaml:"default" doc:"replaces a missing value; written as a value of the column"`
	// Required refuses records without a value.
	Required bool `yaml:"required" doc:"refuse rows without a value"`
	// OnError says what becomes of a row whose value cannot be converted.
	OnError string `yaml:"on_error" enum:"reject,null,default" doc:"a value that cannot be converted: refuse the row (default), take it for missing, or take the default"`
	// Missing lists texts that stand for a missing value, beside the empty one. The default for other than texts without meaning are
	// NA, N/A, NaN, nan, NULL, null, \N and <NA>.
	Missing []string `yaml:"missing" doc:"texts that stand for a missing value"`
	// Values translates texts before they are converted; * is any other text. A text that is not there is refused. ~ is a missing value.
	Values map[string]*string `yaml:"values" doc:"translates texts; * is any other text, ~ a missing value; without * other texts are refused"`
	// Normalize lists what is done to a text, in this order: spaces (runs of white space become one blank), nfc (Unicode normal form C),
	// lower, upper.
	Normalize []string `yaml:"normalize" enum:"spaces,nfc,lower,upper" doc:"what is done to a text, in this order"`
	// Strip lists texts that are cut off both ends, such as a currency sign.
	Strip []string `yaml:"strip" doc:"texts that are cut off both ends, such as €"`
	// Decimal is the decimal point of numbers, '.' or ','.
	Decimal string `yaml:"decimal" enum:".|," doc:"the decimal point of numbers"`
	// Thousands separates groups of three digits.
	Thousands string `yaml:"thousands" doc:"separates groups of three digits"`
	// Unit of the numbers: see Units. To is the unit that they are converted to, or the currency.
	Unit string `yaml:"unit" doc:"unit of the numbers: cents, percent, permille, dozen, thousand, million, or a measure such as g, cm, ml, min together with to"`
	To   string `yaml:"to" doc:"the unit or currency to convert to"`
	// Currency of the amounts, or CurrencyColumn the column that names it. Rates of the mapping say what it is worth.
	Currency       string `yaml:"currency" doc:"currency of the amounts; needs to, and rates of the mapping"`
	CurrencyColumn string `yaml:"currency_column" doc:"the column that names the currency of each amount"`
	// Format of times: layouts in the way of package time, or with %, or auto, unix, unix_ms, unix_us, unix_ns. The first that fits counts.
	Format []string `yaml:"format" doc:"formats of times, the first that fits counts: 02/01/2006 15:04 in the way of Go, %d.%m.%Y, auto, unix, unix_ms, unix_us, unix_ns"`
	// Zone of times that have none, as Europe/Berlin. The default is UTC. Of a time that a clock shows twice the first counts.
	Zone string `yaml:"zone" doc:"zone of times without one: Europe/Berlin; default UTC"`
	// True and False list the texts of truth values, in which case does not matter.
	True  []string `yaml:"is_true" doc:"texts that are true; default true, t, yes, y, 1"`
	False []string `yaml:"is_false" doc:"texts that are false; default false, f, no, n, 0"`
}

// fieldList is a list of fields as files have it.
type fieldList []Field

func (fieldList) named() {}

// located is an error at a place of a mapping, such as fields.price.unit.
type located struct {
	path string
	err  error
}

func (l *located) Error() string { return l.err.Error() }
func (l *located) Unwrap() error { return l.err }

// at says where in a mapping a mistake is.
func at(path, format string, args ...any) error {
	return &located{path, fmt.Errorf("%w: "+format, append([]any{ErrMapping}, args...)...)}
}

// under puts the place of an error below another.
func under(path string, err error) error {
	if err == nil {
		return nil
	}
	if l := (*located)(nil); errors.As(err, &l) {
		return &located{path + "." + l.path, l.err}
	}
	return &located{path, err}
}

// typ returns the type of a field of a kind; Null if its expression decides.
func (f *Field) typ(k Kind) record.Type {
	for _, t := range []record.Type{record.Text, record.Number, record.Bool, record.Time} {
		if f.Type == t.String() {
			return t
		}
	}
	if m, ok := meaningOf(k, f.Name); ok {
		return m.typ
	}
	if f.Expr != "" && f.Column == "" {
		return record.Null
	}
	return record.Text
}

// checkFields checks the fields of a source, as far as it is possible without seeing the source.
func (m *Mapping) checkFields() error {
	k := m.kind()
	if !slices.Contains(kinds, k) {
		return at("kind", "unknown kind %q; want events, orders, products, users, links or tables", string(k))
	}
	if m.Where != "" {
		if err := checkSyntax("where", m.Where); err != nil {
			return err
		}
	}
	if len(m.Fields) == 0 {
		if k != EventRows {
			example := "name"
			if k != TableRows {
				example = meanings[k][0].name
			}
			return at("kind", "a source of %s needs fields, such as fields: {%s: COLUMN}", k, example)
		}
		return nil
	}
	if m.Columns.any() {
		return at("columns", "fields say where all values come from; put the columns there")
	}
	if len(m.Behaviors) > 0 {
		return at("behaviors", "with fields the behaviors belong to values of the field behavior")
	}
	if m.TimeUnit != TimeAuto || m.TimeLayout != "" {
		return at("time_layout", "with fields the form of times belongs to format of the field time")
	}
	if m.Behavior != "" && k != EventRows {
		return at("behavior", "rows of %s have no behavior", k)
	}
	seen := map[string]bool{}
	for i := range m.Fields {
		f := &m.Fields[i]
		if f.Name == "" || len(f.Name) > MaxKeyBytes {
			return at("fields", "the name %.40q of a field; want 1 to %d bytes", f.Name, MaxKeyBytes)
		}
		if seen[f.Name] {
			return at("fields."+f.Name, "the field is declared twice")
		}
		seen[f.Name] = true
		if err := f.check(k, m.Rates); err != nil {
			return under("fields."+f.Name, err)
		}
	}
	for _, need := range meanings[k] {
		if need.needed && !seen[need.name] && !m.takes(need.name) && len(m.Keys) == 0 {
			return at("fields", "a source of %s needs the field %s (%s)", k, need.name, need.what)
		}
	}
	return nil
}

// check checks one field of a source of kind k.
func (f *Field) check(k Kind, rates map[string]float64) error {
	switch n := count(f.Column != "", f.Constant != "", f.Expr != ""); {
	case n == 0:
		return at("column", "the field has no column, no constant and no expr")
	case n > 1 && (f.Constant != "" || f.Column == ""):
		return at("constant", "a constant excludes column and expr")
	}
	if !slices.Contains([]string{"", "text", "number", "bool", "time"}, f.Type) {
		return at("type", "unknown type %q; want text, number, bool or time", f.Type)
	}
	if m, ok := meaningOf(k, f.Name); ok && f.Type != "" && f.Type != m.typ.String() {
		return at("type", "%s of %s is a %s (%s); call the field something else, or convert it", f.Name, k, m.typ, m.what)
	}
	if !slices.Contains([]string{"", "reject", "null", "default"}, f.OnError) {
		return at("on_error", "%q; want reject, null or default", f.OnError)
	}
	if f.OnError == "default" && f.Default == nil {
		return at("on_error", "default, but there is no default")
	}
	if f.Expr != "" {
		if err := checkSyntax("expr", f.Expr); err != nil {
			return err
		}
		if f.Column == "" {
			return f.checkNone("an expression has a type and a value of its own", "missing", len(f.Missing) > 0, "values", f.Values != nil,
				"normalize", len(f.Normalize) > 0, "strip", len(f.Strip) > 0, "decimal", f.Decimal != "", "thousands", f.Thousands != "", "unit", f.Unit != "",
				"currency", f.Currency != "", "currency_column", f.CurrencyColumn != "", "to", f.To != "", "format", len(f.Format) > 0, "zone", f.Zone != "",
				"is_true", len(f.True) > 0, "is_false", len(f.False) > 0)
		}
	}
	return f.checkForm(f.typ(k), rates)
}

// checkNone returns an error for the first key that is given of those that do not apply.
func (f *Field) checkNone(why string, keysAndGiven ...any) error {
	for i := 0; i < len(keysAndGiven); i += 2 {
		if key, given := keysAndGiven[i].(string), keysAndGiven[i+1].(bool); given {
			return at(key, "%s does not apply: %s", key, why)
		}
	}
	return nil
}

// checkForm checks the keys that belong to some types only.
func (f *Field) checkForm(typ record.Type, rates map[string]float64) error {
	why := fmt.Sprintf("the field is a %s", typ)
	if typ != record.Text {
		if err := f.checkNone(why, "normalize", len(f.Normalize) > 0); err != nil {
			return err
		}
	}
	if typ != record.Number {
		if err := f.checkNone(why, "decimal", f.Decimal != "", "thousands", f.Thousands != "", "unit", f.Unit != "", "to", f.To != "",
			"currency", f.Currency != "", "currency_column", f.CurrencyColumn != ""); err != nil {
			return err
		}
	}
	if typ != record.Time {
		if err := f.checkNone(why, "format", len(f.Format) > 0, "zone", f.Zone != ""); err != nil {
			return err
		}
	}
	if typ != record.Bool {
		if err := f.checkNone(why, "is_true", len(f.True) > 0, "is_false", len(f.False) > 0); err != nil {
			return err
		}
	}
	for i, n := range f.Normalize {
		if !slices.Contains([]string{"spaces", "nfc", "lower", "upper"}, n) {
			return at(fmt.Sprintf("normalize[%d]", i), "unknown form %q; want spaces, nfc, lower or upper", n)
		}
	}
	if f.Decimal != "" && f.Decimal != "." && f.Decimal != "," {
		return at("decimal", "%q; want . or ,", f.Decimal)
	}
	if f.Thousands != "" && (f.Thousands == f.point() || strings.ContainsAny(f.Thousands, "0123456789+-eE")) {
		return at("thousands", "%q is part of numbers in another way%s", f.Thousands, map[bool]string{true: "; is decimal ','?"}[f.Thousands == "."])
	}
	for i, layout := range f.Format {
		if _, err := formatOf(layout); err != nil {
			return at(fmt.Sprintf("format[%d]", i), "%w", err)
		}
	}
	if f.Zone != "" {
		if _, err := time.LoadLocation(f.Zone); err != nil || f.Zone == "Local" {
			return at("zone", "unknown zone %q; want one as Europe/Berlin or UTC", f.Zone)
		}
	}
	_, err := f.scale(rates)
	return err
}

// point returns the decimal point.
func (f *Field) point() string {
	if f.Decimal == "" {
		return "."
	}
	return f.Decimal
}

func count(of ...bool) int {
	n := 0
	for _, b := range of {
		if b {
			n++
		}
	}
	return n
}

// words yields the texts that a text field has if all its values are known from the mapping, with their places below the field: its
// constant, or what it translates to.
func (f *Field) words() iter.Seq2[string, string] {
	return func(yield func(path, word string) bool) {
		if f.Expr != "" || len(f.Normalize) > 0 {
			return
		}
		if f.Constant != "" && !yield(".constant", f.Constant) {
			return
		}
		for _, from := range slices.Sorted(maps.Keys(f.Values)) {
			if to := f.Values[from]; to != nil && *to != "" && !yield(".values."+from, *to) {
				return
			}
		}
	}
}

// checkSyntax checks what can be checked of an expression before columns are known.
func checkSyntax(path, text string) error {
	if err := expression.Syntax(text); err != nil {
		return at(path, "%w", err)
	}
	return nil
}

// any reports whether any column is given.
func (c *Columns) any() bool {
	for _, role := range roles {
		if *c.slot(role) != "" {
			return true
		}
	}
	return len(c.Context) > 0
}

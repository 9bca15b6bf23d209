package clean

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/kith-io/kith/fusion/record"
)

// everyRule has every kind of rule and every key.
const everyRule = `
clean:
  - rule: repair
    name: prices
    fields: [price]
    as: number
    decimal: comma
    action: "null"
  - {rule: repair, fields: [day], as: time, layouts: [02/01/2006, unix], zone: "+08:00"}
  - {rule: repair, fields: [gift], as: bool, "true": [ja], "false": [nein]}
  - {rule: text, fields: [name], steps: [nfkc, trim], empty_null: true}
  - {rule: range, fields: [price], min: 0.01, max: 1e6, action: reject}
  - {rule: pattern, fields: [sku], match: '^[A-Z]+$', action: null}
  - {rule: allowed, fields: [quantity], values: [1, 2, 3], action: reject}
  - {rule: missing, fields: [price], with: median, by: sku, tokens: [n/a]}
  - {rule: missing, fields: [quantity], with: constant, value: 1}
  - {rule: duplicates, fields: [sku], within: 2s, time: day, keep: last}
  - {rule: outliers, fields: [price], method: iqr, k: 3, by: sku, action: winsorize}
  - {rule: outliers, fields: [price], method: percentile, lower: 0.1, upper: 0.9}
  - {rule: normalize, fields: [price], method: robust, by: sku}
  - {rule: bots, user: sku, time: day, item: name, max_events: 9, window: 1m, regular: 8, regularity: 0.1, max_items: 7, items_window: 1h, action: flag, field: robot}
`

var shopFields = []record.Field{
	{Name: "sku", Type: record.Text},
	{Name: "name", Type: record.Text},
	{Name: "price", Type: record.Text},
	{Name: "day", Type: record.Text},
	{Name: "gift", Type: record.Text},
	{Name: "quantity", Type: record.Number},
}

func TestConfig(t *testing.T) {
	cfg := parse(t, everyRule)
	if len(cfg.Rules) != 14 {
		t.Fatalf("%d rules", len(cfg.Rules))
	}
	fields, err := cfg.Fields(shopFields)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fields {
		got = append(got, f.Name+" "+f.Type.String())
	}
	wantSlice(t, "fields", got, "sku text", "name text", "price number", "day time", "gift bool", "quantity number", "robot bool")
	wantSlice(t, "names", cfg.names()[:4], "prices", "repair 2", "repair 3", "text")
	if d := cfg.Rules[9].Spec.(*Duplicates); d.Within.String() != "2s" || d.Keep != "last" || d.Time != "day" {
		t.Errorf("duplicates: %+v", d)
	}
	if o := cfg.Rules[10].Spec.(*Outliers); *o.K != 3 || o.By != "sku" {
		t.Errorf("outliers: %+v", o)
	}
	if p := cfg.Rules[5].Spec.(*Pattern); p.Action != ActionNull {
		t.Errorf("pattern: %+v", p)
	}
	if b := cfg.Rules[13].Spec.(*Bots); *b.MaxEvents != 9 || *b.Regularity != 0.1 {
		t.Errorf("bots: %+v", b)
	}
	if got := parse(t, "clean:\n"); len(got.Rules) != 0 {
		t.Errorf("no rules are %v", got)
	}
}

// TestConfigErrors checks that messages name the place, the rule, the key and what would do.
func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct{ rule, want string }{
		{"rule: dupes", `line 3, column 5: rule 1 (none): rule: "dupes" is unknown; want repair, text, range`},
		{"name: x", `rule: "" is unknown`},
		{"{rule: duplicates, name: clicks, feilds: [a]}", `line 3, column 38: rule 1 "clicks" (duplicates): feilds: is not a key of this rule; it has rule, name, fields, within, time, keep`},
		{"{rule: duplicates, within: soon, time: day}", "within: soon is no duration, such as 2s"},
		{"{rule: duplicates, within: 2s}", "time: is missing"},
		{"{rule: duplicates, within: 1us, time: day}", "within: is 1µs; want whole milliseconds"},
		{"{rule: duplicates, time: day}", "time: has no meaning without within"},
		{"{rule: duplicates, keep: both}", `keep: "both" is unknown; want first or last`},
		{"{rule: duplicates, fields: [nope]}", `rule 1 (duplicates): fields: there is no field "nope"; there are sku, name, price, day, gift, quantity`},
		{"{rule: missing, fields: [sku]}", "with: is missing; want drop, constant"},
		{"{rule: missing, fields: [], with: drop}", "fields: is missing"},
		{"{rule: missing, fields: [sku, sku], with: drop}", `fields: has "sku" twice`},
		{"{rule: missing, fields: [sku], with: constant}", "value: is missing"},
		{"{rule: missing, fields: [sku], with: drop, value: 1}", "value: has no meaning with: drop"},
		{"{rule: missing, fields: [quantity], with: constant, value: one}", `value: "one" is no number, which field "quantity" wants`},
		{"{rule: missing, fields: [sku], with: mean}", `line 3, column 21: rule 1 (missing): fields: field "sku" is text, and the rule works on number or time; a rule repair before it may help`},
		{"{rule: missing, fields: [quantity], with: mean, by: quantity}", `by: "quantity" is one of the fields`},
		{"{rule: outliers, fields: [quantity]}", "method: is missing"},
		{"{rule: outliers, fields: [quantity], method: iqr, k: -1}", "k: is -1; want more than 0"},
		{"{rule: outliers, fields: [quantity], method: iqr, k: wide}", "k: wide is no number"},
		{"{rule: outliers, fields: [quantity], method: iqr, lower: 0.1}", "lower: has no meaning with method: iqr"},
		{"{rule: outliers, fields: [quantity], method: percentile, lower: 0.9, upper: 0.1}", "lower: lower and upper are 0.9 and 0.1"},
		{"{rule: outliers, fields: [quantity], method: iqr, action: drop}", `action: "drop" is unknown; want reject, null or winsorize`},
		{"{rule: repair, fields: [price], as: money}", `as: "money" is unknown; want number, time or bool`},
		{"{rule: repair, fields: [price], as: number, zone: '+01:00'}", "zone: has no meaning with as: number"},
		{"{rule: repair, fields: [day], as: time, zone: Europe/Berlin}", `zone: "Europe/Berlin" is no offset`},
		{"{rule: repair, fields: [day], as: time, layouts: ['DD/MM/YYYY']}", `layouts: "DD/MM/YYYY" does not tell the year 2006`},
		{"{rule: repair, fields: [gift], as: bool, 'true': [x], 'false': [X]}", `true: "x" is among the words of false, too`},
		{"{rule: text, fields: [name], steps: [upper]}", `steps: "upper" is unknown`},
		{"{rule: range, fields: [quantity]}", "min: min and max are missing"},
		{"{rule: range, fields: [quantity], min: 3, max: 2}", "max: 2 is less than min 3"},
		{"{rule: range, fields: [quantity], min: low}", `min: "low" is no number`},
		{"{rule: pattern, fields: [sku], match: '('}", "match: error parsing regexp"},
		{"{rule: allowed, fields: [sku]}", "values: is missing"},
		{"{rule: normalize, fields: [quantity], method: half}", `method: "half" is unknown`},
		{"{rule: normalize, fields: [quantity], method: log1p, by: sku}", "by: has no meaning"},
		{"{rule: bots, time: day}", "user: is missing"},
		{"{rule: bots, user: sku, time: day}", `time: field "day" is text, and the rule works on time`},
		{"{rule: bots, user: sku, time: day, max_events: -2}", "max_events: is -2; want 0 (off) to 65536"},
		{"{rule: bots, user: sku, time: day, max_items: 3}", "item: is missing"},
		{"{rule: missing, fields: [sku], with: drop, by: }", "by: has no value"},
		{"just words", "want keys and values"},
		{"{rule: text, fields: [name], name: a}\n  - {rule: text, fields: [name], name: a}", "rule 2 \"a\" (text): name: rule 1 has the same"},
	} {
		var file struct {
			Clean Config `yaml:"clean"`
		}
		err := yaml.Unmarshal([]byte("# a file\nclean:\n  - "+tt.rule+"\n"), &file)
		if err == nil {
			_, err = file.Clean.Fields(shopFields)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n got %v\nwant %s", tt.rule, err, tt.want)
		}
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v does not match ErrConfig", tt.rule, err)
		}
	}
	var c Config
	if err := yaml.Unmarshal([]byte("a: b"), &c); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "want a list of rules") {
		t.Errorf("got %v", err)
	}
	if err := (&Config{Rules: []Rule{{}}}).Validate(); !errors.Is(err, ErrConfig) {
		t.Errorf("a rule of no kind: %v", err)
	}
}

// FuzzConfig checks that no file makes the reading of rules fail otherwise than by an error.
func FuzzConfig(f *testing.F) {
	f.Add(everyRule)
	f.Add("clean: [{rule: missing, fields: [a], with: drop}]")
	f.Add("clean: {rule: text}")
	f.Add("clean: [&a {rule: text, fields: [name]}, *a]")
	f.Fuzz(func(t *testing.T, text string) {
		var file struct {
			Clean Config `yaml:"clean"`
		}
		if err := yaml.Unmarshal([]byte(text), &file); err != nil {
			return
		}
		if err := file.Clean.Validate(); err != nil {
			t.Fatalf("read and then refused: %v", err)
		}
		_, _ = file.Clean.Fields(shopFields) // an error is fine
	})
}

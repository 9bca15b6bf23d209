package fusion

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kith-io/kith/source"
)

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadMappings(t *testing.T) {
	path := writeFile(t, "map.yaml", `# a comment
sources:
  - path: events.csv
  - name: orders
    path: /data/orders.tsv
    format: csv
    separator: semicolon
    header: yes
    quote: false
    encoding: latin1
    skip: 2
    ragged: true
    max_row_bytes: 5000
    columns: {user: 1, item: sku, value: "-", time: created, behavior: status, id: line, context: {shop: branch}}
    behavior: purchase
    behaviors:
      paid: purchase
      1: cancel
    time_layout: 02/01/2006
  - name: in
    path: "-"
    format: tsv
    header: false
    columns: {weight: stars}
    time_unit: ms
  - {path: a/../baskets.dat, format: baskets, header: auto, time_unit: auto, quote: true}
`)
	got, err := ReadMappings(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	want := []Mapping{
		{Path: filepath.Join(dir, "events.csv")},
		{
			Name: "orders", Path: "/data/orders.tsv",
			Source: source.Options{
				Format: source.Delimited, Separator: ";", Header: source.HeaderYes, NoQuote: true, Encoding: "latin1", Skip: 2, Ragged: true, MaxRowBytes: 5000,
			},
			Columns: Columns{
				User: "1", Item: "sku", Value: None, Time: "created", Behavior: "status", ID: "line", Context: map[string]string{"shop": "branch"},
			},
			Behavior: Purchase, Behaviors: map[string]Behavior{"paid": Purchase, "1": Cancel}, TimeLayout: "02/01/2006",
		},
		{
			Name: "in", Path: "-", Source: source.Options{Format: source.Delimited, Separator: "\t", Header: source.HeaderNo},
			Columns: Columns{Value: "stars"}, TimeUnit: Milliseconds,
		},
		{Path: filepath.Join(dir, "baskets.dat"), Source: source.Options{Format: source.Baskets}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(source.Options{}, "KnownName"), cmpopts.IgnoreUnexported(Mapping{})); diff != "" {
		t.Error(diff)
	}
}

func TestReadMappingsErrors(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"unknown key", "sources:\n  - path: a\n    user: b\n", `map.yaml:3:5: bad mapping: unknown key "user"; there are name, kind, path`},
		{"unknown column", "sources:\n  - path: a\n    columns:\n      customer: b\n", `map.yaml:4:7: bad mapping: unknown key "customer"; there are user, item`},
		{"unknown top key", "source:\n  - path: a\n", `map.yaml:1:1: bad mapping: unknown key "source"; did you mean "sources"?`},
		{"twice the same key", "sources:\n  - path: a\n    path: b\n", "map.yaml:3:5"},
		{"wrong type", "sources:\n  - path: a\n    skip: many\n", `map.yaml:3:11: bad mapping: want a whole number; this is "many"`},
		{"no YAML", "sources: [\n", "map.yaml:1:10"},
		{"no list", "sources: a\n", "map.yaml:1:10: bad mapping: want a list"},
		{"empty", "", "no sources"},
		{"empty list", "sources: []\n", "no sources"},
		{"no path", "sources:\n  - name: a\n", "map.yaml:2:5: a: bad mapping: no path"},
		{"no path, no name", "sources:\n  - format: csv\n", "map.yaml:2:5: source without name: bad mapping: no path"},
		{"two documents", "sources:\n  - path: a\n---\nsources:\n  - path: b\n", "more than one document"},
		{"same name", "sources:\n  - path: a/x.csv\n  - path: b/x.csv\n", "map.yaml:3:5: x.csv: bad mapping: the name is taken"},
		{"format", "sources:\n  - path: a\n    format: xlsx\n", `unknown format "xlsx"`},
		{"separator", "sources:\n  - path: a\n    separator: '\"'\n", "separator"},
		{"header", "sources:\n  - path: a\n    header: maybe\n", `header is "maybe"`},
		{"encoding", "sources:\n  - path: a\n    encoding: ebcdic\n", `unknown encoding "ebcdic"`},
		{"skip", "sources:\n  - path: a\n    skip: -1\n", "-1"},
		{"user none", "sources:\n  - path: a\n    columns: {user: '-'}\n", "user and item are needed"},
		{"value twice", "sources:\n  - path: a\n    columns: {value: b, weight: c}\n", "weight and value are the same"},
		{"behavior", "sources:\n  - path: a\n    behavior: Buy!\n", `behavior "Buy!"; want view`},
		{"behaviors", "sources:\n  - path: a\n    behaviors: {x: 'Y Z'}\n", `behaviors: "x" is "Y Z"`},
		{"behaviors without column", "sources:\n  - path: a\n    columns: {behavior: '-'}\n    behaviors: {x: view}\n", "no column"},
		{"time unit", "sources:\n  - path: a\n    time_unit: minutes\n", `time unit "minutes"; want s, ms, us or ns`},
		{"internal time unit", "sources:\n  - path: a\n    time_unit: date\n", `time unit "date"`},
		{"time layout", "sources:\n  - path: a\n    time_layout: dd/mm/yyyy\n", "write the moment"},
		{"typo", "sources:\n  - path: a\n    colums: {}\n", `map.yaml:3:5: bad mapping: unknown key "colums"; did you mean "columns"?`},
		{"two letters exchanged", "sources:\n  - path: a\n    knid: events\n", `did you mean "kind"?`},
		{"list for a value", "sources:\n  - path: [a, b]\n", "map.yaml:2:11: bad mapping: want a single value; this is a list"},
		{"keys for a value", "sources:\n  - path: a\n    skip: {a: 1}\n", "want a single value; these are keys with values"},
		{"value for keys", "sources:\n  - path: a\n    columns: user\n", `map.yaml:3:14: bad mapping: want keys with values, such as user: ...; this is "user"`},
		{"no truth", "sources:\n  - path: a\n    quote: maybe\n", `map.yaml:3:12: bad mapping: want true or false; this is "maybe"`},
		{"unknown alias", "sources:\n  - path: a\n    columns: *x\n", "map.yaml:3:14"},
		{"kind", "sources:\n  - path: a\n    kind: baskets\n", `map.yaml:3:11: a: bad mapping: unknown kind "baskets"; want events`},
		{"products without fields", "sources:\n  - path: a\n    kind: products\n", `map.yaml:3:11: a: bad mapping: a source of products needs fields, such as fields: {item: COLUMN}`},
		{"fields that lack one", "sources:\n  - path: a\n    kind: orders\n    fields: {item: sku}\n", `map.yaml:4:13: a: bad mapping: a source of orders needs the field user`},
		{"fields and columns", "sources:\n  - path: a\n    columns: {user: a}\n    fields: {user: a, item: b}\n", `map.yaml:3:14: a: bad mapping: fields say where`},
		{"unknown key of a field", "sources:\n  - path: a\n    fields:\n      user: u\n      item: {colum: b}\n", `map.yaml:5:14: bad mapping: unknown key "colum"; did you mean "column"?`},
		{"field of nothing", "sources:\n  - path: a\n    fields: {user: u, item: {type: text}}\n", "map.yaml:3:29: a: bad mapping: the field has no column"},
		{"type", "sources:\n  - path: a\n    fields: {user: u, item: i, x: {column: x, type: int}}\n", `map.yaml:3:53: a: bad mapping: unknown type "int"`},
		{"type against the meaning", "sources:\n  - path: a\n    fields: {user: {column: u, type: number}, item: i}\n", "user of events is a text (key of the user)"},
		{"key of another type", "sources:\n  - path: a\n    fields: {user: u, item: i, x: {column: x, decimal: ','}}\n", "decimal does not apply: the field is a text"},
		{"unit", "sources:\n  - path: a\n    fields: {user: u, item: i, value: {column: x, unit: cent}}\n", `map.yaml:3:57: a: bad mapping: unknown unit "cent"; did you mean "cents"?`},
		{"unit to nowhere", "sources:\n  - path: a\n    fields: {user: u, item: i, value: {column: x, unit: g, to: m}}\n", `g is converted to another unit of mass: g, kg, lb, mg, oz, t`},
		{"currency without rate", "rates: {EUR: 1}\nsources:\n  - path: a\n    fields: {user: u, item: i, value: {column: x, currency: USD, to: EUR}}\n", `map.yaml:4:61: a: bad mapping: the rates of the mapping do not have "USD"`},
		{"format", "sources:\n  - path: a\n    fields: {user: u, item: i, time: {column: x, format: dd.mm.yyyy}}\n", "map.yaml:3:58: a: bad mapping: bad mapping: time layout \"dd.mm.yyyy\"; write the moment"},
		{"percent format", "sources:\n  - path: a\n    fields: {user: u, item: i, time: {column: x, format: '%d.%q.%Y'}}\n", `unknown part "%q"`},
		{"zone", "sources:\n  - path: a\n    fields: {user: u, item: i, time: {column: x, zone: Berlin}}\n", `unknown zone "Berlin"; want one as Europe/Berlin`},
		{"on_error", "sources:\n  - path: a\n    fields: {user: u, item: i, value: {column: x, on_error: default}}\n", "default, but there is no default"},
		{"expression", "sources:\n  - path: a\n    fields: {user: u, item: i, value: {expr: 'price / / 100'}}\n", "map.yaml:3:55: a: bad mapping: character 9 of the expression: unexpected token Operator"},
		{"where", "sources:\n  - path: a\n    where: price >\n", "map.yaml:3:18: a: bad mapping: character 7"},
		{"rules", "sources:\n  - path: a\n    clean: [trim]\n", "map.yaml:3:12: a: bad mapping: rules are not applied here"},
		{"variable", "sources:\n  - path: ${KITH_NO_SUCH}/a\n", "map.yaml:2:11: a: bad mapping: ${KITH_NO_SUCH} is not set"},
		{"unit and layout", "sources:\n  - path: a\n    time_unit: s\n    time_layout: 02/01/2006\n", "exclude each other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := writeFile(t, "map.yaml", tt.in)
			got, err := ReadMappings(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %+v, %v; want a line with %q and the path", got, err, tt.want)
			}
			if !errors.Is(err, ErrMapping) && !errors.Is(err, source.ErrOptions) {
				t.Errorf("%v is neither ErrMapping nor source.ErrOptions", err)
			}
		})
	}
	if _, err := ReadMappings(filepath.Join(t.TempDir(), "no.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func FuzzReadMappings(f *testing.F) {
	f.Add([]byte("sources:\n  - path: a\n    columns: {user: 1, context: {a: b}}\n    behaviors: {1: view}\n"))
	f.Add([]byte("sources:\n  - {name: x, path: '-', format: tsv, header: true, quote: false, time_unit: ms}\n"))
	f.Add([]byte("sources: [{path: a, time_layout: 02/01/2006, separator: '::'}]\n---\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		ms, err := parseMappings(in, "dir/map.yaml", MappingOptions{})
		if err != nil {
			if !errors.Is(err, ErrMapping) && !errors.Is(err, source.ErrOptions) {
				t.Fatalf("%q: %v; want ErrMapping or source.ErrOptions", in, err)
			}
			return
		}
		if len(ms) == 0 {
			t.Fatalf("%q: no mapping and no error", in)
		}
		for i := range ms {
			if err := ms[i].validate(); err != nil {
				t.Fatalf("%q: %v", in, err)
			}
		}
	})
}

func TestBehaviorTable(t *testing.T) {
	tests := []struct {
		name  string
		m     Mapping
		field string
		want  Behavior // "" for ErrBadBehavior
	}{
		{"name", Mapping{}, "cart", Cart},
		{"name in other case", Mapping{}, "Purchase", Purchase},
		{"own name", Mapping{}, "add-to-list_2", "add-to-list_2"},
		{"malformed", Mapping{}, "Undefined!", ""},
		{"empty", Mapping{}, "", ""},
		{"empty with default", Mapping{Behavior: View}, "", View},
		{"given", Mapping{Behaviors: map[string]Behavior{"Buy": Purchase}}, "Buy", Purchase},
		{"given in other case", Mapping{Behaviors: map[string]Behavior{"Buy": Purchase}}, "BUY", Purchase},
		{"given in two cases", Mapping{Behaviors: map[string]Behavior{"A": Purchase, "a": View}}, "A", Purchase},
		{"given in two cases, lower", Mapping{Behaviors: map[string]Behavior{"A": Purchase, "a": View}}, "a", View},
		{"given with blanks", Mapping{Behaviors: map[string]Behavior{" Buy it ": Purchase}}, "buy it", Purchase},
		{"given empty", Mapping{Behaviors: map[string]Behavior{"": View}}, "", View},
		{"not given", Mapping{Behaviors: map[string]Behavior{"Buy": Purchase}}, "view", ""},
		{"very long", Mapping{}, strings.Repeat("a", 5000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := tt.m.behaviorTable()
			for range 2 { // the second time from memory
				got, err := table.of([]byte(tt.field))
				if got != tt.want || (tt.want == "") != errors.Is(err, ErrBadBehavior) {
					t.Errorf("got %q, %v; want %q", got, err, tt.want)
				}
			}
		})
	}
}

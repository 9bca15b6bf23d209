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
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(source.Options{}, "KnownName")); diff != "" {
		t.Error(diff)
	}
}

func TestReadMappingsErrors(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"unknown key", "sources:\n  - path: a\n    user: b\n", `line 3: unknown field "user"`},
		{"unknown column", "sources:\n  - path: a\n    columns:\n      customer: b\n", `line 4: unknown field "customer"`},
		{"unknown top key", "source:\n  - path: a\n", `line 1: unknown field "source"`},
		{"twice the same key", "sources:\n  - path: a\n    path: b\n", "line 3"},
		{"wrong type", "sources:\n  - path: a\n    skip: many\n", "line 3"},
		{"no YAML", "sources: [\n", "line 1"},
		{"no list", "sources: a\n", "line 1"},
		{"empty", "", "no sources"},
		{"empty list", "sources: []\n", "no sources"},
		{"no path", "sources:\n  - name: a\n", "source 1: a: bad mapping: no path"},
		{"no path, no name", "sources:\n  - format: csv\n", "source 1: source without name: bad mapping: no path"},
		{"two documents", "sources:\n  - path: a\n---\nsources:\n  - path: b\n", "more than one document"},
		{"same name", "sources:\n  - path: a/x.csv\n  - path: b/x.csv\n", "source 2: bad mapping: x.csv: the name is taken"},
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
		ms, err := parseMappings(in, "dir")
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

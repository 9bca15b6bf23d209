package fusion

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion/record"
)

// readRecords reads all records of the first source of a mapping beside files, as text: field=value, or field=type:value.
func readRecords(t *testing.T, mapping string, files map[string]string) (rows []string, report Report, letters []DeadLetter, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "map.yaml")
	if err := os.WriteFile(path, []byte(mapping), 0o600); err != nil {
		t.Fatal(err)
	}
	ms, err := ReadMappings(path)
	if err != nil {
		return nil, report, nil, err
	}
	dead := NewDeadLetterWriter(filepath.Join(dir, "dead"))
	s, err := Records(t.Context(), ms[0], dead)
	if err != nil {
		return nil, report, nil, err
	}
	for {
		rec, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for i, f := range s.Fields() {
			v := rec.Values[i]
			if f.Name == "id" && strings.HasPrefix(mapping, "#noid") {
				continue
			}
			if !v.IsNull() && v.Type() != f.Type {
				t.Errorf("%s is a %s and has a %s", f.Name, f.Type, v.Type())
			}
			parts = append(parts, f.Name+"="+v.String())
		}
		rows = append(rows, strings.Join(parts, " "))
	}
	if err := errors.Join(s.Close(), dead.Close()); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "dead")); err == nil {
		for line := range strings.Lines(string(data)) {
			var d DeadLetter
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatal(err)
			}
			letters = append(letters, d)
		}
	}
	return rows, s.Report(), letters, nil
}

func TestRecords(t *testing.T) {
	tests := []struct {
		name, mapping, file string
		want                []string
		reasons, repairs    map[string]int64
		skipped             int64
	}{
		{
			name: "types and defaults",
			mapping: `sources:
  - path: f.csv
    kind: products
    fields:
      item: sku
      title: {column: name, normalize: [spaces, lower]}
      price: {column: preis, type: number, unit: cents, to: EUR}
      stock: {column: stock, type: bool, default: "no"}
      added: {column: added, type: time}
      shop: {constant: north}
      expensive: {expr: price > 10}
`,
			file: "SKU,name,preis,stock,added\nA,  Red   Shoe ,1999,yes,2024-02-29\nB,,NA,,1922-01-01\n ,x,1,y,\nC,x,12..5,y,\nD,x,1,perhaps,\nE,x,1,F,yesterday\n",
			want: []string{
				"item=A title=red shoe price=19.99 stock=true added=2024-02-29T00:00:00Z shop=north expensive=true",
				"item=B title= price= stock=false added=1922-01-01T00:00:00Z shop=north expensive=",
			},
			reasons: map[string]int64{"no_item": 1, "bad_price": 1, "bad_stock": 1, "bad_added": 1},
		},
		{
			name: "numbers of other countries",
			mapping: `sources:
  - path: f.csv
    separator: semicolon
    kind: products
    fields:
      item: {column: 1}
      price: {column: 2, type: number, decimal: ",", thousands: ".", strip: [€, EUR]}
    header: false
`,
			file:    "A;1.234,50 €\nB;-12,5\nC;EUR 1.234.567\nD;1.5\nE;12.34.567\nF;1,5,5\nG;1e3\nH;.500,0\n",
			want:    []string{"item=A price=1234.5", "item=B price=-12.5", "item=C price=1.234567e+06", "item=G price=1000"},
			reasons: map[string]int64{"bad_price": 4},
		},
		{
			name: "currencies and measures",
			mapping: `rates: {EUR: 1, USD: 0.8}
sources:
  - path: f.csv
    kind: products
    fields:
      item: sku
      price: {column: p, type: number, unit: cents, currency_column: cur, to: USD, on_error: null}
      fixed: {column: p, type: number, currency: EUR, to: USD}
      weight: {column: w, type: number, unit: lb, to: kg}
`,
			file:    "sku,p,cur,w\nA,100,EUR,1\nB,100,usd,2\nC,100,GBP,\n",
			want:    []string{"item=A price=1.25 fixed=125 weight=0.45359237", "item=B price=1 fixed=125 weight=0.90718474", "item=C price= fixed=125 weight="},
			repairs: map[string]int64{"bad_price": 1},
		},
		{
			name: "values",
			mapping: `sources:
  - path: f.csv
    kind: users
    fields:
      user: u
      sex: {column: s, values: {m: male, F: female, "?": ~}}
      city: {column: c, values: {B: Berlin, "*": elsewhere}}
      age: {column: a, type: number, missing: ["-1"], on_error: default, default: 40}
`,
			file: "u,s,c,a\n1,M,b,30\n2,f,X,-1\n3,?,,x\n4,x,B,1\n",
			want: []string{
				"user=1 sex=male city=Berlin age=30", "user=2 sex=female city=elsewhere age=40", "user=3 sex= city= age=40",
			},
			reasons: map[string]int64{"bad_sex": 1}, repairs: map[string]int64{"bad_age": 1},
		},
		{
			name: "times",
			mapping: `sources:
  - path: f.csv
    kind: links
    separator: ";"
    fields:
      left: a
      right: b
      left_kind: {constant: device}
      right_kind: {constant: account}
      time: {column: t, format: ["%d.%m.%Y %H:%M", "2006-01-02", auto], zone: Europe/Berlin}
`,
			file: "a;b;t\nd1;u1;31.03.2024 01:30\nd2;u2;31.03.2024 03:30\nd3;u3;2024-07-01\nd4;u4;2024-07-01T00:00:00Z\nd5;u5;2024-07-01 10:00\nd6;u6;1719792000\nd7;;\nd8;u8;01/02/2024\n",
			want: []string{
				"left=d1 right=u1 left_kind=device right_kind=account time=2024-03-31T00:30:00Z",
				"left=d2 right=u2 left_kind=device right_kind=account time=2024-03-31T01:30:00Z",
				"left=d3 right=u3 left_kind=device right_kind=account time=2024-06-30T22:00:00Z",
				"left=d4 right=u4 left_kind=device right_kind=account time=2024-07-01T00:00:00Z",
				"left=d5 right=u5 left_kind=device right_kind=account time=2024-07-01T08:00:00Z",
				"left=d6 right=u6 left_kind=device right_kind=account time=2024-07-01T00:00:00Z",
			},
			reasons: map[string]int64{"no_right": 1, "bad_time": 1},
		},
		{
			name: "expressions and where",
			mapping: `#noid
sources:
  - path: f.csv
    kind: orders
    fields:
      user: u
      item: {expr: "upper(sku) + '-' + size"}
      cents: {column: p, type: number}
      price: {expr: cents / 100}
      quantity: {column: q, expr: abs(quantity)}
      status: {column: s, values: {ok: purchase, back: cancel, test: test}}
      total: {expr: price * quantity}
    where: total > 0 and status != 'test' and sku != 'x'
`,
			file: "u,sku,size,p,q,s\n1,a,L,1050,-2,ok\n2,b,M,0,1,ok\n3,c,S,100,1,TEST\n4,x,S,100,1,ok\n5,d,,100,1,ok\n",
			want: []string{
				"user=1 item=A-L cents=1050 price=10.5 quantity=2 status=purchase total=21",
			},
			reasons: map[string]int64{"no_item": 1}, skipped: 3,
		},
		{
			name:    "columns and where",
			mapping: "#noid\nsources:\n  - path: f.csv\n    columns: {context: {shop: s}}\n    where: value >= 3 and shop == 'n'\n",
			file:    "user,item,rating,s\n1,a,5,n\n2,a,1,n\n3,a,5,s\n4,,5,n\n",
			want:    []string{"user=1 item=a behavior=rating value=5 time= shop=n"},
			reasons: map[string]int64{"no_item": 1}, skipped: 2,
		},
		{
			name:    "baskets",
			mapping: "#noid\nsources:\n  - path: f.csv\n    format: baskets\n    fields: {user: {column: 1}, item: {column: 2}}\n    behavior: purchase\n",
			file:    "a,b\na\n",
			want:    []string{"user=f.csv:1 item=a behavior=purchase", "user=f.csv:1 item=b behavior=purchase", "user=f.csv:2 item=a behavior=purchase"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, report, letters, err := readRecords(t, tt.mapping, map[string]string{"f.csv": tt.file})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s%+v", diff, letters)
			}
			if tt.reasons == nil {
				tt.reasons = map[string]int64{}
			}
			if diff := cmp.Diff(tt.reasons, report.Reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s%+v", diff, letters)
			}
			if diff := cmp.Diff(tt.repairs, report.Repairs); diff != "" {
				t.Errorf("repairs (-want +got):\n%s", diff)
			}
			if report.Skipped != tt.skipped || report.Read != report.Kept+report.Rejected+report.Skipped || report.Kept != int64(len(got)) {
				t.Errorf("report %+v; want %d skipped", report, tt.skipped)
			}
			if int64(len(letters)) != report.Rejected {
				t.Errorf("%d dead letters of %d refused rows", len(letters), report.Rejected)
			}
			for _, l := range letters {
				if l.Detail == "" || l.Raw == "" || l.Line == 0 {
					t.Errorf("dead letter %+v", l)
				}
			}
		})
	}
}

// TestRecordErrors has mistakes that show only when the source is seen. They name file, line and column as well.
func TestRecordErrors(t *testing.T) {
	tests := []struct{ name, mapping, want string }{
		{"column", "sources:\n  - path: f.csv\n    kind: products\n    fields: {item: sku, price: prise}\n", `map.yaml:4:32: f.csv: bad mapping: column "prise" is not there; did you mean "price"?; the file has the columns sku, price, name`},
		{"currency column", "rates: {EUR: 1}\nsources:\n  - path: f.csv\n    kind: products\n    fields:\n      item: sku\n      price: {column: price, type: number, to: EUR, currency_column: cur}\n", `map.yaml:7:70: f.csv: bad mapping: column "cur" is not there`},
		{"position", "sources:\n  - path: f.csv\n    kind: products\n    fields: {item: 4}\n", `map.yaml:4:20: f.csv: bad mapping: column 4 is beyond the last`},
		{"column of events", "sources:\n  - path: f.csv\n    columns: {user: name, item: skew}\n", `map.yaml:3:33: f.csv: bad mapping: item column "skew" is not there; did you mean "sku"?`},
		{"name in an expression", "sources:\n  - path: f.csv\n    kind: products\n    fields:\n      item: sku\n      total: {expr: 2 * number(prize)}\n", `map.yaml:6:32: f.csv: bad mapping: character 12 of the expression: there is no field "prize"`},
		{"type in an expression", "sources:\n  - path: f.csv\n    kind: products\n    fields:\n      item: sku\n      total: {expr: \"price * 2\"}\n", `map.yaml:6:22: f.csv: bad mapping: character 1 of the expression: * takes a number, and this is a text`},
		{"field below", "sources:\n  - path: f.csv\n    kind: products\n    fields:\n      item: sku\n      a: {expr: b + 1}\n      b: {column: price, type: number}\n", `there is no field "b"`},
		{"type of a result", "sources:\n  - path: f.csv\n    kind: products\n    fields: {item: sku, p: {expr: 1 + 1, type: text}}\n", `the expression makes a number, and the field is a text`},
		{"where is no condition", "sources:\n  - path: f.csv\n    kind: products\n    fields: {item: sku}\n    where: price\n", `map.yaml:5:12: f.csv: bad mapping: the condition is a text`},
		{"default", "sources:\n  - path: f.csv\n    kind: products\n    fields:\n      item: sku\n      p: {column: price, type: number, default: none}\n", `map.yaml:6:49: f.csv: bad mapping: bad p: "none" is no number`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := readRecords(t, tt.mapping, map[string]string{"f.csv": "sku,price,name\nA,1,x\n"})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, ErrMapping) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v; want a line with %s", err, tt.want)
			}
		})
	}
}

// allEvents reads the events of a mapping.
func allEvents(t *testing.T, m Mapping) ([]Event, Report) {
	t.Helper()
	var out []Event
	report, err := Events(t.Context(), m, nil, 7, func(events []Event) error {
		out = append(out, events...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, report
}

// TestMissingIDs: a row that lacks its id gets the one that it has where no row has any.
func TestMissingIDs(t *testing.T) {
	m := Mapping{Path: writeFile(t, "log.csv", "who,what,event\nu1,i1,E1\nu1,i2,\nu2,i1,NULL\n"), Fields: []Field{{Name: "user", Column: "who"}, {Name: "item", Column: "what"}}}
	made, _ := allEvents(t, m)
	m.Fields = append(m.Fields, Field{Name: "id", Column: "event"})
	got, _ := allEvents(t, m)
	if len(got) != 3 || len(made) != 3 || got[0].ID != "E1" || got[1].ID != made[1].ID || got[2].ID != made[2].ID || made[1].ID == made[2].ID {
		t.Errorf("%+v\nwithout ids %+v", got, made)
	}
	where := m
	where.Where = "id != nil"
	if given, report := allEvents(t, where); len(given) != 1 || report.Skipped != 2 {
		t.Errorf("%d events with an id, %+v", len(given), report)
	}
	var ids []string
	if _, err := ReadRecords(t.Context(), m, nil, func(fields []record.Field, rec record.Record) error {
		ids = append(ids, rec.Values[record.FieldIndex(fields, "id")].Text())
		return nil
	}); err != nil || !slices.Equal(ids, []string{"E1", made[1].ID, made[2].ID}) {
		t.Errorf("records have the ids %v, %v", ids, err)
	}
}

// TestBothWays holds that events are the same, ids included, whether their source says what its columns are, declares them as fields, or goes
// through records for another reason.
func TestBothWays(t *testing.T) {
	path := writeFile(t, "log.csv", "who,what,did,n,at,dev\n"+
		"u1, i1 ,view,1,2024-01-01 10:00:00,d1\nu2,i2,cart,,1704103200,\nu1,i3,VIEW,2.5,1704103201,d2\nu3,,view,1,,\nu4,i1,??,1,,\nu5,i1,view,x,,\nu6,i1,view,1,never,\n")
	columns := Mapping{Path: path, Columns: Columns{User: "who", Item: "what", Behavior: "did", Value: "n", Time: "at", Context: map[string]string{"device": "dev"}}}
	fields := Mapping{Path: path, Fields: []Field{
		{Name: "user", Column: "who"},
		{Name: "item", Column: "what"},
		{Name: "behavior", Column: "did"},
		{Name: "value", Column: "n"},
		{Name: "time", Column: "at"},
		{Name: "device", Column: "dev"},
	}}
	where := columns
	where.Where = "true"
	want, wantReport := allEvents(t, columns)
	if len(want) != 3 || want[0].ID == "" || want[0].Context["device"] != "d1" {
		t.Fatalf("%+v", want)
	}
	for name, m := range map[string]Mapping{"fields": fields, "where": where} {
		got, report := allEvents(t, m)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-columns +%s):\n%s", name, name, diff)
		}
		if diff := cmp.Diff(wantReport, report); diff != "" {
			t.Errorf("%s report (-columns +%s):\n%s", name, name, diff)
		}
		// And by hand: records first, then events of them.
		s, err := Records(t.Context(), m, nil)
		if err != nil {
			t.Fatal(err)
		}
		maker, err := NewEventMaker(m.Kind, s.Fields())
		if err != nil {
			t.Fatal(err)
		}
		var made []Event
		for {
			rec, err := s.Next()
			if err != nil {
				break
			}
			if e, err := maker.Event(rec.Values); err == nil {
				made = append(made, e)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("%s, of records (-want +got):\n%s", name, diff)
		}
	}
}

func TestOrderEvents(t *testing.T) {
	path := writeFile(t, "orders.csv", "c,sku,o,q,p,s\n1,a,o1,2,1.5,paid\n1,b,o1,-1,2,\n2,a,o2,1,1,void\n3,a,o3,1,1,odd\n4,,o4,1,1,paid\n5,a,,,,\n")
	status := "purchase"
	cancel := "cancel"
	odd := "odd"
	m := Mapping{Path: path, Kind: OrderRows, Fields: []Field{
		{Name: "user", Column: "c"},
		{Name: "item", Column: "sku"},
		{Name: "order", Column: "o"},
		{Name: "quantity", Column: "q"},
		{Name: "price", Column: "p"},
		{Name: "status", Column: "s", Values: map[string]*string{"paid": &status, "void": &cancel, "odd": &odd}},
	}}
	events, report := allEvents(t, m)
	var got []Event
	for _, e := range events {
		if e.ID == "" {
			t.Errorf("%+v has no id", e)
		}
		e.ID = ""
		got = append(got, e)
	}
	want := []Event{
		{User: "1", Item: "a", Behavior: Purchase, Value: 2, Context: map[string]string{"order": "o1", "price": "1.5"}},
		{User: "1", Item: "b", Behavior: Cancel, Value: 1, Context: map[string]string{"order": "o1", "price": "2"}},
		{User: "2", Item: "a", Behavior: Cancel, Value: 1, Context: map[string]string{"order": "o2", "price": "1"}},
		{User: "5", Item: "a", Behavior: Purchase, Value: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"bad_status": 1, "no_item": 1}, report.Reasons); diff != "" {
		t.Error(diff)
	}
	// The table of a matrix is made of the same events.
	table, reports, err := ReadTable(t.Context(), []Mapping{m}, DefaultWeights(), 0, nil)
	if err != nil || len(reports) != 1 || reports[0].Kept != 4 {
		t.Fatalf("%+v, %v", reports, err)
	}
	if len(table.Users) == 0 {
		t.Error("no user")
	}
	if _, err := Events(t.Context(), Mapping{Path: path, Kind: ProductRows, Fields: []Field{{Name: "item", Column: "sku"}}}, nil, 0, nil); !errors.Is(err, ErrMapping) {
		t.Errorf("events of products: %v", err)
	}
}

func TestRules(t *testing.T) {
	path := writeFile(t, "map.yaml", "sources:\n  - path: a.csv\n    clean:\n      - trim\n      - {fill: price}\n  - path: b.csv\n")
	ms, err := ReadMappingsWith(path, MappingOptions{Rules: func(m *Mapping, node ast.Node) (any, error) {
		seq, ok := node.(*ast.SequenceNode)
		if !ok || filepath.Base(m.Path) != "a.csv" {
			t.Errorf("%s: %T", m.Path, node)
			return nil, nil //nolint:nilnil // the test has failed
		}
		return len(seq.Values), nil
	}})
	if err != nil || ms[0].Rules != 2 || ms[1].Rules != nil {
		t.Errorf("%+v, %v", ms, err)
	}
	failed := errors.New("no such rule")
	_, err = ReadMappingsWith(path, MappingOptions{Rules: func(*Mapping, ast.Node) (any, error) { return nil, failed }})
	if !errors.Is(err, failed) || !strings.Contains(err.Error(), "map.yaml:4:7: a.csv: no such rule") {
		t.Errorf("got %v", err)
	}
}

func TestMappingVariables(t *testing.T) {
	path := writeFile(t, "map.yaml", "x: &csv {format: csv}\n")
	_, err := ReadMappings(path)
	if err == nil || !strings.Contains(err.Error(), `unknown key "x"`) {
		t.Errorf("got %v", err)
	}
	path = writeFile(t, "map.yaml", `sources:
  - path: ${DATA}/a.csv
    fields: &f {user: u, item: i}
  - path: b.csv
    fields:
      <<: *f
      item: j
  - path: c.csv
    fields: *f
`)
	ms, err := ReadMappingsWith(path, MappingOptions{Lookup: func(name string) (string, bool) { return "/data", name == "DATA" }})
	if err != nil {
		t.Fatal(err)
	}
	columns := func(m Mapping) (out []string) {
		for _, f := range m.Fields {
			out = append(out, f.Name+"="+f.Column)
		}
		slices.Sort(out)
		return out
	}
	if ms[0].Path != "/data/a.csv" {
		t.Errorf("path %s", ms[0].Path)
	}
	for i, want := range [][]string{{"item=i", "user=u"}, {"item=j", "user=u"}, {"item=i", "user=u"}} {
		if diff := cmp.Diff(want, columns(ms[i])); diff != "" {
			t.Errorf("source %d: %s", i, diff)
		}
	}
}

func TestRecordsCanceled(t *testing.T) {
	path := writeFile(t, "a.csv", "user,item\n1,2\n")
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Records(ctx, Mapping{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzConvert(f *testing.F) {
	for _, s := range []string{"1.234,50 €", "-1,5", "1e3", "2024-03-31 02:30", "31.03.2024", "yes", "\xff", "1.2.3", ",", "99999999999999999999", "0001-01-01"} {
		f.Add(s)
	}
	fields := []Field{
		{Name: "n", Column: "x", Type: "number", Decimal: ",", Thousands: ".", Strip: []string{"€"}, Unit: "lb", To: "kg"},
		{Name: "t", Column: "x", Type: "time", Format: []string{"%d.%m.%Y", "auto", "unix"}, Zone: "Europe/Berlin"},
		{Name: "b", Column: "x", Type: "bool"},
		{Name: "s", Column: "x", Normalize: []string{"nfc", "spaces", "upper"}},
		{Name: "user", Column: "x"},
	}
	var cs []*converter
	for i := range fields {
		c, err := newConverter(&fields[i], EventRows, nil)
		if err != nil {
			f.Fatal(err)
		}
		c.at = 0
		cs = append(cs, c)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, c := range cs {
			v, _, err := c.ofRow([][]byte{[]byte(in)})
			if err != nil && Code(err) == "other" {
				t.Fatalf("%s of %q: %v has no code", c.f.Name, in, err)
			}
			if err == nil && !v.IsNull() && v.Type() != c.typ {
				t.Fatalf("%s of %q is a %s", c.f.Name, in, v.Type())
			}
			if v.Type() == record.Number && c.f.Name == "n" && strings.Contains(in, "_") {
				t.Fatalf("%q is the number %v", in, v)
			}
		}
	})
}

// TestWhereComesFirst: a row that where does not take is no dead letter, whatever else is wrong with it, if where can be asked.
func TestWhereComesFirst(t *testing.T) {
	const log = "user,item,kind,time\nu,a,shop,2024-01-01\n,b,test,2024-01-01\n,c,shop,2024-01-01\nu,d,test,soon\nu,e,shop,soon\n,,test,soon\n"
	for _, c := range []struct {
		name, mapping string
		kept, skipped int64
		reasons       map[string]int64
	}{
		{"fields", "fields: {user: user, item: item, kind: kind, time: {column: time, type: time}}, where: kind != 'test'", 1, 3, map[string]int64{"no_user": 1, "bad_time": 1}},
		{"columns", "columns: {user: user, item: item, time: time, context: {kind: kind}}, where: kind != 'test'", 1, 3, map[string]int64{"no_user": 1, "bad_time": 1}},
		{"a column that is no field", "fields: {user: user, item: item}, where: field('kind') != 'test'", 2, 3, map[string]int64{"no_user": 1}},
		{"a field that cannot be read", "fields: {user: user, item: item, time: {column: time, type: time}}, where: year(time) > 2024", 0, 3, map[string]int64{"bad_time": 2, "no_user": 1}},
		{"one made of such a field", "fields: {user: user, item: item, time: {column: time, type: time}, y: {expr: year(time)}}, where: y > 2024", 0, 3, map[string]int64{"bad_time": 2, "no_user": 1}},
		{"missing fields of fields", "fields: {user: user, item: item}, where: user != nil", 3, 3, map[string]int64{}},
		{"missing fields of columns", "columns: {user: user, item: item, time: '-'}, where: user != nil", 3, 3, map[string]int64{}},
		{"the id that is made", "fields: {user: user, item: item}, where: id != nil", 3, 0, map[string]int64{"no_user": 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, report, letters, err := readRecords(t, "sources: [{path: log.csv, "+c.mapping+"}]\n", map[string]string{"log.csv": log})
			if err != nil {
				t.Fatal(err)
			}
			want := Report{Name: "log.csv", Read: 6, Kept: c.kept, Skipped: c.skipped, Rejected: 6 - c.kept - c.skipped, Reasons: c.reasons}
			if d := cmp.Diff(want, report); d != "" || len(rows) != int(c.kept) || len(letters) != int(want.Rejected) {
				t.Errorf("%d rows, %d dead letters: %s", len(rows), len(letters), d)
			}
		})
	}
}

package clean

import (
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kith-io/kith/fusion/record"
)

func TestParseNumber(t *testing.T) {
	bad := math.NaN()
	for _, tt := range []struct {
		text               string
		auto, point, comma float64
	}{
		{"12", 12, 12, 12},
		{"-0.5", -0.5, -0.5, bad},
		{"1.5", 1.5, 1.5, bad},
		{"1,5", 1.5, bad, 1.5},
		{"1.234", 1.234, 1.234, 1234},
		{"1,234", 1234, 1234, 1.234},
		{"0,234", 0.234, 234, 0.234},
		{"1234,567", 1234.567, bad, 1234.567},
		{"1,234.5", 1234.5, 1234.5, bad},
		{"1.234,5", 1234.5, bad, 1234.5},
		{"1.234.567", 1234567, bad, 1234567},
		{"1,234,567", 1234567, 1234567, bad},
		{"1 234 567.89", 1234567.89, 1234567.89, bad},
		{"1\u00a0234", 1234, 1234, 1234},
		{"1'234.50", 1234.5, 1234.5, bad},
		{"12,34,567", bad, bad, bad},
		{"$19.99", 19.99, 19.99, bad},
		{"19,99 €", 19.99, bad, 19.99},
		{"¥1,299", 1299, 1299, 1.299},
		{"1299元", 1299, 1299, 1299},
		{"R$ 1.299,90", 1299.9, bad, 1299.9},
		{"US$ -5", -5, -5, -5},
		{"-$5", -5, -5, -5},
		{"(5.00)", -5, -5, bad},
		{"5-", -5, -5, -5},
		{"−5", -5, -5, -5},
		{"1e3", 1000, 1000, 1000},
		{"1.5E-3", 0.0015, 0.0015, bad},
		{"123456789012345678", 123456789012345678, 123456789012345678, 123456789012345678},
		{"two", bad, bad, bad},
		{"NaN", bad, bad, bad},
		{"inf", bad, bad, bad},
		{"0x10", bad, bad, bad},
		{"1x", bad, bad, bad},
		{"#REF!", bad, bad, bad},
		{"", bad, bad, bad},
		{"-", bad, bad, bad},
		{"--5", bad, bad, bad},
		{"$", bad, bad, bad},
		{".", bad, bad, bad},
		{"1.2.3", bad, bad, bad},
		{"1,23,4", bad, bad, bad},
		{"(-5)", bad, bad, bad},
	} {
		for decimal, want := range map[string]float64{"": tt.auto, "point": tt.point, "comma": tt.comma} {
			got, ok := parseNumber(tt.text, decimal)
			if ok == math.IsNaN(want) || ok && got != want {
				t.Errorf("%q, decimal %q: got %v %t, want %v", tt.text, decimal, got, ok, want)
			}
		}
	}
}

func TestRepair(t *testing.T) {
	in := table(shopFields,
		[]any{"A", "n", "1.299,90 €", "23/11/2025", "Ja", 1},
		[]any{"B", "n", " ", "1700000000", "NEIN", 1},
		[]any{"C", "n", "many", "31/12/2024", "", 1},
		[]any{"D", "n", nil, "2025-11-23", "ja", 1},
	)
	cfg := parse(t, `
clean:
  - {rule: repair, fields: [price], as: number, action: "null"}
  - {rule: repair, fields: [day], as: time, layouts: [02/01/2006, unix], zone: "+08:00"}
  - {rule: repair, fields: [gift], as: bool, "true": [ja], "false": [nein]}
`)
	out := clean(t, t.TempDir(), in, cfg, Options{})
	wantSlice(t, "prices", out.column(t, cfg, in, "price"), "1299.9", "", "")
	wantSlice(t, "days", out.column(t, cfg, in, "day"), "2025-11-22T16:00:00Z", "2023-11-14T22:13:20Z", "2024-12-30T16:00:00Z")
	wantSlice(t, "gifts", out.column(t, cfg, in, "gift"), "true", "false", "")
	if len(out.rejected) != 1 || out.rejected[0].Reason != "no time: day" || out.rejected[0].Rule != "repair 2" || out.rejected[0].Record.Place.Line != 4 ||
		out.rejected[0].Fields[2].Type != record.Number {
		t.Errorf("rejected: %+v", out.rejected)
	}
	r := out.report
	if r.Read != 4 || r.Kept != 3 || r.Rules[0].Changed != 3 || r.Rules[0].Seen != 4 || r.Rules[2].Seen != 3 || r.Rules[1].Rejected != 1 || r.Rules[1].Reasons["no time: day"] != 1 {
		t.Errorf("report: %+v", r)
	}
	change := Change{record.Place{Source: "test", Line: 1}, "price", record.OfText("1.299,90 €"), record.OfNumber(1299.9)}
	if r.Rules[0].Changes[0] != change {
		t.Errorf("first change: %v, want %v", r.Rules[0].Changes[0], change)
	}
}

func TestDefaultTimes(t *testing.T) {
	for text, want := range map[string]string{
		"2025-03-01T12:00:00+08:00": "2025-03-01T04:00:00Z",
		"2025-03-01T12:00:00.123Z":  "2025-03-01T12:00:00.123Z",
		"2025-03-01 12:00:01":       "2025-03-01T12:00:01Z",
		"2025-03-01 12:00":          "2025-03-01T12:00:00Z",
		"2025-03-01T12:00:01":       "2025-03-01T12:00:01Z",
		"2025-03-01":                "2025-03-01T00:00:00Z",
		"2025/3/1":                  "2025-03-01T00:00:00Z",
		"2025/03/01 01:02":          "2025-03-01T01:02:00Z",
		"20250301":                  "2025-03-01T00:00:00Z",
		"2025年3月1日":                 "2025-03-01T00:00:00Z",
		"2025年3月1日 08:00:00":        "2025-03-01T08:00:00Z",
		"1 Mar 2025":                "2025-03-01T00:00:00Z",
		"Mar 1, 2025":               "2025-03-01T00:00:00Z",
		"yesterday":                 "",
		"2025-13-41T25:61:61Z":      "",
		"0000-00-00 00:00:00":       "",
		"01/02/2025":                "",
		"1700000000":                "",
	} {
		v, ok := parseTime(text, defaultLayouts, time.UTC)
		if got := v.String(); got != want || ok != (want != "") {
			t.Errorf("%q is %q %t, want %q", text, got, ok, want)
		}
	}
}

func TestText(t *testing.T) {
	name := []record.Field{{Name: "name", Type: record.Text}}
	for _, tt := range []struct{ steps, in, want string }{
		{"", "plain", "plain"},
		{"", "  ＡＢＣ　１２３ ", "ABC 123"},
		{"", "ｶﾞﾗｽ 棚", "ガラス 棚"},
		{"", "白色\u200b连衣\ufeff裙", "白色连衣裙"},
		{"", "a\t\tb\r\nc", "a b c"},
		{"", "①㎏", "1kg"},
		{"", "cafe\u0301", "café"},
		{"", "a\x00b\x7f", "ab"},
		{"", "", ""},
		{"fold", "Straße ÅNGSTRÖM 白", "strasse ångström 白"},
		{"trim", "  a  b ", "a  b"},
		{"collapse", "  a  b ", " a b "},
		{"width", "ＡＢＣ①", "ABC①"},
		{"nfkc, fold", "ſTRASSE ﬁn", "strasse fin"},
	} {
		cfg := Config{Rules: []Rule{{Spec: &Text{Fields: []string{"name"}}}}}
		if tt.steps != "" {
			cfg = parse(t, "clean: [{rule: text, fields: [name], steps: ["+tt.steps+"]}]")
		}
		out := clean(t, t.TempDir(), table(name, []any{tt.in}), cfg, Options{})
		if got := out.rows[0].Values[0].Text(); got != tt.want {
			t.Errorf("steps %q: %q is %q, want %q", tt.steps, tt.in, got, tt.want)
		}
	}
	cfg := parse(t, "clean: [{rule: text, fields: [name], empty_null: true}]")
	if out := clean(t, t.TempDir(), table(name, []any{" \u200b"}), cfg, Options{}); !out.rows[0].Values[0].IsNull() {
		t.Error("an empty text is not missing")
	}
}

// FuzzText checks that a text in form stays, and that texts that are found to be in form are.
func FuzzText(f *testing.F) {
	for _, s := range []string{"plain", " ＡＢＣ　", "ｶﾞ", "白色\u200b裙", "Straße", "\ufb03\u0345", "a\u0300\u200d", "\xff", "İ"} {
		f.Add(s, uint8(0xff))
		f.Add(s, uint8(0x2b))
	}
	f.Fuzz(func(t *testing.T, s string, steps uint8) {
		spec := Text{Fields: []string{"name"}}
		for i, step := range []string{TextControls, TextNFKC, TextWidth, TextFold, TextCollapse, TextTrim} {
			if steps>>i&1 == 1 {
				spec.Steps = append(spec.Steps, step)
			}
		}
		made, _, err := spec.build(&env{}, []record.Field{{Name: "name", Type: record.Text}})
		if err != nil {
			t.Fatal(err)
		}
		rule := made.(*textRule)
		formed := rule.form(s)
		if again := rule.form(formed); again != formed {
			t.Errorf("%+q becomes %+q and then %+q", s, formed, again)
		}
		if rule.clean(s) && formed != s && utf8.ValidString(s) {
			t.Errorf("%+q is said to be in form %v, which is %+q", s, spec.Steps, formed)
		}
	})
}

// FuzzNumber compares short numbers with what package strconv reads, and checks that no text is read as no finite number.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1.5", "-12", "1,234.5", "R$ 1.299,90", "(5)", "1e400", "123456789012345", "US$", "１２"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if x, ok := parseSimple(s); ok {
			if want, plain := parsePlain(s); !plain || x != want {
				t.Errorf("%q is %v, want %v", s, x, want)
			}
		}
		for _, decimal := range []string{"", "point", "comma"} {
			if x, ok := parseNumber(s, decimal); ok && math.IsNaN(x) {
				t.Errorf("%q is no number and read", s)
			}
		}
	})
}

func TestChecks(t *testing.T) {
	fields := []record.Field{{Name: "x", Type: record.Number}, {Name: "t", Type: record.Time}, {Name: "s", Type: record.Text}, {Name: "b", Type: record.Bool}}
	day := int64(1740787200000) // 2025-03-01
	in := table(fields,
		[]any{1, day, "ABC-1", true},
		[]any{2, day + 1, "abc-1", true},
		[]any{2.5, day, "XYZ-7", true},
		[]any{nil, nil, nil, nil},
		[]any{0.5, day - 1, "XYZ", false},
	)
	for _, tt := range []struct {
		rule string
		want []int64 // lines that are kept
	}{
		{"{rule: range, fields: [x], min: 1, max: 2}", []int64{1, 2, 4}},
		{"{rule: range, fields: [x], min: 1}", []int64{1, 2, 3, 4}},
		{"{rule: range, fields: [t], min: 2025-03-01, max: '2025-03-01T00:00:00Z'}", []int64{1, 3, 4}},
		{"{rule: pattern, fields: [s], match: '^[A-Z]+-\\d$'}", []int64{1, 3, 4}},
		{"{rule: allowed, fields: [x], values: [1, 2.5]}", []int64{1, 3, 4}},
		{"{rule: allowed, fields: [s], values: [XYZ, abc-1]}", []int64{2, 4, 5}},
		{"{rule: allowed, fields: [b], values: [true]}", []int64{1, 2, 3, 4}},
		{"{rule: missing, fields: [s, x], with: drop}", []int64{1, 2, 3, 5}},
		{"{rule: missing, fields: [s], with: drop, tokens: [XYZ]}", []int64{1, 2, 3}},
	} {
		cfg := parse(t, "clean:\n  - "+tt.rule)
		out := clean(t, t.TempDir(), in, cfg, Options{})
		wantSlice(t, tt.rule, lines(out.rows), tt.want...)
	}
	cfg := parse(t, "clean: [{rule: range, fields: [x], max: 2, action: 'null'}, {rule: missing, fields: [x], with: constant, value: 9}, {rule: normalize, fields: [x], method: log1p}]")
	out := clean(t, t.TempDir(), in, cfg, Options{})
	l := record.OfNumber(math.Log1p(9)).String()
	wantSlice(t, "filled", out.column(t, cfg, in, "x"), record.OfNumber(math.Log(2)).String(), record.OfNumber(math.Log1p(2)).String(), l, l, record.OfNumber(math.Log1p(0.5)).String())
}

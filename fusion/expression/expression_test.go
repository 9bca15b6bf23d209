package expression_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/fusion/expression"
	"github.com/kith-io/kith/fusion/record"
)

var (
	fields = []record.Field{
		{Name: "price", Type: record.Number},
		{Name: "status", Type: record.Text},
		{Name: "paid", Type: record.Bool},
		{Name: "at", Type: record.Time},
		{Name: "none", Type: record.Number},
		{Name: "nobody", Type: record.Text},
		{Name: "unsure", Type: record.Bool},
		{Name: "Unit Price", Type: record.Text},
		{Name: "address.city", Type: record.Text},
		{Name: "count", Type: record.Number},
		{Name: "never", Type: record.Time},
		{Type: record.Number},
	}
	row = []record.Value{
		record.OfNumber(250), record.OfText("Été test"), record.OfBool(true),
		record.OfTime(time.Date(2024, 2, 29, 13, 4, 5, 0, time.UTC).UnixMilli()),
		{},
		{},
		{},
		record.OfText(" 1.5 "), record.OfText("Köln"), record.OfNumber(7),
		{},
	}
)

func TestEval(t *testing.T) {
	null := record.Value{}
	num, txt, yes, no := record.OfNumber, record.OfText, record.OfBool(true), record.OfBool(false)
	tests := []struct {
		in   string
		want record.Value
	}{
		{"price / 100", num(2.5)},
		{"1 + 2 * 3 - 4 / 2", num(5)},
		{"-price", num(-250)},
		{"7 % 4", num(3)},
		{"2 ** 10", num(1024)},
		{"price / 0", null},
		{"0 / 0", null},
		{"price + none", null},
		{"price > 0 and status != 'test'", yes},
		{"price > 0 and nobody != 'test'", yes},
		{"none > 0", null},
		{"none > 0 and price < 0", no},
		{"price < 0 and none > 0", no},
		{"none > 0 and price > 0", null},
		{"none > 0 or price > 0", yes},
		{"price > 0 or none > 0", yes},
		{"none > 0 or price < 0", null},
		{"not paid", no},
		{"not unsure", null},
		{"none == nil", yes},
		{"none == null", yes},
		{"price == nil", no},
		{"price != nil", yes},
		{"none ?? 3", num(3)},
		{"price ?? 3", num(250)},
		{"status == 'Été test'", yes},
		{"status < 'Z'", no},
		{"'a' < 'b'", yes},
		{"at >= time('2024-02-29')", yes},
		{"at < time('2024-02-29T13:04:05Z')", no},
		{"never < at", null},
		{"status contains 'test'", yes},
		{"status startsWith 'test'", no},
		{"status endsWith 'test'", yes},
		{"nobody endsWith 'test'", null},
		{"status matches '^[A-ZÉ]t'", yes},
		{"status in ['a', 'Été test']", yes},
		{"price in [1, -2]", no},
		{"price not in [1, 2]", yes},
		{"none in [1, nil]", yes},
		{"paid ? 'a' : 'b'", txt("a")},
		{"unsure ? 'a' : 'b'", txt("b")},
		{"paid ? nil : 'b'", null},
		{"status + '!'", txt("Été test!")},
		{"text(price) + ' EUR'", txt("250 EUR")},
		{"text(at)", txt("2024-02-29T13:04:05Z")},
		{"number(field('Unit Price')) * 2", num(3)},
		{"number('x')", null},
		{"number('0x10')", null},
		{"number('Inf')", null},
		{"number(paid)", num(1)},
		{"address.city", txt("Köln")},
		{"count + 1", num(8)},
		{"lower(status)", txt("été test")},
		{"upper('aé')", txt("AÉ")},
		{"trim('  a ')", txt("a")},
		{"len(status)", num(8)},
		{"status[0:3]", txt("Été")},
		{"status[4:]", txt("test")},
		{"status[-4:]", txt("test")},
		{"status[:-5]", txt("Été")},
		{"status[5:2]", txt("")},
		{"status[100:]", txt("")},
		{"replace('aaa', 'a', 'bb')", txt("bbbbbb")},
		{"replace('aaa', '', 'bb')", txt("aaa")},
		{"split('a|b|c', '|', 2)", txt("b")},
		{"split('a|b|c', '|', -1)", txt("c")},
		{"split('a|b|c', '|', 4)", null},
		{"split('a|b|c', '|', 0)", null},
		{"split('a', '', 1)", null},
		{"round(2.5)", num(3)},
		{"round(-2.5)", num(-3)},
		{"round(19.994, 2)", num(19.99)},
		{"round(1234, -2)", num(1200)},
		{"round(1e300, 10)", num(1e300)},
		{"floor(-1.5)", num(-2)},
		{"ceil(-1.5)", num(-1)},
		{"abs(-1.5)", num(1.5)},
		{"min(3, 1, 2)", num(1)},
		{"max(3, price)", num(250)},
		{"max(3, none)", null},
		{"year(at) * 10000 + month(at) * 100 + day(at)", num(20240229)},
		{"hour(at)", num(13)},
		{"weekday(at)", num(4)},
		{"unix(at)", num(1709211845)},
		{"year(never)", null},
		{"time('yesterday')", null},
		{"nil", null},
		{"status | lower() | len()", num(8)},
	}
	for _, tt := range tests {
		e, err := expression.Compile(tt.in, fields)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		got := e.Eval(row)
		if got != tt.want {
			t.Errorf("%s: got %v %q, want %v %q", tt.in, got.Type(), got, tt.want.Type(), tt.want)
		}
		if !got.IsNull() && got.Type() != e.Type() {
			t.Errorf("%s: %v, but declared as %v", tt.in, got.Type(), e.Type())
		}
	}
}

func TestCompileErrors(t *testing.T) {
	tests := []struct {
		in           string
		line, column int
		want         string
	}{
		{"", 1, 1, "empty"},
		{"price >", 1, 7, "unexpected token"},
		{"price > 0 and prise < 1", 1, 15, `no field "prise"; there are price, status`},
		{"Price > 0", 1, 1, `did you mean "price"?`},
		{"1 +\n  foo", 2, 3, `no field "foo"`},
		{"lower > 1", 1, 1, "lower(...)"},
		{"status / 100", 1, 1, "/ takes a number, and this is a text; declare the field with type: number"},
		{"'é' + price", 1, 7, "convert it with text(...)"},
		{"at > '2024-01-01'", 1, 6, "must be of one type"},
		{"paid < paid", 1, 6, "no order"},
		{"not price", 1, 5, "takes a bool"},
		{"price ? 1 : 2", 1, 1, "takes a bool"},
		{"paid ? 1 : 'a'", 1, 12, "one type"},
		{"env('HOME')", 1, 1, `no function "env"; there are abs`},
		{"now()", 1, 1, "no function"},
		{"let a = price; a + a", 1, 5, "no variables"},
		{"map([1, 2], # + 1)", 1, 1, "no function"},
		{"filter(1..1000000, true)", 1, 1, "no function"},
		{"1..1000000", 1, 2, "operator .."},
		{"price in 1..5", 1, 11, "list of constants"},
		{"price in [count]", 1, 11, "constants only"},
		{"price in ['a']", 1, 11, "one type"},
		{"status matches nobody", 1, 16, "constant pattern"},
		{"status matches '('", 1, 16, "missing closing"},
		{"[1, 2]", 1, 1, "only after in"},
		{"{a: 1}", 1, 1, "not part of the language"},
		{"status.length", 1, 8, `no field "status.length"`},
		{"status[0]", 1, 7, "values have no parts"},
		{"lower()", 1, 1, "takes 1 value, and there are 0"},
		{"replace(status, 'a')", 1, 1, "takes 3 values"},
		{"round(1, 2, 3)", 1, 1, "takes 1 or 2 values"},
		{"len(price)", 1, 5, "len takes a text"},
		{"field(status)", 1, 1, "in quotes"},
		{"field('')", 1, 1, "address.city, count, never"},
		{strings.Repeat("1+", 600) + "1", 1, -1, "maximum allowed nodes"},
		{strings.Repeat("(", 5000), 1, 1, "at most 4096"},
	}
	for _, tt := range tests {
		_, err := expression.Compile(tt.in, fields)
		var at *expression.Error
		if !errors.As(err, &at) {
			t.Errorf("%.40q: %v; want an *Error", tt.in, err)
			continue
		}
		if at.Line != tt.line || at.Column != tt.column && tt.column >= 0 || !strings.Contains(at.Message, tt.want) {
			t.Errorf("%.40q: got %d:%d %s; want %d:%d ... %s", tt.in, at.Line, at.Column, at.Message, tt.line, tt.column, tt.want)
		}
	}
}

// TestBounded checks that what grows, ends: a row cannot make an expression take more than a bounded memory.
func TestBounded(t *testing.T) {
	text := []record.Field{{Name: "s", Type: record.Text}}
	long := []record.Value{record.OfText(strings.Repeat("a", expression.MaxText/2+1))}
	for _, in := range []string{"s + s", "replace(s, 'a', 'bc')", "replace(replace(s, 'a', 'aaaa'), 'a', 'aaaa')", "upper(s + s)"} {
		e, err := expression.Compile(in, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Eval(long); !got.IsNull() {
			t.Errorf("%s: a text of %d bytes", in, len(got.Text()))
		}
	}
}

func TestEvalDoesNotAllocate(t *testing.T) {
	e, err := expression.Compile("price > 0 and status != 'test' and round(price / 100, 1) <= 3 and count in [6, 7]", fields)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { e.Eval(row) }); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
	if got := e.Fields(); len(got) != 3 || got[0] != 0 || got[1] != 1 || got[2] != 9 {
		t.Errorf("fields %v", got)
	}
}

func FuzzCompile(f *testing.F) {
	for _, in := range []string{
		"price / 100", "price > 0 and status != 'test'", "a ?? b", "split(status, '|', -1)[1:] matches 'x+'", "let a = 1; a", "#", "1..2",
		"paid ? 1 : none", "status | lower()", "field('Unit Price')", "if paid {1} else {2}", "1 < price < 3", "{a: [1]}.a?.b", "b'x'",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		e, err := expression.Compile(in, fields)
		if err != nil {
			var at *expression.Error
			if !errors.As(err, &at) || at.Line < 1 || at.Column < 1 || at.Message == "" {
				t.Fatalf("%q: %#v", in, err)
			}
			return
		}
		got := e.Eval(row)
		if !got.IsNull() && got.Type() != e.Type() {
			t.Fatalf("%q: %v %v, declared %v", in, got.Type(), got, e.Type())
		}
		if math.IsNaN(got.Number()) {
			t.Fatalf("%q: NaN", in)
		}
		e.Eval(make([]record.Value, len(fields)))
	})
}

func BenchmarkEval(b *testing.B) {
	e, err := expression.Compile("price > 0 and status != 'test'", fields)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Eval(row)
	}
}

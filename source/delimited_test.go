package source

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// rowsOf reads all rows with r. Fields of a row are joined with '|' after its
// line, errors are the line and the reason.
func rowsOf(t testing.TB, r rows) []string {
	t.Helper()
	var out []string
	for {
		rec, err := r.next()
		var bad *RowError
		switch {
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d! %s", bad.Line, bad.Reason))
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			return append(out, "error: "+err.Error())
		default:
			out = append(out, fmt.Sprintf("%d %s", rec.Line, bytes.Join(rec.Fields, []byte("|"))))
		}
	}
}

func TestDelimitedRows(t *testing.T) {
	tests := []struct {
		name, in, sep string
		noQuote       bool
		width         int
		want          []string
	}{
		{name: "plain", in: "a,b\nc,d\n", sep: ",", want: []string{"1 a|b", "2 c|d"}},
		{name: "no end of line at the end", in: "a,b\nc,d", sep: ",", want: []string{"1 a|b", "2 c|d"}},
		{name: "CRLF", in: "a,b\r\nc,d\r\n", sep: ",", want: []string{"1 a|b", "2 c|d"}},
		{name: "CR at the end", in: "a,b\r", sep: ",", want: []string{"1 a|b"}},
		{name: "blank lines count", in: "\n\r\na,b\n\nc,d\n\n", sep: ",", want: []string{"3 a|b", "5 c|d"}},
		{name: "empty", in: "", sep: ","},
		{name: "empty fields", in: ",\na,,b,\n", sep: ",", want: []string{"1 |", "2 a||b|"}},
		{name: "one column", in: "a\nb\n", sep: ",", want: []string{"1 a", "2 b"}},
		{name: "more than eight bytes", in: "abcdefgh,ij,,klmnopqrstuvw,x\n", sep: ",", want: []string{"1 abcdefgh|ij||klmnopqrstuvw|x"}},
		{name: "bytes above 127", in: "\xacé,ü\n", sep: ",", want: []string{"1 \xacé|ü"}},
		{name: "string separator", in: "1::2::::3\n::\n", sep: "::", want: []string{"1 1|2||3", "2 |"}},
		{name: "overlapping separator", in: "1:::2\n", sep: "::", want: []string{"1 1|:2"}},
		{name: "separator in UTF-8", in: "a→b\n\"→\"→c\n", sep: "→", want: []string{"1 a|b", "2 →|c"}},
		{name: "spaces", in: "  a \t b\n \t \nc d  \n", sep: Spaces, want: []string{"1 a|b", "3 c|d"}},
		{name: "spaces and quotes", in: "\"a b\" c\n x \"\" \"y\"  \n", sep: Spaces, want: []string{"1 a b|c", "2 x||y"}},

		{name: "quoted", in: `"a","b,c",d` + "\n", sep: ",", want: []string{"1 a|b,c|d"}},
		{name: "doubled quotes", in: `"a""b",""""` + "\n", sep: ",", want: []string{`1 a"b|"`}},
		{name: "empty quoted", in: `""` + "\n" + `"",""`, sep: ",", want: []string{"1 ", "2 |"}},
		{name: "line end in quotes", in: "\"a\nb\",c\nd,e\n", sep: ",", want: []string{"1 a\nb|c", "3 d|e"}},
		{name: "CRLF in quotes", in: "\"a\r\n\r\nb\",c\r\nd,e\r\n", sep: ",", want: []string{"1 a\n\nb|c", "4 d|e"}},
		{name: "quote inside a field", in: "a\"b\",c\n5\" disk,d\n", sep: ",", want: []string{"1 a\"b\"|c", "2 5\" disk|d"}},
		{name: "text after a closing quote", in: "\"a\"b,c\nd,e\n", sep: ",", want: []string{"1! quote", "2 d|e"}},
		{name: "quote that does not end", in: "\"a,b\nc,d\n", sep: ",", want: []string{"1! quote", "2 c|d"}},
		{name: "quote that does not end, last", in: "a,b\n\"", sep: ",", want: []string{"1 a|b", "2! quote"}},
		{name: "quoted string separator", in: "\"1::2\"::3\n", sep: "::", want: []string{"1 1::2|3"}},
		{name: "half a separator after a quote", in: "\"1\":2\n", sep: "::", want: []string{"1! quote"}},
		{name: "no quoting", in: "\"a,b\"\n\"c,d\n", sep: ",", noQuote: true, want: []string{`1 "a|b"`, `2 "c|d`}},

		{name: "width", in: "a,b\nc\nd,e,f\n\"g\"\nh,i\n", sep: ",", width: 2, want: []string{"1 a|b", "2! columns", "3! columns", "4! columns", "5 h|i"}},
		{name: "long row", in: "a,b\n" + strings.Repeat("x", 101) + "\nc,d\n", sep: ",", want: []string{"1 a|b", "2! row_too_long", "3 c|d"}},
		{name: "longest row", in: strings.Repeat("x", 100) + "\n", sep: ",", want: []string{"1 " + strings.Repeat("x", 100)}},
		{name: "long row at the end", in: "a,b\n" + strings.Repeat("x", 1000), sep: ",", want: []string{"1 a|b", "2! row_too_long"}},
		{
			name: "long quoted row", in: "\"" + strings.Repeat("x\n", 60) + "\",y\na,b\n", sep: ",",
			want: append(append([]string{"1! quote"}, lineRows(2, 60, "x")...), "61! quote", "62 a|b"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)), iotest.DataErrReader(strings.NewReader(tt.in))} {
				d := newDelimited(newLineBuffer(in, 100), tt.sep, tt.noQuote)
				d.width = tt.width
				if got := rowsOf(t, d); !cmp.Equal(got, tt.want) {
					t.Errorf("%q: %s", tt.in, cmp.Diff(tt.want, got))
				}
			}
		})
	}
}

// lineRows lists rows of one field.
func lineRows(from, to int, field string) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprintf("%d %s", i, field))
	}
	return out
}

// TestDelimitedError: rows before an error of the input are read, the one that it cuts is not.
func TestDelimitedError(t *testing.T) {
	broken := errors.New("cable pulled")
	in := io.MultiReader(strings.NewReader("a,b\nc,"), iotest.ErrReader(broken))
	want := []string{"1 a|b", "error: cable pulled"}
	if got := rowsOf(t, newDelimited(newLineBuffer(in, 100), ",", false)); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	in = io.MultiReader(strings.NewReader("a,\"b\n"), iotest.ErrReader(broken))
	want = []string{"error: cable pulled"}
	if got := rowsOf(t, newDelimited(newLineBuffer(in, 100), ",", false)); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	in = io.MultiReader(strings.NewReader(strings.Repeat("x", 500)), iotest.ErrReader(broken))
	if got := rowsOf(t, newDelimited(newLineBuffer(in, 100), ",", false)); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

func TestDelimitedStuckInput(t *testing.T) {
	want := []string{"error: " + io.ErrNoProgress.Error()}
	if got := rowsOf(t, newDelimited(newLineBuffer(stuckReader{}, 100), ",", false)); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// csvRows reads in with encoding/csv. The second result is false if that
// refuses it.
func csvRows(in string, sep rune) ([]string, bool) {
	r := csv.NewReader(strings.NewReader(in))
	r.Comma, r.FieldsPerRecord = sep, -1
	var out []string
	for {
		row, err := r.Read()
		if err == io.EOF {
			return out, true
		}
		if err != nil {
			return nil, false
		}
		line, _ := r.FieldPos(0)
		out = append(out, fmt.Sprintf("%d %s", line, strings.Join(row, "|")))
	}
}

// sameAsCSV checks that what encoding/csv reads without error is read the same way.
func sameAsCSV(t testing.TB, in string, sep rune) {
	want, ok := csvRows(in, sep)
	if !ok {
		return
	}
	for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
		if got := rowsOf(t, newDelimited(newLineBuffer(r, 1<<20), string(sep), false)); !cmp.Equal(got, want) {
			t.Fatalf("%q by %q: %s", in, sep, cmp.Diff(want, got))
		}
	}
}

func TestDelimitedIsLikeEncodingCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sep := rapid.SampledFrom([]rune{',', ';', '\t', '|', '→'}).Draw(t, "sep")
		field := rapid.StringOf(rapid.SampledFrom([]rune{'a', 'b', '"', '\n', '\r', ' ', ',', sep, 'é'}))
		rows := rapid.SliceOf(rapid.SliceOfN(field, 1, 4)).Draw(t, "rows")
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		w.Comma = sep
		w.UseCRLF = rapid.Bool().Draw(t, "crlf")
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		got := rowsOf(unhelpful{}, newDelimited(newLineBuffer(&text, 1<<20), string(sep), false))
		var want []string
		line := 1
		for _, row := range rows {
			if len(row) == 1 && row[0] == "" {
				line++ // written as a blank line
				continue
			}
			// A CR before LF does not survive, here nor in encoding/csv.
			all := strings.Join(row, "|")
			clean := strings.ReplaceAll(all, "\r\n", "\n")
			if w.UseCRLF {
				clean = strings.ReplaceAll(strings.ReplaceAll(all, "\r", ""), "\r\n", "\n")
			}
			want = append(want, fmt.Sprintf("%d %s", line, clean))
			line += 1 + strings.Count(all, "\n")
		}
		if !cmp.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
	})
}

// unhelpful is a testing.TB for helpers inside of rapid.
type unhelpful struct{ testing.TB }

func (unhelpful) Helper() {}

func FuzzDelimited(f *testing.F) {
	for _, in := range []string{"", "a,b\n", "\"a\nb\",c\r\n\r\n\"\"\"\",d", "\"a\"b", "\xef\xbb\xbfa;b\n", "a\rb\r", ",\"", "\"\"\n\"\""} {
		f.Add(in, ",")
		f.Add(in, ";")
	}
	f.Fuzz(func(t *testing.T, in, sep string) {
		if checkSeparator(sep) != nil || sep == "" {
			return
		}
		if r := []rune(sep); len(r) == 1 && r[0] != 0xfffd && r[0] != ' ' {
			sameAsCSV(t, in, r[0])
		}
		// Lines ascend, and the way in which the bytes arrive does not matter.
		const longest = 64
		got := rowsOf(t, newDelimited(newLineBuffer(strings.NewReader(in), longest), sep, false))
		slow := rowsOf(t, newDelimited(newLineBuffer(iotest.OneByteReader(strings.NewReader(in)), longest), sep, false))
		if !cmp.Equal(got, slow) {
			t.Fatalf("%q by %q: whole against bytewise: %s", in, sep, cmp.Diff(got, slow))
		}
		last := 0
		for _, row := range got {
			line := 0
			if _, err := fmt.Sscanf(row, "%d", &line); err != nil || line <= last {
				t.Fatalf("%q by %q: line %d after %d in %q (%v)", in, sep, line, last, got, err)
			}
			last = line
		}
		if lines := strings.Count(in, "\n") + 1; last > lines {
			t.Fatalf("%q by %q: row at line %d of %d", in, sep, last, lines)
		}
	})
}

func BenchmarkDelimited(b *testing.B) {
	line := "138493,69644,4.5,1260209457\n"
	text := []byte(strings.Repeat(line, 1<<15))
	for _, quote := range []bool{false, true} {
		b.Run(fmt.Sprintf("quoted=%t", quote), func(b *testing.B) {
			in := text
			if quote {
				in = bytes.ReplaceAll(text, []byte("69644"), []byte(`"69644"`))
			}
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				d := newDelimited(newLineBuffer(bytes.NewReader(in), DefaultMaxRowBytes), ",", false)
				for {
					if _, err := d.next(); err != nil {
						break
					}
				}
			}
		})
	}
}

package source_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

func TestJSONLines(t *testing.T) {
	tests := []struct {
		name, file, in string
		o              source.Options
		columns        []string
		rows           []string
		notes          int
	}{
		{
			name: "flat", in: `{"user":"ada","n":1.50,"ok":true,"none":null}` + "\n" + `{"n":10000000000000000000001,"user":"bo","ok":false}` + "\n",
			columns: []string{"user", "n", "ok", "none"}, rows: []string{"1 ada|1.50|true|", "2 bo|10000000000000000000001|false|"},
		},
		{
			name: "nested", in: `{"user":{"id":7},"items":[{"sku":"a"},{"sku":"b","n":2}],"tags":["x"]}` + "\n\r\n" + `{"tags":["y","z"],"user":{"id":"8","more":1},"items":[]}`,
			columns: []string{"user.id", "user.more", "items[0].sku", "items[1].sku", "items[1].n", "tags[0]", "tags[1]"},
			rows:    []string{"1 7||a|b|2|x|", "3 8|1||||y|z"},
		},
		{
			name: "exploded", in: `{"order":"1","items":[{"sku":"\u0061\n"},{"sku":"b"},"c"],"user":"a\"dadadadadadadadada"}` + "\n" + `{"order":"2","user":"bo"}`,
			o:       source.Options{Explode: "items"},
			columns: []string{"items", "items.sku", "order", "user"},
			rows:    []string{"1 |a\n|1|a\"dadadadadadadadada", "1.1 |b|1|a\"dadadadadadadadada", "1.2 c||1|a\"dadadadadadadadada", "2 ||2|bo"},
		},
		{
			name: "null and object", in: `{"user":null,"x":1}` + "\n" + `{"user":{"id":"u"},"x":{"y":2}}`,
			columns: []string{"user.id", "x", "x.y"}, rows: []string{"1 |1|", `2 u|{"y":2}|2`},
		},
		{
			name: "columns asked for", in: `{"a":1}` + "\n" + `{"a":2,"p":{"q":[0,{"r":5}]}}` + "\n",
			o:       source.Options{Columns: []string{"A", "p.q[1].r", "p", "z"}},
			columns: []string{"a", "p.q[0]", "p.q[1].r", "p", "z"}, rows: []string{"1 1||||", `2 2|0|5|{"q":[0,{"r":5}]}|`}, notes: 1,
		},
		{
			name: "bad rows", in: `{"a":1}` + "\n[1]\n5\n{\"a\":\n{\"a\":1}{}\n{\"a\":1,\"a\":2}\n{\"a\":\"\xff\"}\n{\"a\":01}\n" + `{"a":2}` + "\n",
			columns: []string{"a"}, rows: []string{"1 1", "2! json", "3! json", "4! json", "5! json", "6! json", "7! json", "8! json", "9 2"},
		},
		{
			name: "long row", in: `{"a":1}` + "\n" + `{"a":"` + strings.Repeat("x", 200) + "\"}\n" + `{"a":2}`, o: source.Options{MaxRowBytes: 100},
			columns: []string{"a"}, rows: []string{"1 1", "2! row_too_long", "3 2"},
		},
		{name: "named, first row bad", file: "x.ndjson", in: "oops\n{\"a\":1}\n", columns: []string{"a"}, rows: []string{"1! json", "2 1"}},
		{name: "empty", file: "x.jsonl", in: "", columns: []string{}},
		{name: "byte-order mark", in: "\xef\xbb\xbf{\"a\":1}\n", columns: []string{"a"}, rows: []string{"1 1"}},
		{name: "gzip", file: "x.jsonl.gz", in: zip(t, "{\"a\":1}\n"), columns: []string{"a"}, rows: []string{"1 1"}},
		{name: "zstd", in: zstdOf(t, "{\"a\":1}\n"), columns: []string{"a"}, rows: []string{"1 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file == "" {
				tt.file = "x.log"
			}
			notes := 0
			tt.o.Note = func(string) { notes++ }
			for how, in := range map[string]io.Reader{"whole": strings.NewReader(tt.in), "bytewise": iotest.OneByteReader(strings.NewReader(tt.in))} {
				r, err := source.NewReader(in, tt.file, tt.o)
				if err != nil {
					t.Fatal(err)
				}
				if r.Format() != source.JSONLines || !cmp.Equal(r.Columns(), tt.columns) {
					t.Errorf("%s: format %s, columns %q; want %q", how, r.Format(), r.Columns(), tt.columns)
				}
				if got := readParts(t, r); !cmp.Equal(got, tt.rows) {
					t.Errorf("%s: %s", how, cmp.Diff(tt.rows, got))
				}
			}
			if notes != 2*tt.notes {
				t.Errorf("%d notes, want %d", notes, 2*tt.notes)
			}
		})
	}
}

// readParts is read with the part, if it is not 0, after the line.
func readParts(t testing.TB, r *source.Reader) []string {
	t.Helper()
	var out []string
	for {
		rec, err := r.Next()
		var bad *source.RowError
		switch {
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d! %s", bad.Line, bad.Reason))
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			t.Fatal(err)
		case rec.Part > 0:
			out = append(out, fmt.Sprintf("%d.%d %s", rec.Line, rec.Part, bytes.Join(rec.Fields, []byte("|"))))
		default:
			out = append(out, fmt.Sprintf("%d %s", rec.Line, bytes.Join(rec.Fields, []byte("|"))))
		}
	}
}

func TestJSONRefused(t *testing.T) {
	var wide strings.Builder
	for i := range source.MaxColumns + 1 {
		fmt.Fprintf(&wide, `,"c%d":1`, i)
	}
	deep := strings.Repeat(`{"b":1,"a":`, 9000) + "1" + strings.Repeat("}", 9000)
	tests := []struct {
		name, file, in, want string
		o                    source.Options
	}{
		{name: "array", file: "x.json", in: "[\n{\"a\":1}\n]", want: "jq -c '.[]'"},
		{name: "document", file: "x.json", in: "{\n \"a\": 1\n}\n", want: "jq -c '.'"},
		{name: "array called lines", file: "x.jsonl", in: `[{"a":1}]`, want: "an array"},
		{name: "wide", file: "x.jsonl", in: "{" + wide.String()[1:] + "}\n", want: "columns"},
		{name: "bad explode", in: deep, o: source.Options{Explode: "a..b"}, want: "empty name"},
		{name: "bad index", in: `{"a":1}`, o: source.Options{Columns: []string{"a[1"}}, want: "indexes"},
		{name: "large index", in: `{"a":1}`, o: source.Options{Columns: []string{"a[99999999]"}}, want: "indexes"},
		{name: "explode of a table", in: "a,b\n", o: source.Options{Format: source.Delimited, Explode: "a"}, want: "JSON lines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := source.NewReader(strings.NewReader(tt.in), tt.file, tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, source.ErrFormat) && !errors.Is(err, source.ErrOptions) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	r, err := source.NewReader(strings.NewReader(deep), "", source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Columns()); n > 40 {
		t.Errorf("%d columns of a deep object", n)
	}
}

// FuzzJSONLines compares with encoding/json: what it takes for an object is a row with its values, the rest is refused.
func FuzzJSONLines(f *testing.F) {
	for _, in := range []string{`{"a":1,"b":{"c":"d"}}`, `{"a":"\ud834\udd1e\n"}`, "{\"a\":[1,{\"a\":2}]}\n{}\n[]", `{"a":[[1],[2]],"a.b":3}`, `{"a":{},"a":1}`, "\xff"} {
		f.Add(in, "a", "b.c")
	}
	f.Fuzz(func(t *testing.T, in, explode, column string) {
		o := source.Options{Format: source.JSONLines, Explode: explode, Columns: []string{column}}
		r, err := source.NewReader(strings.NewReader(in), "", o)
		if err != nil {
			return
		}
		seen := 0
		rows := map[int64]bool{}
		for {
			rec, err := r.Next()
			var bad *source.RowError
			switch {
			case errors.As(err, &bad):
				continue
			case errors.Is(err, io.EOF):
			case err != nil:
				t.Fatalf("%q: %v", in, err)
			default:
				rows[rec.Line] = true
				if len(rec.Fields) != len(r.Columns()) {
					t.Fatalf("%q: %d fields of %d columns", in, len(rec.Fields), len(r.Columns()))
				}
				if seen++; seen > 1<<20 {
					t.Fatalf("%q: no end", in)
				}
				continue
			}
			break
		}
		for i, line := range strings.Split(in, "\n") {
			isObject := json.Unmarshal([]byte(line), &map[string]any{}) == nil && strings.HasPrefix(strings.TrimSpace(line), "{")
			if rows[int64(i+1)] && !isObject {
				t.Fatalf("%q is no object for encoding/json", line)
			}
		}
	})
}

func BenchmarkJSONLines(b *testing.B) {
	line := `{"ts":"2024-05-01T12:00:00Z","user":{"id":"u123456","country":"de"},"event":"purchase","items":[{"sku":"s1","qty":2}],"properties":{"price":19.90}}` + "\n"
	text := strings.Repeat(line, 10000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := source.NewReader(strings.NewReader(text), "x.jsonl", source.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}

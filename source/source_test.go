package source_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/kith-io/kith/source"
)

func known(name string) bool { return name == "user" || name == "item" }

// read reads all of r: rows as line, fields joined with '|'; errors as line and reason.
func read(t testing.TB, r *source.Reader) []string {
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
			return append(out, "error: "+err.Error())
		default:
			out = append(out, fmt.Sprintf("%d %s", rec.Line, bytes.Join(rec.Fields, []byte("|"))))
		}
	}
}

// readString reads text as a file called name.
func readString(t testing.TB, text, name string, o source.Options) []string {
	t.Helper()
	r, err := source.NewReader(strings.NewReader(text), name, o)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return read(t, r)
}

func TestDetection(t *testing.T) {
	tests := []struct {
		name, file, in string
		o              source.Options
		sep            string
		columns        []string
		width          int
	}{
		{name: "comma", in: "1,2\n3,4\n", sep: ",", width: 2},
		{name: "tab", in: "1\t2\t3\n4\t5\t6\n", sep: "\t", width: 3},
		{name: "semicolon", in: "1;2\n3;4\n", sep: ";", width: 2},
		{name: "pipe", in: "1|2\n3|4\n", sep: "|", width: 2},
		{name: "double colon", in: "1::2::3\n4::5::6\n", sep: "::", width: 3},
		{name: "spaces", in: "1 2  3\n4 5 6\n", sep: source.Spaces, width: 3},
		{name: "tab over spaces in values", in: "1\ta b\n3\tc d\n", sep: "\t", width: 2},
		{name: "semicolon with decimal commas", file: "x.csv", in: "a;b;3,5\nc;d;4,0\n", sep: ";", width: 3},
		{name: "comma with semicolons in values", file: "x.csv", in: "a,b,x;y\nc,d,z\n", sep: ",", width: 3},
		{name: "extension decides a tie", file: "x.tsv", in: "a,b\tc\nd,e\tf\n", sep: "\t", width: 2},
		{name: "extension is no proof", file: "x.csv", in: "1;2\n3;4\n", sep: ";", width: 2},
		{name: "compressed name", file: "x.csv.gz", in: "a b,c d\n", sep: ",", width: 2},
		{name: "some ragged rows", in: "1,2\n3,4\n5;6;7\n", sep: ",", width: 2},
		{name: "single column", in: "1\n2\n", sep: ",", width: 1},
		{name: "single column, tsv", file: "x.tsv", in: "1\n2\n", sep: "\t", width: 1},
		{name: "empty", in: "", sep: ",", width: 0},
		{name: "separators in quotes", in: "\"a,b,c\";1\n\"d\";2\n", sep: ";", width: 2},
		{name: "given separator", in: "1,2\n3,4\n", o: source.Options{Separator: ";"}, sep: ";", width: 1},

		{name: "header by known names", in: "user,thing\nada,lamp\n", sep: ",", columns: []string{"user", "thing"}, width: 2},
		{name: "header alone", in: "user,item\n", sep: ",", columns: []string{"user", "item"}, width: 2},
		{name: "known name, case and blanks", in: " USER ,thing\nada,lamp\n", sep: ",", columns: []string{"USER", "thing"}, width: 2},
		{name: "header over numbers", in: "a,b\nx,1\ny,2\n", sep: ",", columns: []string{"a", "b"}, width: 2},
		{name: "no header: texts", in: "a,b\nc,d\n", sep: ",", width: 2},
		{name: "no header: numbers", in: "1,2\n3,4\n", sep: ",", width: 2},
		{name: "no header: mostly numbers", in: "user,2,3\n4,5,6\n", sep: ",", width: 3},
		{name: "no header: dates are no numbers", in: "a,2024-01-01\nb,2024-01-02\n", sep: ",", width: 2},
		{name: "header with a number", in: "user,x,3\n0,1,cart\n", sep: ",", columns: []string{"user", "x", "3"}, width: 3},
		{name: "header by order", in: "1,2\n3,4\n", o: source.Options{Header: source.HeaderYes}, sep: ",", columns: []string{"1", "2"}, width: 2},
		{name: "no header by order", in: "user,item\n3,4\n", o: source.Options{Header: source.HeaderNo}, sep: ",", width: 2},
		{name: "header in quotes", in: "\"user\",\"a \"\"b\"\"\"\n1,2\n", sep: ",", columns: []string{"user", `a "b"`}, width: 2},
		{name: "skip", in: "made by hand, in haste, today\n\nuser,item\n1,2\n", o: source.Options{Skip: 2}, sep: ",", columns: []string{"user", "item"}, width: 2},
		{name: "skip all", in: "a,b\n", o: source.Options{Skip: 5}, sep: ",", width: 0},

		{name: "lines", in: "1 2 3\n4 5\n", o: source.Options{Format: source.Lines}, sep: source.Spaces, columns: []string{"user", "item"}, width: 2},
		{name: "lines, tab", in: "1\t2 b\t3\n4\t5\n", o: source.Options{Format: source.Lines}, sep: "\t", columns: []string{"user", "item"}, width: 2},
		{name: "baskets, csv", file: "x.csv", in: "whole milk\nrolls,soda\n", o: source.Options{Format: source.Baskets}, sep: ",", columns: []string{"user", "item"}, width: 2},
		{name: "baskets, tsv", file: "x.tsv", in: "whole milk\n", o: source.Options{Format: source.Baskets}, sep: "\t", columns: []string{"user", "item"}, width: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file == "" {
				tt.file = "x.txt"
			}
			path := filepath.Join(t.TempDir(), tt.file)
			if strings.HasSuffix(path, ".gz") {
				tt.in = zip(t, tt.in)
			}
			if err := os.WriteFile(path, []byte(tt.in), 0o600); err != nil {
				t.Fatal(err)
			}
			tt.o.KnownName = known
			got, err := source.DetectFormat(t.Context(), path, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			format := tt.o.Format
			if format == source.Auto {
				format = source.Delimited
			}
			want := source.Detected{Format: format, Separator: tt.sep, Columns: tt.columns, Width: tt.width}
			if !cmp.Equal(got, want) {
				t.Errorf("%q: %s", tt.in, cmp.Diff(want, got))
			}
		})
	}
}

func zip(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstdOf(t testing.TB, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

func utf16Of(text string, big bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

func TestEncodingsAndCompression(t *testing.T) {
	const text = "user,item\nzoë,→\n"
	want := []string{"2 zoë|→"}
	tests := []struct {
		name, in, encoding string
		want               []string
	}{
		{"UTF-8", text, "", want},
		{"byte-order mark", "\ufeff" + text, "", want},
		{"UTF-16 little endian", utf16Of(text, false), "", want},
		{"UTF-16 big endian", utf16Of(text, true), "", want},
		{"UTF-16 by order, without mark", utf16Of(text, false)[2:], "utf-16", want},
		{"latin1", "user,item\nzo\xeb,\xbd\n", "latin1", []string{"2 zoë|½"}},
		{"windows-1252", "user,item\nzo\xeb,\x80\n", "Windows-1252", []string{"2 zoë|€"}},
		{"invalid UTF-8 passes", "user,item\nzo\xeb,x\n", "utf-8", []string{"2 zo\xeb|x"}},
		{"gzip", zip(t, text), "", want},
		{"gzip of a byte-order mark", zip(t, "\ufeff"+text), "", want},
		{"gzip in two members", zip(t, text) + zip(t, "b,c\n"), "", []string{"2 zoë|→", "3 b|c"}},
		{"gzip of UTF-16", zip(t, utf16Of(text, true)), "", want},
		{"zstd", zstdOf(t, text), "", want},
		{"zstd in two frames", zstdOf(t, text) + zstdOf(t, "b,c\n"), "", []string{"2 zoë|→", "3 b|c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := readString(t, tt.in, "x.csv", source.Options{Encoding: tt.encoding, KnownName: known})
			if !cmp.Equal(got, tt.want) {
				t.Error(cmp.Diff(tt.want, got))
			}
		})
	}
}

// TestDamagedStream: what can be read before the damage is read, then the
// damage is an error; it is never the silent end of the file.
func TestDamagedStream(t *testing.T) {
	var text strings.Builder
	for i := range 30000 {
		fmt.Fprintf(&text, "%d,%d\n", i, i*7919%10007)
	}
	for _, kind := range []string{"gzip", "zstd"} {
		whole := zip(t, text.String())
		if kind == "zstd" {
			whole = zstdOf(t, text.String())
		}
		flipped := []byte(whole)
		flipped[len(flipped)-3] ^= 0x55 // the checksum
		for name, in := range map[string]string{
			"cut in the middle": whole[:len(whole)*3/4],
			"cut at the start":  whole[:len(whole)/100],
			"cut at the end":    whole[:len(whole)-1],
			"flipped":           string(flipped),
			"header only":       whole[:4],
			"garbage after":     whole + "garbage",
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				r, err := source.NewReader(strings.NewReader(in), "x.csv", source.Options{})
				rows := 0
				for err == nil {
					if _, err = r.Next(); err == nil {
						rows++
					}
				}
				if !errors.Is(err, source.ErrCorrupt) || !strings.Contains(err.Error(), kind) {
					t.Errorf("after %d rows: %v; want an ErrCorrupt that names %s", rows, err, kind)
				}
				if name == "cut in the middle" && rows < 1000 {
					t.Errorf("%d rows before the damage", rows)
				}
			})
		}
	}
}

func TestForeignFormats(t *testing.T) {
	for in, want := range map[string]string{
		"PK\x03\x04\x14\x00\x00\x00":           "zip",
		"BZh91AY&SY":                           "bzip2",
		"\xfd7zXZ\x00\x00\x04":                 "xz",
		"SQLite format 3\x00":                  "SQLite",
		"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":     "workbook",
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00": "Parquet file in a compressed stream",
	} {
		name := "x.csv"
		if strings.HasPrefix(in, "\x1f\x8b") {
			name = "x.parquet.gz"
		}
		_, err := source.NewReader(strings.NewReader(in), name, source.Options{})
		if !errors.Is(err, source.ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an ErrFormat that says %s", in, err, want)
		}
	}
	if got := readString(t, "BZhang,lamp\n", "x.csv", source.Options{}); !cmp.Equal(got, []string{"1 BZhang|lamp"}) {
		t.Errorf("a name that starts like a bzip2 file: %q", got)
	}
}

func TestLineFormats(t *testing.T) {
	tests := []struct {
		name, in string
		format   source.Format
		sep      string
		want     []string
	}{
		{"lines", "u1 a b\nu2 c\n", source.Lines, "", []string{"1 u1|a", "1 u1|b", "2 u2|c"}},
		{"user without items", "u1\nu2 a\n", source.Lines, "", []string{"1! no_item", "2 u2|a"}},
		{"separators at the end", "u1,a,,b,,\nu2,,\n,c\n", source.Lines, ",", []string{"1 u1|a", "1 u1|b", "2! no_item", "3 |c"}},
		{"blank lines", "\nu1 a\n\n  \nu2 b", source.Lines, "", []string{"2 u1|a", "5 u2|b"}},
		{"quotes", "u1,\"a,b\",c\n", source.Lines, ",", []string{"1 u1|a,b", "1 u1|c"}},
		{"baskets", "a b\n\nc\n", source.Baskets, "", []string{"1 1|a", "1 1|b", "3 3|c"}},
		{"baskets, empty", "a,b\n,,\nc\n", source.Baskets, ",", []string{"1 1|a", "1 1|b", "2! no_item", "3 3|c"}},
		{"baskets, damaged", "a,\"b\nc\n", source.Baskets, ",", []string{"1! quote", "2 2|c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := readString(t, tt.in, "x.txt", source.Options{Format: tt.format, Separator: tt.sep}); !cmp.Equal(got, tt.want) {
				t.Errorf("%q: %s", tt.in, cmp.Diff(tt.want, got))
			}
		})
	}
	t.Run("parts and raw", func(t *testing.T) {
		r, err := source.NewReader(strings.NewReader("u1,a,,b\n"), "x.csv", source.Options{Format: source.Lines})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"0 u1,a", "2 u1,b"} {
			rec, err := r.Next()
			if got := fmt.Sprintf("%d %s", rec.Part, r.Raw()); err != nil || got != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		}
	})
}

func TestRaggedRows(t *testing.T) {
	const text = "user,item\n1\n2,3,4\n5,6\n"
	want := []string{"2! columns", "3! columns", "4 5|6"}
	if got := readString(t, text, "x.csv", source.Options{KnownName: known}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	want = []string{"2 1", "3 2|3|4", "4 5|6"}
	if got := readString(t, text, "x.csv", source.Options{KnownName: known, Ragged: true}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	want = []string{"1 user|item", "2 1", "3 2|3|4", "4 5|6"}
	if got := readString(t, text, "x.csv", source.Options{Header: source.HeaderNo}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestRowError(t *testing.T) {
	r, err := source.NewReader(strings.NewReader("user,item\n1,2,3\n"+strings.Repeat("y", 3<<20)+"\n4,5\n"), "x.csv", source.Options{KnownName: known})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Next()
	var bad *source.RowError
	if !errors.As(err, &bad) || bad.Raw != "1,2,3" || err.Error() != "line 2: columns: 3 fields where the header has 2 (ragged rows can be allowed)" {
		t.Errorf("got %v with %q", err, bad.Raw)
	}
	_, err = r.Next()
	if !errors.As(err, &bad) || bad.Reason != source.ReasonTooLong || len(bad.Raw) != 64<<10 {
		t.Errorf("got %v with %d bytes", err, len(bad.Raw))
	}
	if got := read(t, r); !cmp.Equal(got, []string{"4 4|5"}) {
		t.Errorf("after the errors: %q", got)
	}
}

func TestDamagedHeader(t *testing.T) {
	_, err := source.NewReader(strings.NewReader("\"user\"x,item\n1,2\n"), "x.csv", source.Options{Header: source.HeaderYes})
	if !errors.Is(err, source.ErrCorrupt) || !strings.Contains(err.Error(), "header") {
		t.Errorf("got %v; want an ErrCorrupt about the header", err)
	}
}

func TestPeek(t *testing.T) {
	const text = "1,a\n\"x\"y,b\n2,c\n3,d\n"
	for n, good := range []int{0, 1, 1, 2, 3, 3, 3} { // the second row is bad
		r, err := source.NewReader(strings.NewReader(text), "x.csv", source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var peeked []string
		for _, rec := range r.Peek(n) {
			peeked = append(peeked, string(bytes.Join(rec.Fields, []byte("|"))))
		}
		want := []string{"1|a", "2|c", "3|d"}[:good]
		if !slices.Equal(peeked, want) {
			t.Errorf("peek %d: got %q, want %q", n, peeked, want)
		}
		if _, err := r.Next(); err != nil || string(r.Raw()) != "1,a" {
			t.Errorf("peek %d: first raw %q, %v", n, r.Raw(), err)
		}
		if got, want := read(t, r), []string{"2! quote", "3 2|c", "4 3|d"}; !cmp.Equal(got, want) {
			t.Errorf("peek %d: %s", n, cmp.Diff(want, got))
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("peek %d: after the end: %v", n, err)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.csv")
	if err := os.WriteFile(path, []byte("1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("closed", func(t *testing.T) {
		r, err := source.Open(t.Context(), path, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Next(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next after Close: %v", err)
		}
		if r.Raw() != nil {
			t.Errorf("Raw after Close: %q", r.Raw())
		}
	})
	t.Run("directory without files", func(t *testing.T) {
		if _, err := source.Open(t.Context(), t.TempDir(), source.Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), ".parquet") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("missing", func(t *testing.T) {
		if _, err := source.Open(t.Context(), filepath.Join(dir, "no"), source.Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := source.Open(ctx, path, source.Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("standard input", func(t *testing.T) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func(old *os.File) { os.Stdin = old }(os.Stdin)
		os.Stdin = f
		r, err := source.Open(t.Context(), "-", source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, r); !cmp.Equal(got, []string{"1 1|2"}) {
			t.Errorf("got %q", got)
		}
		if err := errors.Join(r.Close(), f.Close()); err != nil {
			t.Error(err) // f was not closed by r
		}
	})
}

func TestOptions(t *testing.T) {
	bad := []source.Options{
		{Format: "xml"}, {Skip: -1}, {MaxRowBytes: -1}, {MaxRowBytes: 2 << 30}, {Separator: "a\nb"}, {Separator: `"`}, {Encoding: "ebcdic"},
	}
	for _, o := range bad {
		if _, err := source.NewReader(strings.NewReader(""), "x", o); !errors.Is(err, source.ErrOptions) {
			t.Errorf("%+v: %v; want ErrOptions", o, err)
		}
		if _, err := source.Open(t.Context(), "x.csv", o); !errors.Is(err, source.ErrOptions) || !strings.Contains(err.Error(), "x.csv") {
			t.Errorf("%+v: %v; want ErrOptions with the name", o, err)
		}
	}
}

func TestParseFormat(t *testing.T) {
	tests := []struct {
		in     string
		format source.Format
		sep    string
		ok     bool
	}{
		{"", source.Auto, "", true},
		{"auto", source.Auto, "", true},
		{"CSV", source.Delimited, ",", true},
		{"tsv", source.Delimited, "\t", true},
		{"delimited", source.Delimited, "", true},
		{"lines", source.Lines, "", true},
		{"baskets", source.Baskets, "", true},
		{"Parquet", source.Parquet, "", true},
		{"xlsx", "", "", false},
	}
	for _, tt := range tests {
		format, sep, err := source.ParseFormat(tt.in)
		if format != tt.format || sep != tt.sep || (err == nil) != tt.ok || !tt.ok && !errors.Is(err, source.ErrOptions) {
			t.Errorf("%q: got %q, %q, %v", tt.in, format, sep, err)
		}
	}
}

func TestParseSeparator(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"", "", true},
		{"auto", "", true},
		{"tab", "\t", true},
		{`\t`, "\t", true},
		{"\t", "\t", true},
		{"Comma", ",", true},
		{";", ";", true},
		{"semicolon", ";", true},
		{"pipe", "|", true},
		{"space", source.Spaces, true},
		{" ", source.Spaces, true},
		{"::", "::", true},
		{"\n", "", false},
		{`"`, "", false},
		{"\x00", "", false},
	}
	for _, tt := range tests {
		got, err := source.ParseSeparator(tt.in)
		if got != tt.want || (err == nil) != tt.ok || !tt.ok && !errors.Is(err, source.ErrOptions) {
			t.Errorf("%q: got %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// FuzzReader: whatever the file, reading ends, and no damage is a panic.
func FuzzReader(f *testing.F) {
	for _, in := range []string{"user,item\n1,2\n", utf16Of("a;b\n", true), zip(f, "a,b\n"), zstdOf(f, "a b\n"), "PAR1", "1 2 3\n4\n", "\xef\xbb\xbfx\ty\n"} {
		f.Add([]byte(in), "x.csv", "", uint8(0))
		f.Add([]byte(in), "x.dat", "lines", uint8(3))
		f.Add([]byte(in), "x.tsv", "baskets", uint8(5))
		f.Add([]byte(in), "x.jsonl", "", uint8(0))
	}
	f.Fuzz(func(t *testing.T, in []byte, name, format string, flags uint8) {
		o := source.Options{
			Format: source.Format(format), Header: source.Header(flags % 3), NoQuote: flags&4 != 0, Ragged: flags&8 != 0,
			Skip: int(flags >> 6), MaxRowBytes: []int{0, 1, 32, 1 << 15}[flags>>4&3], KnownName: known,
		}
		r, err := source.NewReader(bytes.NewReader(in), name, o)
		if err != nil {
			return
		}
		peeked := len(r.Peek(3))
		last := int64(0)
		for n := 0; ; n++ {
			rec, err := r.Next()
			var bad *source.RowError
			switch {
			case errors.As(err, &bad):
				rec.Line = bad.Line
			case err != nil:
				if n < peeked {
					t.Fatalf("%d rows of %d peeked at, then %v", n, peeked, err)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				return
			default:
				r.Raw()
			}
			if rec.Line < last {
				t.Fatalf("line %d after %d", rec.Line, last)
			}
			last = rec.Line
		}
	})
}

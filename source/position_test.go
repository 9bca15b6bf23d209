package source_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/source"
)

// readFrom reads a file from a position, peeking first, and returns each row with the position after it.
func readFrom(t *testing.T, path string, o source.Options, peek int, from source.Position) (rows []string, after []source.Position) {
	t.Helper()
	track := &source.Track{Begin: func(file, at string) (source.Position, error) {
		if file != "" || at != path {
			t.Errorf("begin of %q at %s", file, at)
		}
		return from, nil
	}}
	o.Track = track
	r, err := source.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	r.Peek(peek)
	for {
		rec, err := r.Next()
		var bad *source.RowError
		switch {
		case errors.As(err, &bad):
			rows = append(rows, fmt.Sprintf("%d! %s", bad.Line, bad.Reason))
		case errors.Is(err, io.EOF):
			last := track.Take()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if d := cmp.Diff(last, track.Take()); d != "" {
				t.Errorf("before and after Close: %s", d)
			}
			return rows, after
		case err != nil:
			t.Fatalf("from %+v: %v", from, err)
		default:
			rows = append(rows, fmt.Sprintf("%d.%d %s", rec.Line, rec.Part, fieldsOf(rec)))
		}
		after = append(after, track.Take()...)
	}
}

// TestPositions takes the reading up after each row, with and without having peeked, and wants the rest.
func TestPositions(t *testing.T) {
	var long strings.Builder
	for i := range 30000 { // more than the buffer
		fmt.Fprintf(&long, "u%d,i%d,%d\n", i, i%7, i)
	}
	text := "user,item\n1,a\n\n2,\"b\nc\"\n3,d,e\r\n4,\"x\"y\n5,f\n"
	tests := []struct {
		name, file, in string
		o              source.Options
		step           int
	}{
		{name: "quoted", file: "x.csv", in: text},
		{name: "byte-order mark", file: "x.csv", in: "\xef\xbb\xbf" + text},
		{name: "latin1", file: "x.csv", in: text + "6,\xe9\n7,g\n", o: source.Options{Encoding: "latin1"}},
		{name: "gzip", file: "x.csv.gz", in: zip(t, text)},
		{name: "long", file: "x.csv", in: long.String(), step: 4999},
		{name: "long zstd", file: "x.csv.zst", in: zstdOf(t, long.String()), step: 4999},
		{name: "too long", file: "x.csv", in: "1,a\n" + strings.Repeat("x", 500000) + "\n2,b\n", o: source.Options{MaxRowBytes: 1000}},
		{name: "lines", file: "x.txt", in: "1 a b c\n2\n3 d e\n", o: source.Options{Format: source.Lines}},
		{name: "jsonl", file: "x.jsonl", in: "{\"a\":1}\n\nx\n{\"a\":2}\n"},
		{name: "exploded", file: "x.jsonl", in: `{"a":[1,2,3]}` + "\n" + `{"a":[4]}` + "\n", o: source.Options{Explode: "a"}},
		{name: "parquet", file: "x.parquet", in: string(parquetOf(t, pairs(50), parquet.MaxRowsPerRowGroup(7)))},
		{name: "long parquet", file: "x.parquet", in: string(parquetOf(t, pairs(9000), parquet.MaxRowsPerRowGroup(2500))), step: 997},
		{name: "no line end", file: "x.csv", in: "1,a\n2,b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(path, []byte(tt.in), 0o600); err != nil {
				t.Fatal(err)
			}
			tt.o.KnownName = known
			all, after := readFrom(t, path, tt.o, 0, source.Position{})
			if len(all) < 2 || len(all) != len(after) {
				t.Fatalf("%d rows, %d positions", len(all), len(after))
			}
			for i := 0; i < len(all); i += max(tt.step, 1) {
				for _, peek := range []int{0, 2, 100} {
					got, _ := readFrom(t, path, tt.o, peek, after[i])
					// The rest of the rows, and before it no other than those of the line that the last row is of.
					want := all[i+1:]
					over := len(got) - len(want)
					if over < 0 || over > i+1 || !slices.Equal(got, all[i+1-over:]) {
						t.Fatalf("peek %d: after %q at %+v: got %.300q; want %.300q", peek, all[i], after[i], got, want)
					}
					line, _, _ := strings.Cut(all[i], ".")
					if over > 0 && !strings.HasPrefix(got[0], line+".") {
						t.Errorf("peek %d: after %q: read again from %q", peek, all[i], got[0])
					}
					if over > 0 && tt.name != "lines" && tt.name != "exploded" && tt.name != "no line end" {
						t.Errorf("peek %d: after %q: read %d rows again", peek, all[i], over)
					}
				}
			}
		})
	}
}

// TestAppended: a file that grows goes on where it was, also if its last row was not complete.
func TestAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("user,item\n1,a\n2,b")
	o := source.Options{KnownName: known}
	_, after := readFrom(t, path, o, 0, source.Position{})
	write("user,item\n1,a\n2,bc\n3,d\n")
	got, _ := readFrom(t, path, o, 100, after[len(after)-1])
	if want := []string{"3.0 2|bc", "4.0 3|d"}; !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	write("user,item\n")
	track := &source.Track{Begin: func(string, string) (source.Position, error) { return after[0], nil }}
	o.Track = track
	r, err := source.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, source.ErrCorrupt) {
		t.Errorf("beyond the end: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

package source_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kith-io/kith/source"
)

// drain reads a file to its end, and returns the number of rows, that of rows refused, and what ended it.
func drain(r *source.Reader) (rows, refused int, err error) {
	for {
		_, err := r.Next()
		switch {
		case err == nil:
			rows++
		case errors.As(err, new(*source.RowError)):
			refused++
		case errors.Is(err, io.EOF) && !errors.Is(err, source.ErrCorrupt):
			return rows, refused, nil
		default:
			return rows, refused, err
		}
	}
}

func utf16Plain(text string, big bool) string {
	var b bytes.Buffer
	for _, c := range []byte(text) {
		if big {
			b.Write([]byte{0, c})
		} else {
			b.Write([]byte{c, 0})
		}
	}
	return b.String()
}

// TestHostile reads what is no table, or a broken one: each has an error that says what is wrong, or rows that are refused.
func TestHostile(t *testing.T) {
	garbage := make([]byte, 100_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	good := strings.Repeat("ada,lamp\n", 1000)
	whole := string(parquetOf(t, pairs(1000)))
	million := strings.Repeat("c,", 999_999) + "c\n"
	tests := []struct {
		name, file, in string
		o              source.Options
		is             error  // of opening or reading; nil for none
		says           string // of it
		rows, refused  int
	}{
		{name: "garbage", file: "x.csv", in: string(garbage), is: source.ErrFormat, says: "no text"},
		{name: "garbage called Parquet", file: "x.parquet", in: string(garbage), is: source.ErrCorrupt, says: "parquet"},
		{name: "garbage called JSON lines", file: "x.jsonl", in: string(garbage), is: source.ErrFormat, says: "no text"},
		{name: "garbage after gzip's first bytes", file: "x.csv", in: "\x1f\x8b\x08\x00" + string(garbage), is: source.ErrCorrupt, says: "gzip"},
		{name: "garbage after zstd's first bytes", file: "x.csv", in: "\x28\xb5\x2f\xfd" + string(garbage), is: source.ErrCorrupt, says: "zstd"},
		{name: "truncated Parquet", file: "x.parquet", in: whole[:len(whole)/2], is: source.ErrCorrupt, says: "parquet"},
		{name: "Parquet without footer", file: "x.parquet", in: whole[:len(whole)-4], is: source.ErrCorrupt, says: "parquet"},
		{name: "header of a million columns", file: "x.csv", in: million + million, o: source.Options{Header: source.HeaderYes}, is: source.ErrCorrupt, says: "header"},
		{name: "header of a million columns, long rows", file: "x.csv", in: million + million, o: source.Options{Header: source.HeaderYes, MaxRowBytes: 8 << 20}, is: source.ErrFormat, says: "1000000 columns"},
		{name: "invalid UTF-8", file: "x.csv", in: good + "\xff\xfe,\xc3\n" + good, rows: 2001},
		{name: "UTF-16, little-endian", file: "x.csv", in: utf16Plain(good, false), is: source.ErrFormat, says: "utf-16le"},
		{name: "UTF-16, big-endian", file: "x.csv", in: utf16Plain(good, true), is: source.ErrFormat, says: "utf-16be"},
		{name: "UTF-16, little-endian, as told", file: "x.csv", in: utf16Plain(good, false), o: source.Options{Encoding: "utf-16le"}, rows: 1000},
		{name: "UTF-16, big-endian, as told", file: "x.csv", in: utf16Plain(good, true), o: source.Options{Encoding: "utf-16be"}, rows: 1000},
		{name: "NUL bytes in a field", file: "x.csv", in: good + "a\x00b,c\n", rows: 1001},
		{name: "NUL bytes at the end", file: "x.csv", in: good + strings.Repeat("\x00", 5000), is: source.ErrFormat, says: "no text"},
		{name: "rare separators", file: "x.txt", in: strings.ReplaceAll(good, ",", "\x01"), o: source.Options{Separator: "\x01"}, rows: 1000},
		{name: "unterminated quote", file: "x.csv", in: good + "\"a,b\n" + good, rows: 2000, refused: 1},
		{name: "unterminated quotes", file: "x.csv", in: strings.Repeat("\"\"\"a,b\n", 999), rows: 0, refused: 999},
		{name: "unterminated quote before much", file: "x.csv", in: "\"a,b\n" + strings.Repeat(good, 300), rows: 300_000, refused: 1},
		{name: "unterminated string", file: "x.jsonl", in: "{\"a\":1}\n{\"a\":\"\n{\"a\":2}\n", rows: 2, refused: 1},
		{name: "deep JSON", file: "x.jsonl", in: "{\"a\":1}\n{\"b\":" + strings.Repeat("[", 500_000) + "\n", rows: 1, refused: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(path, []byte(tt.in), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := source.Open(t.Context(), path, tt.o)
			rows, refused := 0, 0
			if err == nil {
				rows, refused, err = drain(r)
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			if tt.is == nil && err != nil || !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v; want %v with %q", err, tt.is, tt.says)
			}
			if err == nil && (rows != tt.rows || refused != tt.refused) {
				t.Errorf("got %d rows, %d refused; want %d, %d", rows, refused, tt.rows, tt.refused)
			}
		})
	}
}

// repeated is n times a text, as a reader.
type repeated struct {
	text string
	left int // bytes
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && r.left > 0 {
		k := copy(p[n:min(len(p), n+r.left)], r.text)
		n, r.left = n+k, r.left-k
	}
	return n, nil
}

// allocated returns the bytes that f allocates, which bounds what it holds.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestLongLine: a line of 100 MB is refused in the memory that the longest row may take, with quotes and without, as a table and as JSON lines.
func TestLongLine(t *testing.T) {
	tests := []struct{ name, file, before, fill, after string }{
		{"plain", "x.csv", "a,b\nc,d\n", "xxxxxxxx", "\ne,f\n"},
		{"quoted", "x.csv", "a,b\nc,\"", "xxxxxxxx", "\"\ne,f\n"},
		{"fields", "x.csv", "a,b\n", "x,x,x,x,", "\ne,f\n"},
		{"JSON", "x.jsonl", "{\"a\":1}\n{\"a\":\"", "xxxxxxxx", "\"}\n{\"a\":2}\n"},
		{"spaces", "x.jsonl", "{\"a\":1}\n", "        ", "\n{\"a\":2}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := io.MultiReader(strings.NewReader(tt.before), &repeated{strings.Repeat(tt.fill, 128), 100_000_000}, strings.NewReader(tt.after))
			bytes := allocated(func() {
				r, err := source.NewReader(in, tt.file, source.Options{Header: source.HeaderNo})
				if err != nil {
					t.Fatal(err)
				}
				rows, refused, err := drain(r)
				if err != nil || rows < 2 || refused != 1 {
					t.Errorf("got %d rows, %d refused, %v", rows, refused, err)
				}
			})
			if bytes > 24<<20 {
				t.Errorf("allocated %d MiB", bytes>>20)
			}
		})
	}
}

// TestBomb: what expands a thousandfold is refused soon, and read if that is wanted.
func TestBomb(t *testing.T) {
	size := 144 << 20 // of which 64 MiB are free
	if testing.Short() {
		size = 80 << 20
	}
	const soon = 72 << 20
	row := strings.Repeat("a", 1021) + ",b\n" // a KiB: short rows would take far longer to read, and expand no further
	pack := map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestCompression) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	}
	for name, open := range pack {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name == "gzip" {
				t.Skip("is one goroutine, of which the race detector has nothing to tell")
			}
			var b bytes.Buffer
			w, err := open(&b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(w, &repeated{row, size}); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			for most, want := range map[int]error{0: source.ErrCorrupt, 100_000: nil} {
				r, err := source.NewReader(bytes.NewReader(b.Bytes()), "x.csv", source.Options{MaxExpansion: most})
				if err != nil {
					t.Fatal(err)
				}
				rows, _, err := drain(r)
				if !errors.Is(err, want) || want == nil && (err != nil || rows != size/len(row)) {
					t.Errorf("most %d: %d rows, %v", most, rows, err)
				}
				if want != nil && (!strings.Contains(err.Error(), "max_expansion") || rows > soon/len(row)) {
					t.Errorf("after %d rows: %v", rows, err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("window", func(t *testing.T) {
		// A frame whose header asks for a window of 2 GiB.
		r, err := source.NewReader(strings.NewReader("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), "x.csv", source.Options{})
		if err == nil {
			_, _, err = drain(r)
		}
		if !errors.Is(err, source.ErrCorrupt) || !strings.Contains(err.Error(), "window") {
			t.Errorf("got %v", err)
		}
	})
}

package source_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/kith-io/kith/source"
)

// parquetOf writes rows as a Parquet file.
func parquetOf[T any](t testing.TB, rows []T, o ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, o...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openParquet(t testing.TB, file []byte) *source.Reader {
	t.Helper()
	r, err := source.NewReader(bytes.NewReader(file), "x.parquet", source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestParquetValues: every kind of column as text.
func TestParquetValues(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 34, 56, 789012345, time.UTC)
	type row struct {
		Bool    bool             `parquet:"bool"`
		Int8    int8             `parquet:"int8"`
		Int32   int32            `parquet:"int32"`
		Int64   int64            `parquet:"int64"`
		Uint32  uint32           `parquet:"uint32"`
		Uint64  uint64           `parquet:"uint64"`
		Float   float32          `parquet:"float"`
		Double  float64          `parquet:"double"`
		String  string           `parquet:"string"`
		Bytes   []byte           `parquet:"bytes"`
		Enum    string           `parquet:"enum,enum"`
		Dict    string           `parquet:"dict,dict"`
		Maybe   *string          `parquet:"maybe,optional"`
		Millis  int64            `parquet:"millis,timestamp(millisecond)"`
		Micros  int64            `parquet:"micros,timestamp(microsecond)"`
		Nanos   int64            `parquet:"nanos,timestamp(nanosecond)"`
		Int96   deprecated.Int96 `parquet:"int96"`
		Date    int32            `parquet:"date,date"`
		Dec32   int32            `parquet:"dec32,decimal(2:9)"`
		Dec64   int64            `parquet:"dec64,decimal(0:18)"`
		DecText [9]byte          `parquet:"dectext,decimal(3:20)"`
		UUID    [16]byte         `parquet:"uuid,uuid"`
		Nested  struct {
			Deep string `parquet:"deep"`
		} `parquet:"nested"`
		List []string `parquet:"list,list"`
	}
	day := int64(at.Sub(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)))
	julian := uint32(2440588 + at.Unix()/86400)
	first := row{
		Bool: true, Int8: -8, Int32: math.MinInt32, Int64: math.MaxInt64, Uint32: math.MaxUint32, Uint64: math.MaxUint64,
		Float: 0.1, Double: 17850, String: "a, \"b\"\n", Bytes: []byte("\xff\x00"), Enum: "RED", Dict: "again", Maybe: new(string),
		Millis: at.UnixMilli(), Micros: at.UnixMicro(), Nanos: at.UnixNano(), Int96: deprecated.Int96{uint32(day), uint32(day >> 32), julian},
		Date: int32(at.Unix() / 86400), Dec32: 12345, Dec64: -7, UUID: [16]byte{0x12, 0x34, 15: 0xff},
	}
	new(big.Int).Lsh(big.NewInt(1), 70).FillBytes(first.DecText[:])
	*first.Maybe = "yes"
	first.Nested.Deep = "deep"
	first.List = []string{"not", "flat"}
	second := row{
		Double: math.NaN(), Float: 1e20, Millis: -1, Date: -1, Dec32: -5, Dec64: 0, Dict: "again",
		DecText: [9]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe},
	}

	r := openParquet(t, parquetOf(t, []row{first, second}))
	want := []string{
		"bool=true", "int8=-8", "int32=-2147483648", "int64=9223372036854775807", "uint32=4294967295", "uint64=18446744073709551615",
		"float=0.1", "double=17850", "string=a, \"b\"\n", "bytes=\xff\x00", "enum=RED", "dict=again", "maybe=yes",
		"millis=2024-02-29T12:34:56.789Z", "micros=2024-02-29T12:34:56.789012Z", "nanos=2024-02-29T12:34:56.789012345Z",
		"int96=2024-02-29T12:34:56.789012345Z", "date=2024-02-29", "dec32=123.45", "dec64=-7", "dectext=1180591620717411303.424",
		"uuid=12340000-0000-0000-0000-0000000000ff", "nested.deep=deep",
	}
	if got := named(t, r); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	want = []string{
		"bool=false", "int8=0", "int32=0", "int64=0", "uint32=0", "uint64=0", "float=1e+20", "double=", "string=", "bytes=", "enum=",
		"dict=again", "maybe=", "millis=1969-12-31T23:59:59.999Z", "micros=1970-01-01T00:00:00Z", "nanos=1970-01-01T00:00:00Z",
		"int96=-4713-11-24T00:00:00Z", "date=1969-12-31", "dec32=-0.05", "dec64=0", "dectext=-0.002",
		"uuid=00000000-0000-0000-0000-000000000000", "nested.deep=",
	}
	if got := named(t, r); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// named reads a record as column=value.
func named(t testing.TB, r *source.Reader) []string {
	t.Helper()
	rec, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, f := range rec.Fields {
		out = append(out, r.Columns()[i]+"="+string(f))
	}
	return out
}

type pair struct {
	User string   `parquet:"user,dict"`
	Item int64    `parquet:"item"`
	Note *float64 `parquet:"note,optional"`
}

func pairs(n int) []pair {
	rows := make([]pair, n)
	for i := range rows {
		rows[i] = pair{User: fmt.Sprint("u", i%17), Item: int64(i)}
		if i%3 == 0 {
			x := float64(i) / 2
			rows[i].Note = &x
		}
	}
	return rows
}

// TestParquetRowGroups reads more rows than a batch, a page and a row group hold.
func TestParquetRowGroups(t *testing.T) {
	const n = 10000
	for _, codec := range []parquet.WriterOption{
		parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Zstd),
		parquet.Compression(&parquet.Gzip), parquet.Compression(&parquet.Lz4Raw), parquet.DataPageVersion(1),
	} {
		file := parquetOf(t, pairs(n), parquet.MaxRowsPerRowGroup(3000), parquet.PageBufferSize(512), codec)
		r := openParquet(t, file)
		if r.Format() != source.Parquet || r.Separator() != "" || r.Width() != 3 {
			t.Errorf("format %s, separator %q, width %d", r.Format(), r.Separator(), r.Width())
		}
		for i := range n {
			rec, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			note := ""
			if i%3 == 0 {
				note = strings.TrimSuffix(fmt.Sprintf("%.1f", float64(i)/2), ".0")
			}
			want := fmt.Sprintf("%d u%d|%d|%s", i+1, i%17, i, note)
			if got := fmt.Sprintf("%d %s", rec.Line, bytes.Join(rec.Fields, []byte("|"))); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestParquetAhead: what is decoded ahead comes in order, in row groups of all sizes; a damaged page is met at its row; and the reading can end anywhere.
func TestParquetAhead(t *testing.T) {
	rows := pairs(20000)
	for _, group := range []int64{700, 1024, 5000, 20000} {
		file := parquetOf(t, rows, parquet.MaxRowsPerRowGroup(group))
		for _, upTo := range []int{1, 1024, 1025, 5000, len(rows)} {
			r := openParquet(t, file)
			for i := range upTo {
				rec, err := r.Next()
				if err != nil {
					t.Fatalf("groups of %d: row %d: %v", group, i+1, err)
				}
				if rec.Line != int64(i+1) || string(rec.Fields[0]) != rows[i].User || string(rec.Fields[1]) != fmt.Sprint(rows[i].Item) {
					t.Fatalf("groups of %d: row %d is %d, %q; want %v", group, i+1, rec.Line, rec.Fields, rows[i])
				}
			}
			if upTo == len(rows) {
				for range 2 {
					if _, err := r.Next(); !errors.Is(err, io.EOF) {
						t.Errorf("groups of %d: behind the end: %v", group, err)
					}
				}
			}
			for range 2 {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	file := parquetOf(t, rows, parquet.MaxRowsPerRowGroup(5000), parquet.Compression(&parquet.Snappy))
	for i := len(file) / 2; i < len(file)/2+4096; i++ {
		file[i] ^= 0x55
	}
	r := openParquet(t, file)
	n := 0
	_, err := r.Next()
	for ; err == nil; _, err = r.Next() {
		n++
	}
	if _, again := r.Next(); !errors.Is(err, source.ErrCorrupt) || !errors.Is(again, source.ErrCorrupt) || n < 5000 || n > 15000 {
		t.Errorf("after %d rows: %v, and again: %v", n, err, again)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestParquetLongTexts: what is decoded ahead is bounded by its bytes, however many rows a small file has by its dictionary.
func TestParquetLongTexts(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	rows := make([]pair, 5000)
	for i := range rows {
		rows[i] = pair{User: long, Item: int64(i)}
	}
	file := parquetOf(t, rows, parquet.Compression(&parquet.Snappy))
	if len(file) > 2<<20 {
		t.Fatalf("a file of %d bytes", len(file))
	}
	r := openParquet(t, file)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 4000 {
		rec, err := r.Next()
		if err != nil || len(rec.Fields[0]) != len(long) || string(rec.Fields[1]) != fmt.Sprint(i) {
			t.Fatalf("row %d: %d fields, %v", i+1, len(rec.Fields), err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&now)
	if more := int64(now.HeapAlloc) - int64(before.HeapAlloc); more > 16<<20 {
		t.Errorf("%d bytes are held", more)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestParquetPeekMuch: fields may be selected after many rows were peeked at.
func TestParquetPeekMuch(t *testing.T) {
	r := openParquet(t, parquetOf(t, pairs(9000)))
	r.Peek(5000)
	r.Select(1)
	for i := range 9000 {
		if rec, err := r.Next(); err != nil || string(rec.Fields[1]) != fmt.Sprint(i) {
			t.Fatalf("row %d: %q, %v", i+1, rec.Fields, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestParquetSelect(t *testing.T) {
	r := openParquet(t, parquetOf(t, pairs(3)))
	r.Select(1)
	want := []string{"1 |0|", "2 |1|", "3 |2|"}
	if got := read(t, r); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestParquetRaw(t *testing.T) {
	r := openParquet(t, parquetOf(t, []pair{{User: `a "b", c`, Item: 7}}))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if got, want := string(r.Raw()), `"a ""b"", c",7,`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParquetByAnyWay(t *testing.T) {
	file := parquetOf(t, pairs(2))
	want := []string{"1 u0|0|0", "2 u1|1|"}
	for _, name := range []string{"x.parquet", "x.pq", "stdin", "X.PARQUET"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := source.Open(t.Context(), path, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, r); !cmp.Equal(got, want) {
			t.Errorf("%s: %s", name, cmp.Diff(want, got))
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	r, err := source.NewReader(iotest.HalfReader(bytes.NewReader(file)), "stdin", source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); !cmp.Equal(got, want) {
		t.Errorf("stream: %s", cmp.Diff(want, got))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestParquetWithoutRows(t *testing.T) {
	r := openParquet(t, parquetOf[pair](t, nil))
	if got := read(t, r); len(got) > 0 || len(r.Columns()) != 3 {
		t.Errorf("got %q with columns %q", got, r.Columns())
	}
}

// TestDamagedParquet: every cut and, at many places, every flipped byte gives an error or other rows, never a panic.
func TestDamagedParquet(t *testing.T) {
	file := parquetOf(t, pairs(300), parquet.MaxRowsPerRowGroup(100))
	readAll := func(in []byte) error {
		r, err := source.NewReader(bytes.NewReader(in), "x.parquet", source.Options{})
		for err == nil {
			_, err = r.Next()
		}
		if r != nil {
			defer func() { _ = r.Close() }() // damage may show again
		}
		return err
	}
	for cut := 0; cut < len(file); cut += 1 + len(file)/200 {
		if err := readAll(file[:cut]); !errors.Is(err, source.ErrCorrupt) {
			t.Errorf("cut to %d of %d bytes: %v; want ErrCorrupt", cut, len(file), err)
		}
	}
	for i := 0; i < len(file); i += 3 {
		damaged := bytes.Clone(file)
		damaged[i] ^= 0xff
		if err := readAll(damaged); !errors.Is(err, source.ErrCorrupt) && !errors.Is(err, io.EOF) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
}

func TestParquetWithoutFlatColumn(t *testing.T) {
	type row struct {
		List []string `parquet:"list,list"`
	}
	_, err := source.NewReader(bytes.NewReader(parquetOf(t, []row{{}})), "x.parquet", source.Options{})
	if err == nil || !strings.Contains(err.Error(), "column") {
		t.Errorf("got %v", err)
	}
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetOf(f, pairs(3)))
	f.Add(parquetOf(f, pairs(5), parquet.MaxRowsPerRowGroup(2), parquet.Compression(&parquet.Snappy)))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := source.NewReader(bytes.NewReader(in), "x.parquet", source.Options{})
		rows := 0
		for ; err == nil && rows < 1000; rows++ {
			_, err = r.Next()
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, source.ErrCorrupt) && !errors.Is(err, source.ErrFormat) {
			t.Fatalf("after %d rows: %v; want ErrCorrupt", rows, err)
		}
		if r != nil {
			if err := r.Close(); err != nil {
				t.Logf("close: %v", err)
			}
		}
	})
}

func BenchmarkParquet(b *testing.B) {
	file := parquetOf(b, pairs(100000))
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r := openParquet(b, file)
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

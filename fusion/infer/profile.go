package infer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/source"
)

const (
	// maxRows is how many rows are looked at.
	maxRows = 100_000
	// maxValues is how many distinct values of a column are kept; all are counted.
	maxValues = 1000
	// tolerance is the part, as its inverse, of the values of a column that plays a role which may be bad: 5 %.
	tolerance = 20
	// rare is the part, as its inverse, of rows below which a word that is not known is no behavior or status: 1 %.
	rare = 100
)

// table is what is seen of a file.
type table struct {
	path    string
	options source.Options
	format  source.Format
	sep     string
	header  []string // nil if there is none
	columns []*column
	rows    int
	refused int         // rows that cannot be read
	widths  map[int]int // how many rows have so many fields
	leading int         // rows before the first of the usual width, without a header
}

// column is what is seen of a column.
type column struct {
	name     string // in the header, or the position
	at       int
	n        int // values
	missing  int // empty fields, and words for missing values
	words    map[string]int
	values   map[string]int    // how often each stands there, of the first maxValues
	hashes   map[uint64]uint64 // of all values, with the numbers, as bits, of the forms that do not read them
	forms    []*form           // that read most values so far
	integers bool              // all values are whole numbers
	zeros    bool              // a number has leading zeros, as codes have
	low      float64
	high     float64
	negative int
}

// form is a form that most values so far have.
type form struct {
	field fusion.Field
	read  func([]byte) (v value, ok bool)
	// words says the form in a comment.
	words string
	bit   uint64 // of column.hashes
	bad   int    // values that do not have it
}

type value struct{ number float64 }

var missingWords = []string{"NA", "N/A", "NaN", "nan", "NULL", "null", `\N`, "<NA>"}

// look reads the beginning of a file.
func look(ctx context.Context, path string) (*table, error) {
	t, err := lookWith(ctx, path, source.Options{})
	if err != nil {
		return nil, err
	}
	o := t.options
	if t.refused > 0 { // a quote may be a character like any other
		o.NoQuote = true
		if again, err := lookWith(ctx, path, o); err == nil && again.refused == 0 {
			t = again
		}
	}
	if usual := t.width(); t.header == nil && t.leading > 0 && t.leading < 10 && t.widths[usual]+t.leading == t.rows {
		o = t.options
		o.Skip = t.leading
		if again, err := lookWith(ctx, path, o); err == nil {
			t = again
		}
	}
	return t, nil
}

func lookWith(ctx context.Context, path string, o source.Options) (*table, error) {
	o.KnownName = func(name string) bool { return fusion.UsualRole(name) != "" || roleOf(name) != "" }
	t, invalid, err := read(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if invalid != "" && o.Encoding == "" {
		o.Encoding = invalid
		t, _, err = read(ctx, path, o)
	}
	return t, err
}

// read reads a file once. The second result is the encoding to be tried if the text is no UTF-8.
func read(ctx context.Context, path string, o source.Options) (t *table, encoding string, err error) {
	r, err := source.Open(ctx, path, o)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	t = &table{path: path, options: o, header: r.Columns(), format: r.Format(), sep: r.Separator(), widths: map[int]int{}}
	for i := range t.header {
		t.columns = append(t.columns, newColumn(t.header[i], i))
		if !utf8.ValidString(t.header[i]) {
			encoding = encodingOf([]byte(t.header[i]), encoding)
		}
	}
	for t.rows < maxRows {
		if t.rows%1000 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, "", err
			}
		}
		rec, err := r.Next()
		if err == io.EOF { //nolint:errorlint // a wrapped one is damage
			break
		}
		if bad := (*source.RowError)(nil); errors.As(err, &bad) {
			t.refused++
			continue
		}
		if err != nil {
			return nil, "", err
		}
		t.rows++
		t.widths[len(rec.Fields)]++
		for i, f := range rec.Fields {
			if i == len(t.columns) && i < 1000 && t.header == nil {
				t.columns = append(t.columns, newColumn("", i))
			}
			if i < len(t.columns) {
				t.columns[i].add(bytes.TrimSpace(f))
			}
			if !utf8.Valid(f) {
				encoding = encodingOf(f, encoding)
			}
		}
	}
	if t.header == nil { // a row of counts on top is none of the usual width
		t.leading = leading(ctx, path, o, t.width())
	}
	return t, encoding, nil
}

// encodingOf returns the encoding of a text that is no UTF-8: Latin-1, which has no letters from 128 to 159, or Windows-1252, which has.
func encodingOf(b []byte, before string) string {
	for _, c := range b {
		if c >= 0x80 && c < 0xa0 {
			return "windows-1252"
		}
	}
	return cmp.Or(before, "latin1")
}

// leading counts the rows before the first of a width.
func leading(ctx context.Context, path string, o source.Options, width int) int {
	r, err := source.Open(ctx, path, o)
	if err != nil {
		return 0
	}
	defer func() { _ = r.Close() }() // it was read before
	for n, rec := range r.Peek(10) {
		if len(rec.Fields) == width {
			return n
		}
	}
	return 0
}

// width returns the most frequent number of fields, the smaller of two.
func (t *table) width() int {
	best := 0
	for w, n := range t.widths {
		if n > t.widths[best] || n == t.widths[best] && w < best {
			best = w
		}
	}
	return best
}

// base returns the name of the file without folders and usual extensions, in lower case.
func (t *table) base() string {
	base := strings.ToLower(filepath.Base(t.path))
	for {
		switch ext := filepath.Ext(base); ext {
		case ".csv", ".tsv", ".txt", ".dat", ".gz", ".zst", ".zstd", ".parquet", ".log", ".tab":
			base = strings.TrimSuffix(base, ext)
		default:
			return base
		}
	}
}

func newColumn(name string, at int) *column {
	c := &column{name: name, at: at, words: map[string]int{}, values: map[string]int{}, hashes: map[uint64]uint64{}, integers: true}
	add := func(words string, f fusion.Field, fits func(x float64) bool) {
		f.Name, f.Column = "x", "x"
		reader, err := f.Reader()
		if err != nil { // a mistake in the list below, which tests would find
			return
		}
		c.forms = append(c.forms, &form{field: f, words: words, bit: 1 << len(c.forms), read: func(b []byte) (value, bool) {
			if fits != nil {
				x, err := strconv.ParseInt(string(b), 10, 64)
				return value{float64(x)}, err == nil && fits(float64(x))
			}
			v, err := reader(b)
			return value{v.Number()}, err == nil && !v.IsNull()
		}})
	}
	add("numbers", fusion.Field{Type: "number"}, nil)
	add("numbers with a decimal comma", fusion.Field{Type: "number", Decimal: ","}, nil)
	add("numbers with a decimal comma and points between thousands", fusion.Field{Type: "number", Decimal: ",", Thousands: "."}, nil)
	add("numbers with commas between thousands", fusion.Field{Type: "number", Thousands: ","}, nil)
	add("amounts with a sign of currency", fusion.Field{Type: "number", Strip: []string{"$", "€", "£"}}, nil)
	add("amounts with a sign of currency and a decimal comma", fusion.Field{Type: "number", Decimal: ",", Thousands: ".", Strip: []string{"$", "€", "£"}}, nil)
	add("truth values", fusion.Field{Type: "bool"}, nil)
	add("dates with the year first", fusion.Field{Type: "time", Format: []string{"auto"}}, nil)
	for _, layout := range layouts {
		add("dates as "+layout, fusion.Field{Type: "time", Format: []string{layout}}, nil)
	}
	add("numbers of the size of seconds since 1970", fusion.Field{Type: "time", Format: []string{"unix"}}, func(x float64) bool { return x >= 1e8 && x < 5e9 })
	add("numbers of the size of milliseconds since 1970", fusion.Field{Type: "time", Format: []string{"unix_ms"}}, func(x float64) bool { return x >= 1e11 && x < 5e12 })
	return c
}

// layouts of dates, those with the month first before those with the day first: where both read all values, both are named.
var layouts = []string{
	"20060102", "1/2/2006", "1/2/2006 15:04", "1/2/2006 15:04:05", "1/2/06", "1/2/06 15:04", "1/2/2006 3:04:05 PM",
	"2/1/2006", "2/1/2006 15:04", "2/1/2006 15:04:05", "2/1/06", "2/1/06 15:04", "2.1.2006", "2.1.2006 15:04", "2.1.2006 15:04:05",
	"2-Jan-2006", "2 Jan 2006", "Jan 2, 2006", "January 2, 2006", "2-1-2006", "2-1-2006 15:04", "2-1-2006 15:04:05",
}

// add counts a value.
func (c *column) add(b []byte) {
	if len(b) == 0 {
		c.missing++
		return
	}
	if slices.Contains(missingWords, string(b)) {
		c.missing++
		c.words[string(b)]++
		return
	}
	c.n++
	if n, ok := c.values[string(b)]; ok {
		c.values[string(b)] = n + 1
	}
	hash := xxhash.Sum64(b)
	if bad, ok := c.hashes[hash]; ok {
		c.count(bad)
		return
	}
	if len(c.values) < maxValues {
		c.values[string(b)] = 1
	}
	digits := len(bytes.Trim(b, "0123456789")) == 0
	c.integers = c.integers && (digits || b[0] == '-' && len(b) > 1 && len(bytes.Trim(b[1:], "0123456789")) == 0)
	c.zeros = c.zeros || digits && len(b) > 1 && b[0] == '0'
	numeric := false
	var bad uint64
	for i, f := range c.forms {
		v, ok := f.read(b)
		if i == 0 && ok && f.field.Decimal == "" && len(f.field.Strip) == 0 && f.field.Type == "number" {
			numeric = true
			if c.low > v.number || c.n == 1 {
				c.low = v.number
			}
			if c.high < v.number || c.n == 1 {
				c.high = v.number
			}
			if v.number < 0 {
				c.negative++
			}
		}
		if f.words == "dates with the year first" && numeric { // a number is a time by its size only
			ok = false
		}
		if !ok {
			bad |= f.bit
		}
	}
	c.hashes[hash] = bad
	c.count(bad)
}

// count counts a value that some forms do not read, and gives up forms that are hopeless, to save the time of trying them.
func (c *column) count(bad uint64) {
	c.forms = slices.DeleteFunc(c.forms, func(f *form) bool {
		if bad&f.bit != 0 {
			f.bad++
		}
		return f.bad > tolerance+2*c.n/tolerance
	})
}

// unique reports whether no value stands twice.
func (c *column) unique() bool { return c.n > 0 && c.missing == 0 && c.distinct() == c.n }

// distinct counts the values, but for the chance of two hashes being equal.
func (c *column) distinct() int { return len(c.hashes) }

// ofType returns the first form of a type that all values have, or nil.
func (c *column) ofType(typ string) *form {
	if f := c.mostly(typ); f != nil && f.bad == 0 {
		return f
	}
	return nil
}

// mostly returns the form of a type that most values have, the first of several, or nil if it is not 95 % of them.
func (c *column) mostly(typ string) *form {
	var best *form
	for _, f := range c.forms {
		if f.field.Type == typ && c.n > 0 && f.bad*tolerance <= c.n && (best == nil || f.bad < best.bad) {
			best = f
		}
	}
	return best
}

// number returns the form of a column of numbers, or nil.
func (c *column) number() *form { return c.ofType("number") }

// moment returns the form of a column of times, or nil. A number is one only between the years 1973 and 2128.
func (c *column) moment() *form { return c.ofType("time") }

// but says how many values a form does not read, after what it says of the others, and how sure that is.
func (c *column) but(f *form, words string) string {
	if f.bad == 0 {
		return words + " (0.9)"
	}
	return fmt.Sprintf("%s, but for %d of %d values, whose rows will be refused (0.8)", words, f.bad, c.n)
}

// when says which times the values of a form are, or which else they may be.
func (c *column) when(f *form) string {
	if other := c.other(f); other != "" {
		return fmt.Sprintf("%s, or as %s: look which (0.5)", f.words, other)
	}
	return c.but(f, f.words)
}

// other returns another layout that reads as many values, or "".
func (c *column) other(f *form) string {
	for _, g := range c.forms {
		if g != f && g.field.Type == "time" && g.bad == f.bad && strings.Contains(strings.Join(f.field.Format, ""), "/") {
			return g.field.Format[0]
		}
	}
	return ""
}

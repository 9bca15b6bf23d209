package source

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// valueBatch is the number of values of a column that are decoded at once.
	valueBatch = 1024
	// batchBytes bounds the texts of the rows that are decoded at once, unless one row has more.
	batchBytes = 256 << 10
)

// parquetRows reads the leaf columns of a Parquet file in step. Repeated
// columns (lists, maps) have no place in a flat record and are left out.
type parquetRows struct {
	file    *parquet.File
	columns []*parquetColumn
	row     int64 // number of the last row that was given
	fields  [][]byte
	rawCSV  bytes.Buffer

	// What is decoded and was not given yet: the rows of batch from given on. ahead decodes the next ones; nil as long as few were.
	batch *parquetBatch
	given int
	ahead *parquetAhead

	// How far is decoded; of ahead alone once it runs.
	group   int   // next row group to open
	left    int64 // rows left in the current one
	decoded int64 // number of the last row
}

// parquetColumn is one leaf and the values of it that come next.
type parquetColumn struct {
	name   string // with those of its groups before it, by points
	leaf   parquet.LeafColumn
	chosen bool
	render func(dst []byte, v parquet.Value) []byte

	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    []parquet.Value
	at, n  int
}

// parquetBatch is some rows as text.
type parquetBatch struct {
	rows    int
	columns []columnText
	err     error // behind the rows
}

// columnText is the fields of a column one behind the other, and where each ends.
type columnText struct {
	text []byte
	ends []int
}

// field returns the field of a row.
func (c *columnText) field(row int) []byte {
	from := 0
	if row > 0 {
		from = c.ends[row-1]
	}
	return c.text[from:c.ends[row]]
}

// openParquet opens the file behind in, of which br has read the first bytes.
func openParquet(in io.Reader, br *bufio.Reader) (*Reader, error) {
	r := &Reader{format: Parquet}
	f, ok := in.(*os.File)
	var size int64
	if ok {
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			size = st.Size()
		} else {
			ok = false
		}
	}
	if !ok {
		// The footer is at the end: a stream must be kept first.
		tmp, err := os.CreateTemp("", "kith-*.parquet")
		if err != nil {
			return nil, fmt.Errorf("keep Parquet stream: %w", err)
		}
		f = tmp
		r.closers = append(r.closers, tmp)
		if err := os.Remove(tmp.Name()); err != nil {
			return nil, errors.Join(err, r.closeAll())
		}
		if size, err = io.Copy(tmp, br); err != nil {
			return nil, errors.Join(fmt.Errorf("keep Parquet stream: %w", err), r.closeAll())
		}
	}
	p, err := newParquetRows(f, size)
	if err != nil {
		return nil, errors.Join(err, r.closeAll())
	}
	for _, c := range p.columns {
		r.columns = append(r.columns, c.name)
	}
	r.rows, r.width = p, len(r.columns)
	return r, nil
}

func newParquetRows(in io.ReaderAt, size int64) (p *parquetRows, err error) {
	defer recoverCorrupt(&err)
	file, err := parquet.OpenFile(in, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%w: parquet: %w", ErrCorrupt, err)
	}
	p = &parquetRows{file: file}
	schema := file.Schema()
	for _, path := range schema.Columns() {
		leaf, ok := schema.Lookup(path...)
		if !ok || leaf.MaxRepetitionLevel > 0 {
			continue
		}
		p.columns = append(p.columns, &parquetColumn{
			name: strings.Join(path, "."), leaf: leaf, chosen: true, render: renderer(leaf.Node.Type()),
		})
	}
	if len(p.columns) == 0 {
		return nil, fmt.Errorf("%w: parquet: no flat column", ErrCorrupt)
	}
	p.fields = make([][]byte, len(p.columns))
	return p, nil
}

// recoverCorrupt makes a panic of the Parquet decoder, which damaged pages can
// cause, an error.
func recoverCorrupt(err *error) {
	if x := recover(); x != nil {
		*err = fmt.Errorf("%w: parquet: %v", ErrCorrupt, x)
	}
}

func (p *parquetRows) choose(fields []int) {
	if p.ahead != nil {
		return // many rows were peeked at: what is decoded has all columns
	}
	for i, c := range p.columns {
		c.chosen = false
		for _, f := range fields {
			c.chosen = c.chosen || f == i
		}
	}
}

func (p *parquetRows) next() (Record, error) {
	for p.batch == nil || p.given == p.batch.rows {
		if p.batch != nil && p.batch.err != nil {
			return Record{}, p.batch.err
		}
		p.nextBatch()
	}
	p.row++
	for i := range p.fields {
		p.fields[i] = nil
		if p.columns[i].chosen {
			p.fields[i] = p.batch.columns[i].field(p.given)
		}
	}
	p.given++
	return Record{Line: p.row, Fields: p.fields}, nil
}

// nextBatch makes room for more rows and decodes them. From the second batch on another goroutine does so, while what it has decoded before is taken: reading files
// that are not small then takes as long as the slower of both.
func (p *parquetRows) nextBatch() {
	p.given = 0
	switch {
	case p.ahead != nil:
		p.batch = p.ahead.take(p.batch)
	case p.batch == nil || runtime.GOMAXPROCS(0) == 1:
		if p.batch == nil {
			p.batch = p.newBatch()
		}
		p.decode(p.batch)
	default:
		p.ahead = startAhead(p)
		p.batch = p.ahead.take(p.batch)
	}
}

func (p *parquetRows) newBatch() *parquetBatch {
	return &parquetBatch{columns: make([]columnText, len(p.columns))}
}

// decode fills a batch with the rows that come next.
func (p *parquetRows) decode(b *parquetBatch) {
	b.rows, b.err = 0, nil
	defer recoverCorrupt(&b.err)
	for p.left <= 0 {
		if b.err = p.closePages(); b.err != nil {
			return
		}
		groups := p.file.RowGroups()
		if p.group == len(groups) {
			b.err = io.EOF
			return
		}
		p.open(groups[p.group])
	}
	rows := p.left
	texts := 0 // columns of texts, which may be long
	for _, c := range p.columns {
		if !c.chosen {
			continue
		}
		if c.at == c.n {
			if err := c.fill(); err != nil {
				b.err = fmt.Errorf("%w: parquet: row %d, column %s: %w", ErrCorrupt, p.decoded+1, c.name, err)
				return
			}
		}
		rows = min(rows, int64(c.n-c.at))
		if c.text() {
			texts++
		}
	}
	for _, c := range p.columns {
		if c.chosen && c.text() {
			rows = min(rows, c.rowsOf(batchBytes/texts))
		}
	}
	for i, c := range p.columns {
		if c.chosen {
			c.read(&b.columns[i], int(rows))
		}
	}
	b.rows = int(rows)
	p.left -= rows
	p.decoded += rows
}

// text reports whether values have a length of their own.
func (c *parquetColumn) text() bool {
	kind := c.leaf.Node.Type().Kind()
	return kind == parquet.ByteArray || kind == parquet.FixedLenByteArray
}

// rowsOf returns how many of the values that come next have so many bytes, at least 1.
func (c *parquetColumn) rowsOf(bytes int) int64 {
	for n, v := range c.buf[c.at:c.n] {
		if bytes -= len(v.ByteArray()); bytes < 0 {
			return int64(max(n, 1))
		}
	}
	return int64(c.n - c.at)
}

// read reads rows of the column that are in its buffer.
func (c *parquetColumn) read(dst *columnText, rows int) {
	if cap(dst.text) > 4*batchBytes {
		dst.text = nil // of a row that had much
	}
	dst.text, dst.ends = dst.text[:0], dst.ends[:0]
	for _, v := range c.buf[c.at : c.at+rows] {
		if !v.IsNull() {
			dst.text = c.render(dst.text, v)
		}
		dst.ends = append(dst.ends, len(dst.text))
	}
	c.at += rows
}

// fill gets more values of the column in the current row group.
func (c *parquetColumn) fill() error {
	if c.buf == nil {
		c.buf = make([]parquet.Value, valueBatch)
	}
	for c.at == c.n {
		if c.page == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf)
		c.at, c.n = 0, n
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			parquet.Release(c.page)
			c.page, c.values = nil, nil
		}
	}
	return nil
}

func (p *parquetRows) closePages() error {
	var err error
	for _, c := range p.columns {
		if c.page != nil {
			parquet.Release(c.page)
		}
		if c.pages != nil {
			err = errors.Join(err, c.pages.Close())
		}
		c.pages, c.page, c.values, c.at, c.n = nil, nil, nil, 0, 0
	}
	return err
}

func (p *parquetRows) close() error {
	if p.ahead != nil {
		p.ahead.end()
	}
	return p.closePages()
}

func (p *parquetRows) at() Position { return Position{Line: p.row + 1} }

// skipTo goes to a later row without reading what is between, if no more than the first rows were read.
func (p *parquetRows) skipTo(to Position) (err error) {
	defer recoverCorrupt(&err)
	for p.row < to.Line-1 && (p.ahead != nil || p.batch != nil && p.given < p.batch.rows) {
		if _, err := p.next(); err != nil {
			return err
		}
	}
	if p.row == to.Line-1 {
		return nil
	}
	skip := to.Line - 1 - p.row
	if skip > p.left {
		if err := p.closePages(); err != nil {
			return err
		}
		groups := p.file.RowGroups()
		for skip -= p.left; p.group < len(groups) && skip > groups[p.group].NumRows(); p.group++ {
			skip -= groups[p.group].NumRows()
		}
		p.left = 0
		if p.group == len(groups) {
			return fmt.Errorf("%w: parquet: fewer than %d rows, and more had been read of it before", ErrCorrupt, to.Line-1)
		}
		p.open(groups[p.group])
	}
	p.row, p.decoded, p.left = to.Line-1, to.Line-1, p.left-skip
	group := p.file.RowGroups()[p.group-1]
	for _, c := range p.columns {
		if !c.chosen {
			continue
		}
		if c.page != nil {
			parquet.Release(c.page)
		}
		c.page, c.values, c.at, c.n = nil, nil, 0, 0
		if err := c.pages.SeekToRow(group.NumRows() - p.left); err != nil {
			return fmt.Errorf("%w: parquet: row %d, column %s: %w", ErrCorrupt, to.Line, c.name, err)
		}
	}
	return nil
}

// open starts to read the next row group.
func (p *parquetRows) open(g parquet.RowGroup) {
	p.group++
	p.left = g.NumRows()
	chunks := g.ColumnChunks()
	for _, c := range p.columns {
		if c.chosen {
			c.pages = chunks[c.leaf.ColumnIndex].Pages()
		}
	}
}

func (p *parquetRows) raw() []byte {
	row := make([]string, len(p.fields))
	for i, f := range p.fields {
		row[i] = string(f)
	}
	p.rawCSV.Reset()
	w := csv.NewWriter(&p.rawCSV)
	if err := w.Write(row); err != nil {
		return nil // a bytes.Buffer takes every write
	}
	w.Flush()
	return bytes.TrimSuffix(p.rawCSV.Bytes(), []byte("\n"))
}

// renderer returns the function that writes values of type t as text:
// timestamps as RFC 3339 in UTC (also those without time zone), dates as
// 2006-01-02, numbers in decimal, NaN as missing, strings as they are.
func renderer(t parquet.Type) func([]byte, parquet.Value) []byte {
	if l := t.LogicalType(); l != nil {
		switch x := l.Value.(type) {
		case *format.TimestampType:
			switch x.Unit.Value.(type) {
			case *format.MilliSeconds:
				return renderTime(time.Millisecond)
			case *format.MicroSeconds:
				return renderTime(time.Microsecond)
			}
			return renderTime(time.Nanosecond)
		case *format.DateType:
			return func(dst []byte, v parquet.Value) []byte {
				return time.Unix(int64(v.Int32())*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
			}
		case *format.DecimalType:
			return renderDecimal(t.Kind(), int(x.Scale))
		case *format.UUIDType:
			return func(dst []byte, v parquet.Value) []byte {
				h := hex.EncodeToString(v.ByteArray())
				if len(h) != 32 {
					return append(dst, h...)
				}
				return fmt.Appendf(dst, "%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
			}
		case *format.IntType:
			if !x.IsSigned {
				return func(dst []byte, v parquet.Value) []byte {
					if v.Kind() == parquet.Int32 {
						return strconv.AppendUint(dst, uint64(v.Uint32()), 10)
					}
					return strconv.AppendUint(dst, v.Uint64(), 10)
				}
			}
		}
	}
	return renderPlain
}

func renderPlain(dst []byte, v parquet.Value) []byte {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(dst, v.Boolean())
	case parquet.Int32:
		return strconv.AppendInt(dst, int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case parquet.Int96:
		return renderInt96(dst, v.Int96())
	case parquet.Float:
		return renderFloat(dst, float64(v.Float()), 32)
	case parquet.Double:
		return renderFloat(dst, v.Double(), 64)
	}
	return append(dst, v.ByteArray()...)
}

// renderFloat writes whole numbers without point or exponent, so that a key
// kept as 17850.0 (a column of integers with gaps, as pandas writes it) reads 17850.
func renderFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return dst
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

func renderTime(unit time.Duration) func([]byte, parquet.Value) []byte {
	perSecond := int64(time.Second / unit)
	return func(dst []byte, v parquet.Value) []byte {
		n := v.Int64()
		s, rest := n/perSecond, n%perSecond
		return time.Unix(s, rest*int64(unit)).UTC().AppendFormat(dst, time.RFC3339Nano)
	}
}

// renderInt96 writes the deprecated timestamp of old Spark and Impala files:
// nanoseconds of the day, then the Julian day.
func renderInt96(dst []byte, v deprecated.Int96) []byte {
	const julianOfEpoch = 2440588
	nanos := int64(v[1])<<32 | int64(v[0])
	days := int64(v[2]) - julianOfEpoch
	return time.Unix(days*86400, nanos).UTC().AppendFormat(dst, time.RFC3339Nano)
}

func renderDecimal(kind parquet.Kind, scale int) func([]byte, parquet.Value) []byte {
	return func(dst []byte, v parquet.Value) []byte {
		n := new(big.Int)
		switch kind {
		case parquet.Int32:
			n.SetInt64(int64(v.Int32()))
		case parquet.Int64:
			n.SetInt64(v.Int64())
		default: // big-endian two's complement
			b := v.ByteArray()
			n.SetBytes(b)
			if len(b) > 0 && b[0]&0x80 != 0 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
		}
		digits := n.String()
		if scale <= 0 {
			return append(dst, digits...)
		}
		if digits[0] == '-' {
			dst, digits = append(dst, '-'), digits[1:]
		}
		if pad := scale + 1 - len(digits); pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		point := len(digits) - scale
		return append(append(append(dst, digits[:point]...), '.'), digits[point:]...)
	}
}

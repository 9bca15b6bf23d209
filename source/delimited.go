package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
)

// splitMode says how fields are told apart.
type splitMode uint8

const (
	splitByte   splitMode = iota // one byte
	splitString                  // several bytes
	splitSpaces                  // runs of spaces and tabs
)

// delimited splits text into rows and fields.
type delimited struct {
	*lineBuffer
	mode    splitMode
	sep     []byte
	noQuote bool
	width   int // fields a row must have, 0 for any

	fields  [][]byte
	rowRaw  []byte
	scratch []byte
	bounds  []int
}

func newDelimited(b *lineBuffer, sep string, noQuote bool) *delimited {
	d := &delimited{lineBuffer: b, sep: []byte(sep), noQuote: noQuote}
	switch {
	case sep == Spaces:
		d.mode = splitSpaces
	case len(sep) > 1:
		d.mode = splitString
	}
	return d
}

func (d *delimited) raw() []byte  { return d.rowRaw }
func (d *delimited) close() error { return nil }

func (d *delimited) next() (Record, error) {
	for {
		line := d.line
		end, err := d.lineEnd(0)
		if err != nil {
			return tooLong(d.lineBuffer, line, err)
		}
		row := trimCR(d.buf[d.pos : d.pos+end])
		if !d.noQuote && bytes.IndexByte(row, '"') >= 0 {
			return d.nextQuoted(line, end)
		}
		d.advance(end, 1)
		if len(row) == 0 {
			continue
		}
		d.rowRaw = row
		d.split(row)
		if len(d.fields) == 0 {
			continue // blanks only
		}
		return d.check(line)
	}
}

// tooLong turns errTooLong into a RowError and skips the line.
func tooLong(b *lineBuffer, line int64, err error) (Record, error) {
	if !errors.Is(err, errTooLong) {
		return Record{}, err
	}
	head, err := b.skipLine()
	if err != nil {
		return Record{}, err
	}
	return Record{}, rowError(line, head, ReasonTooLong, "row of more than %d bytes", b.max)
}

// check compares the number of fields with the header's.
func (d *delimited) check(line int64) (Record, error) {
	if d.width > 0 && len(d.fields) != d.width {
		return Record{}, rowError(line, d.rowRaw, ReasonColumns, "%d fields where the header has %d (ragged rows can be allowed)", len(d.fields), d.width)
	}
	return Record{Line: line, Fields: d.fields}, nil
}

func trimCR(row []byte) []byte {
	if n := len(row); n > 0 && row[n-1] == '\r' {
		return row[:n-1]
	}
	return row
}

// split cuts an unquoted row.
func (d *delimited) split(row []byte) {
	f := d.fields[:0]
	switch d.mode {
	case splitByte:
		f = splitAt(f, row, d.sep[0])
	case splitString:
		for {
			i := bytes.Index(row, d.sep)
			if i < 0 {
				break
			}
			f = append(f, row[:i])
			row = row[i+len(d.sep):]
		}
		f = append(f, row)
	case splitSpaces:
		for i := 0; i < len(row); {
			for i < len(row) && isBlank(row[i]) {
				i++
			}
			start := i
			for i < len(row) && !isBlank(row[i]) {
				i++
			}
			if i > start {
				f = append(f, row[start:i])
			}
		}
	}
	d.fields = f
}

// splitAt appends the fields of row between bytes sep to f. It looks at eight
// bytes at a time.
func splitAt(f [][]byte, row []byte, sep byte) [][]byte {
	const ones, low7 = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f
	start, i := 0, 0
	for ; i+8 <= len(row); i += 8 {
		x := binary.LittleEndian.Uint64(row[i:]) ^ ones*uint64(sep) // 0 where there is a separator
		hits := ^((x&low7 + low7) | x | low7)                       // the top bit of those bytes
		for ; hits != 0; hits &= hits - 1 {
			at := i + bits.TrailingZeros64(hits)/8
			f = append(f, row[start:at])
			start = at + 1
		}
	}
	for ; i < len(row); i++ {
		if row[i] == sep {
			f = append(f, row[start:i])
			start = i + 1
		}
	}
	return append(f, row[start:])
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// nextQuoted reads the row at pos, whose first line ends at offset end and
// holds a quote. Quotes count at the start of a field only. If quoting is
// broken, only the first line is given up: what follows may be good rows.
func (d *delimited) nextQuoted(line int64, end int) (Record, error) {
	first := end
	last, lines, reason, err := d.parseQuoted(end)
	switch {
	case err != nil:
		return Record{}, err
	case reason != "":
		raw := trimCR(d.buf[d.pos : d.pos+first])
		e := rowError(line, raw, ReasonQuote, "%s", reason)
		d.advance(first, 1)
		return Record{}, e
	}
	d.rowRaw = trimCR(d.buf[d.pos : d.pos+last])
	d.advance(last, lines)
	d.fields = d.fields[:0]
	for i := 0; i+1 < len(d.bounds); i += 2 {
		d.fields = append(d.fields, d.scratch[d.bounds[i]:d.bounds[i+1]])
	}
	return d.check(line)
}

// parseQuoted fills scratch and bounds (two offsets a field). It returns the
// offset of the end of the row's last line and the number of its lines, or
// what is wrong with the quoting, or an error of the input.
func (d *delimited) parseQuoted(end int) (last, lines int, reason string, err error) {
	d.scratch, d.bounds = d.scratch[:0], d.bounds[:0]
	lines = 1
	i := 0
	for {
		row := trimCR(d.buf[d.pos : d.pos+end])
		if d.mode == splitSpaces {
			for i < len(row) && isBlank(row[i]) {
				i++
			}
			if i >= len(row) {
				return end, lines, "", nil
			}
		}
		d.bounds = append(d.bounds, len(d.scratch))
		if i < len(row) && row[i] == '"' {
			i++
			for {
				j := bytes.IndexByte(row[min(i, len(row)):], '"')
				if j < 0 {
					d.scratch = append(append(d.scratch, row[min(i, len(row)):]...), '\n')
					next, err := d.lineEnd(end + 1)
					if errors.Is(err, io.EOF) || errors.Is(err, errTooLong) {
						return 0, 0, "quoted field does not end", nil
					}
					if err != nil {
						return 0, 0, "", err
					}
					i, end = end+1, next
					lines++
					row = trimCR(d.buf[d.pos : d.pos+end])
					continue
				}
				d.scratch = append(d.scratch, row[i:i+j]...)
				i += j + 1
				if i < len(row) && row[i] == '"' {
					d.scratch = append(d.scratch, '"')
					i++
					continue
				}
				break
			}
			d.bounds = append(d.bounds, len(d.scratch))
			if i >= len(row) {
				return end, lines, "", nil
			}
			n := d.separatorAt(row, i)
			if n == 0 {
				return 0, 0, "text after a closing quote", nil
			}
			i += n
			continue
		}
		stop, n := d.nextSeparator(row, i)
		d.scratch = append(d.scratch, row[i:stop]...)
		d.bounds = append(d.bounds, len(d.scratch))
		if n == 0 {
			return end, lines, "", nil
		}
		i = stop + n
	}
}

// separatorAt returns the length of the separator at row[i:], or 0.
func (d *delimited) separatorAt(row []byte, i int) int {
	if d.mode == splitSpaces {
		if isBlank(row[i]) {
			return 1
		}
		return 0
	}
	if bytes.HasPrefix(row[i:], d.sep) {
		return len(d.sep)
	}
	return 0
}

// nextSeparator returns where the next separator from i on starts and its
// length, or the length of the row and 0.
func (d *delimited) nextSeparator(row []byte, i int) (at, n int) {
	if d.mode == splitSpaces {
		if j := bytes.IndexAny(row[i:], " \t"); j >= 0 {
			return i + j, 1
		}
		return len(row), 0
	}
	if j := bytes.Index(row[i:], d.sep); j >= 0 {
		return i + j, len(d.sep)
	}
	return len(row), 0
}

package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Record is one row. It belongs to the Reader: Fields and their bytes are valid
// until the next call of Next.
type Record struct {
	// File is the file, relative to the folder or the fixed part of the pattern that was
	// opened, with slashes; empty for a source of one file.
	File string
	// Line is the line in the file where the row starts, from 1; for Parquet
	// the row number, from 1.
	Line int64
	// Part tells the records of one line apart in the formats Lines and
	// Baskets: the position of the item, from 0. Otherwise 0.
	Part int
	// Fields holds the fields in the order of the columns. A missing value of a
	// Parquet file is an empty field.
	Fields [][]byte
}

// rows is what each format implements.
type rows interface {
	next() (Record, error)
	raw() []byte
	close() error
}

// Reader yields the records of one file. It is not safe for concurrent use.
type Reader struct {
	format  Format
	sep     string
	columns []string
	width   int
	rows    rows
	ahead   []peeked // what Peek has read and Next has not returned
	peeked  *peeked  // what Next returned last, if it came from ahead
	closers []io.Closer
}

// peeked is one result of rows.next, kept.
type peeked struct {
	rec Record
	raw []byte
	err error

	position string // of Rows
}

// Open opens the file at path, or standard input if path is "-", or a service
// if path is a URL; see Remote. Context ctx bounds the opening only, or with a
// service the reading, too; callers of Next look at their own. The caller must
// Close the Reader.
//
// Compression is recognized by the first bytes of the file, Parquet by them or
// by the extension. A Parquet file on standard input is copied to a temporary file first.
func Open(ctx context.Context, path string, o Options) (*Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("open %s: %w", PublicName(path), err)
	}
	if Scheme(path) != "" {
		return openRemote(ctx, path, o)
	}
	if path == "-" {
		r, err := NewReader(os.Stdin, "stdin", o)
		if err != nil {
			return nil, fmt.Errorf("open standard input: %w", err)
		}
		return r, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if st.IsDir() {
		return nil, errors.Join(fmt.Errorf("open %s: is a directory; name a file", path), f.Close())
	}
	r, err := open(f, path, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	r.closers = append(r.closers, f)
	return r, nil
}

// NewReader reads from r what Open reads from a file. The extension of name
// helps the detection of the format and of the separator. Close does not close r.
func NewReader(r io.Reader, name string, o Options) (*Reader, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return open(r, name, o)
}

func open(in io.Reader, name string, o Options) (*Reader, error) {
	br := bufio.NewReaderSize(in, 64<<10)
	magic, err := br.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := checkMagic(magic, isParquetName(name) || o.Format == Parquet); err != nil {
		return nil, err
	}
	if o.Format == Auto && (bytes.HasPrefix(magic, []byte("PAR1")) || isParquetName(name)) {
		o.Format = Parquet
	}
	if o.Format == Parquet {
		return openParquet(in, br)
	}
	r := &Reader{format: o.Format}
	var text io.Reader = br
	z, err := decompress(br, magic)
	if err != nil {
		return nil, err
	}
	if z != nil {
		r.closers = append(r.closers, z)
		text = z
	}
	if text, err = decodeText(text, o.Encoding); err != nil {
		return nil, errors.Join(err, r.closeAll())
	}
	if err := r.openText(text, plainName(name), o); err != nil {
		return nil, errors.Join(err, r.closeAll())
	}
	return r, nil
}

// Next returns the next record; io.EOF after the last one; a *RowError for a
// row that cannot be read, after which reading goes on; any other error is
// final.
func (r *Reader) Next() (Record, error) {
	if len(r.ahead) > 0 {
		r.peeked, r.ahead = &r.ahead[0], r.ahead[1:]
		return r.peeked.rec, r.peeked.err
	}
	r.peeked = nil
	return r.rows.next()
}

// Raw returns the text of the row that Next returned last, for reports, at
// most 64 KiB of it: for Parquet its fields as a CSV line, for the line formats
// the user and the item. Valid until the next call of Next.
func (r *Reader) Raw() []byte {
	if r.peeked != nil {
		return r.peeked.raw
	}
	return shortRaw(r.rows.raw())
}

func shortRaw(raw []byte) []byte { return raw[:min(len(raw), maxRaw)] }

// Peek returns the records among the next n rows. Next will return them again,
// and errors in their places. It is meant to be called once, before Next.
func (r *Reader) Peek(n int) []Record {
	for len(r.ahead) < n && (len(r.ahead) == 0 || !final(r.ahead[len(r.ahead)-1].err)) {
		rec, err := r.rows.next()
		p := peeked{rec: rec, err: err}
		if s, ok := r.rows.(serviceRows); ok {
			p.position = s.Position()
		}
		if err == nil {
			p.raw = bytes.Clone(shortRaw(r.rows.raw()))
			p.rec.Fields = make([][]byte, len(rec.Fields))
			for i, f := range rec.Fields {
				p.rec.Fields[i] = bytes.Clone(f)
			}
		}
		r.ahead = append(r.ahead, p)
	}
	var out []Record
	for _, p := range r.ahead[:min(n, len(r.ahead))] {
		if p.err == nil {
			out = append(out, p.rec)
		}
	}
	return out
}

// final reports whether err ends the reading.
func final(err error) bool {
	return err != nil && !errors.As(err, new(*RowError))
}

// Columns returns the names of the columns, or nil for a file without header.
// The caller must not change it.
func (r *Reader) Columns() []string { return r.columns }

// Width returns the number of fields of the first row, or 0 if the file is
// empty. Without a header later rows may differ.
func (r *Reader) Width() int { return r.width }

// Format returns the format in use, never Auto.
func (r *Reader) Format() Format { return r.format }

// Separator returns the separator in use, "" for Parquet.
func (r *Reader) Separator() string { return r.sep }

// Select makes Next fill only the fields with these positions (from 0); the
// others may be empty. Parquet files then read only those columns; other
// formats ignore it. It must be called before the first Next.
func (r *Reader) Select(fields ...int) {
	if p, ok := r.rows.(*parquetRows); ok {
		p.choose(fields)
	}
}

// Close releases what Open took. It is safe to call twice.
func (r *Reader) Close() error {
	var err error
	if r.rows != nil {
		err = r.rows.close()
		r.rows, r.ahead, r.peeked = closedRows{}, nil, nil
	}
	return errors.Join(err, r.closeAll())
}

func (r *Reader) closeAll() error {
	var err error
	for _, c := range r.closers {
		err = errors.Join(err, c.Close())
	}
	r.closers = nil
	return err
}

// closedRows answers after Close.
type closedRows struct{}

func (closedRows) next() (Record, error) { return Record{}, os.ErrClosed }
func (closedRows) raw() []byte           { return nil }
func (closedRows) close() error          { return nil }

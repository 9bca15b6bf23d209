package source

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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
	// Baskets, and of an exploded array: the position of the item, from 0. Otherwise 0.
	Part int
	// Fields holds the fields in the order of the columns. A missing value of a
	// Parquet file is an empty field.
	Fields [][]byte
}

// rows is what each format implements.
type rows interface {
	next() (Record, error)
	raw() []byte
	// at returns where the rows start that next has not returned in full.
	at() Position
	// skipTo makes next go on at a place after that, which at has returned when the file was read before.
	skipTo(Position) error
	close() error
}

// Reader yields the records of one file, or of several as if they were one. It is not safe for concurrent use.
type Reader struct {
	name    string // for notes
	file    string // of the records
	track   *Track
	start   Position // where Next shall begin; the zero value afterwards, or if that is where the file begins
	files   *fileSet // nil for one file
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
	at  Position // before it
	rec Record
	raw []byte
	err error

	position string // of Rows
}

// Open opens the file at path, or standard input if path is "-", or all files of a folder or a pattern as one
// (see Files), or a service if path is a URL (see Remote). Context ctx bounds the opening only, or with a
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
	files, many, err := Files(path, o.Note)
	if err != nil {
		return nil, err
	}
	if many {
		files = slices.DeleteFunc(files, func(f File) bool { return !o.Share.Has(f.Name) })
		if len(files) == 0 {
			return nil, fmt.Errorf("open %s: %w", path, ErrNoShare)
		}
		return openSet(files, o)
	}
	return openFile(File{Path: path}, o)
}

// openFile opens one file.
func openFile(file File, o Options) (*Reader, error) {
	f, err := os.Open(file.Path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if st.IsDir() {
		return nil, errors.Join(fmt.Errorf("open %s: is a directory; name a file", file.Path), f.Close())
	}
	r, err := open(f, file.Path, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file.Path, err), f.Close())
	}
	r.closers = append(r.closers, f)
	r.file, r.track = file.Name, o.Track
	if r.track != nil {
		if err := r.track.begin(r, file.Path); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// NewReader reads from r what Open reads from a file. The extension of name
// helps the detection of the format and of the separator. Close does not close r.
// Options.Track is not told of it: nothing says whether it will be the same another time.
func NewReader(r io.Reader, name string, o Options) (*Reader, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return open(r, name, o)
}

func open(in io.Reader, name string, o Options) (*Reader, error) {
	bound := &expansion{in: in, most: int64(cmp.Or(o.MaxExpansion, DefaultMaxExpansion))}
	br := bufio.NewReaderSize(bound, 64<<10)
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
	if o.Explode != "" && o.Format == Auto {
		o.Format = JSONLines
	}
	r := &Reader{format: o.Format, name: name}
	var text io.Reader = br
	z, err := decompress(br, magic, bound)
	if err != nil {
		return nil, err
	}
	if z != nil {
		r.closers = append(r.closers, z)
		text = z
	}
	text, plain, err := decodeText(text, o.Encoding)
	if err != nil {
		return nil, errors.Join(err, r.closeAll())
	}
	var seek func(offset int64) (io.Reader, error)
	if f, ok := in.(*os.File); ok && z == nil && plain >= 0 {
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			seek = func(offset int64) (io.Reader, error) {
				offset += int64(plain)
				if st, err := f.Stat(); err != nil || st.Size() < offset {
					return nil, errors.Join(fmt.Errorf("%w: it is shorter than the %d bytes that had been read of it before", ErrCorrupt, offset), err)
				}
				_, err := f.Seek(offset, io.SeekStart)
				return f, err
			}
		}
	}
	if err := r.openText(text, seek, plainName(name), o); err != nil {
		return nil, errors.Join(err, r.closeAll())
	}
	return r, nil
}

// Next returns the next record; io.EOF after the last one; a *RowError for a
// row that cannot be read, after which reading goes on, as it does after ErrIdle of a service that is
// followed; any other error is final.
func (r *Reader) Next() (Record, error) {
	if r.files != nil {
		return r.files.next()
	}
	if r.start.Line > 0 {
		if err := r.skipToStart(); err != nil {
			return Record{}, err
		}
	}
	if len(r.ahead) > 0 {
		r.peeked, r.ahead = &r.ahead[0], r.ahead[1:]
		return r.peeked.rec, r.peeked.err
	}
	r.peeked = nil
	return r.rows.next()
}

// skipToStart goes to the place where the reading shall go on. The first rows may have been peeked at.
func (r *Reader) skipToStart() error {
	start := r.start
	r.start = Position{}
	for len(r.ahead) > 0 && r.ahead[0].at.compare(start) < 0 {
		r.ahead = r.ahead[1:]
	}
	if len(r.ahead) > 0 || r.rows.at().compare(start) >= 0 {
		return nil
	}
	return r.rows.skipTo(start)
}

// position returns how far the file is read.
func (r *Reader) position() Position {
	at := r.start
	switch {
	case at.Line > 0:
	case len(r.ahead) > 0:
		at = r.ahead[0].at
	default:
		at = r.rows.at()
	}
	at.File = r.file
	return at
}

// File returns the file of the row or error that Next returned last, as Record.File.
func (r *Reader) File() string {
	if r.files != nil {
		return r.files.file()
	}
	return r.file
}

// Raw returns the text of the row that Next returned last, for reports, at
// most 64 KiB of it: for Parquet its fields as a CSV line, for the line formats
// the user and the item. Valid until the next call of Next.
func (r *Reader) Raw() []byte {
	if r.files != nil {
		return r.files.now.Raw()
	}
	if r.peeked != nil {
		return r.peeked.raw
	}
	return shortRaw(r.rows.raw())
}

func shortRaw(raw []byte) []byte { return raw[:min(len(raw), maxRaw)] }

// Peek returns the records among the next n rows. Next will return them again,
// and errors in their places. It is meant to be called once, before Next.
//
// Of several files only the first one with rows is looked at. With Options.Track these are the first rows of the file in any case.
// Of a service that is followed it waits for the first row, and not for more than there are.
func (r *Reader) Peek(n int) []Record {
	if r.files != nil {
		return r.files.peek(n)
	}
	for len(r.ahead) < n && (len(r.ahead) == 0 || !final(r.ahead[len(r.ahead)-1].err)) {
		at := r.rows.at()
		rec, err := r.rows.next()
		if errors.Is(err, ErrIdle) {
			if len(r.ahead) > 0 {
				break
			}
			continue
		}
		p := peeked{at: at, rec: rec, err: err}
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
	if r.files != nil {
		r.files.choose(fields)
		return
	}
	if p, ok := r.rows.(*parquetRows); ok {
		p.choose(fields)
	}
}

// Close releases what Open took. It is safe to call twice.
func (r *Reader) Close() error {
	var err error
	if r.files != nil {
		return r.files.close()
	}
	if r.track != nil {
		r.track.end(r)
	}
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
func (closedRows) at() Position          { return Position{} }
func (closedRows) skipTo(Position) error { return os.ErrClosed }
func (closedRows) close() error          { return nil }

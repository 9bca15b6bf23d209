package db

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/source"
)

// server is a session with a database. One result is open at a time.
type server interface {
	// quote returns a name as statements have it.
	quote(name string) string
	// from returns the condition that the columns are at or after values, in the order of the columns, and its arguments.
	from(columns []column, values []string) (string, []any)
	// query runs a statement. Its result must be closed.
	query(ctx context.Context, statement string, args []any) (result, error)
	close() error
}

// result is the rows of a statement.
type result interface {
	columns() []column
	// next returns the values of the next row as text, nil for NULL, valid until the next call, or io.EOF.
	next() ([][]byte, error)
	close() error
}

// rows implements source.Rows.
type rows struct {
	ctx     context.Context // Next has none: see source.Opener
	server  server
	cfg     config
	columns []column
	cursor  []int // positions of the columns of the cursor

	page  result
	asked int // rows that the page may have
	got   int // rows that it had

	at   []string       // cursor of the last row, nil before the first
	seen map[uint64]int // marks of the rows read with that cursor, or of all rows without one
	skip map[uint64]int // those of them that the page has again

	fields [][]byte
	text   []byte
	ends   []int
	csv    bytes.Buffer
}

// openRows asks for the first page. It closes s if it fails.
func openRows(ctx context.Context, s server, cfg config) (_ *rows, err error) {
	r := &rows{ctx: ctx, server: s, cfg: cfg, seen: map[uint64]int{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := r.describe(); err != nil {
		return nil, err
	}
	if cfg.after.At != nil {
		r.at = cfg.after.At
		for _, mark := range cfg.after.Rows {
			r.seen[mark]++
		}
	}
	return r, r.turn()
}

// describe finds the columns, and checks those of the cursor.
func (r *rows) describe() error {
	res, err := r.server.query(r.ctx, "SELECT * FROM "+r.relation()+" WHERE 1 = 0", nil)
	if err != nil {
		return err
	}
	r.columns = slices.Clone(res.columns())
	if err := res.close(); err != nil {
		return err
	}
	var null []string
	for _, name := range r.cfg.cursor {
		i := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
		if i < 0 {
			return fmt.Errorf("%w: no column %q for the cursor; there are %s", source.ErrOptions, name, strings.Join(r.Columns(), ", "))
		}
		if r.columns[i].kind == inexact {
			return fmt.Errorf("%w: column %q is a floating-point number, which is no cursor: its text may miss it; take a column of another type",
				source.ErrOptions, name)
		}
		r.cursor = append(r.cursor, i)
		null = append(null, r.server.quote(name)+" IS NULL")
	}
	if len(null) == 0 {
		return nil
	}
	res, err = r.server.query(r.ctx, "SELECT 1 FROM "+r.relation()+" WHERE "+strings.Join(null, " OR ")+" LIMIT 1", nil)
	if err != nil {
		return err
	}
	_, err = res.next()
	if err = notEOF(err, fmt.Errorf("%w: the cursor %s is NULL in some rows, which would never be read; "+
		"take columns that are not, or a query with coalesce(...)", source.ErrOptions, strings.Join(r.cfg.cursor, ", "))); err != nil {
		return errors.Join(err, res.close())
	}
	return res.close()
}

// notEOF returns nil for io.EOF, found for nil, and other errors as they are.
func notEOF(err, found error) error {
	switch {
	case err == nil:
		return found
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// relation is what statements read from.
func (r *rows) relation() string {
	if r.cfg.query != "" {
		return "(" + r.cfg.query + "\n) AS kith" // a line of its own: the query may end in a comment
	}
	var parts []string
	for part := range strings.SplitSeq(r.cfg.table, ".") {
		parts = append(parts, r.server.quote(part))
	}
	return strings.Join(parts, ".")
}

// turn asks for the next page.
func (r *rows) turn() error {
	statement := "SELECT * FROM " + r.relation()
	var args []any
	r.asked, r.got = -1, 0
	if len(r.cursor) > 0 {
		var columns []column
		var names []string
		for _, i := range r.cursor {
			columns = append(columns, r.columns[i])
			names = append(names, r.server.quote(r.columns[i].name))
		}
		r.asked = r.cfg.pageRows
		if r.at != nil {
			var condition string
			condition, args = r.server.from(columns, r.at)
			statement += " WHERE " + condition
			r.skip = maps.Clone(r.seen)
			for _, n := range r.skip {
				r.asked += n // so that there are new rows, however many share the value
			}
		}
		statement += " ORDER BY " + strings.Join(names, ", ") + " LIMIT " + strconv.Itoa(r.asked)
	}
	var err error
	r.page, err = r.server.query(r.ctx, statement, args)
	return err
}

// Columns implements source.Rows.
func (r *rows) Columns() []string {
	var out []string
	for _, c := range r.columns {
		out = append(out, c.name)
	}
	return out
}

// Next implements source.Rows.
func (r *rows) Next() (source.Record, error) {
	for {
		if r.page == nil {
			return source.Record{}, io.EOF
		}
		values, err := r.page.next()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			page := r.page
			r.page = nil
			if err := page.close(); err != nil {
				return source.Record{}, err
			}
			if r.got == r.asked {
				if err := r.turn(); err != nil {
					return source.Record{}, err
				}
			}
			continue
		default:
			return source.Record{}, err
		}
		r.got++
		mark := r.mark(values)
		if len(r.cursor) > 0 && !r.sameCursor(values) {
			r.at = make([]string, len(r.cursor))
			for i, c := range r.cursor {
				r.at[i] = string(values[c])
			}
			clear(r.seen)
			r.skip = nil
		}
		if r.skip[mark] > 0 {
			r.skip[mark]--
			continue
		}
		part := r.seen[mark]
		r.seen[mark]++
		return source.Record{Line: int64(mark >> 1), Part: part, Fields: r.render(values)}, nil
	}
}

// sameCursor reports whether a row has the cursor of the last one.
func (r *rows) sameCursor(values [][]byte) bool {
	if r.at == nil {
		return false
	}
	for i, c := range r.cursor {
		if string(values[c]) != r.at[i] {
			return false
		}
	}
	return true
}

// mark returns a number made of all values.
func (r *rows) mark(values [][]byte) uint64 {
	r.text = r.text[:0]
	for _, v := range values {
		if v == nil {
			r.text = append(r.text, 0)
			continue
		}
		r.text = append(binary.AppendUvarint(r.text, uint64(len(v))+1), v...)
	}
	return xxhash.Sum64(r.text)
}

// render fills r.fields.
func (r *rows) render(values [][]byte) [][]byte {
	r.text, r.ends, r.fields = r.text[:0], r.ends[:0], r.fields[:0]
	for i, v := range values {
		if v != nil {
			r.text = appendValue(r.text, v, r.columns[i].kind)
		}
		r.ends = append(r.ends, len(r.text))
	}
	start := 0
	for _, end := range r.ends {
		r.fields = append(r.fields, r.text[start:end:end])
		start = end
	}
	return r.fields
}

// Raw implements source.Rows: the fields as a CSV line.
func (r *rows) Raw() []byte {
	fields := make([]string, len(r.fields))
	for i, f := range r.fields {
		fields[i] = string(f)
	}
	r.csv.Reset()
	w := csv.NewWriter(&r.csv)
	if err := w.Write(fields); err != nil {
		return nil // memory does not fail
	}
	w.Flush()
	return bytes.TrimSuffix(r.csv.Bytes(), []byte("\n"))
}

// Position implements source.Rows.
func (r *rows) Position() string {
	if r.at == nil || len(r.cursor) == 0 {
		return ""
	}
	p := position{At: r.at}
	if len(r.seen) <= maxMarks {
		for _, mark := range slices.Sorted(maps.Keys(r.seen)) {
			for range r.seen[mark] {
				p.Rows = append(p.Rows, mark)
			}
		}
		if len(p.Rows) > maxMarks {
			p.Rows = nil
		}
	}
	return p.String()
}

// Close implements source.Rows.
func (r *rows) Close() error {
	if r.server == nil {
		return os.ErrClosed
	}
	var err error
	if r.page != nil {
		err = r.page.close()
	}
	err = errors.Join(err, r.server.close())
	r.page, r.server = nil, nil
	return err
}

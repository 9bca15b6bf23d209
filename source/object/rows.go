package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/kith-io/kith/source"
)

// rows implements source.Rows over some objects.
type rows struct {
	ctx     context.Context // Next has none: see source.Opener
	store   *store
	options source.Options
	pattern pattern
	objects []object // that are left, the one being read first
	position

	format source.Format // of the first object
	in     *body         // nil between objects
	reader *source.Reader
	order  []int // where the columns are in this object, nil if in their places
	fields [][]byte
}

// Openers returns the opener of this package by scheme.
func Openers() map[string]source.Opener { return map[string]source.Opener{"s3": Open} }

// Open opens s3://bucket/key, a folder or a pattern. Context ctx bounds the reading.
func Open(ctx context.Context, address *url.URL, o source.Options) (_ source.Rows, err error) {
	if err := o.Remote.CheckGiven("an object store", "endpoint", "region", "password_env"); err != nil {
		return nil, err
	}
	if address.RawQuery != "" || address.Fragment != "" {
		return nil, fmt.Errorf("%w: the URL has a question mark or a number sign; write %%3F or %%23 where a key has them", source.ErrOptions)
	}
	r := &rows{ctx: ctx, options: o}
	if r.pattern, err = parsePattern(strings.TrimPrefix(address.Path, "/")); err != nil {
		return nil, err
	}
	if r.position, err = parsePosition(o.Remote.After); err != nil {
		return nil, err
	}
	if len(r.position.Columns) > 0 {
		r.options.Header = source.HeaderYes
	}
	if r.store, err = newStore(address, &o.Remote); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	all, err := r.store.list(ctx, &r.pattern)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no object of bucket %s matches", os.ErrNotExist, r.store.bucket)
	}
	if all = slices.DeleteFunc(all, func(o object) bool { return !r.options.Share.Has(o.key) }); len(all) == 0 {
		return nil, fmt.Errorf("objects of bucket %s: %w", r.store.bucket, source.ErrNoShare)
	}
	done := r.Done
	r.Done = map[string]string{} // without objects that are gone
	for _, o := range all {
		switch {
		case done[o.key] == o.stamp():
			r.Done[o.key] = o.stamp()
		case o.size > 0:
			r.noteReplaced(o, done[o.key])
			r.objects = append(r.objects, o)
		}
	}
	rest := r.objects
	if len(rest) == 0 { // nothing is new: the columns are those of what was read
		i := slices.IndexFunc(all, func(o object) bool { return o.size > 0 })
		if i < 0 {
			return r, nil
		}
		r.objects = all[i : i+1]
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		r.objects, r.Key, r.Stamp = nil, "", ""
		return r, r.end()
	}
	return r, nil
}

// noteReplaced tells a person that an object is another one than that which was read, and had a stamp, or was begun.
func (r *rows) noteReplaced(o object, stamp string) {
	if r.Key == o.key && r.Rows > 0 {
		stamp = r.Stamp
	}
	if stamp != "" && stamp != o.stamp() && r.options.Note != nil {
		r.options.Note("object " + o.key + " is not the one that was read before: it is read from its beginning")
	}
}

// begin opens the first of the objects, and goes to the row after the last that was read.
func (r *rows) begin() error {
	o := r.objects[0]
	r.in = &body{ctx: r.ctx, store: r.store, object: o}
	var err error
	if r.reader, err = source.NewReader(r.in, o.key, r.options); err != nil {
		return fmt.Errorf("object %s: %w", o.key, err)
	}
	if err := r.fit(); err != nil {
		return fmt.Errorf("object %s: %w", o.key, err)
	}
	skip := r.Rows
	if r.Key != o.key || r.Stamp != o.stamp() {
		skip = 0
	}
	for range skip {
		if _, err := r.reader.Next(); err != nil && !errors.As(err, new(*source.RowError)) {
			return fmt.Errorf("object %s: %d rows were read before, now it ends earlier: %w", o.key, skip, err)
		}
	}
	r.Key, r.Stamp, r.Rows = o.key, o.stamp(), skip
	return nil
}

// fit compares the columns of an object with those of the first.
func (r *rows) fit() error {
	columns := r.reader.Columns()
	r.order = nil
	switch {
	case r.format == source.Auto:
		r.format, r.options.Header = r.reader.Format(), source.HeaderNo
		if columns != nil {
			r.options.Header = source.HeaderYes
		}
		if len(r.position.Columns) == 0 {
			r.position.Columns = columns
			return nil
		}
		return r.fitColumns(columns)
	case r.format != r.reader.Format():
		return fmt.Errorf("%w: it is of format %s, the first object of %s; read them as two sources", source.ErrFormat, r.reader.Format(), r.format)
	}
	return r.fitColumns(columns)
}

func (r *rows) fitColumns(columns []string) error {
	if slices.Equal(columns, r.position.Columns) {
		return nil
	}
	for _, name := range r.position.Columns {
		i := slices.Index(columns, name)
		if i < 0 {
			return fmt.Errorf("%w: it has no column %q, which the first object has; it has %s", source.ErrFormat, name, strings.Join(columns, ", "))
		}
		r.order = append(r.order, i)
	}
	return nil
}

// end closes what begin has opened.
func (r *rows) end() error {
	if r.in == nil {
		return nil
	}
	err := r.in.Close()
	if r.reader != nil {
		err = errors.Join(r.reader.Close(), err)
	}
	r.in, r.reader = nil, nil
	return err
}

// Columns implements source.Rows.
func (r *rows) Columns() []string { return r.position.Columns }

// Next implements source.Rows.
func (r *rows) Next() (source.Record, error) {
	for {
		if len(r.objects) == 0 {
			return source.Record{}, io.EOF
		}
		if r.in == nil {
			if err := r.begin(); err != nil {
				return source.Record{}, err
			}
		}
		o := r.objects[0]
		rec, err := r.reader.Next()
		switch {
		case err == nil:
			r.Rows++
			rec.File, rec.Fields = r.pattern.file(o.key), r.arrange(rec.Fields)
			return rec, nil
		case err == io.EOF: //nolint:errorlint // a wrapped one is damage
			r.Done[o.key] = o.stamp()
			r.Key, r.Stamp, r.Rows = "", "", 0
			r.objects = r.objects[1:]
			if err := r.end(); err != nil {
				return source.Record{}, err
			}
		case errors.As(err, new(*source.RowError)):
			r.Rows++
			return source.Record{}, err
		default:
			return source.Record{}, fmt.Errorf("object %s: %w", o.key, err)
		}
	}
}

// arrange puts fields in the order of the columns.
func (r *rows) arrange(fields [][]byte) [][]byte {
	if r.order == nil {
		return fields
	}
	r.fields = r.fields[:0]
	for _, i := range r.order {
		var f []byte
		if i < len(fields) {
			f = fields[i]
		}
		r.fields = append(r.fields, f)
	}
	return r.fields
}

// Raw implements source.Rows.
func (r *rows) Raw() []byte {
	if r.reader == nil {
		return nil
	}
	return r.reader.Raw()
}

// Position implements source.Rows.
func (r *rows) Position() string { return r.String() }

// Close implements source.Rows.
func (r *rows) Close() error {
	err := r.end()
	r.objects = nil
	r.store.close()
	return err
}

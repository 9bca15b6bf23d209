package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Service is the format of rows that come from a service and not from a file.
const Service Format = "service"

// Rows yields the records of a service: a database, a queue, an object store. It is for one goroutine at a time.
type Rows interface {
	// Columns returns the names of the columns, or nil where there are none. They do not change.
	Columns() []string
	// Next returns the next record, as Reader.Next does. It waits for the service, as long as the context of the Opener allows. With
	// Remote.Follow it returns ErrIdle from time to time, after which reading goes on.
	Next() (Record, error)
	// Raw returns the text of the record that Next returned last, for reports.
	Raw() []byte
	// Position says how far Next has come, as text that the Opener takes as Remote.After; "" if reading cannot go on from there.
	Position() string
	// Close ends the reading and waits for what it started.
	Close() error
}

// Committer is implemented by Rows whose service keeps what was read, as the offsets of a consumer group.
type Committer interface {
	// Commit tells the service that all records up to the position are durable elsewhere. It may be called while Next
	// waits in another goroutine.
	Commit(ctx context.Context, position string) error
}

// Opener opens the URL of a service. Context ctx bounds the reading, too: Next waits for others and has no context of its own. Errors name
// no password.
type Opener func(ctx context.Context, address *url.URL, o Options) (Rows, error)

// Remote says what is read from a service. Which fields mean something depends on the service; the others must be empty. See docs/sources.md.
type Remote struct {
	// Openers has the function that opens a URL, by its scheme. Open refuses other schemes.
	Openers map[string]Opener
	// After is a position from which reading goes on; empty means from the start, or from what the service has kept.
	After string

	// Table or Query of a database, and the columns by which rows are ordered and reading goes on.
	Table, Query string
	Cursor       []string
	// PasswordEnv names the environment variable that has the password.
	PasswordEnv string
	// Endpoint and Region of an object store.
	Endpoint, Region string
	// Group is the consumer group of a queue, Fields what its messages hold, and Follow goes on at the end.
	Group  string
	Fields []string
	Follow bool
}

// Given returns the keys of the mapping file that are given, in alphabetic order.
func (r *Remote) Given() []string {
	var out []string
	for _, f := range []struct {
		key   string
		given bool
	}{
		{"cursor", len(r.Cursor) > 0},
		{"endpoint", r.Endpoint != ""},
		{"follow", r.Follow},
		{"group", r.Group != ""},
		{"message_fields", len(r.Fields) > 0},
		{"password_env", r.PasswordEnv != ""},
		{"query", r.Query != ""},
		{"region", r.Region != ""},
		{"table", r.Table != ""},
	} {
		if f.given {
			out = append(out, f.key)
		}
	}
	return out
}

// CheckGiven returns an error that matches ErrOptions if a key is given that a kind of service does not know.
func (r *Remote) CheckGiven(kind string, known ...string) error {
	for _, key := range r.Given() {
		if !slices.Contains(known, key) {
			return fmt.Errorf("%w: %s means nothing to %s, which knows %s", ErrOptions, key, kind, strings.Join(known, ", "))
		}
	}
	return nil
}

// Password returns the password that a source names: that of the URL, or that of the environment variable PasswordEnv, which must then be
// set; ok is false if it names none.
func (r *Remote) Password(address *url.URL) (password string, ok bool, err error) {
	if r.PasswordEnv != "" {
		if password, ok = os.LookupEnv(r.PasswordEnv); !ok {
			return "", false, fmt.Errorf("%w: the environment variable %s of password_env is not set", ErrOptions, r.PasswordEnv)
		}
		return password, true, nil
	}
	password, ok = address.User.Password()
	return password, ok, nil
}

// Scheme returns the scheme of a path that is a URL, and "" for a path of a file.
func Scheme(path string) string {
	scheme, _, ok := strings.Cut(path, "://")
	if !ok || scheme == "" || strings.IndexFunc(scheme, notScheme) >= 0 {
		return ""
	}
	return scheme
}

func notScheme(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
}

// PublicName returns a path as people may see it: without user, password and parameters where it is a URL.
func PublicName(path string) string {
	scheme := Scheme(path)
	if scheme == "" {
		return path
	}
	rest := path[len(scheme)+len("://"):]
	if i := strings.LastIndexByte(rest, '@'); i >= 0 { // the last one: passwords may have others by mistake
		rest = rest[i+1:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}

// openRemote opens a path that is a URL.
func openRemote(ctx context.Context, path string, o Options) (*Reader, error) {
	scheme := Scheme(path)
	open := o.Remote.Openers[scheme]
	if open == nil {
		return nil, fmt.Errorf("open %s: %w: no source for %s:// here", PublicName(path), ErrOptions, scheme)
	}
	address, err := url.Parse(path)
	if err != nil { // its text may have the password
		return nil, fmt.Errorf("open %s: %w: the URL is malformed; special characters of a password must be percent-encoded (or use password_env)",
			PublicName(path), ErrOptions)
	}
	rows, err := open(ctx, address, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", PublicName(path), err)
	}
	r := FromRows(rows)
	if r.track = o.Track; r.track != nil {
		r.track.open = r
	}
	return r, nil
}

// FromRows returns a Reader of the rows of a service. Closing it closes them.
func FromRows(r Rows) *Reader {
	columns := r.Columns()
	return &Reader{format: Service, columns: columns, width: len(columns), rows: serviceRows{r}}
}

// serviceRows makes Rows what Reader works on.
type serviceRows struct{ Rows }

func (s serviceRows) next() (Record, error) { return s.Next() }
func (s serviceRows) raw() []byte           { return s.Raw() }
func (s serviceRows) close() error          { return s.Close() }
func (s serviceRows) at() Position          { return Position{} }

// skipTo implements rows: services go on by Remote.After.
func (s serviceRows) skipTo(Position) error { return errors.ErrUnsupported }

// Position says how far Next has come: what Options.Remote.After takes to go on after that record. It is "" for files, before the first
// record, and where the service cannot go on from there. Ask before Close.
func (r *Reader) Position() string {
	if r.peeked != nil {
		return r.peeked.position
	}
	if s, ok := r.rows.(serviceRows); ok && len(r.ahead) == 0 {
		return s.Position()
	}
	return ""
}

// Commit tells the service that the records up to a position are durable elsewhere, so that it need not give them again; for files, and
// services that keep no such thing, it does nothing. It may be called while another goroutine is in Next.
func (r *Reader) Commit(ctx context.Context, position string) error {
	if s, ok := r.rows.(serviceRows); ok && position != "" {
		if c, ok := s.Rows.(Committer); ok {
			return c.Commit(ctx, position)
		}
	}
	return nil
}

// RowSplitter cuts texts that hold one row of delimited text each, as messages of a queue do. It is for one goroutine at a time.
type RowSplitter struct{ d *delimited }

// NewRowSplitter takes separator (a comma if there is none), quoting and the longest row from o.
func NewRowSplitter(o *Options) *RowSplitter {
	return &RowSplitter{d: newDelimited(&lineBuffer{}, cmp.Or(o.Separator, ","), o.NoQuote)}
}

// Split returns the fields of a row, which are valid until the next call, or a *RowError without line. A text that is more than one row, or
// none, is refused as a whole.
func (s *RowSplitter) Split(row []byte) ([][]byte, error) {
	*s.d.lineBuffer = lineBuffer{buf: row, end: len(row), err: io.EOF, max: max(len(row), 1), line: 1}
	rec, err := s.d.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, rowError(0, row, ReasonColumns, "the text is empty")
	case err != nil:
		var bad *RowError
		if errors.As(err, &bad) {
			bad.Line, bad.Raw = 0, string(shortRaw(row))
		}
		return nil, err
	case len(bytes.TrimSpace(row[s.d.pos:])) > 0:
		return nil, rowError(0, row, ReasonColumns, "the text has more than one row")
	}
	return rec.Fields, nil
}

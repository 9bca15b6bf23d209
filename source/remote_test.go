package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

// numbers is a service of the rows 1 to n, each with a position.
type numbers struct {
	n, at     int
	idle      bool // no row is there at the moment, before each row
	told      bool
	closed    bool
	committed []string
}

func (s *numbers) Columns() []string { return []string{"user", "item"} }
func (s *numbers) Raw() []byte       { return fmt.Appendf(nil, "row %d", s.at) }
func (s *numbers) Position() string  { return fmt.Sprint(s.at) }
func (s *numbers) Close() error      { s.closed = true; return nil }

func (s *numbers) Next() (source.Record, error) {
	if s.told = s.idle && !s.told; s.told {
		return source.Record{}, source.ErrIdle
	}
	if s.at == s.n {
		return source.Record{}, io.EOF
	}
	s.at++
	return source.Record{Line: int64(s.at), Fields: [][]byte{[]byte("u"), fmt.Append(nil, s.at)}}, nil
}

func (s *numbers) Commit(_ context.Context, position string) error {
	s.committed = append(s.committed, position)
	return nil
}

func TestServiceBehindReader(t *testing.T) {
	s := &numbers{n: 5}
	var asked string
	o := source.Options{Remote: source.Remote{Openers: map[string]source.Opener{
		"num": func(_ context.Context, u *url.URL, _ source.Options) (source.Rows, error) {
			asked = u.Host
			return s, nil
		},
	}}}
	r, err := source.Open(t.Context(), "num://host/x", o)
	if err != nil {
		t.Fatal(err)
	}
	if asked != "host" || r.Format() != source.Service || r.Width() != 2 || !cmp.Equal(r.Columns(), []string{"user", "item"}) {
		t.Errorf("host %q, format %q, width %d, columns %q", asked, r.Format(), r.Width(), r.Columns())
	}
	if n := len(r.Peek(3)); n != 3 || r.Position() != "" {
		t.Errorf("peeked %d of 3 rows; position %q, want none before the first row was handed out", n, r.Position())
	}
	for i := 1; i <= 5; i++ {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(i)
		if string(rec.Fields[1]) != want || string(r.Raw()) != "row "+want || r.Position() != want {
			t.Errorf("row %d: field %q, raw %q, position %q", i, rec.Fields[1], r.Raw(), r.Position())
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v, want io.EOF", err)
	}
	if err := errors.Join(r.Commit(t.Context(), "3"), r.Close()); err != nil || !cmp.Equal(s.committed, []string{"3"}) || !s.closed {
		t.Errorf("commit and close: %v, committed %q, closed %t", err, s.committed, s.closed)
	}
}

// TestTrackOfService: positions are those of the rows that were handed out, and not of those that were looked at.
func TestTrackOfService(t *testing.T) {
	for _, every := range []time.Duration{0, time.Hour} {
		track := &source.Track{Every: every}
		o := source.Options{Track: track, Remote: source.Remote{Openers: map[string]source.Opener{
			"num": func(context.Context, *url.URL, source.Options) (source.Rows, error) { return &numbers{n: 5}, nil },
		}}}
		r, err := source.Open(t.Context(), "num://host/x", o)
		if err != nil {
			t.Fatal(err)
		}
		r.Peek(3)
		if got := track.Take(); len(got) > 0 {
			t.Errorf("%+v before the first row", got)
		}
		for i := 1; i <= 5; i++ {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
			got := track.Take()
			if want := []source.Position{{Service: fmt.Sprint(i)}}; every == 0 && !cmp.Equal(got, want) || every > 0 && len(got) > 0 {
				t.Errorf("every %v, after row %d: %+v", every, i, got)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if got := track.Take(); !cmp.Equal(got, []source.Position{{Service: "5"}}) {
			t.Errorf("every %v, at the end: %+v", every, got)
		}
	}
}

// TestPeekAtIdleService waits for the first row, and not for more.
func TestPeekAtIdleService(t *testing.T) {
	r := source.FromRows(&numbers{n: 3, idle: true})
	if n := len(r.Peek(100)); n != 1 {
		t.Errorf("peeked at %d rows, want the first", n)
	}
	var rows, idle int
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, source.ErrIdle) {
			idle++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 3 || idle < 2 {
		t.Errorf("%d rows, %d times idle; want 3, and 2 or more", rows, idle)
	}
}

func TestURLs(t *testing.T) {
	for path, want := range map[string]struct{ scheme, public string }{
		"a/b.csv":                              {"", "a/b.csv"},
		"-":                                    {"", "-"},
		"://x":                                 {"", "://x"},
		"C:\\a://b":                            {"", "C:\\a://b"},
		"postgres://u:s3cret@h:5/db?x=y":       {"postgres", "postgres://h:5/db"},
		"mysql://u:s3@cret/x@h/db":             {"mysql", "mysql://h/db"},
		"s3://bucket/a/*.csv#s3cret":           {"s3", "s3://bucket/a/*.csv"},
		"kafka://one:9092,two:9092/t?group=g1": {"kafka", "kafka://one:9092,two:9092/t"},
	} {
		if got := source.Scheme(path); got != want.scheme {
			t.Errorf("Scheme(%q) = %q, want %q", path, got, want.scheme)
		}
		if got := source.PublicName(path); got != want.public {
			t.Errorf("PublicName(%q) = %q, want %q", path, got, want.public)
		}
	}
}

func TestURLErrorsHideThePassword(t *testing.T) {
	fails := func(context.Context, *url.URL, source.Options) (source.Rows, error) { return nil, errors.New("down") }
	o := source.Options{Remote: source.Remote{Openers: map[string]source.Opener{"db": fails}}}
	for _, path := range []string{"db://u:s3cret@h/x", "db://u:s3cret/@h:x/y", "other://u:s3cret@h/x", "db://u:s3cret%zz@h"} {
		_, err := source.Open(t.Context(), path, o)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v; want an error without the password", path, err)
		}
	}
	o.Skip = -1
	if _, err := source.Open(t.Context(), "db://u:s3cret@h/x", o); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("bad option: %v; want an error without the password", err)
	}
}

func TestRemotePassword(t *testing.T) {
	t.Setenv("KITH_TEST_PASSWORD", "of the environment")
	u, err := url.Parse("db://u:of%20the%20URL@h/x")
	if err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"": "of the URL", "KITH_TEST_PASSWORD": "of the environment"} {
		r := source.Remote{PasswordEnv: env}
		if got, ok, err := r.Password(u); got != want || !ok || err != nil {
			t.Errorf("password_env %q: %q, %t, %v; want %q", env, got, ok, err, want)
		}
	}
	r := source.Remote{PasswordEnv: "KITH_TEST_NO_SUCH_VARIABLE"}
	if _, _, err := r.Password(u); !errors.Is(err, source.ErrOptions) || !strings.Contains(err.Error(), "KITH_TEST_NO_SUCH_VARIABLE") {
		t.Errorf("variable that is not set: %v; want ErrOptions with its name", err)
	}
}

func TestRemoteCheckGiven(t *testing.T) {
	r := source.Remote{Table: "t", Follow: true}
	if err := r.CheckGiven("a database", "table", "query"); !errors.Is(err, source.ErrOptions) || !strings.Contains(err.Error(), "follow means nothing to a database") {
		t.Errorf("follow at a database: %v", err)
	}
	if err := r.CheckGiven("a test", "table", "follow"); err != nil {
		t.Error(err)
	}
}

func TestRowSplitter(t *testing.T) {
	s := source.NewRowSplitter(&source.Options{})
	for in, want := range map[string]string{
		"a,b":               "a|b",
		"a,\"b,\"\"\nc\",d": "a|b,\"\nc|d",
		"a,b\r\n\n":         "a|b",
		"a":                 "a",
		"":                  "columns",
		"\n":                "columns",
		"a,b\nc,d":          "columns",
		"a,\"b":             "quote",
	} {
		fields, err := s.Split([]byte(in))
		got := string(bytes.Join(fields, []byte("|")))
		var bad *source.RowError
		if errors.As(err, &bad) {
			if got = bad.Reason; bad.Raw != in {
				t.Errorf("%q: raw %q", in, bad.Raw)
			}
		}
		if got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

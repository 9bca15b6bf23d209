package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/db/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = dbtest.Secret

// database is a real server and what opens it.
type database struct {
	dbtest.Database
	open source.Opener
	conn func(context.Context, *url.URL, *source.Remote) (server, error)
}

func TestPostgres(t *testing.T) {
	d := database{dbtest.StartPostgres(t), OpenPostgres, connectPostgres}
	t.Run("types", func(t *testing.T) { testPostgresTypes(t, d) })
	testDatabase(t, d)
}

func TestMySQL(t *testing.T) {
	d := database{dbtest.StartMySQL(t), OpenMySQL, connectMySQL}
	t.Run("types", func(t *testing.T) { testMySQLTypes(t, d) })
	testDatabase(t, d)
}

// testDatabase checks what all databases have in common.
func testDatabase(t *testing.T, d database) {
	t.Run("ties", func(t *testing.T) { testTies(t, d) })
	t.Run("later rows", func(t *testing.T) { testLaterRows(t, d) })
	t.Run("cursors of all types", func(t *testing.T) { testCursorTypes(t, d) })
	t.Run("mistakes", func(t *testing.T) { testMistakes(t, d) })
	t.Run("passwords", func(t *testing.T) { testPasswords(t, d) })
	t.Run("writing is refused", func(t *testing.T) { testReadOnly(t, d) })
	t.Run("canceled", func(t *testing.T) { testCanceled(t, d) })
}

// open opens a source with pages of some rows; 0 means the usual.
func (d database) openPages(t *testing.T, r source.Remote, pages int) *rows {
	t.Helper()
	cfg, err := newConfig(&r)
	if err != nil {
		t.Fatal(err)
	}
	if pages > 0 {
		cfg.pageRows = pages
	}
	s, err := d.conn(t.Context(), d.URL, &r)
	if err != nil {
		t.Fatal(err)
	}
	out, err := openRows(t.Context(), s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// take reads up to n rows (all if n < 0) as fields joined with '|', and line and part as a key.
func take(t *testing.T, r *rows, n int) (fields, keys []string) {
	t.Helper()
	for ; n != 0; n-- {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, string(bytes.Join(rec.Fields, []byte("|"))))
		keys = append(keys, fmt.Sprintf("%d/%d", rec.Line, rec.Part))
	}
	return fields, keys
}

func closeRows(t *testing.T, r *rows) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func (d database) all(t *testing.T, r source.Remote) []string {
	t.Helper()
	rows := d.openPages(t, r, 0)
	defer closeRows(t, rows)
	fields, _ := take(t, rows, -1)
	return fields
}

func testPostgresTypes(t *testing.T, d database) {
	d.Exec(t, `CREATE TABLE types (i bigint, n numeric, d double precision, r real, b boolean, s text, e text, day date, ts timestamp, tz timestamptz, j jsonb, u uuid, a int[], x text);
		SET TimeZone = 'Europe/Berlin';
		INSERT INTO types VALUES (9223372036854775807, 12345678901234567890.12345678901234567890, 0.1, 0.1, true, E'a "b"\n|c', '', '2024-02-29',
			'2024-06-30 12:00:00.5', '2024-06-30 12:00:00.123456', '{"a": [1]}', 'b3f1c7c0-8a7e-4d6b-9b0a-0123456789ab', '{1,2}', NULL);
		INSERT INTO types (b, ts, tz) VALUES (false, 'infinity', '0044-03-15 00:00:00 BC')`)
	rows := d.openPages(t, source.Remote{Query: "select * from types order by i -- as they are"}, 0)
	defer closeRows(t, rows)
	if got, want := strings.Join(rows.Columns(), " "), "i n d r b s e day ts tz j u a x"; got != want {
		t.Errorf("columns %q, want %q", got, want)
	}
	got, _ := take(t, rows, -1)
	want := []string{
		`9223372036854775807|12345678901234567890.12345678901234567890|0.1|0.1|true|a "b"` + "\n" + `|c||2024-02-29|2024-06-30T12:00:00.5Z|` +
			`2024-06-30T10:00:00.123456Z|{"a": [1]}|b3f1c7c0-8a7e-4d6b-9b0a-0123456789ab|{1,2}|`,
		`||||false||||infinity|0044-03-14 23:06:32+00 BC||||`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if raw := string(rows.Raw()); raw != `,,,,false,,,,infinity,0044-03-14 23:06:32+00 BC,,,,` {
		t.Errorf("raw %q", raw)
	}
}

func testMySQLTypes(t *testing.T, d database) {
	d.Exec(t, `CREATE TABLE types (i bigint unsigned, n decimal(60, 20), d double, b bool, s text, e text, day date, dt datetime(1), ts timestamp(6) NULL, x text);
		SET time_zone = '+02:00';
		INSERT INTO types VALUES (18446744073709551615, 12345678901234567890.12345678901234567890, 0.1, true, 'a "b"\n|cä', '', '2024-02-29',
			'2024-06-30 12:00:00.5', '2024-06-30 12:00:00.123456', NULL)`)
	got := d.all(t, source.Remote{Table: "types"})
	want := []string{"18446744073709551615|12345678901234567890.12345678901234567890|0.1|1|a \"b\"\n|cä||2024-02-29|2024-06-30T12:00:00.5Z|" +
		"2024-06-30T10:00:00.123456Z|"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// testTies reads a table with many rows of equal cursors, some equal in all columns, in pages of several sizes and in several
// runs. All rows must come exactly once, each under the same line and part.
func testTies(t *testing.T, d database) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var insert, want []string
	for range 120 {
		day, name := 1+rnd.IntN(9), string(rune('a'+rnd.IntN(3)))
		insert = append(insert, fmt.Sprintf("('2024-01-%02d 00:00:00', '%s')", day, name))
		want = append(want, fmt.Sprintf("2024-01-%02dT00:00:00Z|%s", day, name))
	}
	d.Exec(t, "CREATE TABLE ties (day timestamp NULL, name varchar(9)); INSERT INTO ties VALUES "+strings.Join(insert, ", "))
	slices.Sort(want)
	whole := d.openPages(t, source.Remote{Table: "ties"}, 0)
	fields, wantKeys := take(t, whole, -1)
	closeRows(t, whole)
	slices.Sort(wantKeys)
	if distinct := slices.Compact(slices.Clone(wantKeys)); len(distinct) != len(wantKeys) {
		t.Errorf("%d keys of %d rows differ, want all", len(distinct), len(wantKeys))
	}
	slices.Sort(fields)
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("without a cursor (-want +got):\n%s", diff)
	}
	for _, cursor := range [][]string{{"day"}, {"day", "name"}, {"name"}} {
		for _, pages := range []int{1, 7, 64, 1000} {
			for _, stop := range []int{-1, 1, 13, 50} { // rows of a run
				if stop == 1 && (pages != 7 || len(cursor) > 1 || cursor[0] != "day") || stop == 13 && pages == 1000 {
					continue // as many sessions as rows: once is enough
				}
				var got, keys []string
				after, order := "", ""
				for {
					r := d.openPages(t, source.Remote{Table: "ties", Cursor: cursor, After: after}, pages)
					fields, k := take(t, r, stop)
					after = r.Position()
					closeRows(t, r)
					if len(fields) == 0 {
						break
					}
					got, keys = append(got, fields...), append(keys, k...)
				}
				for _, f := range got {
					if cursor[0] == "day" && f[:10] < order {
						t.Fatalf("cursor %q: %s after %s", cursor, f, order)
					}
					order = f[:10]
				}
				slices.Sort(got)
				slices.Sort(keys)
				if !slices.Equal(got, want) || !slices.Equal(keys, wantKeys) {
					t.Errorf("cursor %q, pages of %d, runs of %d: %d rows, want each of %d once, with equal keys (%t)",
						cursor, pages, stop, len(got), len(want), slices.Equal(keys, wantKeys))
				}
			}
		}
	}
}

// testLaterRows adds rows with the cursor of the last one after it was read.
func testLaterRows(t *testing.T, d database) {
	d.Exec(t, "CREATE TABLE later (at int, name varchar(9)); INSERT INTO later VALUES (1, 'a'), (2, 'b'), (2, 'c')")
	r := d.openPages(t, source.Remote{Table: "later", Cursor: []string{"at"}}, 0)
	take(t, r, -1)
	after := r.Position()
	closeRows(t, r)
	d.Exec(t, "INSERT INTO later VALUES (2, 'd'), (2, 'b'), (3, 'e')")
	r = d.openPages(t, source.Remote{Table: "later", Cursor: []string{"at"}, After: after}, 0)
	got, _ := take(t, r, -1)
	closeRows(t, r)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"2|b", "2|d", "3|e"}, got); diff != "" {
		t.Errorf("after %s (-want +got):\n%s", after, diff)
	}
	var marks position
	for range maxMarks + 1 {
		marks.Rows = append(marks.Rows, 1)
	}
	full := &rows{at: []string{"2"}, cursor: []int{0}, seen: map[uint64]int{1: maxMarks + 1}}
	if p := full.Position(); p != `{"at":["2"]}` {
		t.Errorf("position after %d equal rows: %.100s, want the value alone", maxMarks+1, p)
	}
}

// testCursorTypes reads in pages of one row by cursors whose order is not that of their text, or whose values a float64 does not hold.
func testCursorTypes(t *testing.T, d database) {
	for i, c := range []struct{ typ, values string }{
		{"bigint", "-5, 9, 10, 9007199254740992, 9007199254740993"},
		{"numeric(38, 10)", "-5.5, 9, 10, 12345678901234567890.0000000001, 12345678901234567890.0000000002"},
		{"varchar(20)", "'', 'a b', 'a%', 'b''c', 'z\u00e4'"},
		{"date", "'1999-12-31', '2000-01-01', '2024-02-29', '2024-03-01'"},
		{"timestamp(6) NULL", "'2001-01-01 00:00:00', '2001-01-01 00:00:00.000001', '2001-01-01 00:00:00.000002', '2024-01-01 00:00:00'"},
	} {
		table := fmt.Sprintf("cursor%d", i)
		d.Exec(t, fmt.Sprintf("CREATE TABLE %s (c %s); INSERT INTO %s VALUES (%s)", table, c.typ, table, strings.ReplaceAll(c.values, ", ", "), (")))
		r := d.openPages(t, source.Remote{Table: table, Cursor: []string{"c"}}, 1)
		got, _ := take(t, r, -1)
		closeRows(t, r)
		if want := strings.Count(c.values, ",") + 1; len(got) != want || len(slices.Compact(slices.Clone(got))) != want {
			t.Errorf("cursor of type %s: rows %q, want each of %s once", c.typ, got, c.values)
		}
	}
}

func testMistakes(t *testing.T, d database) {
	d.Exec(t, "CREATE TABLE mistakes (a int, f double precision); INSERT INTO mistakes VALUES (NULL, 0), (1, 1)")
	for _, c := range []struct {
		name, want string
		r          source.Remote
	}{
		{"nothing to read", "neither table nor query", source.Remote{}},
		{"both", "exclude each other", source.Remote{Table: "mistakes", Query: "select 1"}},
		{"key of others", "group means nothing to a database", source.Remote{Table: "mistakes", Group: "g"}},
		{"no such table", "nonesuch", source.Remote{Table: "nonesuch"}},
		{"bad name", "want a name, or schema.name", source.Remote{Table: "a..b"}},
		{"bad query", " syntax", source.Remote{Query: "selekt 1"}},
		{"cursor twice", "each once", source.Remote{Table: "mistakes", Cursor: []string{"a", "a"}}},
		{"no such column", "there are a, f", source.Remote{Table: "mistakes", Cursor: []string{"b"}}},
		{"NULL in the cursor", "is NULL in some rows", source.Remote{Table: "mistakes", Cursor: []string{"a"}}},
		{"float cursor", "floating-point", source.Remote{Table: "mistakes", Cursor: []string{"f"}}},
		{"damaged position", "begin without it", source.Remote{Table: "mistakes", Cursor: []string{"a"}, After: `{"at":`}},
		{"position of another cursor", "of another cursor", source.Remote{Table: "mistakes", Cursor: []string{"a"}, After: `{"at":["1","2"]}`}},
		{"position without cursor", "without a cursor", source.Remote{Table: "mistakes", After: `{"at":["1"]}`}},
	} {
		r, err := d.open(t.Context(), d.URL, source.Options{Remote: c.r})
		if err == nil {
			err = errors.Join(errors.New("opened"), r.Close())
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v; want an error with %q", c.name, err, c.want)
		}
	}
	if got := d.all(t, source.Remote{Query: "select a from mistakes where a is not null;", Cursor: []string{"a"}}); !slices.Equal(got, []string{"1"}) {
		t.Errorf("query without the NULL: %q", got)
	}
}

func testPasswords(t *testing.T, d database) {
	fromEnv := *d.URL
	fromEnv.User = url.User("kith")
	wrong := *d.URL
	wrong.User = url.UserPassword("kith", secret+"x")
	try := func(u *url.URL, r source.Remote) error {
		r.Query = "select 1 as x"
		rows, err := d.open(t.Context(), u, source.Options{Remote: r})
		if err != nil {
			return err
		}
		return rows.Close()
	}
	t.Setenv("KITH_TEST_PASSWORD", secret)
	if err := try(&fromEnv, source.Remote{PasswordEnv: "KITH_TEST_PASSWORD"}); err != nil {
		t.Errorf("password_env: %v", err)
	}
	for _, u := range []*url.URL{&wrong, &fromEnv} {
		if err := try(u, source.Remote{}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("wrong or no password: %v; want an error without it", err)
		}
	}
	t.Setenv(map[string]string{"PostgreSQL": "PGPASSWORD", "MariaDB": "MYSQL_PWD"}[d.Name], secret)
	if err := try(&fromEnv, source.Remote{}); err != nil {
		t.Errorf("password in the usual variable: %v", err)
	}
}

func testReadOnly(t *testing.T, d database) {
	d.Exec(t, "CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)")
	s, err := d.conn(t.Context(), d.URL, &source.Remote{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.query(t.Context(), "DELETE FROM kept RETURNING a", nil); err == nil {
		if _, err = r.next(); err == nil {
			t.Error("rows could be deleted")
		}
		_ = r.close()
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if got := d.all(t, source.Remote{Table: "kept"}); len(got) != 1 {
		t.Errorf("%d rows left, want 1", len(got))
	}
}

func testCanceled(t *testing.T, d database) {
	d.Exec(t, "CREATE TABLE threes (a int); INSERT INTO threes VALUES (1), (2), (3)")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := d.open(ctx, d.URL, source.Options{Remote: source.Remote{
		Query: "select x.a from threes x, threes y, threes z, threes u, threes v, threes w, threes p, threes q, threes o, threes l, threes m, threes n, threes k",
	}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 1 << 22 {
		if _, err = r.Next(); err != nil {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("reading ended with %v, want context.Canceled", err)
	}
	if err := r.Close(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

func open(t *testing.T, address string, r source.Remote) (*source.Reader, error) {
	t.Helper()
	r.Openers = Openers()
	return source.Open(t.Context(), address, source.Options{KnownName: func(name string) bool { return name == "user" }, Remote: r})
}

// read reads up to n rows (all if n < 0), as "file:line fields", and closes the reader. It returns the position after them.
func read(t *testing.T, address string, r source.Remote, n int) (out []string, position string) {
	t.Helper()
	reader, err := open(t, address, r)
	if err != nil {
		t.Fatal(err)
	}
	for ; n != 0; n-- {
		rec, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *source.RowError
		switch {
		case errors.As(err, &bad):
			out = append(out, fmt.Sprintf("%d! %s", bad.Line, bad.Reason))
		case err != nil:
			t.Fatal(err)
		default:
			out = append(out, fmt.Sprintf("%s:%d %s", rec.File, rec.Line, bytes.Join(rec.Fields, []byte("|"))))
		}
	}
	position = reader.Position()
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	return out, position
}

func TestObjectsAsOneTable(t *testing.T) {
	f := newFake(t)
	f.put("logs/2024/01.csv.gz", zipped("user,item\nada,lamp\nbob,desk\n"))
	f.put("logs/2024/02.csv.gz", zipped("item,more,user\nlamp,x,\"cy\nl\"\nsofa,y\nsofa,y,dan\n"))
	f.put("logs/2024/03.csv.gz", "")
	f.put("logs/2024/old/01.csv.gz", zipped("user,item\neve,vase\n"))
	f.put("logs/2024/_SUCCESS", "user,item\nno,no\n")
	f.put("logs/2024/", "")
	f.put("logs/2023.csv", "user;item\nzed;chair\n")
	r := source.Remote{Endpoint: f.URL}
	first := []string{"01.csv.gz:2 ada|lamp", "01.csv.gz:3 bob|desk", "02.csv.gz:2 cy\nl|lamp", "4! columns", "02.csv.gz:5 dan|sofa"}
	for _, c := range []struct {
		address string
		want    []string
	}{
		{"s3://shop/logs/2024/*.csv.gz", first},
		{"s3://shop/logs/2024/", append(slices.Clone(first), "old/01.csv.gz:2 eve|vase")},
		{"s3://shop/logs/**/0*.gz", []string{
			"2024/01.csv.gz:2 ada|lamp", "2024/01.csv.gz:3 bob|desk", "2024/02.csv.gz:2 cy\nl|lamp", "4! columns",
			"2024/02.csv.gz:5 dan|sofa", "2024/old/01.csv.gz:2 eve|vase",
		}},
		{"s3://shop/logs/2023.csv", []string{":2 zed|chair"}},
	} {
		got, _ := read(t, c.address, r, -1)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.address, diff)
		}
	}
	if _, _, lists := f.counts(); lists < 8 {
		t.Errorf("%d requests for lists of two keys, want several for each pattern", lists)
	}
}

// TestResume stops after each number of rows, goes on, and compares with what one run reads.
func TestResume(t *testing.T) {
	f := newFake(t)
	f.put("a.csv", "user,item\nu1,i1\nu2\nu3,i3\n")
	f.put("b.csv", "user,item\nu4,i4\n")
	f.put("c.csv", "item,user\ni5,u5\ni6,u6\n")
	r := source.Remote{Endpoint: f.URL}
	want, end := read(t, "s3://shop/*", r, -1)
	if len(want) != 6 {
		t.Fatalf("rows %q, want 6", want)
	}
	for n := 1; n <= 6; n++ {
		var got []string
		after := ""
		for {
			r.After = after
			part, next := read(t, "s3://shop/*", r, n)
			if got, after = append(got, part...), next; len(part) < n {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in runs of %d rows (-want +got):\n%s", n, diff)
		}
	}
	r.After = end
	if got, after := read(t, "s3://shop/*", r, -1); len(got) > 0 || after != end {
		t.Errorf("after the end: rows %q, position %s; want none and %s", got, after, end)
	}
	// A new object, though its key is the first, and one that was replaced.
	f.put("0.csv", "user,item\nu0,i0\n")
	f.put("b.csv", "user,item\nu4,i4\nu7,i7\n")
	got, after := read(t, "s3://shop/*", r, -1)
	if diff := cmp.Diff([]string{"0.csv:2 u0|i0", "b.csv:2 u4|i4", "b.csv:3 u7|i7"}, got); diff != "" {
		t.Errorf("new and replaced objects (-want +got):\n%s", diff)
	}
	if strings.Count(after, `.csv"`) != 4 {
		t.Errorf("position %s, want all four objects", after)
	}
}

func TestBrokenConnections(t *testing.T) {
	f := newFake(t)
	var text strings.Builder
	text.WriteString("user,item\n")
	for i := range 20000 {
		fmt.Fprintf(&text, "u%d,i%d\n", i, i%77)
	}
	f.put("big.csv", text.String())
	f.breakAt = 50_000
	got, _ := read(t, "s3://shop/big.csv", source.Remote{Endpoint: f.URL}, -1)
	if len(got) != 20000 || got[19999] != ":20001 u19999|i56" {
		t.Errorf("%d rows, want 20000", len(got))
	}
	gets, sent, _ := f.counts()
	if want := text.Len()/f.breakAt + 1; gets != want || sent != text.Len() {
		t.Errorf("%d requests for %d bytes, want %d for %d", gets, sent, want, text.Len())
	}
}

func TestReplacedWhileRead(t *testing.T) {
	f := newFake(t)
	f.put("a.csv", "user,item\n"+strings.Repeat("u,i\n", 50_000))
	f.breakAt = 100_000
	f.onGet = func(string) { f.put("a.csv", "user,item\nv,i\n") }
	reader, err := open(t, "s3://shop/a.csv", source.Remote{Endpoint: f.URL})
	for err == nil {
		_, err = reader.Next()
	}
	if !strings.Contains(err.Error(), "replaced after it was listed") {
		t.Errorf("read to %v, want an error that says that the object was replaced", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

func TestCanceled(t *testing.T) {
	f := newFake(t)
	f.put("a.csv", "user,item\n"+strings.Repeat("u,i\n", 200_000))
	ctx, cancel := context.WithCancel(t.Context())
	o := source.Options{Remote: source.Remote{Endpoint: f.URL, Openers: Openers()}}
	reader, err := source.Open(ctx, "s3://shop/a.csv", o)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		_, err = reader.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("reading ended with %v, want context.Canceled", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

func TestCredentials(t *testing.T) {
	f := newFake(t)
	f.put("a.csv", "user,item\nu,i\n")
	f.signed = "KEY"
	try := func(address string, r source.Remote) error {
		reader, err := open(t, address, r)
		if err != nil {
			return err
		}
		return reader.Close()
	}
	t.Setenv("AWS_ENDPOINT_URL", f.URL)
	if err := try("s3://shop/a.csv", source.Remote{}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("without credentials: %v, want those of the store", err)
	}
	t.Setenv("KITH_TEST_SECRET", "s3cret")
	if err := try("s3://KEY@shop/a.csv", source.Remote{PasswordEnv: "KITH_TEST_SECRET", Region: "eu-1"}); err != nil {
		t.Errorf("key of the URL: %v", err)
	}
	if err := try("s3://OTHER:s3cret@shop/a.csv", source.Remote{}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("wrong key: %v; want an error without the secret", err)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = KEY\naws_secret_access_key = s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	if err := try("s3://shop/a.csv", source.Remote{}); err != nil {
		t.Errorf("key of the file: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "OTHER")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
	if err := try("s3://shop/a.csv", source.Remote{}); err == nil {
		t.Error("the environment does not go before the file")
	}
}

func TestMistakes(t *testing.T) {
	f := newFake(t)
	f.put("a.csv", "user,item\nu,i\n")
	f.put("b.csv", "user,thing\nu,i\n")
	f.put("c.parquet", "PAR1")
	down := newFake(t)
	down.Close()
	for _, c := range []struct {
		name, address, want string
		r                   source.Remote
	}{
		{"no bucket", "s3:///a.csv", "names no bucket", source.Remote{Endpoint: f.URL}},
		{"other bucket", "s3://stop/a.csv", "refused", source.Remote{Endpoint: f.URL}},
		{"no such object", "s3://shop/x.csv", "no object of bucket shop matches", source.Remote{Endpoint: f.URL}},
		{"question mark", "s3://shop/?.csv", "%3F", source.Remote{Endpoint: f.URL}},
		{"stars", "s3://shop/***", "three stars", source.Remote{Endpoint: f.URL}},
		{"endpoint", "s3://shop/a.csv", "want http:// or https://", source.Remote{Endpoint: "localhost:9000"}},
		{"endpoint with a password", "s3://shop/a.csv", "want http:// or https://", source.Remote{Endpoint: "http://u:s3cret@h"}},
		{"key of others", "s3://shop/a.csv", "table means nothing to an object store", source.Remote{Endpoint: f.URL, Table: "t"}},
		{"key without secret", "s3://KEY@shop/a.csv", "password_env", source.Remote{Endpoint: f.URL}},
		{"position", "s3://shop/a.csv", "begin without it", source.Remote{Endpoint: f.URL, After: "x"}},
		{"columns", "s3://shop/?.csv", `it has no column "item"`, source.Remote{Endpoint: f.URL}},
		{"damaged", "s3://shop/c.parquet", "object c.parquet", source.Remote{Endpoint: f.URL}},
	} {
		if c.name == "columns" {
			c.address = "s3://shop/*.csv"
		}
		reader, err := open(t, c.address, c.r)
		for err == nil {
			_, err = reader.Next()
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v; want an error with %q", c.name, err, c.want)
		}
		if c.name == "no such object" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v; want fs.ErrNotExist", c.name, err)
		}
		if reader != nil {
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, prefix string
		yes, no         []string
	}{
		{"a/b.csv", "a/b.csv", []string{"a/b.csv"}, []string{"a/b.csv.gz", "a/b"}},
		{"a/", "a/", []string{"a/x", "a/b/x"}, []string{"a/", "a/_x", "a/b/.x", "b/x", "a/b/"}},
		{"", "", []string{"x", "a/x"}, []string{"_x", "a/"}},
		{"a/x*.csv", "a/x", []string{"a/x.csv", "a/xyz.csv"}, []string{"a/x/y.csv", "a/x.csv.gz", "a/xcsv"}},
		{"a/**/x*", "a/", []string{"a/x", "a/b/x1", "a/b/c/x"}, []string{"a/b/y", "b/x", "a/bx"}},
		{"a**", "a", []string{"a", "a/b", "ab\nc"}, []string{"b", "a/"}},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil || p.prefix != c.prefix {
			t.Errorf("%q: prefix %q, %v; want %q", c.pattern, p.prefix, err, c.prefix)
		}
		for _, key := range append(slices.Clone(c.yes), c.no...) {
			if want := slices.Contains(c.yes, key); p.match(key) != want {
				t.Errorf("%q matches %q: %t, want %t", c.pattern, key, !want, want)
			}
		}
	}
}

// FuzzPattern checks that no pattern breaks anything, and that one without a star matches itself alone.
func FuzzPattern(f *testing.F) {
	f.Add("a/**/b*.csv", "a/x/b1.csv")
	f.Add("a/b.csv", "a/b.csv")
	f.Add("a/***", "")
	f.Fuzz(func(t *testing.T, text, key string) {
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		if p.match(key) && (!strings.HasPrefix(key, p.prefix) || p.one && key != text) {
			t.Errorf("%q matches %q", text, key)
		}
	})
}

// FuzzParsePosition checks that what is taken is written the same way again.
func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{`{"done":{"a":"1"},"key":"b","stamp":"2","rows":3}`, `{"rows":1}`, `{}x`, `null`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := parsePosition(in)
		if err != nil {
			if !errors.Is(err, source.ErrOptions) {
				t.Errorf("%q: %v, want ErrOptions", in, err)
			}
			return
		}
		if again, err := parsePosition(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%q: %s, and again %s, %v", in, p.String(), again.String(), err)
		}
	})
}

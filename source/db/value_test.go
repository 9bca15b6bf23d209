package db

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

func TestAppendValue(t *testing.T) {
	for in, want := range map[string]string{
		"2024-01-02 03:04:05":           "2024-01-02T03:04:05Z",
		"2024-01-02 03:04:05.000001+00": "2024-01-02T03:04:05.000001Z",
		"2024-01-02 03:04:05+00":        "2024-01-02T03:04:05Z",
		"2024-01-02 03:04:05+05:30":     "2024-01-02 03:04:05+05:30",
		"2024-01-02 03:04:05.":          "2024-01-02 03:04:05.",
		"2024-01-02":                    "2024-01-02",
		"12024-01-02 03:04:05":          "12024-01-02 03:04:05",
		"0044-03-15 00:00:00 BC":        "0044-03-15 00:00:00 BC",
		"infinity":                      "infinity",
		"":                              "",
	} {
		if got := string(appendValue(nil, []byte(in), moment)); got != want {
			t.Errorf("moment %q: %q, want %q", in, got, want)
		}
	}
	if got := string(appendValue([]byte("x"), []byte("t"), truth)) + string(appendValue(nil, []byte("f"), truth)); got != "xtruefalse" {
		t.Errorf("t and f: %q", got)
	}
}

// FuzzAppendValue checks that what is written as a moment is one of RFC 3339 with the same digits, or as it was.
func FuzzAppendValue(f *testing.F) {
	for _, s := range []string{"2024-01-02 03:04:05.5+00", "2024-01-02 03:04:05", "infinity", "2024-01-02 03:04:05."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := string(appendValue(nil, []byte(in), moment))
		if got == in {
			return
		}
		back := strings.Replace(strings.TrimSuffix(got, "Z"), "T", " ", 1)
		if in != back && in != back+"+00" {
			t.Errorf("%q became %q", in, got)
		}
		if _, err := time.Parse("2006-01-02 15:04:05", back); err == nil {
			if _, err := time.Parse(time.RFC3339, got); err != nil {
				t.Errorf("%q became %q: %v", in, got, err)
			}
		}
	})
}

// FuzzParsePosition checks that what is taken is written the same way again.
func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{`{"at":["2024-01-02 03:04:05","7"],"rows":[1,18446744073709551615]}`, `{"at":[]}`, `{"at":["a"]}{}`, `null`, ``} {
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
		again, err := parsePosition(p.String())
		if err != nil || again.String() != p.String() || len(p.At) == 0 {
			t.Errorf("%q: %s, and again %s, %v", in, p, again, err)
		}
	})
}

func TestMySQLConfig(t *testing.T) {
	t.Setenv("MYSQL_PWD", "from the environment")
	for address, want := range map[string]struct{ net, addr, tls, password, err string }{
		"mysql://u:p@h/db":                 {"tcp", "h:3306", "preferred", "p", ""},
		"mysql://u@h:7/db?tls=true":        {"tcp", "h:7", "true", "from the environment", ""},
		"mysql://u@localhost/db?socket=/s": {"unix", "/s", "false", "from the environment", ""},
		"mysql://u@h/db?tls=perhaps":       {err: "want true, false, preferred or skip-verify"},
		"mysql://u@h/db?charset=x":         {err: `parameter "charset" of the URL; want tls or socket`},
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := mySQLConfig(u, &source.Remote{})
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) {
				t.Errorf("%s: %v, want %q", address, err, want.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if cfg.Net != want.net || cfg.Addr != want.addr || cfg.TLSConfig != want.tls || cfg.Passwd != want.password || cfg.DBName != "db" {
			t.Errorf("%s: %s %s, tls %s, password %q, database %s", address, cfg.Net, cfg.Addr, cfg.TLSConfig, cfg.Passwd, cfg.DBName)
		}
		if want.tls == "true" && (cfg.TLS == nil || cfg.TLS.ServerName != "h") {
			t.Errorf("%s: the name of the server is not checked", address)
		}
	}
}

func TestMySQLCondition(t *testing.T) {
	condition, args := new(mySQL).from([]column{{name: "a", typ: "UNSIGNED BIGINT"}, {name: "b`c", typ: "DECIMAL"}, {name: "d", typ: "VARCHAR"}}, []string{"18446744073709551615", "1.50", "x"})
	want := "`a` >= ? AND (`a` > ? OR `b``c` >= CAST(? AS DECIMAL(65, 30)) AND (`b``c` > CAST(? AS DECIMAL(65, 30)) OR `d` >= ?))"
	if condition != want || !cmp.Equal(args, []any{uint64(18446744073709551615), uint64(18446744073709551615), "1.50", "1.50", "x"}) {
		t.Errorf("%s with %v; want %s", condition, args, want)
	}
}

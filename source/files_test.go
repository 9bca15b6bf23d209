package source_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/source"
)

// tree makes files below a new folder and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFiles(t *testing.T) {
	dir := tree(t, map[string]string{
		"in/b.csv": "", "in/a.csv": "", "in/c.jsonl.zst": "", "in/.hidden.csv": "", "in/readme.md": "", "in/sub/d.csv": "", "in/sub/deep/e.csv": "",
		"in/.git/f.csv": "", "in/x[1].csv": "", "out/secret.csv": "", "in/.dir.csv/g.csv": "",
	})
	for link, to := range map[string]string{"in/link.csv": "../out/secret.csv", "in/near.csv": "sub/d.csv", "in/gone.csv": "nowhere", "in/dir.csv": "../out", "alias": "in"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skipf("no links here: %v", err)
		}
	}
	tests := []struct {
		path  string
		want  string
		notes string
	}{
		{"in", "a.csv b.csv c.jsonl.zst near.csv x[1].csv", "dir.csv gone.csv link.csv"},
		{"in/*.csv", "a.csv b.csv near.csv x[1].csv", "dir.csv gone.csv link.csv"},
		{"alias/[ab].csv", "a.csv b.csv", ""},
		{"in/**/*.csv", "a.csv b.csv near.csv sub/d.csv sub/deep/e.csv x[1].csv", "dir.csv gone.csv link.csv"},
		{"in/**/d*/*.csv", "sub/deep/e.csv", ""},
		{"in/*/d.csv", "sub/d.csv", ""},
		{"in/sub/**", "d.csv deep/e.csv", ""},
		{"out/../in/sub/../?.csv", "a.csv b.csv", ""},
		{"in/s*/../b.csv", "-", ""}, // resolved before it is a pattern
		{"in/.h*", ".hidden.csv", ""},
		{"in/x[1].csv", "-", ""},
		{"*/secret.csv", "out/secret.csv", ""},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			var notes []string
			files, many, err := source.Files(dir+"/"+tt.path, func(s string) {
				name, _, _ := strings.Cut(s, " ")
				notes = append(notes, filepath.Base(name))
			})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "-" {
				if many || len(files) != 1 || files[0].Name != "" {
					t.Errorf("got %+v; want the file itself", files)
				}
				return
			}
			var names []string
			for _, f := range files {
				names = append(names, f.Name)
				if _, err := os.Stat(f.Path); err != nil {
					t.Error(err)
				}
			}
			if got := strings.Join(names, " "); got != tt.want || !many {
				t.Errorf("got %s; want %s", got, tt.want)
			}
			if got := strings.Join(notes, " "); got != tt.notes {
				t.Errorf("left out %s; want %s", got, tt.notes)
			}
		})
	}
	for path, want := range map[string]string{"in/*.xml": "*.xml", "none/*.csv": "none", "in/[": "pattern", "in/sub/deep/.*": "matches"} {
		if _, _, err := source.Files(dir+"/"+path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestManyFiles(t *testing.T) {
	three := tree(t, map[string]string{"0.csv": "", "a.csv": "user,item,n\nu1,i1,1\nu2,i2\n", "b.csv": "n;x;ITEM;User\n2;0;i3;u3\n", "c.csv": ""})
	lines := tree(t, map[string]string{"a.jsonl": `{"user":"u","item":"i"}` + "\n", "b.jsonl": `{"item":"j","x":1,"user":"v"}` + "\n" + `{"item":"k"}`})
	tests := []struct {
		name, path string
		o          source.Options
		choose     []int
		want       []string
	}{
		{name: "columns by name", path: tree(t, map[string]string{"a.csv": "user,item,n\nu1,i1,1\nu2,i2\n", "b.csv": "n,x,ITEM,User\n2,0,i3,u3\n", "e.csv": ""}), want: []string{"a.csv:2 u1|i1|1", "a.csv:3!", "b.csv:2 u3|i3|2"}},
		{name: "another separator", path: three, want: []string{"a.csv:2 u1|i1|1", "a.csv:3!", "error"}},
		{name: "another separator, ragged", path: three, o: source.Options{Ragged: true}, want: []string{"a.csv:2 u1|i1|1", "a.csv:3 u2|i2", "error"}},
		{name: "no header", path: tree(t, map[string]string{"a.csv": "1,2\n", "b.csv": "user,item\n3,4\n"}), want: []string{"a.csv:1 1|2", "b.csv:1 user|item", "b.csv:2 3|4"}},
		{name: "a column is missing", path: tree(t, map[string]string{"a.csv": "user,item\n1,2\n", "b.csv": "user\n3\n"}), want: []string{"a.csv:2 1|2", "error"}},
		{name: "that is not needed", path: tree(t, map[string]string{"a.csv": "user,item\n1,2\n", "b.csv": "x,user\n3,4\n"}), choose: []int{0, -1}, want: []string{"a.csv:2 1|2", "b.csv:2 4|"}},
		{name: "kinds", path: tree(t, map[string]string{"a.csv": "user,item\n1,2\n", "b.jsonl": "{\"user\":1}\n"}), want: []string{"a.csv:2 1|2", "error"}},
		{name: "JSON lines", path: lines, want: []string{"a.jsonl:1 u|i", "b.jsonl:1 v|j", "b.jsonl:2 |k"}},
		{name: "damage", path: tree(t, map[string]string{"a.csv.gz": zip(t, "user,item\n1,2\n"), "b.csv.gz": zip(t, "user,item\n1,2\n")[:30]}), want: []string{"a.csv.gz:2 1|2", "error"}},
		{name: "all empty", path: tree(t, map[string]string{"a.csv": "", "b.csv": ""})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.KnownName = known
			r, err := source.Open(t.Context(), tt.path, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if tt.choose != nil {
				r.Select(tt.choose...)
			}
			peeked := len(r.Peek(2))
			var got []string
			for {
				rec, err := r.Next()
				var bad *source.RowError
				switch {
				case errors.As(err, &bad):
					got = append(got, fmt.Sprintf("%s:%d!", r.File(), bad.Line))
					continue
				case err == nil:
					got = append(got, fmt.Sprintf("%s:%d %s", rec.File, rec.Line, fieldsOf(rec)))
					if rec.File != r.File() {
						t.Errorf("record of %s while reading %s", rec.File, r.File())
					}
					continue
				case !errors.Is(err, io.EOF):
					t.Log(err)
					got = append(got, "error")
				}
				break
			}
			if !cmp.Equal(got, tt.want) {
				t.Errorf("peeked %d: %s", peeked, cmp.Diff(tt.want, got))
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func fieldsOf(rec source.Record) string {
	var out []string
	for _, f := range rec.Fields {
		out = append(out, string(f))
	}
	return strings.Join(out, "|")
}

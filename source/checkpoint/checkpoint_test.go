package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kith-io/kith/source"
)

// run is one ingestion of a test.
func run(t *testing.T, path, target, reading string) (s *Store, notes *[]string) {
	t.Helper()
	notes = new([]string)
	s, err := Open(path, target, reading, time.Hour, func(text string) { *notes = append(*notes, text) })
	if err != nil {
		t.Fatal(err)
	}
	return s, notes
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func done(t *testing.T, p *Part, n int) {
	t.Helper()
	if err := p.Done(n); err != nil {
		t.Fatal(err)
	}
}

// TestOrder: a position counts when everything before it is done, whatever is done first.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	path, data := filepath.Join(dir, "state"), filepath.Join(dir, "a.csv")
	write(t, data, strings.Repeat("1,2\n", 100))
	at := func(rows int64) []source.Position { return []source.Position{{Offset: 4 * rows, Line: rows + 1}} }
	s, _ := run(t, path, "c", "r")
	if p, err := s.Begin("a", "", data); err != nil || p != (source.Position{}) {
		t.Fatalf("got %+v, %v", p, err)
	}
	first, second, third := s.Add("a", 10, at(10)), s.Add("a", 10, at(20)), s.Add("a", 10, at(30))
	s.Add("a", 0, at(31))
	where := func(want int64) {
		t.Helper()
		if err := s.Save(); err != nil {
			t.Fatal(err)
		}
		again, _ := run(t, path, "c", "r")
		p, err := again.Begin("a", "", data)
		if wantAt := at(want)[0]; err != nil || p != wantAt && (want > 0 || p != source.Position{}) {
			t.Errorf("got %+v, %v; want row %d", p, err, want)
		}
	}
	where(0)
	done(t, second, 10)
	done(t, first, 9)
	where(0)
	done(t, first, 1)
	where(20)
	done(t, third, 10)
	where(31)
	if len(s.parts) != 0 {
		t.Errorf("%d parts are left", len(s.parts))
	}
}

// TestKnowAgain: what is grown goes on, what is another file begins anew, and so does everything under another meaning.
func TestKnowAgain(t *testing.T) {
	var b strings.Builder
	for i := range 20000 { // more than both fingerprints
		fmt.Fprintf(&b, "%07d\n", i)
	}
	long := b.String()
	tests := []struct {
		name            string
		change          string
		touch           bool
		target, reading string
		begin           bool
		notes           int
	}{
		{name: "the same", change: long},
		{name: "grown", change: long + "more\n"},
		{name: "touched", change: long, touch: true, begin: true, notes: 1},
		{name: "shorter", change: long[8:], begin: true, notes: 1},
		{name: "another beginning", change: "x" + long + "y", begin: true, notes: 1},
		{name: "rows put in", change: long[:80000] + "7654321\n" + long[80000:], begin: true, notes: 1},
		{name: "another cluster", change: long, target: "d", begin: true, notes: 1},
		{name: "another mapping", change: long, reading: "s", begin: true, notes: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path, data := filepath.Join(dir, "state"), filepath.Join(dir, "a.csv")
			write(t, data, long)
			when := time.Now().Add(-time.Hour)
			if err := os.Chtimes(data, when, when); err != nil {
				t.Fatal(err)
			}
			s, _ := run(t, path, "c", "r")
			if _, err := s.Begin("a", "f", data); err != nil {
				t.Fatal(err)
			}
			want := source.Position{File: "f", Offset: 80, Line: 11}
			done(t, s.Add("a", 5, []source.Position{want}), 5)
			if err := s.Save(); err != nil {
				t.Fatal(err)
			}
			if tt.change != long {
				write(t, data, tt.change)
			} else if tt.touch {
				if err := os.Chtimes(data, time.Now(), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			if tt.target == "" {
				tt.target = "c"
			}
			if tt.reading == "" {
				tt.reading = "r"
			}
			s, notes := run(t, path, tt.target, tt.reading)
			if tt.begin {
				want = source.Position{}
			}
			if got, err := s.Begin("a", "f", data); err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
			if len(*notes) != tt.notes {
				t.Errorf("notes %q; want %d", *notes, tt.notes)
			}
		})
	}
}

// TestService: the position of a service counts when everything before it is done, and as long as it is the same service. That of one which keeps
// it itself is not in the file.
func TestService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	at := func(n int) []source.Position { return []source.Position{{Service: fmt.Sprint(n)}} }
	s, notes := run(t, path, "c", "r")
	if got := s.Resume("a", "table"); got != "" || s.Acknowledged("a") != "" {
		t.Errorf("a new service goes on at %q", got)
	}
	first, second := s.Add("a", 10, at(10)), s.Add("a", 10, at(20))
	queue := s.Add("q", 1, at(7))
	s.Add("a", 0, nil)
	done(t, second, 10)
	done(t, queue, 1)
	if got := s.Acknowledged("a") + s.Acknowledged("q"); got != "" {
		t.Errorf("acknowledged up to %s, and the first part is not done", got)
	}
	done(t, first, 10)
	if a, q := s.Acknowledged("a"), s.Acknowledged("q"); a != "20" || q != "7" {
		t.Errorf("acknowledged up to %s and %s, want 20 and 7", a, q)
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	again := func(name, what, want string) {
		t.Helper()
		s, notes = run(t, path, "c", "r")
		if got := s.Resume(name, what); got != want {
			t.Errorf("%s of %s goes on at %q, want %q", name, what, got, want)
		}
	}
	again("a", "table", "20")
	again("q", "topic", "")
	if len(*notes) != 0 {
		t.Errorf("notes %q", *notes)
	}
	again("a", "another table", "")
	if len(*notes) != 1 {
		t.Errorf("notes %q, want one that it is another service", *notes)
	}
}

// TestVersionBefore reads a file that a program wrote which knew no services.
func TestVersionBefore(t *testing.T) {
	dir := t.TempDir()
	path, data := filepath.Join(dir, "state"), filepath.Join(dir, "a.csv")
	write(t, data, "1,2\n3,4\n")
	s, _ := run(t, path, "c", "r")
	if _, err := s.Begin("a", "", data); err != nil {
		t.Fatal(err)
	}
	want := source.Position{Offset: 4, Line: 2}
	done(t, s.Add("a", 1, []source.Position{want}), 1)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(now), "services") {
		t.Fatalf("a state without services is %s, %v", now, err)
	}
	write(t, path, strings.Replace(string(now), `"version": 2`, `"version": 1`, 1))
	s, notes := run(t, path, "c", "r")
	if got, err := s.Begin("a", "", data); err != nil || got != want || len(*notes) > 0 {
		t.Errorf("got %+v, %v, notes %q; want %+v", got, err, *notes, want)
	}
	if got := s.Resume("b", "table"); got != "" {
		t.Errorf("a service goes on at %q", got)
	}
	done(t, s.Add("b", 1, []source.Position{{Service: "x"}}), 1)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	s, _ = run(t, path, "c", "r")
	if got := s.Resume("b", "table"); got != "x" {
		t.Errorf("after the first run by this version a service goes on at %q, want x", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"", "x", "{}", `{"version":0,"files":{}}`, `{"version":99}`} {
		write(t, path, text)
		if _, err := Open(path, "c", "r", time.Second, nil); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%q: got %v", text, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q was written over: %q, %v", text, got, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "no", "state"), "c", "r", time.Second, nil); err == nil {
		t.Error("a file in a folder that is not there was taken")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

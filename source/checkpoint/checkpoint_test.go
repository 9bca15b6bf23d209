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

package audit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kith-io/kith/audit"
)

// read returns the acts of a file, each line of which must be an entry.
func read(t *testing.T, path string) (acts []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v in %q", path, err, line)
		}
		acts = append(acts, e.Act)
	}
	return acts
}

func TestLogGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	path := filepath.Join(dir, audit.Name)
	for i := range 3 {
		l, err := audit.Open(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Write(audit.Entry{Time: time.Now(), Node: "a", Act: fmt.Sprint(i), Outcome: "OK"}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Write(audit.Entry{}); err == nil {
			t.Error("a closed log takes entries")
		}
	}
	if got := fmt.Sprint(read(t, path)); got != "[0 1 2]" {
		t.Errorf("acts are %s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	// What a crash cut off stays, on a line of its own.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"time":`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	l, err := audit.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.Write(audit.Entry{Act: "after"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if lines := strings.Split(strings.TrimSpace(string(b)), "\n"); err != nil || len(lines) != 5 || !strings.Contains(lines[4], `"after"`) {
		t.Errorf("got %q, %v", lines, err)
	}
}

// TestFilesTurn writes more than the files that are kept take, from several goroutines.
func TestFilesTurn(t *testing.T) {
	dir := t.TempDir()
	const size, writers, each = 2000, 4, 50
	l, err := audit.Open(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := l.Write(audit.Entry{Act: fmt.Sprintf("%d-%d", w, i), Node: strings.Repeat("n", 20)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files, %v; want the one that is written and 9 before", len(files), err)
	}
	seen, last := map[string]bool{}, map[string]int{}
	for i := len(files) - 1; i >= 0; i-- { // the oldest first
		path := filepath.Join(dir, audit.Name)
		if i > 0 {
			path = fmt.Sprintf("%s.%d", path, i)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() > size {
			t.Errorf("%s has %d bytes, %v; want %d at most", path, info.Size(), err, size)
		}
		for _, act := range read(t, path) {
			w, n, _ := strings.Cut(act, "-")
			var at int
			if _, err := fmt.Sscan(n, &at); err != nil || seen[act] || at < last[w] {
				t.Fatalf("%s: act %s comes twice or out of order", path, act)
			}
			seen[act], last[w] = true, at
		}
	}
	for w := range writers {
		if last[fmt.Sprint(w)] != each-1 {
			t.Errorf("the last act of writer %d is lost", w)
		}
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/server/clustertest"
)

// TestBackupRecords: products, profiles and what was deleted come to a cluster of another size, and nothing of who was erased does.
func TestBackupRecords(t *testing.T) {
	from := clustertest.Start(t, clustertest.Options{Servers: 1})
	addr := addrsOf(from)
	dir := t.TempDir()
	put := func(addr, command, key string, version int) string {
		t.Helper()
		file := filepath.Join(dir, "records.jsonl")
		line := fmt.Sprintf(`{"key":%q,"version":%d,"attributes":{"n":%d}}`, key, version, version)
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		return mustKith(t, command, "put", "--addr", addr, file)
	}
	events := shopHistory(5, 10, 8)
	from.Append(0, events)
	for n := range 40 {
		put(addr, "products", fmt.Sprintf("p%02d", n), n)
	}
	for n := range 5 {
		put(addr, "users", fmt.Sprintf("u%03d", n), 1)
	}
	mustKith(t, "products", "delete", "--addr", addr, "p07")
	mustKith(t, "erase", "--addr", addr, "u002")
	mustKith(t, "users", "join", "u004", "u003", "--addr", addr)

	file := filepath.Join(dir, "shop.kith")
	saved := mustJSON[jsonBackup](t, "cluster", "backup", "--addr", addr, file)
	if saved.Events != 32 || saved.Products != 40 || saved.Profiles != 4 || saved.Joined != 1 {
		t.Errorf("saved %+v, want 32 events, 40 products with the deleted one, 4 profiles and a joined key", saved)
	}
	to := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 7})
	got := mustJSON[jsonRestore](t, "cluster", "restore", "--addr", addrsOf(to), file)
	if got.Appended != 32 || got.Records != (recordCounts{Changed: 44}) || got.Joined.Keys != 1 {
		t.Errorf("restored %+v, want 32 events, 44 records and a joined key", got)
	}
	if told := mustKith(t, "users", "join", "u004", "u003", "--addr", addrsOf(to)); !strings.Contains(told, "already") {
		t.Errorf("join after a restore: %s", told)
	}
	for _, kind := range []string{"products", "users"} {
		before := lines(mustKith(t, kind, "list", "--addr", addr, "-n", "0", "-o", "json"))
		after := lines(mustKith(t, kind, "list", "--addr", addrsOf(to), "-n", "0", "-o", "json"))
		if len(before) == 0 || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%s were %v, are %v", kind, before, after)
		}
		for line := range after {
			if strings.Contains(line, "u002") || strings.Contains(line, "p07") {
				t.Errorf("%s has come back", line)
			}
		}
	}
	if got := put(addrsOf(to), "products", "p07", 7); !strings.HasPrefix(got, "0 products stored") {
		t.Errorf("the deleted product came back: %s", got)
	}
	refused := kith(t, nil, "cluster", "restore", "--addr", addrsOf(to), file)
	if refused.code != exitError || !strings.Contains(refused.err, "39 products and 4 profiles already") {
		t.Errorf("without --merge: exit code %d: %s", refused.code, refused.err)
	}
	// A backup from before an erasure does not bring the user back.
	mustKith(t, "erase", "--addr", addrsOf(to), "u001")
	again := mustJSON[jsonRestore](t, "cluster", "restore", "--merge", "--addr", addrsOf(to), file)
	if again.Erased != 8 || again.Records != (recordCounts{Unchanged: 43, Erased: 1}) {
		t.Errorf("restored again %+v, want 8 events and a profile refused", again)
	}
}

func lines(text string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(text) {
		out[line] = true
	}
	return out
}

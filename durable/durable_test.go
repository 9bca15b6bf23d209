package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kith-io/kith/durable"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, text := range []string{"first, and long", "second", ""} {
		if err := durable.Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("got %q, %v; want %q", b, err, text)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
	if err := durable.Replace(filepath.Join(dir, "none", "file"), nil, 0o640); err == nil {
		t.Error("no error without a folder")
	}
	if err := durable.SyncDir(filepath.Join(dir, "none")); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

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

func TestSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	look := func() os.FileInfo {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if err := os.WriteFile(path, []byte("first"), 0o640); err != nil {
		t.Fatal(err)
	}
	first := look()
	if !durable.Same(first, look()) {
		t.Error("a file that nobody touched has changed")
	}
	if !durable.Same(nil, nil) || durable.Same(first, nil) || durable.Same(nil, first) {
		t.Error("a file that is missing is the same as itself alone")
	}
	old := first.ModTime()
	for what, change := range map[string]func() error{
		"replaced":  func() error { return durable.Replace(path, []byte("other"), 0o640) },
		"longer":    func() error { return os.WriteFile(path, []byte("longer"), 0o640) },
		"later":     func() error { return os.Chtimes(path, old, old.Add(time.Second)) },
		"made anew": func() error { return os.Rename(path+".new", path) },
	} {
		if err := os.WriteFile(path+".new", []byte("first"), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(path, []byte("first"), 0o640), os.Chtimes(path, old, old), os.Chtimes(path+".new", old, old)); err != nil {
			t.Fatal(err)
		}
		before := look()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if what != "later" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		if durable.Same(before, look()) {
			t.Errorf("%s: it seems to be the same", what)
		}
	}
}

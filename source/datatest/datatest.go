// Package datatest finds the public data sets that tests read. They are not part of the project.
package datatest

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the folder of the data sets, as an absolute path: that of the environment variable KITH_DATA, or shared/data beside the checkout. Where there is
// none the test is skipped.
func Dir(t testing.TB) string {
	t.Helper()
	return File(t, ".")
}

// File returns the path of a file or folder of the data sets, and skips the test where it is not.
func File(t testing.TB, path string) string {
	t.Helper()
	dir := os.Getenv("KITH_DATA")
	if dir == "" {
		dir = filepath.Join(root(t), "..", "shared", "data")
	}
	path, err := filepath.Abs(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no data sets: %v; set KITH_DATA to their folder", err)
	}
	return path
}

// root returns the folder of the module, in which or below which tests run.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the folder of the test")
		}
		dir = up
	}
}

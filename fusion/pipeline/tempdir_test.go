package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestTempDirOfKilledRun: the next run removes the files of one that was killed, and leaves those of one that goes on, and what is not of a run.
func TestTempDirOfKilledRun(t *testing.T) {
	parent := t.TempDir()
	alive, removeAlive, err := tempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	spool := filepath.Join(alive, "users", "spool")
	other := filepath.Join(parent, tempPrefix+"other")
	killed := filepath.Join(parent, tempPrefix+"killed")
	for _, file := range []string{spool, filepath.Join(other, "file"), filepath.Join(killed, "users", "spool"), filepath.Join(killed, lockFile)} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("personal"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next, removeNext, err := tempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the files of a killed run: %v", err)
	}
	for _, file := range []string{spool, filepath.Join(other, "file"), next} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(removeAlive(), removeNext()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(parent); len(left) != 1 || left[0].Name() != filepath.Base(other) {
		t.Errorf("left: %v", left)
	}
	if _, _, err := tempDir(filepath.Join(parent, "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

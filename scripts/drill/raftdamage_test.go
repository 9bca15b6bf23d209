//go:build linux

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raftFolder makes a folder of a server with the files of two raft groups.
func raftFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, group := range []string{"partitions/00003/raft", "control"} {
		for name, content := range map[string]string{
			"wal/0001.wal": strings.Repeat("entry ", 100) + strings.Repeat("\x00", 1000), "wal/meta-0": "term 7", "wal/meta-1": "term 6", "tail": "000000000042",
			"snapshots/2-40-1700000000000/state.bin": "state", "snapshots/2-40-1700000000000/meta.json": "{}",
		} {
			path := filepath.Join(dir, group, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestDamageRaft(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for what, patterns := range raftFiles {
		for range 20 {
			dir := raftFolder(t)
			f := &corruptedRaft{what: what, who: &process{dir: dir}, copy: filepath.Join(t.TempDir(), "copy")}
			if err := f.damage(rng); err != nil {
				t.Fatal(err)
			}
			matches := false
			for _, pattern := range patterns {
				ok, err := filepath.Match(filepath.Join(f.group, pattern), f.path)
				matches = matches || err == nil && ok
			}
			if !matches || !strings.HasPrefix(f.group, dir) {
				t.Fatalf("%s: damaged %s of %s", what, f.path, f.group)
			}
			content := func() []byte {
				t.Helper()
				b, err := os.ReadFile(f.path)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			inFile, err := filepath.Rel(f.group, f.path)
			if err != nil {
				t.Fatal(err)
			}
			good, err := os.ReadFile(filepath.Join(f.copy, inFile))
			if err != nil {
				t.Fatal(err)
			}
			differ := 0
			for i, b := range content() {
				if b != good[i] {
					differ++
				}
			}
			used := len(bytes.TrimRight(good, "\x00"))
			if differ == 0 || differ > 16 || f.from >= used || len(content()) != len(good) {
				t.Errorf("%s: %d bytes from %d of %d differ, want 1 to 16", f.path, differ, f.from, used)
			}
			if left, err := f.damaged(); !left || err != nil {
				t.Errorf("%s is said to be undamaged: %v", f.path, err)
			}
			// The file may have grown before the bytes are put back.
			if err := f.put(f.good); err != nil || !bytes.Equal(content(), good) {
				t.Errorf("%s: the bytes put back give %q: %v", f.path, content(), err)
			}
			if left, err := f.damaged(); left || err != nil {
				t.Errorf("%s is said to be damaged: %v", f.path, err)
			}
			if err := os.RemoveAll(f.path); err != nil {
				t.Fatal(err)
			}
			if left, err := f.damaged(); left || err != nil {
				t.Errorf("%s is gone and said to be damaged: %v", f.path, err)
			}
			if err := f.putBack(); err != nil || !bytes.Equal(content(), good) {
				t.Errorf("%s: the folder put back has %q: %v", f.path, content(), err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	before := "level=ERROR msg=\"replica does not start\" partition=1\n"
	f := &corruptedRaft{who: &process{log: log}, log: int64(len(before))}
	for text, want := range map[string]string{
		before:                              "",
		before + "level=INFO msg=serving\n": "",
		before + "level=INFO msg=serving\nlevel=ERROR msg=\"replica does not start\" partition=3\n": `level=ERROR msg="replica does not start" partition=3`,
	} {
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := f.refused(); got != want {
			t.Errorf("of %q: %q, want %q", text, got, want)
		}
	}
}

func TestLastError(t *testing.T) {
	for end, want := range map[string]string{
		"level=INFO msg=a\n":                                               "level=INFO msg=a",
		"level=ERROR msg=a\nlevel=INFO msg=b\n":                            "level=ERROR msg=a",
		"level=ERROR msg=a\nkith server: start: no\nlevel=INFO msg=b\n":    "kith server: start: no",
		"level=ERROR msg=a\nlevel=WARN msg=stopped reason=b\n":             "level=WARN msg=stopped reason=b",
		"kith cluster restore: no\n":                                       "kith cluster restore: no",
		"level=ERROR msg=a\npanic: no\n\ngoroutine 1 [running]:\nmain()\n": "panic: no",
	} {
		p := &process{log: filepath.Join(t.TempDir(), "log")}
		if err := os.WriteFile(p.log, []byte(end), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.lastError(); got.Error() != want {
			t.Errorf("of %q: %q, want %q", end, got, want)
		}
	}
}

//go:build linux

package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dataFolder makes a folder like that of a server, and returns it with a path of each sort of file.
func dataFolder(t *testing.T) (dir, table, model string) {
	t.Helper()
	dir = t.TempDir()
	write := func(content string, path ...string) string {
		t.Helper()
		file := filepath.Join(append([]string{dir}, path...)...)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("n1\n", "node-id")
	write("MANIFEST", "partitions", "00000", "events", "data-000001", "MANIFEST-000001")
	write("a raft log", "partitions", "00000", "raft", "wal", "1.sst")
	table = write("a table of an event store", "partitions", "00000", "events", "data-000001", "000007.sst")
	write("", "models", "7", "empty")
	write("an older version", "models", "6", "lists-00000")
	model = write("the lists of a model version", "models", "7", "lists-00000")
	return dir, table, model
}

func TestDamage(t *testing.T) {
	dir, table, model := dataFolder(t)
	for what, want := range map[string]string{storeFile: table, modelFile: model} {
		found, err := files(dir, what)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, found); diff != "" {
			t.Errorf("files of %s (-want +got):\n%s", what, diff)
		}
		good, err := os.ReadFile(want)
		if err != nil {
			t.Fatal(err)
		}
		f := &corrupted{what: what, who: &process{dir: dir}}
		if err := f.damage(rand.New(rand.NewPCG(1, 1))); err != nil {
			t.Fatal(err)
		}
		now := func() []byte {
			t.Helper()
			b, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		differ := 0
		for i, b := range now() {
			if b != good[i] {
				differ++
			}
		}
		if differ != 16 || len(now()) != len(good) {
			t.Errorf("%s: %d bytes differ, want 16 of the same length", what, differ)
		}
		if err := f.restore(); err != nil || !bytes.Equal(now(), good) {
			t.Errorf("%s: restored %q, error %v", what, now(), err)
		}
		// What the server has put there meanwhile is not touched, and what it has removed does not come back.
		if err := os.WriteFile(want, []byte("repaired"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.restore(); err != nil || string(now()) != "repaired" {
			t.Errorf("%s: restored %q over a repaired file, error %v", what, now(), err)
		}
		if err := os.Remove(want); err != nil {
			t.Fatal(err)
		}
		if err := f.restore(); err != nil {
			t.Errorf("%s: restore of what is gone: %v", what, err)
		}
		if _, err := os.Stat(want); !os.IsNotExist(err) {
			t.Errorf("%s: what was gone is back (%v)", what, err)
		}
	}
	empty := &corrupted{what: storeFile, who: &process{dir: t.TempDir()}}
	if err := empty.damage(rand.New(rand.NewPCG(1, 1))); err != nil || empty.path != "" {
		t.Errorf("of an empty folder: path %q, error %v", empty.path, err)
	}
}

func TestNamed(t *testing.T) {
	f := &corrupted{path: "/data/partitions/00003/events/data-000001/000007.sst"}
	for text, want := range map[string]bool{
		"kith: /data/partitions/00003/events/data-000001/000007.sst: checksum":   true,
		"kith: table 000007.sst is damaged":                                      true,
		"kith: event store /data/partitions/00003/events/data-000001 is damaged": true,
		"kith: event store /data/partitions/00003/events is damaged":             true,
		"kith: event store /data/partitions/00004/events is damaged":             false,
		"partition 3: data is corrupt: pebble: file 000007: checksum":            true,
		"kith: something is damaged":                                             false,
	} {
		if got := f.named(errors.New(text)); got != want {
			t.Errorf("named(%q) = %t, want %t", text, got, want)
		}
	}
}

package artifact

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/similarity"
)

// What a store has checked is not looked at again, but each opening compares the checksum; other content under the name is looked at.
func TestContentIsCheckedOnce(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	checks := 0
	parse := func(from *sections) (counted, error) {
		l, err := parseLists(from)
		return counted{l, &checks}, err
	}
	open := func() error {
		l, err := openIn(s, 1, ListsName(0), listsMagic, parse)
		if err != nil {
			return err
		}
		if list, ok := l.List(3); !ok || len(list) != 1 {
			t.Errorf("list of item 3 is %v, %v", list, ok)
		}
		return l.Close()
	}
	lists := &similarity.Lists{Start: []int64{0, 1}, Entries: []similarity.Neighbor{{ID: 4, Score: 1}}}
	if _, err := s.WriteLists(1, 0, []uint32{3}, lists); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := open(); err != nil || checks != 0 {
			t.Fatalf("what was written here: %v after %d checks", err, checks)
		}
	}
	path := s.Path(1, ListsName(0))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(file []byte) {
		t.Helper()
		if err := errors.Join(os.Remove(path), os.WriteFile(path, file, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range good {
		damaged := slices.Clone(good)
		damaged[i] ^= 1
		replace(damaged)
		if err := open(); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d damaged: %v", i, err)
		}
	}
	self := slices.Clone(good)
	self[len(self)-2*sumBytes] = 3 // the item itself
	binary.LittleEndian.PutUint64(self[len(self)-sumBytes:], xxhash.Sum64(self[:len(self)-sumBytes]))
	replace(self)
	checks = 0
	for range 2 {
		if err := open(); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("other content that is not valid: %v", err)
		}
	}
	if checks != 2 {
		t.Errorf("content that is not valid was looked at %d times, want 2", checks)
	}
	replace(good)
	if err := open(); err != nil || checks != 2 {
		t.Errorf("the first content again: %v after %d more checks", err, checks-2)
	}
	again, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s = again
	for range 2 {
		if err := open(); err != nil || checks != 3 {
			t.Errorf("what another process has written: %v after %d checks, want 1", err, checks-2)
		}
	}
	if err := s.Drop(1); err != nil {
		t.Fatal(err)
	}
	if len(s.checked.known) != 0 {
		t.Errorf("of a dropped version is known: %v", s.checked.known)
	}
}

type counted struct {
	*Lists
	checks *int
}

func (c counted) check() error {
	*c.checks++
	return c.Lists.check()
}

// Keys of users that come in runs of those of a file are those that come one by one.
func TestKeysOfUsers(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var k Keys
	rapid.Check(t, func(t *rapid.T) {
		users := slices.Sorted(slices.Values(rapid.SliceOfDistinct(rapid.String(), rapid.ID[string]).Draw(t, "users")))
		rows := &similarity.Rows{Start: make([]int64, len(users)+1)}
		want, err := s.WriteRows(1, 0, 0, users, rows)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.OpenRows(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		k.Reset()
		for at := 0; at < len(users); {
			to := rapid.IntRange(at, len(users)).Draw(t, "to")
			if k.AppendUsers(r, at, to); to < len(users) {
				k.Append(users[to])
				if place, ok := r.Place(users[to]); !ok || place != to {
					t.Fatalf("Place(%q) = %d, %v, want %d", users[to], place, ok, to)
				}
			}
			at = to + 1
		}
		if k.Len() != len(users) {
			t.Fatalf("%d keys, want %d", k.Len(), len(users))
		}
		if got, err := s.WriteRowsOf(1, 1, 0, &k, rows); err != nil || got.Checksum != want.Checksum {
			t.Fatalf("file of runs is %v, %v, want %v", got, err, want)
		}
	})
}

package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParseShare(t *testing.T) {
	for text, want := range map[string]Share{"1/1": {1, 1}, "2/3": {2, 3}, "1024/1024": {1024, 1024}} {
		if got, err := ParseShare(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "0/3", "4/3", "a/b", "1/1025", "-1/2", "1/2/3"} {
		if got, err := ParseShare(text); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// TestShares: of many files each is in one share, shares are about even, and a share without files has no rows.
func TestShares(t *testing.T) {
	dir := t.TempDir()
	const files, shares = 300, 3
	var want []string
	for i := range files {
		name := fmt.Sprintf("2024-%03d.csv", i)
		want = append(want, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte("user,item\nu,"+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(s Share) (got []string) {
		r, err := Open(t.Context(), dir, Options{Share: s, Header: HeaderYes})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}()
		for {
			rec, err := r.Next()
			if errors.Is(err, io.EOF) {
				return got
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(rec.Fields[1]))
		}
	}
	var all []string
	for part := range shares {
		got := read(Share{part + 1, shares})
		if len(got) < files/shares*3/4 || len(got) > files/shares*5/4 {
			t.Errorf("share %d has %d of %d files", part+1, len(got), files)
		}
		all = append(all, got...)
	}
	slices.Sort(all)
	if !slices.Equal(all, want) {
		t.Errorf("%d files in all shares, want each of %d once", len(all), files)
	}
	empty := 0
	for part := range maxShares {
		if _, err := Open(t.Context(), dir, Options{Share: Share{part + 1, maxShares}}); errors.Is(err, ErrNoShare) {
			empty++
		}
	}
	if empty < maxShares-files {
		t.Errorf("%d of %d shares are empty, of %d files", empty, maxShares, files)
	}
}

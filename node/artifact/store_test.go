package artifact_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/similarity"
)

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		name  string
		valid bool
	}{
		{artifact.DictionaryName, true},
		{artifact.ListsName(0), true},
		{artifact.ListsName(3), true},
		{artifact.RowsName(99_999), true},
		{artifact.RowsName(math.MaxUint32), true},
		{artifact.ModelName("covisit"), true},
		{artifact.ModelName("als-2"), true},
		{"model-", false},
		{"model-a/b", false},
		{"model-Als", false},
		{"model-a.tmp", false},
		{"model-" + strings.Repeat("a", 33), false},
		{"", false},
		{".", false},
		{"..", false},
		{"../x", false},
		{"/etc/passwd", false},
		{"dictionary/", false},
		{"lists-", false},
		{"lists-3", false},
		{"lists-00003.tmp", false},
		{"lists-00003-123.tmp", false},
		{"lists-+0003", false},
		{"lists-00003/../../x", false},
		{"lists-000003", false},
		{"rows-4294967296", false},
		{"pairs-00003", false},
		{artifact.RestName(3), true},
		{artifact.NormsName, true},
		{"rest-000003", false},
		{"rest-", false},
		{"norms-00003", false},
	} {
		if got := artifact.ValidName(tc.name); got != tc.valid {
			t.Errorf("ValidName(%q) = %v, want %v", tc.name, got, tc.valid)
		}
		s := openStore(t)
		f, err := s.Create(version, tc.name)
		if tc.valid {
			if err != nil {
				t.Errorf("Create(%q): %v", tc.name, err)
				continue
			}
			f.Abort()
			continue
		}
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create(%q): error is %v, want one that matches fs.ErrInvalid", tc.name, err)
		}
		if path := s.Path(version, tc.name); path != "" {
			t.Errorf("Path(%q) = %q, want none", tc.name, path)
		}
		if s.Has(version, artifact.Info{Name: tc.name}) {
			t.Errorf("Has(%q) = true", tc.name)
		}
		if _, err := s.Info(version, tc.name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Info(%q): error is %v, want one that matches fs.ErrNotExist", tc.name, err)
		}
	}
	if got, want := artifact.ListsName(3)+" "+artifact.RowsName(3)+" "+artifact.RestName(3), "lists-00003 rows-00003 rest-00003"; got != want {
		t.Errorf("names are %s, want %s", got, want)
	}
}

// TestShared: what only the node that made it may use is not copied, nor is anything that is no name.
func TestShared(t *testing.T) {
	for name, want := range map[string]bool{
		artifact.DictionaryName: true, artifact.ListsName(7): true, artifact.RowsName(7): true, artifact.ModelName("als"): true,
		artifact.RestName(7): false, artifact.NormsName: false, "": false, "../dictionary": false, "lists-7": false,
	} {
		if got := artifact.Shared(name); got != want {
			t.Errorf("Shared(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "models") // neither is there
	s := must(artifact.Open(dir))(t)
	must(s.WriteDictionary(42, nil, nil))(t)
	want := filepath.Join(dir, "00000000000000000042", "dictionary")
	if got := s.Path(42, artifact.DictionaryName); got != want {
		t.Errorf("Path = %s, want %s", got, want)
	}
	if _, err := os.Stat(want); err != nil {
		t.Error(err)
	}
}

// names returns the files of a version.
func names(t *testing.T, s *artifact.Store) []string {
	t.Helper()
	var out []string
	for _, e := range must(os.ReadDir(filepath.Dir(s.Path(version, artifact.DictionaryName))))(t) {
		out = append(out, e.Name())
	}
	return out
}

func TestCommit(t *testing.T) {
	text := []byte("not a dictionary, which only matters when it is opened")
	right := artifact.Info{Name: artifact.DictionaryName, SizeBytes: uint64(len(text)), Checksum: xxhash.Sum64(text)}
	wrongSize, wrongSum := right, right
	wrongSize.SizeBytes--
	wrongSum.Checksum++
	for _, tc := range []struct {
		name string
		want *artifact.Info
		ok   bool
	}{
		{"nothing wanted", nil, true},
		{"as wanted", &right, true},
		{"wrong size", &wrongSize, false},
		{"wrong checksum", &wrongSum, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := openStore(t)
			f := must(s.Create(version, artifact.DictionaryName))(t)
			defer f.Abort()
			for _, piece := range [][]byte{text[:5], nil, text[5:]} {
				if n, err := f.Write(piece); n != len(piece) || err != nil {
					t.Fatal(n, err)
				}
			}
			if s.Has(version, right) {
				t.Error("there before Commit")
			}
			info, err := f.Commit(tc.want)
			if tc.ok {
				if err != nil || info != right {
					t.Errorf("Commit = %v, %v, want %v", info, err, right)
				}
				if got := must(s.Info(version, artifact.DictionaryName))(t); got != right || !s.Has(version, right) {
					t.Errorf("Info = %v, Has = %v, want %v, true", got, s.Has(version, right), right)
				}
				if s.Has(version, wrongSize) {
					t.Errorf("Has(%v) = true", wrongSize)
				}
			} else {
				wantCorrupt(t, s.Path(version, artifact.DictionaryName), err)
				if left := names(t, s); len(left) > 0 {
					t.Errorf("files left: %q", left)
				}
			}
			f.Abort()
			if _, err := f.Commit(nil); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("second Commit: error is %v, want one that matches fs.ErrClosed", err)
			}
			if got := s.Has(version, right); got != tc.ok {
				t.Errorf("after Abort: Has = %v, want %v", got, tc.ok)
			}
		})
	}
}

func TestAbort(t *testing.T) {
	s := openStore(t)
	f := must(s.Create(version, artifact.RowsName(1)))(t)
	if _, err := f.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	f.Abort()
	if left := names(t, s); len(left) > 0 {
		t.Errorf("files left: %q", left)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write: error is %v, want one that matches fs.ErrClosed", err)
	}
}

func TestOpenRemovesLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := must(artifact.Open(dir))(t)
	kept := must(s.WriteDictionary(version, []string{"tea"}, []uint64{1}))(t)
	crashed := must(s.Create(version, artifact.ListsName(1)))(t)
	if _, err := crashed.Write([]byte("half of the")); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); len(got) != 2 {
		t.Fatalf("files are %q, want a dictionary and a temporary file", got)
	}
	s = must(artifact.Open(dir))(t)
	if got := names(t, s); !slices.Equal(got, []string{artifact.DictionaryName}) || !s.Has(version, kept) {
		t.Errorf("files are %q, want the dictionary", got)
	}
	crashed.Abort() // its file is gone
}

func TestVersions(t *testing.T) {
	dir := t.TempDir()
	s := must(artifact.Open(dir))(t)
	for _, v := range []uint64{300, 2, math.MaxUint64, 0} {
		must(s.WriteDictionary(v, nil, nil))(t)
	}
	for _, name := range []string{"4", "tmp", "0000000000000000000x", "99999999999999999999"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d", 5)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = must(artifact.Open(dir))(t)
	for range 2 { // the second time it is absent
		if err := s.Drop(2); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := must(s.Versions())(t), []uint64{0, 300, math.MaxUint64}; !slices.Equal(got, want) {
		t.Errorf("Versions = %d, want %d", got, want)
	}
}

// Writers of one file do not disturb each other, nor readers.
func TestConcurrentWriters(t *testing.T) {
	s := openStore(t)
	want := must(s.WriteLists(version, 1, []uint32{1}, &similarity.Lists{Start: []int64{0, 0}}))(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				info, err := s.WriteLists(version, 1, []uint32{1}, &similarity.Lists{Start: []int64{0, 0}})
				if err != nil || info != want {
					t.Errorf("WriteLists = %v, %v, want %v", info, err, want)
				}
				if err := useLists(s.Path(version, want.Name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := names(t, s); !slices.Equal(got, []string{want.Name}) {
		t.Errorf("files are %q, want %s", got, want.Name)
	}
}

// A copy by Create and Commit is the file.
func TestCopy(t *testing.T) {
	for _, k := range kinds {
		from, to := openStore(t), openStore(t)
		info := must(k.small(from))(t)
		f := must(to.Create(version, info.Name))(t)
		defer f.Abort()
		if _, err := f.Write(readFile(t, from.Path(version, info.Name))); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Commit(&info); got != info || err != nil {
			t.Errorf("%s: Commit = %v, %v, want %v", k.name, got, err, info)
		}
		if !bytes.Equal(readFile(t, to.Path(version, info.Name)), readFile(t, from.Path(version, info.Name))) {
			t.Errorf("%s: copy differs", k.name)
		}
	}
}

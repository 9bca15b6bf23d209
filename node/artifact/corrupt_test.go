package artifact_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/similarity"
)

// content writes a file of a kind and returns its bytes.
func content(t testing.TB, write func(*artifact.Store) (artifact.Info, error)) []byte {
	t.Helper()
	s := openStore(t)
	info := must(write(s))(t)
	return readFile(t, s.Path(version, info.Name))
}

// fixSum returns a copy of a file with the checksum that its other bytes have.
func fixSum(file []byte) []byte {
	out := slices.Clone(file)
	if at := len(out) - 8; at >= 0 {
		binary.LittleEndian.PutUint64(out[at:], xxhash.Sum64(out[:at]))
	}
	return out
}

// useBytes uses a file of the given bytes.
func useBytes(t testing.TB, k kind, path string, file []byte) error {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return k.use(path)
}

// wantCorrupt checks an error about the file at path.
func wantCorrupt(t testing.TB, path string, err error) {
	t.Helper()
	if !errors.Is(err, artifact.ErrCorrupt) || !errors.Is(err, similarity.ErrCorrupt) || errors.Is(err, similarity.ErrShape) ||
		!strings.Contains(err.Error(), path) {
		t.Fatalf("error is %v, want one that matches ErrCorrupt only and names %s", err, path)
	}
}

func TestDamageIsFound(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			file := content(t, k.small)
			path := filepath.Join(t.TempDir(), "file")
			for i := range file {
				for bit := range 8 {
					damaged := slices.Clone(file)
					damaged[i] ^= 1 << bit
					wantCorrupt(t, path, useBytes(t, k, path, damaged))
				}
			}
			for n := range file {
				wantCorrupt(t, path, useBytes(t, k, path, file[:n]))
				wantCorrupt(t, path, useBytes(t, k, path, file[n+1:]))
			}
			wantCorrupt(t, path, useBytes(t, k, path, append(slices.Clone(file), make([]byte, 8)...)))
			if err := useBytes(t, k, path, file); err != nil {
				t.Errorf("undamaged: %v", err)
			}
		})
	}
}

// With a right checksum, damage is found by the structure or can do no harm.
func TestStructureIsChecked(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			file := content(t, k.small)
			path := filepath.Join(t.TempDir(), "file")
			check := func(damaged []byte) {
				t.Helper()
				if err := useBytes(t, k, path, fixSum(damaged)); err != nil {
					wantCorrupt(t, path, err)
				}
			}
			for i := range file {
				for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff, file[i] - 1, file[i] + 1} {
					damaged := slices.Clone(file)
					damaged[i] = v
					check(damaged)
				}
			}
			for i := 0; i+8 <= len(file); i += 8 {
				for _, v := range []uint64{0, 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 61, 1<<63 - 1, 1<<64 - 1} {
					damaged := slices.Clone(file)
					binary.LittleEndian.PutUint64(damaged[i:], v)
					check(damaged)
				}
			}
			for n := range file {
				check(file[:n])
			}
		})
	}
}

// Each value is wrong in a way that some access or promise depends on. Offsets are those of the small files, by the layout.
func TestStructuralDamage(t *testing.T) {
	word := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	id := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	number := func(v float32) []byte { return id(math.Float32bits(v)) }
	for _, tc := range []struct {
		name   string
		kind   int
		offset int
		value  []byte
	}{
		{"dictionary: number of items", 0, 16, word(1<<64 - 1)},
		{"dictionary: bytes of keys", 0, 24, word(1<<64 - 1)},
		{"dictionary: first start", 0, 32, word(1)},
		{"dictionary: start descends", 0, 40, word(4)},
		{"dictionary: start negative", 0, 40, word(1 << 63)},
		{"dictionary: last start", 0, 64, word(17)},
		{"dictionary: id in hash table", 0, 120, id(5)},
		{"dictionary: hash table full", 0, 120, bytes.Repeat(id(1), 9)},
		{"dictionary: hash table empty", 0, 120, make([]byte, 36)},
		{"lists: number of items", 1, 16, word(1<<64 - 1)},
		{"lists: number of entries", 1, 24, word(1<<64 - 1)},
		{"lists: items descend", 1, 32, id(5)},
		{"lists: last start", 1, 72, word(5)},
		{"lists: start above end", 1, 56, word(1 << 40)},
		{"lists: own item", 1, 80, id(2)},
		{"lists: score not a number", 1, 84, number(float32(math.NaN()))},
		{"lists: score infinite", 1, 84, number(float32(math.Inf(1)))},
		{"lists: score zero", 1, 108, number(0)},
		{"lists: rank order", 1, 84, number(0.25)},
		{"rows: first user", 2, 16, word(math.MaxUint32)},
		{"rows: number of users", 2, 24, word(1<<64 - 1)},
		{"rows: bytes of keys", 2, 32, word(1<<64 - 1)},
		{"rows: number of items", 2, 40, word(5)},
		{"rows: number of items of any matrix", 2, 40, word(1 << 32)},
		{"rows: number of entries", 2, 48, word(1<<64 - 1)},
		{"rows: weighted", 2, 56, word(2)},
		{"rows: not weighted", 2, 56, word(0)},
		{"rows: users descend", 2, 96, []byte("c")},
		{"rows: row starts", 2, 120, word(4)},
		{"rows: last row start", 2, 136, word(2)},
		{"rows: item out of range", 2, 148, id(6)},
		{"rows: items descend", 2, 144, id(5)},
		{"rows: weight", 2, 160, number(float32(math.Inf(-1)))},
		{"rest: number of items", 4, 16, word(1<<64 - 1)},
		{"rest: number of entries", 4, 24, word(1<<64 - 1)},
		{"rest: items descend", 4, 32, id(5)},
		{"rest: last start", 4, 72, word(4)},
		{"rest: bound not a number", 4, 80, number(float32(math.NaN()))},
		{"rest: bound negative", 4, 84, number(-1)},
		{"rest: bound infinite", 4, 84, number(float32(math.Inf(1)))},
		{"rest: own item", 4, 96, id(2)},
		{"rest: rank order", 4, 108, number(0.75)},
		{"norms: number of items", 5, 16, word(1<<64 - 1)},
		{"norms: not a number", 5, 24, word(math.Float64bits(math.NaN()))},
		{"norms: infinite", 5, 32, word(math.Float64bits(math.Inf(1)))},
		{"norms: negative", 5, 40, word(math.Float64bits(-1))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := kinds[tc.kind]
			path := filepath.Join(t.TempDir(), "file")
			damaged := content(t, k.small)
			if bytes.Equal(damaged[tc.offset:][:len(tc.value)], tc.value) {
				t.Fatal("not a change")
			}
			copy(damaged[tc.offset:], tc.value)
			wantCorrupt(t, path, useBytes(t, k, path, fixSum(damaged)))
		})
	}
}

func TestOtherKind(t *testing.T) {
	for _, k := range kinds {
		for _, other := range kinds {
			path := filepath.Join(t.TempDir(), "file")
			if err := useBytes(t, k, path, content(t, other.small)); k.name != other.name {
				wantCorrupt(t, path, err)
			}
		}
	}
}

func TestMissingFile(t *testing.T) {
	for _, k := range kinds {
		for _, path := range []string{filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "folder", "file"), ""} {
			if err := k.use(path); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, artifact.ErrCorrupt) {
				t.Errorf("%s at %q: error is %v, want one that matches fs.ErrNotExist", k.name, path, err)
			}
		}
	}
}

func FuzzOpenDictionary(f *testing.F) { fuzzOpen(f, kinds[0]) }
func FuzzOpenLists(f *testing.F)      { fuzzOpen(f, kinds[1]) }
func FuzzOpenRows(f *testing.F)       { fuzzOpen(f, kinds[2]) }
func FuzzOpenRest(f *testing.F)       { fuzzOpen(f, kinds[4]) }
func FuzzOpenNorms(f *testing.F)      { fuzzOpen(f, kinds[5]) }

// fuzzOpen opens files with a right checksum, so that the checks behind it are reached.
func fuzzOpen(f *testing.F, k kind) {
	f.Add(content(f, k.small))
	f.Add(content(f, k.empty))
	path := filepath.Join(f.TempDir(), "file")
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := useBytes(t, k, path, fixSum(file)); err != nil {
			wantCorrupt(t, path, err)
		}
	})
}

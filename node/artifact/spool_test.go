package artifact

import (
	"path/filepath"
	"testing"

	"github.com/kith-io/kith/similarity"
)

// Lists of which entries had to wait in a file are those that waited in memory, and leave nothing else.
func TestSpill(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func(n int) { spoolMemory = n }(spoolMemory)
	infos := map[Info]bool{}
	for _, spoolMemory = range []int{1, 50, 1 << 20} {
		w, err := s.CreateLists(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		for item := range uint32(100) {
			l := &similarity.Lists{Start: []int64{0, 2}, Entries: []similarity.Neighbor{{ID: 200, Score: 1}, {ID: 300 + item, Score: 0.5}}}
			if err := w.Add([]uint32{item}, l); err != nil {
				t.Fatal(err)
			}
		}
		if spilled := w.spilled != nil; spilled != (spoolMemory < 1<<20) {
			t.Errorf("with %d bytes of memory entries waited in a file: %v", spoolMemory, spilled)
		}
		info, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		infos[info] = true
	}
	if len(infos) != 1 {
		t.Errorf("files differ: %v", infos)
	}
	if files, err := filepath.Glob(filepath.Join(s.versionDir(1), "*")); err != nil || len(files) != 1 {
		t.Errorf("files %q, %v, want one", files, err)
	}
}

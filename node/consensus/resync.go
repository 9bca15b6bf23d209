package consensus

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kith-io/kith/durable"
)

// resyncBytes is what resync reads and writes at a time.
const resyncBytes = 256 << 10

// resync makes the entries behind index durable: the process that wrote them may have been killed before it synced them,
// or have been told that the sync failed. In the second case the kernel may take the pages for clean while they are not on the
// disk, so they are written once more, as they are read now. The log must be open and nobody write to it. Cost: reading and writing the
// segments that hold the entries.
func (s *logStore) resync(index uint64) error {
	dir := filepath.Join(s.dir, "wal")
	names, err := s.files.ListDir(dir)
	if err != nil {
		return fmt.Errorf("list segments in %s: %w", dir, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".wal") })
	slices.Sort(names) // by first entry, then age
	from := 0
	for i, name := range names {
		var first, id uint64
		if _, err := fmt.Sscanf(name, "%020d-%016x.wal", &first, &id); err != nil {
			return fmt.Errorf("segment %s: %w", filepath.Join(dir, name), err)
		}
		if first <= index+1 {
			from = i
		}
	}
	for _, name := range names[from:] {
		if err := s.rewrite(dir, name); err != nil {
			return fmt.Errorf("write segment %s once more: %w", filepath.Join(dir, name), err)
		}
	}
	return durable.SyncDir(dir)
}

// rewrite writes a file as it is, where it is not zero, and syncs it.
func (s *logStore) rewrite(dir, name string) (err error) {
	file, err := s.files.OpenWriter(dir, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buf := make([]byte, resyncBytes)
	for at := int64(0); ; {
		n, err := file.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if slices.ContainsFunc(buf[:n], func(b byte) bool { return b != 0 }) {
			if _, err := file.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		if at += int64(n); err != nil || n == 0 {
			return file.Sync()
		}
	}
}

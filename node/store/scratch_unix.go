//go:build unix

package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// newScratch makes a file in a directory that has no name, so that it is gone when nothing uses it any more, also after a crash.
func newScratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, scratchPrefix)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // Open deletes it
		return nil, err
	}
	return f, nil
}

// mapScratch maps the first size bytes of a file, read-only, and closes it: the mapping is what it lives by.
func mapScratch(f *os.File, size int) ([]byte, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	_ = f.Close() // the mapping has what was written
	return data, err
}

// unmapScratch lets go of what mapScratch returned.
func unmapScratch(data []byte) { _ = unix.Munmap(data) } // fails only for what is no mapping

// discardScratch lets go of a file that was not mapped.
func discardScratch(f *os.File) { _ = f.Close() } // what was written does not matter

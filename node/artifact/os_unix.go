//go:build unix

package artifact

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps the first size bytes of f, read-only. The mapping outlives f and the file's name.
func mapFile(f *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

// unmap frees what mapFile returned; nil is no error.
func unmap(data []byte) error {
	if data == nil {
		return nil
	}
	return unix.Munmap(data)
}

// release lets the system take back the memory of a mapping. What is read again comes from the file.
func release(data []byte) error {
	if data == nil {
		return nil
	}
	return unix.Madvise(data, unix.MADV_DONTNEED)
}

//go:build !unix

package artifact

import "os"

// mapFile reads the first size bytes of f: the portable twin of a mapping.
func mapFile(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := f.ReadAt(data, 0)
	return data, err
}

// unmap leaves the memory to the garbage collector.
func unmap([]byte) error { return nil }

// release does nothing: what mapFile read has no other place.
func release([]byte) error { return nil }

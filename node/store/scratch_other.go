//go:build !unix

package store

import (
	"errors"
	"os"
)

// newScratch makes a file in a directory.
func newScratch(dir string) (*os.File, error) { return os.CreateTemp(dir, scratchPrefix) }

// mapScratch reads the first size bytes of a file and deletes it: the portable twin of a mapping.
func mapScratch(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := f.ReadAt(data, 0)
	_ = f.Close()
	return data, errors.Join(err, os.Remove(f.Name()))
}

// unmapScratch leaves the memory to the garbage collector.
func unmapScratch([]byte) {}

// discardScratch deletes a file that was not mapped.
func discardScratch(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name()) // Open deletes what is left
}

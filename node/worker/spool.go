package worker

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
)

// spool keeps in files what a job on a node with a memory limit does not need now. Its folder goes with the job. It is safe
// for concurrent use.
type spool struct {
	dir string
	// files and bytes count what was written.
	files, bytes atomic.Int64
}

// newSpool makes the folder.
func newSpool(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	return &spool{dir: dir}, nil
}

// remove removes all files.
func (s *spool) remove() error { return os.RemoveAll(s.dir) }

// write makes a file of sections, which each gives to add in their order.
func (s *spool) write(each func(add func(section []byte) error) error) (_ *spoolFile, err error) {
	f, err := os.Create(filepath.Join(s.dir, fmt.Sprintf("%06d", s.files.Add(1))))
	if err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	file := &spoolFile{path: f.Name(), ends: []int64{0}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("spill: %w", err), f.Close(), os.Remove(f.Name()))
		}
	}()
	out := bufio.NewWriterSize(f, 1<<16)
	if err := each(func(section []byte) error {
		n, err := out.Write(section)
		file.ends = append(file.ends, file.ends[len(file.ends)-1]+int64(n))
		return err
	}); err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, err
	}
	s.bytes.Add(file.ends[len(file.ends)-1])
	return file, f.Close()
}

// spoolFile is a file of sections, which carry checksums of their own.
type spoolFile struct {
	path string
	// ends of the sections, after a zero.
	ends []int64
}

// sections returns the number of sections.
func (f *spoolFile) sections() int { return len(f.ends) - 1 }

// read returns sections [lo, hi).
func (f *spoolFile) read(lo, hi int) (_ [][]byte, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("spilled data: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	b := make([]byte, f.ends[hi]-f.ends[lo])
	if _, err := file.ReadAt(b, f.ends[lo]); err != nil {
		return nil, fmt.Errorf("spilled data: %w", err)
	}
	out := make([][]byte, 0, hi-lo)
	for n := lo; n < hi; n++ {
		from, to := f.ends[n]-f.ends[lo], f.ends[n+1]-f.ends[lo]
		out = append(out, b[from:to:to])
	}
	return out, nil
}

// remove removes the file.
func (f *spoolFile) remove() error { return os.Remove(f.path) }

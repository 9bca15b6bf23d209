package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/durable"
)

// File is a file that is being written. It has a temporary name until Commit. It must be ended by Commit or Abort, and be
// used by one goroutine.
type File struct {
	store   *Store
	version uint64
	name    string
	temp    *os.File
	sum     *xxhash.Digest
	size    uint64
	err     error // the first of Write
	done    bool  // committed or aborted
}

// Create starts a file of a version, and makes the version's folder if it is not there. The same file may be written by
// several at a time; the last to commit wins. The error for a name that is not valid matches fs.ErrInvalid.
func (s *Store) Create(version uint64, name string) (*File, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("create artifact %q: name: %w", name, fs.ErrInvalid)
	}
	dir := s.versionDir(version)
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create artifact: %w", err)
	}
	temp, err := os.CreateTemp(dir, name+"-*"+tempSuffix)
	if err != nil {
		return nil, fmt.Errorf("create artifact: %w", err)
	}
	return &File{store: s, version: version, name: name, temp: temp, sum: xxhash.New()}, nil
}

// Write implements io.Writer. Writes are not buffered. A file of which a Write has failed cannot be committed.
func (f *File) Write(p []byte) (n int, err error) {
	for err == nil && len(p) > 0 {
		piece := p[:min(len(p), pieceBytes)]
		var written int
		written, err = f.temp.Write(piece)
		_, _ = f.sum.Write(piece[:written]) // never fails
		n, p = n+written, p[written:]
	}
	f.size += uint64(n)
	if err != nil && f.err == nil {
		f.err = err
	}
	return n, err
}

// Commit makes the file durable under its name and returns its identity. With want, a file of another size or checksum is
// refused, with an error that matches ErrCorrupt. A file that cannot be committed is removed. It may be called once.
func (f *File) Commit(want *Info) (Info, error) {
	if f.done {
		return Info{}, fmt.Errorf("commit artifact %s: %w", f.temp.Name(), fs.ErrClosed)
	}
	defer f.Abort() // does nothing if all goes well
	path := f.store.Path(f.version, f.name)
	info := Info{Name: f.name, SizeBytes: f.size, Checksum: f.sum.Sum64()}
	if f.err != nil {
		return Info{}, fmt.Errorf("commit artifact: %w", f.err)
	}
	if want != nil && (want.SizeBytes != info.SizeBytes || want.Checksum != info.Checksum) {
		return Info{}, corrupt(path, fmt.Sprintf("got %d bytes with checksum %016x, want %d with %016x",
			info.SizeBytes, info.Checksum, want.SizeBytes, want.Checksum))
	}
	if err := errors.Join(f.temp.Sync(), f.temp.Close()); err != nil {
		return Info{}, fmt.Errorf("commit artifact: %w", err)
	}
	if err := os.Rename(f.temp.Name(), path); err != nil {
		return Info{}, fmt.Errorf("commit artifact: %w", err)
	}
	f.done = true
	// The version's folder may be new, by this or by another file.
	if err := errors.Join(durable.SyncDir(filepath.Dir(path)), durable.SyncDir(f.store.dir)); err != nil {
		return Info{}, fmt.Errorf("commit artifact: %w", err)
	}
	return info, nil
}

// Abort removes the file unless it was committed. It may be called again, and after Commit.
func (f *File) Abort() {
	if f.done {
		return
	}
	f.done = true
	// What cannot be removed now is when the store is opened next.
	_ = f.temp.Close()
	_ = os.Remove(f.temp.Name())
}

package store

import (
	"errors"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// writeCategory names our writes in Pebble's statistics.
const writeCategory vfs.DiskWriteCategory = "kith"

func readFile(f vfs.FS, path string) ([]byte, error) {
	file, err := f.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(file)
	return b, errors.Join(err, file.Close())
}

// writeFile makes a file with the content b and syncs it, but not its directory.
func writeFile(f vfs.FS, path string, b []byte) error {
	file, err := f.Create(path, writeCategory)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// makeDir makes a directory and those above it, durably.
func makeDir(f vfs.FS, path string) error {
	var parents []string // of what is missing
	for p := path; ; {
		_, err := f.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		up := f.PathDir(p)
		if up == p {
			break
		}
		parents = append(parents, up)
		p = up
	}
	if err := f.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, p := range parents {
		if err := syncDir(f, p); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(f vfs.FS, path string) error {
	dir, err := f.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

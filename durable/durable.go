// Package durable writes what must be on the disk after a crash of the machine, and tells whether another process has replaced it.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace writes a file that is there in full or not at all, and still there after a crash when it returns. One process at a time
// may replace a file: what is being written stands beside it, under its name and ".tmp".
func Replace(path string, data []byte, perm os.FileMode) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

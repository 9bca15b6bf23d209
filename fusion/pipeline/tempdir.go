package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Names of folders of temporary files: of runs that began, and of those that have not locked theirs yet.
const (
	tempPrefix  = "kith-fuse-"
	beginPrefix = "kith-begin-"
	lockFile    = "lock"
)

// tempDir makes the folder of a run's temporary files in a folder, or that of the system if it is "", and removes those that killed runs have
// left there: the system has unlocked them. What it returns removes the folder.
func tempDir(parent string) (dir string, remove func() error, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	removeStale(parent)
	begun, err := os.MkdirTemp(parent, beginPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("folder for temporary files: %w", err)
	}
	lock, err := lockDir(begun, os.O_CREATE)
	if err == nil {
		// Under its name a folder is locked from the first moment on, so that nobody takes it for one that was left.
		dir = filepath.Join(parent, tempPrefix+strings.TrimPrefix(filepath.Base(begun), beginPrefix))
		if err = os.Rename(begun, dir); err == nil {
			return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
		}
		err = errors.Join(err, lock.Close())
	}
	return "", nil, fmt.Errorf("folder for temporary files: %w", errors.Join(err, os.RemoveAll(begun)))
}

// lockDir locks the folder of a run for as long as the file is open.
func lockDir(dir string, flag int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|syscall.O_NOFOLLOW|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// removeStale removes folders of runs that have ended without removing them. It does what it can: those of others are theirs.
func removeStale(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		lock, err := lockDir(dir, 0)
		if err != nil {
			continue // it is in use, or not ours
		}
		_ = os.RemoveAll(dir) // the next run tries again
		_ = lock.Close()
	}
}

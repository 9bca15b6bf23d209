//go:build linux || darwin

package node

import "golang.org/x/sys/unix"

// diskSizes returns the size of the file system of a folder and what of it is free for this process, in bytes; zeros if that
// cannot be told.
func diskSizes(dir string) (total, free uint64) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0 // only shown
	}
	block := uint64(s.Bsize)
	return s.Blocks * block, s.Bavail * block
}

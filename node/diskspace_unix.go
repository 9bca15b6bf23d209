//go:build unix

package node

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// diskSpace returns the bytes that this process may still write to the disk of a folder, and the size of that disk.
func diskSpace(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), uint64(st.Blocks) * uint64(st.Bsize), nil //nolint:unconvert // the types differ between systems
}

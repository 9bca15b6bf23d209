//go:build !(linux || darwin)

package node

// diskSpace is not known here.
func diskSpace(string) (total, free uint64) { return 0, 0 }

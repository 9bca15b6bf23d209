package durable

import "os"

// Same reports whether a file is as it was: a and b are what os.Stat returned for its path, nil where it could not be looked at. What replaces
// a file, or writes to it in place, shows.
func Same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

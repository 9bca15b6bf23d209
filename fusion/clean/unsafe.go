package clean

import "unsafe"

// unsafeString returns b as a text without a copy. Nobody may write to b again.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

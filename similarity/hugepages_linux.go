package similarity

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePages asks for pages of 2 MiB under a large array whose parts are used in no order:
// there, most accesses would also wait for the table of pages. It is a wish; what the
// system cannot do, it ignores.
func hugePages[T any](s []T) {
	const page = 2 << 20
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(len(s))*unsafe.Sizeof(*new(T)))
	address := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	lo := (address+page-1)&^(page-1) - address
	hi := (address+uintptr(len(bytes)))&^(page-1) - address
	if len(bytes) >= 2*page {
		_ = unix.Madvise(bytes[lo:hi], unix.MADV_HUGEPAGE)
	}
}

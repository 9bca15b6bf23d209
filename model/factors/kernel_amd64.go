//go:build !purego && !portable

package factors

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

// The functions in assembly trust their arguments. Widths and strides are in bytes; n and the width are above 0, and the width is a multiple of 32.

//go:noescape
func dotsAtAVX2(dst, x, y *float32, ids *uint32, n, width int)

//go:noescape
func combineAtAVX2(dst, coef, y *float32, ids *uint32, n, width, stride int)

//go:noescape
func pairAVX2(x, a, b *float32, width int, step, keep float32)

//go:build !amd64 || purego || portable

package factors

const hasAVX2 = false

func dotsAtAVX2(*float32, *float32, *float32, *uint32, int, int) {}

func combineAtAVX2(*float32, *float32, *float32, *uint32, int, int, int) {}

func pairAVX2(*float32, *float32, *float32, int, float32, float32) {}

//go:build !linux

package similarity

func hugePages[T any]([]T) {}

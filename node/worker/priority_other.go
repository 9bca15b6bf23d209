//go:build !linux

package worker

// lowerPriority does nothing: the priority of a thread can only be set on Linux.
func lowerPriority() {}

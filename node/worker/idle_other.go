//go:build !linux

package worker

// becomeIdle does nothing: the priority of a thread can only be set on Linux.
func becomeIdle() {}
